"""WAV files come in as the samples that were written, at the rate that is asked for, or are refused with a reason."""

from __future__ import annotations

import math
import struct
import sys
import wave
from pathlib import Path

import pytest
import torch
from ttt_moshi.evaluation.audio import length_of, read_audio, read_wav, resample, write_wav

from tttcfg import InputError


def write_pcm(path: Path, frames: bytes, *, width: int = 2, channels: int = 1, rate: int = 16_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(frames)
    return path


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + len(data).to_bytes(4, "little") + data for name, data in chunks)
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WAVE" + body


def sine(hertz: float, rate: int, samples: int) -> torch.Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(samples, dtype=torch.float64) / rate).float()


@pytest.mark.parametrize(
    ("width", "frames"),
    [
        (1, bytes([0, 128, 192])),
        (2, struct.pack("<3h", -32768, 0, 16384)),
        (3, b"\x00\x00\x80" + b"\x00\x00\x00" + b"\x00\x00\x40"),
        (4, struct.pack("<3i", -(2**31), 0, 2**30)),
    ],
)
def test_whole_numbers_of_every_width_are_scaled_to_one(tmp_path: Path, width: int, frames: bytes) -> None:
    samples, rate = read_wav(write_pcm(tmp_path / "a.wav", frames, width=width))
    assert samples.tolist() == [-1.0, 0.0, 0.5]
    assert rate == 16_000


def test_floating_point_samples_are_read_as_they_are_also_in_the_extensible_format(tmp_path: Path) -> None:
    plain = struct.pack("<HHIIHH", 3, 1, 24_000, 96_000, 4, 32)
    extensible = struct.pack("<HHIIHHHHIH", 0xFFFE, 1, 24_000, 96_000, 4, 32, 22, 32, 0, 3) + bytes(14)
    for kind in (plain, extensible):
        path = tmp_path / "a.wav"
        path.write_bytes(riff((b"LIST", b"even"), (b"fmt ", kind), (b"data", struct.pack("<2f", 0.25, -0.5))))
        assert read_wav(path)[0].tolist() == [0.25, -0.5]


def test_channels_are_mixed(tmp_path: Path) -> None:
    frames = struct.pack("<4h", 16384, 0, -16384, -16384)
    assert read_wav(write_pcm(tmp_path / "a.wav", frames, channels=2))[0].tolist() == [0.25, -0.5]


@pytest.mark.parametrize("channels", [1, 2])
def test_the_length_is_that_of_one_channel(tmp_path: Path, channels: int) -> None:
    path = write_pcm(tmp_path / "a.wav", bytes(12 * channels), width=3, channels=channels, rate=44_100)
    assert length_of(path) == (4, 44_100) == (len(read_wav(path)[0]), 44_100)


def test_the_length_of_flac_is_that_of_its_samples(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    path = tmp_path / "a.flac"
    soundfile.write(path, sine(440, 16_000, 1_000).numpy(), 16_000)
    assert length_of(path) == (1_000, 16_000)
    assert len(read_audio(path, 16_000)) == 1_000


def test_written_samples_come_back(tmp_path: Path) -> None:
    samples = sine(440, 16_000, 1_000)
    write_wav(tmp_path / "a.wav", samples, 16_000)
    assert torch.allclose(read_audio(tmp_path / "a.wav", 16_000), samples, atol=1e-4)


@pytest.mark.parametrize(("rate", "to"), [(16_000, 24_000), (44_100, 24_000), (22_050, 24_000), (24_000, 16_000)])
def test_a_tone_is_the_same_tone_at_another_rate(rate: int, to: int) -> None:
    found = resample(sine(1_000, rate, rate), rate, to)
    assert len(found) == to
    assert (found - sine(1_000, to, to))[200:-200].abs().max() < 1e-4


def test_a_tone_that_the_new_rate_cannot_hold_is_gone_and_no_other_appears() -> None:
    assert resample(sine(11_000, 48_000, 48_000), 48_000, 16_000)[200:-200].abs().max() < 1e-3


WHOLE = riff((b"fmt ", struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)), (b"data", bytes(8)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a WAV file"),
        (b"ID3 some mp3", "is not a WAV file"),
        (WHOLE[:-3], "chunk has 5 of 8 bytes"),
        (WHOLE.replace(b"fmt \x10", b"fmx \x10"), "before their format"),
        (WHOLE[:36], "no data chunk"),
        (riff((b"fmt ", b"\x01\0")), "too short"),
        (
            riff((b"fmt ", struct.pack("<HHIIHH", 85, 1, 16_000, 0, 0, 0)), (b"data", bytes(8))),
            "unknown format: tag 85",
        ),
        (riff((b"fmt ", struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)), (b"data", b"")), "is empty"),
        (riff((b"fmt ", struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)), (b"data", bytes(3))), "within a sample"),
        (
            riff((b"fmt ", struct.pack("<HHIIHH", 3, 1, 8_000, 32_000, 4, 32)), (b"data", struct.pack("<f", math.nan))),
            "non-finite samples",
        ),
    ],
)
def test_a_broken_file_is_refused_by_name_with_the_reason(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "broken.wav"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"broken\.wav") as raised:
        read_audio(path, 24_000)
    assert message in str(raised.value)
    if message != "non-finite samples":  # the header does not show them
        with pytest.raises(InputError) as of_length:
            length_of(path)
        assert of_length.value.problems == raised.value.problems


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac"):
        with pytest.raises(InputError, match=name):
            read_audio(tmp_path / name, 24_000)
        with pytest.raises(InputError, match=name):
            length_of(tmp_path / name)


def test_flac_without_soundfile_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    with pytest.raises(InputError, match="pip install soundfile"):
        read_audio(tmp_path / "a.flac", 24_000)
