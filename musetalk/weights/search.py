"""Find the model files a user already has: our own, upstream's, other packs', download caches."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Literal

from ..interfaces import Model
from .catalogue import (
    BASES,
    CATALOGUE,
    MODELS,
    PACK_BASES,
    Cache,
    HubFile,
    Precision,
    PublishedFile,
    Role,
    WebFile,
    WheelMember,
    converted_path,
    networks_for,
    published_for,
    readable_size,
    size_problem,
)
from .download_command import download_command

State = Literal["present", "missing", "wrong"]


@dataclass(frozen=True)
class Caches:
    """Download caches of other programs; None leaves one out. packages: look into those, too."""

    hub: Path | None = None
    torch_hub: Path | None = None
    whisper: Path | None = None
    packages: bool = False

    def folder(self, cache: Cache | None) -> Path | None:
        """Return the folder of a cache that holds files under their names alone."""
        return {"torch_hub": self.torch_hub, "whisper": self.whisper}.get(cache or "")


@dataclass(frozen=True)
class FileStatus:
    """What was found for one network: a row of `avatar models list`.

    model: the version the file is for; None for all. wanted: the file `download` would get.
    published: what the file found should be; None for one that `convert` wrote.
    precision: of a converted file; None for a published one.
    problem: how the size tells that the file is damaged, incomplete or another one.
    looked: every path that was tried, where nothing was found.
    """

    role: Role
    model: Model | None
    wanted: PublishedFile
    state: State
    published: PublishedFile | None = None
    path: Path | None = None
    found_size: int | None = None
    precision: Precision | None = None
    problem: str | None = None
    looked: tuple[Path, ...] = field(default=(), repr=False)

    @property
    def is_extra(self) -> bool:
        """Whether MuseTalk is complete without it; such a file is never downloaded."""
        return CATALOGUE[self.role].need == "extra"


@dataclass(frozen=True)
class FoundFiles:
    """Everything MuseTalk itself needs, by role; faces are located without networks ``missing``."""

    model: Model
    files: dict[Role, FileStatus]
    missing: tuple[FileStatus, ...] = ()


@dataclass(frozen=True)
class MissingFiles:
    """At least one required file is missing; ``message`` tells the user which."""

    model: Model
    missing: tuple[FileStatus, ...]
    found: dict[Role, FileStatus]
    roots: tuple[Path, ...]

    @property
    def message(self) -> str:
        """One sentence: which files, where they were looked for, and the command to get them."""
        files = ", ".join(
            f"the {CATALOGUE[item.role].title} {item.wanted.name}"
            + (f" ({readable_size(item.wanted.size)})" if item.wanted.size else "")
            for item in self.missing
        )
        roots = ", ".join(str(root) for root in self.roots) or "no folder of models"
        command = download_command(*() if self.model == MODELS[0] else ("--model", self.model))
        return (
            f"MuseTalk {self.model.removeprefix('v')} needs files that were not found: {files}; "
            f"looked in {roots} (there under {BASES[0]}/ and in the layouts of other MuseTalk "
            f"packs) and in the download caches: run `{command}` to get them."
        )


def user_caches() -> Caches:
    """Return the caches of this user, as the environment places them."""

    def placed(variable: str, usual: Path) -> Path:
        return Path(os.environ.get(variable) or usual).expanduser()

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    hub = placed("HF_HUB_CACHE", placed("HF_HOME", cache / "huggingface") / "hub")
    torch_hub = placed("TORCH_HOME", cache / "torch") / "hub" / "checkpoints"
    return Caches(hub, torch_hub, cache / "whisper", packages=True)


def find(
    model: Model,
    roots: Sequence[Path],
    *,
    precision: Precision = "half",
    caches: Caches | None = None,
) -> FoundFiles | MissingFiles:
    """Look for every file of a version of MuseTalk.

    roots: folders of models, most preferred first. caches: None for the user's.
    precision: "half" takes a converted half-precision file before all others; "full" takes one
        only where nothing better is there.
    A file of the published size wins over one of another size, which is reported as a problem.
    """
    caches = caches or user_caches()
    rows = [
        _status(network.role, model, roots, precision, caches) for network in networks_for(model)
    ]
    found: dict[Role, FileStatus] = {
        row.role: row
        for row in rows
        if row.state == "present" or (row.state == "wrong" and not row.is_extra)
    }
    missing = tuple(row for row in rows if row.state == "missing" and not row.is_extra)
    required = tuple(row for row in missing if CATALOGUE[row.role].need == "required")
    if required:
        return MissingFiles(model, required, found, tuple(roots))
    return FoundFiles(model, found, missing)


def list_files(
    roots: Sequence[Path], *, models: Sequence[Model] = MODELS, caches: Caches | None = None
) -> list[FileStatus]:
    """Return one row for every role and, where they differ, every version; extras come last."""
    caches = caches or user_caches()
    rows: list[FileStatus] = []
    for role, network in CATALOGUE.items():
        having: list[Model] = [model for model in models if published_for(role, model)]
        for model in having if network.by_model else having[:1]:
            rows.append(_status(role, model, roots, "half", caches))
    return rows


def present_files(
    role: Role, roots: Sequence[Path], *, caches: Caches | None = None
) -> Iterator[Path]:
    """Yield every published file of a role that is there in its full size, the preferred first."""
    for path, published, _ in _candidates(role, MODELS[0], roots, "full", caches or user_caches()):
        if published and path.is_file() and not size_problem(published, path.stat().st_size):
            yield path


def files_to_download(
    model: Model, roots: Sequence[Path], *, caches: Caches | None = None
) -> list[PublishedFile]:
    """Return the files of a version of MuseTalk that are missing or wrong."""
    rows = list_files(roots, models=[model], caches=caches)
    return [row.wanted for row in rows if row.state != "present" and not row.is_extra]


def _status(
    role: Role, model: Model, roots: Sequence[Path], precision: Precision, caches: Caches
) -> FileStatus:
    """Return the first file that fits, else the first of a wrong size, else where was looked."""
    wanted = published_for(role, model)[0]
    version = model if CATALOGUE[role].by_model else None
    wrong: FileStatus | None = None
    looked: list[Path] = []
    for path, published, converted in _candidates(role, model, roots, precision, caches):
        looked.append(path)
        if not path.is_file():
            continue
        size = path.stat().st_size
        problem = size_problem(published, size) if published else None
        state: State = "wrong" if problem else "present"
        status = FileStatus(role, version, wanted, state, published, path, size, converted, problem)
        if problem is None:
            return status
        wrong = wrong or status
    tried = tuple(dict.fromkeys(looked))
    return wrong or FileStatus(role, version, wanted, "missing", looked=tried)


_Candidate = tuple[Path, PublishedFile | None, Precision | None]


def _candidates(
    role: Role, model: Model, roots: Sequence[Path], precision: Precision, caches: Caches
) -> Iterator[_Candidate]:
    first: tuple[Precision, ...] = ("half", "full") if precision == "half" else ("full",)
    for converted in first:
        for root in roots:
            yield converted_path(role, model, converted, root), None, converted
    choices = published_for(role, model)
    for root in roots:
        bases = _bases(root)
        for published in choices:
            for path in _in_places(published, bases):
                yield path, published, None
    for published in choices:
        for path in _in_caches(published, caches):
            yield path, published, None
    if precision == "full":
        for root in roots:
            yield converted_path(role, model, "half", root), None, "half"


def _bases(root: Path) -> list[Path]:
    bases = [root / base for base in BASES]
    packs = root.parent / "custom_nodes"
    if packs.is_dir():
        bases += [packs / base for base in PACK_BASES]
    # The first is where a download goes, so it is worth naming even where it is not there yet.
    return [base for index, base in enumerate(bases) if not index or base.is_dir()]


def _in_places(published: PublishedFile, bases: Sequence[Path]) -> Iterator[Path]:
    for base, place in product(bases, published.places):
        if "*" not in place:
            yield Path(os.path.normpath(base / place))
        else:  # the latest of numbered files first: longer numbers are higher
            yield from sorted(
                base.glob(place), key=lambda path: (len(path.name), path.name), reverse=True
            )


def _in_caches(published: PublishedFile, caches: Caches) -> Iterator[Path]:
    folder = caches.folder(published.cache)
    for source in published.sources:
        if isinstance(source, HubFile) and caches.hub:
            repository = caches.hub / f"models--{source.repository.replace('/', '--')}"
            for snapshot in sorted(repository.glob("snapshots/*")):
                yield snapshot / source.path
        if isinstance(source, WheelMember):
            yield from _in_package(source) if caches.packages else ()
        elif folder is not None:
            yield folder / Path(source.url if isinstance(source, WebFile) else source.path).name


def _in_package(member: WheelMember) -> Iterator[Path]:
    """Yield where an installed package has the file; nothing of it is imported."""
    name, *inside = PurePosixPath(member.path).parts
    spec = importlib.util.find_spec(name)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        yield Path(folder, *inside)
