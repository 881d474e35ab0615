"""Audio files as mono samples at the rate that a tokenizer asks for.

WAV needs nothing but the standard library and torch; FLAC, LibriLight's format, needs the `soundfile` package.
"""

from __future__ import annotations

import math
import struct
import wave
from array import array
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

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
    """The format of a WAV file's samples; `tag` says whole numbers (1) or floating point (3)."""

    tag: int
    channels: int
    rate: int
    bits: int


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
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}", "not_found") from None
    kind: Format | None = None
    for name, body in _chunks(data, path):
        if name == b"fmt ":
            kind = _format(body, path)
        if name == b"data":
            if kind is None:
                raise _refused(path, "has its samples before their format")
            return _mixed(body, kind, path), kind.rate
    raise _refused(path, "has no samples: there is no data chunk")


def _chunks(data: bytes, path: Path) -> Iterator[tuple[bytes, bytes]]:
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise _refused(path, "is no WAV file: it does not begin with RIFF and WAVE")
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > len(data):
            have = len(data) - at - 8
            raise _refused(path, f"is cut off: {have} of the {size} bytes of its {name!r} chunk are there")
        yield name, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


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


def _mixed(body: bytes, kind: Format, path: Path) -> Tensor:
    frame = kind.channels * kind.bits // 8
    if len(body) < frame or len(body) % frame:
        raise _refused(path, "is empty" if not body else f"ends inside a sample: {len(body)} bytes, {frame} per sample")
    samples = _decoded(bytearray(body), kind).view(-1, kind.channels).mean(1)
    if not bool(samples.isfinite().all()):
        raise _refused(path, "has samples that are no finite numbers")
    return samples


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


def _read_other(path: Path) -> tuple[Tensor, int]:
    if not path.is_file():
        raise _refused(path, "is not there", "not_found")
    try:
        soundfile = import_module("soundfile")
    except ImportError:
        raise _refused(path, "needs the soundfile package: pip install soundfile") from None
    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (RuntimeError, TypeError) as error:  # soundfile's own error is a RuntimeError
        raise _refused(path, f"cannot be read: {error}") from None
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
