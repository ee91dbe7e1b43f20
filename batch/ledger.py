"""The ledger: a row is finished when its file has its name and a report beside it has its key."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path

from ..encoders.read.file_clip import file_hash
from ..encoders.write.output_names import not_writable
from ..errors import EncodeError
from ..host.owned_files import sweep
from ..json_values import JSON, is_object, parse_json
from ..musetalk.weights.file_lock import locked
from .content import changed_inputs
from .files import FAILED, REPORT_SUFFIX, STATE, BatchFolder, settle, write_text
from .leases import Lease, Owner, sweep_leases, take
from .rows import Job, Kind

log = logging.getLogger("avatarvideo.batch.ledger")

# What a line of results.jsonl holds of a report.
IN_RESULTS = (
    *("output", "key", "sha256", "size", "finished", "mode", "frame_count", "duration_seconds"),
    *("processing_seconds", "files"),
)


class Ledger:
    """What is finished below an output folder. check: called while another process has the lock."""

    def __init__(self, folder: BatchFolder, check: Callable[[], None] = lambda: None) -> None:
        self.folder = folder
        self._check = check

    def open(self) -> None:
        """Make the folders and remove what killed workers left. Raises EncodeError."""
        self.folder.make()
        sweep(self.folder.work, "*")
        try:
            with self.lock():
                sweep_leases(self.folder)
        except OSError as error:
            raise not_writable(self.folder.path, error) from error

    @contextlib.contextmanager
    def lock(self) -> Generator[None]:
        """Have the folder alone. Raises OSError, as on a full disk."""
        check = self._check
        with locked(self.folder.lock, on_wait=lambda: None, check_cancelled=check, is_needed=True):
            yield

    @property
    def shown(self) -> str:
        return str(self.folder.path)

    def look_up(self, outputs: Sequence[str]) -> None:
        pass  # a look at each of them is as fast

    def publish(self, *, at_end: bool = False) -> None:
        pass  # the status is there already

    def report_of(self, output: str) -> Mapping[str, JSON] | None:
        """Return the report beside a result, None where there is none that can be read."""
        return _read_report(self.folder.report(output))

    def is_of_others(self, output: str) -> bool:
        """Say whether a file has a row's name that no batch made: no report or line tells of it."""
        target = f"{self.folder.path}/{output}"  # of tens of thousands, and faster
        if not os.path.lexists(target) or os.path.lexists(target + REPORT_SUFFIX):
            return False
        return output not in self._outputs_in_results

    @cached_property
    def _outputs_in_results(self) -> set[str]:
        """The outputs of all lines that were whole when they were first asked for."""
        try:
            return {output for output, _ in self._lines_of_results()[0]}
        except OSError:
            return set()

    def _lines_of_results(self) -> tuple[list[tuple[str, str]], bool]:
        """Return output and key of each line that can be read, and whether all are whole.

        Raises OSError.
        """
        found: list[tuple[str, str]] = []
        *lines, rest = self.folder.results.read_bytes().split(b"\n")
        for line in [*lines, rest]:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                one = parse_json(line)
                found.append((str(one["output"]), str(one["key"])))
        return found, not rest and len(found) == len(lines)

    def is_finished(self, output: str, key: str) -> bool:
        report = self.report_of(output)
        return report is not None and report.get("key") == key and self.is_whole(output, report)

    def is_whole(self, output: str, report: Mapping[str, JSON]) -> bool:
        """Say whether a result is the file that its report was written for."""
        try:
            found = os.stat(self.folder.target(output))  # noqa: PTH116 - of tens of thousands
        except OSError:
            return False
        if found.st_size != report.get("size"):
            return False
        if (found.st_mtime_ns, found.st_ino) == (report.get("mtime_ns"), report.get("inode")):
            return True
        with contextlib.suppress(OSError):  # copied, or restored
            return file_hash(self.folder.target(output)) == report.get("sha256")
        return False

    def take(self, job: Job, owner: Owner) -> Lease | Kind:
        """Take the lease of a job, or say that it is finished already or another's now.

        Raises OSError.
        """
        with self.lock():
            if self.is_finished(job.task.output, job.key):
                return "already"
            return take(self.folder, job.task.output, owner) or "busy"

    def give_back(self, lease: Lease) -> None:
        with contextlib.suppress(OSError), self.lock():  # else it ends by itself in a while
            lease.release()

    def commit(
        self, job: Job, lease: Lease, made: Path, details: Mapping[str, JSON]
    ) -> tuple[Kind, str, Mapping[str, JSON]]:
        """Give a file that was made its name, its report and its line, all or nothing.

        Returns what became of it, a sentence where it is not finished, and the report.
        Nothing is finished whose lease is lost or whose inputs changed. Raises OSError.
        """
        target = self.folder.target(job.task.output)
        target.parent.mkdir(parents=True, exist_ok=True)
        settle(made)
        report = _report(job, made, details)
        written = made.with_name("report.json")
        write_text(written, json.dumps(report, indent=1), made.parent)
        with self.lock():
            if not lease.is_ours():
                return "busy", "Another worker has taken over the job.", {}
            if changed := changed_inputs(job.stamps):
                return "changed", changed, {}
            # First, so that a file without a report is never ours, whenever this process dies.
            written.replace(self.folder.report(job.task.output))
            made.replace(target)
            self._append(report)
            lease.release()
        return "finished", "", report

    def set_aside(self, job: Job, made: Path, details: Mapping[str, JSON]) -> str:
        """Keep a video that may not count, with its report, in a folder of its own; say where.

        Raises EncodeError where a file of others has its name there.
        """
        name = f"{FAILED}/{job.task.output}"
        target = self.folder.target(name)
        if os.path.lexists(target):  # ours would have been forgotten
            raise EncodeError(
                f"Expected no file {str(target)!r}: no batch made it, so move it away."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        report = _report(job, made, details)
        write_text(self.folder.report(name), json.dumps(report, indent=1), made.parent)
        made.replace(target)
        return str(target)

    def _append(self, report: Mapping[str, JSON]) -> None:
        line = line_of(report).encode()
        try:
            descriptor = os.open(self.folder.results, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            self._warn(error)
            return  # the reports are what counts: the next start writes it anew
        try:
            size = os.fstat(descriptor).st_size
            if os.write(descriptor, line) != len(line):
                os.ftruncate(descriptor, size)
        except OSError as error:
            self._warn(error)
        finally:
            os.close(descriptor)

    def _warn(self, error: OSError) -> None:
        log.warning("Cannot write %s: %s", self.folder.results.name, error.strerror)

    def mend_results(self, finished: Iterable[str], via: Path) -> bool:
        """Write results.jsonl anew where it is torn or lacks a finished row; say whether it was.

        finished: the keys of the rows that are known to be finished. via: as of ``write_text``.
        """
        wanted = set(finished)
        with self.lock():
            found = self._keys_in_results()
            if found is not None and wanted <= found:
                return False
            reports = sorted(self._whole_reports(), key=turn_of)
            try:
                write_text(self.folder.results, "".join(map(line_of, reports)), via)
            except OSError as error:  # the reports are what counts
                self._warn(error)
                return False
        log.info("%s was rebuilt from the reports", self.folder.results.name)
        return True

    def _keys_in_results(self) -> set[str] | None:
        """Return the keys of all lines, None where the file is torn or says something twice."""
        try:
            lines, is_whole = self._lines_of_results()
        except FileNotFoundError:
            return set()
        except OSError:
            return None
        keys = {key for _, key in lines}
        return keys if is_whole and len(keys) == len(lines) else None

    def _whole_reports(self) -> Iterable[Mapping[str, JSON]]:
        outside = {STATE, FAILED}
        for path in self.folder.path.rglob(f"*{REPORT_SUFFIX}"):
            output = path.relative_to(self.folder.path).as_posix().removesuffix(REPORT_SUFFIX)
            if output.partition("/")[0] in outside:
                continue
            report = _read_report(path)
            if report is None or report.get("output") != output or not report.get("key"):
                continue
            if self.is_whole(output, report):
                yield report

    def forget(self, output: str) -> None:
        """Remove what an earlier run left of a row, in the folder of those that failed."""
        name = f"{FAILED}/{output}"
        report = self.report_of(name)
        if report is not None and report.get("output") == output:
            for path in (self.folder.target(name), self.folder.report(name)):
                with contextlib.suppress(OSError):
                    path.unlink()


def emptied(folder: Path) -> Path:
    """Return a folder with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _report(job: Job, made: Path, details: Mapping[str, JSON]) -> dict[str, JSON]:
    found = made.stat()
    return {**report_for(job, made, details), "mtime_ns": found.st_mtime_ns, "inode": found.st_ino}


def report_for(job: Job, made: Path, details: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return what is said of a file that was made, wherever it goes."""
    return {
        "output": job.task.output,
        "key": job.key,
        "size": made.stat().st_size,
        "sha256": file_hash(made),
        "finished": datetime.now(timezone.utc).isoformat(timespec="microseconds"),
        "threads": job.task.threads or None,
        **details,
    }


def _read_report(path: Path) -> Mapping[str, JSON] | None:
    try:
        return parsed_report(path.read_bytes())
    except OSError:
        return None


def parsed_report(data: bytes) -> Mapping[str, JSON] | None:
    """Return a report, None where it is torn."""
    try:
        found: JSON = json.loads(data)  # ours, and there are tens of thousands
    except (ValueError, RecursionError):
        return None
    return found if is_object(found) else None


def turn_of(report: Mapping[str, JSON]) -> tuple[str, str]:
    return str(report.get("finished")), str(report["output"])


def line_of(report: Mapping[str, JSON]) -> str:
    return json.dumps({name: report[name] for name in IN_RESULTS if name in report}) + "\n"
