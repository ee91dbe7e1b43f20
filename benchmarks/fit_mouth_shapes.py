"""Fit musetalk/puppet/shape_table.py to speech of espeak-ng, whose phone times are known.

    python benchmarks/fit_mouth_shapes.py > musetalk/puppet/shape_table.py

Needs espeak-ng, scikit-learn and pocketsphinx. Every sentence is heard clean, and with noise and
another tone colour. The sentences of the ruler (mouth_truth.py) are not among these.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from espeak import Phone, spoken
from mouth_sentences import FIT
from sklearn.linear_model import LogisticRegression

from avatarvideo.musetalk.puppet.phones import phones_heard
from avatarvideo.musetalk.puppet.sound_shapes import (
    CLOSED,
    INSTANTS,
    OPEN,
    PHONE_INSTANTS,
    REST,
    ROUND,
    TUCK,
    WIDE,
    BandLevels,
    PhoneGroups,
    around,
)

FIRST_SOUND = {
    **dict.fromkeys("bpm", CLOSED),
    **dict.fromkeys("fv", TUCK),
    **dict.fromkeys("iɪᵻeɛ", WIDE),
    **dict.fromkeys("uʊyøoɔw", ROUND),
    **dict.fromkeys("aɑæʌɐəɜɚ", OPEN),
}
SECOND_SOUND = {"ɪ": WIDE, "ʊ": ROUND, "ø": ROUND}  # of a diphthong
FIRST_SHARE = 0.6  # of a diphthong
UNSURE = -1  # Spanish b between vowels: the lips come near each other
COUNTS = {CLOSED: 3, TUCK: 6}  # how much a rare shape counts
RIVALS = "tdkɡnl"  # what is taken for m, b and p most easily
RIVAL_COUNT = 3
VARIANTS = ("+m3", "+f2", "+m1", "+f4")
STRENGTH = 0.02  # of the evidence against large numbers


def sayings() -> Iterator[tuple[np.ndarray, list[Phone]]]:
    for language, sentences in FIT.items():
        for number, text in enumerate(sentences):
            yield spoken(text, language)
            yield spoken(text, language, words_per_minute=150 + 15 * (number % 4))
            voice = language + VARIANTS[number % len(VARIANTS)]
            yield spoken(text, voice, words_per_minute=150 + 10 * (number % 3))


def counts(phones: list[Phone], shapes: np.ndarray) -> np.ndarray:
    """Return how much each window counts."""
    times = (np.arange(len(shapes)) + 0.5) / 100
    count = np.array([COUNTS.get(shape, 1) for shape in shapes], float)
    for phone in phones:
        if phone.name[:1] in tuple(RIVALS):
            start, end = phone.held
            count[(times >= start) & (times <= end) & (shapes == REST)] = RIVAL_COUNT
    return count


def labels(phones: list[Phone], count: int) -> np.ndarray:
    times = (np.arange(count) + 0.5) / 100
    label = np.zeros(count, int)
    for closed_ones in (False, True):  # a closure wins over the end of the vowel before it
        for phone in phones:
            start, end = phone.held
            shape = UNSURE if phone.name[:1] == "β" else FIRST_SOUND.get(phone.name[:1], REST)
            if (shape == CLOSED) != closed_ones:
                continue
            label[(times >= start - 0.005) & (times <= end + 0.005)] = shape
            second = SECOND_SOUND.get(phone.name[1:2])
            if second and shape in (WIDE, ROUND, OPEN):
                label[(times >= start + FIRST_SHARE * (end - start)) & (times <= end)] = second
    return label


def disturbed(speech: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the speech in a room's noise, through another microphone."""
    noise = np.fft.rfft(random.standard_normal(len(speech)))
    frequencies = np.fft.rfftfreq(len(speech), 1 / 16000)
    noise = np.fft.irfft(noise / (1 + frequencies / 300) ** random.uniform(0, 0.95), len(speech))
    level = np.sqrt((speech**2).mean()) * 10 ** (-random.uniform(20, 45) / 20)
    heard = speech + level * noise / noise.std()
    heard[1:] -= random.uniform(-0.4, 0.6) * heard[:-1].copy()
    return heard.astype(np.float32)


def fitted(rows: np.ndarray, shapes: np.ndarray, count: np.ndarray) -> LogisticRegression:
    sure = shapes != UNSURE
    model = LogisticRegression(C=STRENGTH, max_iter=150)
    return model.fit(rows[sure], shapes[sure], count[sure])


def table(name: str, doc: str, model: LogisticRegression) -> str:
    numbers = np.rint(100 * model.coef_.T).astype(int)
    rows = "".join(f"        [{', '.join(map(str, row))}],\n" for row in numbers)
    bias = ", ".join(map(str, np.rint(100 * model.intercept_).astype(int)))
    return f"{name} = np.array(  # {doc}\n    [\n{rows}    ]\n)\n{name}_BIAS = ({bias})\n"


def main() -> None:
    random = np.random.default_rng(0)
    sounds, groups, shapes, weights = [], [], [], []
    for clean, phones in sayings():
        for speech in (clean, disturbed(clean, random)):
            levels = BandLevels(speech)
            heard = PhoneGroups(levels.count)
            heard.add(phones_heard(speech) or [])
            sounds.append(around(levels, INSTANTS, 0, levels.count))
            groups.append(around(heard, PHONE_INSTANTS, 0, levels.count))
            shapes.append(labels(phones, levels.count))
            weights.append(counts(phones, shapes[-1]))
    rows, label, count = np.concatenate(sounds), np.concatenate(shapes), np.concatenate(weights)
    by_sound = fitted(rows, label, count)
    joint = np.hstack([by_sound.predict_log_proba(rows), np.concatenate(groups)])
    by_phones = fitted(joint, label, count)
    sys.stdout.write(
        '"""Numbers of sound_shapes.py, in hundredths: made by benchmarks/fit_mouth_shapes.py."""\n'
        "\nfrom __future__ import annotations\n\nimport numpy as np\n\n"
        + table("SOUND", "a row for each band at each instant, a column for each shape", by_sound)
        + table("PHONES", "the sound's six logarithms, then each group at each instant", by_phones)
    )


if __name__ == "__main__":
    main()
