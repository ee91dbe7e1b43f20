"""Whether `avatar batch` loses or repeats a job when it is killed, and what a long list costs.

    python benchmarks/batch.py kills --jobs 1000 --avatars 20 --kills 20 [--workers 2] [--ray]
    python benchmarks/batch.py rate --jobs 200 --avatars 20 [--seconds 0.2] [--workers 2] [--ray]
    python benchmarks/batch.py check --rows 10000
    python benchmarks/batch.py single --jobs 100 --commands 100

kills: short puppet jobs on workers; at random moments the driver or a worker is killed (SIGKILL),
and a killed driver is started again. Then every row must have its whole video, report and line, no
key may have been finished twice, and nothing half-written may be left. Ends with 1 where that is
not so. rate: jobs a minute of so many workers and of one, each with one thread, from when all of
them have finished one; --seconds makes the jobs longer. check: the seconds and the peak memory from
the start of the command until the list is checked against a ledger in which all rows but one are
finished. single: see ``batch_single.py``; ends with 1 where a job is not three times as fast as a
command of its own.

Workers are processes; with --ray they are on a Ray cluster of two nodes on this machine. --json
prints JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections import Counter
from collections.abc import Generator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import psutil
from av.error import FFmpegError
from PIL import Image

SIDE, RATE, SECONDS = 64, 16000, 0.2
FRAMES = 5  # of each job: 0.2 s at 25 a second
MOUTH = "20,42,44,42"
GIVE_UP_SECONDS = 1800
LEAST_TIMES = 3  # as fast as a command of its own


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="avatar-batch-") as name:
        folder = Path(name)
        with nodes(options.ray) as cluster:
            found = WHAT[options.what](folder, options, cluster)
    print(json.dumps(found) if options.json else "\n".join(f"{k}: {v}" for k, v in found.items()))
    bad = ("lost", "finished_twice", "lines_twice", "half", "left_over", "made_by_a_last_start")
    is_slow = found.get("times_as_fast", LEAST_TIMES) < LEAST_TIMES
    return int(is_slow or any(found.get(name) for name in bad))


def single(folder: Path, options: argparse.Namespace, _cluster: object) -> dict[str, Any]:
    import batch_single

    return batch_single.single(folder, options.jobs, options.commands)


# Killing.


def kills(folder: Path, options: argparse.Namespace, cluster: Nodes | None) -> dict[str, Any]:
    """Run a list to its end with kills in between, and return what is wrong afterwards."""
    chance = random.Random(options.seed)
    jobs = write_jobs(folder, options.jobs, options.avatars)
    moments = sorted(chance.sample(range(options.jobs), options.kills))
    events: list[dict[str, Any]] = []
    starts, killed, lines_twice = 0, Counter[str](), 0
    while True:
        starts += 1
        run = Run(folder, jobs, options.workers, events, cluster)
        if not run.until_end(moments, killed, chance):
            lines_twice += twice(keys_in(folder / "out" / "results.jsonl"))
            continue
        break
    if run.code:
        print((folder / "log").read_text()[-4000:], file=sys.stderr)
    last = Run(folder, jobs, options.workers, again := [], cluster)
    last.until_end([], killed, chance)
    return {
        "jobs": options.jobs,
        "starts": starts,
        "killed": dict(killed),
        "exit_status": run.code,
        **faults(folder / "out", options.jobs, events),
        "lines_twice": lines_twice + twice(keys_in(folder / "out" / "results.jsonl")),
        "made_by_a_last_start": sum(event["event"] == "finished" for event in again),
    }


class Run:
    """One start of the command. events: all that it tells are added there."""

    def __init__(
        self,
        folder: Path,
        jobs: Path,
        workers: int,
        events: list[dict[str, Any]],
        cluster: Nodes | None,
    ) -> None:
        self._events = events
        self._cluster = cluster
        self._results = folder / "out" / "results.jsonl"
        command = [sys.executable, "-m", "avatarvideo", "batch", str(jobs), "--json"]
        command += ["--output-dir", str(folder / "out"), "--workers", str(workers)]
        command += ["--ray", cluster.address] if cluster else []
        log = (folder / "log").open("ab")
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | (ON_LOOPBACK if cluster else {}),
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def code(self) -> int | None:
        return self._process.returncode

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):
                self._events.append(json.loads(line))

    def until_end(self, moments: list[int], killed: Counter[str], chance: random.Random) -> bool:
        """Wait for the end, killing whenever so many are finished; False where the driver was."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                raise SystemExit("the batch does not end")
            if moments and len(keys_in(self._results)) >= moments[0]:
                time.sleep(chance.uniform(0, 0.3))
                moments.pop(0)
                if self._kill(chance.random() < 0.5, chance, killed):
                    self._process.wait()
                    self._reader.join()
                    return False
            time.sleep(0.02)
        self._reader.join()
        return True

    def _kill(self, the_driver: bool, chance: random.Random, killed: Counter[str]) -> bool:
        """Kill the driver or one of its workers; say whether it was the driver."""
        try:
            workers = self._workers()
        except psutil.NoSuchProcess:
            return False
        if the_driver or not workers:
            self._process.kill()
            killed["driver"] += 1
            return True
        worker = chance.choice(workers)
        try:
            worker.kill()
            killed["worker"] += 1
        except psutil.NoSuchProcess:
            pass
        return False

    def _workers(self) -> list[psutil.Process]:
        if self._cluster is None:
            return psutil.Process(self._process.pid).children()
        beside = psutil.Process(self._cluster.pid).children(recursive=True)
        return [one for one in beside if is_actor(one)]


