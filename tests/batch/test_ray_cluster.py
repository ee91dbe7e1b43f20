"""Workers on a Ray cluster: two nodes on loopback, each with one CPU."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pytest
from PIL import Image

from avatarvideo import __version__
from avatarvideo.batch.files import BatchFolder
from avatarvideo.batch.leases import Owner
from avatarvideo.batch.ray_actor import BatchActor
from avatarvideo.batch.ray_cluster import Machine, Share, connected, share_of
from avatarvideo.batch.ray_head import HeadWatch
from avatarvideo.batch.rows import Setup
from avatarvideo.cli.main import main
from avatarvideo.errors import MissingLibraryError
from avatarvideo.host.owned_files import MARKER
from avatarvideo.musetalk.face.mesh_networks import mesh_networks
from support.people_clips import PeopleClip, heads_of, still
from support.small_jobs import FRAMES, MOUTH, frames_of, left_over, row, write_inputs, write_list
from support.tiny_models import plant_face

NEEDS_RAY = pytest.mark.skipif(find_spec("ray") is None, reason="needs ray (the extra ray)")
ROOT = Path(__file__).resolve().parents[2]
NODES = ROOT / "benchmarks" / "ray_nodes.py"
# Makes a list with tiny networks; a process of its own, for Ray leaves much behind.
MAKE = """
import sys
from functools import partial
from pathlib import Path
from support.tiny_batch import TinyBatch
from avatarvideo.batch.run import Wishes
from avatarvideo.batch.watch import Output
from avatarvideo.cli.lipsync_options import lipsync_options
from avatarvideo.cli.session import session
options, tell = lipsync_options(), partial(print, file=sys.stderr)
with session(input_directory=Path("."), output_directory=Path(sys.argv[1])) as host:
    wishes = Wishes(workers=int(sys.argv[2]), threads=1, ray=sys.argv[3])
    batch = TinyBatch(host, wishes, Output(print, tell, lambda event: None, tell), [])
    batch.run([Path("jobs.jsonl")], lambda row, as_text: options.of_row(row, {}, as_text=as_text))
