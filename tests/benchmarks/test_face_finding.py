"""The benchmark of face finding counts faces, errors and places without a face."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARK = ROOT / "benchmarks" / "face_finding.py"
PORTRAIT = ROOT / "web" / "samples" / "portrait.png"
LIPS = [[352.0, 437.0], [441.0, 440.0]]  # pixels, by eye


def measured(folder: Path, truth: dict[str, object], *more: str) -> str:
    (folder / "corners.json").write_text(json.dumps(truth))
    command = [sys.executable, str(BENCHMARK), str(folder), str(folder / "corners.json")]
    command += ["--models", str(folder), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    portrait = cv2.imread(str(PORTRAIT))
    assert portrait is not None
    cv2.imwrite(str(tmp_path / "drawn_portrait.png"), portrait)
    sky = np.linspace(90, 220, 240, dtype=np.uint8)[:, None, None]
    cv2.imwrite(str(tmp_path / "sky.png"), np.broadcast_to(sky, (240, 320, 3)).copy())
    return tmp_path


@pytest.mark.slow
def test_a_face_is_measured_against_its_marked_corners(folder: Path) -> None:
    truth = {"drawn_portrait.png": LIPS, "sky.png": None}

    rows: list[dict[str, Any]] = json.loads(measured(folder, truth, "--json"))["without the mesh"]

    face, sky = rows
    assert face["is_found"]
    assert 0 <= face["error"] < 0.15
    assert not sky["has_face"]
    assert not sky["is_found"]
    assert sky["error"] is None
    assert face["milliseconds"] > 0


@pytest.mark.slow
def test_corners_that_are_far_off_are_named(folder: Path) -> None:
    shifted = [[x + 0.5 * 89, y] for x, y in LIPS]  # half a mouth

    table = measured(folder, {"drawn_portrait.png": shifted}).split("without the mesh")[1]

    assert "drawn_portrait.png: off by 0.5" in table or "drawn_portrait.png: off by 0.4" in table
    assert "over 0.15: 1" in table
    assert "1 pictures, found   1 (100%)" in table
