"""What is seen of a speaking mouth: the face mesh as the ruler on the puppet's pictures.

    python benchmarks/mouth_video.py MODELS [picture ...]
    python benchmarks/mouth_video.py MODELS --sheet OUT.png picture ...

MODELS is the folder of models that holds the face mesh; without a picture the bundled portrait
speaks. Each face says the sentences of mouth_truth.py, and in every frame the gap between the
inner lips is measured above the one at rest, and the width against the one at rest: the figures are
those of mouth_truth.py, of pictures and not of the driver's curves. ``--sheet`` draws the faces in
a row of poses instead, to be judged by eye.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from mouth_sentences import RULER
from mouth_truth import Figures, spoken_shapes

from avatarvideo.encoders.read.picture import read_image
from avatarvideo.media import FaceLocation, LipShape
from avatarvideo.musetalk.face.finder import locate_face
from avatarvideo.musetalk.face.mesh_networks import FaceMesh, MeshNetworks, mesh_networks
from avatarvideo.musetalk.puppet.phones import can_hear_phones
from avatarvideo.musetalk.puppet.pose import MouthPose, MouthShapes
from avatarvideo.musetalk.puppet.puppet import Puppet

PORTRAIT = Path(__file__).resolve().parent.parent / "web" / "samples" / "portrait.png"
POSES = {
    "rest": MouthPose(),
    "0.1": MouthPose(0.1),
    "0.2": MouthPose(0.2),
    "0.3": MouthPose(0.3),
    "0.45": MouthPose(0.45),
    "tuck": MouthPose(0.08, tuck=1),
    "round": MouthPose(0.25, 0.72),
    "wide": MouthPose(0.25, 1.08),
    "closed": MouthPose(0.3, 0.9, closure=1),
}
TILE = (190, 230)  # pixels
MOUTHS_ACROSS = 1.5  # a tile
BELOW_MOUTH = 0.35  # mouth widths from the mouth to the tile's middle


@dataclass(frozen=True, eq=False)
class Face:
    """One picture with its mouth, and the mesh that measures it."""

    picture: np.ndarray
    found: FaceLocation
    lips: LipShape
    points: np.ndarray
    networks: MeshNetworks

    @property
    def puppet(self) -> Puppet:
        return Puppet(self.picture, self.lips, points=self.points)

    def measured(self, picture: np.ndarray) -> tuple[float, float]:
        """Return the gap between the inner lips and the width, in pixels."""
        mesh = self.networks.look(picture, FaceMesh(self.points, 1.0).square)
        if mesh is None:
            return float("nan"), float("nan")
        gap, width = (
            float(np.hypot(*(mesh.points[one] - mesh.points[other])))
            for one, other in ((13, 14), (61, 291))
        )
        return gap, width

    def seen(self, shapes: MouthShapes) -> MouthShapes:
        """Return the shapes as they are seen in the pictures."""
        puppet = self.puppet
        gap, width = self.measured(puppet.render(MouthPose()))
        frames = [
            self.measured(puppet.render(shapes.at(number))) for number in range(len(shapes.opening))
        ]
        gaps, widths = np.array(frames, np.float32).T
        opening = (gaps - gap) / self.lips.width
        return MouthShapes(opening, widths / width, shapes.closure, shapes.tuck)


def face_in(path: Path, models: Path) -> Face:
    networks = mesh_networks([models])
    if networks is None:
        sys.exit(
            f"Expected the face mesh in {models}, found none: avatar models download face-mesh"
        )
    picture = read_image(path)
    found = locate_face(picture, model_folders=[models])
    if found.lips is None or found.points is None:
        sys.exit(f"Expected a face with lips in {path}, but {found.reason}.")
    return Face(picture, found, found.lips, found.points, networks)


def sheet(face: Face) -> np.ndarray:
    """Return the mouth in a row of poses, the picture itself first."""
    corners = face.lips.corners
    scale = TILE[0] / (MOUTHS_ACROSS * face.lips.width)
    x = (corners.x0 + corners.x1) / 2
    y = (corners.y0 + corners.y1) / 2 + BELOW_MOUTH * face.lips.width
    shift = np.array([[scale, 0, TILE[0] / 2 - x * scale], [0, scale, TILE[1] / 2 - y * scale]])
    puppet = face.puppet
    pictures = {"source": face.picture} | {
        name: puppet.render(pose) for name, pose in POSES.items()
    }
    tiles: list[np.ndarray] = []
    for name, picture in pictures.items():
        tile = cv2.warpAffine(
            picture, shift, TILE, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        cv2.putText(tile, name, (3, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 255, 0))
        tiles.append(tile)
    return np.hstack(tiles)


def print_figures(face: Face, *, with_phones: bool) -> None:
    figures = Figures()
    for language, sentences in RULER.items():
        for phones, shapes in spoken_shapes(sentences, language, with_phones=with_phones):
            figures.add(phones, face.seen(shapes))
    for line in figures.lines():
        print("  " + line)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("pictures", type=Path, nargs="*", default=[PORTRAIT])
    parser.add_argument("--sheet", type=Path, help="a PNG to draw instead of measuring")
    options = parser.parse_intermixed_args()
    faces = {path: face_in(path, options.models) for path in options.pictures}
    if options.sheet is not None:
        rows = np.vstack([sheet(face) for face in faces.values()])
        cv2.imwrite(str(options.sheet), cv2.cvtColor(rows, cv2.COLOR_RGB2BGR))
        return
    for path, face in faces.items():
        for with_phones in (True, False) if can_hear_phones() else (False,):
            print(f"{path.name}, {'with' if with_phones else 'without'} pocketsphinx")
            print_figures(face, with_phones=with_phones)


if __name__ == "__main__":
    main()
