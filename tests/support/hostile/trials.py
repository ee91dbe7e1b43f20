"""One run of the command against one lie, and what must hold afterwards."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import threading
import time
import traceback
import unicodedata
from pathlib import Path

from avatarvideo.cli.main import main

from .lying_server import WORKFLOW, Lie, LyingServer

SPEECH = b"hello " * 1000
LONGEST_SECONDS = 45.0  # of a lie that ends by itself, on a loaded machine
CANCEL_AFTER = 0.6
CANCEL_SECONDS = 5.0  # the command loads meanwhile, beside other tests; unheard it would be 45
STEERING = ("Cc", "Cf", "Cs")


def server_trial(name: str, lie: Lie, folder: Path, *, cancel: bool) -> list[str]:
    """Return what went wrong, nothing where the lie was survived."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "work" / "out").mkdir(parents=True)
    (folder / "work" / "speech.txt").write_bytes(SPEECH)
    (folder / "work" / "flow.json").write_text(json.dumps(WORKFLOW))
    before = _outside(folder)
    server = LyingServer(lie)
    work = folder / "work"
    arguments = ["run", str(work / "flow.json"), "--server", server.url]
    arguments += ["--input-dir", str(work), "--output-dir", str(work / "out")]
    try:
        code, said, seconds = called(arguments, cancel_after=CANCEL_AFTER if cancel else None)
    finally:
        server.close()
    found = problems_of(code, said)
    if cancel:
        if code not in (130, 1):
            found.append(f"expected to be stopped, ended with {code}")
        if seconds - CANCEL_AFTER > CANCEL_SECONDS:
            found.append(f"stopped only {seconds - CANCEL_AFTER:.1f} s after the signal")
        if list((work / "out").rglob("*")):
            found.append(f"left {list((work / 'out').rglob('*'))}")
    elif seconds > LONGEST_SECONDS:
        found.append(f"took {seconds:.1f} s")
    if code and any(path.is_file() for path in (work / "out").rglob("*.part")):
        found.append("left a part of a file")
    if _outside(folder) != before:
        found.append(f"changed what lies outside of the output folder: {_outside(folder)}")
    return [f"{name}: {one}" for one in found]


def _outside(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and (folder / "work" / "out") not in path.parents
    }


def called(arguments: list[str], *, cancel_after: float | None = None) -> tuple[object, str, float]:
    """Return exit code, what was said, and how long the command took."""
    out, err = io.StringIO(), io.StringIO()
    ends = threading.Event()

    def press() -> None:
        if not ends.wait(cancel_after):
            os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press, daemon=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    began = time.monotonic()
    if cancel_after is not None:
        presser.start()
    code: object
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # one that comes too late ends nothing
    except BaseException:  # noqa: BLE001 - whatever escapes is what is looked for
        code = traceback.format_exc()
    finally:
        seconds = time.monotonic() - began
        ends.set()
        signal.signal(signal.SIGINT, before)
    return code, out.getvalue() + "\0" + err.getvalue(), seconds


def problems_of(code: object, said: str) -> list[str]:
    """What is wrong with an exit code and with what was said."""
    found = []
    out, _, err = said.partition("\0")
    if isinstance(code, str):
        found.append(f"escaped:\n{code}")
    elif code not in (0, 1, 2, 130, 143):
        found.append(f"exit code {code}")
    if "Traceback" in err:
        found.append(f"a traceback:\n{err}")
    steering = {c for c in out + err if c not in "\n\t" and unicodedata.category(c) in STEERING}
    if steering:
        found.append(f"characters that steer a terminal: {sorted(map(ascii, steering))}")
    if code == 1 and not err.strip():
        found.append("failed without a word")
    if len(err) > 20_000:
        found.append(f"said {len(err):,} characters")
    return found
