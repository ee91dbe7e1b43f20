"""Where the results of a batch go, and what is asked of the ledger that is kept there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ..host.standalone import StandaloneHost
from ..json_values import JSON
from .addresses import MEMORY, Address, place_in
from .files import BatchFolder
from .leases import Lease, Owner
from .ledger import Ledger
from .rows import Job, Kind


class Results(Protocol):
    """A ledger of results, in a folder or on a store. folder: for unfinished work, here."""

    folder: BatchFolder

    @property
    def shown(self) -> str:
        """The place of the results, for messages."""
        ...

    def open(self) -> None:
        """Make the place ready and remove what killed workers left. Raises EncodeError."""
        ...

    def look_up(self, outputs: Sequence[str]) -> None:
        """Get to know the reports of many rows at once, which are asked for next."""
        ...

    def report_of(self, output: str) -> Mapping[str, JSON] | None: ...

    def is_whole(self, output: str, report: Mapping[str, JSON]) -> bool: ...

    def is_of_others(self, output: str) -> bool:
        """Say whether a file has a row's name that no batch made, as far as can be told."""
        ...

    def take(self, job: Job, owner: Owner) -> Lease | Kind: ...

    def give_back(self, lease: Lease) -> None: ...

    def commit(
        self, job: Job, lease: Lease, made: Path, details: Mapping[str, JSON]
    ) -> tuple[Kind, str, Mapping[str, JSON]]: ...

    def set_aside(self, job: Job, made: Path, details: Mapping[str, JSON]) -> str: ...

    def forget(self, output: str) -> None: ...

    def mend_results(self, finished: Iterable[str], via: Path) -> bool: ...

    def publish(self, *, at_end: bool = False) -> None:
        """Show the batch's status where the results are, now and then."""
        ...


def results_in(host: StandaloneHost, place: str) -> Results:
    """Return the ledger of a folder or an address; empty is the host's output folder."""
    address = place_in(place) if place else None
    if address is None:
        folder = BatchFolder(Path(place).resolve() if place else host.output_directory)
        return Ledger(folder, host.check_cancelled)
    from .store_ledger import StoreLedger

    return StoreLedger(address, BatchFolder(host.temp_directory / "results"))


def memory_problem(address: Address | None, what: str, in_process: bool) -> str:
    """Return a sentence where workers would not see an address, which is a process's own."""
    if address is None or address.scheme != MEMORY or in_process:
        return ""
    return (
        f"Expected {what} where workers see it, but memory:// exists only in this process: use "
        "--workers 0."
    )
