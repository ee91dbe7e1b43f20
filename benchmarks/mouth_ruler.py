"""The ruler on the finished video: what the puppet's mouth does in the pictures that people see.

    python benchmarks/mouth_ruler.py PICTURE_OR_VIDEO ... [--models FOLDER] [--jfk jfk.flac]
                                     [--languages en-us de es] [--ways with without]
                                     [--sentences ruler held-out] [--keep FOLDER]

espeak-ng says three sentences in each language (mouth_sentences.py), the puppet is rendered to
mp4, and the face mesh reads every frame of the file (mesh_ruler.py): the gap between the lips
above what it reads in the pauses of the same file, where the lips should be shut, and the mouth's
width. mouth_truth.py's table then says what each phone should have looked like. What the mesh reads
in the pauses is printed beside what it reads in the source: no more than 0.06 mouth widths of it is
taken off, so that a mouth that stays open counts as open, and over that the face has to be judged
by eye. The mesh reads gaps under 0.04 mouth widths as shut, 0.06 as 0.03 to 0.05, and from 0.09 on
all but 3 to 15 %: what it calls shut may be open by so much. It does not tell f and v, lower lip at
the teeth, from shut lips: those are for the contact sheets.

espeak-ng says a sentence a little differently each time, so it says each once a run: all faces
and both ways of hearing get the same sound. Languages that come first change it, too: for the
same sound as in another run give the same languages and sentences in the same order.

Each way of hearing is measured, with pocketsphinx and without it. Give a picture with closed lips,
one that smiles and one with an open mouth. For a video the source's own mouth is read too: the
result should follow the sound (correlation) and not the source (partial correlation given the
sound). With --jfk, closures of that recording at known times are counted as well.
Takes about a minute a picture and way of hearing on one quiet processor. Needs espeak-ng.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from espeak import SAMPLE_RATE, Phone, spoken
from mesh_ruler import MOST_AT_REST, Readings, measured, networks_in, read_mouths
from mouth_sentences import HELD_OUT, RULER
from mouth_truth import JFK, NEAR, RATE, SHUT, Figures, MouthShapes, curve, pauses

from avatarvideo.musetalk.engine import MuseTalkLipSync
from avatarvideo.musetalk.face.mesh_networks import MeshNetworks
from avatarvideo.musetalk.face.mesh_search import find_meshes
from avatarvideo.musetalk.inputs import load_avatar, load_speech
from avatarvideo.musetalk.interfaces import LipSyncConfig
from avatarvideo.musetalk.puppet.phones import can_hear_phones

PAUSE = 0.5  # s, before, between and after sentences
SETTLED = (0.2, 0.1)  # s of a pause left out at its ends when the shut mouth is read
LARGEST_SIDE = 768  # pixels: larger pictures are reduced first
JUMP = 0.22
SENTENCES = {"ruler": RULER, "held-out": HELD_OUT}


@dataclass(frozen=True, eq=False)
class Said:
    """Mono speech, float32 (N,), 16 kHz, and its phones; pauses are phones without a name."""

    speech: np.ndarray
    phones: list[Phone]


@dataclass(frozen=True)
class Goal:
    """A number that is wanted; is_least: at least it, else at most."""

    name: str
    value: Callable[[Figures], float]
    wanted: float
    is_least: bool

    def line(self, figures: Figures) -> str:
        value = self.value(figures)
        is_met = value >= self.wanted if self.is_least else value <= self.wanted
        sign = ">=" if self.is_least else "<="
        return f"  {'ok ' if is_met else 'NOT'} {self.name} {value:.3f} ({sign} {self.wanted:g})"


def _mean(name: str) -> Callable[[Figures], float]:
    return lambda figures: float(np.mean(getattr(figures, name) or [np.nan]))


def _median(name: str) -> Callable[[Figures], float]:
    return lambda figures: float(np.median(getattr(figures, name) or [np.nan]))


def _narrowing(figures: Figures) -> float:
    return _mean("round_width")(figures) / _mean("wide_width")(figures)


def goals(*, with_phones: bool) -> list[Goal]:
    """Return what is wanted of all languages together."""
    return [
        Goal("m b p shut", _mean("lips_shut"), 0.8 if with_phones else 0.6, True),
        Goal("t d k g s z n l shut", _mean("others_shut"), 0.25 if with_phones else 0.3, False),
        Goal(
            "round / wide", lambda f: _mean("round_width")(f) / _mean("wide_width")(f), 0.88, False
        ),
        Goal("long vowels open, median", _median("long_vowels"), 0.25, True),
        Goal("short vowels open, median", _median("short_vowels"), 0.12, True),
        Goal("silence shut", _mean("silence"), 0.95, True),
        Goal("steps over 0.15", lambda f: float(np.mean(np.array(f.steps) > 0.15)), 0.05, False),
        Goal("largest step", lambda f: max(f.steps), JUMP, False),
    ]


@cache
def said(voice: str, sentences: tuple[str, ...]) -> Said:
    """Return sentences one after the other, with pauses around them."""
    gap = np.zeros(round(PAUSE * SAMPLE_RATE), np.float32)
    parts, phones, now = [gap], [Phone("", 0.0, PAUSE)], PAUSE
    for text in sentences:
        sound, heard = spoken(text, voice)
        phones += [Phone(name, start + now, end + now) for name, start, end in heard]
        parts += [sound, gap]
        now += len(sound) / SAMPLE_RATE
        phones.append(Phone("", now, now + PAUSE))
        now += PAUSE
    return Said(np.concatenate(parts), phones)


def write_sound(path: Path, speech: np.ndarray) -> None:
    """Write mono speech, float32 (N,), as 16-bit WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(speech, -1, 1) * 32767).astype("<i2").tobytes())


