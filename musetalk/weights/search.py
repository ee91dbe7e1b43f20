"""Find the model files a user already has: our own, upstream's, other packs', download caches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
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
    converted_path,
    networks_for,
    published_for,
    readable_size,
    size_problem,
)

State = Literal["present", "missing", "wrong"]


@dataclass(frozen=True)
class Caches:
    """Download caches of other programs; None leaves one out."""

    hub: Path | None = None
    torch_hub: Path | None = None
    whisper: Path | None = None

    def folder(self, cache: Cache | None) -> Path | None:
        """Return the folder of a cache that holds files under their names alone."""
        return {"torch_hub": self.torch_hub, "whisper": self.whisper}.get(cache or "")


@dataclass(frozen=True)
class FoundFile:
    """A file for a role.

    published: what it should be; None for a file our ``convert`` wrote.
    precision: of a converted file; None for a published one.
    problem: how its size tells that it is damaged, incomplete or another file.
    """

    role: Role
    path: Path
    published: PublishedFile | None
    precision: Precision | None
    problem: str | None = None


@dataclass(frozen=True)
class MissingFile:
    """A file that is nowhere.

    wanted: the file `download` would get.
    looked: every path that was tried.
    """

    role: Role
    wanted: PublishedFile
    looked: tuple[Path, ...] = field(repr=False)


@dataclass(frozen=True)
class FoundFiles:
    """Everything MuseTalk itself needs.

    files: by role; of the extras those that are there.
    missing: face networks that are not there; faces are then located without weights.
    """

    model: Model
    files: dict[Role, FoundFile]
    missing: tuple[MissingFile, ...] = ()


@dataclass(frozen=True)
class MissingFiles:
    """At least one required file is nowhere; ``message`` says so to the user."""

    model: Model
    missing: tuple[MissingFile, ...]
    found: dict[Role, FoundFile]
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
        option = "" if self.model == MODELS[0] else f" --model {self.model}"
        return (
            f"MuseTalk {self.model.removeprefix('v')} needs files that were not found: {files}; "
            f"looked in {roots} (there under {BASES[0]}/ and in the layouts of other MuseTalk "
            f"packs) and in the download caches: run `avatar models download{option}` to get them."
        )


@dataclass(frozen=True)
class FileStatus:
    """One row of `avatar models list`.

    model: the version the file is for; None for all.
    wanted: the file `download` would get.
    published: what the file found should be; None for a converted one, or when nothing is there.
    problem: why the state is "wrong".
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


def user_caches() -> Caches:
    """Return the caches of this user, as the environment places them."""
    environment = os.environ
    cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    hub_home = Path(environment.get("HF_HOME") or cache / "huggingface")
    torch_home = Path(environment.get("TORCH_HOME") or cache / "torch")
    return Caches(
        hub=Path(environment.get("HF_HUB_CACHE") or hub_home / "hub").expanduser(),
        torch_hub=torch_home.expanduser() / "hub" / "checkpoints",
        whisper=cache / "whisper",
    )


def find(
    model: Model,
    roots: Sequence[Path],
    *,
    precision: Precision = "half",
    caches: Caches | None = None,
) -> FoundFiles | MissingFiles:
    """Look for every file of a version of MuseTalk.

    roots: folders of models, most preferred first.
    precision: "half" takes a converted half-precision file before all others; "full" takes one
        only where nothing better is there.
    caches: download caches to look in as well; None for the user's.
    A file of the published size wins over one of another size, which is reported as a problem.
    """
    found: dict[Role, FoundFile] = {}
    missing: list[MissingFile] = []
    for network in networks_for(model):
        item = _find_role(network.role, model, roots, precision, caches or user_caches())
        extra = network.need == "extra"
        if isinstance(item, MissingFile):
            missing += [] if extra else [item]
        elif item.problem is None or not extra:
            found[network.role] = item
    required = tuple(item for item in missing if CATALOGUE[item.role].need == "required")
    if required:
        return MissingFiles(model, required, found, tuple(roots))
    return FoundFiles(model, found, tuple(missing))


def list_files(
    roots: Sequence[Path], *, models: Sequence[Model] = MODELS, caches: Caches | None = None
) -> list[FileStatus]:
    """Return one row for every role and, where they differ, every version; extras come last."""
    rows: list[FileStatus] = []
    for role, network in CATALOGUE.items():
        having: list[Model] = [model for model in models if published_for(role, model)]
        for model in having if network.by_model else having[:1]:
            item = _find_role(role, model, roots, "half", caches or user_caches())
            rows.append(_status(item, role, model))
    return rows


def files_to_download(
    model: Model, roots: Sequence[Path], *, caches: Caches | None = None
) -> list[PublishedFile]:
    """Return the files of a version of MuseTalk that are missing or wrong."""
    rows = list_files(roots, models=[model], caches=caches)
    return [row.wanted for row in rows if row.state != "present" and not row.is_extra]


def _find_role(
    role: Role, model: Model, roots: Sequence[Path], precision: Precision, caches: Caches
) -> FoundFile | MissingFile:
    looked = []
    doubtful = None
    for path, published, converted in _candidates(role, model, roots, precision, caches):
        looked.append(path)
        if not path.is_file():
            continue
        problem = size_problem(published, path.stat().st_size) if published else None
        item = FoundFile(role, path, published, converted, problem)
        if problem is None:
            return item
        doubtful = doubtful or item
    return doubtful or MissingFile(
        role, published_for(role, model)[0], tuple(dict.fromkeys(looked))
    )


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


def _matches(base: Path, place: str) -> list[Path]:
    if "*" not in place:
        return [Path(os.path.normpath(base / place))]
    # The latest of numbered files: longer numbers are higher.
    return sorted(base.glob(place), key=lambda path: (len(path.name), path.name), reverse=True)


def _in_places(published: PublishedFile, bases: Sequence[Path]) -> Iterator[Path]:
    for base in bases:
        for place in published.places:
            yield from _matches(base, place)


def _in_caches(published: PublishedFile, caches: Caches) -> Iterator[Path]:
    folder = caches.folder(published.cache)
    for source in published.sources:
        name = Path(source.path if isinstance(source, HubFile) else source.url).name
        if isinstance(source, HubFile) and caches.hub:
            repository = caches.hub / f"models--{source.repository.replace('/', '--')}"
            for snapshot in sorted(repository.glob("snapshots/*")):
                yield snapshot / source.path
        if folder is not None:
            yield folder / name


def _status(item: FoundFile | MissingFile, role: Role, model: Model) -> FileStatus:
    wanted = published_for(role, model)[0]
    only = model if len(wanted.models) < len(MODELS) else None
    if isinstance(item, MissingFile):
        return FileStatus(role, only, wanted, "missing", looked=item.looked)
    return FileStatus(
        role,
        only,
        wanted,
        "wrong" if item.problem else "present",
        published=item.published,
        path=item.path,
        found_size=item.path.stat().st_size,
        precision=item.precision,
        problem=item.problem,
    )
