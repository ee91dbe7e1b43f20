"""A picture's finer pixels are shown where a warp enlarges it, and nowhere else."""

from __future__ import annotations

import numpy as np

from avatarvideo.media import LipCorners, LipShape
from avatarvideo.musetalk.puppet.finer import enlarged_share, show_finer
from avatarvideo.musetalk.puppet.pose import MouthPose
from avatarvideo.musetalk.puppet.puppet import Puppet

HEIGHT, WIDTH = 40, 60


def places(across: float, down: float) -> tuple[np.ndarray, np.ndarray]:
    """From where a warp takes each pixel that shows the picture so many times as large."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    return (columns + 0.5) / across - 0.5, (rows + 0.5) / down - 0.5


def test_the_share_follows_how_much_a_warp_enlarges() -> None:
    for across, down, expected in (
        (1, 1, 0),
        (0.5, 1, 0),
        (1.05, 1, 0),
        (1, 1.3, 1),
        (2, 1, 1),
        (2, 2, 1),
        (2, 0.5, 0),  # as many pixels as before
    ):
        share = enlarged_share(*places(across, down))
        assert np.allclose(share, expected, atol=1e-3), (across, down)
    half = enlarged_share(*places(1, 1.175))
    assert np.allclose(half, 0.5, atol=1e-3)


def test_an_edge_that_pixels_jump_over_is_no_enlargement() -> None:
    x, y = places(1, 1)
    y[20:] -= 6  # below the opening the picture's rows are shown once more
    assert not enlarged_share(x, y)[[19, 20]].any()


def test_a_doubled_picture_shows_the_finer_one_itself() -> None:
    finer = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    warped = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    show_finer(warped, *places(2, 2), finer, 2)
    assert np.array_equal(warped, finer)


def test_a_picture_as_large_as_it_was_stays() -> None:
    warped = np.full((HEIGHT, WIDTH, 3), 7, np.uint8)
    show_finer(warped, *places(1, 1), np.zeros((2 * HEIGHT, 2 * WIDTH, 3), np.uint8), 2)
    assert (warped == 7).all()


def test_a_puppet_shows_finer_pixels_only_where_its_pose_enlarges_the_mouth() -> None:
    lens = (1 - np.linspace(-1, 1, 33) ** 2) ** 0.8
    curves = np.array([-0.12 * lens, 0 * lens, 0 * lens, 0.17 * lens], np.float32)
    frame = np.random.default_rng(1).integers(120, 200, (240, 320, 3), np.uint8)
    lips = LipShape(LipCorners(120, 110, 200, 110), curves)
    plain, refined = Puppet(frame, lips), Puppet(frame, lips)
    rows, columns = plain.part.shape[:2]
    assert plain.part.base is not None
    refined.refine(np.full((2 * rows, 2 * columns, 3), (255, 0, 0), np.uint8))
    wide = MouthPose(0.4, 0.74)
    before, after = plain.render(wide), refined.render(wide)
    changed = (before != after).any(axis=2)
    assert 0.02 < changed.sum() / plain.mask().sum() < 0.5
    assert (after[changed].astype(int)[:, 0] >= before[changed][:, 0]).mean() > 0.95  # redder
    assert not changed[plain.mask() == 0].any()
    assert np.array_equal(refined.render(MouthPose()), frame)
