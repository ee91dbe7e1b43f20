"""How well the score finds planted shifts and swapped speech: renders whose truth is known.

    AVATAR_MODELS=FOLDER python benchmarks/score.py [--renders 40] [--portrait PICTURE] [--json]
    AVATAR_MODELS=FOLDER python benchmarks/score.py --clips VIDEO ...

A portrait's mouth is moved by espeak-ng's own phone times and the table of mouth_truth.py, which
the package never reads; each clip lasts five seconds, 256 x 256 pixels, and passes through H.264.
Then the sound is shifted by a frame either way, left alone, and swapped for that of other texts.
With --clips, videos are measured instead, with their own sound and with that sound shifted; nobody
knows their true offset, so only the differences say something.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import clone  # noqa: F401
import cv2
import numpy as np
from espeak import SAMPLE_RATE, Phone, spoken
from mouth_truth import TARGETS
from score_sentences import SPOKEN, VARIANTS

from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.picture import read_image
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.media import AudioClip
from avatarvideo.musetalk.face.finder import locate_face
from avatarvideo.musetalk.puppet.pose import MouthPose
from avatarvideo.musetalk.puppet.puppet import Puppet
from avatarvideo.musetalk.score.offset import Offset, find_offset
from avatarvideo.musetalk.score.score import Score, score_video
from avatarvideo.musetalk.score.speech import heard

PORTRAIT = Path(__file__).resolve().parent.parent / "web" / "samples" / "portrait.png"
RATE = Fraction(25)
SECONDS, LEAD_SECONDS, SIDE = 5, 0.2, 256
ROOM = 1.6  # sides of the face that are seen
SHIFTS = (-1, 0, 1)  # frames
OTHERS = (2, 6, 10, 14, 18)  # numbers of texts further on whose sound is swapped in
NEAR = 0.5  # frames: a shift is found within that


def main() -> None:
    options = _options()
    host = StandaloneHost(show_progress=False)
    if options.clips:
        for path in options.clips:
            print(json.dumps({"clip": path.name, **_clip_row(path, host)}), flush=True)
        return
    picture = close_up(read_image(options.portrait), host)
    talks = [
        talk(language + voice, text)
        for language, texts in SPOKEN.items()
        for text in texts
        for voice in VARIANTS
    ]
    chosen = range(len(talks))[:: max(1, len(talks) // options.renders)][: options.renders]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in chosen:
            sound, phones = talks[number]
            path = Path(folder, f"{number}.mp4")
            encode_frames(
                rendered(picture, opening(phones), host),
                path,
                frame_rate=RATE,
                config=EncodingConfig(quality="high"),
                audio=clip(sound),
            )
            rows.append(_row(score_video(path, host=host), talks, number))
            if not options.json:
                print(json.dumps(rows[-1]), flush=True)
            path.unlink()
    print(json.dumps(rows) if options.json else "\n".join(summary(rows)))


def close_up(picture: np.ndarray, host: StandaloneHost) -> np.ndarray:
    """Return the face and as much again round it, SIDE x SIDE."""
    box = locate_face(picture, model_folders=host.model_directories).box
    if box is None:
        raise SystemExit("Expected a portrait with a face.")
    half = min(max(box.width, box.height), *picture.shape[:2]) / 2 * ROOM
    x, y = (
        min(max((low + high) / 2, half), length - half)
        for low, high, length in (
            (box.x0, box.x1, picture.shape[1]),
            (box.y0, box.y1, picture.shape[0]),
        )
    )
    part = picture[round(y - half) : round(y + half), round(x - half) : round(x + half)]
    return cv2.resize(np.ascontiguousarray(part), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def talk(voice: str, text: str) -> tuple[np.ndarray, list[Phone]]:
    """Return SECONDS of mono speech, float32, 16 kHz, and its phones."""
    sound, phones = spoken(text, voice)
    whole = np.zeros(SECONDS * SAMPLE_RATE, np.float32)
    first = round(LEAD_SECONDS * SAMPLE_RATE)
    whole[first : first + len(sound)] = sound[: len(whole) - first]
    return whole, [Phone(p.name, p.start + LEAD_SECONDS, p.end + LEAD_SECONDS) for p in phones]


def opening(phones: list[Phone]) -> np.ndarray:
    """Return the true opening (T,) in mouth widths: the table's, blended from frame to frame."""
    times = (np.arange(round(SECONDS * RATE)) + 0.5) / float(RATE)
    wanted = np.zeros(len(times))
    for phone in phones:
        start, end = phone.held
        said = (times >= start) & (times < end)
        wanted[said] = TARGETS.get(phone.name[:1], (0.08,))[0] if phone.name else 0.0
    return np.convolve(wanted, [0.25, 0.5, 0.25], mode="same")


