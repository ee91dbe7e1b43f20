"""Options are described in the fields of their dataclasses, and everything else is made of that."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.media import MAX_FRAME_RATE, LipCorners
from avatarvideo.musetalk.interfaces import LipSyncConfig
from avatarvideo.nodes.widgets import widget
from avatarvideo.option_types import types_of
from avatarvideo.options import check_options, described, option, options_of


@described
@dataclass(frozen=True, kw_only=True)
class Tea:
    """How tea is made."""

    kind: str = option("black", help="What is in the pot.", choices=("black", "green"))
    cups: int = option(2, help="How many drink it.", low=1, high=2_000_000)
    minutes: float | None = option(None, help="How long it draws.", low=0.5, high=10.0, step=0.5)
    milk: bool = option(False, help="Whether milk goes in first.")
    name: str = option("", help="Whose it is.")


def test_a_field_keeps_its_default_and_says_what_it_is() -> None:
    options = options_of(Tea)

    assert Tea() == Tea(kind="black", cups=2, minutes=None, milk=False, name="")
    assert list(options) == ["kind", "cups", "minutes", "milk", "name"]
    assert options["kind"].choices == ("black", "green")
    assert (options["cups"].low, options["cups"].high, options["cups"].step) == (1, 2_000_000, None)


def test_help_lists_the_fields() -> None:
    assert (Tea.__doc__ or "").splitlines()[:4] == [
        "How tea is made.",
        "",
        "kind: What is in the pot.",
        "cups: How many drink it.",
    ]


RATE = "Expected fps of 0 (the avatar's own) or a rate"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"kind": "mint"}, "Expected kind to be one of black, green, got 'mint'."),
        ({"cups": 0}, "Expected cups between 1 and 2000000, got 0."),
        ({"cups": [1]}, "Expected cups between 1 and 2000000, got [1]."),
        ({"cups": 2_000_001}, "Expected cups between 1 and 2000000, got 2000001."),
        ({"minutes": 10.5}, "Expected minutes between 0.5 and 10, got 10.5."),
        ({"minutes": float("nan")}, "Expected minutes between 0.5 and 10, got nan."),
        ({"cups": 1.5}, "Expected cups as a whole number between 1 and 2000000, got 1.5."),
        ({"cups": None}, "Expected cups between 1 and 2000000, got None."),
        ({"cups": 10**5000}, "Expected cups between 1 and 2000000, got a int."),
        ({"milk": "no"}, "Expected milk as true or false, got 'no'."),
        ({"name": b"me"}, "Expected name as text, got b'me'."),
    ],
)
def test_a_value_that_is_not_allowed_is_named(values: dict[str, Any], sentence: str) -> None:
    tea = Tea(**values)
    with pytest.raises(ValueError, match="Expected") as error:
        check_options(tea)
    assert str(error.value) == sentence


@dataclass(frozen=True)
class Nameless:
    """Nothing that shows itself."""

    def __repr__(self) -> str:
        raise KeyError


FRACTION = 0.123456789
WRONG: list[object] = [
    *("no such thing", b"25", object(), Nameless(), [], [1], {1: 2}, np.zeros(2), 1j, True, None),
    *(float("nan"), float("inf"), -1e300, 10**400, 10**5000, FRACTION, "x" * 100_000),
]


def is_allowed(config: type, name: str, value: object) -> bool:
    """Say whether a field may be one of these; free texts are looked at where they are used."""
    kinds, one = types_of(config)[name], options_of(config)[name]
    if value is None:
        return type(None) in kinds
    if isinstance(value, list) and not value:
        return tuple in kinds  # as many as there are
    if isinstance(value, str):
        return str in kinds and not one.choices and name != "fps"
    return (value is True and bool in kinds) or (value is FRACTION and float in kinds)


@pytest.mark.parametrize(
    ("config", "name"),
    [(config, name) for config in (LipSyncConfig, EncodingConfig) for name in options_of(config)],
)
def test_every_field_refuses_what_it_cannot_be_in_one_sentence(config: type, name: str) -> None:
    more = {"backend": "own ffmpeg"} if name == "ffmpeg" else {}
    for value in WRONG:
        if is_allowed(config, name, value):
            config(**{name: value}, **more)
            continue
        with pytest.raises(ValueError, match="Expected") as error:
            config(**{name: value})
        said = str(error.value)
        assert said.startswith(f"Expected {name} "), (name, said)
        assert ", got " in said
        assert len(said) < 500
        assert "\n" not in said


def test_what_other_libraries_and_files_call_a_number_is_one() -> None:
    given: dict[str, Any] = {  # Any: of other types than the fields
        "crf": np.int64(20),
        "width": 640.0,
        "alpha": np.bool_(True),
        "loop": torch.tensor(3),
        "overwrite": 0,
    }
    made = EncodingConfig(**given)
    assert made == EncodingConfig(crf=20, width=640, alpha=True, loop=3, overwrite=False)
    assert [type(v) for v in (made.crf, made.width, made.alpha, made.loop, made.overwrite)] == [
        *(int, int, bool, int, bool)
    ]
    own = EncodingConfig(backend="own ffmpeg", ffmpeg=Path("/a/ffmpeg"))  # type: ignore[arg-type]
    assert own.ffmpeg == str(Path("/a/ffmpeg"))
    assert LipSyncConfig(mouth=[1, 2, 3, 4]).mouth == LipCorners(1, 2, 3, 4)  # type: ignore[arg-type]
    assert LipSyncConfig(start=Fraction(1, 3)).start == Fraction(1, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"fps": "x"}, f"{RATE} such as 25, 29.97 or 30000/1001, got 'x'."),
        ({"fps": 241}, f"{RATE} above 0 and at most 240, got 241."),
        ({"fps": b"25"}, f"{RATE} such as 25, 29.97 or 30000/1001, got b'25'."),
    ],
)
def test_rates_are_checked_as_any_option(values: dict[str, Any], sentence: str) -> None:
    for config in (LipSyncConfig, EncodingConfig):
        with pytest.raises(ValueError, match="fps") as error:
            config(**values)
        assert str(error.value) == sentence
    assert LipSyncConfig(fps=0).frame_rate(Fraction(7)) == 7
    with pytest.raises(ValueError, match="Expected mouth as 4 numbers, got"):
        LipSyncConfig(mouth=(1, 2, 3))  # type: ignore[arg-type]


def test_what_is_checked_elsewhere_is_left_alone() -> None:
    tea = Tea(cups=0, minutes=99.0)
    with pytest.raises(ValueError, match="minutes"):
        check_options(tea, besides=["cups"])


@pytest.mark.parametrize(
    ("name", "own", "expected"),
    [
        (
            "kind",
            {},
            (["black", "green"], {"default": "black", "tooltip": "What is in the pot."}),
        ),
        (
            "cups",
            {"max": 9},
            ("INT", {"default": 2, "min": 1, "max": 9, "tooltip": "How many drink it."}),
        ),
        (
            "minutes",
            {"default": 3, "tooltip": "Minutes."},
            (
                "FLOAT",
                {"default": 3.0, "min": 0.5, "max": 10.0, "step": 0.5, "tooltip": "Minutes."},
            ),
        ),
        ("milk", {}, ("BOOLEAN", {"default": False, "tooltip": "Whether milk goes in first."})),
        ("name", {}, ("STRING", {"default": "", "tooltip": "Whose it is."})),
        (
            "name",
            {"choices": ["", "me"]},
            (["", "me"], {"default": "", "tooltip": "Whose it is."}),
        ),
    ],
)
def test_a_widget_is_made_of_the_field(name: str, own: dict[str, Any], expected: Any) -> None:
    assert widget(options_of(Tea)[name], **own) == expected


@pytest.mark.parametrize("config", [LipSyncConfig, EncodingConfig])
def test_every_option_is_explained_and_has_its_default(config: type) -> None:
    for name, one in options_of(config).items():
        assert one.help.endswith("."), name
        assert getattr(config(), name) == one.default
        assert f"{name}: {one.help}" in (config.__doc__ or "")


@pytest.mark.parametrize("config", [LipSyncConfig, EncodingConfig])
def test_frame_rates_end_where_they_are_refused(config: type) -> None:
    assert options_of(config)["fps"].high == MAX_FRAME_RATE
