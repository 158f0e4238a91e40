"""Rebuild the speech demo's clips: ``python -m gelda.datasets.speech_synthesis`` (needs espeak-ng).

espeak-ng speaks (rate, pitch, range, pauses, the last words' pitch). What it cannot do is done to the
samples: formants scaled by resampling, tremor by warping time, breath by noise that follows the loudness,
tilt by a shelf, level by a gain. Everything follows from fixed seeds: the same espeak-ng (1.51), numpy, soxr
and libsndfile give the same bytes.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gelda import media
from gelda.artifacts import atomic
from gelda.datasets import speech
from gelda.datasets.speech_style import EMOTIONS, LANGUAGES, SEED, VARIANTS, Prosody, spoken, tract
from gelda.datasets.speech_texts import SENTENCES
from gelda.errors import UserError
from gelda.seeds import derive, numpy_generator

Samples = NDArray[np.float32]

WORDS_PER_MINUTE = 185  # plain speech
STEP = 0.172  # semitones of one step of espeak-ng's pitch, measured
PERCENT = 0.085  # semitones of one percent of its SSML pitch, measured
AMPLITUDE = 60  # of 200: its Klatt voices clip at the usual 100
LEVEL = -30.0  # dB re full scale (RMS) of plain speech
BREATH = -20.0  # dB of breath noise below the voice
PEAK = 0.9
EDGE = 0.05  # seconds of silence kept around a clip
GAP = 0.12  # seconds of silence between clips: more than the 80 ms that an Opus decoder needs to settle
COMPRESSION = 0.95  # libsndfile's level: about 18 kbit/s here


def synthesise(language: str, variant: str, text: str, prosody: Prosody, seed: int) -> Samples:
    """One clip at 16 kHz, float32 [T]."""
    scale = tract(language, variant)
    samples, rate = _espeak(language, variant, text, prosody, scale)
    clip = media.resample(media.Clip(samples, round(rate * scale)), speech.RATE)
    rng = numpy_generator(seed, "noise")
    sound = _trimmed(_warped(clip.samples.astype(np.float64), prosody.tremor, rng))
    sound = _shelf(_breathy(sound, prosody.breath, rng), prosody.tilt)
    loud = np.abs(sound) > 0.02 * np.abs(sound).max()
    gain = 10 ** ((LEVEL + prosody.level) / 20) / np.sqrt(np.mean(sound[loud] ** 2))
    sound = sound * min(gain, PEAK / np.abs(sound).max())
    edge = np.zeros(round(EDGE * speech.RATE))
    return np.concatenate([edge, sound, edge]).astype(np.float32)


def _espeak(language: str, variant: str, text: str, prosody: Prosody, scale: float) -> tuple[Samples, int]:
    """espeak-ng's own samples and rate; formants are scaled afterwards, so pitch and speed are asked for
    the other way. A process each: its library (`datasets.espeak`) keeps state, and what it says would depend
    on what it said before."""
    words = text.split()
    first = -(-len(words) * 3 // 5)
    start, end = (escape(" ".join(part)) for part in (words[:first], words[first:]))
    last = round(prosody.contour / PERCENT)
    markup = (
        f'<speak><prosody range="{max(0, round(100 * np.exp(prosody.range)))}%">{start} '
        f'<prosody pitch="{last:+d}%">{end}</prosody></prosody></speak>'
    )
    speed = round(WORDS_PER_MINUTE * np.exp(prosody.rate) / scale)
    pitch = round(50 + (prosody.pitch - 12 * np.log2(scale)) / STEP)
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "clip.wav"
        command = [_program(), "-m", "-z", "-b", "1", "-v", f"{LANGUAGES[language]}+{variant}"]
        command += ["-s", str(speed), "-p", str(min(max(pitch, 0), 99)), "-a", str(AMPLITUDE)]
        command += ["-g", str(round(prosody.pauses)), "-w", str(wav), markup]
        subprocess.run(command, check=True)
        clip = media.load_clip(wav)
    return clip.samples, clip.rate


def _program() -> str:
    found = shutil.which("espeak-ng")
    if found is None:
        raise UserError(
            "Rebuilding the clips needs espeak-ng, which is not installed: `apt-get install espeak-ng` (the "
            "clips that ship are already made)."
        )
    return found


def _trimmed(sound: NDArray, floor: float = 0.01) -> NDArray:
    """Without the silence around it."""
    heard = np.flatnonzero(np.abs(sound) > floor * np.abs(sound).max())
    return sound[heard[0] : heard[-1] + 1]


def _warped(sound: NDArray, percent: float, rng: np.random.Generator) -> NDArray:
    """Time that runs unevenly by `percent` (SD): a tremor at 6 Hz and jitter of 20 ms on the pitch."""
    seconds = np.arange(len(sound)) / speech.RATE
    drift = np.sqrt(2) * np.sin(2 * np.pi * 6 * seconds + rng.uniform(0, 2 * np.pi))
    knots = np.arange(0, seconds[-1] + 0.02, 0.02)
    jitter = np.interp(seconds, knots, rng.standard_normal(len(knots)))
    place = np.cumsum(1 + percent / 100 * (1.5 * drift + jitter))
    return np.interp(np.arange(0, place[-1]), place, sound)


def _breathy(sound: NDArray, amount: float, rng: np.random.Generator) -> NDArray:
    """With noise above 1 kHz that follows the loudness; amount 1 is BREATH below the voice."""
    width = speech.RATE // 50
    envelope = np.sqrt(np.convolve(sound**2, np.ones(width) / width, "same"))
    noise = np.diff(rng.standard_normal(len(sound) + 1))  # +6 dB an octave
    return sound + amount * 10 ** (BREATH / 20) * envelope * noise / np.sqrt(2)


def _shelf(sound: NDArray, decibels: float, corner: float = 1000.0) -> NDArray:
    """Everything above `corner` hertz higher by `decibels` (high shelf, R. Bristow-Johnson's cookbook)."""
    from scipy.signal import lfilter

    a, w = 10 ** (decibels / 40), 2 * np.pi * corner / speech.RATE
    alpha, cos = np.sin(w) / np.sqrt(2), np.cos(w)
    root = 2 * np.sqrt(a) * alpha
    b = np.array(
        [(a + 1) + (a - 1) * cos + root, -2 * ((a - 1) + (a + 1) * cos), (a + 1) + (a - 1) * cos - root]
    )
    d = np.array(
        [(a + 1) - (a - 1) * cos + root, 2 * ((a - 1) - (a + 1) * cos), (a + 1) - (a - 1) * cos - root]
    )
    return lfilter(a * b / d[0], d / d[0], sound)


def clips(language: str) -> list[tuple[dict[str, str], Samples]]:
    """Every clip of a language with its row of the index."""
    made = []
    for place, variant in enumerate(VARIANTS):
        for number in range(place, len(SENTENCES[language]), len(VARIANTS)):
            text = SENTENCES[language][number]
            for emotion in EMOTIONS:
                prosody = spoken(language, variant, emotion, str(number))
                seed = derive(SEED, language, variant, emotion, number)
                row = {"language": language, "voice": variant, "emotion": emotion, "text": text}
                made.append((row, synthesise(language, variant, text, prosody, seed)))
    return made


def rebuild(folder: Path) -> pd.DataFrame:
    """Write an Ogg (Opus) a language and index.csv; the index."""
    import soundfile

    silence, rows = np.zeros(round(GAP * speech.RATE), np.float32), []
    for language, code in LANGUAGES.items():
        parts, at = [silence], len(silence)
        for row, samples in clips(language):
            start, end = at / speech.RATE, (at + len(samples)) / speech.RATE
            rows.append({**row, "uri": f"{code}.ogg#t={start:.4f},{end:.4f}"})
            parts += [samples, silence]
            at += len(samples) + len(silence)
        with atomic(folder / f"{code}.ogg") as temporary:
            soundfile.write(
                temporary,
                np.concatenate(parts),
                speech.RATE,
                format="OGG",
                subtype="OPUS",
                compression_level=COMPRESSION,
            )
            temporary.write_bytes(_numbered(temporary.read_bytes(), derive(SEED, code) & 0xFFFFFFFF))
    index = pd.DataFrame(rows)
    with atomic(folder / "index.csv") as temporary:
        index.to_csv(temporary, index=False)
    return index


def _numbered(ogg: bytes, serial: int) -> bytes:
    """The same Ogg stream with a fixed serial number, which libsndfile draws from the clock (RFC 3533)."""
    data, at = bytearray(ogg), 0
    while at < len(data):
        segments = data[at + 26]
        size = 27 + segments + sum(data[at + 27 : at + 27 + segments])
        data[at + 14 : at + 18] = serial.to_bytes(4, "little")
        data[at + 22 : at + 26] = bytes(4)
        data[at + 22 : at + 26] = _checksum(bytes(data[at : at + size])).to_bytes(4, "little")
        at += size
    return bytes(data)


def _table() -> list[int]:
    values = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        values.append(value)
    return values


_CRC = _table()


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32: polynomial 0x04c11db7, not reflected, from 0."""
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _CRC[value >> 24 ^ byte]
    return value


def main() -> None:
    index = rebuild(speech.folder())
    size = sum(file.stat().st_size for file in speech.folder().glob("*.ogg"))
    print(f"{len(index)} clips, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
