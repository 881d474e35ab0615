"""What a migration did to a document, and the small moves on plain trees that operations are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

from tttcfg.fields import Path, dig, plant
from tttcfg.shapes import Shape, section

Tree = dict[str, Any]
MISSING: Any = object()
WITHHELD = "(withheld)"
LEGACY = "legacy"
"""The value of a setting that the program of that time did not record, so that nobody can know it."""

_SECRET_WORDS = re.compile(
    r"(^|_)(key|keys|token|secret|pwd|auth|bearer|credentials?)(_|$)"
    r"|token$|secret|passw|passphrase|credential|(api|access|private|wandb|auth|hf|ssh|aws)key"
)


@dataclass
class Record:
    """What upgrading a document did to it; it travels in the saved document.

    Each entry has a `reason` and a `value`: what was filled in, the new name of what was renamed, the
    old value of what was removed or converted, the doubted value. Keys are current dotted paths, but
    old ones for what was renamed or removed. `seals` has the part that each removed value came from, with
    the digest of what that part held afterwards in place of a reason.
    """

    filled: dict[str, Tree] = field(default_factory=dict)
    renamed: dict[str, Tree] = field(default_factory=dict)
    removed: dict[str, Tree] = field(default_factory=dict)
    converted: dict[str, Tree] = field(default_factory=dict)
    doubted: dict[str, Tree] = field(default_factory=dict)
    seals: dict[str, Tree] = field(default_factory=dict)

    @classmethod
    def from_saved(cls, provenance: Any) -> Record:
        """Return the record that a document's provenance holds; entries of another form are passed over."""
        record = cls()
        for kind in fields(record):
            groups = provenance.get(kind.name)
            for reason, group in groups.items() if isinstance(groups, dict) else ():
                for path, value in group.items() if isinstance(group, dict) else ():
                    getattr(record, kind.name)[path] = {"value": value, "reason": reason}
        return record

    def saved(self) -> Tree:
        """Return the record as provenance holds it: by kind, then by reason; what is empty is left out."""
        found: Tree = {}
        for kind in fields(self):
            for path, entry in getattr(self, kind.name).items():
                found.setdefault(kind.name, {}).setdefault(entry["reason"], {})[path] = entry["value"]
        return found

    def copy(self) -> Record:
        """Return a record that can be changed by itself."""
        return Record(**{kind.name: dict(getattr(self, kind.name)) for kind in fields(self)})

    def move(self, old: str, new: str) -> bool:
        """Carry what is recorded of `old` over to `new`; return whether the value was filled, not given."""
        for entries in (self.converted, self.doubted):
            if old in entries:
                entries[new] = entries.pop(old)
        if old not in self.filled:
            return False
        self.filled[new] = self.filled.pop(old)
        return True

    def brought(self, path: str) -> bool:
        """Whether an old spelling brought a value to `path` or below it."""
        return any(f"{entry['value']}.".startswith(f"{path}.") for entry in self.renamed.values())


def split(path: str) -> Path:
    return tuple(path.split("."))


def take(tree: Any, path: Path) -> Any:
    """Remove and return what stands at `path`, or `MISSING`; mappings emptied on the way stay."""
    for part in path[:-1]:
        if not isinstance(tree, dict):
            return MISSING
        tree = tree.get(part)
    return tree.pop(path[-1], MISSING) if isinstance(tree, dict) else MISSING


def prune(tree: Tree, path: Path) -> None:
    """Remove the mappings on the way to `path` that hold nothing any more."""
    for depth in range(len(path) - 1, 0, -1):
        if dig(tree, path[:depth]) != {}:
            return
        take(tree, path[:depth])


def shape_parent(schema: Shape, path: Path) -> Tree:
    """Return the `properties` that `path` ends in, making the sections on the way."""
    for part in path[:-1]:
        schema = schema["properties"].setdefault(part, section())
    properties: Tree = schema["properties"]
    return properties


def take_shape(schema: Shape, path: Path) -> Any:
    """Remove and return the shape at `path`, with the sections that it leaves empty."""
    properties = shape_parent(schema, path)
    shape = properties.pop(path[-1], MISSING)
    if not properties and len(path) > 1:
        take_shape(schema, path[:-1])
    return shape


def copied(tree: Any) -> Any:
    """Return a copy of nested mappings and lists; what is inside is plain and needs none."""
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    return [copied(item) for item in tree] if isinstance(tree, list) else tree


def leaf_paths(tree: Tree, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every value in `tree` that is not a mapping with something in it."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaf_paths(value, (*path, key))
        else:
            yield (*path, key)


def drop_null_sections(tree: Tree, index: Tree) -> None:
    """Leave out sections that are null: the trainer read them as absent. `index` has a mapping for each section."""
    for key, entry in index.items():
        if isinstance(entry, dict) and key in tree:
            if tree[key] is None:
                del tree[key]
            elif isinstance(tree[key], dict):
                drop_null_sections(tree[key], entry)


def same(a: Any, b: Any) -> bool:
    """Whether two plain values are equal and of one type; True is not 1."""
    return type(a) is type(b) and bool(a == b)


def is_hollow(value: Any) -> bool:
    """Whether `value` is a mapping with nothing in it but such mappings: what is left of a section that moved."""
    return isinstance(value, dict) and all(map(is_hollow, value.values()))


def without_withheld(value: Any) -> Any:
    """Return `value` without the places that `redacted` left for secrets."""
    if isinstance(value, list):
        return [without_withheld(item) for item in value]
    if isinstance(value, dict):
        return {key: without_withheld(item) for key, item in value.items() if item != WITHHELD}
    return value


def redacted(value: Any) -> Any:
    """Return `value` with what looks like a secret withheld, at any depth."""
    if isinstance(value, list):
        return [redacted(item) for item in value]
    if isinstance(value, dict):
        return {
            key: WITHHELD if item is not None and looks_secret(key) else redacted(item) for key, item in value.items()
        }
    return value


@lru_cache(maxsize=4096)
def looks_secret(name: str) -> bool:
    """Whether a free-form key sounds like access: `wandb.key`, `apiKey`, `HF_TOKEN`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("-", "_").replace(".", "_")
    return _SECRET_WORDS.search(words) is not None


def shape_at(schema: Shape, path: Path) -> Shape | None:
    """Return the shape at `path`, or None."""
    node: Shape | None = schema
    for part in path:
        node = (node or {}).get("properties", {}).get(part)
    return node


def restored(tree: Tree, path: str, record: Record) -> Iterator[tuple[str, Any]]:
    """Put a removed value back under what stands there by now; what was withheld of it is lost."""
    kept = record.removed.pop(path, {}).get("value", MISSING)
    if kept is MISSING:
        return
    given = without_withheld(copied(kept))
    if given != WITHHELD:
        now = dig(tree, split(path), MISSING)
        plant(tree, split(path), {**given, **now} if isinstance(now, dict) and isinstance(given, dict) else given)
    if given != kept or given == WITHHELD:
        yield path, WITHHELD
