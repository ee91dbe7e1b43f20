from __future__ import annotations

import numpy as np
import pytest
import torch

from avatarvideo.musetalk.networks.s3fd import (
    S3FD,
    S3FDConfig,
    decode_levels,
    detect_faces,
    suppress_overlaps,
)
from support import make_goldens

TINY = S3FDConfig(stages=(4, 4, 4, 4, 4), fc=4, conv6=(4, 4), conv7=(4, 4))
MAP_SIZES = ((30, 40), (15, 20), (7, 10), (7, 9), (4, 5), (2, 3))  # of a 160 x 120 picture


def silent_levels() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """What the network returns where there is no face."""
    return [
        (
            torch.tensor([9.0, -9.0]).reshape(1, 2, 1, 1).repeat(1, 1, *size),
            torch.zeros(1, 4, *size),
        )
        for size in MAP_SIZES
    ]


def silent_network() -> S3FD:
    network = S3FD(TINY).requires_grad_(False)
    for tensor in network.parameters():
        tensor.zero_()
    for name, module in network.named_modules():
        if name.endswith("_conf"):
            module.get_parameter("bias")[-1] = -9.0
    return network


@torch.no_grad()
def test_every_level_equals_the_golden(goldens):
    levels = make_goldens.small_s3fd()(make_goldens.small_input(70, 45) * 60)
    for level, pair in enumerate(levels):
        for kind, got in zip(("logits", "offsets"), pair, strict=True):
            expected = torch.from_numpy(goldens[f"s3fd_{kind}_{level}"]).double()
            assert expected.std() >= 0.1
            torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


def test_detections_equal_the_golden(goldens):
    faces = detect_faces(make_goldens.small_s3fd(), make_goldens.picture())
    assert len(faces) > 20
    np.testing.assert_allclose(np.array(faces[:20]), goldens["s3fd_faces"], rtol=1e-4, atol=1e-4)


def test_map_sizes_are_larger_than_the_frame_share_from_the_sixth_stage_on():
    with torch.no_grad():
        levels = S3FD(TINY)(torch.zeros(1, 3, 270, 481))
    sizes = [tuple(logits.shape[2:]) for logits, _ in levels]
    assert sizes == [(67, 120), (33, 60), (16, 30), (12, 19), (6, 10), (3, 5)]


@pytest.mark.parametrize("level", range(6))
def test_a_cell_stands_for_a_square_of_four_strides_around_its_center(level):
    stride = (4, 8, 16, 32, 64, 128)[level]
    levels = silent_levels()
    levels[level][0][0, :, 1, 2] = torch.tensor([0.0, 2.0])
    boxes, scores = decode_levels(levels)
    x, y, half = 2.5 * stride, 1.5 * stride, 2 * stride
    assert boxes.tolist() == [[x - half, y - half, x + half, y + half]]
    assert scores.tolist() == pytest.approx([1 / (1 + np.exp(-2))])


def test_offsets_move_by_tenths_and_grow_by_fifths():
    levels = silent_levels()
    levels[1][0][0, 1, 3, 5] = 20.0
    levels[1][1][0, :, 3, 5] = torch.tensor([1.0, -2.0, 0.5, -1.0])
    x, y = 5.5 * 8 + 0.1 * 32, 3.5 * 8 - 0.2 * 32
    width, height = 32 * np.exp(0.1), 32 * np.exp(-0.2)
    boxes, _ = decode_levels(levels)
    wanted = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    assert boxes[0].tolist() == pytest.approx(wanted, abs=1e-4)


def test_a_score_of_one_half_is_not_a_face():
    levels = silent_levels()
    levels[0][0][0, :, 0, 0] = 0.0
    assert decode_levels(levels)[0].shape == (0, 4)


def test_of_overlapping_boxes_the_most_certain_stays():
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [30, 30, 40, 40]], np.float32)
    assert suppress_overlaps(boxes, np.array([0.7, 0.9, 0.8], np.float32)) == [1, 2]


def test_overlap_counts_both_end_pixels():
    # Heights 10 against 3 and 3.5 share 0.3 and 0.35 of the area, the first of which stays;
    # without the end pixels counted it would be 2 / 9 and 2.5 / 9, and both would stay.
    whole, third, more = [0, 0, 9, 9], [0, 0, 9, 2], [0, 0, 9, 2.5]
    scores = np.array([0.9, 0.8], np.float32)
    assert suppress_overlaps(np.array([whole, third], np.float32), scores) == [0, 1]
    assert suppress_overlaps(np.array([whole, more], np.float32), scores) == [0]
    touching = np.array([[0, 0, 9, 9], [9, 9, 18, 18]], np.float32)
    assert suppress_overlaps(touching, scores) == [0, 1]


def test_a_suppressed_box_suppresses_nothing():
    boxes = np.array([[0, 0, 9, 9], [4, 0, 13, 9], [8, 0, 17, 9]], np.float32)
    assert suppress_overlaps(boxes, np.array([0.9, 0.8, 0.7], np.float32)) == [0, 2]


def test_means_are_taken_from_the_channels_that_the_reference_takes():
    network = silent_network()
    seen = []
    first = network.get_submodule("conv1_1")
    first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    frame = np.full((40, 48, 3), (200, 110, 50), np.uint8)
    detect_faces(network, frame)
    assert seen[0].shape == (1, 3, 40, 48)
    assert seen[0][0, :, 7, 9].tolist() == [96.0, -7.0, -73.0]


def test_an_empty_picture_gives_no_face():
    assert detect_faces(silent_network(), np.zeros((64, 64, 3), np.uint8)) == []


@pytest.mark.parametrize("size", [(31, 400), (400, 31), (2, 2)])
def test_a_frame_smaller_than_the_trunk_can_halve_gives_no_face(size):
    assert detect_faces(silent_network(), np.zeros((*size, 3), np.uint8)) == []


def test_a_frame_of_the_smallest_size_passes():
    assert detect_faces(silent_network(), np.zeros((32, 32, 3), np.uint8)) == []


def test_a_mirrored_view_of_a_frame_is_accepted():
    detect_faces(make_goldens.small_s3fd(), make_goldens.picture(64, 64)[:, ::-1])


def test_the_pass_can_be_stopped_between_blocks():
    network = silent_network()
    calls = 0

    def stop_at_the_fifth() -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise InterruptedError

    network.between_blocks = stop_at_the_fifth
    with pytest.raises(InterruptedError):
        detect_faces(network, np.zeros((64, 64, 3), np.uint8))


@torch.no_grad()
@pytest.mark.parametrize("work", [1, 20_000, 10**9])
def test_large_maps_are_convolved_in_strips_and_alike(work: int) -> None:
    network, picture = make_goldens.small_s3fd().double(), make_goldens.small_input(70, 45)
    expected = network(picture.double() * 60)
    asked: list[None] = []
    network.between_blocks = lambda: asked.append(None)
    network(picture.double())
    blocks = len(asked)
    asked.clear()
    network.strip_work = work

    levels = network(picture.double() * 60)

    assert (len(asked) > blocks) == (work < 10**9)
    for pair, expected_pair in zip(levels, expected, strict=True):
        torch.testing.assert_close(pair, expected_pair, rtol=1e-12, atol=1e-12)
