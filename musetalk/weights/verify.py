"""Verify a model file: its hash, and whether it fills the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from ...errors import CheckpointError
from .build import empty_network
from .catalogue import CATALOGUE, PUBLISHED, PublishedFile, Role, file_sha256, looks_like, role_of
from .state_dicts import load_into, read_state_dict


@dataclass(frozen=True)
class Verification:
    """The result for one file.

    role: what it was checked as; None for a file of no network.
    recognised: the published file with this SHA-256, if any.
    problem: one sentence; None when the file is good. note: what of it could not be verified.
    """

    path: Path
    role: Role | None
    sha256: str
    recognised: PublishedFile | None
    problem: str | None = None
    note: str | None = None

    @property
    def ok(self) -> bool:
        return self.problem is None


def verify(
    path: Path,
    *,
    role: Role | None = None,
    published: PublishedFile | None = None,
    check_cancelled: Callable[[], None] = lambda: None,
    network: nn.Module | None = None,
) -> Verification:
    """Hash a file and check whether it fills its network; the weights are not kept.

    role: what it should be; None recognises it by its hash or its keys.
    published: what it should be, byte for byte; None for a converted file.
    network: on the meta device, to be filled; None takes the one of the role at its true size.
    Raises CheckpointError when there is no file.
    """
    if not path.is_file():
        raise CheckpointError(f"Expected a model file to verify, found none at {path}.")
    sha256 = file_sha256(path, check_cancelled)
    known = (published, *PUBLISHED) if published else PUBLISHED
    recognised = next((item for item in known if item.sha256 == sha256), None)
    if role is None and recognised is not None:
        role = role_of(recognised)
    note = None
    problem = _other_file(path, sha256, published, recognised)
    if role is not None and not CATALOGUE[role].code:  # its hash says all
        problem = problem or (
            None if recognised else f"Expected the {role} in {path}, found others."
        )
        return Verification(path, role, sha256, recognised, problem)
    try:
        state = read_state_dict(path)
        guess = looks_like(state)
        role = role or (guess and guess[0])
        if role is None:
            raise CheckpointError(f"Expected model weights of MuseTalk in {path}, found others.")
        native = CATALOGUE[role].native_keys(state)
        load_into(network or empty_network(role), native, source=path)
    except CheckpointError as error:
        problem = problem or str(error)
    if problem is None and recognised is None:
        note = _unrecognised(role, published)
    return Verification(path, role, sha256, recognised, problem, note)


def _other_file(
    path: Path, sha256: str, published: PublishedFile | None, recognised: PublishedFile | None
) -> str | None:
    if published is None or recognised == published:
        return None
    if recognised is not None:
        return f"Expected {published.name} in {path}, found {recognised.name} by its SHA-256."
    if published.sha256 is None:
        return None
    return (
        f"Expected {published.name} with SHA-256 {published.sha256} in {path}, found {sha256}: "
        "the file is damaged, or somebody has changed it."
    )


def _unrecognised(role: Role | None, published: PublishedFile | None) -> str:
    if published is None:
        return "no published file, so there is no hash to compare with; its keys and shapes fit"
    note = f"no hash of {published.name} is known; its keys and shapes fit"
    both = role is not None and CATALOGUE[role].by_model
    return f"{note}, but both versions of MuseTalk have the same ones" if both else note
