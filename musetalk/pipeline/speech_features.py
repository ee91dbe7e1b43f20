"""Speech to Whisper's hidden states, 30 s at a time, and the window of each video frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...media import AudioClip, Mel
from ..audio import (
    HOP,
    SAMPLE_RATE,
    SEGMENT_FEATURES,
    SEGMENT_FRAMES,
    WINDOW,
    audio_windows,
    feature_count,
    log_mel,
    log_mel_v1,
)
from ..interfaces import Model
from ..job import SPEECH_STEP
from ..networks.whisper import WhisperEncoder
from .spool import SpoolReader

STATES = 5  # of Whisper's encoder: its input and what its four blocks make


def segment_count(mel: Mel) -> int:
    """Return how many segments of 30 s the speech has."""
    return max(1, -(-mel.speech.size // (SEGMENT_FRAMES * HOP)))


def speech_segments(mel: Mel, model: Model) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the log-mel (80, 3000) of every 30 s and how many of its features are of the speech.

    MuseTalk 1.0 was trained with another reader: one floor for the whole recording, a last
    segment filled with zeros, an odd last mel frame dropped.
    """
    if model == "v1.0":
        cells = log_mel_v1(mel.speech)
        frames = max(2, mel.speech.size // HOP)
        for first in range(0, frames, SEGMENT_FRAMES):
            kept = min(SEGMENT_FRAMES, frames - first) // 2
            yield cells[:, first : first + SEGMENT_FRAMES], kept
        return
    length = max(1, feature_count(mel.speech.size))
    for index, first in enumerate(range(0, length, SEGMENT_FEATURES)):
        cells = mel.log_mel[:, index * SEGMENT_FRAMES : (index + 1) * SEGMENT_FRAMES]
        yield cells, min(SEGMENT_FEATURES, length - first)


def hidden_states(whisper: WhisperEncoder, cells: np.ndarray, kept: int, model: Model) -> Tensor:
    """Return float32 (kept, 5, width) on the CPU for one segment's log-mel (80, 3000)."""
    weight = next(whisper.parameters())
    segment = torch.as_tensor(np.ascontiguousarray(cells)).unsqueeze(0)
    states = whisper(segment.to(weight.device, weight.dtype), normalise_last=model != "v1.0")
    return states[0, :kept].float().cpu()


def silent_window(whisper: WhisperEncoder, model: Model) -> Tensor:
    """Return what a frame hears in the middle of 30 s of silence, float32 (50, width)."""
    speech = np.zeros(SEGMENT_FRAMES * HOP, np.float32)
    mel = Mel(log_mel(speech), speech, AudioClip(speech[None], SAMPLE_RATE))
    cells, kept = next(speech_segments(mel, model))
    middle = np.array([SEGMENT_FEATURES // 2])
    return audio_windows(hidden_states(whisper, cells, kept, model), middle)[0]


@dataclass(frozen=True)
class FeatureStore:
    """Where the features of the whole speech lie in the spool: float32 (length, 5, width)."""

    place: int
    length: int
    width: int
    repeat_edges: bool
    silence: Tensor | None = None  # (50, width), a window of silence, where a mouth rests

    def windows(self, reader: SpoolReader, starts: np.ndarray) -> Tensor:
        """Return the windows that begin at ``starts``, int64 (B,): (B, 50, width).

        Only the features in them are read.
        """
        first = min(max(int(starts.min()), 0), self.length - 1)
        last = min(max(int(starts.max()) + WINDOW, first + 1), self.length)
        row = STATES * self.width * 4
        shape = (last - first, STATES, self.width)
        part = reader.read(self.place + first * row, shape, np.float32)
        return audio_windows(torch.as_tensor(part), starts - first, repeat_edges=self.repeat_edges)

    def faded(self, windows: Tensor, weight: np.ndarray) -> Tensor:
        """Return windows (B, 50, width) with their share, float32 (B,); the rest is silence."""
        assert self.silence is not None
        return torch.lerp(self.silence, windows, torch.as_tensor(weight)[:, None, None])


@dataclass(frozen=True)
class SeveralFeatures:
    """The features of several speeches, whose windows begin SPEECH_STEP apart."""

    stores: tuple[FeatureStore, ...]

    def windows(self, reader: SpoolReader, starts: np.ndarray) -> Tensor:
        """Return the windows that begin at ``starts``, int64 (B,), each in its own speech."""
        whose = (starts + SPEECH_STEP // 2) // SPEECH_STEP
        made = torch.empty((len(starts), WINDOW * STATES, self.stores[0].width))
        for number, store in enumerate(self.stores):
            chosen = np.flatnonzero(whose == number)
            if not chosen.size:
                continue
            own = starts[chosen] - number * SPEECH_STEP
            made[torch.as_tensor(chosen)] = store.windows(reader, own)
        return made

    def faded(self, windows: Tensor, weight: np.ndarray) -> Tensor:
        """As a single speech's: silence is the same in all of them."""
        return self.stores[0].faded(windows, weight)
