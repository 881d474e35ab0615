"""What is released and must not change any more: the digests of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tttcfg.errors import InputError, Problem, TttcfgError
from tttcfg.family.versions import find_version
from tttcfg.formats.text import Tree as SourceTree
from tttcfg.schema_tools.layout import Sources, shown
from tttcfg.schema_tools.meaning import source_digest


class Released(NamedTuple):
    """The versions that are released, and the digest of each of their files by its name there."""

    versions: tuple[int, ...] = ()
    files: dict[str, str] = {}  # noqa: RUF012 never changed

    @property
    def newest(self) -> int:
        return max(self.versions, default=-1)

    def text(self) -> str:
        saved = {"versions": list(self.versions), "files": dict(sorted(self.files.items()))}
        return json.dumps(saved, indent=2, ensure_ascii=False) + "\n"


def read_released(sources: Sources) -> Released:
    """Read which versions are released; none where nothing was ever frozen.

    Raises:
        InputError: The file is not what `tttcfg schema freeze` writes.
    """
    path = sources.released
    if not path.is_file():
        return Released()
    try:
        saved = json.loads(path.read_bytes())
        versions, files = tuple(saved["versions"]), dict(saved["files"])
    except (ValueError, LookupError, TypeError) as error:
        message = f"is not what tttcfg schema freeze writes: {error}; bring it back from git"
        raise InputError(Problem("schema", message, place=shown(path))) from None
    return Released(versions, files)


def unreleased(sources: Sources, released: Released, head: int) -> Iterator[Problem]:
    """Yield every released file that was changed or lost, and versions that were released out of order."""
    place = shown(sources.released)
    if list(released.versions) != list(range(len(released.versions))):
        message = f"versions are released out of order: {list(released.versions)}, not 0, 1, 2, …"
        yield Problem("released", message, place=place, advice="bring the file back from git")
    if released.newest > head:
        message = f"version {released.newest} is released, and the newest step leads to {head}"
        yield Problem("released", message, place=place, advice="bring the step back from git")
    for version in released.versions:
        for name in _names(sources, version):
            if name not in released.files:
                message = f"has no digest of {name}, which belongs to version {version}"
                yield Problem("released", message, place=place, advice="bring the file back from git")
    for name, recorded in released.files.items():
        path = _path(sources, name)
        restore = f"git checkout -- {shown(path)}" if path else "bring released.json back from git"
        if path is None or not path.is_file():
            yield Problem(
                "released", f"{name} is released and is not there", place=shown(path) if path else place, advice=restore
            )
        elif recorded not in (digest(path), _bytes_digest(path)):
            message = "was changed after its release; what is released stays as it is"
            yield Problem("released", message, place=shown(path), advice=f"{restore}; and make a new version")


def unrecorded(sources: Sources) -> str:
    """Say that versions below the newest, which only follows released ones, are not recorded as released.

    It is no fault: a history that was written by hand has no such record yet.
    """
    try:
        recorded = read_released(sources).newest
    except TttcfgError:
        return ""  # that is a fault, and told as one
    below = sources.family.head - 1
    if recorded >= below:
        return ""
    which = f"version {below} is" if recorded + 1 == below else f"versions {recorded + 1} to {below} are"
    return (
        f"note: {shown(sources.released)} does not say that {which} released, so no change of their files is noticed; "
        f"bring it back from git, or write it: {sources.command('freeze')}"
    )


def frozen_now(sources: Sources, released: Released, head: int) -> Released:
    """Return `released` with every version up to `head`, and the digests of all files that came with them."""
    files = dict(released.files)
    for version in range(released.newest + 1, head + 1):
        files |= {name: digest(path) for name, path in _names(sources, version).items()}
    for path in sources.documents():
        if _version_of(sources, path) <= head:
            files.setdefault(f"golden/{path.name}", digest(path))
    return Released(tuple(range(head + 1)), files)


def digest(path: Path) -> str:
    """Return the digest of a released file; of a step, that of what it does."""
    if path.suffix == ".py":
        return source_digest(path.read_text("utf-8"), shown(path))
    return _bytes_digest(path)


def _bytes_digest(path: Path) -> str:
    """Return the digest of a file as it is, which tttcfg 0.1 recorded of steps too."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _names(sources: Sources, version: int) -> dict[str, Path]:
    """Return the files of one version by the names that they are recorded under."""
    step, schema, document = sources.step(version), sources.schema(version), sources.document(version)
    return {f"migrations/{step.name}": step, f"schemas/{schema.name}": schema, f"golden/{document.name}": document}


def _path(sources: Sources, name: str) -> Path | None:
    folder, _, file = name.partition("/")
    home = {"migrations": sources.migrations, "schemas": sources.schemas, "golden": sources.golden}.get(folder)
    return home / file if home is not None and file else None


def _version_of(sources: Sources, path: Path) -> int:
    values: dict[str, Any] = json.loads(path.read_bytes())
    return find_version(values, sources.family, str(path), SourceTree(values, {}, str(path)))[0]
