"""Measure how far a flash stands from its beep in what the package makes of a file.

Files of every cause (a varying rate, a stream cut between key frames, damage, audio that begins
early or late) in every container are made here, each with white flashes and 1 kHz beeps at the
same instants. What comes out of each door is decoded with FFmpeg alone and measured.

    python -m support.av_sync            (in tests/) prints the table, in frames of the result
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import InvalidDataError
from av.video.stream import VideoStream

from avatarvideo.encoders import EncodingResult, FFmpegEncoder
from avatarvideo.errors import AvatarVideoError
from avatarvideo.musetalk import LipSyncConfig, LipSyncResult, MuseTalkLipSync

RATE = 25
EVENTS = tuple(Fraction(tick, 25) for tick in (23, 50, 83, 108, 130))
ON_SECONDS = Fraction(1, 5)  # how long a flash and its beep last
SECONDS = 6
AUDIO_RATE = 48000
SIZE = 128
LEAD = Fraction(6, 10)  # by which the audio begins earlier or later than the pictures
CUT_AT = Fraction(13, 10)  # between two key frames
KEY_FRAMES = 25
PAUSE = (Fraction(36, 10), Fraction(425, 100))  # between two events
CODECS = {
    "mp4": ("libx264", "aac"),
    "mov": ("libx264", "aac"),
    "mkv": ("libx264", "aac"),
    "ts": ("libx264", "aac"),
    "webm": ("libvpx-vp9", "libopus"),
}
CONTAINERS = tuple(CODECS)
TIME_BASE = Fraction(1, 1000)


@dataclass(frozen=True)
class Cause:
    """What is odd about a file.

    starts: where its pictures and its audio begin, seconds.
    varying: frames come at 50, 10 and 25 a second.
    paused: there are no pictures for a while, as of a recorder that was told to wait.
    cut: what is before ``CUT_AT`` is missing, so the first pictures cannot be decoded.
    damaged: a quarter of a second of pictures is overwritten.
    """

    starts: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))
    varying: bool = False
    paused: bool = False
    cut: bool = False
    damaged: bool = False


CAUSES = {
    "constant": Cause(),
    "varying": Cause(varying=True),
    "paused": Cause(paused=True),
    "cut": Cause(cut=True),
    "cut, audio early": Cause(starts=(LEAD, Fraction(0)), cut=True),
    "damaged": Cause(damaged=True),
    "audio late": Cause(starts=(Fraction(0), LEAD)),
    "audio early": Cause(starts=(LEAD, Fraction(0))),
}


def is_on(time: Fraction) -> bool:
    """Tell whether a flash is shown and a beep heard at a time in seconds."""
    return any(event <= time < event + ON_SECONDS for event in EVENTS)


def frame_times(cause: Cause) -> list[Fraction]:
    """Return when the frames of a file are shown; a new one stands at every event."""
    times, time = list[Fraction](), Fraction(0)
    while time < SECONDS:
        times.append(time)
        quick, slow = time < 1, 2 <= time < 3
        step = Fraction(1, 50 if quick else 10 if slow else RATE)
        time += step if cause.varying else Fraction(1, RATE)
    edges = [*EVENTS, *(event + ON_SECONDS for event in EVENTS)]
    exact = sorted({*times, *edges}) if cause.varying else times
    pause = PAUSE if cause.paused else (0, 0)
    return [each for each in exact if each >= cause.starts[0] and not pause[0] <= each < pause[1]]


def make_clip(path: Path, cause: Cause) -> Path:
    """Write a file of one cause; its suffix says the container."""
    video_codec, audio_codec = CODECS[path.suffix[1:]]
    format_name = {"ts": "mpegts", "mkv": "matroska"}.get(path.suffix[1:], path.suffix[1:])
    whole = path.with_name(f"whole-{path.name}") if cause.cut else path
    with av.open(str(whole), "w", format=format_name) as container:
        video = container.add_stream(video_codec, rate=RATE)
        assert isinstance(video, VideoStream)
        video.width = video.height = SIZE
        video.pix_fmt = "yuv420p"
        video.gop_size = KEY_FRAMES
        video.codec_context.time_base = TIME_BASE
        if video_codec == "libx264":
            video.options = {"bf": "2", "threads": "1", "x264-params": "scenecut=0"}
        else:
            video.options = {"deadline": "realtime", "cpu-used": "8"}
        audio = container.add_stream(audio_codec, rate=AUDIO_RATE, layout="mono")
        assert isinstance(audio, AudioStream)
        packets = [*_video_packets(video, cause), *_audio_packets(audio, cause)]
        packets.sort(key=lambda packet: (packet.dts or 0) * (packet.time_base or 0))
        for packet in packets:
            container.mux(packet)
    if cause.cut:
        _cut(whole, path, format_name)
        whole.unlink()
    return path


def _video_packets(stream: VideoStream, cause: Cause) -> list[av.Packet[VideoStream]]:
    packets: list[av.Packet[VideoStream]] = []
    for time in frame_times(cause):
        picture = np.full((SIZE, SIZE, 3), 16, np.uint8)
        picture[8:24, 8:24] = (200, 30, 30)  # which way up
        if is_on(time):
            picture[SIZE // 4 : 3 * SIZE // 4, SIZE // 4 : 3 * SIZE // 4] = 255
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = round(time / TIME_BASE), TIME_BASE
        packets += stream.encode(frame)
    packets += stream.encode(None)
    return [_damaged(packet) for packet in packets] if cause.damaged else packets


def _damaged(packet: av.Packet[VideoStream]) -> av.Packet[VideoStream]:
    """Overwrite a packet that lies in the damaged quarter of a second."""
    time = (packet.pts or 0) * (packet.time_base or Fraction(0))
    return overwritten(packet) if Fraction(26, 10) < time < Fraction(285, 100) else packet


def overwritten(packet: av.Packet[VideoStream]) -> av.Packet[VideoStream]:
    """Return a packet with all but its first bytes overwritten, so that it cannot be decoded."""
    content = bytearray(bytes(packet))
    content[5:] = b"\xff" * len(content[5:])
    broken = cast("av.Packet[VideoStream]", av.Packet(bytes(content)))  # of the stream set next
    broken.stream, broken.time_base = packet.stream, packet.time_base
    broken.pts, broken.dts, broken.duration = packet.pts, packet.dts, packet.duration
    return broken


def _audio_packets(stream: AudioStream, cause: Cause) -> list[av.Packet[AudioStream]]:
    first = round(cause.starts[1] * AUDIO_RATE)
    seconds = np.arange(first, SECONDS * AUDIO_RATE) / AUDIO_RATE
    on = np.zeros(len(seconds), bool)
    for event in EVENTS:
        on |= (seconds >= float(event)) & (seconds < float(event + ON_SECONDS))
    samples = (0.5 * np.sin(2 * np.pi * 1000 * seconds) * on).astype(np.float32)[None]
    packets: list[av.Packet[AudioStream]] = []
    size = 960
    for begin in range(0, samples.shape[1], size):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples[:, begin : begin + size]), format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = AUDIO_RATE, first + begin
        frame.time_base = Fraction(1, AUDIO_RATE)
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]


def _cut(source: Path, target: Path, format_name: str) -> None:
    """Copy the packets from ``CUT_AT`` on; a key frame comes only later."""
    with av.open(str(source)) as old, av.open(str(target), "w", format=format_name) as new:
        copies = {s.index: new.add_stream_from_template(s) for s in old.streams}
        begun = False
        for packet in old.demux():
            if packet.dts is None or packet.pts is None:
                continue
            is_video = packet.stream.type == "video"
            begun = begun or (is_video and packet.pts * packet.time_base >= CUT_AT)
            if begun and packet.pts * packet.time_base >= CUT_AT:
                packet.stream = copies[packet.stream.index]
                new.mux(packet)


# --- measuring


def flashes(path: Path) -> list[Fraction]:
    """Return when the picture turns bright, in seconds of the file's own time."""
    bright = list[tuple[Fraction, bool]]()
    with av.open(str(path)) as container:
        for begin, frame in _decoded(container, container.streams.video[0]):
            assert isinstance(frame, av.VideoFrame)
            grey = frame.to_ndarray(format="gray")
            height, width = grey.shape
            middle = grey[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
            bright.append((begin, bool(middle.mean() > 130)))
    return _onsets(bright)


def beeps(path: Path) -> list[Fraction]:
    """Return when a beep begins, in seconds of the file's own time."""
    loud = list[tuple[Fraction, bool]]()
    with av.open(str(path)) as container:
        for begin, frame in _decoded(container, container.streams.audio[0]):
            assert isinstance(frame, av.AudioFrame)
            samples = frame.to_ndarray()  # planar for every codec that is measured
            heard = np.abs(samples.astype(np.float64)).max(0)
            for number in range(0, len(heard), 48):
                at = begin + Fraction(number, frame.sample_rate)
                loud.append((at, bool(heard[number : number + 48].max() > 0.15)))
    return _onsets(loud)


def _decoded(
    container: InputContainer, stream: VideoStream | AudioStream
) -> Iterator[tuple[Fraction, av.VideoFrame | av.AudioFrame]]:
    """Yield when a frame begins, in seconds of the file's own time, and the frame."""
    for packet in container.demux(stream):
        with contextlib.suppress(InvalidDataError):  # damage is one of the causes
            for frame in packet.decode():
                assert isinstance(frame, av.VideoFrame | av.AudioFrame)
                assert frame.pts is not None
                assert frame.time_base is not None
                yield frame.pts * frame.time_base, frame


def _onsets(states: Iterable[tuple[Fraction, bool]]) -> list[Fraction]:
    """Return where a state turns on after at least a twentieth of a second off."""
    onsets, last_on = list[Fraction](), Fraction(-10)
    for time, on in states:
        if on and time - last_on > ON_SECONDS / 2:
            onsets.append(time)
        if on:
            last_on = time
    return onsets


def distances(path: Path) -> list[Fraction]:
    """Return, for each beep that has a flash within half a second, flash less beep in seconds."""
    seen = flashes(path)
    near = [[flash - beep for flash in seen if abs(flash - beep) < 0.5] for beep in beeps(path)]
    return [min(each, key=abs) for each in near if each]


# --- the doors


def encoded(source: Path, folder: Path) -> Path:
    """Encode again."""
    return _checked(FFmpegEncoder().encode(source, folder / "encoded.mp4"))


def with_audio(source: Path, folder: Path) -> Path:
    """Copy the pictures, take the audio of the same file."""
    suffix = ".mkv" if source.suffix == ".ts" else source.suffix  # which is no output
    return _checked(FFmpegEncoder().add_audio(source, source, folder / f"added{suffix}"))


def lip_synced(source: Path, folder: Path) -> Path:
    """Speak a clip's own audio over its own pictures, which stay as they are."""
    options = LipSyncConfig(mode="static", fps=0)
    target = folder / "spoken.mp4"
    return _checked(MuseTalkLipSync().generate(source, source, target, options))


def _checked(result: EncodingResult | LipSyncResult) -> Path:
    if result.output_path is None:
        raise AvatarVideoError(result.error or "no result")
    return Path(result.output_path)


DOORS: dict[str, Callable[[Path, Path], Path]] = {
    "lipsync": lip_synced,
    "encode": encoded,
    "add_audio": with_audio,
}


@dataclass(frozen=True)
class Measured:
    """One cell of the table: events found, and the largest distance in frames (of 25 a second)."""

    cause: str
    container: str
    door: str
    events: int
    worst: float


def measure(cause: str, container: str, folder: Path) -> list[Measured]:
    """Make one file and measure what each door makes of it; "none" is the file itself."""
    source = make_clip(folder / f"{re.sub(r'[^a-z]+', '_', cause)}.{container}", CAUSES[cause])
    rows = list[Measured]()
    doors: dict[str, Callable[[Path, Path], Path]] = {"none": lambda path, _: path, **DOORS}
    for door, make in doors.items():
        try:
            found = distances(make(source, folder))
        except AvatarVideoError as error:
            found, door = [], f"{door}: {error}"
        worst = max((abs(float(each)) * RATE for each in found), default=float("inf"))
        rows.append(Measured(cause, container, door, len(found), worst))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--causes", nargs="+", default=list(CAUSES), choices=list(CAUSES))
    parser.add_argument("--containers", nargs="+", default=CONTAINERS, choices=CONTAINERS)
    options = parser.parse_args()
    for cause, container in itertools.product(options.causes, options.containers):
        with tempfile.TemporaryDirectory() as folder:
            cells = measure(cause, container, Path(folder))
        said = "  ".join(f"{cell.door} {cell.worst:6.2f} ({cell.events})" for cell in cells)
        sys.stdout.write(f"{cause:16} {container:5} {said}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
