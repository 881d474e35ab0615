"""A folder of which all files are open: whatever becomes of their names, what is read is what was opened.

Folders that are written beside their place and renamed, as checkpoints are, are read whole or not at all by this:
a file of another save under the same name is never taken for one of this.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import Any

MOST_FILES = 256
"""How many files are opened; of a folder with more, the others are opened when they are read."""
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class OpenFile(str):
    """The path of a file in an `OpenFolder`; after that is closed, a path like any other.

    Attributes:
        folder: The folder.
        descriptor: The open file; None where it could not be opened, or there are too many.
    """

    __slots__ = ("descriptor", "folder")
    folder: OpenFolder
    descriptor: int | None

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)

    def open(self) -> int:
        """Return a descriptor of the file, at its beginning.

        Raises:
            OSError: It is not there, or cannot be opened.
        """
        if self.descriptor is not None:
            descriptor = os.dup(self.descriptor)
            os.lseek(descriptor, 0, os.SEEK_SET)
            return descriptor
        if self.folder.descriptor is not None:
            return os.open(os.path.basename(self), _READ, dir_fd=self.folder.descriptor)
        return os.open(self, _READ)


class OpenFolder(str):
    """The path of a folder of which the files are open.

    Attributes:
        files: The files that are there, by name; of another one there is no `OpenFile`.
        descriptor: The folder itself; None once it is closed.
    """

    __slots__ = ("descriptor", "files")
    files: dict[str, OpenFile]
    descriptor: int | None

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)

    def file(self, name: str) -> OpenFile:
        """Return the path of a file in the folder, whether it is there or not."""
        found = OpenFile(os.path.join(self, name))
        found.folder, found.descriptor = self, None
        return self.files.get(name, found)

    def known_as(self, name: str, path: str) -> OpenFile:
        """Return a file of the folder as one at the path by which it was given."""
        found = OpenFile(path)
        found.folder, found.descriptor = self, self.files[name].descriptor
        self.files[name] = found
        return found


@contextlib.contextmanager
def open_folder(path: str) -> Iterator[OpenFolder | None]:
    """Open a folder and all files in it; yield None where the folder, or one of them, was replaced meanwhile.

    As long as a folder has its name, no file of it is removed by those who replace it whole.
    """
    with contextlib.ExitStack() as stack:
        folder = OpenFolder(path)
        folder.files, folder.descriptor = {}, os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(_close, folder)
        for name in sorted(os.listdir(folder.descriptor)):
            folder.files[name] = file = folder.file(name)
            if len(folder.files) <= MOST_FILES:
                with contextlib.suppress(OSError):  # reading it reports it
                    file.descriptor = os.open(name, _READ, dir_fd=folder.descriptor)
            if file.descriptor is not None and not stat.S_ISREG(os.fstat(file.descriptor).st_mode):
                os.close(file.descriptor)
                file.descriptor = None
        yield folder if _is_in_place(folder) else None


def _is_in_place(folder: OpenFolder) -> bool:
    """Whether at one instant, now, a folder and all files that were opened in it have their names."""
    try:
        has_name = folder.descriptor is None or os.path.samestat(os.stat(folder), os.fstat(folder.descriptor))
    except FileNotFoundError:
        return False
    return has_name and all(map(is_in_place, folder.files.values()))


def _close(folder: OpenFolder) -> None:
    opened: list[OpenFile | OpenFolder] = [*folder.files.values(), folder]
    for one in opened:
        if one.descriptor is not None:
            os.close(one.descriptor)
            one.descriptor = None  # or it would be another file's, later


def is_open(path: str) -> bool:
    """Whether a path is of a folder that is open, or of a file in one."""
    folder = path.folder if isinstance(path, OpenFile) else path
    return isinstance(folder, OpenFolder) and folder.descriptor is not None


def is_in_place(path: str) -> bool:
    """Whether the file that is open is still what is at its path; of any other path, that it is."""
    if not isinstance(path, OpenFile) or path.descriptor is None:
        return True
    try:
        return os.path.samestat(os.stat(path), os.fstat(path.descriptor))
    except FileNotFoundError:
        return False


def beside(path: str, name: str) -> str:
    """Return the path of the file `name` in the folder of the file at `path`, open where that is."""
    return (
        path.folder.file(name)
        if isinstance(path, OpenFile) and is_open(path)
        else os.path.join(os.path.dirname(path), name)
    )


def inside(folder: str | os.PathLike[str], name: str) -> str:
    """Return the path of the file `name` in a folder, open where that is."""
    return folder.file(name) if isinstance(folder, OpenFolder) and is_open(folder) else os.path.join(folder, name)


def is_there(path: str) -> bool:
    """Whether there is a file of this name, or a link; in a folder that is open, whether there was one then."""
    if isinstance(path, OpenFile) and is_open(path):
        return os.path.basename(path) in path.folder.files
    return os.path.lexists(path)
