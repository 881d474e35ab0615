"""What a migration did to a document, and the small moves on plain trees that operations are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from tttcfg.schema.paths import MISSING, Tree, copied, get_path, set_path, split
from tttcfg.schema.secrets import WITHHELD, without_withheld

LEGACY = "legacy"
"""The value of a setting that the program of that time did not record, so that nobody can know it."""


@dataclass
class Record:
    """What upgrading a document did to it; it travels in the saved document.

    Each entry has a `reason` and a `value`: what was filled in, the new name of what was renamed, the
    old value of what was removed or converted, the doubted value. Keys are current dotted paths, but
    old ones for what was renamed or removed. `section_digests` has the part that each removed value came from, with
    the digest of what that part held afterwards in place of a reason.
    """

    filled: dict[str, Tree] = field(default_factory=dict)
    renamed: dict[str, Tree] = field(default_factory=dict)
    removed: dict[str, Tree] = field(default_factory=dict)
    converted: dict[str, Tree] = field(default_factory=dict)
    doubted: dict[str, Tree] = field(default_factory=dict)
    section_digests: dict[str, Tree] = field(default_factory=dict)

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


def drop_null_sections(tree: Tree, index: Tree) -> None:
    """Leave out sections that are null: the trainer read them as absent. `index` has a mapping for each section."""
    for key, entry in index.items():
        if isinstance(entry, dict) and key in tree:
            if tree[key] is None:
                del tree[key]
            elif isinstance(tree[key], dict):
                drop_null_sections(tree[key], entry)


def restored(tree: Tree, path: str, record: Record) -> Iterator[tuple[str, Any]]:
    """Put a removed value back under what stands there by now; what was withheld of it is lost."""
    kept = record.removed.pop(path, {}).get("value", MISSING)
    if kept is MISSING:
        return
    given = without_withheld(copied(kept))
    if given != WITHHELD:
        now = get_path(tree, split(path), MISSING)
        set_path(tree, split(path), {**given, **now} if isinstance(now, dict) and isinstance(given, dict) else given)
    if given != kept or given == WITHHELD:
        yield path, WITHHELD