@contextmanager
def hearing(*, with_phones: bool) -> Iterator[None]:
    """Hide pocketsphinx while one listens without phones, as if it were not installed."""
    if with_phones:
        yield
        return
    before = sys.modules.get("pocketsphinx")
    sys.modules["pocketsphinx"] = None  # type: ignore[assignment]  # what import looks for
    try:
        yield
    finally:
        del sys.modules["pocketsphinx"]
        if before is not None:
            sys.modules["pocketsphinx"] = before


def rendered(avatar: Path, sound: Path, path: Path, mode: str = "puppet", **more: object) -> Path:
    """Make the finished video. more: of LipSyncConfig; what it does not know is left out."""
    known = {field.name for field in fields(LipSyncConfig)}
    options = {name: value for name, value in more.items() if name in known}
    config = LipSyncConfig(mode=mode, fps=RATE, **options)  # type: ignore[arg-type]
    result = MuseTalkLipSync().generate(avatar, sound, path, config)
    if not result.success:
        raise SystemExit(f"{avatar}: {result.error}")
    return path


def reduced(avatar: Path, folder: Path) -> Path:
    """Return a picture of at most LARGEST_SIDE pixels a side; videos stay as they are."""
    picture = cv2.imread(str(avatar))
    if picture is None or max(picture.shape) <= LARGEST_SIDE:
        return avatar
    scale = LARGEST_SIDE / max(picture.shape)
    path = folder / f"{avatar.stem}.png"
    cv2.imwrite(str(path), cv2.resize(picture, None, fx=scale, fy=scale, interpolation=3))
    return path


def at_rest(phones: list[Phone], count: int) -> np.ndarray:
    """Return bool (T,): frames well inside a pause."""
    times = (np.arange(count) + 0.5) / float(RATE)
    rest = np.zeros(count, bool)
    for start, end in pauses(phones):
        rest |= (times >= start + SETTLED[0]) & (times <= end - SETTLED[1])
    return rest


def shapes_seen(seen: Readings) -> MouthShapes:
    """Return what was read as the driver's curves, for the same counting."""
    shut = (seen.gap <= SHUT).astype(float)
    return MouthShapes(seen.gap, seen.width, shut, np.zeros_like(shut))


def correlations(gap: np.ndarray, truth: np.ndarray, source: np.ndarray) -> tuple[float, float]:
    """Return that of gap and truth, and the partial one of gap and source given the truth."""
    table = np.corrcoef([gap, truth, source])
    with_truth, with_source, theirs = table[0, 1], table[0, 2], table[1, 2]
    rest = (1 - with_truth**2) * (1 - theirs**2)
    return float(with_truth), float((with_source - with_truth * theirs) / np.sqrt(rest))


