"""MuseTalkLipSync's further speakers: a socket for each one's speech and whose face it moves."""

from __future__ import annotations

from typing import Any

from ..errors import MediaError
from ..host.current import current_host
from ..media import Mel
from ..musetalk.speaker import Speaker, is_track_file
from .widgets import Values, find_file, fingerprint, own_widget

NUMBERS = (2, 3, 4)  # of the further speakers
PER_CHANNEL = "speaker_per_channel"
_WHOSE = (
    "The face of this speaker: a number by size (0 is the largest), left 0 for the leftmost, a "
    "point on it as x,y, or a track file (.json). If empty, the largest face that no other "
    "speaker uses."
)


def speaker_inputs() -> Values:
    """Return the inputs in their order, which saved workflows rely on."""
    inputs: Values = {
        PER_CHANNEL: own_widget(
            False,
            "Each channel of the mel's audio holds one speaker: the first uses face, the others "
            "face 2 and so on.",
        )
    }
    for number in NUMBERS:
        inputs[f"mel_{number}"] = (
            "MEL",
            {"tooltip": f"What speaker {number} says, at the same time; from Audio to Mel."},
        )
        inputs[f"face_{number}"] = own_widget("", _WHOSE)
    return inputs


def with_speakers(options: Values, mel: Mel) -> Values:
    """Return options of LipSyncConfig from the node's own. Raises MediaError."""
    rest = dict(options)
    per_channel = rest.pop(PER_CHANNEL, False)
    mels = {number: rest.pop(f"mel_{number}", None) for number in NUMBERS}
    faces = {number: _face(rest.pop(f"face_{number}", "")) for number in NUMBERS}
    if "face" in rest:
        rest["face"] = _face(rest["face"])
    for number, each in mels.items():
        if each is not None and not isinstance(each, Mel):
            raise MediaError(
                f"Expected a MEL as mel {number}, got {type(each).__name__}: link Audio to Mel."
            )
    linked = [Speaker(audio=each, face=faces[number]) for number, each in mels.items() if each]
    if not per_channel:
        return rest | ({"speakers": tuple(linked)} if linked else {})
    count = len(mel.clip.samples)
    if linked or not 2 <= count <= NUMBERS[-1]:
        got = "further mels linked" if linked else f"audio of {count}"
        raise MediaError(
            f"Expected one mel with 2 to {NUMBERS[-1]} channels, a speaker in each, got {got}: "
            "turn speaker per channel off or link such audio alone."
        )
    channels = (Speaker(face=faces[number], channel=number) for number in NUMBERS[: count - 1])
    return rest | {"channel": 1, "speakers": tuple(channels)}


def unused_faces(options: Values, mel: Mel) -> list[str]:
    """Return a sentence for each face that was given to a speaker who has no speech."""
    notes: list[str] = []
    for number in NUMBERS:
        if not options.get(f"face_{number}", "").strip():
            continue
        if options.get(PER_CHANNEL):
            count = len(mel.clip.samples)
            if number > count:
                notes.append(f"face_{number} was not used: the audio has {count} channels.")
        elif options.get(f"mel_{number}") is None:
            notes.append(f"face_{number} was not used: nothing is linked to mel_{number}.")
    return notes


def track_files(options: Values) -> tuple[object, ...]:
    """Return what tells the track files among a node's inputs from later ones of their names.

    Raises MediaError where one is not there.
    """
    faces = [options.get(key) for key in ("face", *(f"face_{number}" for number in NUMBERS))]
    return tuple(fingerprint(current_host(), text.strip()) for text in faces if is_track_file(text))


def _face(text: Any) -> str:  # Any: whatever a link brought
    """Return a face as written; a track file as the path of what graphs may read."""
    if not isinstance(text, str):
        raise MediaError(f"Expected a face as text, got {type(text).__name__}.")
    return str(find_file(current_host(), text.strip())) if is_track_file(text) else text
