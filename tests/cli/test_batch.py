"""``avatar batch``: what it makes, says and leaves; killed, stopped and on a full disk."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatarvideo.batch.processes import Place, Processes, gpus, places
from avatarvideo.cli.main import main
from avatarvideo.errors import AvatarVideoError
from avatarvideo.host.current import set_host
from support.small_jobs import (
    FRAMES,
    MOUTH,
    frames_of,
    left_over,
    lines_of,
    row,
    write_inputs,
    write_list,
    write_speech,
)

Call = Callable[..., tuple[int, str, str]]
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
WORKFLOW = Path(__file__).resolve().parents[2] / "workflows" / "talking_avatar.json"


@pytest.fixture
def batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Call]:
    """Run the command on rows, in this process unless told otherwise, beside small inputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_inputs(tmp_path)

    def call(rows: list[dict[str, Any]], *more: str) -> tuple[int, str, str]:
        write_list(tmp_path / "jobs.jsonl", rows)
        usual = ["batch", "jobs.jsonl", "--output-dir", "out"]
        if "--workers" not in more:
            usual += ["--workers", "0"]
        code = main([*usual, *more])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    yield call
    set_host(None)


@pytest.mark.slow
def test_a_list_is_made_and_then_skipped(batch: Call) -> None:
    rows = [row("a/1.mp4"), row("a/2.mkv", speech=1), row("b.mp4", avatar=1)]
    code, out, err = batch(rows)
    assert code == 0
    assert [line.partition(":")[0] for line in out.splitlines()] == [
        *("[1/3] a/1.mp4", "[2/3] a/2.mkv", "[3/3] b.mp4")
    ]
    assert err.splitlines()[-1].startswith("3 jobs: 3 made, 0 finished before; ")
    for name in ("a/1.mp4", "a/2.mkv", "b.mp4"):
        assert frames_of(Path("out", name)).shape == (FRAMES, 64, 64, 3)
        report = json.loads(Path(f"out/{name}.report.json").read_text())
        assert (report["output"], report["mode"], report["frame_count"]) == (name, "static", FRAMES)
        assert report["report"]["frames"] == FRAMES
    assert [line["output"] for line in lines_of(Path("out/results.jsonl"))] == [
        *("a/1.mp4", "a/2.mkv", "b.mp4")
    ]
    assert left_over(Path("out")) == []

    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.m*")}
    code, out, err = batch(rows)
    assert (code, out) == (0, "")
    assert err.splitlines()[-1] == "3 jobs: 0 made, 3 finished before"
    assert {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.m*")} == before


@pytest.mark.slow
def test_only_what_changed_is_made_again(batch: Call) -> None:
    rows = [row("1.mp4"), row("2.mp4", speech=1), row("3.mp4", speech=2), row("4.mp4")]
    assert batch(rows)[0] == 0
    write_speech(Path("speech1.wav"), 40)  # other contents
    rows[2]["fps"] = 30
    os.truncate("out/4.mp4", 100)
    code, out, _ = batch([*rows, row("5.mp4")])
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()] == [
        *("2.mp4:", "3.mp4:", "4.mp4:", "5.mp4:")
    ]
    assert frames_of(Path("out/4.mp4")).shape[0] == FRAMES


def test_bad_rows_are_all_told_and_nothing_is_made(batch: Call) -> None:
    rows = [row("1.mp4"), row("2.mp4", avatar=9), row("3.mp4", quality="best"), row("1.mp4")]
    code, out, err = batch(rows)
    assert (code, out) == (1, "")
    assert [line.partition(":")[0] for line in err.splitlines()] == [
        *("Line 2", "Line 3", "Line 4", "Error")
    ]
    assert "3 of 4 rows cannot be made, so nothing was" in err.splitlines()[-1]
    assert not Path("out").exists()


def test_keep_going_makes_the_good_rows_and_still_ends_with_1(batch: Call) -> None:
    code, out, err = batch([row("1.mp4"), row("2.mp4", avatar=9)], "--keep-going")
    assert code == 1
    assert out.startswith("[2/2] 1.mp4: static")
    assert "Error: 1 of 2 jobs failed, for the reasons in failures.jsonl" in err.splitlines()[-1]
    (failure,) = lines_of(Path("out/failures.jsonl"))
    assert (failure["line"], failure["output"]) == (2, "2.mp4")
    assert "avatar9.png" in failure["error"]


@pytest.mark.slow
def test_a_job_that_fails_ends_no_other(batch: Call) -> None:
    Path("speech1.wav").write_bytes(b"no sound at all")
    code, out, err = batch([row("1.mp4", speech=1), row("2.mp4")])
    assert code == 1
    assert "Line 1: 1.mp4: " in err
    assert "[2/2] 2.mp4: static" in out
    assert not Path("out/1.mp4").exists()
    assert left_over(Path("out")) == []


