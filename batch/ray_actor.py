"""What runs on a Ray cluster: an actor that makes jobs in a process of its own.

It is no more than a ``Maker`` with a start and an end; Ray calls it, and it knows nothing of Ray.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import AvatarVideoError
from ..host.current import set_host
from ..host.owned_files import MARKER, is_claimed, temporary_folder
from ..host.standalone import FORMATS_VARIABLE, MODELS_VARIABLE, StandaloneHost
from ..json_values import JSON
from .addresses import place_in
from .files import BatchFolder
from .maker import Maker
from .results import results_in
from .rows import Job, Setup

if TYPE_CHECKING:
    from ..musetalk.weights.session import ModelSource


class BatchActor:
    """One worker. start: before anything else; Ray may have restarted it since, with nothing."""

    def __init__(self, name: str, setup: Setup) -> None:
        self._name = name
        self._setup = setup
        self._making = threading.Lock()
        self._maker: Maker | None = None
        self._open = contextlib.ExitStack()

    def start(self) -> str:
        """Be ready for jobs. Returns what is wrong where that cannot be, as a sentence."""
        if self._maker is not None:
            return ""
        try:
            self._check()
        except AvatarVideoError as error:
            return str(error)
        os.dup2(2, 1)  # what libraries print is no output of the command
        _start_log(self._setup.log_level)
        _look_for_models(self._setup)
        folder = self._open.enter_context(temporary_folder())
        self._host = StandaloneHost(input_directory=self._setup.inputs, temp_directory=folder)
        set_host(self._host)
        ledger = results_in(self._host, self._setup.outputs)
        self._maker = Maker(self._host, ledger, self._name, self._models())
        self._open.callback(self._maker.close)
        self._maker.load()
        return ""

    def _models(self) -> ModelSource | None:
        """Return networks to use instead of the files that are found, None for those files."""
        return None

    def _check(self) -> None:
        """Raise AvatarVideoError where a job made here would not be the command's."""
        where, wanted = platform.node(), self._setup.version
        if wanted != __version__:
            raise AvatarVideoError(
                f"Expected avatarvideo {wanted} on {where}, the command's version, found "
                f"{__version__}: install the same version on every machine."
            )
        outputs = self._setup.outputs
        if place_in(outputs) is not None:  # a store, which has no locks and needs no path
            return
        marker = BatchFolder(Path(outputs)).work / self._setup.driver / MARKER
        if not marker.is_file():
            raise AvatarVideoError(
                f"Expected the output folder {outputs!r} on {where} to be the same one as the "
                "command's, but it is a different one: put it on storage that every machine sees "
                "under the same path."
            )
        if not is_claimed(marker):
            raise AvatarVideoError(
                f"Expected locks on files in {outputs!r} to work on {where}, but they "
                "do not: use storage with file locks across machines, such as NFS 4."
            )

    def make(self, job: JSON) -> JSON:
        """Make a job and return its outcome; both as JSON. Raises AvatarVideoError before that."""
        if self._maker is None and (problem := self.start()):
            raise AvatarVideoError(problem)
        assert self._maker is not None
        with self._making:
            return asdict(self._maker.make(Job.from_json(job)))

    def stop(self) -> None:
        """Give up what is being made and remove it. Called beside ``make``."""
        if self._maker is not None:
            self._host.cancel()
        with self._making:
            self._open.close()


def _start_log(level: int) -> None:
    """Log to stderr, which Ray shows on that of the command."""
    logger = logging.getLogger("avatarvideo")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers[:] = [handler]
    logger.setLevel(level)


def _look_for_models(setup: Setup) -> None:
    """Look where this machine says, then where the command would; its folder is not ours."""
    named = [os.environ.get(MODELS_VARIABLE, ""), *map(str, setup.models)]
    os.environ[MODELS_VARIABLE] = os.pathsep.join(filter(None, named))
    os.environ.setdefault(FORMATS_VARIABLE, str(setup.formats))
