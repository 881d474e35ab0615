"""A dialect: the tensor names of one program, and the meaning of their shapes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

MODEL_DIM, NUM_HEADS, HEAD_DIM, MINI_BATCH_SIZE = "model_dim", "num_heads", "head_dim", "mini_batch_size"
CONV_KERNEL_SIZE = "conv_kernel_size"
DIMENSIONS = {MODEL_DIM, NUM_HEADS, HEAD_DIM, MINI_BATCH_SIZE, CONV_KERNEL_SIZE}

Axes = tuple[int | str, ...] | None
"""What the axes of a tensor count: a fixed number, or a dimension that all tensors agree on, by its name.

Any other text describes an axis of any size; None where the axes are not known.
"""

INDEX = r"(0|[1-9][0-9]{0,4})"
"""Regular expression of a layer's index, as programs write it: no sign, no leading zero, ASCII digits."""


class Inner(NamedTuple):
    """How the layers of the inner model are named: `{}` in `weight` and `bias` counts them from `first`.

    Weights are [num_heads, width in, width out]; biases have `bias_axes` and then width out. The program uses these
    names for inner models of `fewest` to `most` layers, without a limit where `most` is 0.
    """

    weight: str
    bias: str
    first: int
    fewest: int
    most: int
    bias_axes: tuple[int | str, ...] = (NUM_HEADS, 1)


class Base(NamedTuple):
    """The names of the tensors around the TTT layers, as regular expressions; all but `known` may be left out.

    Attributes:
        known: The start of every tensor outside TTT layers; tensors that do not match are reported as unknown.
        layer: The start of a layer's tensors, with its index as the only group. Where there is one, the layers are
            counted.
        whole: The name of a tensor outside layers that every file with the base model has; its last axis is model_dim.
            Left out, every file is taken for the whole model.
        converted: The start of the base tensors of a layer that has TTT, with its index as the only group; empty where
            they are named as those of every layer.
        attention: An attention weight of the base model that has no adapter, the layer's index as the group.
        embedding: An embedding that is only saved beside adapters where it was trained.
        wide: A linear module whose input is model_dim wide, and so its adapter's.
    """

    known: str
    layer: str = ""
    whole: str = ""
    converted: str = ""
    attention: str = ""
    embedding: str = ""
    wide: str = ""


@dataclass(frozen=True)
class Dialect:
    """How one program names its tensors.

    Attributes:
        name: Its name in results, as `Verification.dialect`.
        title: The usual name of the program, as in messages.
        signature: Regular expression of names that only this dialect has; one such name is enough.
        base: The model around the TTT layers.
        source: Where the names are known from.
        hint: Plain text that every such name contains, which is searched first, as that is far cheaper.
        block: Regular expression of the start of a TTT layer's tensors, with the layer's index as the only group.
        tensors: The tensors of every TTT layer: the rest of the name, and the axes.
        either: Sets of tensors, of which every TTT layer has one.
        optional: The same for tensors that only some have.
        inner: The forms in which the inner model is saved.
        yields_to: Dialects that have all of this one's names and some of their own.
        family: The name of the family whose configurations describe these weights; empty where there is none.
        other_ttt: Whether its TTT has no inner model, so that its tensors determine none of the `ttt` fields.
    """

    name: str
    title: str
    signature: str
    base: Base
    source: str = ""
    hint: str = ""
    block: str = ""
    tensors: Mapping[str, Axes] = field(default_factory=dict)
    either: tuple[Mapping[str, Axes], ...] = ()
    optional: Mapping[str, Axes] = field(default_factory=dict)
    inner: tuple[Inner, ...] = ()
    yields_to: tuple[str, ...] = ()
    family: str = ""
    other_ttt: bool = False

    @property
    def layer_patterns(self) -> dict[str, str]:
        """The regular expressions that have a layer's index as their only group, by name; without the empty ones."""
        base = self.base
        found = {"block": self.block, "base.layer": base.layer, "base.converted": base.converted}
        return {name: one for name, one in {**found, "base.attention": base.attention}.items() if one}

    @property
    def patterns(self) -> dict[str, str]:
        """All regular expressions, by name; without the empty ones."""
        found = {"signature": self.signature, **{f"base.{name}": one for name, one in self.base._asdict().items()}}
        return {name: one for name, one in {**found, **self.layer_patterns}.items() if one}

    def needed(self, block: Collection[str]) -> Mapping[str, Axes]:
        """Return the tensors that a TTT layer with the tensors `block` must have."""
        if not self.either:
            return self.tensors
        begun = next((one for one in self.either if any(suffix in block for suffix in one)), self.either[0])
        return {**self.tensors, **begun}
