"""The errors that callers of this package can catch.

    AvatarVideoError
    ├── MediaError
    │   └── NoFaceError
    ├── EncodeError
    │   └── SourceEndsEarlyError
    ├── CheckpointError, DeviceMemoryError, GraphError, MissingLibraryError
    └── Cancelled

A message says what was wanted, what was found and what to do, in one sentence where possible.
"""

from __future__ import annotations

from pathlib import Path


class AvatarVideoError(Exception):
    """Base of all of them; a wrong option or argument is a ValueError instead."""


class MediaError(AvatarVideoError):
    """A picture, video or audio that cannot be used as it is."""


class NoFaceError(MediaError):
    """No face, or no lips, where one was asked for."""


class EncodeError(AvatarVideoError):
    """A video that could not be written; nothing is left under the final name."""


class SourceEndsEarlyError(EncodeError):
    """The end of a source is missing; ``kept`` is what could be made, under a name of its own."""

    def __init__(self, message: str, kept: Path = Path()) -> None:
        super().__init__(message)
        self.kept = kept


class CheckpointError(AvatarVideoError):
    """Model files that are missing, damaged or belong to another model."""


class DeviceMemoryError(AvatarVideoError):
    """The work does not fit into the device's memory, even in its smallest form."""


class GraphError(AvatarVideoError):
    """A workflow that cannot be run. The message names the node."""


class MissingLibraryError(AvatarVideoError):
    """A library that is not installed, or that does not import."""


class Cancelled(AvatarVideoError):  # noqa: N818 - a wish of the user, not a failure
    """The user stopped the run. A host's own interruption passes through unchanged instead."""
