"""A mouth at rest shows the picture's own lips where they stay shut, and never flickers to them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from avatarvideo.musetalk.pipeline.own_lips import LEAST_SHUT, generated_share

THIRD = 1 / 3


def frames(text: str) -> np.ndarray:
    """x: shut, -: open."""
    return np.array([letter == "x" for letter in text])


def test_lips_that_are_always_shut_are_the_pictures_own_and_open_ones_are_not() -> None:
    for count in (1, 2, 50):
        assert (generated_share(np.ones(count, bool)) == 0).all()
        assert (generated_share(np.zeros(count, bool)) == 1).all()


def test_lips_that_shut_for_a_moment_are_not_shown() -> None:
    assert (generated_share(frames("--" + "x" * (LEAST_SHUT - 1) + "--")) == 1).all()


def test_what_stays_shut_is_reached_in_two_frames() -> None:
    share = generated_share(frames("--xxxxxxx--"))
    wanted = [1, 1, 2 * THIRD, THIRD, 0, 0, 0, THIRD, 2 * THIRD, 1, 1]
    np.testing.assert_allclose(share, wanted, atol=1e-6)


def test_what_is_shut_at_an_end_may_go_on() -> None:
    np.testing.assert_allclose(
        generated_share(frames("xxx---x")), [0, THIRD, 2 * THIRD, 1, 1, 1, 2 * THIRD], atol=1e-6
    )


def test_each_of_several_people_has_lips_of_its_own() -> None:
    first, second = frames("xxxxxxxx--"), frames("----xxxxxx")
    both = np.stack([first, second], axis=1).reshape(-1)
    share = generated_share(both, people=2)
    np.testing.assert_array_equal(share[::2], generated_share(first))
    np.testing.assert_array_equal(share[1::2], generated_share(second))


@given(arrays(bool, st.integers(1, 60)))
def test_no_frame_changes_by_more_than_a_third(shut: np.ndarray) -> None:
    share = generated_share(shut)
    assert (share[~shut] == 1).all()
    assert np.abs(np.diff(share)).max(initial=0) < 0.34
