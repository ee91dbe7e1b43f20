"""Where the mouth rests, by kind of voice, and how much of music and noise counts as speech.

    python benchmarks/voice.py [--jfk jfk.flac] [--seeds 3] [--first-seed 0] [--only KIND] [--json]
    python benchmarks/voice.py --pieces MUSIC ... [--singers SINGING ...]
    python benchmarks/voice.py --songs VOICE MUSIC VOICE MUSIC ... [--takes RECORDING ...]

Every sound is made (voice_sounds.py, with espeak-ng), so that it is known where somebody speaks:
several of each kind, another for every seed. The pauses between what is said last 0.8 s. jfk.flac
is marked by hand (jfk_marks.json). --pieces are recordings of music without a voice, of which 90 s
count; --singers are recordings of one who sings alone, heard 6 dB over each of the pieces. --songs
are the tracks of songs: the voice, then all else, as loud as they were mixed. --takes are short
recordings of one kind of voice, heard in a row with pauses of 0.8 s.

Frames are those of a video at 25 a second. Voiced frames are those in which the voice alone lies
within 35 dB of its loudest (28 dB in songs, whose voices echo); in jfk.flac those that lie wholly
in what is marked. Late ones lie in a pause, 120 ms from either end. With --seeds beyond those that
a rule was made with it is held out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import voice_sounds as sounds
from voice_sounds import Voice

from avatarvideo.musetalk.inputs import load_speech
from avatarvideo.musetalk.voice.activity import Activity, activity_by_level, activity_by_network
from avatarvideo.musetalk.voice.gate import gate_of
from avatarvideo.musetalk.voice.levels import HOP, SAMPLE_RATE, WINDOWS_PER_SECOND, levels
from avatarvideo.musetalk.voice.stretches import stretches
from avatarvideo.musetalk.weights.silero_file import find_silero, load_silero

MARKS = Path(__file__).with_name("jfk_marks.json")
RATE = Fraction(25)
FRAME = SAMPLE_RATE // 25  # samples
VOICED_DB, VOICED_IN_SONG_DB = 35.0, 28.0
SILENT_DB = 42.0  # a song's voice pauses where it lies further below its loudest
LONG_PAUSE, LATE = 40, 12  # windows of 10 ms
SECONDS, PIECE_SECONDS = 30, 90  # of made music and noise, of a recording
# dB over music
OVER_MUSIC = {
    "speech, English": (30, 20, 10),
    "sung words": (20, 12, 6),
    "sung vowels": (20, 12, 6),
}
SINGER_OVER = 6

KINDS = {
    "speech, English": sounds.speech("en-us"),
    "speech, German": sounds.speech("de"),
    "speech, Spanish": sounds.speech("es"),
    "whisper": sounds.whisper,
    "shouting": sounds.shouting,
    "child": sounds.child,
    "laughter": sounds.laughter,
    "sung words": sounds.sung_words,
    "sung vowels": sounds.sung_vowels,
}


@dataclass(frozen=True, eq=False)
class Clip:
    """sound: float32 (N,), 16 kHz. voiced: bool (T,), frames. pauses: in windows of 10 ms."""

    kind: str
    sound: np.ndarray
    voiced: np.ndarray
    pauses: list[tuple[int, int]]


@dataclass
class Row:
    """Frames and windows of one kind, added up."""

    clips: int = 0
    voiced: int = 0
    shut: int = 0
    pause: int = 0
    pause_shut: int = 0
    late: int = 0
    late_open: int = 0
    frames: int = 0
    as_heard: int = 0

    def add(self, clip: Clip, activity: Activity) -> None:
        gate = gate_of(activity.spoken, RATE, clip.voiced.size)
        late = np.zeros(clip.voiced.size, bool)
        for first, end in clip.pauses:
            self.pause += end - first
            self.pause_shut += int((~activity.spoken[first:end]).sum())
            late |= _within(first + LATE, end - LATE, late.size)
        self.clips += 1
        self.frames += clip.voiced.size
        self.as_heard += int((~gate.at_rest).sum())
        self.voiced += int(clip.voiced.sum())
        self.shut += int((clip.voiced & gate.at_rest).sum())
        self.late += int(late.sum())
        self.late_open += int((late & ~gate.at_rest).sum())

    def shares(self) -> dict[str, float | int | None]:
        """Return them in percent; None where nothing of the sort is in it."""
        return {
            "clips": self.clips,
            "voiced_frames": self.voiced,
            "shut": _percent(self.shut, self.voiced),
            "pauses_shut": _percent(self.pause_shut, self.pause),
            "late_open": _percent(self.late_open, self.late),
            "as_heard": None if self.voiced else _percent(self.as_heard, self.frames),
        }


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole else None


def main() -> None:
    options = _options()
    path = find_silero()
    if path is None:
        raise SystemExit("Expected the package silero-vad: pip install silero-vad.")
    network = load_silero(path)
    table: dict[str, tuple[Row, Row]] = {}
    for clip in _clips(options):
        network_row, level_row = table.setdefault(clip.kind, (Row(), Row()))
        network_row.add(clip, activity_by_network(network, clip.sound))
        level_row.add(clip, activity_by_level(clip.sound))
    rows: list[dict[str, Any]] = [
        {"kind": kind, "silero-vad": heard.shares(), "loudness": loud.shares()}
        for kind, (heard, loud) in table.items()
    ]
    print(json.dumps(rows, indent=1) if options.json else _lines(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jfk", type=Path, help="jfk.flac")
    parser.add_argument("--seeds", type=int, default=3, help="how many of each kind")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds whose name contains this")
    parser.add_argument("--pieces", type=Path, nargs="+", default=[], help="music without a voice")
    parser.add_argument("--singers", type=Path, nargs="+", default=[], help="singing without music")
    parser.add_argument("--songs", type=Path, nargs="+", default=[], help="voice, then all else")
    parser.add_argument("--takes", type=Path, nargs="+", default=[], help="voices of one kind")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _clips(options: argparse.Namespace) -> Iterator[Clip]:
    if options.pieces or options.songs or options.takes:
        yield from _recorded(options.pieces, options.singers)
        yield from songs(options.songs)
        if options.takes:
            takes = [load_speech(path).speech for path in options.takes]
            yield clip_of("recorded takes", sounds.in_a_row(takes, np.random.default_rng(0)))
        return
    if options.jfk is not None and options.only in "jfk.flac":
        yield jfk(options.jfk)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        yield from _made(seed, options.only)


def jfk(path: Path) -> Clip:
    """Return the recording with its marks; before the first word it is no long pause."""
    sound = load_speech(path).speech
    marks = [
        [round(WINDOWS_PER_SECOND * place) for place in each]
        for each in json.loads(MARKS.read_text())["spoken"]
    ]
    voiced = np.zeros(sound.size // FRAME, bool)
    for first, end in marks:
        voiced |= _within(first, end, voiced.size)
    pauses = [(end, first) for (_, end), (first, _) in pairwise(marks)]
    return Clip("jfk.flac, marked by hand", sound, voiced, pauses)


def _within(first: int, end: int, count: int) -> np.ndarray:
    """Return bool (T,): frames that lie wholly within these windows of 10 ms."""
    begins = np.arange(count) * FRAME // HOP
    return (begins >= first) & (begins + FRAME // HOP <= end)


def clip_of(kind: str, voice: Voice, *, heard: np.ndarray | None = None) -> Clip:
    """Return a voice with what is voiced of it. heard: the voice with what sounds beside it."""
    voiced = _voiced(voice.sound, VOICED_DB)
    edges = [0, *(place for part in voice.parts for place in part), voice.sound.size]
    pauses = [
        (-(-end // HOP), first // HOP)
        for end, first in zip(edges[::2], edges[1::2], strict=True)
        if first - end > LONG_PAUSE * HOP
    ]
    return Clip(kind, voice.sound if heard is None else heard, voiced, pauses)


def _voiced(voice: np.ndarray, within: float) -> np.ndarray:
    """Return bool (T,): frames in which a voice lies within so many dB of its loudest frame."""
    energy = (voice[: voice.size // FRAME * FRAME].reshape(-1, FRAME) ** 2).mean(1)
    return energy > energy.max() * 10 ** (-within / 10)


def _without_voice(kind: str, sound: np.ndarray) -> Clip:
    return Clip(kind, sound, np.zeros(sound.size // FRAME, bool), [])


def _made(seed: int, only: str) -> Iterator[Clip]:
    """Yield every kind whose name contains that, made with that seed."""
    for kind, make in KINDS.items():
        if only in kind:
            yield clip_of(kind, make(_source(seed, kind)))
    for style in sounds.STYLES:
        for name, over in OVER_MUSIC.items():
            kinds = {f"{name} {decibels} dB over music": decibels for decibels in over}
            chosen = [kind for kind in kinds if only in kind]
            if chosen:
                source = _source(seed, name + style)
                voice = KINDS[name](source)
                background = sounds.music(style, voice.sound.size / SAMPLE_RATE, source)
                for kind in chosen:
                    heard = sounds.over(voice.sound, background, kinds[kind])
                    yield clip_of(kind, voice, heard=heard)
        if only in f"music: {style}":
            piece = sounds.music(style, SECONDS, _source(seed, style))
            yield _without_voice(f"music: {style}", 0.3 * piece / np.abs(piece).max())
    for kind in sounds.NOISES:
        if only in f"noise: {kind}":
            sound = sounds.noise(kind, SECONDS, _source(seed, kind))
            yield _without_voice(f"noise: {kind}", sound)


def _source(seed: int, kind: str) -> np.random.Generator:
    return np.random.default_rng([seed, *kind.encode()])


def _recorded(pieces: list[Path], singers: list[Path]) -> Iterator[Clip]:
    music = [load_speech(path).speech[: PIECE_SECONDS * SAMPLE_RATE] for path in pieces]
    for piece in music:
        yield _without_voice("recorded music", piece)
    for path in singers:
        singing = load_speech(path).speech
        yield clip_of("recorded singing", Voice(singing, [(0, singing.size)]))
        for piece in music:
            part = _loudest(piece, singing.size)
            voice = Voice(singing[: part.size], [(0, part.size)])
            kind = f"recorded singing {SINGER_OVER} dB over music"
            yield clip_of(kind, voice, heard=sounds.over(voice.sound, part, SINGER_OVER))


def songs(paths: list[Path]) -> Iterator[Clip]:
    """Yield every song, its voice and its music, of files that hold these two in turn."""
    for path, music in zip(paths[::2], paths[1::2], strict=True):
        voice, accompaniment = (load_speech(each).speech for each in (path, music))
        count = min(voice.size, accompaniment.size)
        voiced, level = _voiced(voice[:count], VOICED_IN_SONG_DB), levels(voice[:count])
        pauses = [
            (first, end)
            for first, end in stretches(level < level.max() - SILENT_DB)
            if end - first > LONG_PAUSE
        ]
        whole = voice[:count] + accompaniment[:count]
        yield Clip("recorded songs", whole, voiced, pauses)
        yield Clip("their voices alone", voice[:count], voiced, pauses)
        yield _without_voice("their music alone", accompaniment[:count])


def _loudest(piece: np.ndarray, count: int) -> np.ndarray:
    """Return the loudest part of a piece, of that many samples or all of it."""
    energy = np.concatenate([[0.0], np.cumsum(piece.astype(np.float64) ** 2)])
    first = int((energy[count:] - energy[:-count]).argmax()) if count < piece.size else 0
    return piece[first : first + count]


def _lines(rows: list[dict[str, Any]]) -> str:
    head = "| Sound | Clips | Voiced frames | Shut | Pauses shut | Late frames open | As heard |"
    lines = [head, "|---|" + "---|" * 6]
    for row in rows:
        heard, loud = row["silero-vad"], row["loudness"]
        cells = [str(heard[name]) for name in ("clips", "voiced_frames")]
        for name in ("shut", "pauses_shut", "late_open", "as_heard"):
            cells.append("" if heard[name] is None else f"{heard[name]}, {loud[name]} %")
        lines.append(f"| {row['kind']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
