"""Prepare an avatar: per distinct source frame its face, latents and mask, once, and cached."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...errors import CheckpointError
from ..face.blend import cut_square, face_mask, given_mask, lips_are_shut, replaced_region
from ..face.crop import cut_face
from ..face.detect import FaceTrack, LipFollower, find_faces
from ..face.finder import FINDERS, crop_finder
from ..face.key_frames import KEY_DISTANCE, LONG_KEY_DISTANCE
from ..face.landmarks import CropFinder, CropRules, LandmarkFinder
from ..face.mesh_networks import mesh_problem
from ..face.reduced import CLOSER_SIDE, REDUCED_SIDE, reduced_size
from ..face.steady import ShotFinder, steadied
from ..interfaces import Landmarks
from ..job import Job
from ..networks.bisenet import BiSeNet, parse_face
from ..source_frames import read_frames
from ..weights.catalogue import FACE_MESH, Role
from ..weights.download_command import download_command
from ..weights.session import ModelSource
from .avatar_cache import AvatarCache, Entry, content_key
from .compose import NOWHERE
from .generate import LATENT_SHAPE, FaceEncoder, PosteriorDraws
from .half_rate import BETWEEN, crops_between
from .memory import Placement
from .spool import Spool, SpoolWriter
from .stages import AvatarNetworks

log = logging.getLogger("avatarvideo.musetalk.pipeline.prepare_avatar")

LATENT_BYTES = int(np.prod(LATENT_SHAPE)) * 4


class FaceSearch:
    """The faces of a job, found once."""

    def __init__(self, job: Job, source: ModelSource, cache: AvatarCache) -> None:
        self._job = job
        self._cache = cache
        self.without_numbers = 0  # frames whose face has no landmarks that are numbers
        options = job.options
        self.roles = _reference_roles(source, options.landmarks)
        is_meshed = _takes_mesh(self.roles, options.landmarks, job.model_folders)
        # The reference's way, frame by frame, belongs to the quality that equals the reference.
        self._is_steadied = options.steadiness > 0 and job.numbers.size > 1
        self._every_frame = options.quality == "high" or not (self.roles or is_meshed)
        # A still's one face is seen both ways.
        self._is_low = options.quality == "low" and job.numbers.size > 1
        self._key = content_key(
            "faces",
            job.avatar.content_hash,
            job.numbers.tobytes(),
            job.face_choice,
            job.corners,
            options.landmarks_on,
            options.bbox_shift,
            job.extra_margin,
            "every frame" if self._every_frame else (REDUCED_SIDE, CLOSER_SIDE),
            [source.identity(role) for role in self.roles],
            *(["shots"] if self._is_steadied else []),
            *(["low"] if self.roles and self._is_low else []),
            *(["face mesh", FACE_MESH.files[0].sha256] if is_meshed else []),
        )

    @property
    def seen_size(self) -> tuple[int, int]:
        """The width and height of the largest picture that the detector may see."""
        size = self._job.avatar.width, self._job.avatar.height
        return size if self._every_frame else reduced_size(*size, CLOSER_SIDE)

    def cached(self) -> FaceTrack | None:
        entry = self._cache.get(self._key)
        upscaler = self._job.upscaler
        wants_five = upscaler is not None and upscaler.is_restorer
        if entry is None or (wants_five and "five" not in entry):
            return None
        return FaceTrack(
            entry["boxes"].numpy(),
            entry["by_landmarks"].numpy().astype(bool),
            entry["bridges"].numpy(),
            entry["method"].numpy().tobytes().decode(),
            entry["begins"].numpy().astype(bool) if "begins" in entry else None,
            five=entry["five"].numpy() if "five" in entry else None,
            unmirrored=float(entry["unmirrored"]) if "unmirrored" in entry else None,
        )

    def steadied(self, track: FaceTrack) -> FaceTrack:
        """Return the track as the option steadiness wants it."""
        if not self._is_steadied:
            return track
        avatar, steadiness = self._job.avatar, self._job.options.steadiness
        size = (avatar.width, avatar.height)
        return steadied(track, steadiness, frame_rate=avatar.frame_rate, size=size)

    def find(
        self,
        networks: Mapping[Role, nn.Module],
        on_frame: Callable[[int], None],
        on_first: Callable[[np.ndarray], None],
    ) -> FaceTrack:
        """Find them, and cache them where the networks gave numbers.

        networks: of ``roles``. on_first: called with the first face's crop, uint8 (256, 256, 3).
        """
        job, options = self._job, self._job.options
        by_lips = LipFollower(
            face_index=job.avatar.face_index,
            corners=job.corners,
            bbox_shift=options.bbox_shift,
            known=job.known_face,
            model_folders=job.model_folders,
        )
        rules = CropRules(
            job.face_choice,
            options.landmarks_on,
            options.bbox_shift,
            self._every_frame,
            options.landmarks,
            job.model_folders,
            mirrored=not self._is_low,
            key_distance=LONG_KEY_DISTANCE if self._is_low else KEY_DISTANCE,
        )
        finder = crop_finder(networks, rules) or by_lips
        track = self._look(finder, on_frame, on_first)
        # Where the user points at lips there is a face, even if the detector sees none.
        if finder is not by_lips and job.corners is not None and not track.found.any():
            track = self._look(by_lips, on_frame, on_first)
        if not self.without_numbers:
            self._cache.put(self._key, _track_entry(track))
        return track

    def _look(
        self,
        finder: CropFinder,
        on_frame: Callable[[int], None],
        on_first: Callable[[np.ndarray], None],
    ) -> FaceTrack:
        job = self._job
        frames, shots = read_frames(job.avatar, job.numbers), ShotFinder()
        if self._is_steadied:
            frames = shots.watched(frames)
        track = find_faces(
            frames,
            finder,
            extra_margin=job.extra_margin,
            on_frame=on_frame,
            on_first=lambda frame, box: on_first(cut_face(frame, box)),
        )
        self.without_numbers = finder.without_numbers
        log.info("the face detector looked at %d of %d frames", finder.detections, len(job.numbers))
        if isinstance(finder, LandmarkFinder):
            track = replace(track, unmirrored=finder.unmirrored)
        return replace(track, begins=shots.begins()) if self._is_steadied else track


def _reference_roles(source: ModelSource, landmarks: Landmarks) -> tuple[Role, ...]:
    """Return the networks that find faces where all their files are there and they are wanted."""
    wanted = (finder.roles for finder in FINDERS if finder.roles)
    there = next((roles for roles in wanted if all(map(source.has, roles))), ())
    if landmarks == "reference" and not there:
        raise CheckpointError(
            "Expected the files of S3FD and RTMPose for landmarks reference, found them missing: "
            f"run `{download_command()}` or choose landmarks auto."
        )
    return () if landmarks == "face mesh" else there


def _takes_mesh(
    roles: tuple[Role, ...], landmarks: Landmarks, model_folders: Sequence[Path]
) -> bool:
    if roles or landmarks == "reference":
        return False
    problem = mesh_problem(model_folders)
    if landmarks == "face mesh" and problem is not None:
        raise CheckpointError(f"Expected the face mesh for landmarks face mesh, but {problem}.")
    return problem is None


def _track_entry(track: FaceTrack) -> Entry:
    more = {} if track.five is None else {"five": torch.as_tensor(track.five.copy())}
    if track.begins is not None:
        more["begins"] = torch.as_tensor(track.begins.astype(np.uint8))
    if track.unmirrored is not None:
        more["unmirrored"] = torch.tensor(track.unmirrored)
    return more | {
        "boxes": torch.as_tensor(track.boxes.copy()),
        "by_landmarks": torch.as_tensor(track.by_landmarks.astype(np.uint8)),
        "bridges": torch.as_tensor(track.bridges.copy()),
        "method": torch.tensor(list(track.method.encode()), dtype=torch.uint8),
    }


@dataclass(eq=False)
class FacePreparation:
    """Latents and masks of a job's faces, computed chunk by chunk or taken from the cache.

    may_lie_between: bool (N,), faces whose latents are not needed if they look like the mean of
        those beside them.
    """

    job: Job
    source: ModelSource
    track: FaceTrack
    cache: AvatarCache
    spool: Spool
    chunk: int  # faces that are computed and cached together
    may_lie_between: np.ndarray

    def __post_init__(self) -> None:
        count, faces = self.job.numbers.size, np.flatnonzero(self.track.found)
        # Of each frame's latents and mask in the spool; or BETWEEN.
        self.latent_places = np.full(count, NOWHERE, np.int64)
        self.mask_places = np.full(count, NOWHERE, np.int64)
        # How far those faces are from that mean, in levels.
        self.apart = np.zeros(count, np.float32)
        firsts = range(0, faces.size, self.chunk)
        self._chunks = [faces[first : first + self.chunk] for first in firsts]
        # Whose own lips are shut: the face mesh says so, or the parser where it is asked.
        self.shut = self._seen_shut(count)
        self._missing = list(range(len(self._chunks)))
        self._in_memory = self.cache.fits(prepared_bytes(self.track))

    def _seen_shut(self, count: int) -> np.ndarray:
        if self.track.shut is not None:
            return self.track.shut.copy()
        face = self.job.known_face if self.job.avatar.is_still else None
        shut = face is not None and face.lips is not None and not face.lips.parted
        return np.full(count, shut and self.job.mask is not None, bool)

    @property
    def is_complete(self) -> bool:
        return not self._missing

    @property
    def replaced(self) -> np.ndarray:
        """Bool (N,), once complete: frames with a face and something of it to replace."""
        return self.latent_places != NOWHERE

    def take_cached(self, placement: Placement, on_faces: Callable[[int], None]) -> None:
        """Copy what is cached into the spool. on_faces: called with how many more."""
        keys = self._chunk_keys(placement)
        missing: list[int] = []
        with self.spool.writer() as writer:
            for number in self._missing:
                entry = self.cache.get(keys[number])
                if entry is None:
                    missing.append(number)
                    continue
                self._spool_entry(writer, number, entry)
                on_faces(self._chunks[number].size)
        self._missing = missing

    def _chunk_keys(self, placement: Placement) -> list[str]:
        job, source = self.job, self.source
        mask = None if job.mask is None else hashlib.sha256(job.mask.tobytes()).hexdigest()
        parser = None if job.mask is not None else source.identity("bisenet")
        common = (
            "latents",
            job.avatar.content_hash,
            job.mask_settings,
            mask,
            parser,
            source.identity("vae"),
            placement.dtype,
            placement.device.split(":")[0],
        )
        if job.gate is not None:
            by_mesh = self.track.shut is not None
            common = (*common, "lips by the mesh" if by_mesh else "lips")
        exact = self.track.exact
        sampled = job.options.posterior == "sample"
        return [
            content_key(
                *common,
                job.numbers[chunk].tobytes(),
                self.track.boxes[chunk].tobytes(),
                *([] if exact is None else [exact[chunk].tobytes()]),
                *(
                    ["between", may.tobytes()]
                    if (may := self._may_lie_between(chunk)).any()
                    else []
                ),
                (job.options.sample_seed, number * self.chunk) if sampled else None,
            )
            for number, chunk in enumerate(self._chunks)
        ]

    def compute(
        self,
        networks: AvatarNetworks,
        placement: Placement,
        *,
        on_face: Callable[[np.ndarray], None],
        on_full_precision: Callable[[], None],
    ) -> None:
        """Compute what is missing; can be called again after an interruption.

        on_face: called with every crop, uint8 RGB (256, 256, 3).
        """
        options, keys = self.job.options, self._chunk_keys(placement)
        draws = PosteriorDraws(options.posterior, options.sample_seed)
        encoder = FaceEncoder(networks.vae, draws, on_full_precision=on_full_precision)
        slots = np.concatenate([self._chunks[number] for number in self._missing])
        frames = read_frames(self.job.avatar, self.job.numbers[slots])
        with self.spool.writer() as writer:
            for number in tuple(self._missing):
                entry = self._chunk_entry(
                    number, frames, encoder, networks, placement.batch, on_face
                )
                self.cache.put(keys[number], entry, in_memory=self._in_memory)
                self._spool_entry(writer, number, entry)
                self._missing.remove(number)

    def _chunk_entry(
        self,
        number: int,
        frames: Iterator[np.ndarray],
        encoder: FaceEncoder,
        networks: AvatarNetworks,
        batch: int,
        on_face: Callable[[np.ndarray], None],
    ) -> Entry:
        masks: list[np.ndarray] = []
        chunk = self._chunks[number]
        slots, may = chunk.tolist(), self._may_lie_between(chunk)
        latents = torch.zeros(len(slots), *LATENT_SHAPE)
        between, apart = np.zeros(len(slots), bool), np.zeros(len(slots), np.float32)
        # Which lie between others is only known once those are seen.
        step = len(slots) if may.any() else batch
        for first in range(0, len(slots), step):
            some = slots[first : first + step]
            crops: list[np.ndarray] = []
            squares: list[np.ndarray] = []
            for slot in some:
                frame, box = next(frames), self.track.box(slot)
                assert box is not None
                crops.append(cut_face(frame, box, self.track.exact_box(slot)))
                squares.append(cut_square(frame, box))
            if may.any():
                between, apart = crops_between(crops, may)
            shown = self._masks(some, squares, between[first : first + step], networks.bisenet)
            masks += [mask.reshape(-1) for mask in shown]
            encoded = np.flatnonzero(~between[first : first + step])
            for begin in range(0, encoded.size, batch):
                places: list[int] = encoded[begin : begin + batch].tolist()
                numbers = [number * self.chunk + first + place for place in places]
                made = encoder.encode([crops[place] for place in places], numbers)
                latents[[first + place for place in places]] = made
            for crop in crops:
                on_face(crop)
        entry = {"latents": latents, "masks": torch.as_tensor(np.concatenate(masks))}
        if may.any():
            entry["between"] = torch.as_tensor(between.astype(np.uint8))
            entry["apart"] = torch.as_tensor(apart)
        if self.job.gate is not None:
            entry["shut"] = torch.as_tensor(self.shut[slots].astype(np.uint8))
        return entry

    def _may_lie_between(self, chunk: np.ndarray) -> np.ndarray:
        # Both sources beside it have to be in the chunk.
        may = self.may_lie_between[chunk].copy()
        may[[0, -1]] = False
        may[1:-1] &= chunk[2:] - chunk[:-2] == 2
        return may

    def _masks(
        self,
        slots: Sequence[int],
        squares: Sequence[np.ndarray],
        between: np.ndarray,
        bisenet: BiSeNet | None,
    ) -> list[np.ndarray]:
        """Return the masks of some faces; one between others has the region of the one before.

        squares: of ``cut_square``. between: bool (B,); cleared where one of the others' is empty,
            since nothing is generated there.
        """
        masks: list[np.ndarray] = []
        region = np.empty(0, np.uint8)
        for place, (slot, square) in enumerate(zip(slots, squares, strict=True)):
            box = self.track.box(slot)
            assert box is not None
            if self.job.mask is not None:
                masks.append(given_mask(self.job.mask, box))
                continue
            if between[place]:
                self.shut[slot] = self.shut[slots[place - 1]]
            else:
                assert bisenet is not None
                parts = parse_face(bisenet, square)
                self.shut[slot] |= lips_are_shut(parts)
                region = replaced_region(parts, self.job.mask_settings)
            masks.append(face_mask(region, box))
        if between.any() and not all(masks[place].any() for place in np.flatnonzero(~between)):
            between[:] = False
            return self._masks(slots, squares, between, bisenet)
        return masks

    def _spool_entry(self, writer: SpoolWriter, number: int, entry: Entry) -> None:
        masks = entry["masks"].numpy()
        if "shut" in entry:
            self.shut[self._chunks[number]] = entry["shut"].numpy().astype(bool)
        for row, slot in enumerate(self._chunks[number]):
            box = self.track.box(int(slot))
            assert box is not None
            size = box.width * box.height
            mask, masks = masks[:size], masks[size:]
            # The parser may see no skin at all, as it does where its numbers are not finite.
            if not mask.any():
                continue
            self.mask_places[slot] = writer.append(mask)
            if "between" in entry and entry["between"][row]:
                self.latent_places[slot] = BETWEEN
                self.apart[slot] = float(entry["apart"][row])
            else:
                self.latent_places[slot] = writer.append(entry["latents"][row].numpy())


def prepared_bytes(track: FaceTrack) -> int:
    """Return the bytes of all latents and masks of a track."""
    sides = track.boxes.astype(np.int64)
    areas = (sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1])
    return int(areas.sum()) + int(track.found.sum()) * LATENT_BYTES
