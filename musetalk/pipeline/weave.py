"""Several speakers as one job: every frame stands there once for each, so that the faces of one
frame go through the networks in one batch, and are brought together when the frame is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from ...media import Avatar, Box, Clip
from ..face.blend import Backdrop
from ..face.cast import Cast, seen_by_mesh
from ..face.crop import FaceBox, fit_to_frame
from ..face.detect import FaceTrack
from ..face.landmarks import FoundFace
from ..face.lay_over import lay_over, whole_box
from ..face.mesh_follow import landmarks_of
from ..face.mesh_networks import FaceMesh, MeshNetworks
from ..face.steady import steadied
from ..job import Job, Woven
from ..source_frames import read_frames
from ..voice.gate import Gate, WovenGate
from .compose import CROP_SHAPE, NOWHERE, SpeakingPlayback
from .spool import SpoolReader


def woven_job(job: Job, track: FaceTrack, gates: Sequence[Gate | None]) -> Job:
    """Return a job of each frame once for each speaker. track: as ``people_faces`` makes it."""
    people = len(job.speeches)
    indices = (job.indices[:, None] * people + np.arange(people)).reshape(-1)
    mels = tuple(speech.mel for speech in job.speeches)
    return replace(
        job,
        avatar=_repeated(job.avatar, people),
        indices=indices,
        speeches=(),
        woven=Woven(mels, track),
        gate=_woven_gate(gates, job.indices.size),
    )


def _woven_gate(gates: Sequence[Gate | None], count: int) -> Gate | None:
    there = [gate for gate in gates if gate is not None]
    if not there:
        return None
    always = replace(there[0], weight=np.ones(count, np.float32))
    return WovenGate.of([always if gate is None else gate for gate in gates])


def _repeated(avatar: Avatar, people: int) -> Avatar:
    """Return the avatar with each of its frames so many times."""

    def frames(start: int) -> Iterator[np.ndarray]:
        left = start % people
        for frame in avatar.frames(start // people):
            yield from [frame] * (people - left)
            left = 0

    kept = {one.name: getattr(avatar, one.name) for one in fields(Clip)}
    kept |= {
        "open_frames": frames,
        "frame_count": avatar.frame_count * people,
        "frame_rate": avatar.frame_rate * people,
        "hash_of": lambda: f"{avatar.content_hash} of {people}",
        "read_times": lambda: (),
    }
    return Avatar(**kept)


def people_faces(
    job: Job,
    cast: Cast,
    networks: MeshNetworks,
    *,
    on_frame: Callable[[int], None] = lambda done: None,
    check: Callable[[], None] = lambda: None,
) -> FaceTrack:
    """Return the faces of all speakers in every frame that is shown, in turn."""
    people = len(cast.members)
    places = {int(number): slot for slot, number in enumerate(job.numbers)}
    tracks = [_empty_track(job.numbers.size) for _ in range(people)]
    anew = np.zeros(people, bool)  # since the last frame that is shown
    seen = seen_by_mesh(job.avatar, cast, networks, on_frame=on_frame, check=check)
    for number, who, location, begins in seen:
        slot = places.get(number)
        anew[who] |= begins
        if slot is None or location.points is None:
            continue
        mesh = FaceMesh(location.points, location.confidence)
        face = FoundFace.of(landmarks_of(mesh), mesh.box, bbox_shift=job.options.bbox_shift)
        size = (job.avatar.width, job.avatar.height)
        box = fit_to_frame(face.box, *size, extra_margin=job.extra_margin)
        track = tracks[who]
        track.boxes[slot] = box or FaceBox(0, 0, 0, 0)
        track.by_landmarks[slot], track.bridges[slot] = face.by_landmarks, face.bridge
        assert track.begins is not None
        track.begins[slot] = anew[who] and slot > 0
        anew[who] = False
        assert track.shut is not None
        track.shut[slot] = location.lips is not None and not location.lips.parted
    return _woven_track([_steadied(job, track) for track in tracks])


def _empty_track(count: int) -> FaceTrack:
    return FaceTrack(
        np.zeros((count, 4), np.int32),
        np.zeros(count, bool),
        np.zeros((count, 2), np.int32),
        "face mesh",
        np.zeros(count, bool),
        shut=np.zeros(count, bool),
    )


def _steadied(job: Job, track: FaceTrack) -> FaceTrack:
    avatar, steadiness = job.avatar, job.options.steadiness
    if job.numbers.size < 2:
        steadiness = 0.0
    size = (avatar.width, avatar.height)
    return steadied(track, steadiness, frame_rate=avatar.frame_rate, size=size)


def _woven_track(tracks: Sequence[FaceTrack]) -> FaceTrack:
    def woven(parts: list[np.ndarray]) -> np.ndarray:
        return np.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:])

    some_exact = any(track.exact is not None for track in tracks)
    exact = [
        track.boxes.astype(np.float64) if track.exact is None else track.exact for track in tracks
    ]
    return FaceTrack(
        woven([track.boxes for track in tracks]),
        woven([track.by_landmarks for track in tracks]),
        woven([track.bridges for track in tracks]),
        tracks[0].method,
        None,
        woven(exact) if some_exact else None,
        shut=woven([track.shut for track in tracks if track.shut is not None]),
    )


@dataclass(frozen=True, eq=False)
class PeopleFrames:
    """The frames of a woven clip brought together.

    indices: int64 (T,), the avatar's frame shown in every output frame.
    others: returns the faces in an avatar frame that are not those of the speaker of that number.
    """

    avatar: Avatar
    indices: np.ndarray
    woven: SpeakingPlayback
    people: int
    others: Callable[[int, int], Sequence[Box]] = field(repr=False)

    def frames(self) -> Iterator[np.ndarray]:
        """Iterate from the start: uint8 RGB (H, W, 3)."""
        sources = read_frames(self.avatar, self.indices)
        if self.woven.spool is None:
            yield from sources
            return
        backdrops: dict[int, tuple[Backdrop, Box]] = {}
        last = NOWHERE
        with self.woven.spool.reader() as reader:
            for number, frame in enumerate(sources):
                if self.woven.wait_for is not None:
                    self.woven.wait_for((number + 1) * self.people - 1)
                if int(self.indices[number]) != last:
                    backdrops, last = {}, int(self.indices[number])
                yield self._composed(reader, number, frame, backdrops)

    def _composed(
        self,
        reader: SpoolReader,
        number: int,
        frame: np.ndarray,
        backdrops: dict[int, tuple[Backdrop, Box]],
    ) -> np.ndarray:
        shown, woven = frame, self.woven
        for who in range(self.people):
            place = number * self.people + who
            crop = int(woven.crop_places[place])
            if crop == NOWHERE:
                continue
            if who not in backdrops:
                slot = int(woven.slots[place])
                box, mask = self._box_and_mask(reader, slot)
                backdrop = Backdrop(frame, box, mask, woven.track.exact_box(slot))
                backdrops[who] = (backdrop, Box(*box))
            share = 1.0 if woven.shares is None else float(woven.shares[place])
            backdrop, region = backdrops[who]
            spoken = backdrop.with_face(reader.read(crop, CROP_SHAPE, np.uint8), share)
            shown = frame.copy() if shown is frame else shown
            lay_over(shown, frame, spoken, region, self.others(who, int(self.indices[number])))
        return shown

    def _box_and_mask(self, reader: SpoolReader, slot: int) -> tuple[FaceBox, np.ndarray]:
        box = self.woven.track.box(slot)
        assert box is not None
        place = int(self.woven.mask_places[slot])
        return box, reader.read(place, (box.height, box.width), np.uint8)

    def mask(self) -> np.ndarray:
        """Return float32 (H, W), 0..1: where the first frame may differ from the source."""
        whole = np.zeros((self.avatar.height, self.avatar.width), np.float32)
        if self.woven.spool is None:
            return whole
        with self.woven.spool.reader() as reader:
            for who in np.flatnonzero(self.speaking()[0]).tolist():
                box, mask = self._box_and_mask(reader, int(self.woven.slots[who]))
                own = np.zeros_like(whole)
                own[box.area] = mask / np.float32(255)
                for x0, y0, x1, y1 in map(whole_box, self.others(who, int(self.indices[0]))):
                    own[y0:y1, x0:x1] = 0
                np.maximum(whole, own, out=whole)
        return whole

    def speaking(self) -> np.ndarray:
        """Return bool (T, P): who is not as in the source."""
        return ~self.woven.passed_through().reshape(-1, self.people)

    def seen(self) -> np.ndarray:
        """Return bool (T, P): whose face was found, though it may rest."""
        woven = self.woven
        return (woven.mask_places[woven.slots] != NOWHERE).reshape(-1, self.people)