def is_actor(process: psutil.Process) -> bool:
    try:
        return "BatchActor" in "".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


# Else Ray would look for what listens on loopback at this machine's address in the network.
ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


class Nodes(NamedTuple):
    """A Ray cluster on this machine, and the process below which it runs."""

    address: str
    pid: int


@contextlib.contextmanager
def nodes(wanted: bool) -> Generator[Nodes | None]:
    """Have a cluster of two nodes while the block lasts, if it is wanted."""
    if not wanted:
        yield None
        return
    script = Path(__file__).with_name("ray_nodes.py")
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            raise SystemExit("Ray's nodes do not start")
        yield Nodes(address, process.pid)
        process.stdin.close()


def rate(folder: Path, options: argparse.Namespace, cluster: Nodes | None) -> dict[str, Any]:
    """Return the jobs a minute of one worker and of several."""
    found: dict[str, Any] = {
        "jobs": options.jobs,
        "avatars": options.avatars,
        "seconds": options.seconds,
    }
    jobs = write_jobs(folder, options.jobs, options.avatars, options.seconds)
    for workers in (1, options.workers):
        shutil.rmtree(folder / "out", ignore_errors=True)
        Run(folder, jobs, workers, events := [], cluster).until_end([], Counter(), random.Random())
        found[f"workers_{workers}"] = round(per_minute(events, workers), 1)
    found["times"] = round(found[f"workers_{options.workers}"] / found["workers_1"], 2)
    return found


def per_minute(events: list[dict[str, Any]], workers: int) -> float:
    """Return the jobs a minute from the moment when all workers have finished one."""
    done = [event for event in events if event["event"] == "finished"]
    seen: set[str] = set()
    first = done.pop(0)
    while len(seen | {first["worker"]}) < workers:
        seen.add(first["worker"])
        first = done.pop(0)
    times = [datetime.fromisoformat(event["time"]) for event in (first, done[-1])]
    return 60 * len(done) / (times[1] - times[0]).total_seconds()


