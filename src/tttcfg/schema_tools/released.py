"""The released versions, whose files must not change any more, and marking further ones as released."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tttcfg.errors import InputError, Problem, TttcfgError
from tttcfg.schema_tools.codegen import source_digest
from tttcfg.schema_tools.layout import RESTORE, History, package_folder, problem_in, shown
from tttcfg.schema_tools.write import write_together

INHERITED = "inherited/"
"""What the recorded names of steps of a parent begin with; the package that has them follows."""


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


def read_released(history: History) -> Released:
    """Read which versions are released; none where nothing was ever frozen.

    Raises:
        InputError: The file is not what `tttcfg schema freeze` writes.
    """
    path = history.released
    if not path.is_file():
        return Released()
    try:
        saved = json.loads(path.read_bytes())
        versions, files = tuple(saved["versions"]), dict(saved["files"])
    except (ValueError, LookupError, TypeError) as error:
        message = f"is not what tttcfg schema freeze writes: {error}; {RESTORE}"
        raise InputError(Problem("schema", message, place=shown(path))) from None
    return Released(versions, files)


def unreleased(history: History, released: Released, head: int) -> Iterator[Problem]:
    """Yield every released file that was changed or lost, and versions that were released out of order."""
    record = history.released
    if list(released.versions) != list(range(len(released.versions))):
        message = f"versions are released out of order: {list(released.versions)}, not 0, 1, 2, …"
        yield problem_in(record, "released", message, RESTORE)
    if released.newest > head:
        message = f"version {released.newest} is released, but the newest step leads to {head}"
        yield problem_in(record, "released", message, "bring the step back from git")
    for version in released.versions:
        for name in sorted(_names(history, version).keys() - released.files.keys()):
            message = f"has no digest of {name}, which belongs to version {version}"
            yield problem_in(record, "released", message, RESTORE)
    for name, recorded in released.files.items():
        path = _path(history, name)
        restore = f"git checkout -- {shown(path or record)}"
        if path is None or not path.is_file():
            yield problem_in(path or record, "released", f"{name} is released, but is not there", restore)
        elif name.startswith(INHERITED) and recorded != file_digest(path):
            message = f"was changed after versions of {history.family.name} that take it over were released"
            advice = f"{restore}; or install the package that it was released with"
            yield problem_in(path, "released", message, advice)
        elif recorded not in (file_digest(path), _bytes_digest(path)):
            message = "was changed after its release; released files stay as they are"
            yield problem_in(path, "released", message, f"{restore}; and make a new version")


def unrecorded(history: History) -> str:
    """Return a note if versions below the newest, which only follows released ones, are not recorded as released.

    It is not a problem: a history that was written by hand has no such record yet.
    """
    if not history.migrations.is_dir():
        return ""  # without any version
    try:
        recorded = read_released(history).newest
    except TttcfgError:
        return ""  # which is a problem of its own
    below = history.family.head - 1
    if recorded >= below:
        return ""
    which = f"version {below}" if recorded + 1 == below else f"versions {recorded + 1} to {below}"
    return (
        f"note: {shown(history.released)} does not list {which} as released, so changes of their files are not "
        f"noticed; {RESTORE}, or write it: {history.command('freeze')}"
    )


def release(history: History) -> int:
    """Record every version as released that `check` has found nothing wrong with; return the newest that was before.

    Raises:
        WriteError: The record could not be written.
    """
    released, head = read_released(history), history.family.head
    if released.newest < head:
        files = dict(released.files)
        for version in range(released.newest + 1, head + 1):
            files |= {name: file_digest(path) for name, path in _names(history, version).items()}
        for path in history.documents():
            files.setdefault(f"golden/{path.name}", file_digest(path))
        write_together({history.released: Released(tuple(range(head + 1)), files).text().encode()})
    return released.newest


def file_digest(path: Path) -> str:
    """Return the digest of a released file; of a step, that of what it does."""
    if path.suffix == ".py":
        return source_digest(path.read_text("utf-8"), shown(path))
    return _bytes_digest(path)


def _bytes_digest(path: Path) -> str:
    """Return the digest of a file as it is, which tttcfg 0.1 recorded of steps too."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _names(history: History, version: int) -> dict[str, Path]:
    """Return the files of one version by the names that they are recorded under."""
    step, schema, document = history.step(version), history.schema(version), history.document(version)
    own = {f"migrations/{step.name}": step, f"schemas/{schema.name}": schema, f"golden/{document.name}": document}
    return own | dict(_inherited(history, version))


def _inherited(history: History, version: int) -> Iterator[tuple[str, Path]]:
    """Yield the steps above that a version takes over, the parent's, and that of its parent, and so on."""
    family = history.family
    while family.parent is not None:
        try:
            taken = family.chain.migrations[version].parent
        except (Exception, SystemExit):  # a module of the history cannot be imported, which is reported of its file
            return
        if taken is None:
            return
        family, version = family.parent, taken
        module = next((name for name, one in family.steps.items() if one == version), "")
        yield f"{INHERITED}{family.migrations}/{module}.py", package_folder(family.migrations) / f"{module}.py"


def _path(history: History, name: str) -> Path | None:
    folder, _, file = name.partition("/")
    if name.startswith(INHERITED):
        package, _, file = file.partition("/")
        known = package in {one.migrations for one in history.family.ancestors}
        return package_folder(package) / file if known and file else None
    home = {"migrations": history.migrations, "schemas": history.schemas, "golden": history.golden}.get(folder)
    return home / file if home is not None and file else None
