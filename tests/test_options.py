"""Options are described in the fields of their dataclasses, and everything else is made of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.media import MAX_FRAME_RATE
from avatarvideo.musetalk.interfaces import LipSyncConfig
from avatarvideo.nodes.widgets import widget
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


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"kind": "mint"}, "Expected kind to be one of black, green, got 'mint'."),
        ({"cups": 0}, "Expected cups between 1 and 2000000, got 0."),
        ({"cups": [1]}, "Expected cups between 1 and 2000000, got [1]."),
        ({"cups": 2_000_001}, "Expected cups between 1 and 2000000, got 2000001."),
        ({"minutes": 10.5}, "Expected minutes between 0.5 and 10, got 10.5."),
        ({"minutes": float("nan")}, "Expected minutes between 0.5 and 10, got nan."),
    ],
)
def test_a_value_that_is_not_allowed_is_named(values: dict[str, Any], sentence: str) -> None:
    tea = Tea(**values)
    with pytest.raises(ValueError, match="Expected") as error:
        check_options(tea)
    assert str(error.value) == sentence


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
