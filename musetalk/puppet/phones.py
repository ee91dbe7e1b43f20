"""Phones with times, heard by the optional package pocketsphinx, which ships its model."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import NamedTuple, Protocol

import numpy as np

from ..voice.levels import SAMPLE_RATE

log = logging.getLogger("avatarvideo.musetalk.puppet.phones")

FRAMES_PER_SECOND = 100  # of the recogniser's times
CHUNK_SECONDS = 20.0  # recognised at a time: the search keeps all of it in memory
QUIET_SECONDS = 5.0  # at the end of a chunk: it is cut in the quietest place of them
QUIET_WINDOW = SAMPLE_RATE // 20  # samples: 50 ms
MODEL = "en-us/en-us"
PHONE_MODEL = "en-us/en-us-phone.lm.bin"


class Phone(NamedTuple):
    """name: in ARPABET without stress, "SIL" in a pause; start, end: seconds."""

    name: str
    start: float
    end: float


class _Segment(Protocol):
    word: str
    start_frame: int
    end_frame: int


class _Decoder(Protocol):
    def start_utt(self) -> None: ...
    def process_raw(self, data: bytes, no_search: bool, full_utt: bool) -> object: ...
    def end_utt(self) -> None: ...
    def seg(self) -> list[_Segment] | None: ...


def can_hear_phones() -> bool:
    """Return whether pocketsphinx is installed; nothing of it is imported."""
    return find_spec("pocketsphinx") is not None


def phones_heard(
    speech: np.ndarray, *, on_seconds: Callable[[float], None] = lambda done: None
) -> list[Phone] | None:
    """Return the phones of mono speech, float32 (N,), 16 kHz; None without pocketsphinx.

    Memory does not follow the length. ``on_seconds`` is called after every chunk with the
    seconds heard so far, and may raise to stop.
    """
    chunks = phones_in_chunks(speech)
    if chunks is None:
        return None
    phones: list[Phone] = []
    for heard, seconds in chunks:
        phones += heard
        on_seconds(seconds)
    return phones


def phones_in_chunks(speech: np.ndarray) -> Iterator[tuple[list[Phone], float]] | None:
    """Return what yields the phones of each chunk, heard when asked for, and the chunk's end.

    speech: as in ``phones_heard``; None without pocketsphinx. The last end is the speech's own.
    """
    if not can_hear_phones():
        return None
    try:
        decoder = _decoder()
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        log.warning(
            "Expected pocketsphinx to import, but %s: the mouth follows the sound alone.", error
        )
        return None
    return _chunks(decoder, speech)


def _chunks(decoder: _Decoder, speech: np.ndarray) -> Iterator[tuple[list[Phone], float]]:
    start = 0
    while start < len(speech):
        stop = _chunk_end(speech, start)
        yield _phones_of(decoder, speech[start:stop], start / SAMPLE_RATE), stop / SAMPLE_RATE
        start = stop


def _decoder() -> _Decoder:
    package = importlib.import_module("pocketsphinx")
    return package.Decoder(
        hmm=package.get_model_path(MODEL),
        allphone=package.get_model_path(PHONE_MODEL),
        lm=None,
        dict=None,
        lw=2.0,
        beam=1e-20,
        pbeam=1e-20,
        loglevel="FATAL",  # what it cannot hear is no error
    )


def _chunk_end(speech: np.ndarray, start: int) -> int:
    stop = start + round(CHUNK_SECONDS * SAMPLE_RATE)
    if stop >= len(speech):
        return len(speech)
    first = stop - round(QUIET_SECONDS * SAMPLE_RATE)
    energy = (speech[first:stop].reshape(-1, QUIET_WINDOW) ** 2).sum(axis=1)
    return first + int(energy.argmin()) * QUIET_WINDOW + QUIET_WINDOW // 2


def _phones_of(decoder: _Decoder, speech: np.ndarray, start: float) -> list[Phone]:
    pcm = (np.clip(speech, -1, 1) * 32767).astype("<i2").tobytes()
    decoder.start_utt()
    decoder.process_raw(pcm, False, True)
    decoder.end_utt()
    return [
        Phone(
            segment.word,
            start + segment.start_frame / FRAMES_PER_SECOND,
            start + (segment.end_frame + 1) / FRAMES_PER_SECOND,
        )
        for segment in decoder.seg() or ()
    ]
