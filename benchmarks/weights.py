"""Headers of weights files: reading and checking one, against the format's own library opening and listing it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from measure import Figure, interleaved, ratio, used
from safetensors import safe_open

from tttcfg.safetensors.header import read_header

TENSORS = 1_500
SIZES = {"1 MB": 1_000_000, "1 GB": 1_000_000_000, "sparse 15 GB": 15_000_000_000}
WRITTEN = "1 GB"
MOST = 1.3
MOST_GROWTH = 1.05
_BLOCK = 1 << 24
_READ = "import sys; from tttcfg.safetensors.header import read_header; assert len(read_header(sys.argv[1])) == 1500"


def figures(work: Path, checkpoints: int) -> Iterator[Figure]:
    del checkpoints
    files = {title: _write(work / f"{size}.safetensors", size, title == WRITTEN) for title, size in SIZES.items()}
    for title, path in files.items():
        yield _against_the_library(title, path)
    commands = [[sys.executable, "-c", _READ, str(path)] for path in files.values()]
    small, *others = (min(used(command).peak_kib for _ in range(3)) / 1024 for command in commands)
    for title, peak in zip(list(SIZES)[1:], others, strict=True):
        yield ratio(f"peak memory of reading a header, {title} / 1 MB", peak, small, MOST_GROWTH, unit="MiB")
    for path in files.values():
        path.unlink()


def _against_the_library(title: str, path: Path) -> Figure:
    name = str(path)

    def listed() -> list[str]:
        with safe_open(name, framework="np") as file:
            return list(file.keys())

    if set(listed()) != set(read_header(name).names):
        raise SystemExit(f"the two readers differ on {name}")
    ours, theirs = interleaved([lambda: read_header(name), listed], 50)
    return ratio(f"checked header of 1,500 tensors, {title} / safe_open", ours * 1e6, theirs * 1e6, MOST, unit="us")


def _write(path: Path, size: int, whole: bool) -> Path:
    """Write a file of so many bytes of data, as a model lays them out; where not `whole`, they are a hole."""
    kinds = ("self_attn.in_proj", "self_attn.out_proj", "gating.linear_in", "gating.linear_out", "norm1", "norm2")
    each = size // TENSORS // 64 * 64
    values: dict[str, object] = {"__metadata__": {"format": "pt"}}
    for number in range(TENSORS):
        layer, kind = divmod(number, len(kinds))
        shape = [each // 64, 32] if kind < 4 else [1, 1, each // 2]
        offsets = [number * each, (number + 1) * each]
        name = f"transformer.layers.{layer}.{kinds[kind]}.weight"
        values[name] = {"dtype": "BF16", "shape": shape, "data_offsets": offsets}
    header = json.dumps(values, separators=(",", ":")).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        end = file.tell() + each * TENSORS
        while whole and file.tell() < end:
            file.write(b"\x01" * min(_BLOCK, end - file.tell()))
        file.truncate(end)
    return path