def faults(out: Path, jobs: int, events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is wrong with finished results."""
    reports = [json.loads(path.read_text()) for path in out.rglob("*.report.json")]
    videos = list(out.rglob("*.mp4"))
    whole = [path for path in videos if frames_in(path) == FRAMES]
    finished = [event["key"] for event in events if event["event"] == "finished"]
    state = out / ".avatar-batch"
    kept = {state / "hashes.json", out / "status.json", out / "results.jsonl"}
    others = [p for p in out.rglob("*") if p.is_file() and p not in kept and ".mp4" not in p.name]
    return {
        "lost": jobs
        - len({report["key"] for report in reports} & set(keys_in(out / "results.jsonl"))),
        "finished_twice": twice(finished),
        "half": len(videos) - len(whole) + abs(jobs - len(whole)),
        "left_over": sorted(str(path.relative_to(out)) for path in others),
    }


def frames_in(path: Path) -> int:
    try:
        with av.open(str(path)) as container:
            return sum(1 for _ in container.decode(video=0))
    except FFmpegError:
        return -1


def keys_in(results: Path) -> list[str]:
    """Return the keys of a ledger's whole lines, as often as they are there."""
    try:
        data = results.read_bytes()
    except FileNotFoundError:
        return []
    return [json.loads(line)["key"] for line in data.split(b"\n")[:-1]]


def twice(keys: list[str]) -> int:
    return len(keys) - len(set(keys))


def write_jobs(folder: Path, jobs: int, avatars: int, seconds: float = SECONDS) -> Path:
    """Write a list of jobs with noise for faces, their mouths given, and tones for speech."""
    source = np.random.default_rng(1)
    for number in range(avatars):
        picture = source.integers(60, 200, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(picture).save(folder / f"avatar{number}.png")
    for number in range(10):
        tone = 0.3 * np.sin(np.arange(round(RATE * seconds)) / (5 + number))
        with wave.open(str(folder / f"speech{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((tone * 32767).astype("<i2").tobytes())
    return write_list(folder, jobs, avatars)


def write_list(folder: Path, jobs: int, avatars: int) -> Path:
    path = folder / "jobs.jsonl"
    with path.open("w") as file:
        for number in range(jobs):
            row = {
                "avatar": f"avatar{number % avatars}.png",
                "audio": f"speech{number % 10}.wav",
                "output": f"{number % avatars}/{number}.mp4",
                "mode": "puppet",
                "mouth": MOUTH,
                "quality": "low",
                "threads": 1,
            }
            file.write(json.dumps(row) + "\n")
    return path


# The cost of a long list.


def check(folder: Path, options: argparse.Namespace, _cluster: object) -> dict[str, Any]:
    """Check a long list of which all but one row are finished, and return what that costs."""
    rows = options.rows
    write_jobs(folder, 1, 20)
    jobs = write_list(folder, rows, 20)
    out = folder / "out"
    finish(jobs, out)
    event, peak, seconds, until_hand_over, checked = {}, 0, 0.0, 0.0, (0.0, 0.0)
    began = time.perf_counter()
    command = [sys.executable, "-m", "avatarvideo", "batch", str(jobs), "--json"]
    command += ["--output-dir", str(out), "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "checked":
            checked = event["seconds"], time.perf_counter() - began
        if event["event"] == "ready":
            seconds = event["seconds"]
        if event["event"] == "started":
            peak = peak_of(process.pid)
            until_hand_over = time.perf_counter() - began
    process.wait()
    return {
        "rows": rows,
        "finished_before": event["skipped"],
        "made": event["made"],
        "check_seconds": checked[0],
        "seconds_until_checked": round(checked[1], 3),
        "seconds_until_hand_over": round(until_hand_over, 3),
        "worker_start_seconds": seconds,
        "peak_mib": peak >> 20,
    }


def peak_of(pid: int) -> int:
    """Return the most memory that a process had, bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def finish(jobs: Path, out: Path) -> None:
    """Write what a run over the list would leave, but for the last row, without the work."""
    import hashlib

    from avatarvideo.batch.check import Checker
    from avatarvideo.batch.content import Hashes, key_of
    from avatarvideo.batch.files import BatchFolder
    from avatarvideo.batch.ledger import Ledger
    from avatarvideo.batch.manifest import read_rows
    from avatarvideo.batch.model_files import ModelFiles
    from avatarvideo.cli.lipsync_options import lipsync_options
    from avatarvideo.host.standalone import StandaloneHost

    for path in jobs.parent.glob("*.*"):
        if path.is_file():
            then = time.time() - 60
            os.utime(path, (then, then))  # a new file is not trusted yet
    folder = BatchFolder(out)
    folder.make()
    options = lipsync_options()

    def read(row: Any, as_text: bool) -> Any:
        return options.of_row(row, {}, as_text=as_text)

    tasks, _ = Checker(Ledger(folder), jobs.parent, read).tasks(read_rows([jobs])[0])
    models = ModelFiles(StandaloneHost().model_directories)
    hashes = Hashes(folder.hashes, folder.work, models=models)
    with folder.results.open("w") as results:
        for task in list(tasks)[:-1]:
            target = folder.target(task.output)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(os.urandom(64))
            found = target.stat()
            report = {
                "output": task.output,
                "key": key_of(task, hashes)[0],
                "size": found.st_size,
                "mtime_ns": found.st_mtime_ns,
                "inode": found.st_ino,
                "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
                "report": {"reason": "x" * 2000},  # as long as a real one
            }
            folder.report(task.output).write_text(json.dumps(report, indent=1))
            results.write(json.dumps({"output": task.output, "key": report["key"]}) + "\n")
    hashes.save(now=True)


WHAT = {"kills": kills, "rate": rate, "check": check, "single": single}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=tuple(WHAT))
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--avatars", type=int, default=20)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each job, for rate")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--commands", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=10000)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
