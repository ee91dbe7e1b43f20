"""The lips of several people in every frame of an avatar, by the face mesh."""

from __future__ import annotations

from collections.abc import Callable

from ...media import Avatar, FaceLocation
from ..face.cast import Cast, seen_by_mesh
from ..face.mesh_networks import MeshNetworks
from ..face.mesh_track import MeshTrack, PerFrame
from .lip_track import LipTrack


def track_people(
    avatar: Avatar,
    cast: Cast,
    networks: MeshNetworks,
    *,
    on_frame: Callable[[int], None] = lambda done: None,
    check: Callable[[], None] = lambda: None,
) -> list[LipTrack]:
    """Return the lips of each member of a cast; otherwise as ``track_lips``."""
    tracks = [MeshTrack(cast.count) for _ in cast.members]
    first: dict[int, FaceLocation] = {}
    seen = seen_by_mesh(avatar, cast, networks, on_frame=on_frame, check=check)
    for number, place, location, begins in seen:
        if location.points is not None:
            tracks[place].put(number, location.points, begins=begins)
            first.setdefault(place, location)
    for track in tracks:
        track.steady(check)
    return [
        LipTrack(
            PerFrame(track.lips, cast.count),
            first.get(place),
            PerFrame(track.points, cast.count),
            track.rest_widths(),
        )
        for place, track in enumerate(tracks)
    ]
