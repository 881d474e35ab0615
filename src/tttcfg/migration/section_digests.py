"""Digests of the sections that upgrading removed values from: a removed value is restored only in an unedited section.

Upgrading records, for every value that it removes, the section that the value came from and the digest of that section
after the upgrade. A value whose section was edited since is stale, and is not restored.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from itertools import takewhile

from tttcfg.migration.chain import Chain
from tttcfg.migration.record import Record
from tttcfg.schema.fragments import EACH, Fragment, inside, is_section
from tttcfg.schema.paths import Path, Tree, get_path, split
from tttcfg.secrets import looks_secret


def drop_matching(record: Record, values: Tree) -> None:
    """Drop the digests of unchanged sections; those of edited sections stay, and match nothing.

    Args:
        values: A document's fields in the version that the digests were made in.
    """
    for path, recorded in list(record.section_digests.items()):
        if section_digest(values, recorded["value"]) == recorded["reason"]:
            del record.section_digests[path]


def add_missing(record: Record, values: Tree, chain: Chain) -> None:
    """Record the missing digests of the sections of removed values; values of the top level need none.

    Args:
        values: A document's fields in the version that `chain` leads to.
    """
    digests: dict[str, str] = {}
    for path in record.removed:
        section = section_of(path, chain)
        if section is not None and path not in record.section_digests and not looks_secret(path):
            if section not in digests:
                digests[section] = section_digest(values, section)
            record.section_digests[path] = {"value": section, "reason": digests[section]}


def section_digest(values: Tree, section: str) -> str:
    """Return the digest of a section, independent of the order of its keys."""
    content = get_path(values, split(section) if section else ())
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@lru_cache(maxsize=1024)
def section_of(removed: str, chain: Chain) -> str | None:
    """Return the section that a value came from which the newest version of `chain` does not have.

    That is the nearest section that still exists, or the one that the other fields of its section were moved to; the
    whole document (an empty text) where they were moved to several, and None for a single value of the top level.
    """
    path = split(removed)
    sections = _sections(chain)
    for depth in range(len(path), 0, -1):
        name = ".".join(path[:depth])
        if name in sections:
            return name
        now = chain.spellings.get(name, name)
        if depth < len(path) and (held := chain.fields(chain.head).get(now)) is not None and inside(held):
            return now  # the sections of a list, say, count as one: they have no names of their own
        moved = ((old, new) for old, new in chain.spellings.items() if new and EACH not in split(old))
        homes = [split(new)[:-1] for old, new in moved if old.startswith(f"{name}.")]
        if homes:
            return _shared(homes)
    return None


def _shared(paths: list[Path]) -> str:
    """Return the section that contains all paths, an empty text where that is the whole document."""
    levels = takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False))
    return ".".join(names[0] for names in levels)


@lru_cache(maxsize=64)
def _sections(chain: Chain) -> frozenset[str]:
    return frozenset(_named(chain.schema(chain.head), ""))


def _named(schema: Fragment, prefix: str) -> list[str]:
    below = {f"{prefix}{name}": fragment for name, fragment in schema["properties"].items() if is_section(fragment)}
    return [*below, *(found for name, fragment in below.items() for found in _named(fragment, f"{name}."))]
