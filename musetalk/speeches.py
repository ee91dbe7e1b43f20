"""The speeches of a run with several speakers, whose face each moves, and the sound of them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..encoders.write.audio_track import converted, track_of
from ..errors import MediaError
from ..media import AudioClip, Avatar, LipCorners, Mel
from .audio import prepare_mel
from .face.wish import FaceWish, parse_wish
from .inputs import load_speech
from .interfaces import LipSyncConfig, named_files
from .speaker import Speaker

LIMIT_BLOCK = Fraction(1, 200)  # seconds: the mix is turned down block by block
PART = 1 << 18  # samples that are turned down at a time
LIMIT_REACH = 20  # blocks before and after a peak in which it is turned down


@dataclass(frozen=True, eq=False)
class Speech:
    """mel: of one speaker, its clip whole and untouched. wish: whose face it moves."""

    mel: Mel
    wish: FaceWish


def loaded(options: LipSyncConfig, check: Callable[[], None] = lambda: None) -> LipSyncConfig:
    """Return the options with the speakers' files read. Raises MediaError."""

    def read(one: Speaker) -> Speaker:
        if isinstance(one.audio, Mel) or not str(one.audio).strip():
            return one
        start, duration = options.start, options.duration
        mel = load_speech(Path(one.audio), start=start, duration=duration, check=check)
        return replace(one, audio=mel)

    return replace(options, speakers=tuple(map(read, options.speakers)))


def files_of(options: LipSyncConfig) -> list[Path]:
    """Return the files that the options name, which no result may replace."""
    return [Path(name) for _, name in named_files(options)]


def speeches_of(
    mel: Mel,
    options: LipSyncConfig,
    avatar: Avatar,
    corners: LipCorners | None,
    check: Callable[[], None] = lambda: None,
) -> tuple[Speech, ...]:
    """Return all speeches, the run's own first; empty where one face is meant by its size alone.

    corners: of the lips, as far as the user gave them: they are the first speaker's.
    """
    first = parse_wish(options.face, index=avatar.face_index)
    if not options.face.strip() and corners is not None:
        x, y = (corners.x0 + corners.x1) / 2, (corners.y0 + corners.y1) / 2
        first = FaceWish("mouth", point=(x, y))
    elif not options.face.strip() and avatar.face_point is not None:
        x, y = avatar.face_point
        first = FaceWish(f"{x:g},{y:g}", point=(x, y))
    if not options.speakers and is_by_size(options):
        return ()
    taken = {first.index} if first.point is None and first.track is None else set[int]()
    found = [Speech(_of_channel(mel, options.channel, check), first)]
    for one in options.speakers:
        index = next(number for number in range(len(taken) + 1) if number not in taken)
        is_open = not str(one.face).strip()
        wish = replace(parse_wish(str(one.face), index=index), is_open=is_open)
        if wish.point is None and wish.track is None and not wish.from_left:
            taken.add(wish.index)
        own = one.audio if isinstance(one.audio, Mel) else mel
        found.append(Speech(_of_channel(own, one.channel, check), wish))
    return tuple(found)


def is_by_size(options: LipSyncConfig) -> bool:
    """Say whether the option ``face`` means what ``face_index`` can say too."""
    wish = parse_wish(options.face)
    return wish.point is None and wish.track is None and not wish.from_left


def of_channel(mel: Mel, options: LipSyncConfig, check: Callable[[], None] = lambda: None) -> Mel:
    """Return the run's own speech, of the channel that was asked for."""
    return _of_channel(mel, options.channel, check)


def _of_channel(mel: Mel, channel: int, check: Callable[[], None]) -> Mel:
    if not channel:
        return mel
    samples = mel.clip.samples
    if channel > len(samples):
        raise MediaError(
            f"Expected speech with a channel {channel}, but it has only {len(samples)}: choose "
            "another channel or audio."
        )
    alone = replace(mel.clip, samples=samples[channel - 1 : channel])
    return replace(prepare_mel(alone, check=check), clip=mel.clip)


def clips_of(mel: Mel, options: LipSyncConfig) -> list[AudioClip]:
    """Return what is heard, each recording once, whoever speaks its channels."""
    clips = [mel.clip]
    for one in options.speakers:
        if isinstance(one.audio, Mel) and not any(_same(one.audio.clip, each) for each in clips):
            clips.append(one.audio.clip)
    return clips


def _same(one: AudioClip, other: AudioClip) -> bool:
    return one.sample_rate == other.sample_rate and np.array_equal(one.samples, other.samples)


def sound_length(clips: Sequence[AudioClip]) -> tuple[int, int]:
    """Return samples and sample rate of the mix."""
    rate = max(clip.sample_rate for clip in clips)
    return max(round(clip.duration * rate) for clip in clips), rate


def mixed(clips: Sequence[AudioClip]) -> AudioClip:
    """Return the sum of some clips, each at its own level; a single one as it is.

    Where the sum would clip it is turned down, smoothly, and nowhere else.
    """
    if len(clips) == 1:
        return clips[0]
    length, rate = sound_length(clips)
    channels = max(len(clip.samples) for clip in clips)
    total = np.zeros((channels, length), np.float32)
    for clip in clips:
        place = 0
        for block in converted(track_of(clip), rate, len(clip.samples)).blocks:
            part = block[:, : length - place]
            # One channel is heard on all of them, as players do, at its own level.
            total[:, place : place + part.shape[1]] += _spread(part, channels)
            place += part.shape[1]
    first = clips[0]
    return replace(
        first,
        samples=_limited(total, max(1, round(LIMIT_BLOCK * rate))),
        sample_rate=rate,
        sources=tuple(dict.fromkeys(path for clip in clips for path in clip.sources)),
        lack=next((clip.lack for clip in clips if clip.lack is not None), None),
    )


def _spread(part: np.ndarray, channels: int) -> np.ndarray:
    """Return float32 (channels, n): one channel on all, several on the first ones."""
    if len(part) == 1:
        return np.broadcast_to(part, (channels, part.shape[1]))
    return np.pad(part, ((0, channels - len(part)), (0, 0)))


def _limited(total: np.ndarray, block: int) -> np.ndarray:
    """Turn the sound down, in place, around what passes full scale; elsewhere it stays to the bit.

    Part by part: a gain for every sample of hours would take more memory than their sound.
    """
    length = int(total.shape[1])
    peaks = np.array(
        [float(np.abs(total[:, at : at + block]).max()) for at in range(0, length, block)]
    )
    if peaks.max(initial=0.0) <= 1:
        return total
    gains = _smoothed_under(1 / np.maximum(peaks, 1), LIMIT_REACH)
    # Between two blocks no more than either allows, so that a line from edge to edge is under both.
    before, after = np.concatenate([gains[:1], gains]), np.concatenate([gains, gains[-1:]])
    edges = np.minimum(before, after)
    places = np.minimum(np.arange(len(edges)) * block, length)
    for start in range(0, length, PART):
        stop = min(start + PART, length)
        gain = np.interp(np.arange(start, stop), places, edges).astype(np.float32)
        total[:, start:stop] = np.clip(total[:, start:stop] * gain, -1, 1)
    return total


def _smoothed_under(allowed: np.ndarray, reach: int) -> np.ndarray:
    """Return float64 (N,) without jumps, nowhere above what is allowed."""
    padded = np.pad(allowed, 2 * reach, constant_values=1.0)
    lowest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).min(axis=1)
    return np.lib.stride_tricks.sliding_window_view(lowest, 2 * reach + 1).mean(axis=1)
