"""The mouth follows speech: it meets, opens, widens, rests in silence, and never jumps."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarvideo.errors import MediaError
from avatarvideo.musetalk.puppet.phones import Phone
from avatarvideo.musetalk.puppet.pose import MouthPose, MouthShapes
from avatarvideo.musetalk.puppet.shapes import mouth_shapes

SAMPLES = Path(__file__).resolve().parents[3] / "web" / "samples"
SHUT, OPEN = 0.02, 0.2  # mouth widths
RATE = 16000
FPS = Fraction(25)
FRAME = RATE // 25


def vowel(seconds: float, formants: tuple[float, ...], pitch: float = 120.0) -> np.ndarray:
    """A pulse train through two-pole resonators, faded in and out over 20 ms."""
    pulses = np.zeros(int(seconds * RATE))
    pulses[:: int(RATE / pitch)] = 1.0
    spectrum = np.fft.rfft(pulses)
    frequencies = np.fft.rfftfreq(len(pulses), 1 / RATE)
    gain = sum(1 / (1 + ((frequencies - f) / 60) ** 2) * (500 / f) for f in formants)
    sound = np.fft.irfft(spectrum * gain / (1 + frequencies / 500), len(pulses))
    ramp = np.minimum(1, np.minimum(np.arange(len(sound)), np.arange(len(sound))[::-1]) / 320)
    return sound * ramp / np.abs(sound).max()


def hum(seconds: float) -> np.ndarray:
    return 0.4 * vowel(seconds, (130.0, 250.0))


def hiss(seconds: float) -> np.ndarray:
    noise = np.random.default_rng(1).standard_normal(int(seconds * RATE))
    spectrum = np.fft.rfft(noise)
    spectrum[: int(4500 * seconds)] = 0
    return 0.1 * np.fft.irfft(spectrum, len(noise))


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE))


AH, EE, OO = (700.0, 1200.0), (300.0, 2300.0), (320.0, 800.0)


def synthetic_speech(noise: float = 0.0005) -> np.ndarray:
    """Three sentences of 'mah-see-moo-ah' with pauses between them, 7 s."""
    sentence = [hum(0.12), vowel(0.22, AH), hiss(0.14), vowel(0.2, EE), hum(0.12)]
    sentence += [vowel(0.18, OO), silence(0.06), vowel(0.25, AH), silence(0.8)]
    sound = np.concatenate([silence(0.7), *(sentence * 3)])
    sound += noise * np.random.default_rng(0).standard_normal(len(sound))
    return (0.5 * sound).astype(np.float32)


def recording(path: Path) -> np.ndarray:
    with av.open(path) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=RATE)
        parts = [p for f in container.decode(audio=0) for p in resampler.resample(f)]
        parts += resampler.resample(None)
    return np.concatenate([p.to_ndarray()[0] for p in parts])


def shapes_of(
    speech: np.ndarray, rate: Fraction = FPS, phones: list[Phone] | None = None
) -> MouthShapes:
    count = int(len(speech) * rate / RATE + Fraction(1, 2))
    return mouth_shapes(speech, frame_rate=rate, frame_count=max(1, count), phones=phones)


def sample() -> np.ndarray:
    return recording(SAMPLES / "speech.flac")


def frame_levels(speech: np.ndarray, count: int) -> np.ndarray:
    """Root mean square (T,) of the sound under each 25 fps frame."""
    padded = np.pad(speech, (0, max(0, count * FRAME - len(speech))))
    return np.sqrt((padded[: count * FRAME].reshape(count, FRAME) ** 2).mean(axis=1))


def check_figures(name: str, speech: np.ndarray) -> None:
    opening = shapes_of(speech).opening
    level = frame_levels(speech, len(opening))
    speaks = level > 10 ** (-25 / 20) * np.percentile(level, 95)
    envelope = np.convolve(level, [0.05, 0.25, 0.4, 0.25, 0.05], mode="same")
    pause = np.convolve(~speaks, np.ones(5), mode="valid") == 5  # silence of 200 ms or more
    silent = np.convolve(pause, np.ones(5)) > 0
    shut_in_silence = (opening[silent] <= 0.015).mean()
    shut_in_speech = (opening[speaks] <= SHUT).mean()
    step = np.abs(np.diff(opening)).max()
    correlation = np.corrcoef(opening, envelope)[0, 1]
    print(  # noqa: T201 - the figures are the point of this test
        f"{name}: shut in {shut_in_silence:.1%} of silent and {shut_in_speech:.1%} of speech "
        f"frames, largest step {step:.3f}, correlation with the envelope {correlation:.2f}"
    )
    assert shut_in_silence >= 0.95
    assert 0.03 <= shut_in_speech <= 0.4
    assert step <= 0.176 + 1e-6
    assert correlation > 0.4
    assert opening.max() > 0.3


@pytest.mark.slow
def test_synthetic_speech_meets_the_figures() -> None:
    check_figures("synthetic", synthetic_speech())


@pytest.mark.slow
def test_real_speech_meets_the_figures(real_data: Path) -> None:
    check_figures("real", recording(real_data / "jfk.flac"))


def test_shipped_sample_meets_the_figures() -> None:
    check_figures("sample", recording(SAMPLES / "speech.flac"))


def test_real_speech_in_a_noisy_room_meets_the_figures(real_data: Path) -> None:
    speech = recording(real_data / "jfk.flac")
    noise = 0.01 * np.random.default_rng(3).standard_normal(len(speech))
    check_figures("noisy", (speech + noise).astype(np.float32))


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("gain", [3e-3, 1e-2, 3.0, 100.0])
def test_loudness_of_the_recording_does_not_matter(gain: float) -> None:
    speech = synthetic_speech()
    plain, scaled = shapes_of(speech), shapes_of((speech * gain).astype(np.float32))
    np.testing.assert_allclose(scaled.opening, plain.opening, atol=1e-3)
    np.testing.assert_allclose(scaled.width, plain.width, atol=1e-3)


@pytest.mark.slow
def test_one_phrase_in_a_long_silence_is_spoken() -> None:
    noise = 1e-3 * np.random.default_rng(0).standard_normal(90 * RATE)
    phrase = synthetic_speech()[: 3 * RATE]
    noise[40 * RATE : 43 * RATE] += phrase
    opening = shapes_of(noise.astype(np.float32)).opening
    spoken = opening[1000:1075]
    assert spoken.max() > 0.3
    assert 0.1 < (spoken <= SHUT).mean() < 0.8
    assert not opening[:995].any()
    assert not opening[1080:].any()


def test_softly_spoken_phrase_opens_the_mouth_too() -> None:
    speech = synthetic_speech()
    softer = np.concatenate([speech, 0.25 * speech, speech]).astype(np.float32)
    opening = shapes_of(softer).opening
    frames = len(opening) // 3
    assert opening[frames : 2 * frames].max() > 0.5 * opening[:frames].max()


def test_constant_offset_does_not_matter() -> None:
    speech = synthetic_speech()
    np.testing.assert_allclose(shapes_of(speech + 0.3).opening, shapes_of(speech).opening, atol=0.1)


def test_lips_close_on_a_hum_between_vowels() -> None:
    parts = [silence(0.6), vowel(0.4, AH), hum(0.2), vowel(0.4, AH), silence(0.6)]
    opening = shapes_of(np.concatenate(parts).astype(np.float32)).opening
    assert opening[15:25].max() > OPEN
    assert opening[25:30].min() <= SHUT
    assert opening[30:40].max() > OPEN


@pytest.mark.parametrize(("seconds", "shuts"), [(0.03, False), (0.06, True), (0.1, True)])
def test_a_hum_that_lasts_shuts_the_lips(seconds: float, shuts: bool) -> None:
    parts = [silence(0.6), vowel(0.3, AH), hum(seconds), vowel(0.3, AH), silence(0.6)]
    opening = shapes_of(np.concatenate(parts).astype(np.float32)).opening
    assert (opening[20:27].min() <= SHUT) == shuts


@pytest.mark.parametrize(("seconds", "is_pause"), [(0.15, False), (0.201, True), (0.25, True)])
def test_a_pause_of_more_than_200_ms_is_shut(seconds: float, is_pause: bool) -> None:
    parts = [silence(0.6), vowel(0.3, AH), silence(seconds), vowel(0.3, AH), silence(0.6)]
    opening = shapes_of(np.concatenate(parts).astype(np.float32)).opening
    shut = opening[18:32] <= SHUT
    assert (shut.sum() > 25 * (seconds - 0.04)) == is_pause
    assert shut.sum() <= 1 or is_pause  # as in a stop consonant


def test_a_short_vowel_beside_silence_opens_without_a_quick_step() -> None:
    parts = [silence(0.6), vowel(0.16, AH), hum(0.08), vowel(0.16, AH), silence(0.6)]
    opening = shapes_of(np.concatenate(parts).astype(np.float32)).opening
    assert opening[14:20].max() > 0.35
    assert opening[20:26].max() > 0.25
    assert np.abs(np.diff(opening)).max() < 0.15


def test_a_vowel_that_lasts_opens_wide_between_closures() -> None:
    """A shorter one between the same hums does not have to, and takes smaller steps."""
    openings: dict[float, np.ndarray] = {}
    for seconds in (0.06, 0.14):
        parts = [silence(0.6), vowel(0.3, AH), hum(0.1), vowel(seconds, EE), hum(0.1)]
        sound = np.concatenate([*parts, vowel(0.3, AH), silence(0.6)])
        opening = shapes_of(sound.astype(np.float32)).opening
        openings[seconds] = opening[24 : 28 + round(25 * seconds)]
    assert openings[0.14].max() > 0.29
    assert 0.1 < openings[0.06].max() < openings[0.14].max()


def test_wide_and_round_vowels_spread_and_round_the_lips() -> None:
    parts = [silence(0.4)]
    for formants in (EE, OO, EE, OO):
        parts += [vowel(0.4, formants), silence(0.2)]
    width = shapes_of(np.concatenate(parts).astype(np.float32)).width
    middles = [width[14 + 15 * n] for n in range(4)]
    assert min(middles[0], middles[2]) > 1.0
    assert max(middles[1], middles[3]) < 0.91


def test_lips_move_before_the_sound() -> None:
    speech = synthetic_speech()
    opening = shapes_of(speech).opening
    level = frame_levels(speech, len(opening))
    level = np.convolve(level, [0.25, 0.5, 0.25], mode="same")
    lags = {lag: np.corrcoef(np.roll(opening, lag), level)[0, 1] for lag in range(-3, 4)}
    assert max(lags, key=lambda lag: lags[lag]) in (0, 1)


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(RATE),
        1e-4 * np.random.default_rng(0).standard_normal(RATE),
        np.full(RATE, 0.7),
        np.zeros(0),
        np.zeros(320),
    ],
    ids=["silence", "dither", "offset", "nothing", "20 ms"],
)
def test_nothing_said_keeps_the_mouth_shut(sound: np.ndarray) -> None:
    shapes = mouth_shapes(sound.astype(np.float32), frame_rate=FPS, frame_count=25)
    assert not shapes.opening.any()
    assert not shapes.tuck.any()
    assert (shapes.width == 1).all()
    assert (shapes.closure == 1).all()


@pytest.mark.parametrize("frequency", [50, 440, 1000, 7900])
def test_steady_tone_gives_steady_numbers(frequency: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * frequency * np.arange(2 * RATE) / RATE)
    opening = shapes_of(tone.astype(np.float32)).opening
    assert np.abs(np.diff(opening[6:-6])).max() < 0.03


@pytest.mark.slow
def test_clicks_do_not_open_the_mouth_wide() -> None:
    speech = synthetic_speech()
    clicked = speech.copy()
    clicked[4000::RATE] = 1.0
    opening, plain = shapes_of(clicked).opening, shapes_of(speech).opening
    assert np.abs(opening - plain).mean() < 0.03


def test_frames_after_the_end_are_at_rest() -> None:
    shapes = mouth_shapes(synthetic_speech(), frame_rate=FPS, frame_count=400)
    assert not shapes.opening[176:].any()
    assert (shapes.width[178:] == 1).all()


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("rate", [Fraction(10), Fraction(24000, 1001), Fraction(30), Fraction(60)])
def test_motion_is_the_same_at_any_frame_rate(rate: Fraction) -> None:
    speech = synthetic_speech()
    reference, motion = shapes_of(speech), shapes_of(speech, rate)
    assert np.abs(np.diff(motion.opening)).max() <= 0.176 * 25 / rate + 1e-6
    times = (np.arange(len(motion.opening)) + 0.5) / float(rate)
    expected = np.interp(times * 25 - 0.5, np.arange(len(reference.opening)), reference.opening)
    assert np.corrcoef(motion.opening, expected)[0, 1] > 0.85


@pytest.mark.slow
def test_chunked_analysis_leaves_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    speech = synthetic_speech()
    whole = shapes_of(speech)
    monkeypatch.setattr("avatarvideo.musetalk.voice.levels.CHUNK", 7)
    np.testing.assert_allclose(shapes_of(speech).opening, whole.opening, atol=1e-6)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    samples=st.integers(0, 9000),
    rate=st.fractions(Fraction(1), Fraction(240), max_denominator=1001),
    frames=st.integers(1, 300),
    gain=st.sampled_from([0.0, 1e-6, 1e-2, 1.0, 1e6]),
)
def test_any_sound_gives_finite_motion_in_range(
    seed: int, samples: int, rate: Fraction, frames: int, gain: float
) -> None:
    noise = np.random.default_rng(seed).standard_normal(samples)
    sound = (gain * noise * (np.arange(samples) % 4000 < 2000)).astype(np.float32)
    shapes = mouth_shapes(sound, frame_rate=rate, frame_count=frames)
    for curve in (shapes.opening, shapes.width, shapes.closure, shapes.tuck):
        assert curve.dtype == np.float32
        assert curve.shape == (frames,)
    assert ((shapes.opening >= 0) & (shapes.opening <= 0.52)).all()
    assert ((shapes.width >= 0.68) & (shapes.width <= 1.1)).all()
    for share in (shapes.closure, shapes.tuck):
        assert ((share >= 0) & (share <= 1)).all()
    limit = 4.4 / float(rate)
    assert np.abs(np.diff(shapes.opening)).max(initial=0) <= limit + 1e-6
    assert np.abs(np.diff(shapes.width)).max(initial=0) <= limit + 1e-6


def test_speech_opens_the_mouth_within_its_speed() -> None:
    shapes = shapes_of(sample())
    assert shapes.opening.max() > 0.25
    assert np.abs(np.diff(shapes.opening)).max() <= 0.22
    assert 0.68 <= shapes.width.min() < 0.9
    assert 1.0 < shapes.width.max() <= 1.1


def test_lips_meet_while_people_speak() -> None:
    shapes = shapes_of(sample())
    shut = shapes.opening < 0.02
    assert shapes.closure[shut].mean() > 0.8
    assert shapes.opening[shapes.closure > 0.95].max() < 0.02


def test_silence_in_a_speech_is_shut() -> None:
    speech = np.concatenate([sample(), np.zeros(RATE, np.float32), sample()])
    opening = shapes_of(speech).opening
    middle = round(len(sample()) * 25 / RATE)
    assert not opening[middle + 2 : middle + 23].any()


@pytest.mark.slow
def test_a_heard_m_makes_a_closure_likelier() -> None:
    speech = sample()
    length = len(speech) / RATE
    every = [Phone("M", 0.0, length)]
    none = [Phone("AA", 0.0, length)]
    assert (
        shapes_of(speech, phones=every).closure.mean()
        > shapes_of(speech, phones=none).closure.mean()
    )


@pytest.mark.slow
def test_shapes_are_the_same_at_any_frame_rate() -> None:
    speech = sample()
    slow, fast = shapes_of(speech), shapes_of(speech, Fraction(50))
    pairs = fast.opening[: 2 * len(slow.opening)].reshape(-1, 2).mean(axis=1)
    assert np.corrcoef(pairs, slow.opening[: len(pairs)])[0, 1] > 0.97


def test_the_same_speech_gives_the_same_shapes() -> None:
    one, other = shapes_of(sample()), shapes_of(sample())
    np.testing.assert_array_equal(one.opening, other.opening)


@pytest.mark.slow
def test_memory_hardly_follows_the_length() -> None:
    speech = np.tile(sample(), 60)[: 7 * 60 * RATE]
    tracemalloc.start()
    shapes_of(speech)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6


def test_a_gate_brings_the_mouth_to_rest() -> None:
    shapes = MouthShapes(*(np.full(3, value, np.float32) for value in (0.4, 0.8, 0.0, 1.0)))
    gated = shapes.gated(np.array([1, 0.5, 0], np.float32))
    assert gated.at(0) == pytest.approx((0.4, 0.8, 0, 1))
    assert gated.at(1) == pytest.approx((0.2, 0.9, 0.5, 0.5))
    assert gated.at(2) == (0, 1, 1, 0)
    assert MouthPose() == (0, 1, 0, 0)


def test_broken_speech_and_unequal_curves_are_refused() -> None:
    with pytest.raises(MediaError, match="not numbers"):
        shapes_of(np.full(RATE, np.nan, np.float32))
    with pytest.raises(MediaError, match=r"mono speech of shape \(N,\)"):
        mouth_shapes(np.zeros((2, 100), np.float32), frame_rate=FPS, frame_count=1)
    with pytest.raises(MediaError, match="one common length"):
        MouthShapes(np.zeros(3), np.zeros(3), np.zeros(2), np.zeros(3))
