"""A mouth is drawn so far open that what is seen is what was asked for, within bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from avatarvideo.musetalk.puppet.gap_table import CODEC, DRAWN, WIDTHS, gap_table
from avatarvideo.musetalk.puppet.pose import MouthPose

GAPS = np.array((0.0, 0.06, 0.13, 0.26, 0.36))
TO_SEE = GAPS + np.interp(GAPS, *CODEC)
SHUT = np.zeros(1)


def drawn(gaps: np.ndarray, width: float = 1.0) -> np.ndarray:
    seen = gap_table(SHUT, np.stack([gaps, gaps])[None], is_still=True)
    return np.array([seen.pose(MouthPose(float(one), width)).opening for one in GAPS])


@pytest.mark.parametrize("width", [0.7, 0.9, 1.0, 1.08])
def test_what_is_seen_as_it_is_drawn_stays_but_for_what_a_codec_takes(width: float) -> None:
    np.testing.assert_allclose(drawn(np.array(DRAWN), width), TO_SEE, atol=1e-6)
    assert np.abs(TO_SEE - GAPS).max() < 0.0101


def test_what_is_seen_less_is_drawn_more() -> None:
    gaps = drawn(np.array(DRAWN) - 0.03)
    assert gaps[0] == 0
    np.testing.assert_allclose(gaps[1:], TO_SEE[1:] + 0.03, atol=1e-6)


def test_what_is_seen_more_is_drawn_less() -> None:
    np.testing.assert_allclose(drawn(np.array(DRAWN) + 0.02)[2:], TO_SEE[2:] - 0.02, atol=1e-6)


def test_a_video_is_drawn_by_how_far_it_is_open_in_the_source() -> None:
    readings = np.array([DRAWN, DRAWN]) - np.array([0.0, 0.05, 0.02])[:, None, None]
    seen = gap_table(np.array([0.0, 0.15, 0.3]), readings, is_still=False)
    own = np.array([0.0, 0.15, 0.225, 0.3, 0.5])
    gaps = [seen.pose(MouthPose(0.2), gap).opening for gap in own.tolist()]
    np.testing.assert_allclose(gaps, [0.2, 0.25, 0.235, 0.22, 0.22], atol=1e-6)


def test_a_round_mouth_has_its_own_curve_and_widths_between_have_one_between() -> None:
    seen = gap_table(SHUT, np.array([[np.array(DRAWN) + 0.02, DRAWN]]), is_still=True)
    usual, between, narrow, narrower = (
        seen.pose(MouthPose(0.25, width)).opening for width in (1.0, sum(WIDTHS) / 2, *(0.8, 0.62))
    )
    np.testing.assert_allclose([between, narrow], [usual - 0.01, usual - 0.02], atol=1e-6)
    assert narrower == narrow


@given(
    arrays(float, (3, len(WIDTHS), len(DRAWN)), elements=st.floats(-0.1, 0.6)), st.floats(-0.1, 0.6)
)
def test_any_reading_gives_a_curve_that_rises_within_bounds(
    readings: np.ndarray, own: float
) -> None:
    asked = np.linspace(0, 0.52, 200)
    to_see = asked + np.interp(asked, *CODEC)
    seen = gap_table(np.array([0.0, 0.14, 0.3]), readings, is_still=True)
    for width in (0.8, 0.87, 1.0):
        gaps = np.array([seen.pose(MouthPose(float(one), width), own).opening for one in asked])
        assert gaps[0] == 0
        assert (np.diff(gaps) >= -1e-9).all()
        assert gaps.max() <= 0.52
        assert (gaps <= to_see + 0.1 + 1e-9).all()
        assert (gaps >= np.minimum(to_see - 0.03, 0.52) - 1e-9).all()
