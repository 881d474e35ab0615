"""What refusing hostile files takes, beside reading a small good one: neither nesting nor number may make it dear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cold import COMMAND
from measure import Figure, cost, ratio

TARGET = 10.0
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
FILES = {
    "aliases of aliases": ("yaml", BOMB),
    "60,000 [": ("yaml", "[" * 60_000),
    "60,000 [ in JSON": ("json", "[" * 60_000),
    "30,000 dots in a TOML key": ("toml", "a" + ".a" * 30_000 + " = 1"),
    "4,000 unknown keys": ("yaml", "".join(f"bad_{number}: 1\n" for number in range(4000))),
    "6,000 bad values below long keys": ("yaml", f"{{{'k' * 500}: " * 60 + f"[{'.nan,' * 6000}1]" + "}" * 60),
}


def figures(work: Path, checkpoints: int) -> Iterator[Figure]:
    del checkpoints
    folder = work / "hostile"
    folder.mkdir()
    good = folder / "good.yaml"
    good.write_text("batch_size: 2\n", "utf-8")
    (usual,), unit = cost([[COMMAND, "resolve", "--config", str(good)]])
    for number, (name, (ending, text)) in enumerate(FILES.items()):
        path = folder / f"{number}.{ending}"
        path.write_text(text, "utf-8")
        (found,), _ = cost([[COMMAND, "resolve", "--config", str(path)]], code=2)
        yield ratio(f"refusing {name} / resolving a small file", found, usual, TARGET, unit=unit)
