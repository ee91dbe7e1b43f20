"""A real ComfyUI server with this pack in it, started once; needs COMFY_DIR and COMFY_PYTHON."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.headless.comfy_server import ComfyServer, RunProgress, ServerRun
from avatarvideo.headless.prompt import NodeDefinition

ROOT = Path(__file__).resolve().parents[2]
PACK = "ComfyUI-AvatarVideo"
START_SECONDS = 600  # a first start reads torch from disk, perhaps of a busy machine
IDLE_SECONDS = 30  # what a stop may take before a test gives up
HERE = Path(__file__).parent
PROBES = HERE / "probe_nodes.py"
NEEDED = ("COMFY_DIR", "COMFY_PYTHON")  # a checkout, and the Python that runs it
BROWSER = "COMFY_BROWSER_PYTHON"  # a Python that has playwright, for what the page shows


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.host)
            needed = (*NEEDED, BROWSER) if item.path.stem == "test_page" else NEEDED
            if not all(os.environ.get(name) for name in needed):
                reason = f"needs a ComfyUI: set {' and '.join(needed)}"
                item.add_marker(pytest.mark.skip(reason=reason))


class Pressed(Exception):  # noqa: N818 - not an error: a test pressed the cancel button
    pass


@dataclass
class RealHost:
    """A running server.

    python: its own Python, to run the same things without it.
    """

    process: subprocess.Popen[bytes]
    base: Path
    url: str
    python: str

    @cached_property
    def server(self) -> ComfyServer:
        return ComfyServer(self.url)

    @cached_property
    def version(self) -> tuple[int, ...]:
        said = self.get("/system_stats")["system"]["comfyui_version"]
        return tuple(int(part) for part in said.split(".")[:3])

    def definitions(self) -> dict[str, NodeDefinition]:
        return self.server.definitions()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, body: Mapping[str, Any] | str | bool) -> None:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=60).close()

    def run(
        self, prompt: Mapping[str, Any], on_progress: Callable[[RunProgress], None] | None = None
    ) -> ServerRun:
        return self.server.run(prompt, on_progress=on_progress or (lambda progress: None))

    def interrupt(self, prompt: Mapping[str, Any], where: Callable[[RunProgress], bool]) -> float:
        """Press cancel at the first progress that ``where`` likes; return seconds until idle."""
        pressed: list[float] = []

        def press(progress: RunProgress) -> None:
            if where(progress):
                pressed.append(time.monotonic())
                raise Pressed

        with pytest.raises(Pressed):
            self.run(prompt, press)
        while self.get("/queue")["queue_running"]:
            assert time.monotonic() - pressed[0] < IDLE_SECONDS
            time.sleep(0.01)
        return time.monotonic() - pressed[0]

    def node(self, class_type: str, /, **given: Any) -> dict[str, Any]:
        """Return a node with its widgets' defaults."""
        required = self.get(f"/object_info/{class_type}")[class_type]["input"]["required"]
        values = {}
        for name, (wanted, *more) in required.items():
            options = more[0] if more else {}
            if isinstance(wanted, list) or "default" in options:
                values[name] = options.get("default", wanted[0] if wanted else "")
        return {"class_type": class_type, "inputs": {**values, **given}}

    def files(self, run: ServerRun) -> list[Path]:
        """Return the files that a run shows, in the order of their nodes."""
        shown = [
            entry
            for _, outputs in sorted(run.outputs.items(), key=lambda one: int(one[0]))
            for entry in outputs.get("images", ())
        ]
        return [self.base / e["type"] / e["subfolder"] / e["filename"] for e in shown]

    def everything_written(self) -> set[Path]:
        return {
            path
            for folder in ("output", "temp")
            for path in (self.base / folder).rglob("*")
            if path.is_file()
        }

    def log(self) -> str:
        return (self.base / "server.log").read_text(errors="replace")

    def resident_bytes(self) -> int:
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            pytest.skip("this system does not say how much memory another process holds")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHost]:
    with _serving(tmp_path_factory.mktemp("comfy"), listen="127.0.0.1") as running:
        yield running


@pytest.fixture(scope="session")
def browser_python() -> str:
    return os.environ[BROWSER]


@pytest.fixture(scope="session")
def open_to_others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHost]:
    """A second server, which other machines can reach."""
    with _serving(tmp_path_factory.mktemp("served"), listen="0.0.0.0") as running:
        yield running


@contextmanager
def _serving(base: Path, *, listen: str) -> Generator[RealHost]:
    comfy, python = (os.environ[name] for name in NEEDED)
    for folder in ("custom_nodes", "input", "output", "temp", "user", "models"):
        (base / folder).mkdir()
    (base / "custom_nodes" / PACK).symlink_to(ROOT)
    shutil.copy(PROBES, base / "custom_nodes")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with (base / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(python, "main.py", "--cpu", "--disable-auto-launch"),
                *("--listen", listen, "--port", str(port), "--base-directory", str(base)),
                *("--database-url", "sqlite:///:memory:"),
            ],
            cwd=comfy,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        running = RealHost(process, base, f"http://127.0.0.1:{port}", python)
        _wait_until_it_answers(running)
        yield running
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_it_answers(host: RealHost) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and host.process.poll() is None:
        try:
            host.get("/system_stats")
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"ComfyUI did not start:\n{host.log()[-3000:]}")


@pytest.fixture
def talking(host: RealHost) -> Callable[..., dict[str, Any]]:
    """``talking(**options)``: the graph of the talking avatar, short and fast."""

    def make(seconds: float = 0.4, prefix: str = "talking", **options: Any) -> dict[str, Any]:
        lips = {"mode": "puppet", **options}
        return {
            "1": host.node("LoadAvatar", avatar="samples/portrait.png"),
            "2": host.node("AudioToMel", audio="samples/speech.flac", duration=seconds),
            "3": host.node("MuseTalkLipSync", avatar=["1", 0], mel=["2", 0], **lips),
            "4": host.node("FFmpegEncode", video=["3", 1], quality="fast", filename_prefix=prefix),
        }

    return make


@pytest.fixture(scope="session")
def frames_of() -> Callable[[Path], np.ndarray]:
    """``frames_of(path)``: all frames, uint8 RGB (T, H, W, 3)."""
    return lambda path: np.stack(list(VideoReader(path).frames()))


@pytest.fixture(scope="session")
def headless(host: RealHost, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Path]]:
    """``headless(workflow, *options)``: files of ``avatar run`` under the server's own Python."""

    def run(workflow: Path, *options: str) -> list[Path]:
        folder = tmp_path_factory.mktemp("headless")
        # The package under its own name, whatever the clone's folder is called.
        code = (
            "import importlib.util as u, sys; "
            f"s = u.spec_from_file_location('avatarvideo', {str(ROOT / '__init__.py')!r}); "
            "m = sys.modules['avatarvideo'] = u.module_from_spec(s); s.loader.exec_module(m); "
            "from avatarvideo.cli.main import main; sys.exit(main())"
        )
        done = subprocess.run(
            [host.python, "-c", code, "run", str(workflow), "--output-dir", str(folder), *options],
            cwd=folder,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        return [Path(line) for line in done.stdout.splitlines() if line.startswith(str(folder))]

    return run
