"""Speech to features: 16 kHz mono, Whisper's log-mel, one window of features per video frame.

Formulas: openai/whisper (MIT) and transformers' WhisperFeatureExtractor (Apache-2.0) for the mel,
TMElyralab/MuseTalk (MIT) for the windows. Changed against MuseTalk: exact rational frame times, a
window that does not move with the frame rate, zeros wherever a window passes the audio.
"""

from __future__ import annotations

import functools
import importlib
import logging
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch

from ..encoders.read.audio_arrays import all_finite
from ..errors import MediaError
from ..media import AudioClip, Mel

log = logging.getLogger("avatarvideo.musetalk.audio")

SAMPLE_RATE = 16_000  # Hz, Whisper's
N_FFT = 400  # samples: 25 ms
HOP = 160  # samples: 10 ms, so 100 mel frames a second
N_MELS = 80
SEGMENT_SAMPLES = 30 * SAMPLE_RATE  # Whisper hears 30 s at a time
SEGMENT_FRAMES = SEGMENT_SAMPLES // HOP
FEATURES_PER_SECOND = 50  # the encoder halves the mel's 100
SEGMENT_FEATURES = 30 * FEATURES_PER_SECOND
WINDOW = 10  # features a video frame hears: 200 ms
WINDOW_BEFORE = 4  # of them before the frame's own time: 80 ms
MEL_FLOOR = 1e-10
DYNAMIC_RANGE = 8.0  # log10 units kept below the loudest cell
MAX_PHASES = 1_000  # torchaudio's kernel has this many rows; more would take gigabytes

PART_SECONDS = 120  # resampled at a time, with a second to either side

Resampler = Callable[[np.ndarray, int], np.ndarray]


def prepare_mel(clip: AudioClip, *, check: Callable[[], None] = lambda: None) -> Mel:
    """Return a clip prepared for lip-sync.

    ``check`` is called all the time; what it raises ends the work.
    Raises MediaError for an empty clip or samples that are not finite.
    """
    speech = to_speech(clip)
    check()
    return Mel(log_mel(speech, check=check), speech, clip)


