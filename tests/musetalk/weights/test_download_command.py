from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from avatarvideo.musetalk.weights import download_command as module
from avatarvideo.musetalk.weights.download_command import PACKAGE_FOLDER, download_command


def test_where_the_command_is_installed_it_has_its_name() -> None:
    assert download_command("face-mesh") == "avatar models download face-mesh"


def test_inside_comfyui_the_pack_is_run_by_its_own_python(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = tmp_path / "python embeded" / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    assert download_command() == f"'{python}' {PACKAGE_FOLDER} models download"


@pytest.mark.slow
def test_the_folder_is_run_as_the_command() -> None:
    command = [sys.executable, str(module.PACKAGE_FOLDER), "models", "download", "--help"]
    assert "face-mesh" in subprocess.run(command, capture_output=True, text=True).stdout
