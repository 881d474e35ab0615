"""All dialects, which one the names of tensors are in, and what each tensor belongs to by its name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from tttcfg.evidence.dialects import (
    moshi_finetune,
    moshi_in_place,
    ttt_lm_kernels,
    ttt_lm_pytorch,
    ttt_moshi,
    ttt_video_dit,
)
from tttcfg.evidence.dialects.dialect import Dialect

_MODULES = (moshi_finetune, moshi_in_place, ttt_lm_kernels, ttt_lm_pytorch, ttt_moshi, ttt_video_dit)
DIALECTS: Mapping[str, Dialect] = {module.dialect.name: module.dialect for module in _MODULES}
"""Every dialect by name."""
ADAPTER = re.compile(r"(.+)\.lora_([AB])\.weight")
_NEVER = "(?!)()"


def recognise(names: Collection[str], own: Collection[Dialect] = ()) -> tuple[Dialect, ...]:
    """Return the dialects that `names` are in: one; none where no program is known; several where they are mixed.

    Args:
        own: Dialects of a family, which come before all others.
    """
    return _found(names, own) or _found(names, DIALECTS.values())


def _found(names: Collection[str], dialects: Collection[Dialect]) -> tuple[Dialect, ...]:
    """Return which of `dialects` have some of `names`."""
    likely = {one.name: one for one in dialects if any(one.hint in name for name in names)}
    found = {name: one for name, one in likely.items() if any(map(re.compile(one.signature).fullmatch, names))}
    return tuple(one for one in found.values() if not found.keys() & set(one.yields_to))


class Sorted:
    """The tensor names of a checkpoint, sorted by what they belong to; layers by index.

    Attributes:
        blocks: The tensors of TTT layers: full names by the rest of the name.
        duplicates: Names of tensors of TTT layers that are in `blocks` under another name.
        converted: A base tensor of a layer that has TTT.
        plain: A base tensor that is named as those of layers without TTT are.
        shared: The two names of every base tensor that a layer with TTT has under two.
        present: The first tensor of each layer, whatever it is.
        attention: An attention weight of the base model.
        adapters: The two halves of LoRA adapters: full names by that of what they are for.
        adapted: The layers that have adapters.
        based: The layers that have tensors of the base model.
        whole: The tensor that only a file with the base model has; empty without.
        part: Another tensor of the base model, in a layer; empty without.
        embedding: An embedding; empty without.
        wide: The first halves of adapters whose input is as wide as the model.
        unknown: Names in a layer that are neither of its TTT nor of the base model.
        unplaced: Names in no layer that are not of the base model.
        other_adapters: Names of LoRA that are not half of an adapter.
        unread_adapter: A tensor with a name of LoRA that is not read as an adapter; empty without.
    """

    def __init__(self, names: Iterable[str], dialect: Dialect) -> None:
        self.blocks: dict[int, dict[str, str]] = {}
        self.duplicates: list[str] = []
        self.converted: dict[int, str] = {}
        self.plain: dict[int, str] = {}
        self.shared: list[tuple[str, str]] = []
        self.present: dict[int, str] = {}
        self.attention: dict[int, str] = {}
        self.adapters: dict[str, dict[str, str]] = {"A": {}, "B": {}}
        self.adapted: set[int] = set()
        self.based: set[int] = set()
        self.whole = self.part = self.embedding = ""
        self.wide: set[str] = set()
        self.unknown: list[str] = []
        self.unplaced: list[str] = []
        self.other_adapters: list[str] = []
        base = dialect.base
        self._layer, self._whole = re.compile(base.layer or _NEVER), re.compile(base.whole or _NEVER)
        self._known, self._wide = re.compile(base.known), re.compile(base.wide or _NEVER)
        self._block = re.compile(dialect.block or _NEVER)
        self._converted = re.compile(base.converted or _NEVER)
        self._attention = re.compile(base.attention or _NEVER)
        self._embedding = re.compile(base.embedding or _NEVER)
        self._shows_whole = bool(base.whole)
        self._first: dict[tuple[int, str], str] = {}
        for name in names:
            self._sort(name)

    @property
    def layers(self) -> list[int]:
        """The layers that have TTT, ascending."""
        return sorted({*self.blocks, *self.converted})

    @property
    def adapters_only(self) -> bool:
        return self._shows_whole and not (self.whole or self.part)

    @property
    def unread_adapter(self) -> str:
        unread = (*self.other_adapters, *self.unknown, *self.unplaced)
        return next((name for name in unread if "lora_" in name), "")

    def _sort(self, name: str) -> None:
        layer = self._layer.match(name)
        block = self._block.match(name) if layer else None
        if block is None and self._known.match(name) is None:
            (self.unknown if layer else self.unplaced).append(name)
            return
        adapter = ADAPTER.fullmatch(name) if name.endswith(".weight") else None
        if adapter:
            self.adapters[adapter.group(2)][adapter.group(1)] = name
            if adapter.group(2) == "A" and self._wide.fullmatch(adapter.group(1)):
                self.wide.add(name)
        elif ".lora_" in name:
            self.other_adapters.append(name)
            return
        if layer is None:
            self.whole = self.whole or (name if self._whole.fullmatch(name) else "")
            self.embedding = self.embedding or (name if self._embedding.fullmatch(name) else "")
            return
        index = int(layer.group(1))
        self.present.setdefault(index, name)
        if block:
            first = self.blocks.setdefault(index, {}).setdefault(name[block.end() :], name)
            if first != name:
                self.duplicates.append(name)
        else:
            self._sort_base(name, index, adapter is not None)

    def _sort_base(self, name: str, index: int, adapter: bool) -> None:
        if converted := self._converted.match(name):
            self.converted.setdefault(index, name)
            first = self._first.setdefault((index, name[converted.end() :]), name)
            if first != name:
                self.shared.append((first, name))
        elif self._converted.pattern != _NEVER:
            self.plain.setdefault(index, name)
        if adapter:
            self.adapted.add(index)
            return
        self.based.add(index)
        if self._attention.fullmatch(name):
            self.attention.setdefault(index, name)
        else:
            self.part = self.part or name
