"""Speech to pre-train on: invented words and numbers, read by espeak-ng in many languages and voices.

No text of any language is used: a word is a few random syllables of its language's letters, which espeak-ng
reads by that language's rules; numbers are its own number words. Rate, pitch and pitch range are drawn at
random for each utterance and are no target; there are no emotions in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import category, normalize

import numpy as np

from gelda.datasets import espeak
from gelda.seeds import numpy_generator

RATE = 16_000
VOLUME = 50  # some voices clip at espeak-ng's own 100
# Letters by language: vowels, consonants. Groups of letters are there where the language writes them.
LANGUAGES: dict[str, tuple[str, str]] = {
    "ca": ("a e i o u à è ò", "b c d f g j l ll m n ny p qu r s t v x"),
    "cs": ("a e i o u y á é í ě", "b c č d f h ch j k l m n p r ř s š t v z ž"),
    "cy": ("a e i o u w y", "b c ch d dd f ff g l ll m n p r rh s t th"),
    "da": ("a e i o u y æ ø å", "b d f g h j k l m n p r s t v"),
    "de": ("a e i o u ä ö ü ei au ie", "b d f g h k l m n p r s sch ch t w z pf"),
    "en": ("a e i o u ee oo ai ou", "b d f g h j k l m n p r s sh t th v w ch"),
    "en-US": ("a e i o u ea oa ay ow", "b d f g h j k l m n p r s sh t th v w ch"),
    "es": ("a e i o u ue ie", "b c ch d f g j l ll m n ñ p r rr s t v z"),
    "et": ("a e i o u õ ä ö ü aa", "b d g h j k l m n p r s t v"),
    "fi": ("a e i o u y ä ö aa ii", "d h j k l m n p r s t v kk tt"),
    "fr": ("a e i o u é è ou an on in eu", "b c ch d f g j l m n p qu r s t v z gn"),
    "hr": ("a e i o u", "b c č ć d dž đ f g h j k l lj m n nj p r s š t v z ž"),
    "hu": ("a á e é i í o ó ö ő u ú ü", "b c cs d f g gy h j k l m n ny p r s sz t v z zs"),
    "id": ("a e i o u", "b c d g h j k l m n ny ng p r s t w y"),
    "it": ("a e i o u ia io", "b c ch d f g gn gl l m n p qu r s sc t v z"),
    "lt": ("a e i o u y ė ū ai", "b c č d g j k l m n p r s š t v z ž"),
    "lv": ("a ā e ē i ī u ū ie", "b c č d g ģ j k ķ l ļ m n ņ p r s š t v z ž"),
    "nb": ("a e i o u y æ ø å", "b d f g h j k kj l m n p r s sk t v"),
    "nl": ("a e i o u aa ee oo ui ij eu", "b d f g h j k l m n p r s sch t v w z"),
    "pl": ("a ą e ę i o ó u y", "b c cz ć d dz f g h j k l ł m n ń p r rz s sz ś t w z ż"),
    "pt": ("a e i o u ã é ô ão", "b c ch d f g j l lh m n nh p qu r s t v x z"),
    "ro": ("a ă â e i o u ea", "b c ce d f g ge h j l m n p r s ș t ț v z"),
    "sk": ("a ä e i o ô u y á", "b c č d ď f g h ch j k l ľ m n ň p r s š t ť v z ž"),
    "sq": ("a e ë i o u y", "b c ç d dh f g gj h j k l ll m n nj p q r rr s sh t th v x xh z zh"),
    "sv": ("a e i o u y å ä ö", "b d f g h j k l m n p r s sj sk t tj v"),
    "sw": ("a e i o u", "b ch d dh f g gh h j k l m mb n nd ng ny p r s sh t th v w y z"),
    "tr": ("a e ı i o ö u ü", "b c ç d f g ğ h j k l m n p r s ş t v y z"),
}
# The speech demo's voices, and variants that share a source or a contour with one of them: never spoken here.
DEMO_VOICES = ("f2", "f4", "m3", "m6", "Annie", "klatt4", "adam", "Andrea")
AKIN = ("klatt5", "klatt6", "benjamin", "caleb", "david", "anika", "anikaRobot")
HELD_OUT = ("m5", "f3", "victor", "belinda", "Lee", "grandma")  # only probed
VOICES = tuple(
    "m1 m2 m4 m7 m8 f1 f5 klatt klatt2 Alex Alicia Denis Diogo Gene Henrique Hugo Jacky Mario Michael Mike "
    "Nguyen RicishayMax Storm antonio aunty boris ed edward grandpa gustave iven john kaukovalta "
    "linda marcelo michel norbert pablo paul pedro quincy rob sandro shelby steph travis zac".split()
)
SURVEY = 20  # texts a language, to find its phonemes
COMMON = 10  # how often a phoneme occurs in the survey to be a target of its own


@dataclass(frozen=True)
class Utterance:
    """samples: float32 [T] at RATE. starts, names: when each phoneme begins, in seconds, and what it is."""

    samples: np.ndarray
    starts: np.ndarray
    names: list[str]
    language: str
    voice: str
    rate: int
    pitch: int


def text(rng: np.random.Generator, language: str) -> str:
    """One or two phrases of two to seven invented words or numbers."""
    vowels, consonants = (letters.split() for letters in LANGUAGES[language])

    def word() -> str:
        if rng.random() < 0.15:
            return str(rng.integers(0, 10 ** rng.integers(1, 4)))
        syllables = [
            (rng.choice(consonants) if rng.random() < 0.9 else "")
            + rng.choice(vowels)
            + (rng.choice(consonants) if rng.random() < 0.25 else "")
            for _ in range(rng.choice([1, 2, 3, 4], p=[0.15, 0.4, 0.3, 0.15]))
        ]
        return "".join(syllables)

    phrases = [" ".join(word() for _ in range(rng.integers(2, 8))) for _ in range(rng.integers(1, 3))]
    return ", ".join(phrases) + str(rng.choice([".", ".", "?", "!"]))


def draw(
    rng: np.random.Generator, languages: Sequence[str], voices: Sequence[str], words: str = ""
) -> Utterance:
    """One utterance in a random language and voice, rate, pitch and range; of `words`, or invented ones."""
    language, voice = str(rng.choice(languages)), str(rng.choice(voices))
    rate, pitch, spread = (int(rng.integers(low, high)) for low, high in ((110, 270), (15, 86), (15, 96)))
    words = words or text(rng, language)
    name = f"{language}+{voice}"
    spoken = espeak.speak(words, name, rate=rate, volume=VOLUME, pitch=pitch, range=spread)
    import soxr

    starts = np.array([start for start, _ in spoken.phonemes])
    names = [plain(phoneme) for _, phoneme in spoken.phonemes]
    samples = soxr.resample(spoken.samples, spoken.rate, RATE)
    return Utterance(samples, starts, names, language, voice, rate, pitch)


def plain(phoneme: str) -> str:
    """An IPA name without stress, length, ties and other marks; "" is silence."""
    return "".join(c for c in normalize("NFD", phoneme) if category(c) in ("Ll", "Lo"))


def inventory(seed: int) -> list[str]:
    """The phonemes to tell apart, silence first: those that are common in a survey of every language."""
    rng, counts = numpy_generator(seed, "phonemes"), Counter[str]()
    for language in LANGUAGES:
        for _ in range(SURVEY):
            counts.update(draw(rng, [language], VOICES[:1]).names)
    del counts[""]
    return ["", *sorted(name for name, count in counts.items() if count >= COMMON)]
