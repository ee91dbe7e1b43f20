"""Long single runs against two minutes of the same: memory, and picture against sound at the end.

    python benchmarks/long_runs.py [--only NAME ...] [--container mp4] [--json]

Names: hd-puppet and hd-musetalk (10 minutes at 1280x720), stereo (1 h of 48 kHz stereo at 320x240,
puppet) and mono (3 h of 16 kHz mono, likewise). MuseTalk runs with tiny random networks. Each run
has a process of its own. A run passes when its peak memory, less the bytes of its MEL and AUDIO, is
at most 5 % above that of the two minutes, and at its end its two tracks, and the sound that begins
and the mouth that moves with it, are at most a frame further apart than at its beginning.

An mp4 muxer holds an index of all packets until it writes it, some 90 bytes of each; Matroska's of
the key frames alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import memory
import numpy as np

SHORT = 120  # seconds of the run that a long one is compared with
ALLOWED_GROWTH = 1.05
FRAME_RATE = 25
PERIOD, PAUSE = 4, 1  # seconds: each period ends with a pause
QUIET = 0.02  # of full scale: what is louder is sound
MOVES = 0.25  # of the largest change between two frames: what changes more moves


class Case(NamedTuple):
    """A run. rate: of its sound, Hz."""

    size: tuple[int, int]
    seconds: int
    rate: int
    channels: int
    mode: str


CASES = {
    "hd-puppet": Case((1280, 720), 600, 16000, 1, "puppet"),
    "hd-musetalk": Case((1280, 720), 600, 16000, 1, "musetalk"),
    "stereo": Case((320, 240), 3600, 48000, 2, "puppet"),
    "mono": Case((320, 240), 10800, 16000, 1, "puppet"),
}


def main() -> int:
    options = _options()
    if options.child:
        what, name, video = options.child
        print(json.dumps(CHILDREN[what](CASES[name], Path(video))))
        return 0
    rows: list[dict[str, Any]] = []
    for name in options.only:
        rows.append(compare(name, options.container))
        print(json.dumps(rows[-1]) if options.json else shown(rows[-1]), flush=True)
    return 0 if all(row["passed"] for row in rows) else 1


def compare(name: str, container: str) -> dict[str, Any]:
    """Make a long video and a short one, and return what they took and how they end."""
    long = measured(name, CASES[name].seconds, container)
    short = measured(name, SHORT, container)
    growth = long["beyond_mib"] / short["beyond_mib"]
    apart = max(abs(long["tracks_apart"]), abs(long["apart_at_end"] - long["apart_at_begin"]))
    passed = growth <= ALLOWED_GROWTH and apart <= 1
    return {"name": name, "long": long, "short": short, "growth": growth, "passed": passed}


def shown(row: dict[str, Any]) -> str:
    lines = [f"{row['name']}: memory grows by {row['growth'] - 1:.1%}, passed: {row['passed']}"]
    lines += [
        f"  {one['seconds']} s: {one['frames']} frames in {one['wall_seconds']:.0f} s, peak "
        f"{one['peak_mib']:.0f} MiB, {one['sound_mib']:.0f} of it MEL and AUDIO, "
        f"{one['beyond_mib']:.0f} beyond; frames apart: {one['tracks_apart']:+.2f} the tracks' "
        f"ends, {one['apart_at_begin']:+d} mouth and sound at the beginning, "
        f"{one['apart_at_end']:+d} at the end"
        for one in (row["long"], row["short"])
    ]
    return "\n".join(lines)


def measured(name: str, seconds: int, container: str) -> dict[str, Any]:
    """Make one video in a process of its own, and measure it here."""
    case = CASES[name]
    with tempfile.TemporaryDirectory(prefix="avatar-long-") as text:
        video = Path(text) / f"out.{container}"
        write_speech(video.with_name("speech.wav"), seconds, case.rate, case.channels)
        made = child("make", name, video)
        sound = child("sound", name, video)["bytes"] / (1 << 20)
        begin, end = onsets(video, PERIOD), onsets(video, seconds - PERIOD)
        return {
            "seconds": seconds,
            **made,
            "sound_mib": round(sound, 1),
            "beyond_mib": round(made["peak_mib"] - sound, 1),
            "tracks_apart": tracks_apart(video),
            "apart_at_begin": begin[0] - begin[1],
            "apart_at_end": end[0] - end[1],
        }


def child(what: str, name: str, video: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", what, name, str(video)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def make(case: Case, video: Path) -> dict[str, Any]:
    """Make a video in this process, of the speech beside it, and return what it took."""
    import clone  # noqa: F401

    from avatarvideo.host.machine import peak_memory
    from avatarvideo.musetalk.engine import MuseTalkLipSync
    from avatarvideo.musetalk.interfaces import MAX_SECONDS, LipSyncConfig

    models = None
    if case.mode == "musetalk":
        from support.tiny_models import tiny_models

        models = tiny_models()
    wanted = argparse.Namespace(mode=case.mode, avatar="still")
    avatar, corners = memory.write_avatar(case.size, video.parent, wanted)
    config = LipSyncConfig(
        mode=case.mode,
        mouth=None if models else corners,
        quality="low",
        residency="unload",
        max_duration=MAX_SECONDS,
    )
    began = time.perf_counter()
    engine = MuseTalkLipSync(models=models)
    result = engine.generate(avatar, video.with_name("speech.wav"), video, config)
    if not result.success:
        raise SystemExit(result.error)
    return {
        "mode": result.mode,
        "frames": result.frame_count,
        "peak_mib": round(peak_memory() / (1 << 20), 1),
        "wall_seconds": round(time.perf_counter() - began, 1),
    }


def sound(_case: Case, video: Path) -> dict[str, Any]:
    """Return the bytes of what MEL and AUDIO hold."""
    import clone  # noqa: F401

    from avatarvideo.musetalk.inputs import load_speech

    mel = load_speech(video.with_name("speech.wav"))
    return {"bytes": sum(one.nbytes for one in (mel.log_mel, mel.speech, mel.clip.samples))}


CHILDREN = {"make": make, "sound": sound}


def write_speech(path: Path, seconds: int, rate: int, channels: int) -> None:
    """Write syllables of a buzz for three seconds, and a pause of one, again and again."""
    times = np.arange(PERIOD * rate) / rate
    buzz = sum(np.sin(2 * np.pi * 120 * k * times) / k for k in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * 3 * times + 0.5), 0, 1) * (times < PERIOD - PAUSE)
    samples = (buzz * syllables * 6000).astype("<i2")
    period = np.stack([samples // (number + 1) for number in range(channels)], 1).tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        for _ in range(seconds // PERIOD):
            file.writeframes(period)


def tracks_apart(video: Path) -> float:
    """Return by how many frames the pictures last longer than the sound."""
    ends = {"video": Fraction(0), "audio": Fraction(0)}
    with av.open(str(video)) as container:
        for packet in container.demux():
            if packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                ends[packet.stream.type] = max(ends[packet.stream.type], end)
    return round(float((ends["video"] - ends["audio"]) * FRAME_RATE), 3)


def onsets(video: Path, second: int) -> tuple[int, int]:
    """Return the frame in which the picture begins to move after a pause, and that of the sound."""
    before = second - PAUSE / 2
    pictures = list(decoded(video, "video", before, second + 1))
    changes = [
        float(np.abs(new.astype(np.int16) - old).mean())
        for (_, old), (_, new) in itertools.pairwise(pictures)
    ]
    moves = next(i for i, change in enumerate(changes) if change > MOVES * max(changes))
    heard = [
        when + int(np.argmax(loud)) / rate
        for when, samples, rate in sounds(video, before, second + 1)
        if (loud := np.abs(samples).max(0) > QUIET).any()
    ]
    return round(pictures[moves + 1][0] * FRAME_RATE), int(heard[0] * FRAME_RATE)


def decoded(video: Path, kind: str, begin: float, end: float) -> Iterator[tuple[float, Any]]:
    """Yield the seconds and the grey pixels of each frame of a part."""
    for frame in _frames(video, kind, begin, end):
        yield frame.time, frame.to_ndarray(format="gray").astype(np.int16)


def sounds(video: Path, begin: float, end: float) -> Iterator[tuple[float, np.ndarray, int]]:
    for frame in _frames(video, "audio", begin, end):
        yield frame.time, frame.to_ndarray(), frame.sample_rate


def _frames(video: Path, kind: str, begin: float, end: float) -> Iterator[Any]:
    with av.open(str(video)) as container:
        stream = getattr(container.streams, kind)[0]
        container.seek(int(max(0, begin) / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            if frame.time >= end:
                return
            if frame.time >= begin:
                yield frame


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--container", choices=("mp4", "mkv"), default="mp4")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=3, metavar=("WHAT", "NAME", "VIDEO"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
