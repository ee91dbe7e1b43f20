"""Audio on its way to an encoder: finite, resampled, mixed, in blocks of any length."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np

from ...errors import EncodeError
from ...media import AudioClip
from ..channel_layouts import LAYOUTS
from ..read.audio import AudioTrack
from ..read.audio_arrays import finite, frame_of, samples_of
from ..read.cut_sound import SoundEnd

AUDIO_BLOCK = 1 << 14  # samples in one block


def track_of(clip: AudioClip) -> AudioTrack:
    """Return a clip as blocks."""
    end, bits = SoundEnd(may_lack=clip.lack is not None), exact_bits(clip.samples)
    rate, channels = clip.sample_rate, clip.samples.shape[0]
    return AudioTrack(rate, channels, _blocks_of(clip, end), bits, ends=(end,))


def _blocks_of(clip: AudioClip, end: SoundEnd) -> Iterator[np.ndarray]:
    for start in range(0, clip.samples.shape[1], AUDIO_BLOCK):
        yield clip.samples[:, start : start + AUDIO_BLOCK]
    end.lack = clip.lack


def exact_bits(samples: np.ndarray) -> int:
    """Return 16 when every sample is a 16-bit one, else 24."""
    for start in range(0, samples.shape[1], AUDIO_BLOCK):
        scaled = samples[:, start : start + AUDIO_BLOCK] * np.float32(32768)
        if not np.array_equal(np.rint(scaled), scaled) or (np.abs(scaled) > 32768).any():
            return 24
    return 16


def converted(track: AudioTrack, rate: int, channels: int) -> AudioTrack:
    """Return a track at another rate and with other channels, of the same length to a sample."""
    # One NaN makes the AAC encoder fail, and is full-scale noise in a FLAC file.
    track = replace(track, blocks=map(finite, track.blocks))
    if (rate, channels) == (track.sample_rate, track.channels):
        return track
    for count in (channels, track.channels):
        if count not in LAYOUTS:
            raise EncodeError(f"Expected 1 to 8 channels to mix, got {count}: convert them first.")
    return AudioTrack(rate, channels, _resampled(track, rate, channels), 24)


def _resampled(track: AudioTrack, rate: int, channels: int) -> Iterator[np.ndarray]:
    resampler = av.AudioResampler("fltp", LAYOUTS[channels], rate)
    layout = LAYOUTS[track.channels]
    taken = given = 0
    for block in track.blocks:
        frame = frame_of(block, form="fltp", layout=layout, rate=track.sample_rate)
        frame.pts = taken
        frame.time_base = Fraction(1, track.sample_rate)
        taken += block.shape[1]
        for out in resampler.resample(frame):
            given += out.samples
            yield samples_of(out)
    wanted = round(Fraction(taken * rate, track.sample_rate))
    for out in resampler.resample(None) if taken else []:
        tail = samples_of(out)[:, : max(0, wanted - given)]
        given += tail.shape[1]
        if tail.shape[1]:
            yield tail
    if given < wanted:
        yield np.zeros((channels, wanted - given), np.float32)


class SampleQueue:
    """A track's samples in blocks of any length; holds about one block ahead."""

    def __init__(self, track: AudioTrack) -> None:
        self.taken = 0
        self._blocks = iter(track.blocks)
        self._ready: deque[np.ndarray] = deque()
        self._held = 0

    def reaches(self, position: int) -> bool:
        """Tell whether there is audio after that many samples from its start."""
        while self.taken + self._held <= position:
            block = next(self._blocks, None)
            if block is None:
                return False
            self._ready.append(block)
            self._held += block.shape[1]
        return True

    def take(self, count: int) -> np.ndarray | None:
        """Return up to ``count`` samples (channels, n), at most one block's; None at the end."""
        if count < 1 or not self.reaches(self.taken):
            return None
        block = self._ready.popleft()
        if block.shape[1] > count:
            self._ready.appendleft(block[:, count:])
            block = block[:, :count]
        self._held -= block.shape[1]
        self.taken += block.shape[1]
        return block


def mixed(first: AudioTrack, second: AudioTrack) -> AudioTrack:
    """Return two tracks added up, clipped to -1..1, at the higher rate, with the more channels."""
    rate = max(first.sample_rate, second.sample_rate)
    channels = max(first.channels, second.channels)
    queues = [SampleQueue(converted(track, rate, channels)) for track in (first, second)]
    ends = (*first.ends, *second.ends)
    return AudioTrack(rate, channels, _summed(queues, channels), 24, ends=ends)


def _summed(queues: list[SampleQueue], channels: int) -> Iterator[np.ndarray]:
    while True:
        parts = [_exactly(queue, AUDIO_BLOCK, channels) for queue in queues]
        longest = max(part.shape[1] for part in parts)
        if not longest:
            return
        total = np.zeros((channels, longest), np.float32)
        for part in parts:
            total[:, : part.shape[1]] += part
        yield np.clip(total, -1, 1)


def _exactly(queue: SampleQueue, count: int, channels: int) -> np.ndarray:
    """Return ``count`` samples, fewer only at the end."""
    parts = [np.zeros((channels, 0), np.float32)]
    while count > 0 and (part := queue.take(count)) is not None:
        parts.append(part)
        count -= part.shape[1]
    return np.concatenate(parts, axis=1)
