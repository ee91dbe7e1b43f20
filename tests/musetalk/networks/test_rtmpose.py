from __future__ import annotations

import numpy as np
import pytest
import torch

from avatarvideo.musetalk.networks.rtmpose import (
    FACE_LANDMARKS,
    FLIP_INDICES,
    RTMPose,
    RTMPoseConfig,
    center_and_scale,
    decode_logits,
    find_landmarks,
    warp_to_input,
)
from support import make_goldens

INPUT = (288, 384)
TINY = RTMPoseConfig(
    stem=8,
    stages=((8, 1), (8, 1), (8, 1), (8, 1)),
    input_size=(96, 128),
    width=8,
    attention_width=8,
)


@torch.no_grad()
def test_logits_equal_the_golden(goldens):
    got = make_goldens.small_rtmpose()(make_goldens.small_input(128, 96))
    for axis, logits in zip("xy", got, strict=True):
        expected = torch.from_numpy(goldens[f"rtmpose_{axis}"]).double()
        assert expected.std() >= 0.1
        torch.testing.assert_close(logits[0, ::30], expected, rtol=1e-6, atol=1e-5)


def test_landmarks_equal_the_golden(goldens):
    points, scores = find_landmarks(make_goldens.small_rtmpose(), make_goldens.picture())
    assert len(np.unique(goldens["rtmpose_points"], axis=0)) > 100
    np.testing.assert_allclose(points, goldens["rtmpose_points"], atol=1e-4)
    np.testing.assert_allclose(scores, goldens["rtmpose_scores"], rtol=1e-5, atol=1e-5)


def test_logits_have_two_bins_per_input_pixel():
    with torch.no_grad():
        logits_x, logits_y = RTMPose(TINY).eval()(torch.zeros(2, 3, 128, 96))
    assert logits_x.shape == (2, 133, 192)
    assert logits_y.shape == (2, 133, 256)


@pytest.mark.parametrize(
    ("size", "center", "scale"),
    [
        ((1920, 1080), [960, 540], [2400, 3200]),
        ((1080, 1920), [540, 960], [1800, 2400]),
        ((300, 400), [150, 200], [375, 500]),
    ],
)
def test_the_network_sees_a_quarter_more_at_its_own_aspect_ratio(size, center, scale):
    frame = np.zeros((size[1], size[0], 3), np.uint8)
    got_center, got_scale = center_and_scale(frame, None, INPUT)
    assert got_center.tolist() == center
    assert got_scale.tolist() == scale


def test_a_box_is_taken_instead_of_the_frame():
    center, scale = center_and_scale(np.zeros((9, 9, 3), np.uint8), (10, 20, 34, 52), INPUT)
    assert center.tolist() == [22, 36]
    assert scale.tolist() == [30, 40]


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (5, 9, 8, 9), (8, 0, 5, 9)])
def test_an_empty_box_is_refused(box):
    with pytest.raises(ValueError, match="x0 < x1 and y0 < y1, got"):
        center_and_scale(np.zeros((9, 9, 3), np.uint8), box, INPUT)


def test_a_picture_of_the_input_size_passes_the_warp_unchanged():
    picture = make_goldens.picture(384, 288)
    center, scale = np.array([144, 192], np.float32), np.array([288, 384], np.float32)
    assert np.array_equal(warp_to_input(picture, center, scale, INPUT), picture)


def test_the_warp_is_black_beyond_the_frame_and_keeps_proportions():
    frame = np.full((100, 300, 3), 255, np.uint8)
    center, scale = center_and_scale(frame, None, INPUT)
    warped = warp_to_input(frame, center, scale, INPUT)[:, :, 0]
    rows, columns = np.where(warped > 127)
    assert np.ptp(columns) + 1 == pytest.approx(288 / 1.25, abs=1.1)
    assert np.ptp(rows) + 1 == pytest.approx(288 / 1.25 / 3, abs=1.1)
    assert warped[192, 144] == 255
    assert warped[0, 0] == 0


def test_the_place_of_a_landmark_is_half_its_bin():
    logits_x, logits_y = torch.zeros(2, 576), torch.zeros(2, 768)
    logits_x[0, 101], logits_y[0, 700] = 3.0, 2.0
    logits_x[1, 5], logits_y[1, 6] = 0.5, 4.0
    places, scores = decode_logits(logits_x, logits_y)
    assert places.tolist() == [[50.5, 350.0], [2.5, 3.0]]
    assert scores.tolist() == [2.0, 0.5]


