"""The table of numbers, and limits on them as they are written on the command line."""

from __future__ import annotations

import pytest

from avatarvideo.errors import MediaError
from avatarvideo.musetalk.score.numbers import NUMBERS, OF, failures, parse_limits

FOUND: dict[str, float | None] = {
    "offset": -1.4,
    "correlation": 0.5,
    "closure": 0.95,
    "jitter": 0.002,
    "sharpness": None,
    "change": 0.5,
}


def test_limits_are_kept_up_and_down() -> None:
    limits = parse_limits("offset=2, closure=0.9,jitter=0.002")
    assert [(limit.number.name, limit.value) for limit in limits] == [
        ("offset", 2.0),
        ("closure", 0.9),
        ("jitter", 0.002),
    ]
    assert failures(limits, FOUND, {}) == []


def test_each_number_that_is_worse_gets_a_sentence() -> None:
    limits = parse_limits("offset=1,closure=0.96,sharpness=0.5,change=1,jitter=0.001")
    assert failures(limits, FOUND, {"sharpness": "The mouth is small."}) == [
        "Expected offset of at most 1 either way, got -1.4 frames.",
        "Expected closure of at least 0.96, got 0.95.",
        "Expected sharpness of at least 0.5, but it was not measured: The mouth is small.",
        "Expected jitter of at most 0.001, got 0.0020 mouth widths.",
    ]


def test_what_is_hardly_worse_is_shown_as_worse() -> None:
    limits = parse_limits("offset=1,closure=0.9,change=1")
    found = FOUND | {"offset": -1.003, "closure": 0.8996, "change": 1 + 1e-12}
    assert failures(limits, found, {}) == [
        "Expected offset of at most 1 either way, got -1.003 frames.",
        "Expected closure of at least 0.9, got 0.8996.",
        "Expected change of at most 1, got 1.00000000 levels of 255.",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("quality=1", "offset, correlation, closure, jitter, sharpness, change, got 'quality'"),
        ("offset", "a number for offset, got ''"),
        ("offset=nan", "a number for offset, got 'nan'"),
        (" , ", "limits such as offset=1,closure=0.9, got none"),
        ("offset=-1", "a limit on offset within 0 to 15, got -1"),
        ("closure=1.1", "a limit on closure within 0 to 1, got 1.1"),
        ("jitter=-0.1", "a limit on jitter within 0 up, got -0.1"),
        ("closure=0.9,offset=1,closure=0.8", "one limit on closure, got two"),
    ],
)
def test_other_limits_are_refused(text: str, said: str) -> None:
    with pytest.raises(MediaError, match=said):
        parse_limits(text)


def test_every_number_says_its_range_meaning_and_weakness() -> None:
    assert list(OF) == ["offset", "correlation", "closure", "jitter", "sharpness", "change"]
    for number in NUMBERS:
        assert number.least < number.most
        for text in (number.meaning, number.weakness):
            assert text.endswith(".")
            assert "quality" not in text.lower()
    assert [number.range for number in NUMBERS] == [
        "-15 to 15",
        "0 to 1",
        "0 to 1",
        "0 up",
        "0 up",
        "0 to 255",
    ]
    assert "late (+)" in OF["offset"].meaning
    assert OF["offset"].shown(0.26) == "+0.3 frames"
    assert OF["offset"].shown(-0.01) == "+0.0 frames"
