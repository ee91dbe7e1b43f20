"""The folder of a batch: names in it, and files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import unicodedata
from pathlib import Path

from ..encoders.write.output_names import make_folder
from ..errors import EncodeError

STATE = ".avatar-batch"  # leases, work in progress, hashes
FAILED = "failed"  # videos that were made and scored worse than asked for
REPORT_SUFFIX = ".report.json"
RESULTS, FAILURES, STATUS = "results.jsonl", "failures.jsonl", "status.json"
OURS = (STATE, FAILED, RESULTS, FAILURES, STATUS)  # in the output folder, beside the rows' files


def folded(name: str) -> str:
    """Return what two names have in common that are one file on some systems."""
    return unicodedata.normalize("NFC", name).casefold()


class BatchFolder:
    """Where everything of a batch lies below its output folder."""

    def __init__(self, output_directory: Path) -> None:
        self.path = output_directory
        self.state = output_directory / STATE
        self.leases = self.state / "leases"
        self.work = self.state / "work"
        self.hashes = self.state / "hashes.json"
        self.lock = self.state / "lock"
        self.results = output_directory / RESULTS
        self.failures = output_directory / FAILURES
        self.status = output_directory / STATUS

    def make(self) -> None:
        """Make the folders. Raises EncodeError, also where files of others have our names."""
        for path in (self.results, self.failures, self.status):
            if path.exists() and not self.state.exists():
                raise EncodeError(
                    f"Expected the output folder of a batch, or a folder without {path.name}, got "
                    f"{str(self.path)!r}: move that file away, or choose another folder."
                )
        for folder in (self.leases, self.work):
            make_folder(folder)

    def target(self, output: str) -> Path:
        return self.path / output

    def report(self, output: str) -> Path:
        return self.path / f"{output}{REPORT_SUFFIX}"


def write_text(path: Path, text: str, via: Path) -> None:
    """Write a file that appears under its name whole. Raises OSError.

    via: a folder on the same disk, which goes with its owner, for what is not finished.
    """
    temporary = via / secrets.token_hex(6)
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def settle(path: Path) -> None:
    """Have the system write a finished file to the disk before its name says that it is there."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
