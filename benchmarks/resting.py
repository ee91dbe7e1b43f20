"""What a mouth at rest saves, and that nothing else changes: speech with pauses, whole runs.

    python benchmarks/resting.py                     # a minute, tiny networks and puppet
    python benchmarks/resting.py --true-size --modes musetalk --backgrounds clean \\
        --seconds 4 --pause 2

The bundled speech, cut and repeated, has so many seconds of pauses put in, and noise or music 30 dB
below it. It is made twice, with the mouth at rest and as heard, and the frames are compared. Late
ones begin 120 ms into a pause or later and end 120 ms before it does: they have to be the first
frame at rest again. Outside are those that the report's ranges, attack and release leave as heard.
Computed at rest is how many more frames are made than do not rest: one for a mouth that is open in
the still. CPU seconds are of UNet and decoder, or of the puppet's drawing, which draws nothing for
a mouth that is shut as heard either; the first batch counts as the others.

Networks have random weights, tiny or of true size. Batches are of one frame.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import clone  # noqa: F401
import cv2
import numpy as np
import voice_sounds as sounds
from reference_networks import Networks

from avatarvideo.media import AudioClip, Avatar, LipCorners
from avatarvideo.musetalk import LipSyncConfig
from avatarvideo.musetalk.audio import prepare_mel
from avatarvideo.musetalk.engine import MuseTalkLipSync
from avatarvideo.musetalk.inputs import load_avatar, load_speech
from avatarvideo.musetalk.pipeline.cpu_features import Tuning
from avatarvideo.musetalk.pipeline.generate import FaceGenerator
from avatarvideo.musetalk.puppet.puppet import Puppet
from support.small_clips import Clips

SAMPLES = Path(__file__).resolve().parent.parent / "web" / "samples"
RATE = Fraction(25)
LATE = Fraction(12, 100)  # seconds
UNDER = 30.0  # dB
MODES = ("musetalk", "puppet")
SIDE = 256  # pixels of the portrait that the puppet moves
PORTRAIT_LIPS = (352.0, 437.0, 441.0, 440.0)  # corners in pixels of the bundled portrait
LONGEST_PAUSE = 2.5  # seconds


class Meter:
    """frames: computed so far. seconds: of the CPU, all threads, for those after the first call."""

    def __init__(self) -> None:
        self.frames = self.timed = 0
        self.seconds = 0.0

    def add(self, frames: int, seconds: float) -> None:
        if self.frames:
            self.seconds += seconds
            self.timed += frames
        self.frames += frames

    def whole(self) -> float:
        """Return the seconds of all, the first call at the pace of the others."""
        return self.seconds * self.frames / self.timed if self.timed else 0.0


def speech_with_pauses(
    seconds: float, pause: float
) -> tuple[np.ndarray, list[tuple[Fraction, Fraction]]]:
    """Return float32 (N,), 16 kHz, of so many seconds, and its pauses in seconds."""
    rate = sounds.SAMPLE_RATE
    spoken = load_speech(SAMPLES / "speech.flac").speech
    loud = np.flatnonzero(np.abs(spoken) > 0.006)
    spoken = spoken[loud[0] : loud[-1] + 1]
    count = max(1, round(pause / LONGEST_PAUSE))
    lengths = np.random.default_rng(0).uniform(0.5, 1, count)
    lengths = np.round(lengths / lengths.sum() * pause * rate).astype(int)
    words = np.array_split(np.resize(spoken, round((seconds - pause) * rate)), count + 1)
    parts, pauses, place = [words[0]], list[tuple[Fraction, Fraction]](), words[0].size
    for length, said in zip(lengths.tolist(), words[1:], strict=True):
        pauses.append((Fraction(place, rate), Fraction(place + length, rate)))
        parts += [np.zeros(length, np.float32), said]
        place += length + said.size
    return np.concatenate(parts), pauses


def heard_over(kind: str, speech: np.ndarray) -> np.ndarray:
    """Return the speech clean, or 30 dB over noise or music."""
    if kind == "clean":
        return speech
    source, seconds = np.random.default_rng(1), speech.size / sounds.SAMPLE_RATE
    if kind == "noise":
        return sounds.over(speech, source.normal(0, 1, speech.size), UNDER)
    return sounds.over(speech, sounds.music(kind, seconds, source), UNDER)


@contextmanager
def metered() -> Iterator[Meter]:
    """Count the frames that UNet and decoder make or the puppet draws, and their time."""
    meter = Meter()

    def timed(compute: Callable[..., Any], count: Callable[..., int]) -> Callable[..., Any]:
        def run(owner: Any, *given: Any) -> Any:
            began = time.process_time()
            result = compute(owner, *given)
            if frames := count(owner, *given):
                meter.add(frames, time.process_time() - began)
            return result

        return run

    begin = timed(FaceGenerator.begin, lambda _, latents, *rest: len(latents))
    render = timed(Puppet.render, lambda puppet, pose: int(not puppet.is_source(pose)))
    in_place = mock.patch.object
    with in_place(FaceGenerator, "begin", begin), in_place(Puppet, "render", render):
        yield meter


def avatar_of(mode: str, clips: Clips, *, true_size: bool) -> Avatar:
    """Return a still: the bundled portrait, or what tiny networks see a face in."""
    if mode == "musetalk" and not true_size:
        return clips.avatar(clips.frames("f"))
    picture = load_avatar(SAMPLES / "portrait.png").first_frame()
    scale = SIDE / picture.shape[1]
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    corners = LipCorners(*(scale * place for place in PORTRAIT_LIPS))
    return clips.avatar([small], corners=corners if mode == "puppet" else None)


def main() -> None:
    options = _options()
    speech, pauses = speech_with_pauses(options.seconds, options.pause)
    models = Networks("ours") if options.true_size else None
    print(
        "| Mode | Sound | Frames | At rest | Late | differ from rest | Outside | differ by | "
        "Computed at rest | CPU s as heard | at rest | Fall over share |\n" + "|---" * 12 + "|"
    )
    for mode in options.modes:
        for kind in options.backgrounds:
            mel = prepare_mel(AudioClip(heard_over(kind, speech)[None], sounds.SAMPLE_RATE))
            with tempfile.TemporaryDirectory() as folder:
                clips = Clips(Path(folder))
                avatar = avatar_of(mode, clips, true_size=options.true_size)
                tuning = Tuning(largest_batches={"generate": (1, 1), "prepare": (1, 1)})
                source = models or clips.CountingModels()
                engine = MuseTalkLipSync(host=clips.host, models=source, tuning=tuning)
                config = LipSyncConfig(mode=mode, quality=options.quality)
                made = [
                    made_with(engine, avatar, mel, replace(config, silence=silence))
                    for silence in ("rest", "as heard")
                ]
                print(f"| {mode} | {kind} | {compared(pauses, *made)} |", flush=True)


Made = tuple[list[np.ndarray], dict[str, Any], Meter]


def made_with(engine: MuseTalkLipSync, avatar: Avatar, mel: Any, config: LipSyncConfig) -> Made:
    with metered() as meter:
        run = engine.run(avatar, mel, config)
        frames = list(run.open_frames())
    if run.release:
        run.release()
    return frames, run.report, meter


def compared(pauses: list[tuple[Fraction, Fraction]], resting: Made, as_heard: Made) -> str:
    """Return a row's cells."""
    frames, report, meter = resting
    count, told = len(frames), report["silence"]
    at_rest, outside = np.zeros(count, bool), np.ones(count, bool)
    for first, last in told["ranges_at_rest"]:
        at_rest[first : last + 1] = True
        outside[max(first - told["release_frames"], 0) : last + 1 + told["attack_frames"]] = False
    late = np.zeros(count, bool)
    for number in range(count):
        begins, ends = number / RATE, (number + 1) / RATE
        late[number] = any(begins >= first + LATE and ends <= end - LATE for first, end in pauses)
    rest = frames[told["ranges_at_rest"][0][0]]
    differ = np.array([not np.array_equal(frame, rest) for frame in frames])
    levels = [
        int(cv2.absdiff(frames[number], as_heard[0][number]).max())
        for number in np.flatnonzero(outside)
    ]
    computed = max(0, meter.frames - int((~at_rest).sum()))
    share, spent = at_rest.mean(), [as_heard[2].whole(), meter.whole()]
    fall = (spent[0] - spent[1]) / spent[0] / share if share and spent[0] else 0.0
    cells = [count, at_rest.sum(), late.sum(), (late & differ).sum(), outside.sum()]
    cells += [max(levels, default=0), computed, *(f"{each:.2f}" for each in spent), f"{fall:.3f}"]
    return " | ".join(map(str, cells))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pause", type=float, default=20, help="seconds of them")
    parser.add_argument("--true-size", action="store_true", help="networks of true size")
    parser.add_argument("--quality", choices=("high", "medium", "low"), default="high")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    kinds = ("clean", "noise", *sounds.STYLES)
    parser.add_argument(
        "--backgrounds", nargs="+", choices=kinds, default=("clean", "noise", "band")
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
