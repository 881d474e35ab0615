"""The entry of a changelog about a new version of the schema."""

from __future__ import annotations

import re
import textwrap

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add, Declare, Remove, Rename

_UNRELEASED = re.compile(r"^## \[?unreleased\]?.*$", re.IGNORECASE | re.MULTILINE)
_SECTION = re.compile(r"^## ", re.MULTILINE)
_CHANGED = re.compile(r"^### Changed *\n+", re.MULTILINE)
WIDTH = 120


def entry(migration: Migration, family: str) -> str:
    """Return what a version changes, as one item of a list: its number, what it is about, and what going back loses."""
    text = f"{_start(migration.version, family)}{migration.summary.rstrip('.')}."
    text += f" It takes over version {migration.parent} of the parent." if migration.parent is not None else ""
    single = [one for operation in migration.operations for one in operation.singly()]
    added = [one.path for one in single if isinstance(one, Add)]
    lists = [
        ("adds", added),
        ("removes", [one.path for one in single if isinstance(one, Remove)]),
        ("renames", [f"{one.path} to {one.to}" for one in single if isinstance(one, Rename)]),
        ("changes", [one.path for one in single if not isinstance(one, (Add, Declare, Remove, Rename))]),
    ]
    parts = [f"{verb} {', '.join(_code(name) for name in names)}" for verb, names in lists if names]
    if parts:
        text += f" It {'; '.join(parts)}."
    if added:
        names = ", ".join(map(_code, added))
        text += f" Going back to {migration.version - 1} loses {names} unless it has the value that its absence meant."
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def with_entry(changelog: str, migration: Migration, family: str) -> str | None:
    """Return a changelog with the entry of a version under Unreleased, in place of an older one of that version.

    Returns:
        None where the changelog has no heading for what is unreleased.
    """
    heading = _UNRELEASED.search(changelog)
    if heading is None:
        return None
    following = _SECTION.search(changelog, heading.end())
    end = following.start() if following else len(changelog)
    section = changelog[heading.end() : end]
    item = entry(migration, family) + "\n"
    older = re.compile(rf"^{re.escape(_start(migration.version, family))}.*\n(?:  .*\n)*", re.MULTILINE)
    if older.search(section):
        section = older.sub(lambda _: item, section, count=1)
    elif changed := _CHANGED.search(section):
        section = section[: changed.end()] + item + section[changed.end() :]
    else:
        section = (
            "\n\n### Changed\n\n"
            + item
            + (section if section.startswith("\n\n") else "\n" + section).removeprefix("\n")
        )
    return changelog[: heading.end()] + section + changelog[end:]


def _start(version: int, family: str) -> str:
    return f"- Schema version {version} of {family}: "


def _code(name: str) -> str:
    return " to ".join(f"`{part}`" for part in name.split(" to "))
