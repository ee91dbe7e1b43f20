"""The truth and the ruler of the mouth's motion: what espeak-ng said, against the driver's curves.

    python benchmarks/mouth_truth.py [jfk.flac]

Prints for each language, of the ruler's sentences and of others, the share of m b p shut inside
60 ms of their time, the share of t d k g s z n l that come out shut though no lip sound is near,
the width of round vowels against i and e, how far vowels open, silence, steps, and a confusion
table of shapes.
With pocketsphinx installed both ways are printed, else only the one by sound.
The recording jfk.flac has closures at known times (forced alignment, checked against the level;
not by ear): those of the lips should be shut, the others not.
The table of what each phone should look like is below; the package never reads it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from espeak import SAMPLE_RATE, Phone, spoken
from mouth_sentences import HELD_OUT, RULER

from avatarvideo.musetalk.puppet.phones import can_hear_phones, phones_heard
from avatarvideo.musetalk.puppet.pose import MouthShapes
from avatarvideo.musetalk.puppet.shapes import mouth_shapes

RATE = Fraction(25)
SHUT = 0.02  # mouth widths
NEAR = 0.06  # s
LONG = 0.12  # s
PAUSE = 0.2  # s
LIPS, OTHERS, TEETH = "mbp", "tdkɡszln", "fv"
ROUND, WIDE, OPEN = "uʊoɔyøw", "iɪeɛ", "aɑæʌɐəɜɚᵻ"
# First sound of a phone: opening in mouth widths, width, closed, lower lip to the teeth.
TARGETS = {
    **dict.fromkeys(LIPS, (0.0, 1.0, 1, 0)),
    **dict.fromkeys(TEETH, (0.04, 1.0, 0, 1)),
    **dict.fromkeys(ROUND, (0.25, 0.8, 0, 0)),
    **dict.fromkeys(WIDE, (0.25, 1.05, 0, 0)),
    **dict.fromkeys(OPEN, (0.35, 1.0, 0, 0)),
    **dict.fromkeys(OTHERS, (0.08, 1.0, 0, 0)),
}

JFK = (  # s, and whether the lips meet
    *((0.99, True), (1.72, True)),
    *((2.02, False), (3.78, False), (4.32, False), (5.56, False), (5.92, False)),
    *((6.16, False), (6.46, False), (6.69, False), (8.55, False), (8.78, False)),
    *((9.2, False), (9.42, False), (10.05, False)),
)


@dataclass
class Figures:
    """What was counted; shares are made of lists of booleans or numbers."""

    lips_shut: list[bool] = field(default_factory=list)
    others_shut: list[bool] = field(default_factory=list)
    round_width: list[float] = field(default_factory=list)
    wide_width: list[float] = field(default_factory=list)
    long_vowels: list[float] = field(default_factory=list)
    short_vowels: list[float] = field(default_factory=list)
    silence: list[bool] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    correlation: list[float] = field(default_factory=list)
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, phones: list[Phone], shapes: MouthShapes) -> None:
        times = (np.arange(len(shapes.opening)) + 0.5) / float(RATE)
        lips = [phone for phone in phones if phone.name[:1] in tuple(LIPS)]
        silent = np.zeros(len(times), bool)
        for phone in phones:
            silent |= (not phone.name) & (times >= phone.start - 0.02) & (times <= phone.end)
        for phone in phones:
            start, end = phone.held
            middle = (start + end) / 2
            near = np.abs(times - middle) <= NEAR
            inside = (times >= start - 0.02) & (times <= end + 0.02)
            first = phone.name[:1] or "_"
            if first in LIPS:
                self.lips_shut.append(bool((shapes.opening[near] <= SHUT).any()))
            elif first in OTHERS and not any(_touch(phone, lip) for lip in lips):
                said = near & ~silent  # a pause may shut the mouth right after them
                self.others_shut.append(bool((shapes.opening[said] <= SHUT).any()))
            elif first in ROUND + WIDE + OPEN and inside.any():
                longer = phone.end - phone.start >= LONG
                vowels = self.long_vowels if longer else self.short_vowels
                vowels.append(float(shapes.opening[inside].max()))
            if inside.any():
                self._add_shape(first, shapes, int(np.argmin(np.abs(times - middle))))
        for start, end in pauses(phones):
            quiet = (times >= start) & (times < end)
            self.silence += (shapes.opening[quiet] <= 0.015).tolist()
        self.steps += np.abs(np.diff(shapes.opening)).tolist()
        self.correlation.append(float(np.corrcoef(shapes.opening, curve(phones, times))[0, 1]))

    def _add_shape(self, first: str, shapes: MouthShapes, frame: int) -> None:
        width = float(shapes.width[frame])
        if first in ROUND and first != "w":
            self.round_width.append(width)
        elif first in "ie":
            self.wide_width.append(width)
        wanted = next(
            (
                name
                for name, sounds in (
                    ("closed", LIPS),
                    ("tuck", TEETH),
                    ("round", ROUND),
                    ("wide", WIDE),
                    ("open", OPEN),
                )
                if first in sounds
            ),
            "rest",
        )
        self.confusion[wanted, shape_name(shapes, frame)] += 1

    def lines(self) -> list[str]:
        steps = np.array(self.steps)
        lengths = (("long", 0.25, self.long_vowels), ("short", 0.12, self.short_vowels))
        vowels = ", ".join(
            f"{name} {np.mean(np.array(peaks) >= goal):.0%} (median {np.median(peaks):.2f})"
            for name, goal, peaks in lengths
            if peaks
        )
        names = ("closed", "tuck", "wide", "round", "open", "rest")
        table = [
            f"    {wanted:7s}" + "".join(f"{self.confusion[wanted, got]:7d}" for got in names)
            for wanted in names
        ]
        ratio = np.mean(self.round_width) / np.mean(self.wide_width)
        return [
            f"m b p shut {np.mean(self.lips_shut):.0%} of {len(self.lips_shut)};"
            f" t d k g s z n l shut {np.mean(self.others_shut):.0%} of {len(self.others_shut)}",
            f"round/wide width {ratio:.3f}; vowels that reach their goal: {vowels}",
            f"silence shut {np.mean(self.silence) if self.silence else 1:.0%} of"
            f" {len(self.silence)}; largest step {steps.max():.3f}, over 0.15:"
            f" {np.mean(steps > 0.15):.1%}; correlation {np.mean(self.correlation):.2f}",
            "    wanted " + "".join(f"{name:>7s}" for name in names),
            *table,
        ]


def _touch(phone: Phone, lip: Phone) -> bool:
    (start, end), (first, last) = phone.held, lip.held
    return start - NEAR < last and end + NEAR > first


def shape_name(shapes: MouthShapes, frame: int) -> str:
    """Return which shape is seen in a frame."""
    opening, width = shapes.opening[frame], shapes.width[frame]
    if opening <= SHUT:
        return "closed"
    if shapes.tuck[frame] > 0.5:
        return "tuck"
    if opening < 0.1:
        return "rest"
    return "round" if width < 0.9 else "wide" if width > 1.0 else "open"


def pauses(phones: list[Phone]) -> list[tuple[float, float]]:
    """Return silences over 200 ms, without the closure of the stop that ends them."""
    found: list[tuple[float, float]] = []
    for phone in phones:
        if phone.name:
            continue
        if found and found[-1][1] == phone.start:
            found[-1] = (found[-1][0], phone.end)
        else:
            found.append((phone.start, phone.end))
    return [(start, end) for start, end in found if end - start > PAUSE]


def curve(phones: list[Phone], times: np.ndarray) -> np.ndarray:
    """Return the opening (T,) that the table asks for.

    Silence over 200 ms is shut, because the goal for silence wants it within 0.015 of shut; a
    shorter one counts as any other sound, 0.08 open.
    """
    wanted = np.zeros(len(times))
    for phone in phones:
        start, end = phone.held
        wanted[(times >= start) & (times < end)] = TARGETS.get(phone.name[:1], (0.08,))[0]
    for start, end in pauses(phones):
        wanted[(times >= start) & (times < end)] = 0
    return np.convolve(wanted, [0.25, 0.5, 0.25], mode="same")


def measured(sentences: tuple[str, ...], voice: str, *, with_phones: bool) -> Figures:
    figures = Figures()
    for phones, shapes in spoken_shapes(sentences, voice, with_phones=with_phones):
        figures.add(phones, shapes)
    return figures


def spoken_shapes(
    sentences: tuple[str, ...], voice: str, *, with_phones: bool
) -> Iterator[tuple[list[Phone], MouthShapes]]:
    """Iterate over what was said, after half a second, and what the driver made of it."""
    gap = np.zeros(SAMPLE_RATE // 2, np.float32)
    for text in sentences:
        sound, phones = spoken(text, voice)
        speech = np.concatenate([gap, sound, gap])
        later = [Phone("", 0.0, 0.5)]
        later += [Phone(name, start + 0.5, end + 0.5) for name, start, end in phones]
        later.append(Phone("", later[-1].end, len(speech) / SAMPLE_RATE))
        shapes = mouth_shapes(
            speech,
            frame_rate=RATE,
            frame_count=round(len(speech) * RATE / SAMPLE_RATE),
            phones=phones_heard(speech) if with_phones else None,
        )
        yield later, shapes


def jfk_line(path: Path, *, with_phones: bool) -> str:
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
        parts = [p for f in container.decode(audio=0) for p in resampler.resample(f)]
        parts += resampler.resample(None)
    speech = np.concatenate([part.to_ndarray()[0] for part in parts])
    shapes = mouth_shapes(
        speech,
        frame_rate=RATE,
        frame_count=round(len(speech) * RATE / SAMPLE_RATE),
        phones=phones_heard(speech) if with_phones else None,
    )
    times = (np.arange(len(shapes.opening)) + 0.5) / float(RATE)
    shut = {lips: [] for lips in (True, False)}
    for time, lips in JFK:
        shut[lips].append(bool((shapes.opening[np.abs(times - time) <= NEAR] <= SHUT).any()))
    return ", ".join(f"{sum(found)} of {len(found)}" for found in shut.values())


def main() -> None:
    ways = (False, True) if can_hear_phones() else (False,)
    for with_phones in ways:
        for name, spoken_ones in (("ruler", RULER), ("held out", HELD_OUT)):
            for language, sentences in spoken_ones.items():
                way = "with" if with_phones else "without"
                print(f"{language}, {name}, {way} pocketsphinx")
                for line in measured(sentences, language, with_phones=with_phones).lines():
                    print("  " + line)
        for path in sys.argv[1:]:
            print(f"jfk shut, lips and others: {jfk_line(Path(path), with_phones=with_phones)}")


if __name__ == "__main__":
    sys.exit(main())
