"""Windows and macOS, simulated: no /proc, nothing of what only Linux has, and psutil's figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parents[1]

# What psutil says there: other fields, and no affinity on macOS.
PSUTIL = {
    "Windows": """
from collections import namedtuple
from types import SimpleNamespace
times = namedtuple("times", "user system idle interrupt dpc")
seconds = iter([times(10, 5, 85, 2, 1), times(30, 25, 145, 3, 2)])
class Process:
    def cpu_affinity(self): return list(range(6))
    def memory_info(self): return SimpleNamespace(rss=1 << 30, peak_wset=5 << 30)
""",
    "macOS": """
from collections import namedtuple
from types import SimpleNamespace
times = namedtuple("times", "user nice system idle")
seconds = iter([times(10, 0, 5, 85), times(29, 1, 25, 145)])
class Process:
    def memory_info(self): return SimpleNamespace(rss=1 << 30)
""",
}
FIGURES = """
def virtual_memory(): return SimpleNamespace(available=19 << 30, total=32 << 30)
def cpu_times(): return next(seconds)
def cpu_count(logical=True): return 8
"""
PROGRAM = """
import contextlib, io, json, logging, os, sys
sys.path.insert(0, sys.argv[1])
import conftest, torch

def hide(event, arguments):
    if event == "open" and str(arguments[0]).startswith(("/proc", "/sys/fs/cgroup")):
        raise FileNotFoundError(2, "hidden", arguments[0])

sys.addaudithook(hide)
for name in ("sysconf", "sysconf_names", "sched_getaffinity"):
    vars(os).pop(name, None)
if sys.argv[2] == "Windows":
    sys.modules["resource"] = None

heard = io.StringIO()
logging.basicConfig(stream=heard)
from avatarvideo.host.machine import WorkOfOthers, available_memory, peak_memory, usable_cpus

others = WorkOfOthers()
found = {"cpus": usable_cpus(), "busy": others.cpus(), "peak": peak_memory()}

from avatarvideo.cli.main import main
shown = io.StringIO()
with contextlib.redirect_stdout(shown):
    assert main(["doctor", "--json"]) == 0
found["doctor"] = json.loads(shown.getvalue())

from avatarvideo.musetalk.pipeline.memory import FallbackPlan, VRAMManager, plan_stage
from avatarvideo.musetalk.weights.build import empty_network
from avatarvideo.musetalk.weights.session import ModelSession
from support.given_models import MuseTalkModels

roles = ("unet", "vae", "whisper", "bisenet", "s3fd", "rtmpose")
full_size = MuseTalkModels(**{role: empty_network(role) for role in roles}, identities="empty")
found["keeps"] = ModelSession(full_size, {}, "auto").keeps
vram = VRAMManager("cpu")
found["free_mb"] = vram.free_mb()
fallback = FallbackPlan(vram, "high")
found["batch"] = fallback.place(
    "generate", lambda place: plan_stage("generate", full_size, place, tuning=fallback.tuning)
).batch
found["heard"] = heard.getvalue()
print(json.dumps(found))
"""


def simulated(system: str, folder: Path, psutil: str | None) -> dict[str, Any]:
    (folder / "psutil.py").write_text(
        "raise ImportError('not installed')" if psutil is None else psutil + FIGURES
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(TESTS), system],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("system", ["Windows", "macOS"])
def test_free_memory_is_what_psutil_says(system: str, tmp_path: Path) -> None:
    found = simulated(system, tmp_path, PSUTIL[system])
    assert found["doctor"]["memory"] == "19.0 GiB free of 32.0 GiB"
    assert found["free_mb"] == 19 * 1024
    assert found["keeps"], "residency auto keeps networks of full size"
    assert found["batch"] == 4, "the largest there is for a CPU"
    assert found["cpus"] == (6 if system == "Windows" else 8)
    assert found["busy"] == pytest.approx(8 * 40 / 100, abs=0.3)  # less our own work
    assert found["peak"] == 5 << 30 if system == "Windows" else found["peak"] > 1 << 20
    assert "4.0 GiB" not in json.dumps(found)
    assert found["heard"] == ""


@pytest.mark.slow
def test_without_psutil_it_is_a_guess_and_said_once(tmp_path: Path) -> None:
    found = simulated("Windows", tmp_path, None)
    assert found["doctor"]["memory"] == "unknown, assumed to be 4.0 GiB free: pip install psutil"
    assert found["doctor"]["psutil"] == "does not import: not installed"
    assert (found["keeps"], found["batch"], found["busy"]) == (False, 1, None)
    assert found["heard"].count("pip install psutil") == 1
