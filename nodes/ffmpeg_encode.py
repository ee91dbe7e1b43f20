"""FFmpegEncode: frames or a video, and audio, in; one finished file out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import EncodeError, MediaError
from ..host.current import current_host
from ..host.environment import allowed_output_directories
from .live_picture import LivePicture
from .missing_library import naming_missing_libraries
from .search_words import search_words
from .shown_results import shown
from .tensors import audio_clip
from .widgets import CATEGORY, Values, files_behind, find_file, fingerprint, is_filled, videos_in

if TYPE_CHECKING:
    from .encode_video import WrittenVideo

NOT_GIVEN = object()  # a linked input is None
logger = logging.getLogger("avatarvideo.nodes.ffmpeg_encode")


class FFmpegEncode:
    """Encodes frames or a video with audio into one finished file of the output folder."""

    CATEGORY = CATEGORY
    FUNCTION = "encode"
    OUTPUT_NODE = True
    RETURN_TYPES = ("VIDEO", "STRING")
    RETURN_NAMES = ("video", "path")
    OUTPUT_IS_LIST = (True, True)  # a folder of inputs gives one of each for every file
    OUTPUT_TOOLTIPS = ("The finished video.", "The path of the finished file.")
    DESCRIPTION = "Saves the video with its audio, and shows it."
    SEARCH_ALIASES = search_words("FFmpegEncode")

    @classmethod
    def INPUT_TYPES(cls) -> Values:
        # Not at ComfyUI's start: it reads the codecs.
        from .encode_widgets import LATER_WIDGETS, encode_widgets

        return {
            "required": encode_widgets(current_host().formats_directory),
            "optional": {
                "images": ("IMAGE", {"tooltip": "Frames to encode."}),
                "video": ("VIDEO", {"tooltip": "A video to encode, with its audio."}),
                "audio": ("AUDIO", {"tooltip": "Audio that replaces the video's own."}),
                **LATER_WIDGETS,
            },
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    # The host leaves what is named here to us, and says our sentence once for each name.
    @classmethod
    def VALIDATE_INPUTS(  # noqa: PLR0913 - the host gives nothing that is not named
        cls,
        codec: object = "auto",
        container: object = "auto",
        audio_codec: object = "auto",
        filename_prefix: object = "avatar",
        format: object = "none",
        crf: object = -1,
        bit_depth: object = 8,
        backend: object = "built-in",
        length: object = "keep",
        images: object = NOT_GIVEN,
        video: object = NOT_GIVEN,
        path: object = "",
    ) -> bool | str:
        from .encode_checks import problem_before_running

        values = {
            "codec": codec,
            "container": container,
            "audio_codec": audio_codec,
            "filename_prefix": filename_prefix,
            "format": format,
            "crf": crf,
            "bit_depth": bit_depth,
            "backend": backend,
            "length": length,
        }
        sources = {"images": images, "video": video, "path": path}
        given = {name: value for name, value in sources.items() if value is not NOT_GIVEN}
        return problem_before_running(current_host(), values, given) or True

    @classmethod
    def IS_CHANGED(cls, path: str | None = None, **_rest: object) -> object:
        return fingerprint(current_host(), path) if is_filled(path) else ""

    @naming_missing_libraries
    def encode(
        self,
        images: object = None,
        video: object = None,
        audio: Values | None = None,
        prompt: Values | None = None,
        extra_pnginfo: Values | None = None,
        **options: Any,  # Any: each option has its own type
    ) -> Values:
        host = current_host()
        keeps = options["save_metadata"] and host.saves_metadata
        kept: Values | None = {"prompt": prompt, **(extra_pnginfo or {})} if keeps else None
        made: list[WrittenVideo] = []
        notes: list[str] = []
        videos = _videos(images, video, options["path"])
        sources = files_behind(host, prompt or {}, "FFmpegEncode") if options["overwrite"] else []
        sources += [one for one in videos if isinstance(one, Path)]
        for one in videos:
            try:
                made.append(_write(one, options, audio, kept, sources, [w.path for w in made]))
            except (MediaError, EncodeError) as error:
                if len(videos) == 1:
                    raise
                name = one.name if isinstance(one, Path) else one
                notes.append(f"{name} was left out: {error}")  # the folder's others go on
                logger.warning("%s", notes[-1])
        if not made:
            raise MediaError(" ".join(notes))
        paths = [str(written.path) for written in made]
        result = (list(map(host.video_class(), paths)), paths)
        return {"ui": shown(made, notes, host, saved=_is_saved(options)), "result": result}


def _is_saved(options: Values) -> bool:
    return options.get("save_output", True)


def _videos(images: object, video: object, path: str) -> Sequence[object]:
    if (images is None) != (video is None):
        return [video if images is None else images]
    if images is not None or not is_filled(path):
        from .encode_video import ONE_SOURCE

        raise MediaError(ONE_SOURCE)
    found = find_file(current_host(), path)
    return videos_in(found) if found.is_dir() else [found]


def _write(
    one: object,
    options: Values,
    audio: Values | None,
    kept: Values | None,
    sources: list[Path],
    earlier: list[Path],
) -> WrittenVideo:
    """Write one video; ``earlier``: results of the same call, which stay."""
    from ..encoders.write.output_names import reserved_file
    from ..encoders.write.plan import Extras
    from .encode_video import container_of, file_tags, source_of, write_video
    from .encode_widgets import encoding_config

    host = current_host()
    config = encoding_config(options, host.formats_directory)
    source = source_of(one, config, temp_directory=host.temp_directory)
    source = replace(source, sources=(*source.sources, *sources))
    tags = file_tags(source, kept, generated=options["mark_generated"])
    prefix, saved = options["filename_prefix"], _is_saved(options)
    if not saved and Path(prefix).is_absolute():
        prefix = Path(prefix).name  # nothing is written where results are kept
    reserved = partial(
        reserved_file,
        host.output_directory if saved else host.temp_directory,
        prefix,
        container_of(source, config),
        values={"name": source.name, "width": source.width, "height": source.height},
        allowed=allowed_output_directories(),
    )
    with reserved(overwrite=True) as path:
        overwrite = options["overwrite"] and not {path, path.with_suffix("")} & set(earlier)
    with (
        reserved(overwrite=overwrite) as path,
        host.progress(source.frame_count, "Encoding") as bar,
    ):
        live = LivePicture(bar)
        written = write_video(
            source,
            path,
            config,
            audio=audio_clip(audio),
            mix=options["mix_audio"],
            extras=Extras(tags, on_frame=live.update, on_picture=live.see),
        )
    for note in written.notes:
        logger.info("%s: %s", written.path.name, note)
    return written