def test_a_landmark_without_a_positive_score_is_put_outside():
    logits = torch.full((1, 8), -1.0)
    logits[0, 3] = 0.0
    places, scores = decode_logits(logits, logits + 5)
    assert places.tolist() == [[-0.5, -0.5]]
    assert scores.tolist() == [0.0]


def planted_network(bin_x: int, bin_y: int) -> RTMPose:
    """A network that sees every landmark in the same bins, whatever the picture."""
    network = RTMPose(TINY).eval().requires_grad_(False)
    network.head.final_layer.weight.zero_()
    network.head.final_layer.get_parameter("bias").fill_(1.0)
    network.head.mlp[1].get_parameter("weight").fill_(1.0)
    network.head.gau.o.weight.zero_()
    for layer, chosen in ((network.head.cls_x, bin_x), (network.head.cls_y, bin_y)):
        layer.weight.zero_()
        layer.weight[chosen] = 1.0
    return network


def test_a_bin_is_mapped_back_to_the_frame():
    frame = np.zeros((400, 300, 3), np.uint8)  # seen as 375 x 500 around its middle
    points, scores = find_landmarks(planted_network(60, 30), frame, flip_test=False)
    wanted = (30 / 96 * 375 + 150 - 187.5, 15 / 128 * 500 + 200 - 250)
    assert points.shape == (133, 2)
    np.testing.assert_allclose(points, np.tile(wanted, (133, 1)), atol=1e-4)
    assert (scores > 0).all()


def test_a_bin_is_mapped_back_from_a_box():
    frame = np.zeros((400, 300, 3), np.uint8)
    points, _ = find_landmarks(
        planted_network(96, 128), frame, (100, 150, 180, 190), flip_test=False
    )
    np.testing.assert_allclose(points, np.tile((140, 170), (133, 1)), atol=1e-4)


def test_flip_indices_pair_every_landmark_with_its_mirror():
    assert sorted(FLIP_INDICES) == list(range(133))
    assert [FLIP_INDICES[index] for index in FLIP_INDICES] == list(range(133))
    face = FLIP_INDICES[FACE_LANDMARKS]
    assert face[0] == 23 + 16  # jaw ends
    assert face[36] == 23 + 45  # outer eye corners
    assert face[48] == 23 + 54  # mouth corners
    assert [face[index] - 23 for index in (8, 27, 30, 33, 51, 57)] == [8, 27, 30, 33, 51, 57]


def test_the_flip_test_makes_a_mirrored_picture_give_mirrored_landmarks():
    network = make_goldens.small_rtmpose()
    picture = make_goldens.picture(128, 96)
    box = (9.6, 12.8, 86.4, 115.2)  # a quarter more of it is exactly the picture
    points, _ = find_landmarks(network, picture, box)
    mirrored, _ = find_landmarks(network, np.ascontiguousarray(picture[:, ::-1]), box)
    np.testing.assert_allclose(mirrored[:, 0], 95.5 - points[FLIP_INDICES, 0], atol=1e-4)
    np.testing.assert_allclose(mirrored[:, 1], points[FLIP_INDICES, 1], atol=1e-4)
    plain, _ = find_landmarks(network, picture, box, flip_test=False)
    assert np.abs(plain - points).max() > 1


def test_the_input_is_normalised_by_channel():
    network = RTMPose(TINY).eval()
    seen = []
    network.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    find_landmarks(network, np.full((128, 96, 3), (200, 100, 50), np.uint8))
    wanted = [(200 - 123.675) / 58.395, (100 - 116.28) / 57.12, (50 - 103.53) / 57.375]
    assert seen[0].shape == (1, 3, 128, 96)
    assert seen[0][0, :, 64, 48].tolist() == pytest.approx(wanted, abs=1e-5)
    assert torch.equal(seen[1], seen[0].flip(3))


def test_the_pass_can_be_stopped_between_blocks():
    network = RTMPose(TINY).eval()
    calls = 0

    def stop_at_the_fourth() -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise InterruptedError

    network.between_blocks = stop_at_the_fourth
    with pytest.raises(InterruptedError):
        find_landmarks(network, np.zeros((64, 64, 3), np.uint8))
