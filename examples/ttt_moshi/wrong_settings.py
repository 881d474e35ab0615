"""What the experiment gets wrong on purpose, one thing at a time, where everything else is the checkpoint's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong.

    Attributes:
        settings: Of the configuration, by dotted key.
        model_settings: Of the model's config.json.
        alpha: What gating alpha is overwritten with after loading.
        in_pieces: Whether sequences are given in pieces, the inner weights carried on.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    model_settings: Mapping[str, Any] = field(default_factory=dict)
    alpha: float | None = None
    in_pieces: bool = False

    def mapping(self) -> dict[str, Any]:
        """Return `settings` nested, as a configuration file has them."""
        found: dict[str, Any] = {}
        for key, value in self.settings.items():
            *sections, last = key.split(".")
            reduce(lambda tree, section: tree.setdefault(section, {}), sections, found)[last] = value
        return found


def wrong_settings(streams: int) -> Iterator[Wrong]:
    """Yield everything that is tried on a model of so many streams; the first two are nothing wrong at all."""
    yield Wrong("nothing")
    yield Wrong('`ttt.layers=[0]` for `"0"`', {"ttt.layers": [0]})
    for key, values in _VALUES.items():
        for value in values:
            yield Wrong(f"`{key}={str(value).lower() if isinstance(value, bool) else value}`", {key: value})
    yield Wrong("`ttt.persistent_states=never`, in pieces", {"ttt.persistent_states": "never"}, in_pieces=True)
    yield Wrong("gating alpha overwritten with 0.1", alpha=0.1)
    yield Wrong("`delays` of another config.json", model_settings={"delays": [0] * streams})


_VALUES: Mapping[str, tuple[Any, ...]] = {
    "ttt.mini_batch_size": (1, 4, 16, 32),
    "ttt.base_lr": (1.6, 160.0, 1e-4),
    "ttt.rope_mode": ("mini_batch",),
    "ttt.reconstruction_eps": (0.1,),
    "ttt.ttt_layer_context": (8,),
    "ttt.non_ttt_layer_context": (64,),
    "ttt.initial_gating_alpha": (0.1,),
    "ttt.inner_norm_eps": (1e-6, 0.1),
    "ttt.read_out": ("twice",),
    "ttt.persistent_states": ("never",),
    "param_dtype": ("bfloat16",),
    "ttt.enable": (False,),
    "ttt.layers": ("1",),
    "ttt.mlp.layers": (3,),
    "ttt.mlp.expansion_factor": (2.0,),
    "ttt.inner_model": ("linear",),
}
