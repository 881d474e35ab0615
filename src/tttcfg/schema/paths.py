"""Trees of plain values, and the paths into them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Path = tuple[str, ...]
Tree = dict[str, Any]
MISSING: Any = object()


def split(path: str) -> Path:
    return tuple(path.split("."))


def sections_of(names: Iterable[str]) -> set[str]:
    """Return the dotted names of all sections that fields are in, by the fields' dotted names."""
    found: set[str] = set()
    for name in names:
        section = name.rpartition(".")[0]
        while section and section not in found:
            found.add(section)
            section = section.rpartition(".")[0]
    return found


def pop_path(tree: Any, path: Path) -> Any:
    """Remove and return the value at `path`, or `MISSING`; mappings that become empty stay."""
    for part in path[:-1]:
        if not isinstance(tree, dict):
            return MISSING
        tree = tree.get(part)
    return tree.pop(path[-1], MISSING) if isinstance(tree, dict) else MISSING


def prune(tree: Tree, path: Path) -> None:
    """Remove the mappings on the way to `path` that have become empty."""
    for depth in range(len(path) - 1, 0, -1):
        if get_path(tree, path[:depth]) != {}:
            return
        pop_path(tree, path[:depth])


def copied(tree: Any) -> Any:
    """Return a copy of nested mappings and lists; their values are immutable and shared."""
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    return [copied(item) for item in tree] if isinstance(tree, list) else tree


def value_paths(tree: Tree, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every value in `tree` that is not a non-empty mapping."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from value_paths(value, (*path, key))
        else:
            yield (*path, key)


def same(a: Any, b: Any) -> bool:
    """Whether two plain values are equal and of one type; True is not 1."""
    return type(a) is type(b) and bool(a == b)


def is_hollow(value: Any) -> bool:
    """Whether `value` is a mapping of only such mappings, or empty: what remains of a section that moved."""
    return isinstance(value, dict) and all(map(is_hollow, value.values()))


def get_path(tree: Any, path: Path, default: Any = None) -> Any:
    """Return the value at `path` in nested mappings, or `default`."""
    for part in path:
        if not isinstance(tree, dict):
            return default
        tree = tree.get(part, default)
    return tree


def value_at(value: Any, path: Path) -> Any:
    """Return the value at `path` in nested mappings and lists, of which a part is the index; `MISSING` without one."""
    for part in path:
        if isinstance(value, dict):
            value = value.get(part, MISSING)
        else:
            is_item = isinstance(value, (list, tuple)) and part.isdigit() and int(part) < len(value)
            value = value[int(part)] if is_item else MISSING
    return value


def set_path(tree: Any, path: Path, value: Any, *, over: bool = True) -> bool:
    """Set `value` at `path`, making the mappings on the way, and return whether it was set.

    Null on the way becomes a mapping, any other value prevents setting; so does one at `path` unless `over`.
    """
    for part in path[:-1]:
        if not isinstance(tree, dict):
            return False
        below = tree.get(part)
        if below is None:
            below = tree[part] = {}
        tree = below
    if not isinstance(tree, dict) or (not over and path[-1] in tree):
        return False
    tree[path[-1]] = value
    return True
