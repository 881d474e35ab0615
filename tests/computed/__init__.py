"""What the trainer's own code computed: the models and numbers, and how far a result may be from them."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import tttcfg
from tests.conftest import SHARED_DATA
from tttcfg.documents.effective import Effective
from tttcfg.nn import TTTLayer
from tttcfg.ttt_moshi.ttt_config import TTTConfig

HERE, COMPLETE = Path(__file__).parent, SHARED_DATA / "computed"


class Computed:
    """One model, as it was saved and evaluated."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"{self.folder.name}{'' if self.folder.parent == HERE else ' (complete)'}"

    @cached_property
    def effective(self) -> Effective:
        return tttcfg.resolve(checkpoint=self.folder)

    @property
    def config(self) -> TTTConfig:
        config: TTTConfig = self.effective.ttt
        return config

    @property
    def dtype(self) -> torch.dtype:
        found: torch.dtype = getattr(torch, self.config.dtype)
        return found

    @cached_property
    def model_config(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "consolidated" / "config.json").read_text("utf-8"))
        return found

    @cached_property
    def expected(self) -> dict[str, torch.Tensor]:
        found = load_file(self.folder / "expected.safetensors")
        return {name: one.float() if one.is_floating_point() else one for name, one in found.items()}

    @cached_property
    def weights(self) -> dict[str, torch.Tensor]:
        """What was saved, and the frozen base below it where that was not."""
        files = [*self.folder.glob("[bl]a*.safetensors"), *self.folder.glob("consolidated/*.safetensors")]
        return {name: one for path in files for name, one in load_file(path).items()}

    @property
    def layers(self) -> list[int]:
        """The layers whose TTT was evaluated alone."""
        return sorted({int(name.split(".")[1]) for name in self.expected if name.startswith("ttt_layer.")})

    def layer(self, index: int, **changes: Any) -> TTTLayer:
        """Return the TTT layer of a layer, with settings changed where asked for."""
        made = TTTLayer(self.config.model_copy(update=changes))
        prefix = f"transformer.layers.{index}.seq_modeling_block.ttt_layer.ttt."
        saved = {name.removeprefix(prefix): one for name, one in self.weights.items() if name.startswith(prefix)}
        missing, unexpected = made.load_state_dict(saved, strict=False)
        assert not unexpected
        assert all(name.startswith(("wo.", "post_norm.")) for name in missing), missing
        return made

    @property
    def output_limit(self) -> float:
        """How far a layer's output may be off, as a part of its length."""
        if self.dtype == torch.float32:
            return 1e-5
        return 5e-4 if len(self.config.inner_layer_sizes) == 3 else 5e-3

    @property
    def gradient_limit(self) -> float:
        return 1e-5 if self.dtype == torch.float32 else 3e-2

    @property
    def model_limit(self) -> float:
        """The same for the transformer and the language model."""
        return 1e-5 if self.dtype == torch.float32 else 8e-3


def error(found: torch.Tensor, expected: torch.Tensor, length: torch.Tensor | None = None) -> float:
    """Return how far a result is off, as a part of the length of what is expected, or of `length`."""
    found, expected = found.detach().double(), expected.double()
    return float((found - expected).norm() / (expected if length is None else length.double()).norm())


def models(parent: Path) -> list[Computed]:
    return [Computed(folder) for folder in sorted(parent.glob("*")) if (folder / "expected.safetensors").exists()]


COMMITTED = models(HERE)
ALL = [*COMMITTED, *models(COMPLETE)]
