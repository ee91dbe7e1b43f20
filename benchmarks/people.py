"""What several people cost the puppet, by who is there and who speaks: CPU milliseconds a frame.

Portraits move a little in 1280x720. One pass tells everybody apart, a second looks with the face
mesh at those who speak, then their mouths are drawn while the frames are read.

    python benchmarks/people.py --models FOLDER --portraits FOLDER [--frames 50] [--json]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import clone  # noqa: F401
import cv2
import numpy as np

from avatarvideo.musetalk.face.cast import find_cast
from avatarvideo.musetalk.face.mesh_networks import MeshNetworks, mesh_networks
from avatarvideo.musetalk.face.wish import parse_wish
from avatarvideo.musetalk.puppet.people_playback import PeoplePlayback
from avatarvideo.musetalk.puppet.people_track import track_people
from avatarvideo.musetalk.puppet.playback import PuppetPlayback
from avatarvideo.musetalk.puppet.pose import MouthShapes
from support.people_clips import Head, Path_, PeopleClip, heads_of, walk

CASES = ((1, 1), (2, 1), (4, 1), (2, 2), (4, 2), (4, 4))  # faces there, faces that speak


def paths_of(people: int, frames: int) -> list[Path_]:
    return [
        walk((180 + 300 * n, 340, 170), (200 + 300 * n, 350, 176), 0, frames) for n in range(people)
    ]


def measured(
    heads: Sequence[Head], networks: MeshNetworks, people: int, speakers: int, frames: int
) -> dict[str, float]:
    """Return milliseconds a frame of each step."""
    clip = PeopleClip(heads[:people], paths_of(people, frames), frames, size=(1280, 720))
    pictures = [clip.frame(number) for number in range(frames)]  # drawn before the clock runs
    avatar = replace(clip.avatar(), open_frames=lambda start: iter(pictures[start:]))
    wishes = [parse_wish(f"left {number}") for number in range(speakers)]
    marks = [time.process_time()]
    cast = find_cast(avatar, wishes, frames, networks)
    marks.append(time.process_time())
    tracks = track_people(avatar, cast, networks)
    marks.append(time.process_time())
    opening = (0.2 + 0.2 * np.sin(np.arange(frames))).astype(np.float32)
    still = np.zeros(frames, np.float32)
    motion, indices = MouthShapes(opening, still + 1, still, still), np.arange(frames)
    voices = [
        PuppetPlayback(avatar, indices, motion, each.shapes, None, each.points, each.rest_widths)
        for each in tracks
    ]
    members = cast.members
    playback = PeoplePlayback(
        avatar, indices, voices, lambda place, number: cast.others(members[place], number)
    )
    for _ in playback.frames():
        pass
    marks.append(time.process_time())
    steps = ("tell apart", "mesh", "draw")
    took = np.diff(marks) * 1000 / frames
    return {name: round(float(each), 1) for name, each in zip(steps, took, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--portraits", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    networks = mesh_networks([given.models])
    if networks is None:
        parser.error("--models has no face mesh")
    heads = heads_of(given.portraits, networks)
    rows = [
        {"faces": people, "speak": speakers}
        | measured(heads, networks, people, speakers, given.frames)
        for people, speakers in CASES
    ]
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    print(" | ".join(rows[0]))
    for row in rows:
        print(" | ".join(map(str, row.values())))


if __name__ == "__main__":
    main()
