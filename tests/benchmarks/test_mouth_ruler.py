"""The ruler on finished videos: what it reads off a mesh, and which frames it looks at."""

from __future__ import annotations

from ctypes.util import find_library
from importlib.util import find_spec

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("benchmarks_can_be_imported")


def face(*, gap: float, width: float, turn: float = 0.0, size: float = 1.0) -> np.ndarray:
    """Return a mesh (478, 2) whose eye corners lie 100 pixels apart times size."""
    points = np.zeros((478, 2))
    points[[33, 263]] = [[-50, 0], [50, 0]]
    points[[61, 291]] = [[-width / 2, 80], [width / 2, 80]]
    for number, (high, low) in enumerate(((82, 87), (13, 14), (312, 317))):
        points[[high, low]] = [[10 * number - 10, 80 - gap / 2], [10 * number - 10, 80 + gap / 2]]
    points[[159, 386]], points[[145, 374]] = [-30, -4], [-30, 5]
    cos, sin = np.cos(turn), np.sin(turn)
    return size * points @ np.array([[cos, sin], [-sin, cos]]) + [300, 200]


@pytest.mark.parametrize("turn", [0.0, 0.4])
@pytest.mark.parametrize("size", [1.0, 2.5])
def test_lengths_are_in_distances_of_the_eye_corners(turn: float, size: float) -> None:
    from mesh_ruler import measured

    values = measured(face(gap=12, width=60, turn=turn, size=size))

    assert values == pytest.approx((0.12, 0.6, 0.09))


def test_gaps_are_above_that_at_rest_in_mouth_widths_at_rest() -> None:
    from mesh_ruler import Readings, measured

    at_rest, spoken = face(gap=3, width=60), face(gap=21, width=45, size=2)
    rows = [measured(points) for points in (at_rest, at_rest, spoken)]

    seen, shut = Readings(*np.array(rows).T).in_widths(np.array([True, True, False]))

    assert shut == pytest.approx(0.05)
    assert seen.gap == pytest.approx([0, 0, 0.3])
    assert seen.width == pytest.approx([1, 1, 0.75])
    assert seen.lids == pytest.approx([0.09] * 3)


def test_a_mouth_that_stays_open_in_pauses_counts_as_open() -> None:
    from mesh_ruler import Readings, measured

    rows = [measured(face(gap=18, width=60))] * 3

    seen, shut = Readings(*np.array(rows).T).in_widths(np.array([True, True, False]))

    assert shut == pytest.approx(0.3)
    assert seen.gap == pytest.approx([0.24] * 3)


def test_frames_without_a_face_are_filled_in() -> None:
    from mesh_ruler import Readings

    gap = np.array([0.0, 0.0, np.nan, 0.2])
    same = np.ones(4)

    seen, _ = Readings(gap, same, same).in_widths(np.array([True, True, False, False]))

    assert seen.gap == pytest.approx([0, 0, 0.1, 0.2])


@pytest.mark.slow  # it imports the engine
def test_rest_is_well_inside_a_pause() -> None:
    from espeak import Phone
    from mouth_ruler import at_rest

    phones = [Phone("", 0.0, 0.5), Phone("m", 0.5, 0.7), Phone("", 0.7, 0.8), Phone("a", 0.8, 1.0)]

    rest = at_rest(phones, 25)

    assert np.flatnonzero(rest).tolist() == [5, 6, 7, 8, 9]  # 0.2 s to 0.4 s at 25 fps


@pytest.mark.slow  # it imports the engine
def test_what_follows_the_source_is_told_from_what_follows_the_sound() -> None:
    from mouth_ruler import correlations

    rng = np.random.default_rng(0)
    truth, source = rng.normal(size=(2, 4000))

    for gap, wanted in ((truth, (1.0, 0.0)), (truth + source, (0.707, 1.0))):
        noisy = gap + 1e-3 * rng.normal(size=4000)
        assert correlations(noisy, truth, source) == pytest.approx(wanted, abs=0.06)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pocketsphinx") is None, reason="pocketsphinx is not installed")
def test_pocketsphinx_is_hidden_and_comes_back() -> None:
    from mouth_ruler import hearing

    from avatarvideo.musetalk.puppet.phones import can_hear_phones

    with hearing(with_phones=False):
        hidden = can_hear_phones()

    assert not hidden
    assert can_hear_phones()


@pytest.mark.slow  # it imports the engine
def test_the_sheet_shows_the_longest_sound_of_a_kind() -> None:
    from contact_sheet import frame_of, pasted
    from espeak import Phone

    phones = [Phone("f", 0.1, 0.16), Phone("v", 1.0, 1.2), Phone("u", 1.2, 1.6)]

    assert frame_of(phones, "fv", 100) == 27  # 1.1 s at 25 fps
    assert frame_of(phones, "u", 30) == 29  # the last one there is
    cells = [np.full((10 + k, 20, 3), 40 * k + 40, np.uint8) for k in range(3)]
    sheet = pasted(cells, 2)
    assert sheet.shape == (24, 40, 3)
    assert sheet[12:, :20].reshape(-1, 3).max() == 120
    assert sheet[10, 5].tolist() == [0, 0, 0]


@pytest.mark.slow  # it imports the engine
def test_the_truth_is_shut_in_long_pauses_alone() -> None:
    from espeak import Phone
    from mouth_truth import curve

    phones = [
        Phone("", 0.0, 0.4),
        Phone("a", 0.4, 0.6),
        Phone("", 0.6, 0.76),
        Phone("a", 0.76, 1.0),
    ]
    times = (np.arange(25) + 0.5) / 25

    assert curve(phones, times)[[5, 12, 17, 22]] == pytest.approx([0, 0.35, 0.08, 0.35])


@pytest.mark.slow  # it imports the engine
def test_talking_sources_move_the_head_a_little_and_have_even_sides() -> None:
    from talking_sources import head_motion, reduced

    middle = np.array([200, 150, 1])
    places = np.array([head_motion(frame, 400, 300) @ middle for frame in range(90)])

    assert reduced(np.zeros((701, 1023, 3), np.uint8)).shape == (350, 512, 3)
    assert reduced(np.zeros((101, 64, 3), np.uint8)).shape == (100, 64, 3)
    assert 5 < np.abs(places - middle[:2]).max() <= 8 + 1e-6
    assert np.abs(np.diff(places, axis=0)).max() < 1


@pytest.mark.slow  # it imports the engine
@pytest.mark.skipif(find_library("espeak-ng") is None, reason="needs espeak-ng")
def test_a_sentence_sounds_the_same_for_every_face() -> None:
    from mouth_ruler import SENTENCES, said

    sentences = SENTENCES["held-out"]["es"][:1]

    assert said("es", sentences) is said("es", sentences)
