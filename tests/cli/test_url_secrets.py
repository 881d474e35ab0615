"""What a URL hides reaches no output, no file and no exception: user, password and signature."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

import tttcfg
from tests.builders import MODEL, trained
from tests.evidence.dialects.tensors import Size, consolidated
from tests.launcher import Result, python
from tests.planted import chain_of
from tests.safetensors.files import Tensors, compact, framed, laid_out, room_for, sharded, weights_file
from tttcfg.documents.save import document_bytes
from tttcfg.errors import TttcfgError
from tttcfg.resolving.families import as_document
from tttcfg.safetensors.shards import INDEX_NAME

HIDDEN = ("hunter2", "SiGnAtUrE")
BASE = "memory://user:hunter2@host/run/"
QUERY = "?X-Amz-Signature=SiGnAtUrE"
URL = f"{BASE}a.safetensors{QUERY}"
SHAPES: Tensors = {name: ("F32", shape) for name, shape in consolidated(Size(), [1, 2], [64]).items()}
WEIGHTS = framed(compact(laid_out(SHAPES)), room_for(SHAPES))
PROGRAM = """
import fsspec, pathlib, sys
for path in pathlib.Path(sys.argv[1]).iterdir():
    fsspec.filesystem("memory").pipe(sys.argv[2].replace("*", path.name), path.read_bytes())
from tttcfg.cli import main
del sys.argv[1:3]
main()
"""


def documents(run: Path) -> dict[str, bytes]:
    """Return what may lie beside the weights: right, of another model, or broken."""
    values = {"ttt.enable": True, "ttt.layers": [1, 2], "param_dtype": "float32", "duration_sec": 51.2}
    folder = trained(run, values) / "consolidated"
    right = (folder / "training_config.json").read_bytes()
    wrong = right.replace(b"[\n      1,\n      2\n    ]", b'"all"')
    assert wrong != right
    return {"right": right, "wrong": wrong, "broken": b"{", "absent": b""}


BESIDE = ("right", "wrong", "broken", "absent")
MODELS = {"right": compact({**MODEL, "num_layers": 4}), "wrong": compact(MODEL), "broken": b"[]", "absent": b""}


@pytest.fixture
def served() -> Iterator[Callable[[str, bytes], str]]:
    """Put files behind URLs that hide something; an empty one is not there."""
    files = fsspec.filesystem("memory")

    def serve(name: str, data: bytes) -> str:
        url = f"{BASE}{name}{QUERY}"
        if data:
            files.pipe(url, data)
        return url

    yield serve
    files.rm("/user:hunter2@host", recursive=True)


def shown_by(call: Callable[[], Any]) -> str:
    """Return everything that a call returns or raises, in every form in which it may be shown."""
    try:
        result = call()
    except TttcfgError as error:
        shown = [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
        shown += [f"{one}{one!r}{vars(one)}" for one in chain_of(error)]
        result = getattr(error, "effective", None)
    else:
        shown = []
    if isinstance(result, tttcfg.Effective):
        shown += [repr(result.findings), repr(result.provenance), repr(result.verification)]
        shown += [document_bytes(as_document(result)).decode(), pickle.dumps(result).decode("latin-1")]
    return "\n".join([*shown, repr(result)])


FUNCTIONS: dict[str, Callable[[str], Any]] = {
    "resolve": tttcfg.resolve,
    "resolve model": lambda url: tttcfg.resolve(model_config=url, overrides={"ttt.enable": True}),
    "resolve config": lambda url: tttcfg.resolve(config=url),
    "resolve override": lambda url: tttcfg.resolve(overrides=[url, f"seed=@{url}", f"{url}=1"]),
    "resolve contradicted": lambda url: tttcfg.resolve(url, overrides={"ttt.layers": "all", "ttt.kernel": "triton"}),
    "verify": tttcfg.verify,
    "inspect_weights": tttcfg.inspect_weights,
    "adopt": tttcfg.adopt,
    "bind": tttcfg.bind,
    "load_document": tttcfg.load_document,
    "save_document": lambda url: tttcfg.save_document(url, tttcfg.TrainingArgs()),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("beside", BESIDE)
def test_no_function_shows_it(beside: str, model: str, served: Callable[[str, bytes], str], tmp_path: Path) -> None:
    urls = [
        served("a.safetensors", WEIGHTS),
        served("cut.safetensors", WEIGHTS[:-1]),
        served("broken.safetensors", b"{}"),
        served("absent.safetensors", b""),
        served("training_config.json", documents(tmp_path)[beside]),
        served("config.json", MODELS[model]),
        f"{BASE}{QUERY}",
        f"{BASE}nothing/{QUERY}",
        f"simplecache::{URL}",
        f"unknown{URL[6:]}",
        f"file{URL[6:]}",
    ]
    for url in urls:
        for name, function in FUNCTIONS.items():
            shown = shown_by(lambda url=url, function=function: function(url))  # type: ignore[misc]
            assert not [hidden for hidden in HIDDEN if hidden in shown], (name, url)


def test_no_function_shows_it_of_several_files(served: Callable[[str, bytes], str], tmp_path: Path) -> None:
    names = list(SHAPES)
    halves = ({name: SHAPES[name] for name in part} for part in (names[:9], names[9:]))
    sharded(tmp_path / "w", dict(zip(("1.safetensors", "2.safetensors"), halves, strict=True)))
    weights_file(tmp_path / "w" / "2.safetensors", SHAPES)
    for path in (tmp_path / "w").iterdir():
        served(path.name, path.read_bytes())
    index = f"{BASE}{INDEX_NAME}{QUERY}"
    assert "holds tensor" in shown_by(lambda: tttcfg.inspect_weights(index))
    for function in FUNCTIONS.values():
        shown = shown_by(lambda function=function: function(index))  # type: ignore[misc]
        assert not [hidden for hidden in HIDDEN if hidden in shown]


def remotely(folder: Path, *words: str) -> Result:
    """Run `tttcfg` in a folder whose files are behind URLs too, all of which hide something."""
    return python("-c", PROGRAM, folder, f"{BASE}*{QUERY}", *words, cwd=folder, code=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("remote")
    (made / "a.safetensors").write_bytes(WEIGHTS)
    (made / "config.json").write_bytes(MODELS["right"])
    return made


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("verify URL", 0),
        ("verify URL --output json", 0),
        ("verify URL ttt.layers=all", 1),
        ("inspect URL", 0),
        ("inspect URL --output json", 0),
        ("inspect URL --write", 2),
        ("resolve --checkpoint URL", 0),
        ("resolve --checkpoint URL --output json", 0),
        ("resolve --checkpoint URL --explain", 0),
        ("resolve --checkpoint URL --write out.json", 0),
        ("resolve --checkpoint URL --write out.yaml", 0),
        ("resolve --config URL --model-config URL", 2),
        ("resolve --write URL", 2),
        ("resolve seed=@URL URL", 2),
        ("diff URL URL", 0),
        ("migrate URL", 2),
    ],
)
def test_no_command_shows_it(folder: Path, words: str, code: int) -> None:
    result = remotely(folder, *(URL if word == "URL" else word.replace("@URL", f"@{URL}") for word in words.split()))
    assert (result.code, "Traceback" in result.err) == (code, False)
    written = [path.read_text() for path in folder.glob("out.*")]
    for hidden in HIDDEN:
        assert not [text for text in (result.out, result.err, *written) if hidden in text]
