"""The ledger on an object store: two files for each row, each sent whole, the report last.

The report is created, never replaced: of two workers that made one row, one finishes it. It names
the version of the video, so that a video which another worker sent over it does not count.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import AvatarVideoError, EncodeError
from ..json_values import JSON
from . import store_leases
from .addresses import Address
from .content import changed_inputs
from .files import FAILED, REPORT_SUFFIX, STATE, BatchFolder
from .leases import Lease, Owner
from .ledger import line_of, parsed_report, report_for, turn_of
from .rows import Job, Kind
from .stores import Facts, Store

log = logging.getLogger("avatarvideo.batch.store_ledger")

PUBLISH_SECONDS = 10.0
TAKEN = "Another worker has taken over the job."


class StoreLedger:
    """What is finished below an address. folder: for unfinished work and the status, here."""

    def __init__(self, place: Address, folder: BatchFolder) -> None:
        self.folder = folder
        self._store = Store(place)
        self._files: dict[str, Facts] = {}  # at the beginning
        self._reports: dict[str, Mapping[str, JSON]] = {}  # by output; the same
        self._published = time.monotonic()

    @property
    def shown(self) -> str:
        return self._store.shown

    def open(self) -> None:
        self.folder.make()
        if not self._store.creates_once():
            raise EncodeError(
                "Expected a store that can create a file without overwriting one (If-None-Match), "
                f"but {self.shown} overwrites: write the results to a folder on this machine."
            )
        store_leases.sweep(self._store)

    def look_up(self, outputs: Sequence[str]) -> None:
        self._files = self._store.listed()
        wanted = [name for output in outputs if (name := output + REPORT_SUFFIX) in self._files]
        self._reports = self._read_reports(wanted)

    def report_of(self, output: str) -> Mapping[str, JSON] | None:
        """Return a row's report as it was at the beginning."""
        return self._reports.get(output)

    def is_whole(self, output: str, report: Mapping[str, JSON]) -> bool:
        return _is_of(report, self._files.get(output))

    def is_of_others(self, output: str) -> bool:
        return False  # a video without a report is also what a killed worker leaves

    def take(self, job: Job, owner: Owner) -> Lease | Kind:
        output = job.task.output
        if self._is_finished(output, job.key):
            return "already"
        lease = store_leases.take(self._store, output, owner.token)
        if lease is None:
            return "busy"
        try:
            if self._is_finished(output, job.key):  # by whoever held the lease until now
                lease.release()
                return "already"
            self._store.remove(output + REPORT_SUFFIX)  # of other contents, or of no whole video
        except AvatarVideoError:
            lease.release()
            raise
        return lease

    def give_back(self, lease: Lease) -> None:
        lease.release()

    def commit(
        self, job: Job, lease: Lease, made: Path, details: Mapping[str, JSON]
    ) -> tuple[Kind, str, Mapping[str, JSON]]:
        """Send a video and its report; returns what ``Ledger.commit`` does. Raises EncodeError."""
        output, name = job.task.output, job.task.output + REPORT_SUFFIX
        if changed := changed_inputs(job.stamps):
            return "changed", changed, {}
        if not lease.is_ours():
            return "busy", TAKEN, {}
        report = report_for(job, made, details)
        report["tag"] = self._store.put(output, made).tag
        if lease.is_ours() and self._store.create(name, _as_bytes(report)):
            lease.release()
            return "finished", "", report
        found = self._report_now(output)
        if found is not None and not _is_of(found, self._store.facts(output)):
            self._store.remove(name)  # ours lies there now, for which it does not speak
        return "busy", TAKEN, {}

    def set_aside(self, job: Job, made: Path, details: Mapping[str, JSON]) -> str:
        name = f"{FAILED}/{job.task.output}"
        report = report_for(job, made, details)
        self._store.put(name, made)
        self._store.write(name + REPORT_SUFFIX, _as_bytes(report))
        return f"{self.shown}/{name}"

    def forget(self, output: str) -> None:
        for name in (output, output + REPORT_SUFFIX):
            self._store.remove(f"{FAILED}/{name}")

    def mend_results(self, finished: Iterable[str], via: Path) -> bool:
        return False  # the list is written at the end

    def publish(self, *, at_end: bool = False) -> None:
        if not at_end and time.monotonic() - self._published < PUBLISH_SECONDS:
            return
        self._published = time.monotonic()
        folder = self.folder
        try:
            for file in (folder.status, folder.failures) if at_end else (folder.status,):
                if file.exists():
                    self._store.write(file.name, file.read_bytes())
                else:
                    self._store.remove(file.name)
            if at_end:
                self._store.write(folder.results.name, self._all_lines())
        except (EncodeError, OSError) as error:
            log.warning("%s", error)

    def _all_lines(self) -> bytes:
        """Return a line for each video that is finished; only new reports are read."""
        before, self._files = self._files, self._store.listed()
        outside = (f"{STATE}/", f"{FAILED}/")
        names = [name for name in self._files if name.endswith(REPORT_SUFFIX)]
        names = [name for name in names if not name.startswith(outside)]
        known = {name for name in names if _output_of(name) in self._reports}
        known = {name for name in known if before.get(name) == self._files[name]}
        kept = {_output_of(name): self._reports[_output_of(name)] for name in known}
        kept |= self._read_reports([name for name in names if name not in known])
        whole = [report for output, report in kept.items() if self.is_whole(output, report)]
        return "".join(map(line_of, sorted(whole, key=turn_of))).encode()

    def _read_reports(self, names: Iterable[str]) -> dict[str, Mapping[str, JSON]]:
        found = {_output_of(name): data for name, data in self._store.read_many(names).items()}
        reports = {output: parsed_report(data) for output, data in found.items()}
        return {output: report for output, report in reports.items() if report is not None}

    def _report_now(self, output: str) -> Mapping[str, JSON] | None:
        data = self._store.read(output + REPORT_SUFFIX)
        return None if data is None else parsed_report(data)

    def _is_finished(self, output: str, key: str) -> bool:
        report = self._report_now(output)
        is_same = report is not None and report.get("key") == key
        return report is not None and is_same and _is_of(report, self._store.facts(output))


def _is_of(report: Mapping[str, JSON], video: Facts | None) -> bool:
    """Say whether a report speaks for the video that lies there."""
    return video is not None and (video.size, video.tag) == (report.get("size"), report.get("tag"))


def _output_of(name: str) -> str:
    return name.removesuffix(REPORT_SUFFIX)


def _as_bytes(report: Mapping[str, JSON]) -> bytes:
    return json.dumps(report, indent=1).encode()
