"""What every command shares: the log on stderr, the host of one run, its end by a signal."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from ..errors import Cancelled
from ..texts import plain

if TYPE_CHECKING:
    from ..host.standalone import StandaloneHost

FAILED, INTERRUPTED = 1, 130
VERBOSITY = "avatarvideo.verbosity"  # of a command, in its click context
SIGNALLED = 128  # plus the signal's number: what a shell reports


def talk(text: str) -> None:
    """Say something on stderr, if anybody is there to hear it: no work fails for that."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(plain(text), err=True)


class _ToStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        talk(f"{record.name.removeprefix('avatarvideo.')}: {record.getMessage()}")


def start_log(context: click.Context, _parameter: click.Parameter, verbosity: int) -> int:
    """Show the package's log on stderr: warnings, with 1 what happens, with 2 everything."""
    end_log()
    context.meta[VERBOSITY] = verbosity
    logger = logging.getLogger("avatarvideo")
    logger.addHandler(_ToStderr())
    logger.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)])
    return verbosity


def end_log() -> None:
    """Leave logging as it was found."""
    logger = logging.getLogger("avatarvideo")
    for handler in [h for h in logger.handlers if isinstance(h, _ToStderr)]:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


verbose_option = click.option(
    "-v",
    "--verbose",
    count=True,
    expose_value=False,
    is_eager=True,
    callback=start_log,
    help="Log to stderr; give it twice for more.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@contextlib.contextmanager
def session(
    *, show_progress: bool | None = None, **folders: Path | None
) -> Generator[StandaloneHost]:
    """Be the host of one command: its folders, a progress bar, a cancel by signal.

    show_progress: as of StandaloneHost.
    """
    from ..host.current import set_host
    from ..host.owned_files import temporary_folder
    from ..host.standalone import StandaloneHost

    with temporary_folder() as temp:
        host = StandaloneHost(temp_directory=temp, show_progress=show_progress, **folders)
        set_host(host)
        received: list[int] = []
        try:
            with _signals(host, received):
                yield host
        except (Cancelled, KeyboardInterrupt, ImportError, RuntimeError) as error:
            if not received and not isinstance(error, Cancelled):
                raise
            talk("Stopped; no half-written file was left behind.")
            raise click.exceptions.Exit(SIGNALLED + received[0] if received else FAILED) from None
        finally:
            set_host(None)


@contextlib.contextmanager
def _signals(host: StandaloneHost, received: list[int]) -> Generator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
        host.cancel()
        if _is_loading("torch"):
            _end_at_once(host.temp_directory, SIGNALLED + number)
        if _is_importing(frame):  # libraries load for seconds and ask nobody
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_loading(name: str) -> bool:
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))


def _end_at_once(temporary: Path, code: int) -> NoReturn:
    """End while nothing is written yet: an exception through a library's C++ would abort."""
    shutil.rmtree(temporary, ignore_errors=True)
    talk("Stopped; no half-written file was left behind.")
    os._exit(code)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