def rendered(
    picture: np.ndarray, openings: np.ndarray, host: StandaloneHost
) -> Iterator[np.ndarray]:
    lips = locate_face(picture, model_folders=host.model_directories).lips
    if lips is None:
        raise SystemExit("Expected a portrait in which the lips are found.")
    puppet = Puppet(picture, lips)
    for gap in openings:
        yield posed(puppet, float(gap))


def posed(puppet: Puppet, gap: float) -> np.ndarray:
    """Return the mouth open by a gap in mouth widths, as far as the puppet opens."""
    return puppet.render(MouthPose(gap))


def clip(sound: np.ndarray) -> AudioClip:
    return AudioClip(sound[None], SAMPLE_RATE)


def _row(score: Score, talks: list[tuple[np.ndarray, list[Phone]]], number: int) -> dict[str, Any]:
    """Measure the same opening against shifted and swapped sound."""
    step = round(SAMPLE_RATE / RATE)
    shifted = {shift: np.roll(talks[number][0], shift * step) for shift in SHIFTS}
    found = {shift: offset_with(score, sound) for shift, sound in shifted.items()}
    swapped = [offset_with(score, talks[(number + by) % len(talks)][0]) for by in OTHERS]
    return {
        "numbers": score.as_dict()["numbers"],
        "shifts": {shift: _said(each) for shift, each in found.items()},
        "swapped": [_said(each) for each in swapped],
    }


def _clip_row(path: Path, host: StandaloneHost) -> dict[str, Any]:
    """Measure a video as it is, and its opening against its own sound, shifted."""
    score, sound = score_video(path, host=host), read_audio(path)
    rate = score.frames / float(score.times[-1] + score.times[0])
    found: dict[int, list[float] | None] = {}
    for shift in SHIFTS:
        moved = np.roll(sound.samples, round(shift * sound.sample_rate / rate), axis=1)
        expected = heard(replace(sound, samples=moved), lambda: None).expected
        found[shift] = _said(find_offset(score.drop, score.times, expected, rate))
    return {**score.as_dict(), "shifts": found}


def offset_with(score: Score, sound: np.ndarray) -> Offset | None:
    expected = heard(clip(sound), lambda: None).expected
    return find_offset(score.drop, score.times, expected, float(RATE))


def _said(found: Offset | None) -> list[float] | None:
    """Return offset, correlation, certainty, and 1 where it is sure."""
    if found is None:
        return None
    values = (found.frames, found.correlation, found.certainty, float(found.is_sure))
    return [round(value, 3) for value in values]


def summary(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for shift in SHIFTS:
        each = [row["shifts"][shift] for row in rows]
        right = [one is not None and one[3] and abs(one[0] - shift) <= NEAR for one in each]
        values = [one[0] for one in each if one is not None]
        lines.append(
            f"shift {shift:+d}: found {np.mean(right):.1%} of {len(rows)}, median "
            f"{np.median(values):+.2f}, 5 % and 95 % {np.percentile(values, [5, 95]).round(2)}"
        )
    swapped = [one for row in rows for one in row["swapped"]]
    noticed = [one is None or not one[3] for one in swapped]
    lines.append(f"swapped: noticed {np.mean(noticed):.1%} of {len(swapped)}")
    for name in rows[0]["numbers"]:
        values = [row["numbers"][name] for row in rows if row["numbers"][name] is not None]
        if values:
            span = f"{min(values):.4g} to {max(values):.4g}"
            lines.append(f"{name}: median {np.median(values):.4g}, {span}, of {len(values)}")
    return lines


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--renders", type=int, default=40)
    parser.add_argument("--portrait", type=Path, default=PORTRAIT)
    parser.add_argument("--clips", type=Path, nargs="+", metavar="VIDEO")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
