"""VideoInfo: what is in a video."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import MediaError
from ..host.current import current_host
from ..media import Clip
from .missing_library import naming_missing_libraries
from .search_words import search_words
from .widgets import CATEGORY, Values, find_file, fingerprint, is_filled, own_widget

# Optional, so that prompts saved without it still run.
LATER_WIDGETS: Values = {
    "score": own_widget(
        False, "Measure how well mouth and sound match, with the face mesh; this reads every frame."
    )
}


class VideoInfo:
    """Shows and returns what is known of a video."""

    CATEGORY = CATEGORY
    FUNCTION = "inspect"
    OUTPUT_NODE = True
    RETURN_TYPES = ("FLOAT", "INT", "FLOAT", "INT", "INT", "STRING")
    RETURN_NAMES = ("fps", "frame_count", "duration", "width", "height", "info")
    OUTPUT_TOOLTIPS = (
        "Frames per second.",
        "Number of frames.",
        "Length in seconds.",
        "Width in pixels.",
        "Height in pixels.",
        "Everything that is known, as JSON.",
    )
    DESCRIPTION = "Shows a video's frame rate, size, length, codecs, colours, audio and more."
    SEARCH_ALIASES = search_words("VideoInfo")

    @classmethod
    def INPUT_TYPES(cls) -> Values:
        return {
            "required": {
                "path": own_widget(
                    "",
                    "A video file in the input folder, or an absolute path; used when no video is "
                    "linked.",
                ),
                "exact_count": own_widget(False, "Read the whole file and count its frames."),
                "measure_loudness": own_widget(
                    False, "Measure the loudness of the audio in LUFS, which reads all of it."
                ),
            },
            "optional": {
                "video": ("VIDEO", {"tooltip": "The video to inspect."}),
                **LATER_WIDGETS,
            },
        }

    @classmethod
    def IS_CHANGED(cls, path: str | None = None, **_rest: object) -> object:
        return fingerprint(current_host(), path) if is_filled(path) else ""

    @naming_missing_libraries
    def inspect(
        self,
        path: str,
        exact_count: bool,
        measure_loudness: bool,
        video: object = None,
        score: bool = False,
    ) -> Values:
        from ..encoders.read.clip_info import clip_info
        from ..encoders.read.probe import probe, table

        file = _source_of(video, path)
        if isinstance(file, Clip):
            found = clip_info(file, measure_loudness=measure_loudness)
        else:
            found = probe(file, exact_count=exact_count, measure_loudness=measure_loudness)
        values, text = found.as_dict(), table(found)
        if score:
            scored, lines = _scored(file)
            values, text = values | {"score": scored}, f"{text}\n{lines}"
        order = ("fps", "frame_count", "duration_seconds", "width", "height")
        result = (*(values[name] for name in order), json.dumps(values, indent=2))
        return {"ui": {"text": [text]}, "result": result}


def _scored(file: Path | Clip) -> tuple[dict[str, object], str]:
    """Return the score of a video as values and as lines of text."""
    from ..musetalk.score.score import score_clip, score_video
    from ..musetalk.score.table import table

    host = current_host()
    found = score_clip(file, host=host) if isinstance(file, Clip) else score_video(file, host=host)
    return found.as_dict(), table(found)


def _source_of(video: object, path: str) -> Path | Clip:
    from .streaming_video import StreamingVideo
    from .video_input import open_video

    host = current_host()
    if video is None:
        if not is_filled(path):
            raise MediaError("Expected a video: link one, or enter the path of a file.")
        return find_file(host, path)
    if isinstance(video, StreamingVideo):
        return video.materialised()
    taken = open_video(video, temp_directory=host.temp_directory)
    return taken if taken.path is None else taken.path
