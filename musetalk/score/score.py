"""The score of one talking video: every number that can be measured, and why the others cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...encoders.read.audio import read_audio
from ...encoders.read.file_clip import open_video_file
from ...encoders.read.open import checked_input
from ...encoders.read.picture import is_image
from ...errors import CheckpointError, MediaError
from ...host.contract import Host
from ...host.current import current_host
from ...media import AudioClip, Clip
from ...pasted import existing
from ..face.mesh_networks import mesh_networks, mesh_problem
from ..inputs import load_avatar
from .numbers import OF, SURE
from .offset import Offset, find_offset
from .pictures import LEAST_MOUTH
from .speech import Speech, heard
from .watch import Seen, watched

LEAST_SILENT = 5  # frames
LEAST_SEEN = 10  # frames with a face, unless all have one
NO_FACE = "No face is seen in this video."
SEVERAL_FACES = (
    "{count} faces of similar size are seen, and it is not known whose mouth should follow the "
    "sound: crop the video to one of them."
)
STILL = "The mouth does not move: this is a still picture, or somebody who does not speak."
STILL_WITH_SOUND = (
    "The mouth does not move: this is a still picture with sound, or somebody who does not speak."
)
NO_SOUND = "The video has no sound."
NO_SPEECH = "Nobody speaks in the sound."
NO_SILENCE = "Hardly any frame is without speech."
TOO_SHORT = "There is less than a second with both a face and speech to compare."
FEW_FRAMES = "Fewer than 10 frames show how the mouth moves in the head."
UNSURE = (
    "Mouth and speech match no better than chance at any shift ({certainty:.1f} deviations, "
    "{needed:g} needed): the sound belongs to somebody else, it is off by more than 15 frames, or "
    "too little is said in this video to tell."
)
SOUND_ENDS = (
    "The sound lasts {sound:.1f} s and the pictures {pictures:.1f} s: frames after its end count "
    "as silent."
)
SOUND_GOES_ON = (
    "The sound lasts {sound:.1f} s and the pictures {pictures:.1f} s: the rest of it is left out."
)
OTHER_LENGTH = 1.0  # seconds, from which it is said
SMALL_MOUTH = "The mouth is less than {least:.0f} pixels wide."
NO_SOURCE = "No source was given."
NOT_THERE = {
    "closure": NO_SILENCE,
    "jitter": FEW_FRAMES,
    "sharpness": SMALL_MOUTH.format(least=LEAST_MOUTH),
    "change": NO_SOURCE,
}


@dataclass(frozen=True, eq=False)
class Score:
    """The numbers of ``numbers.NUMBERS`` by their names; None where one cannot be told.

    certainty: how far the offset's peak stands out, in deviations of chance; 4 are needed.
    reasons: for each number that is None, a sentence. notes: sentences on the whole video.
    heard_by: what told speech from silence. times, opening, drop, expected: the curves, one value
    a frame: seconds, the gap between the lips and the lower lip's way down from the nose, both in
    mouth widths (NaN without a face), and the opening that the speech makes plausible.
    """

    numbers: dict[str, float | None]
    certainty: float | None
    reasons: dict[str, str]
    notes: tuple[str, ...]
    frames: int
    frames_with_face: int
    heard_by: str | None
    times: np.ndarray = field(repr=False)
    opening: np.ndarray = field(repr=False)
    drop: np.ndarray = field(repr=False)
    expected: np.ndarray | None = field(repr=False)

    def as_dict(self) -> dict[str, object]:
        """Return what JSON holds of it; the curves are left out."""
        numbers = {
            name: None if value is None else round(value, OF[name].digits + 2)
            for name, value in self.numbers.items()
        }
        return {
            "numbers": numbers,
            "certainty": None if self.certainty is None else round(self.certainty, 2),
            "reasons": self.reasons,
            "notes": list(self.notes),
            "frames": self.frames,
            "frames_with_face": self.frames_with_face,
            "heard_by": self.heard_by,
        }


def score_video(
    path: str | Path,
    *,
    audio: str | Path | None = None,
    source: str | Path | None = None,
    host: Host | None = None,
) -> Score:
    """Measure a video file, whoever made it. Raises MediaError, CheckpointError, Cancelled.

    audio: its sound, where that is in another file. source: the picture or video it was made from.
    """
    host, path = host or current_host(), existing(path)
    check = host.check_cancelled
    if is_image(checked_input(path)):
        raise MediaError(
            f"Expected a video, but {path.name!r} is a picture: score a talking video."
        )
    clip = open_video_file(path, check=check)
    sound = None if audio is None else read_audio(existing(audio), check=check, whole=True)
    origin = None if source is None else load_avatar(source, check=check)
    return score_clip(clip, sound=sound, source=origin, host=host)


def score_clip(
    clip: Clip,
    *,
    sound: AudioClip | None = None,
    source: Clip | None = None,
    host: Host | None = None,
) -> Score:
    """Measure a clip; as ``score_video``. sound: None takes the clip's own."""
    host = host or current_host()
    networks = mesh_networks(host.model_directories)
    if networks is None:
        problem = mesh_problem(host.model_directories)
        raise CheckpointError(f"The score needs the face mesh (4 MB), but {problem}.")
    sound = sound or clip.read_audio()
    speech = None if sound is None else heard(sound, host.check_cancelled)
    seen = watched(clip, source, networks, host)
    return _score(clip, seen, speech, source)


