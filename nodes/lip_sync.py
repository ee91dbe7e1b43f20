"""MuseTalkLipSync: an avatar and speech in, the avatar speaking out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MediaError
from ..host.current import current_host
from ..media import Avatar, Clip, Mel
from ..musetalk.interfaces import LipSyncConfig, LipSyncEngineInterface, LipSyncRun
from ..options import options_of
from .missing_library import naming_missing_libraries
from .search_words import search_words
from .speakers import speaker_inputs, track_files, unused_faces, with_speakers
from .tensors import audio_dict, image_tensor, mask_array, mask_tensor
from .widgets import CATEGORY, Values, is_link, rate_widget, widget

if TYPE_CHECKING:
    from torch import Tensor

    from ..host.contract import Progress
    from .streaming_video import StreamingVideo

IMAGES_LIMIT = 1 << 30  # bytes of IMAGE that "auto" makes

# Widgets of LoadAvatar and AudioToMel, what a socket brings, and what inputs in speakers.py make.
_ELSEWHERE = {"mouth", "face_index", "start", "duration", "upscale_model", "channel", "speakers"}
# Prompts saved before do not hold them: they are optional inputs.
LATER_WIDGETS = ("silence", "steadiness", "landmarks", "life", "face")
_MASK = "Where the picture may change; if nothing is linked, the mouth region is detected."
_SHARP = (
    "An upscaling or face restoration model, from Load Upscale Model: sharpens the mouth where the "
    "face is larger than MuseTalk's 256 pixels."
)


class MuseTalkLipSync:
    """Makes the avatar speak."""

    CATEGORY = CATEGORY
    FUNCTION = "speak"
    RETURN_TYPES = ("IMAGE", "VIDEO", "AUDIO", "STRING", "MASK")
    RETURN_NAMES = ("images", "video", "audio", "report", "mask")
    OUTPUT_TOOLTIPS = (
        "All frames as one tensor: only for short clips.",
        "The speaking avatar, generated frame by frame as it is read, so it can have any length.",
        "The speech, unchanged.",
        "What was done, as JSON: the mode and why, frames, timings, memory.",
        "Where the first frame may differ from the avatar.",
    )
    DESCRIPTION = "Makes the avatar's lips follow the speech, and says which mode it used."
    SEARCH_ALIASES = search_words("MuseTalkLipSync")
    HAS_INTERMEDIATE_OUTPUT = True  # the page hears what it shows also when it is cached

    def __init__(self) -> None:
        current_host().keep_while(self)

    @classmethod
    def INPUT_TYPES(cls) -> Values:
        options = options_of(LipSyncConfig)  # in an order that saved workflows rely on
        widgets = {name: widget(options[name]) for name in options if name not in _ELSEWHERE}
        widgets["fps"] = rate_widget(options["fps"])
        later = {name: widgets.pop(name) for name in LATER_WIDGETS}
        sockets = {
            "avatar": ("AVATAR,IMAGE,VIDEO", {"tooltip": "Who speaks: an avatar, IMAGE or VIDEO."}),
            "mel": ("MEL", {"tooltip": "The speech, from Audio to Mel."}),
        }
        mask = ("MASK", {"tooltip": _MASK})
        upscale_model = ("UPSCALE_MODEL", {"tooltip": _SHARP})
        return {
            "required": {**sockets, **widgets},
            "optional": {"mask": mask}
            | later
            | {"upscale_model": upscale_model}
            | speaker_inputs(),
            "hidden": {"prompt": "PROMPT", "unique_id": "UNIQUE_ID"},
        }

    @classmethod
    def IS_CHANGED(
        cls, images_output: str | None = None, unique_id: str | None = None, **others: object
    ) -> object:
        """Say what "linked" found, so that a link made later is not answered from the cache."""
        asked = images_output in (None, "linked")
        linked = asked and _is_linked(current_host().running_prompt(), unique_id, 0)
        tracks = track_files(others)
        return (linked, tracks) if tracks else linked

    @naming_missing_libraries
    def speak(
        self,
        avatar: object,
        mel: object,
        mask: Tensor | None = None,
        upscale_model: object = None,
        prompt: Values | None = None,
        unique_id: str | None = None,
        **options: Any,  # Any: each option has its own type
    ) -> Values:
        from ..musetalk.engine import MuseTalkLipSync as Engine

        if not isinstance(mel, Mel):
            raise MediaError(f"Expected a MEL, got {type(mel).__name__}: link Audio to Mel.")
        config = _config(with_speakers(options, mel))
        person = _as_avatar(avatar)
        engine: LipSyncEngineInterface = Engine()
        count, _ = engine.length(person, mel, config)
        linked = _is_linked(prompt, unique_id, 0)
        reason = _why_no_images(person, count, config, linked=linked)
        if reason and linked and config.images_output in ("auto", "linked"):
            raise MediaError(reason)
        shape = mask_array(mask, height=person.height, width=person.width)
        run = engine.run(person, mel, config, mask=shape, upscale_model=upscale_model)
        notes = unused_faces(options, mel)
        run.report["notes"] += notes
        video = _video(run)  # first: it releases what the frames are made from, also on a cancel
        images = current_host().blocked(reason) if reason else _images(run)
        report = json.dumps(run.report, indent=2)
        result = (images, video, audio_dict(run.clip), report, mask_tensor(run.mask))
        texts = [f"{run.mode}: {run.report['reason']}"]
        texts += notes if mel.clip.lack is None else [*notes, mel.clip.lack.note]
        return {"ui": {"text": texts}, "result": result}


def _config(options: Values) -> LipSyncConfig:
    try:
        return LipSyncConfig(**options)
    except ValueError as error:
        raise MediaError(str(error)) from error


def _as_avatar(value: object) -> Avatar:
    from .video_input import open_clip

    if isinstance(value, Avatar):
        return value
    return Avatar.of(open_clip(value, temp_directory=current_host().temp_directory))


def _why_no_images(avatar: Avatar, count: int, config: LipSyncConfig, *, linked: bool) -> str:
    size = count * avatar.width * avatar.height * 3 * 4
    limits = {"always": math.inf, "auto": IMAGES_LIMIT, "linked": IMAGES_LIMIT if linked else -1}
    limit = limits.get(config.images_output, -1)
    if size <= limit:
        return ""
    return (
        f"The images output of {count} frames of {avatar.width}x{avatar.height} would take "
        f"{size / (1 << 30):.1f} GiB, and images output is {config.images_output}: use the video "
        "output (with Get Video Components if you need frames) or set images output to "
        '"always".'
    )


def _is_linked(prompt: Mapping[str, Any] | None, node_id: str | None, output: int) -> bool:
    nodes = (prompt or {}).values()
    links = (value for node in nodes for value in node.get("inputs", {}).values() if is_link(value))
    return any((str(link[0]), link[1]) == (str(node_id), output) for link in links)


def _images(run: LipSyncRun) -> Tensor:
    def frames(bar: Progress) -> Iterator[np.ndarray]:
        for done, frame in enumerate(run.open_frames(), start=1):
            bar.update(done, preview=frame)
            yield frame

    with current_host().progress(run.frame_count, "Filling the images output") as bar:
        return image_tensor(frames(bar), count=run.frame_count, height=run.height, width=run.width)


def _video(run: LipSyncRun) -> StreamingVideo:
    from .streaming_video import StreamingVideo

    host = current_host()
    host.register_video(StreamingVideo)

    def open_frames(start: int) -> Iterator[np.ndarray]:
        frames = run.open_frames()
        for _ in range(start):
            next(frames, None)
        return frames

    clip = Clip(
        open_frames=open_frames,
        width=run.width,
        height=run.height,
        frame_rate=run.frame_rate,
        frame_count=run.frame_count,
        read_audio=lambda: run.clip,
        name="avatar",
        tags=run.metadata(),
        sources=run.sources,
        release=run.release,
    )
    return StreamingVideo(clip, host)
