"""The record of what a migration did to a document, and edits of plain trees that operations share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from tttcfg.schema.paths import MISSING, Path, Tree, copied, get_path, set_path, split
from tttcfg.secrets import WITHHELD, looks_secret, without_withheld

LEGACY = "legacy"
"""The value of a setting that the program of that time did not record, so that it is unknown."""

OF_VALUES = ("filled", "converted", "doubted", "recovered")
"""What is recorded of values that are in the document, and goes where a value is decided anew."""
_NAMES = ("renamed", "section_digests")
"""What has the name of a field or section as its value, and not a value that a document had."""
_BY_REASON = ("filled", "renamed", "removed", "converted", "doubted", "recovered", "section_digests", "adopted")
"""Kinds of provenance that have keys of a document below a reason."""


@dataclass
class Record:
    """What upgrading a document did to it; saved in the document.

    Each entry has a `reason` and a `value`: what was filled in, the new name of what was renamed, the
    old value of what was removed or converted, the doubted value, what was recovered with its figures. Keys are
    current dotted paths, but old ones for what was renamed or removed. `section_digests` has the section that each
    removed value came from, with the digest of that section after the upgrade in place of a reason.
    """

    filled: dict[str, Tree] = field(default_factory=dict)
    renamed: dict[str, Tree] = field(default_factory=dict)
    removed: dict[str, Tree] = field(default_factory=dict)
    converted: dict[str, Tree] = field(default_factory=dict)
    doubted: dict[str, Tree] = field(default_factory=dict)
    recovered: dict[str, Tree] = field(default_factory=dict)
    section_digests: dict[str, Tree] = field(default_factory=dict)

    @classmethod
    def from_saved(cls, provenance: Any) -> Record:
        """Return the record in a document's provenance, without secrets; entries of another form are ignored."""
        record, provenance = cls(), provenance_without_secrets(provenance)
        for kind in fields(record):
            groups = provenance.get(kind.name)
            for reason, group in groups.items() if isinstance(groups, dict) else ():
                for path, value in group.items() if isinstance(group, dict) else ():
                    if kind.name in _NAMES and not isinstance(value, str):
                        continue
                    getattr(record, kind.name)[path] = {"value": value, "reason": reason}
        return record

    def saved(self) -> Tree:
        """Return the record as it is saved in provenance: by kind, then by reason, without empty ones."""
        found: Tree = {}
        for kind in fields(self):
            for path, entry in getattr(self, kind.name).items():
                found.setdefault(kind.name, {}).setdefault(entry["reason"], {})[path] = entry["value"]
        return found

    def copy(self) -> Record:
        """Return an independent copy."""
        return Record(**{kind.name: dict(getattr(self, kind.name)) for kind in fields(self)})

    def move(self, old: str, new: str) -> bool:
        """Move the entries of `old` to `new`; return whether the value was filled in, not given."""
        for entries in (self.converted, self.doubted, self.recovered):
            if old in entries:
                entries[new] = entries.pop(old)
        if old not in self.filled:
            return False
        self.filled[new] = self.filled.pop(old)
        return True

    def below(self, name: str) -> Record:
        """Return the entries of what is inside `name`, with their names there."""
        prefix, found = f"{name}.", Record()
        for kind in fields(self):
            entries = getattr(self, kind.name)
            own = {path.removeprefix(prefix): one for path, one in entries.items() if path.startswith(prefix)}
            if kind.name in _NAMES:
                own = {path: {**one, "value": str(one["value"]).removeprefix(prefix)} for path, one in own.items()}
            setattr(found, kind.name, own)
        return found

    def put_below(self, name: str, own: Record) -> None:
        """Replace the entries of what is inside `name`."""
        prefix = f"{name}."
        for kind in fields(self):
            entries = {f"{prefix}{path}": one for path, one in getattr(own, kind.name).items()}
            if kind.name == "renamed":
                entries = {path: {**one, "value": f"{prefix}{one['value']}"} for path, one in entries.items()}
            kept = {path: one for path, one in getattr(self, kind.name).items() if not path.startswith(prefix)}
            setattr(self, kind.name, {**kept, **entries})

    def has_renamed(self, path: str) -> bool:
        """Return whether `path`, or a field below it, got its value from an old name."""
        return any(f"{entry['value']}.".startswith(f"{path}.") for entry in self.renamed.values())


def provenance_without_secrets(provenance: Mapping[str, Any]) -> Tree:
    """Return a document's provenance with secrets withheld, which an editor may have put there."""
    return {key: _without_secrets(value, (key,)) for key, value in provenance.items()}


def _without_secrets(value: Any, path: Path) -> Any:
    if value is not None and _ends_in_secret_key(path):
        return WITHHELD
    if isinstance(value, list):
        return [_without_secrets(item, (*path, str(index))) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: _without_secrets(item, (*path, key)) for key, item in value.items()}
    return value


def is_secret_in_provenance(path: Path) -> bool:
    """Whether what is at a path below a document's provenance is withheld there, or part of what is."""
    return any(_ends_in_secret_key(path[:depth]) for depth in range(1, len(path) + 1))


def _ends_in_secret_key(path: Path) -> bool:
    """Whether the last key of a path looks like a secret's; the reason of records is no key, as it is a sentence."""
    is_reason = len(path) == 2 and path[0] in _BY_REASON and " " in path[1]
    return not is_reason and looks_secret(path[-1])


def drop_null_sections(tree: Tree, index: Tree) -> None:
    """Leave out sections that are null: the trainer read them as absent. `index` has a mapping for each section."""
    for key, entry in index.items():
        if isinstance(entry, dict) and key in tree:
            if tree[key] is None:
                del tree[key]
            elif isinstance(tree[key], dict):
                drop_null_sections(tree[key], entry)


def restored(tree: Tree, path: str, record: Record) -> Iterator[tuple[str, Any]]:
    """Restore a removed value below the values that are at its path now; withheld parts of it are yielded as losses."""
    kept = record.removed.pop(path, {}).get("value", MISSING)
    if kept is MISSING:
        return
    given = without_withheld(copied(kept))
    if given != WITHHELD:
        now = get_path(tree, split(path), MISSING)
        set_path(tree, split(path), {**given, **now} if isinstance(now, dict) and isinstance(given, dict) else given)
    if given != kept or given == WITHHELD:
        yield path, WITHHELD
