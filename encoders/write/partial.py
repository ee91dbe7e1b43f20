"""A result whose source may end early: it is written under a name that says so until that is known.

So an older file under the name asked for stays where the end is missing.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from ...errors import EncodeError, SourceEndsEarlyError
from ..interfaces import EncodingConfig, EncodingResult
from ..read.audio import AudioTrack
from .audio_packets import AudioPackets
from .make_plan import checked_target
from .output_file import PendingFile, partial_path
from .plan import Extras
from .png_target import check_replaceable


def may_lack_sound(audio: AudioTrack | AudioPackets | None) -> bool:
    """Tell whether a file that audio comes from states more than it holds."""
    return audio is not None and any(end.may_lack for end in audio.ends)


def lacking_sound(audio: AudioTrack | AudioPackets | None) -> str:
    """Say what was missing of audio that was written, for ``concluded``; empty for nothing."""
    ends = () if audio is None else audio.ends
    return next((end.lack.expected for end in ends if end.lack is not None), "")


def working_target(output: Path, config: EncodingConfig, extras: Extras, container: str) -> Path:
    """Return the name to write under what may be a part. Raises EncodeError.

    container: of the result, which the name of a folder of pictures does not say.
    """
    part = partial_path(output)
    return checked_target(part, config, sources=extras.sources, container=container)[1]


def concluded(
    done: EncodingResult, output: Path, config: EncodingConfig, extras: Extras, lacks: str
) -> EncodingResult:
    """Give a result its name. Raises SourceEndsEarlyError where something is missing.

    lacks: what was expected and what is there; empty where the source was whole.
    """
    made = done.output_path or output
    wanted = partial_path(output) if lacks else output
    if made != wanted:
        _move(made, wanted, config, extras)
    if lacks:
        raise ends_early(lacks, wanted)
    return replace(done, output_path=output)


def ends_early(lacks: str, kept: Path) -> SourceEndsEarlyError:
    """Return the error of a result that lacks something. kept: where what there is was written."""
    return SourceEndsEarlyError(
        f"{lacks}: copy or download it again. What could be read was kept as {kept.name!r}.", kept
    )


def _move(made: Path, wanted: Path, config: EncodingConfig, extras: Extras) -> None:
    pending = PendingFile(wanted, overwrite=config.overwrite, sources=extras.sources)
    pending.temporary = made
    try:
        if made.is_dir():
            _move_folder(made, wanted)
        else:
            pending.place()
    except OSError as error:
        raise EncodeError(
            f"Could not rename the result to {wanted.name!r}, it is still {made.name!r}: "
            f"{error.strerror}."
        ) from error


def _move_folder(made: Path, wanted: Path) -> None:
    """Rename a folder of pictures, and the pictures in it, which have its name."""
    check_replaceable(wanted)
    for file in list(made.iterdir()):
        file.rename(file.with_name(wanted.name + file.name.removeprefix(made.name)))
    if wanted.is_dir():
        shutil.rmtree(wanted)
    made.rename(wanted)
