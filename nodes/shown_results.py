"""What the page shows of finished files: players and pictures, paths, notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .widgets import Values

if TYPE_CHECKING:
    from ..host.contract import Folders
    from .encode_video import WrittenVideo


def shown(made: list[WrittenVideo], notes: list[str], host: Folders, *, saved: bool) -> Values:
    """Return what the page shows: files in the host's folder, paths of others, and notes."""
    folder = (host.output_directory if saved else host.temp_directory).resolve()
    kind = "output" if saved else "temp"
    entries: list[dict[str, str]] = []
    texts = [*notes, *(note for written in made for note in written.notes)]
    for path in (written.path for written in made):
        parent = path.parent.resolve()
        can_be_shown = not path.is_dir() and parent.is_relative_to(folder)
        if not saved:
            texts.append(
                f"Not saved: {path} lies in the temp folder, which ComfyUI empties when it starts."
            )
        elif not can_be_shown:
            texts.append(str(path))
        if can_be_shown:
            subfolder = parent.relative_to(folder).as_posix()
            place = "" if subfolder == "." else subfolder
            entries.append({"filename": path.name, "subfolder": place, "type": kind})
    told: Values = {"images": entries} if entries else {}
    # What is animated becomes a video player in the page, but for WebP; no player shows GIF.
    if entries and not any(entry["filename"].endswith(".gif") for entry in entries):
        told["animated"] = (True,)
    return told | ({"text": texts} if texts else {})
