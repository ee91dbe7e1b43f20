"""The host in its three parts."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

from avatarvideo.host import contract, standalone
from avatarvideo.host.contract import Device, Folders, Host, Interaction


def test_the_usage_example_runs(tmp_path: Path) -> None:
    host = standalone.StandaloneHost(input_directory=tmp_path)
    example = dedent((contract.__doc__ or "").split("for that part:\n")[1])
    names: dict[str, Any] = {"Path": Path, "Folders": Folders, "current_host": lambda: host}
    exec(example, names)
    assert names["portrait"](host) == tmp_path / "portrait.png"


def test_the_standalone_host_answers_every_part() -> None:
    for part in (Folders, Device, Interaction, Host):
        asked = {name for name in vars(part) if not name.startswith("_")}
        assert len(asked) in (2, 3, 4, 5)
        assert asked <= set(dir(standalone.StandaloneHost()))
