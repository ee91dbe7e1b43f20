"""Commands in processes of their own, all with their files in one folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image

from avatarvideo.host.reading import SAMPLES_DIRECTORY

from .lying_server import CONTENT, WORKFLOW, LyingServer, slowly

ROOT = Path(__file__).resolve().parents[3]
READY = "ready"
START = (
    "import importlib.util as u, sys; "
    f"s = u.spec_from_file_location('avatarvideo', {str(ROOT / '__init__.py')!r}); "
    "m = sys.modules['avatarvideo'] = u.module_from_spec(s); s.loader.exec_module(m); "
    f"print({READY!r}, file=sys.stderr, flush=True)\n"
)
COMMAND = START + "from avatarvideo.cli import main; sys.exit(main())"
# Writes, reads and compares one entry again and again.
CACHE_USER = START + (
    "import torch; from pathlib import Path\n"
    "from avatarvideo.musetalk.pipeline.avatar_cache import AvatarCache\n"
    "entry = {'latents': torch.arange(1 << 20, dtype=torch.float32)}\n"
    "for turn in range(40):\n"
    "    AvatarCache(Path(sys.argv[1])).put('key', entry)\n"
    "    found = AvatarCache(Path(sys.argv[1])).get('key')\n"
    "    assert found is not None and torch.equal(found['latents'], entry['latents'])\n"
)
WEIGHTS = bytes(range(256)) * 4096  # 1 MiB
PIECES, PAUSE = 64, 0.02  # in which the weights come
IMAGE_FLOW = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "portrait.png"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "made"}},
}


class Place:
    """A new folder with sources and room for results, temporary files, avatars and models."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self.folder = folder
        for name in ("in", "out", "tmp", "cache", "models"):
            (folder / name).mkdir(parents=True)
        for name in ("portrait.png", "talking_head.mp4"):
            shutil.copyfile(SAMPLES_DIRECTORY / name, folder / "in" / name)
        (folder / "in" / "image.json").write_text(json.dumps(IMAGE_FLOW))
        (folder / "in" / "flow.json").write_text(json.dumps(WORKFLOW))
        (folder / "in" / "speech.txt").write_bytes(b"hello " * 1000)
        with wave.open(str(folder / "in" / "speech.wav"), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            sound = np.sin(np.arange(16000) * 0.3) * np.sin(np.arange(16000) * 2e-3) * 9000
            file.writeframes(sound.astype("<i2").tobytes())

    def sources(self) -> dict[str, str]:
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((self.folder / "in").iterdir())
        }

    def start(self, script: str, *arguments: object, hub: str = "") -> subprocess.Popen[str]:
        """Start Python; returns once its own code begins. hub: an address for model files."""
        folder = self.folder
        ours = {
            "TMPDIR": str(folder / "tmp"),
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "home"),
            "AVATAR_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            **({"HF_ENDPOINT": hub} if hub else {}),
        }
        known = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "AVATAR_"))}
        process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**known, **ours},
        )
        assert process.stderr is not None
        assert process.stderr.readline().strip() == READY
        return process


Starts = Callable[[], subprocess.Popen[str]]


@contextmanager
def lipsync(place: Place, mode: str = "static") -> Iterator[Starts]:
    sources = (place.folder / "in" / name for name in ("portrait.png", "speech.wav"))
    arguments = ("video", "lipsync", *sources, "-o", place.folder / "out" / "talk.mp4")
    yield lambda: place.start(COMMAND, *arguments, "--mode", mode)


@contextmanager
def puppet(place: Place) -> Iterator[Starts]:
    with lipsync(place, "puppet") as start:
        yield start


@contextmanager
def encode(place: Place) -> Iterator[Starts]:
    source, made = place.folder / "in" / "talking_head.mp4", place.folder / "out" / "again.mp4"
    yield lambda: place.start(COMMAND, "video", "encode", source, "-o", made)


def _run(place: Place, flow: str, *more: str) -> subprocess.Popen[str]:
    given, made = place.folder / "in", place.folder / "out"
    folders = ("--input-dir", given, "--output-dir", made)
    return place.start(COMMAND, "run", given / flow, *folders, *more)


@contextmanager
def run(place: Place) -> Iterator[Starts]:
    yield lambda: _run(place, "image.json")


@contextmanager
def run_on_server(place: Place) -> Iterator[Starts]:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(CONTENT)}\r\n\r\n".encode()
    server = LyingServer({"/view": slowly(head, CONTENT[:1], 1, 0.5, end=CONTENT[1:])})
    with closing(server):
        yield lambda: _run(place, "flow.json", "--server", server.url)


@contextmanager
def download(place: Place) -> Iterator[Starts]:
    """Get a file of 1 MiB that comes slowly; the next one is not there, which ends it."""
    with slow_hub() as url:
        arguments = ("models", "download", "--model", "v1.0", "--to", place.folder / "models")
        yield lambda: place.start(COMMAND, *arguments, hub=url)


@contextmanager
def cached_avatar(place: Place) -> Iterator[Starts]:
    yield lambda: place.start(CACHE_USER, place.folder / "cache")


class _Hub(BaseHTTPRequestHandler):
    """A hub that has one file, and gives it in pieces."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._head(0)

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "bytes=0-")
        first = int(wanted.removeprefix("bytes=").rstrip("-"))
        if not self._head(first):
            return
        step = len(WEIGHTS) // PIECES
        for start in range(first, len(WEIGHTS), step):
            threading.Event().wait(PAUSE)
            try:
                self.wfile.write(WEIGHTS[start : start + step])
            except OSError:
                return

    def _head(self, first: int) -> bool:
        if not self.path.endswith("/pytorch_model.bin"):
            self.send_error(404)
            return False
        self.send_response(206 if first else 200)
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("ETag", f'"{hashlib.sha256(WEIGHTS).hexdigest()}"')
        self.send_header("Content-Length", str(len(WEIGHTS) - first))
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(WEIGHTS) - 1}/{len(WEIGHTS)}")
        self.end_headers()
        return True


@contextmanager
def slow_hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def half_results(place: Place) -> list[str]:
    """Name the files that have a final name and are not whole."""
    return [path.name for path in results(place) if not _is_whole(path)]


def results(place: Place) -> list[Path]:
    """The files that have a final name."""
    made = [*(place.folder / "out").rglob("*"), *(place.folder / "models").rglob("*")]
    return [path for path in made if path.is_file() and not path.name.startswith(".")]


def _is_whole(path: Path) -> bool:
    try:
        if path.suffix == ".mp4":
            source = SAMPLES_DIRECTORY / "talking_head.mp4"
            return _frames(path) == (25 if path.name.startswith("talk") else _frames(source))
        if path.suffix == ".png":
            with Image.open(path) as image, Image.open(SAMPLES_DIRECTORY / "portrait.png") as same:
                return np.array_equal(np.asarray(image), np.asarray(same.convert(image.mode)))
        return path.read_bytes() == {".txt": CONTENT, ".bin": WEIGHTS}[path.suffix]
    except (OSError, KeyError, FFmpegError):
        return False
