"""Speech with exact phone times, by libespeak-ng through ctypes (apt-get install espeak-ng)."""

from __future__ import annotations

import ctypes
from ctypes.util import find_library
from functools import cache
from typing import NamedTuple

import av
import numpy as np

SAMPLE_RATE = 16000  # Hz, of what is returned
RETRIEVAL = 1  # AUDIO_OUTPUT_RETRIEVAL
IPA_EVENTS = 3  # espeakINITIALIZE_PHONEME_EVENTS | ..._PHONEME_IPA
PHONEME = 7  # espeakEVENT_PHONEME
# espeakRATE, words a minute; espeakPITCH and espeakRANGE, 0..100, 50 is usual
RATE_PARAMETER, PITCH_PARAMETER, RANGE_PARAMETER = 1, 3, 4
BURST_LEADS = 0.05  # s: a voiceless stop's event is its burst, the closure lies before it


class Phone(NamedTuple):
    """name: in IPA, "" in a pause; start, end: seconds."""

    name: str
    start: float
    end: float

    @property
    def held(self) -> tuple[float, float]:
        """Return when the mouth is at this sound's place, in seconds."""
        if self.name in ("p", "t", "k"):
            return self.start - BURST_LEADS, self.start + 0.02
        return self.start, self.end


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@cache
def _library() -> tuple[ctypes.CDLL, int]:
    library = ctypes.CDLL(find_library("espeak-ng") or "libespeak-ng.so.1")
    return library, library.espeak_Initialize(RETRIEVAL, 0, None, IPA_EVENTS)


def spoken(
    text: str, voice: str, *, words_per_minute: int = 175, pitch: int = 50, pitch_range: int = 50
) -> tuple[np.ndarray, list[Phone]]:
    """Return mono speech, float32 (N,), 16 kHz, and its phones."""
    library, rate = _library()
    parts: list[np.ndarray] = []
    marks: list[tuple[str, float]] = []

    def take(samples, count, events) -> int:
        if samples and count:
            parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type:
            if events[index].type == PHONEME:
                name = bytes(events[index].id.string).split(b"\0")[0].decode(errors="replace")
                marks.append((name, events[index].sample / rate))
            index += 1
        return 0

    callback = _Callback(take)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(voice.encode()):
        raise SystemExit(f"espeak-ng has no voice {voice}")
    for parameter, value in (
        (RATE_PARAMETER, words_per_minute),
        (PITCH_PARAMETER, pitch),
        (RANGE_PARAMETER, pitch_range),
    ):
        library.espeak_SetParameter(parameter, value, 0)
    data = text.encode()
    library.espeak_Synth(data, len(data) + 1, 0, 1, 0, 1, None, None)  # 1: position, UTF-8
    library.espeak_Synchronize()
    sound = np.concatenate(parts).astype(np.float32) / 32768
    ends = [start for _, start in marks[1:]] + [len(sound) / rate]
    phones = [Phone(name, start, end) for (name, start), end in zip(marks, ends, strict=True)]
    return _resampled(sound, rate), phones


def _resampled(sound: np.ndarray, rate: int) -> np.ndarray:
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
    frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
    frame.sample_rate = rate
    done = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([part.to_ndarray()[0] for part in done])