def _score(clip: Clip, seen: Seen, speech: Speech | None, source: Clip | None) -> Score:
    mouth = seen.mouth
    times = _middles(clip, len(mouth.opening))
    reasons, notes = _reasons(seen, speech, source)
    if speech is not None and "offset" not in reasons:
        notes += _lengths(speech.seconds, float(clip.frame_rate), times)
    numbers = _pictured(seen)
    found: Offset | None = None
    if speech is not None:
        numbers["closure"] = _closure(seen, speech.silent(clip.frame_rate, len(times)))
        if "offset" not in reasons:
            found = find_offset(mouth.drop, times, speech.expected, float(clip.frame_rate))
            if (unsure := _unsure(found)) is not None:
                notes.append(unsure)
                reasons |= {"offset": unsure, "correlation": unsure}
            elif found is not None:
                numbers |= {"offset": found.frames, "correlation": found.correlation}
    numbers, reasons = _only_with_reason(numbers, reasons)
    return Score(
        numbers=numbers,
        certainty=None if found is None else found.certainty,
        reasons=reasons,
        notes=tuple(notes),
        frames=len(times),
        frames_with_face=int(mouth.seen.sum()),
        heard_by=None if speech is None else speech.detector,
        times=times,
        opening=mouth.opening,
        drop=mouth.drop,
        expected=None if speech is None else speech.at(times),
    )


def _pictured(seen: Seen) -> dict[str, float | None]:
    """Return what the pictures alone say."""
    return {
        "jitter": seen.mouth.jitter(),
        "sharpness": float(np.median(seen.sharpness)) if seen.sharpness else None,
        "change": float(np.mean(seen.change)) if seen.change else None,
    }


def _closure(seen: Seen, silent: np.ndarray) -> float | None:
    enough = (silent & seen.mouth.seen).sum() >= LEAST_SILENT
    return seen.mouth.closure(silent) if enough else None


def _only_with_reason(
    numbers: Mapping[str, float | None], reasons: Mapping[str, str]
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return all numbers in their order, without those that mean nothing, and why they are not."""
    given = {name: None if name in reasons else numbers.get(name) for name in OF}
    missing = (name for name, value in given.items() if value is None)
    return given, {name: reasons.get(name, NOT_THERE.get(name, TOO_SHORT)) for name in missing}


def _reasons(
    seen: Seen, speech: Speech | None, source: Clip | None
) -> tuple[dict[str, str], list[str]]:
    """Return what makes numbers meaningless before they are computed, and say it once."""
    mouth, notes, reasons = seen.mouth, list[str](), dict[str, str]()
    if not seen.faces or seen.faces > 1:
        why = SEVERAL_FACES.format(count=seen.faces) if seen.faces else NO_FACE
        return dict.fromkeys(OF, why), [why]
    if (count := int(mouth.seen.sum())) < len(mouth.seen):
        notes.append(f"A face is seen in {count} of {len(mouth.seen)} frames.")
        if count < LEAST_SEEN:
            return dict.fromkeys(OF, notes[0]), notes
    if source is None or seen.shape_problem:
        reasons["change"] = seen.shape_problem or NO_SOURCE
        notes += [seen.shape_problem] if seen.shape_problem else []
    lack = NO_SOUND if speech is None else None if speech.spoken.any() else NO_SPEECH
    if not mouth.moves:
        still = STILL if speech is None else STILL_WITH_SOUND
        notes.append(still)
        reasons |= dict.fromkeys(("offset", "correlation", "closure", "jitter"), still)
    elif lack is not None:
        notes.append(lack)
        reasons |= dict.fromkeys(("offset", "correlation", "closure"), lack)
    return reasons, notes


def _lengths(sound: float, frame_rate: float, times: np.ndarray) -> list[str]:
    """Return a sentence where sound and pictures are not of one length, as of two files."""
    pictures = float(times[-1]) + 0.5 / frame_rate
    if abs(sound - pictures) < OTHER_LENGTH:
        return []
    sentence = SOUND_ENDS if sound < pictures else SOUND_GOES_ON
    return [sentence.format(sound=sound, pictures=pictures)]


def _unsure(found: Offset | None) -> str | None:
    if found is None:
        return TOO_SHORT
    return None if found.is_sure else UNSURE.format(certainty=found.certainty, needed=SURE)


def _middles(clip: Clip, count: int) -> np.ndarray:
    """Return the middle of each frame's time on screen, seconds from the first."""
    starts = np.array([float(time) for time in clip.frame_times][:count])
    if len(starts) < count or count < 2:
        return (np.arange(count) + 0.5) / float(clip.frame_rate)
    lengths = np.diff(starts)
    return starts + np.append(lengths, lengths[-1]) / 2
