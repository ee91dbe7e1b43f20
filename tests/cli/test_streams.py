"""Closed streams, little memory, a signal while libraries load: the result, or one sentence."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from avatarvideo import cli
from avatarvideo.cli.main import main
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.audio_arrays import LOUDEST, finite
from avatarvideo.host.reading import SAMPLES_DIRECTORY

ROOT = Path(__file__).resolve().parents[2]
CLIP = SAMPLES_DIRECTORY / "talking_head.mp4"
COMMAND = (
    "import importlib.util as u, sys; "
    f"s = u.spec_from_file_location('avatarvideo', {str(ROOT / '__init__.py')!r}); "
    "m = sys.modules['avatarvideo'] = u.module_from_spec(s); s.loader.exec_module(m); "
    "from avatarvideo.cli import main; print('ready', file=sys.stderr, flush=True); "
    "sys.exit(main())"
)
posix = pytest.mark.skipif(os.name != "posix", reason="shells of POSIX")


def in_a_shell(tail: str, *arguments: object, before: str = "") -> subprocess.CompletedProcess[str]:
    script = f'{before} exec "$@" {tail}'
    command = ["sh", "-c", script, "sh", sys.executable, "-c", COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.slow
@posix
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_end_the_work(tmp_path: Path, closed: str) -> None:
    command = COMMAND.replace("print('ready', file=sys.stderr, flush=True); ", "")
    script = f'exec "$@" {closed}'
    arguments = ["video", "encode", str(CLIP), "-o", str(tmp_path / "a.mp4"), "--quality", "fast"]
    done = subprocess.run(
        ["sh", "-c", script, "sh", sys.executable, "-c", command, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert frames_in(tmp_path / "a.mp4") == frames_in(CLIP)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_wrong_usage_names_a_file_without_steering_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["video", "info", "a\x1b[31m.mp4", "b\x1b]0;owned\x07" + "x" * 5000]) == 2
    err = capsys.readouterr().err
    assert "unexpected extra argument" in err
    assert not {"\x1b", "\x07"} & set(err)
    assert len(err) < 2500
    assert main(["models", "verify", "\ud800"]) == 1
    assert capsys.readouterr().err.startswith("Error: ")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
def test_a_stream_that_takes_nothing_is_one_line() -> None:
    done = in_a_shell("> /dev/full", "video", "info", CLIP)
    assert done.returncode == 1
    assert done.stderr.splitlines()[1:] == ["Error: [Errno 28] No space left on device"]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names of any bytes")
@pytest.mark.parametrize(
    ("encoding", "name", "told"),
    [
        ("utf-8:strict", b"\xff.mp4", b"/\xff.mp4"),
        ("latin-1:strict", "\u65e5.mp4".encode(), rb"/\u65e5.mp4"),
    ],
)
def test_a_name_that_stdout_cannot_hold_fails_no_work(
    tmp_path: Path, encoding: str, name: bytes, told: bytes
) -> None:
    out = os.fsencode(tmp_path) + b"/" + name
    arguments = [b"video", b"encode", os.fsencode(CLIP), b"-o", out, b"--duration", b"0.2"]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "1"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert told + b": h264" in done.stdout
    assert os.path.exists(out)  # noqa: PTH110 - bytes


def test_only_ctrl_c_ends_the_import_machinery(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(cli, "_hook", told.append)
    monkeypatch.setattr(os, "_exit", sys.exit)  # which the test survives
    other, interrupt = (SimpleNamespace(exc_type=one) for one in (ValueError, KeyboardInterrupt))
    cli._end(other)  # type: ignore[arg-type]  # of all it has, what is asked for
    with pytest.raises(SystemExit, match="130"):
        cli._end(interrupt)  # type: ignore[arg-type]
    assert told == [other]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")
def test_too_little_address_space_is_one_line(tmp_path: Path) -> None:
    pictures = (SAMPLES_DIRECTORY / "portrait.png", SAMPLES_DIRECTORY / "speech.flac")
    arguments = ("video", "lipsync", *pictures, "-o", tmp_path / "a.mp4")
    done = in_a_shell("", *arguments, before="ulimit -v 700000;")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()[1:]
    assert line.startswith("Error: Expected ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("wait", [0.0, 0.1, 0.3, 0.7])
def test_a_signal_while_libraries_load_ends_at_once(
    tmp_path: Path, wait: float, number: signal.Signals
) -> None:
    samples = [str(SAMPLES_DIRECTORY / name) for name in ("portrait.png", "speech.flac")]
    arguments = ["video", "lipsync", *samples, "-o", str(tmp_path / "a.mp4")]
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        time.sleep(wait + 0.05)
        process.send_signal(number)
        began = time.monotonic()
        said = process.stderr.read()
        process.wait(20)
    assert time.monotonic() - began < 3  # a library that is being mapped hears nothing
    assert process.returncode in (128 + number, -number)
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@posix
def test_ctrl_c_after_the_work_says_nothing() -> None:
    """Libraries clean up at the end of a process, and would say where they were."""
    # What a library registers while the work goes on is called before the process's own end.
    cleaning = "import atexit, time; code = main(); atexit.register(time.sleep, 20); "
    tail = cleaning + "print('made', flush=True); sys.exit(code)"
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND.replace("sys.exit(main())", tail), "video", "info", CLIP],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "made\n":
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=15)
    assert (process.returncode, said) == (-signal.SIGINT, "ready\n")


def float_wav(path: Path, samples: np.ndarray) -> Path:
    data = samples.astype("<f4").tobytes()
    form = struct.pack("<IHHIIHH", 16, 3, 1, 16000, 64000, 4, 32)
    sizes = struct.pack("<I", 36 + len(data)), struct.pack("<I", len(data))
    path.write_bytes(b"RIFF" + sizes[0] + b"WAVEfmt " + form + b"data" + sizes[1] + data)
    return path


@pytest.mark.parametrize("amplitude", [1e6, 1e10, 1e30, 3e38])
def test_sound_louder_than_any_is_encoded(tmp_path: Path, amplitude: float) -> None:
    wave = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    sound = float_wav(tmp_path / "loud.wav", wave * amplitude)
    out = tmp_path / "a.mp4"
    assert main(["video", "encode", str(CLIP), "--audio", str(sound), "-o", str(out)]) == 0
    assert np.isfinite(read_audio(out).samples).all()
    assert np.abs(read_audio(out).samples).max() > 0.9


def test_usual_sound_is_the_same_array() -> None:
    samples = np.array([[0.5, -3.0, LOUDEST]], np.float32)
    assert finite(samples) is samples
    strange = finite(np.array([[np.nan, np.inf, -1e30]], np.float32))
    assert strange.tolist() == [[0.0, 1.0, -LOUDEST]]


@pytest.mark.parametrize(
    ("codec", "suffix", "most"),
    [("h264", "mp4", 16384), ("av1", "mp4", 16384), ("gif", "gif", 65535)],
)
def test_a_side_longer_than_the_codec_takes_is_refused_with_both_sizes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], codec: str, suffix: str, most: int
) -> None:
    from avatarvideo.encoders.encoder import encode_frames
    from avatarvideo.encoders.interfaces import EncodingConfig
    from avatarvideo.errors import EncodeError

    frame = np.zeros((64, most + 2, 3), np.uint8)
    with pytest.raises(
        EncodeError, match=rf"at most {most} pixels a side for {codec}, got {most + 2}x64"
    ):
        encode_frames(
            [frame],
            tmp_path / f"a.{suffix}",
            frame_rate=Fraction(25),
            config=EncodingConfig(codec=codec),
        )
    assert list(tmp_path.iterdir()) == []
