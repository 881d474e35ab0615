"""Audio files as mono samples at the rate that a tokenizer asks for.

WAV needs the standard library and torch only; FLAC, LibriLight's format, needs the `soundfile` package.
"""

from __future__ import annotations

import math
import os
import struct
import wave
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from tttcfg import InputError, Place, Problem

SUFFIXES = (".wav", ".flac")
ZERO_CROSSINGS = 24
"""Half width of the resampling filter, in zero crossings of its sinc."""
ROLLOFF = 0.95
"""Cut-off of the resampling filter, as a part of the lower of the two Nyquist frequencies."""
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


class Format(NamedTuple):
    """The format of a WAV file's samples; `tag` is 1 for integers, 3 for floating point."""

    tag: int
    channels: int
    rate: int
    bits: int


class Samples(NamedTuple):
    """The position of the samples in a WAV file: their first byte, and their size in bytes."""

    kind: Format
    start: int
    size: int

    @property
    def frame(self) -> int:
        """Bytes of one sample of all channels."""
        return self.kind.channels * self.kind.bits // 8


def length_of(path: Path) -> tuple[int, int]:
    """Return how many samples an audio file has in each channel, and its rate in Hz; only its header is read.

    Raises:
        InputError: The file is missing, broken, empty, or of a format that cannot be read here.
    """
    if path.suffix.lower() == ".wav":
        with _opened(path) as file:
            samples = _find_samples(file, path)
        return samples.size // samples.frame, samples.kind.rate
    with _soundfile(path) as soundfile:
        found = soundfile.info(str(path))
    if not found.frames:
        raise _refused(path, "is empty")
    return int(found.frames), int(found.samplerate)


def read_audio(path: Path, sample_rate: int) -> Tensor:
    """Return an audio file as float32 samples [n] in [-1, 1]: channels mixed, resampled to `sample_rate` Hz.

    Raises:
        InputError: The file is missing, broken, empty, or of a format that cannot be read here.
    """
    samples, rate = read_wav(path) if path.suffix.lower() == ".wav" else _read_other(path)
    return resample(samples, rate, sample_rate)


def read_wav(path: Path) -> tuple[Tensor, int]:
    """Return a WAV file as float32 samples [n], channels mixed, and its rate in Hz.

    Read are PCM of 8, 16, 24 and 32 bits and floating point of 32 and 64, little-endian, any number of channels.

    Raises:
        InputError: The file is missing, broken, empty, or of another format.
    """
    with _opened(path) as file:
        samples = _find_samples(file, path)
        file.seek(samples.start)
        body = file.read(samples.size)
    mixed = _decoded(bytearray(body), samples.kind).view(-1, samples.kind.channels).mean(1)
    if not bool(mixed.isfinite().all()):
        raise _refused(path, "has non-finite samples")
    return mixed, samples.kind.rate


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}", "not_found") from None


def _find_samples(file: BinaryIO, path: Path) -> Samples:
    kind: Format | None = None
    for name, start, size in _chunks(file, path):
        if name == b"fmt ":
            file.seek(start)
            kind = _format(file.read(size), path)
        if name == b"data":
            if kind is None:
                raise _refused(path, "has its samples before their format")
            samples = Samples(kind, start, size)
            if not size:
                raise _refused(path, "is empty")
            if size % samples.frame:
                raise _refused(path, f"ends within a sample: {size} bytes, {samples.frame} per sample")
            return samples
    raise _refused(path, "has no samples: there is no data chunk")


def _chunks(file: BinaryIO, path: Path) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of every chunk, the byte at which its body begins, and how many bytes that is."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        raise _refused(path, "is not a WAV file: it does not begin with RIFF and WAVE")
    start = 20
    while start <= end:
        file.seek(start - 8)
        name, size = struct.unpack("<4sI", file.read(8))
        if start + size > end:
            raise _refused(path, f"is truncated: its {name!r} chunk has {end - start} of {size} bytes")
        yield name, start, size
        start += size + size % 2 + 8


