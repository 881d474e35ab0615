"""Which values in a document or configuration file are secret: those of settings declared so, and by their keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from tttcfg.errors import InputError, some
from tttcfg.family.extension import EXTENSIONS, extensions_of
from tttcfg.family.family import Family
from tttcfg.formats.endings import form_of, parse_value
from tttcfg.formats.json import read_leniently
from tttcfg.formats.text import decode, dotted
from tttcfg.migration.operations import Withhold
from tttcfg.migration.record import is_secret_in_provenance
from tttcfg.schema.fragments import RESERVED, alternatives, is_section
from tttcfg.schema.paths import Path
from tttcfg.secrets import WITHHELD, assigns_secret, looks_secret, removing, shown_key

PROVENANCE = "provenance"


def secrets_in(values: Any, family: Family | None) -> list[Path]:
    """Return the path of every secret in a document's plain values."""
    found = scalars(values, ())
    return [path for path, value, before in found if instead_of(path, value, family, before) is not value]


def secrets_of_file(data: bytes, name: str, family: Family) -> list[str] | None:
    """Return the dotted keys of the secrets in a file; None where it cannot be read, so that it may hold any."""
    try:
        text = decode(data, name)
        match form_of(name, text):
            case ".json":
                values = read_leniently(text)
            case ".toml":
                from tttcfg.formats.toml import read_toml  # and YAML, which few backups are in

                values = read_toml(text, name).values
            case _:
                values, _ = parse_value(text, name)
    except (ValueError, RecursionError):
        return None
    return [shown_key(dotted(path)) for path in secrets_in(values, family)]


def keeping(keys: Sequence[str] | None, files: Sequence[str], what: str = "its backup keeps", family: str = "") -> str:
    """Return, as the end of a sentence, that `files` keep secrets and what removes them; empty where there are none."""
    if not keys:
        return ""
    return f"{what} secrets: {some(keys)}; to remove them, {removing(*files, family=family)}"


def instead_of(path: Path, value: Any, family: Family | None, before: object = None) -> Any:
    """Return what may be saved in the place of a value that is no mapping or list; that itself where it is no secret.

    A declared secret becomes null. Any other key is judged by its name alone, and only text is withheld there: numbers
    are sizes (`key_dim`) more often than secrets. Text at a key that no version declares is withheld where it gives
    a secret to such a key, as a command line does. Of provenance, all is withheld that is where a document is saved.

    Args:
        family: Whose document it is; None where that is not known.
        before: What is before it, where it is an item of a list.
    """
    if value is None or value in ("", WITHHELD):
        return value
    path, family = _in_its_part(path, family)
    if path[:1] == (PROVENANCE,):
        return WITHHELD if is_secret_in_provenance(path[1:]) else value
    if path[:1] and path[0] in RESERVED:
        return value
    declared = _declared(family) if family is not None else {}
    for depth in range(len(path), 0, -1):  # a setting may have been a key of a free form once
        kind_of_field = declared.get(".".join(path[:depth]))
        if kind_of_field == "secret":
            return None if depth == len(path) else WITHHELD
        if kind_of_field == "public" and all(part.isdigit() for part in path[depth:]):
            return value
        if kind_of_field is not None:  # of a free form, or with more below it than it may have
            path = path[depth:]
            break
    is_secret = isinstance(value, str) and (any(map(looks_secret, path)) or assigns_secret(value, before))
    return WITHHELD if is_secret else value


def _in_its_part(path: Path, family: Family | None) -> tuple[Path, Family | None]:
    """Return a path as the section of an extension has it, with the extension where that is installed."""
    if path[:1] != (EXTENSIONS,) or len(path) < 2:
        return path, family
    try:
        installed = extensions_of(family) if family is not None else {}
    except InputError:  # one is broken, which is no reason to leave secrets in files
        installed = {}
    return path[2:], installed.get(path[1])


@lru_cache(maxsize=16)
def _declared(family: Family) -> dict[str, str]:
    """Return what every setting of any version is, by its dotted path: `secret`, of a `free` form, or `public`."""
    found: dict[str, str] = {}
    for version in range(family.head + 1):
        for name, fragment in family.chain.fields(version).items():
            is_free = any(one.get("type") == "object" and not is_section(one) for one in alternatives(fragment))
            found[name] = "free" if is_free else "public"
    operations = (one for step in family.chain.migrations for one in step.operations)
    secret = [
        *(one.path for one in operations if isinstance(one, Withhold)),
        *(one.name for one in family.secret_fields),
    ]
    return {
        **found,
        **{name: "public" for name in (*family.fields, *family.chain.spellings) if name not in found},
        **dict.fromkeys(secret, "secret"),
    }


def scalars(value: Any, path: Path, before: object = None) -> Iterator[tuple[Path, Any, object]]:
    """Yield every value below one that is no mapping or list, with its path and what is before it in a list."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from scalars(item, (*path, str(key)))
    elif isinstance(value, list):
        for index, (item, earlier) in enumerate(zip(value, (None, *value), strict=False)):
            yield from scalars(item, (*path, str(index)), earlier)
    else:
        yield path, value, before
