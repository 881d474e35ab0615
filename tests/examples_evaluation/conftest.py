"""A small model with TTT, a tokenizer and the miniatures, for the tests of `examples/ttt_moshi/evaluation`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import tttcfg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "examples"))
if find_spec("torch"):
    import torch
    from ttt_moshi.make_miniature import make
    from ttt_moshi.model import build
    from ttt_moshi.tokenizer import MelTokenizer
else:
    collect_ignore_glob = ["test_*.py"]

MODEL = {
    "dim": 32,
    "num_heads": 2,
    "num_layers": 2,
    "context": 64,
    "n_q": 4,
    "dep_q": 4,
    "card": 64,
    "text_card": 8,
    "hidden_scale": 4,
    "delays": [0, 0, 1, 0, 1],
}
"""Two speakers of two codebooks, all predicted."""
Resolve = Callable[..., tttcfg.Effective]


@contextmanager
def one_thread() -> Iterator[None]:
    """Several threads would cost more than they bring on so small a model."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the miniatures, made of tones; not to be changed."""
    folder = tmp_path_factory.mktemp("miniature")
    with one_thread():
        make(folder, speech="tones", minutes=0.4)
    return folder


@pytest.fixture
def copied(miniature: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copy one folder of the miniatures, to be changed."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(miniature / name, tmp_path / name))

    return copy


@pytest.fixture
def tokenizer() -> Any:
    return MelTokenizer(codebooks=2, card=64)


@pytest.fixture
def resolve(tmp_path: Path) -> Resolve:
    """Resolve overrides, by dotted key, into the small model's configuration."""

    def resolved(settings: dict[str, Any] | None = None, config: Path | None = None) -> tttcfg.Effective:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(MODEL), encoding="utf-8")
        given = {"ttt.enable": True, "ttt.layers": [1], "ttt.mini_batch_size": 4, "param_dtype": "float32"}
        given["ttt.persistent_states"] = "each_sequence"
        overrides = {**given, **(settings or {})}
        return tttcfg.resolve(config=config, overrides=overrides, model_config=path)

    return resolved


@pytest.fixture
def model(resolve: Resolve) -> Any:
    return build(MODEL, resolve())