def _format(body: bytes, path: Path) -> Format:
    if len(body) < 16:
        raise _refused(path, "has a format chunk that is too short")
    tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
    if tag == _EXTENSIBLE and len(body) >= 26:
        tag = int.from_bytes(body[24:26], "little")
    known = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64)}
    if bits not in known.get(tag, ()) or channels < 1 or rate < 1:
        found = f"tag {tag}, {bits} bits, {channels} channels, {rate} Hz"
        raise _refused(path, f"has samples of an unknown format: {found}")
    return Format(tag, channels, rate, bits)


def _decoded(body: bytearray, kind: Format) -> Tensor:
    if kind.tag == _FLOAT:
        return torch.frombuffer(body, dtype=torch.float32 if kind.bits == 32 else torch.float64).float()
    if kind.bits == 8:
        return (torch.frombuffer(body, dtype=torch.uint8).float() - 128) / 128
    if kind.bits == 24:
        parts = torch.frombuffer(body, dtype=torch.uint8).view(-1, 3).to(torch.int32)
        whole = parts[:, 0] | parts[:, 1] << 8 | parts[:, 2] << 16
        return torch.where(whole >= 1 << 23, whole - (1 << 24), whole).float() / (1 << 23)
    dtype = torch.int16 if kind.bits == 16 else torch.int32
    return torch.frombuffer(body, dtype=dtype).to(torch.float64).div(1 << (kind.bits - 1)).float()


@contextmanager
def _soundfile(path: Path) -> Iterator[Any]:
    """Yield the package that reads `path`; its errors become an InputError."""
    if not path.is_file():
        raise _refused(path, "does not exist", "not_found")
    try:
        soundfile = import_module("soundfile")
    except ImportError:
        raise _refused(path, "needs the soundfile package: pip install soundfile") from None
    try:
        yield soundfile
    except (RuntimeError, TypeError) as error:  # soundfile's own error is a RuntimeError
        raise _refused(path, f"cannot be read: {error}") from None


def _read_other(path: Path) -> tuple[Tensor, int]:
    with _soundfile(path) as soundfile:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    if not len(samples):
        raise _refused(path, "is empty")
    return torch.from_numpy(samples).mean(1), int(rate)


def resample(samples: Tensor, rate: int, to: int) -> Tensor:
    """Return samples [n] taken at `rate` Hz as they would be at `to` Hz, ceil(n * to / rate) of them.

    A sinc under a Hann window of 24 zero crossings to each side, cut off at 0.95 of the lower Nyquist frequency, one
    filter per phase: band-limited interpolation (Smith, "Digital Audio Resampling"), as torchaudio has it.
    """
    if rate == to:
        return samples
    common = math.gcd(rate, to)
    old, new = rate // common, to // common
    cutoff = ROLLOFF * min(old, new)
    width = math.ceil(ZERO_CROSSINGS * old / cutoff)
    taps = torch.arange(-width, width + old, dtype=torch.float64) / old
    phases = torch.arange(new, dtype=torch.float64)[:, None] / new
    at = ((taps - phases) * cutoff).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = torch.cos(at * math.pi / ZERO_CROSSINGS / 2) ** 2
    filters = (torch.sinc(at) * window * cutoff / old).to(samples.dtype)
    padded = torch.nn.functional.pad(samples[None, None], (width, width + old))
    resampled = torch.nn.functional.conv1d(padded, filters[:, None], stride=old)
    return resampled[0].T.reshape(-1)[: -(-len(samples) * new // old)]


def write_wav(path: Path, samples: Tensor, rate: int) -> None:
    """Write samples [n] in [-1, 1] as 16 bit mono PCM."""
    whole = (samples.clamp(-1, 1) * 32767).round().to(torch.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(array("h", whole.tolist()).tobytes())


def _refused(path: Path, message: str, code: str = "unreadable") -> InputError:
    return InputError(Problem(code, message, place=Place(str(path))))