@pytest.mark.slow
def test_options_of_the_command_are_for_rows_that_name_none(batch: Call) -> None:
    rows = [row("1.mp4"), row("2.mp4", fps=10)]
    assert batch(rows, "--fps", "50", "--threads", "1")[0] == 0
    assert len(frames_of(Path("out/1.mp4"))) == 10
    assert len(frames_of(Path("out/2.mp4"))) == 2
    assert json.loads(Path("out/1.mp4.report.json").read_text())["threads"] == 1


@pytest.mark.slow
def test_a_csv_and_two_folders_do_the_same(
    batch: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("jobs.csv").write_text("avatar,audio,output\navatar0.png,speech0.wav,a.mp4\n")
    usual = ["--output-dir", "out", "--workers", "0", "--mode", "static", "--quality", "low"]
    assert main(["batch", "jobs.csv", *usual]) == 0
    for folder, name in (("people", "avatar0.png"), ("sounds", "speech0.wav")):
        Path(folder).mkdir()
        shutil.copy(name, folder)
    assert main(["batch", "people", "sounds", *usual]) == 0
    capsys.readouterr()
    assert np.array_equal(frames_of(Path("out/a.mp4")), frames_of(Path("out/avatar0/speech0.mp4")))


def test_json_tells_every_event(batch: Call) -> None:
    code, out, err = batch([row("1.mp4")], "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [event["event"] for event in events] == ["checked", "started", "finished", "end"]
    assert (events[2]["job"], events[2]["mode"]) == ("1.mp4", "static")
    assert (events[3]["made"], events[3]["left"], events[3]["state"]) == (1, 0, "done")
    status = json.loads(Path("out/status.json").read_text())
    assert (status["made"], status["state"], status["running"]) == (1, "done", [])


@pytest.mark.slow
def test_logs_carry_the_jobs_name(batch: Call) -> None:
    _, _, err = batch([row("1.mp4")], "-v")
    assert any("1.mp4: mode static" in line for line in err.splitlines())


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--workers", "many"], "Expected --workers as auto or a number up to 256, got 'many'."),
        (["--min-score", "beauty=1"], "Expected limits on some of offset,"),
        (["--quality", "best"], "'best' is not one of"),
        (["--fps", "1000"], "fps"),
        (["--threads", "-1"], "-1 is not in the range"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_made(
    batch: Call, more: list[str], sentence: str
) -> None:
    code, out, err = batch([row("1.mp4")], *more)
    assert (code, out) == (2, "")
    assert sentence in err
    assert not Path("out").exists()


@pytest.mark.slow
def test_a_workflow_is_a_row_too(batch: Call) -> None:
    shutil.copy(WORKFLOW, "flow.json")
    settings = {
        "LoadAvatar.avatar": "avatar0.png",
        "AudioToMel.audio": "speech0.wav",
        "MuseTalkLipSync.mode": "static",
    }
    flow = {"workflow": "flow.json", "output": "f/1.mp4", "set": settings}
    code, out, _ = batch([flow])
    assert code == 0
    assert out.startswith("[1/1] f/1.mp4: made in ")
    assert len(frames_of(Path("out/f/1.mp4"))) == FRAMES
    assert sorted(path.name for path in Path("out/f").iterdir()) == ["1.mp4", "1.mp4.report.json"]
    assert batch([flow])[1] == ""
    settings["AudioToMel.audio"] = "speech1.wav"
    assert batch([flow])[1].startswith("[1/1]")
    code, _, err = batch([flow | {"output": "f/1.mkv"}])
    assert code == 1
    assert "Expected the workflow to leave one .mkv in the output folder, but it left 0" in err


@pytest.mark.slow
def test_a_worse_score_fails_the_job_and_keeps_the_video_apart(
    batch: Call, mesh_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATAR_MODELS", str(mesh_models))
    portrait = Image.open(WORKFLOW.parents[1] / "web" / "samples" / "portrait.png")
    portrait.crop((140, 120, 652, 632)).convert("RGB").resize((192, 192)).save("avatar0.png")
    rows = [row("1.mp4", duration=0.2)]
    code, _, err = batch(rows, "--min-score", "sharpness=9")
    assert code == 1
    assert "Expected sharpness of at least 9, got " in err
    assert "The video is kept as" in err
    assert not Path("out/1.mp4").exists()
    assert len(frames_of(Path("out/failed/1.mp4"))) == FRAMES
    report = json.loads(Path("out/failed/1.mp4.report.json").read_text())
    assert report["score"]["numbers"]["sharpness"] < 9
    code, _, _ = batch(rows, "--min-score", "sharpness=0.01")
    assert (code, Path("out/1.mp4").exists(), Path("out/failed/1.mp4").exists()) == (0, True, False)


# Processes.


def mixed_rows() -> list[dict[str, Any]]:
    """Rows of stills and puppets."""
    rows = [row(f"still{number}.mp4", number % 2, number) for number in range(3)]
    more = {"mode": "puppet", "mouth": MOUTH}
    return rows + [row(f"puppet{number}.mp4", number % 2, number, **more) for number in range(3)]


@pytest.mark.slow
def test_processes_and_this_process_make_the_same_frames(batch: Call) -> None:
    rows = mixed_rows()
    assert batch(rows, "--threads", "1")[0] == 0
    Path("out").rename("here")
    code, out, err = batch(rows, "--threads", "1", "--workers", "2")
    assert code == 0
    assert {line.rsplit(" ", 2)[-2] for line in out.splitlines()} == {"worker"}
    assert err.count("is ready after") >= 1
    for one in rows:
        name = one["output"]
        assert np.array_equal(frames_of(Path("here", name)), frames_of(Path("out", name))), name
    assert left_over(Path("out")) == []


@pytest.mark.slow
def test_a_worker_that_ends_after_a_job_gets_no_other(batch: Call) -> None:
    """As after an error of the device, whose words this name has."""
    Path("CUDA error.wav").write_bytes(b"no sound at all")
    rows = [row(f"{number}.mp4") for number in range(1, 4)]
    rows[0]["audio"] = "CUDA error.wav"
    code, out, err = batch(rows, "--workers", "1")
    assert (code, len(out.splitlines())) == (1, 2)
    assert "Trying again" not in err


def started(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "avatarvideo", "batch", "jobs.jsonl", "--output-dir", "out"]
    return subprocess.Popen(
        [*command, "--json", *more],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def await_event(process: subprocess.Popen[str], name: str) -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == name:
            return event
    raise AssertionError(process.communicate())


@pytest.mark.slow
@POSIX
@pytest.mark.parametrize("workers", ["0", "1"])
def test_ctrl_c_stops_cleanly_and_a_second_start_goes_on(
    batch: Call, tmp_path: Path, workers: str
) -> None:
    write_speech(tmp_path / "speech0.wav", seconds=20)
    rows = [row("1.mp4", speech=1)] + [row(f"{number}.mp4") for number in range(2, 5)]
    write_list(tmp_path / "jobs.jsonl", rows)
    process = started(tmp_path, "--workers", workers)
    await_event(process, "finished")
    await_event(process, "started")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "Stopped; no half-written file was left behind.\n"
    end = json.loads(out.splitlines()[-1])
    assert (end["event"], end["state"], end["left"] > 0) == ("end", "stopped", True)
    assert left_over(tmp_path / "out") == []
    write_speech(tmp_path / "speech0.wav")
    process = started(tmp_path, "--workers", workers)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    end = json.loads(out.splitlines()[-1])
    assert (end["skipped"] >= 1, end["made"] + end["skipped"], end["left"]) == (True, 4, 0)
    assert len(lines_of(tmp_path / "out" / "results.jsonl")) == 4


@pytest.mark.slow
@POSIX
def test_workers_end_with_a_driver_that_is_killed(batch: Call, tmp_path: Path) -> None:
    import psutil

    write_speech(tmp_path / "speech0.wav", seconds=60)
    write_list(tmp_path / "jobs.jsonl", [row("1.mp4", speech=1), row("2.mp4")])
    process = started(tmp_path, "--workers", "1")
    await_event(process, "finished")
    await_event(process, "started")
    (worker,) = psutil.Process(process.pid).children()
    process.kill()
    process.communicate()
    assert worker.wait(30) is None or not worker.is_running()
    assert not (tmp_path / "out" / "2.mp4").exists()


@pytest.mark.slow
def test_workers_that_do_not_start_are_told(
    batch: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    code, out, err = batch([row("1.mp4")], "--workers", "1")
    assert (code, out) == (1, "")
    assert "Expected worker 1 to start, but 3 in a row ended with exit status 1" in err


def collect(executor: Processes, deadline: float) -> None:
    """Collect what ends until then, by the monotonic clock."""
    try:
        while time.monotonic() < deadline:
            executor.collect(0.1)
    finally:
        executor.stop()


@pytest.mark.slow
def test_others_go_on_without_a_worker_that_does_not_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each place has its own failed starts: a server that went away does not end the batch.

    The last one that went away does, and says what its place advises.
    """
    write_inputs(tmp_path)
    (tmp_path / "out").mkdir()
    bad, good = Place("bad", {}, ("--nonsense",)), Place("good", {})
    executor = Processes([bad, good], ["batch-worker", str(tmp_path), str(tmp_path / "out")])
    deadline = time.monotonic() + 60
    try:
        while executor.idle() != ["good"] or not caplog.messages:
            assert time.monotonic() < deadline
            executor.collect(0.1)
    finally:
        executor.stop()
    alone = Processes([replace(bad, instead="do this")], ["batch-worker"])
    with pytest.raises(AvatarVideoError, match="see the messages above, or do this"):
        collect(alone, deadline)
    (said,) = caplog.messages
    assert said == (
        "Expected bad to start, but 3 in a row ended with exit status 2: the batch continues "
        "without it."
    )


@pytest.mark.slow
def test_a_server_out_of_reach_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path)
    write_list(tmp_path / "jobs.jsonl", [row("1.mp4")])
    server = "http://127.0.0.1:9"  # the discard port: nobody answers
    assert main(["batch", "jobs.jsonl", "--output-dir", "out", "--server", server]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Error: Cannot reach the server {server}: ")
    assert not (tmp_path / "out" / "1.mp4").exists()


def test_servers_and_workers_exclude_each_other(batch: Call) -> None:
    code, _, err = batch([row("1.mp4")], "--workers", "2", "--server", "http://127.0.0.1:9")
    assert code == 2
    assert "Expected --server without --ray and --workers" in err


def test_workers_share_the_processors_and_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0, GPU-x")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert gpus() == ["0", "GPU-x"]
    found = [(place.name, dict(place.environment)) for place in places(None)]
    assert found == [
        ("worker 1", {"CUDA_VISIBLE_DEVICES": "0"}),
        ("worker 2", {"CUDA_VISIBLE_DEVICES": "GPU-x"}),
    ]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert [dict(place.environment) for place in places(None)] == [{}]
    assert {place.environment["OMP_NUM_THREADS"] for place in places(999)} == {"1"}


@pytest.mark.slow
def test_the_driver_never_loads_torch(batch: Call, tmp_path: Path) -> None:
    write_list(tmp_path / "jobs.jsonl", [row("1.mp4", mode="puppet", mouth=MOUTH)])
    script = (
        "import sys; from avatarvideo.cli.main import main\n"
        "code = main(['batch', 'jobs.jsonl', '--output-dir', 'out', '--workers', '1'])\n"
        "sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "1.mp4").exists()


# A full disk.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a quarter of a megabyte, where one may be mounted."""
    place = tmp_path / "out"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={256 << 10}", "tmpfs", str(place)]
    with contextlib.suppress(OSError):
        subprocess.run(command, capture_output=True, check=False)
    if not place.is_mount():
        pytest.skip("no file system may be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_disk_that_gets_full_stops_it_and_more_room_lets_it_go_on(
    batch: Call, small_disk: Path
) -> None:
    noise = np.random.default_rng(2).integers(0, 255, (480, 640, 3), np.uint8)
    Image.fromarray(noise).save("large.png")
    rows = [row("1.mp4"), row("2.mp4") | {"avatar": "large.png", "quality": "high"}, row("3.mp4")]
    rows[2]["avatar"] = "avatar1.png"
    code, _, err = batch(rows)
    assert code == 1
    assert "Line 2: 2.mp4: Could not write" in err
    assert "No space left on device" in err
    assert "is full, and 1 jobs were not started: make room" in err.splitlines()[-1]
    assert sorted(path.name for path in small_disk.glob("*.mp4")) == ["1.mp4"]
    assert left_over(small_disk) == []
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    code, out, _ = batch(rows)
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()] == ["2.mp4:", "3.mp4:"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_disk_without_room_for_a_lease_costs_no_worker(
    batch: Call, small_disk: Path, workers: str
) -> None:
    assert batch([row("1.mp4")])[0] == 0
    filling = small_disk / "filling"
    with contextlib.suppress(OSError), filling.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    rows = [row("1.mp4"), row("2.mp4"), row("3.mp4")]
    code, out, err = batch(rows, "--workers", workers)
    assert (code, out) == (1, "")
    assert "Trying again" not in err
    assert "Line 2: 2.mp4: [Errno 28] No space left on device" in err
    assert "is full, and 1 jobs were not started: make room" in err.splitlines()[-1]
    filling.unlink()
    code, out, _ = batch(rows, "--workers", workers)
    assert (code, len(out.splitlines())) == (0, 2)
    assert left_over(small_disk) == []


@pytest.mark.slow
def test_a_disk_without_room_for_the_lock_is_a_sentence(batch: Call, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,nr_inodes=5", str(small_disk)], check=True)
    code, _, err = batch([row("1.mp4")])
    assert code == 1
    assert "Expected an output folder that can be written, got " in err
    assert "(No space left on device): choose another one." in err
