"""AudioToMel: speech from a file or a connected AUDIO input, prepared for lip-sync."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import MediaError
from ..host.current import current_host
from ..musetalk.interfaces import LipSyncConfig
from ..options import options_of
from .missing_library import naming_missing_libraries
from .search_words import search_words
from .tensors import audio_clip, audio_dict, one_image
from .widgets import (
    AUDIO_EXTENSIONS,
    CATEGORY,
    VIDEO_EXTENSIONS,
    Values,
    file_names,
    find_file,
    fingerprint,
    is_filled,
    widget,
)

if TYPE_CHECKING:
    from ..host.contract import Host

log = logging.getLogger("avatarvideo.nodes.audio_to_mel")

HEIGHT = 240  # pixels of the spectrogram: three for each of the 80 bands
MAX_WIDTH = 1600
MIN_WIDTH = 64
SILENT_SAMPLES = frozenset({"talking_head.mp4"})


class AudioToMel:
    """Turns speech into the features the lip-sync node listens to."""

    CATEGORY = CATEGORY
    FUNCTION = "convert"
    RETURN_TYPES = ("MEL", "AUDIO", "IMAGE")
    RETURN_NAMES = ("mel", "audio", "spectrogram")
    OUTPUT_TOOLTIPS = (
        "The prepared speech, for MuseTalk Lip Sync.",
        "The audio at its original rate and channels, trimmed.",
        "The log-mel as a picture, low notes at the bottom.",
    )
    DESCRIPTION = "Prepares speech from a file or a linked AUDIO for lip sync."
    SEARCH_ALIASES = search_words("AudioToMel")

    @classmethod
    def INPUT_TYPES(cls) -> Values:
        files = file_names(current_host(), AUDIO_EXTENSIONS | VIDEO_EXTENSIONS, but=SILENT_SAMPLES)
        options = options_of(LipSyncConfig)
        tooltip = "An audio file, or a video with audio, from the input folder."
        return {
            "required": {
                "audio": (files, {"audio_upload": True, "tooltip": tooltip}),
                "start": widget(options["start"]),
                "duration": widget(options["duration"]),
            },
            "optional": {
                # ComfyUI's page cannot build a node with an audio upload but no player.
                "audioUI": ("AUDIO_UI", {}),
                "speech": (
                    "AUDIO",
                    {
                        "tooltip": "Speech from another node (AUDIO); it is used instead of the "
                        "file."
                    },
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, audio: str | None, speech: object = "not linked") -> bool | str:
        if audio is None or speech is None:  # what the host passes for an input that is linked
            return True
        try:
            path = _speech_file(current_host(), audio)
            from ..encoders.read.audio import check_has_sound

            check_has_sound(path)
        except MediaError as error:
            return str(error)
        except ImportError:
            pass  # the run says which library is missing
        return True

    @classmethod
    def IS_CHANGED(cls, audio: str, **_others: object) -> tuple[float, ...]:
        try:
            return fingerprint(current_host(), audio)
        except MediaError:  # linked speech needs no file
            return ()

    @naming_missing_libraries
    def convert(
        self,
        audio: str,
        start: float,
        duration: float,
        speech: Values | None = None,
        audioUI: object = None,
    ) -> tuple[object, ...] | Values:
        from ..musetalk.audio import prepare_mel
        from ..musetalk.inputs import as_seconds, load_speech

        host, linked = current_host(), audio_clip(speech)
        if linked is None:
            path = _speech_file(host, audio)
            mel = load_speech(path, start=start, duration=duration, check=host.check_cancelled)
        else:
            clip = linked.trimmed(as_seconds("start", start), as_seconds("duration", duration))
            mel = prepare_mel(clip, check=host.check_cancelled)
        heard = mel.log_mel[:, : max(1, mel.speech.size // 160)]  # without the padding
        result = mel, audio_dict(mel.clip), one_image(draw_spectrogram(heard))
        lack = mel.clip.lack
        if lack is None:
            return result
        log.info("%s", lack.note)
        return {"ui": {"text": [lack.note]}, "result": result}


def _speech_file(host: Host, audio: object) -> Path:
    if not is_filled(audio):
        raise MediaError(
            "Expected speech, got neither a file nor a link: link speech or choose a file."
        )
    return find_file(host, audio)


def draw_spectrogram(log_mel: np.ndarray) -> np.ndarray:
    """Return float32 (80, frames) as uint8 RGB (240, W, 3), low notes at the bottom."""
    import cv2

    span = float(np.ptp(log_mel))
    level = (log_mel - log_mel.min()) / (span or 1.0) * 255
    width = min(max(log_mel.shape[1] * 2, MIN_WIDTH), MAX_WIDTH)
    low_notes_last: np.ndarray = level[::-1].astype(np.uint8)
    grey = cv2.resize(low_notes_last, (width, HEIGHT), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
