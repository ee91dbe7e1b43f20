"""Sound files whose header states more than they hold."""

from __future__ import annotations

import subprocess
import wave
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.cut_frames import ends_inside_frame
from avatarvideo.media import SoundLack

RATE = 16000


def wav(path: Path, samples: int = RATE) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        tone = 9000 * np.sin(2 * np.pi * 300 * np.arange(samples) / RATE)
        file.writeframes(tone.astype("<i2").tobytes())
    return path


def cut(path: Path, part: float = 0.6) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    return path


def cut_wav(path: Path) -> Path:
    """A second, of which 0.6 s are there."""
    content = wav(path).read_bytes()
    path.write_bytes(content[: 44 + 2 * 9600])
    return path


def test_a_clip_says_what_is_missing_of_its_file(tmp_path: Path) -> None:
    assert read_audio(wav(tmp_path / "whole.wav")).lack is None

    clip = read_audio(cut_wav(tmp_path / "a.wav"))

    assert clip.duration == Fraction(6, 10)
    assert clip.lack == SoundLack("a.wav", Fraction(6, 10), Fraction(1))
    assert clip.lack is not None
    assert clip.lack.note == (
        "The end of the sound of 'a.wav' is missing; only 0.60 of 1.00 s are there."
    )


def test_a_part_of_what_is_there_is_whole(tmp_path: Path) -> None:
    path = cut_wav(tmp_path / "a.wav")
    for start, duration in ((0, "0.5"), ("0.2", "0.4"), (0, "0.6")):
        clip = read_audio(path, start=Fraction(start), duration=Fraction(duration))
        assert (clip.duration, clip.lack) == (Fraction(duration), None)
    for start, duration in (("0.3", 0), ("0.3", "0.31")):
        clip = read_audio(path, start=Fraction(start), duration=Fraction(duration))
        assert clip.duration == Fraction(3, 10)
        assert clip.lack == SoundLack("a.wav", Fraction(6, 10), Fraction(1))
    assert read_audio(path).trimmed(Fraction(0), Fraction(1, 2)).lack is None
    assert read_audio(path).trimmed(Fraction(1, 10), Fraction(0)).lack is not None


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFDB])
def test_a_length_that_nobody_knew_promises_nothing(tmp_path: Path, length: int) -> None:
    content = bytearray(wav(tmp_path / "a.wav").read_bytes())
    content[40:44] = length.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)

    clip = read_audio(tmp_path / "a.wav")

    assert (clip.duration, clip.lack) == (Fraction(1), None)


def test_chunks_behind_the_sound_may_be_cut(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes() + b"LIST\xff\xff\0\0INFO")
    assert read_audio(path).lack is None


KINDS = {
    "wav": "",
    "rf64.wav": "-rf64 always",
    "w64": "",
    "aiff": "",
    "caf": "",
    "au": "",
    "flac": "",
    "tta": "",
    "mp3": "",
    "mka": "-c:a libopus",
    "weba": "-c:a libopus -f webm",
    "m4a": "-movflags faststart",
    "wma": "",
}


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_that_states_its_length(tmp_path: Path, ffmpeg: str, kind: str) -> None:
    source, path = wav(tmp_path / "in.wav", 6 * RATE), tmp_path / f"a.{kind}"
    command = [ffmpeg, "-v", "error", "-i", str(source), *KINDS[kind].split(), str(path)]
    subprocess.run(command, check=True)
    assert read_audio(path).lack is None

    clip = read_audio(cut(path))

    assert clip.lack is not None
    assert clip.lack.name == path.name
    assert clip.lack.there == clip.duration
    assert 1 < clip.duration < 5
    if kind == "wma":
        assert clip.lack.stated is None
    else:
        assert clip.lack.stated == pytest.approx(6, abs=0.1)


# None of these states how long it is; only bytes of its last frame can be missing.
STREAMS = {
    "a.ogg": "-c:a libopus -page_duration 200000",
    "b.ogg": "-c:a libvorbis",
    "a.aac": "",
    "tagged.aac": "-ar 44100 -ac 2 -write_apetag 1 -metadata title=x",
    "a.ac3": "-ar 44100",
    "a.eac3": "-ar 48000",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_without_a_length_that_ends_in_a_frame(
    tmp_path: Path, ffmpeg: str, name: str
) -> None:
    source, path = wav(tmp_path / "in.wav", 6 * RATE), tmp_path / name
    command = [ffmpeg, "-v", "error", "-i", str(source), *STREAMS[name].split(), str(path)]
    subprocess.run(command, check=True)
    assert read_audio(path).lack is None
    content = path.read_bytes()

    size = int(len(content) * 0.6)
    path.write_bytes(content[:size])
    clip = read_audio(path)

    assert 0 < clip.duration < 5
    assert clip.lack == SoundLack(name, clip.duration, None)


# Captures and what writers without a last flush leave: it ends in a frame and is all there is.
@pytest.mark.parametrize("name", ["a.mp3", "a.mp2", "a.ts"])
def test_a_stream_that_often_ends_in_a_frame_is_whole(
    tmp_path: Path, ffmpeg: str, name: str
) -> None:
    source, path = wav(tmp_path / "in.wav", 2 * RATE), tmp_path / name
    command = [ffmpeg, "-v", "error", "-i", str(source), "-write_xing", "0", str(path)]
    subprocess.run(command if name == "a.mp3" else [*command[:-3], str(path)], check=True)
    path.write_bytes(path.read_bytes()[:-57])
    assert read_audio(path).lack is None


def frames(count: int, head: str, length: int) -> bytes:
    return (bytes.fromhex(head) + bytes(length - len(head) // 2)) * count


AMR = b"#!AMR\n" + frames(20, "3c", 32)
PAGE = b"OggS" + bytes(22) + b"\2"  # without the mark of the last one, as phones leave it out
KINDS_OF_FRAMES = {
    "aac": frames(20, "fff16040123ffc", 0x91),
    "ac3": frames(20, "0b7700001440", 768),
    "eac3": frames(20, "0b7701ff3486", 1024),
    "amr": AMR,
    "wv": (b"wvpk" + (92).to_bytes(4, "little") + bytes(92)) * 3,
    "ogg": PAGE + b"\xff\x0a" + bytes(265),
}


@pytest.mark.parametrize("kind", KINDS_OF_FRAMES)
def test_the_last_frame_is_measured(kind: str) -> None:
    whole = KINDS_OF_FRAMES[kind]

    def breaks(content: bytes) -> bool:
        return ends_inside_frame(kind, BytesIO(content), len(content))

    assert not breaks(whole)
    assert breaks(whole[:-1])
    assert breaks(whole[:-20])
    if kind in ("aac", "ac3", "eac3", "amr", "wv"):  # tags, and what others put behind
        assert not breaks(whole + b"TAG" + bytes(125))
        assert not breaks(whole + bytes(3000))


def test_a_packet_that_goes_on_in_a_page_that_is_not_there() -> None:
    content = PAGE + b"\xff\xff" + bytes(510)
    assert ends_inside_frame("ogg", BytesIO(content), len(content))