class Ruler:
    """Measures one avatar by one way of hearing, a language at a time."""

    def __init__(self, networks: MeshNetworks, avatar: Path, folder: Path, way: str) -> None:
        self._networks, self._folder, self._way = networks, folder, way
        self._avatar = reduced(avatar, folder)
        self._loaded = load_avatar(self._avatar)
        self._is_still = self._loaded.frame_count == 1
        self.all = Figures()

    def measure(self, name: str, voice: str) -> list[str]:
        """Render what a language says of those SENTENCES, read it, and return lines about it."""
        what = said(voice, SENTENCES[name][voice])
        sound = self._folder / f"{name}-{voice}.wav"
        write_sound(sound, what.speech)
        own = self._readings(sound, "static") if not self._is_still else None
        readings = self._readings(sound, "puppet")
        rest = at_rest(what.phones, len(readings.gap))
        seen, shut = readings.in_widths(rest)
        figures, shapes = Figures(), shapes_seen(seen)
        for one in (figures, self.all):
            one.add(what.phones, shapes)
        lines = [f"{voice}: shut lips read {shut:.3f}{self._source_gap(shut)}", *figures.lines()]
        if own is not None:
            times = (np.arange(len(seen.gap)) + 0.5) / float(RATE)
            source = own.in_widths(rest)[0].gap
            follows, keeps = correlations(seen.gap, curve(what.phones, times), source)
            lines.append(
                f"with the truth {follows:.2f} (goal 0.7), with the source's mouth given the"
                f" truth {keeps:.2f} (goal at most 0.3); without a face"
                f" {np.mean(~np.isfinite(readings.gap)):.0%}"
            )
        return lines

    def jfk(self, recording: Path) -> str:
        """Return how many of the recording's closures are shut, lips and others."""
        readings = self._readings(recording, "puppet")
        times = (np.arange(len(readings.gap)) + 0.5) / float(RATE)
        speech = load_speech(recording).speech
        loud = np.array(
            [np.abs(speech[int(SAMPLE_RATE * t) :][:640]).max(initial=0) for t in times]
        )
        gap = readings.in_widths(loud < 0.1 * loud.max())[0].gap
        shut: dict[bool, list[bool]] = {True: [], False: []}
        for time, lips in JFK:
            shut[lips].append(bool((gap[np.abs(times - time) <= NEAR] <= SHUT).any()))
        counts = ", ".join(f"{sum(one)} of {len(one)}" for one in shut.values())
        return f"jfk shut, lips and others: {counts}"

    def _readings(self, sound: Path, mode: str) -> Readings:
        name = f"{self._avatar.stem}-{sound.stem}-{self._way}-{mode}.mp4"
        path = rendered(self._avatar, sound, self._folder / name, mode)
        return read_mouths(self._networks, path, is_still=self._is_still)

    def _source_gap(self, shut: float) -> str:
        """Say what the untouched picture reads, in mouth widths."""
        text = " mouth widths: judge by eye" if shut > MOST_AT_REST else " mouth widths"
        faces = find_meshes(self._networks, self._loaded.first_frame()) if self._is_still else []
        if not faces:
            return text
        gap, width, *_ = measured(faces[0].points)
        return f", the source {gap / width:.3f}{text}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("avatars", nargs="+", type=Path)
    parser.add_argument("--models", type=Path, help="folder of models that holds the face mesh")
    parser.add_argument("--jfk", type=Path, help="jfk.flac")
    parser.add_argument("--languages", nargs="+", choices=RULER, default=list(RULER))
    parser.add_argument("--sentences", nargs="+", choices=SENTENCES, default=["ruler"])
    parser.add_argument("--ways", nargs="+", choices=("with", "without"))
    parser.add_argument("--keep", type=Path, help="folder for the videos")
    options = parser.parse_args()
    networks = networks_in(options.models)
    ways = options.ways or (("with", "without") if can_hear_phones() else ("without",))
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for avatar in options.avatars:
            for way in ways:
                print(f"{avatar.name}, {way} pocketsphinx")
                ruler = Ruler(networks, avatar, folder, way)
                with hearing(with_phones=way == "with"):
                    for name, voice in product(options.sentences, options.languages):
                        lines = "\n    ".join(ruler.measure(name, voice))
                        print(f"  {name}, {lines}", flush=True)
                    if options.jfk is not None:
                        print("  " + ruler.jfk(options.jfk))
                for goal in goals(with_phones=way == "with"):
                    print(goal.line(ruler.all), flush=True)


if __name__ == "__main__":
    main()
