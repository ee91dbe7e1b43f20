from __future__ import annotations

import numpy as np
import pytest

from avatarvideo.musetalk.networks.bisenet import FacePart, parse_face
from avatarvideo.musetalk.networks.rtmpose import find_landmarks
from avatarvideo.musetalk.networks.s3fd import detect_faces
from support import make_goldens, planted_faces


@pytest.mark.slow
@pytest.mark.parametrize("size", [(270, 481), (640, 360), (33, 50)])
def test_the_planted_box_is_the_only_face_in_any_picture(size):
    network = make_goldens.small_s3fd()
    planted_faces.plant_box(network)
    faces = detect_faces(network, make_goldens.picture(*size))
    assert len(faces) == 1
    np.testing.assert_allclose(faces[0][:4], planted_faces.FACE_BOX, atol=1e-3)
    assert faces[0].score > 0.99


@pytest.mark.parametrize("size", [(270, 480), (512, 512)])
def test_the_planted_landmarks_span_the_same_share_of_any_frame(size):
    network = make_goldens.small_rtmpose()
    planted_faces.plant_landmarks(network)
    height, width = size
    points, scores = find_landmarks(network, make_goldens.picture(*size))
    face = points[23:91]
    step = 1.25 * width / 192  # one bin
    assert (scores > 0).all()
    assert face[:, 0].min() == pytest.approx(0.3 * width, abs=step)
    assert face[:, 0].max() == pytest.approx(0.7 * width, abs=step)
    assert face[:, 1].max() == pytest.approx(height / 2 + 0.25 * width, abs=step)
    assert face[29, 1] == pytest.approx(height / 2 + 0.05 * width, abs=step)


@pytest.mark.slow
def test_the_planted_parser_sees_skin_everywhere():
    network = make_goldens.small_bisenet()
    planted_faces.plant_skin(network)
    assert (parse_face(network, make_goldens.picture()) == FacePart.SKIN).all()
