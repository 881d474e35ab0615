"""Digests of the sections that upgrading removed values from: a removed value comes back only to an unedited section.

Upgrading records, for every value that it removes, the section that the value came from and the digest of what that
section held afterwards. A value whose section was edited since is stale, and is not restored.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from itertools import takewhile

from tttcfg.migration.chain import Chain
from tttcfg.migration.record import Record
from tttcfg.schema.fragments import Shape, is_section
from tttcfg.schema.paths import Path, Tree, get_path, split
from tttcfg.schema.secrets import looks_secret


def drop_matching(record: Record, values: Tree) -> None:
    """Drop the digests of sections that hold what they held; those of edited sections stay, and match nothing.

    Args:
        values: A document's fields in the version that the digests were made in.
    """
    for path, recorded in list(record.section_digests.items()):
        if digest(values, recorded["value"]) == recorded["reason"]:
            del record.section_digests[path]


def add_missing(record: Record, values: Tree, chain: Chain) -> None:
    """Record the digest of the section of every removed value that has none; values of the top level need none.

    Args:
        values: A document's fields in the version that `chain` leads to.
    """
    digests: dict[str, str] = {}
    for path in record.removed:
        part = part_of(path, chain)
        if part is not None and path not in record.section_digests and not looks_secret(path):
            if part not in digests:
                digests[part] = digest(values, part)
            record.section_digests[path] = {"value": part, "reason": digests[part]}


def digest(values: Tree, part: str) -> str:
    """Return the digest of what a part holds, whatever the order of its keys."""
    held = get_path(values, split(part) if part else ())
    text = json.dumps(held, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@lru_cache(maxsize=1024)
def part_of(removed: str, chain: Chain) -> str | None:
    """Return the section that a value came from which the newest version of `chain` does not have.

    That is the nearest section that is still there, or where the other fields of its own section went; the whole
    document (an empty text) where they went several ways, and None for a value that stood alone at the top level.
    """
    path = split(removed)
    sections = _sections(chain)
    for depth in range(len(path), 0, -1):
        name = ".".join(path[:depth])
        if name in sections:
            return name
        homes = [split(new)[:-1] for old, new in chain.spellings.items() if new and old.startswith(f"{name}.")]
        if homes:
            return _shared(homes)
    return None


def _shared(paths: list[Path]) -> str:
    """Return the section that all paths lie in, an empty text where that is the whole document."""
    levels = takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False))
    return ".".join(names[0] for names in levels)


@lru_cache(maxsize=64)
def _sections(chain: Chain) -> frozenset[str]:
    return frozenset(_named(chain.schema(chain.head), ""))


def _named(schema: Shape, prefix: str) -> list[str]:
    below = {f"{prefix}{name}": shape for name, shape in schema["properties"].items() if is_section(shape)}
    return [*below, *(found for name, shape in below.items() for found in _named(shape, f"{name}."))]