"""


@pytest.mark.parametrize(
    ("machines", "count", "threads", "share"),
    [
        ([Machine(16, 0)], None, 0, Share(1, 16, 0)),
        ([Machine(8, 0), Machine(8, 0)], None, 0, Share(2, 8, 0)),
        ([Machine(16, 0), Machine(4, 0), Machine(0, 0)], None, 0, Share(5, 4, 0)),
        ([Machine(16, 0), Machine(4, 0)], 2, 0, Share(2, 8, 0)),
        ([Machine(16, 0), Machine(4, 0)], None, 2, Share(10, 2, 0)),
        ([Machine(2, 0)], 3, 0, Share(3, 0, 0)),  # more than there are CPUs
        ([Machine(16, 4), Machine(64, 0)], None, 0, Share(4, 4, 1)),
        ([Machine(16, 4)], 8, 0, Share(8, 2, 0.5)),
    ],
)
def test_machines_are_shared_out(
    machines: list[Machine], count: int | None, threads: int, share: Share
) -> None:
    assert share_of(machines, count, threads) == share


def test_without_the_library_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingLibraryError, match="pip install ray"):
        connected("auto")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--ray", "here"], "Expected --ray as auto or HOST:PORT, got 'here'"),
        (["--ray", "ray://here:1"], "Expected --ray as auto or HOST:PORT"),
        (["--ray", "auto", "--workers", "0"], "Expected --ray or --workers 0, got both"),
    ],
)
def test_wrong_usage_is_told(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = write_list(tmp_path / "jobs.jsonl", [])
    assert main(["batch", str(jobs), "--output-dir", str(tmp_path / "out"), *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_a_worker_makes_only_what_is_the_commands(tmp_path: Path) -> None:
    folder = BatchFolder(tmp_path)
    folder.make()
    owner = Owner(folder)

    def said(version: str = __version__, outputs: Path = tmp_path) -> str:
        setup = Setup(version, tmp_path, str(outputs), owner.token, (), tmp_path, 30)
        return BatchActor("a worker", setup).start()

    assert f"found {__version__}: install the same version on every machine" in said("0.0.1")
    assert "it is a different one: put it on storage" in said(outputs=tmp_path / "other")
    marker = owner.work / MARKER
    marker.unlink()
    marker.touch()  # as it looks where the command's locks are not seen
    assert "Expected locks on files" in said()
    owner.close()


def test_a_head_that_is_gone_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        watch = HeadWatch(f"127.0.0.1:{head.getsockname()[1]}", every=0.01)
        for _ in range(3):
            head.accept()[0].close()  # asked again and again
    while watch.silent_seconds() < 0.05:
        time.sleep(0.01)
    watch.stop()


class Nodes(NamedTuple):
    process: subprocess.Popen[str]
    address: str


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    """Two nodes, whose workers find what tests share."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # look for them on loopback
    with subprocess.Popen(
        [sys.executable, str(NODES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield Nodes(process, process.stdout.readline().strip())
        process.communicate()


@pytest.fixture
def cluster(nodes: Nodes) -> str:
    return nodes.address


def twelve_rows(folder: Path, real_data: Path, mesh_models: Path) -> list[dict[str, Any]]:
    """Write inputs; return rows of stills, puppets, two people and MuseTalk."""
    write_inputs(folder)
    dark = np.random.default_rng(2).integers(20, 60, (192, 256, 3), np.uint8)
    plant_face(dark, 4, 3)
    Image.fromarray(dark).save(folder / "planted.png")
    networks = mesh_networks([mesh_models])
    assert networks is not None
    heads = heads_of(real_data, networks)[:2]
    two = PeopleClip(heads, [still(180, 180, 110), still(460, 180, 110)], 1).frame(0)
    Image.fromarray(two).save(folder / "two.png")
    puppet = {"mode": "puppet", "mouth": MOUTH}
    both = {"face": "180,180", "speakers": [{"audio": "speech1.wav", "face": "460,180"}]}
    rows = [row(f"still{n}.mp4", n % 2, n) for n in range(3)]
    rows += [row(f"puppet{n}.mp4", n % 2, n, **puppet) for n in range(3)]
    rows += [row("heard.mp4", speakers=[{"audio": "speech1.wav", "face": 1}])]
    rows += [row("two.mp4", mode="puppet", **both), row("two still.mp4", **both)]
    rows += [row(f"face{n}.mp4", speech=n, mode="musetalk") for n in range(3)]
    for one in rows:
        named = one["output"]
        one["avatar"] = {"t": "two.png", "f": "planted.png"}.get(named[0], one["avatar"])
    return rows


@pytest.mark.slow
@NEEDS_RAY
def test_two_nodes_and_this_process_make_the_same_frames(
    cluster: str,
    tmp_path: Path,
    real_data: Path,
    mesh_models: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = twelve_rows(tmp_path, real_data, mesh_models)
    write_list(tmp_path / "jobs.jsonl", rows)
    monkeypatch.setenv("AVATAR_MODELS", str(mesh_models))
    for where in (("here", "0", ""), ("there", "2", cluster)):
        done = subprocess.run(
            [sys.executable, "-c", MAKE, *where], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    workers: set[str] = set()
    for one in rows:
        name = one["output"]
        report = json.loads((tmp_path / "there" / f"{name}.report.json").read_text())
        assert report["mode"] == one["mode"], report["report"]
        workers.add(report["worker"])
        here, there = (frames_of(tmp_path / folder / name) for folder in ("here", "there"))
        assert np.array_equal(here, there), name
    assert workers == {"worker 1", "worker 2"}
    assert left_over(tmp_path / "there") == []


@pytest.mark.slow
@NEEDS_RAY
def test_nodes_read_from_a_store_and_write_to_it(bucket: Any, cluster: str, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    for name in ("avatar0.png", "speech0.wav", "speech1.wav"):
        bucket.put_file(str(tmp_path / name), f"bucket/in/{name}")
    rows = [row(f"{n}.mp4", speech=n % 2, avatar=0) for n in range(4)]
    for one in rows:
        one |= {name: f"s3://bucket/in/{one[name]}" for name in ("avatar", "audio")}
    write_list(tmp_path / "jobs.jsonl", rows)
    command = [sys.executable, "-m", "avatarvideo", "batch", "jobs.jsonl", "--ray", cluster]
    command += ["--output-dir", "s3://bucket/out"]

    def made() -> list[str]:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "testing-" not in done.stdout + done.stderr
        return sorted(line.split()[1] for line in done.stdout.splitlines())

    assert made() == [f"{n}.mp4:" for n in range(4)]
    for n in range(4):
        bucket.get_file(f"bucket/out/{n}.mp4", str(tmp_path / "made.mp4"))
        assert frames_of(tmp_path / "made.mp4").shape == (FRAMES, 64, 64, 3)
        report = json.loads(bucket.cat_file(f"bucket/out/{n}.mp4.report.json"))
        assert report["output"] == f"{n}.mp4"
    assert made() == []
    bucket.put_file(str(tmp_path / "speech0.wav"), "bucket/in/speech1.wav")
    assert made() == ["1.mp4:", "3.mp4:"]


@pytest.mark.slow
@NEEDS_RAY
def test_a_cluster_that_is_gone_ends_the_command_with_a_sentence(
    nodes: Nodes, tmp_path: Path
) -> None:
    write_inputs(tmp_path)
    write_list(tmp_path / "jobs.jsonl", [row(f"{n}.mp4") for n in range(20000)])
    command = [sys.executable, "-m", "avatarvideo", "batch", "jobs.jsonl", "--output-dir", "out"]
    command += ["--ray", nodes.address]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as batch:
        assert batch.stdout is not None
        batch.stdout.readline()  # it works
        for one in psutil.Process(nodes.process.pid).children(recursive=True):
            if one.name() in ("gcs_server", "raylet"):
                one.kill()
        _, said = batch.communicate()
    assert batch.returncode == 1
    assert "The head of the Ray cluster does not answer: it has 30 s to come back." in said
    assert said.splitlines()[-1].startswith("Error: Expected the head of the Ray cluster to answer")
    assert json.loads((tmp_path / "out" / "status.json").read_text())["state"] == "stopped"


@pytest.mark.slow
@NEEDS_RAY
def test_a_cluster_of_our_own_is_begun_where_none_runs(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    write_list(tmp_path / "jobs.jsonl", [row("1.mp4"), row("2.mp4", mode="puppet", mouth=MOUTH)])
    script = (
        "import sys, psutil; from avatarvideo.cli.main import main\n"
        "from avatarvideo.batch import ray_cluster\n"
        "class Seen(ray_cluster.RayCluster):\n"
        "    def stop(self):\n"
        "        beside = psutil.Process().children(recursive=True)\n"
        "        ports = [c for p in beside for c in p.net_connections() if c.status == 'LISTEN']\n"
        "        where = {c.laddr.ip.removeprefix('::ffff:') for c in ports}\n"
        "        print(len(ports) > 2, where, file=sys.stderr)\n"
        "        super().stop()\n"
        "ray_cluster.RayCluster = Seen\n"
        "code = main(['batch', 'jobs.jsonl', '--output-dir', 'out', '--ray', 'auto', '--json'])\n"
        "sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "True {'127.0.0.1'}" in done.stderr.splitlines()
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["event"] for one in events].count("finished") == 2
    assert left_over(tmp_path / "out") == []
