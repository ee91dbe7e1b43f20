"""What strangers may do: no escape, no traceback, nothing lost. See tests/support/hostile."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from avatarvideo.headless.comfy_server import ComfyServer
from support.hostile.lying_server import ENDLESS, ESC, LIES, LyingServer, history
from support.hostile.parts import PARTS, try_all
from support.hostile.trials import called, server_trial

SECONDS = float(os.environ.get("AVATAR_HOSTILE_SECONDS", "5"))  # CI has a minute more in a step
FIRST = int(os.environ.get("AVATAR_HOSTILE_FIRST", "0"))


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_strangers_get_an_error_or_a_result(part: str) -> None:
    assert try_all(SECONDS / len(PARTS), [part], FIRST) == []


# One of each kind: the others are tried by chance above.
FAST = [
    *("/object_info: deep lists", "/object_info: many values", "/object_info: huge claim"),
    *("/object_info: more than allowed", "/prompt: to another host", "/upload: to a file"),
    *("/object_info: with a long way", "/object_info: failure of our size", "/prompt: in a circle"),
    *("definitions: output 7", "answers: shown None", "/ws: an error in colours"),
    *("/view: too long", "/view: elsewhere", "/ws: a huge frame", "places: as '../x'"),
]


@pytest.mark.slow_after(6)
@pytest.mark.parametrize("name", FAST)
def test_a_lie_is_one_sentence(name: str, tmp_path: Path) -> None:
    assert server_trial(name, LIES[name], tmp_path / "trial", cancel=False) == []


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    "name",
    [
        *("/object_info: silence", "/upload: silence", "/view: endless file", "/ws: silence"),
        *("/prompt: drips in the body", "/history: while it should stop", "pings"),
        *("/object_info: endless heads", "a run without end"),
    ],
)
def test_ctrl_c_ends_what_does_not_end_within_two_seconds(name: str, tmp_path: Path) -> None:
    found: list[str] = []
    for _ in range(3):  # a busy machine may hold this process up
        found = server_trial(name, ENDLESS[name], tmp_path / "trial", cancel=True)
        if not any(problem.partition(": ")[2].startswith("stopped only") for problem in found):
            break
    assert found == []


def test_there_are_more_than_fifty_lies() -> None:
    assert len(LIES) > 500
    assert len(ENDLESS) > 50


def run_against(lie: dict, tmp_path: Path) -> tuple[object, str, str]:
    (tmp_path / "speech.txt").write_text("hello")
    workflow = {
        "1": {"class_type": "Load", "inputs": {"file": "speech.txt"}},
        "2": {"class_type": "Save", "inputs": {"text": ["1", 0]}},
    }
    (tmp_path / "flow.json").write_text(json.dumps(workflow))
    server = LyingServer(lie)
    folders = ["--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "out")]
    code, said, _ = called(["run", str(tmp_path / "flow.json"), "--server", server.url, *folders])
    server.close()
    return code, *said.split("\0")  # type: ignore[return-value]


def test_what_a_server_says_does_not_steer_the_terminal(tmp_path: Path) -> None:
    entry = {"filename": "a\x1b[31m\u202eb.txt", "subfolder": "", "type": "output"}
    shown = {"2": {"text": [ESC + "shown", "two\nlines"], "images": [entry]}}
    code, out, _ = run_against({"/history": history(shown)}, tmp_path)
    assert code == 0
    assert "shown\ntwo\nlines\n" in out
    assert not set("\x1b\x07\u202e\ud800\r") & set(out)
    (made,) = (tmp_path / "out").iterdir()
    assert made.name == "a_[31m_b.txt"
    assert made.read_bytes() == b"what the server made"


def test_hidden_names_are_no_settings(tmp_path: Path) -> None:
    entry = {"filename": ".bashrc", "subfolder": ".config/x", "type": "output"}
    assert run_against({"/history": history({"2": {"images": [entry]}})}, tmp_path)[0] == 0
    made = [p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert made == [Path("_config/x/_bashrc")]


@pytest.mark.slow
def test_three_thousand_results_of_one_name_take_as_long_as_of_others(tmp_path: Path) -> None:
    """Trying every number from the start for each would take 4.5 million looks."""
    server = LyingServer({})
    client = ComfyServer(server.url)
    entry = {"filename": "same.txt", "subfolder": "", "type": "output"}

    def seconds(first: int, last: int) -> float:
        began = time.monotonic()
        for _ in range(first, last):
            client.download(entry, tmp_path / "out")
        return time.monotonic() - began

    early = seconds(0, 300)
    seconds(300, 2700)
    late = seconds(2700, 3000)
    server.close()
    assert len(list((tmp_path / "out").iterdir())) == 3000
    assert (tmp_path / "out" / "same-3000.txt").is_file()
    assert late < 4 * early + 1