def to_speech(clip: AudioClip, resampler: Resampler | None = None) -> np.ndarray:
    """Return float32 (N,), mono at 16 kHz, N = ceil(samples x 16000 / rate).

    Channels are averaged before resampling, as librosa does for upstream. ``resampler`` takes
    (mono, rate); the default is torchaudio's where it imports, else PyAV's.
    """
    if not clip.samples.shape[1]:
        raise MediaError("Expected speech, got an audio clip of 0 samples: choose another file.")
    if not all_finite(clip.samples):
        raise MediaError(
            "Expected finite audio samples, got NaN or infinity: re-export the recording."
        )
    rate, count = clip.sample_rate, clip.samples.shape[1]
    if rate == SAMPLE_RATE:
        return _mono(clip, 0, count)
    speech = np.zeros(-(-count * SAMPLE_RATE // rate), np.float32)
    resample = resampler or _resampler_for(rate)
    for second in range(0, -(-count // rate), PART_SECONDS):
        before = min(second, 1)  # what is heard beside a part makes its edges what they are
        part = _mono(clip, (second - before) * rate, (second + PART_SECONDS + 1) * rate)
        into = speech[second * SAMPLE_RATE : (second + PART_SECONDS) * SAMPLE_RATE]
        resampled = resample(part, rate)[before * SAMPLE_RATE :][: into.size]
        into[: resampled.size] = resampled
    return speech


def _mono(clip: AudioClip, first: int, last: int) -> np.ndarray:
    part = clip.samples[:, first:last]
    return np.ascontiguousarray(part.mean(axis=0, dtype=np.float32))


def _resampler_for(sample_rate: int) -> Resampler:
    phases = SAMPLE_RATE // math.gcd(sample_rate, SAMPLE_RATE)
    if phases <= MAX_PHASES and _torchaudio_imports():
        return resample_with_torchaudio
    return resample_with_pyav


@functools.cache
def _torchaudio_imports() -> bool:
    try:
        importlib.import_module("torchaudio.functional")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        # A torchaudio built for another torch fails with any of these.
        log.info("torchaudio does not import (%s); PyAV resamples instead", error)
        return False
    return True


def resample_with_torchaudio(mono: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return float32 at 16 kHz from float32 (N,): windowed sinc, Kaiser window."""
    import torchaudio.functional  # pyright: ignore[reportMissingTypeStubs] - it has no types

    return torchaudio.functional.resample(
        torch.as_tensor(mono),
        sample_rate,
        SAMPLE_RATE,
        # The values torchaudio documents for matching resampy's "kaiser_best".
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
    ).numpy()


def resample_with_pyav(mono: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return float32 at 16 kHz from float32 (N,) by FFmpeg's resampler."""
    import av

    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    chunks: list[av.AudioFrame] = []
    for first in range(0, mono.size, sample_rate):
        frame = av.AudioFrame.from_ndarray(
            mono[None, first : first + sample_rate], format="flt", layout="mono"
        )
        frame.sample_rate = sample_rate
        frame.pts = first
        frame.time_base = Fraction(1, sample_rate)
        chunks += resampler.resample(frame)
    chunks += resampler.resample(None)
    return np.concatenate([chunk.to_ndarray().reshape(-1) for chunk in chunks] or [mono[:0]])


@functools.cache
def mel_filters() -> torch.Tensor:
    """Return Whisper's mel filter bank, float32 (80, 201): Slaney scale and area norm, 0-8 kHz."""
    edges_hz = _mel_to_hz(np.linspace(0.0, _TOP_MEL, N_MELS + 2))
    bins_hz = np.linspace(0.0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    slopes = edges_hz[:, None] - bins_hz[None, :]
    widths = np.diff(edges_hz)
    rising = -slopes[:-2] / widths[:-1, None]
    falling = slopes[2:] / widths[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    area = 2.0 / (edges_hz[2:] - edges_hz[:-2])
    return torch.as_tensor((triangles * area[:, None]).astype(np.float32))


# Slaney's scale: linear to 1 kHz (3 mel per 200 Hz), then 27 mel per factor 6.4.
_LINEAR_HZ = 200.0 / 3
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _LINEAR_HZ
_LOG_STEP = math.log(6.4) / 27
_TOP_MEL = _KNEE_MEL + math.log(SAMPLE_RATE / 2 / _KNEE_HZ) / _LOG_STEP


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    above = _KNEE_HZ * np.exp(_LOG_STEP * (mel - _KNEE_MEL))
    return np.where(mel < _KNEE_MEL, mel * _LINEAR_HZ, above)


def log_mel(speech: np.ndarray, *, check: Callable[[], None] = lambda: None) -> np.ndarray:
    """Return Whisper's log-mel of float32 (N,): float32 (80, 3000 x number of 30 s segments).

    Every segment is padded with silence to 30 s and keeps its own floor, as the feature extractor
    of transformers does when it is called once a segment (MuseTalk 1.5).
    """
    segments = max(1, -(-speech.size // SEGMENT_SAMPLES))
    cells = np.empty((N_MELS, segments * SEGMENT_FRAMES), np.float32)
    for number in range(segments):
        check()
        part = speech[number * SEGMENT_SAMPLES : (number + 1) * SEGMENT_SAMPLES]
        padded = np.pad(part, (0, SEGMENT_SAMPLES - part.size))
        here = slice(number * SEGMENT_FRAMES, (number + 1) * SEGMENT_FRAMES)
        cells[:, here] = _normalised(_log_power(padded)).numpy()
    return cells


def log_mel_v1(speech: np.ndarray) -> np.ndarray:
    """Return the log-mel of MuseTalk 1.0's own reader: float32 (80, frames padded to 3000s).

    One floor for the whole recording; the last segment is filled with the value 0, not silence.
    """
    cells = _normalised(_log_power(speech))
    fill = -cells.shape[1] % SEGMENT_FRAMES
    return np.pad(cells.numpy(), ((0, 0), (0, fill)))


def _log_power(speech: np.ndarray) -> torch.Tensor:
    if speech.size <= N_FFT // 2:  # reflection needs more samples than it mirrors
        speech = np.pad(speech, (0, N_FFT // 2 + 1 - speech.size))
    spectrum = torch.stft(
        torch.as_tensor(np.ascontiguousarray(speech)),
        N_FFT,
        HOP,
        window=torch.hann_window(N_FFT),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    power = spectrum[:, :-1].abs().square()  # Whisper drops the last frame
    return (mel_filters() @ power).clamp(min=MEL_FLOOR).log10()


def _normalised(cells: torch.Tensor) -> torch.Tensor:
    return (torch.maximum(cells, cells.max() - DYNAMIC_RANGE) + 4.0) / 4.0


def feature_count(samples: int) -> int:
    """Return how many encoder features belong to 16 kHz speech of that many samples."""
    return samples * FEATURES_PER_SECOND // SAMPLE_RATE


def window_starts(frame_count: int, frame_rate: Fraction) -> np.ndarray:
    """Return int64 (T,): the feature at which the window of every frame starts (may be negative).

    Exact: floor(i x 50 / rate) - 4 for any rate.
    """
    step = Fraction(FEATURES_PER_SECOND) / frame_rate
    times = (math.floor(i * step) - WINDOW_BEFORE for i in range(frame_count))
    return np.fromiter(times, np.int64, frame_count)


def audio_windows(
    features: torch.Tensor, starts: np.ndarray, *, repeat_edges: bool = False
) -> torch.Tensor:
    """Return what each frame hears: (B, 50, 384), token = time x 5 + layer.

    features: (L, 5, 384), Whisper's five hidden states of the true length.
    starts: int64 (B,), from ``window_starts``.
    repeat_edges: outside the audio take the nearest feature (MuseTalk 1.0) instead of zeros.
    """
    length = features.shape[0]
    wanted = torch.as_tensor(starts)[:, None] + torch.arange(WINDOW)[None, :]
    inside = (wanted >= 0) & (wanted < length)
    index = wanted.clamp(0, max(0, length - 1)).to(features.device)
    windows = features[index]
    if not repeat_edges:
        windows = windows * inside.to(features.device)[:, :, None, None]
    return windows.flatten(1, 2)
