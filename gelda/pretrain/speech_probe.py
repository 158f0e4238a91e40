"""What ``mini-speech`` makes of new voices: linear probes, beside random weights and log-mel statistics.

Reported in the card and on real speech by `benchmarks/mini_speech.py`; nothing is chosen by these figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
import torch

from gelda.datasets import utterances
from gelda.datasets.utterances import HELD_OUT, Utterance
from gelda.encoders.base import pool_tokens
from gelda.encoders.whisper import Whisper
from gelda.pretrain.probes import LinearProbe, progress
from gelda.seeds import numpy_generator

LANGUAGES = ("de", "en", "es", "fr", "it", "pl")
REPEATS = 2  # utterances of each number in each language and voice
BATCH = 32
STATISTICS = "log-mel statistics"


def spoken_numbers() -> list[Utterance]:
    """One-word clips: zero to nine in six languages by the six voices held out, prosody drawn at random."""
    rng = numpy_generator(0, "mini-speech", "probe")
    cells = [(lang, voice, str(n)) for lang in LANGUAGES for voice in HELD_OUT for n in range(10)]
    return [utterances.draw(rng, [c[0]], [c[1]], c[2]) for _ in range(REPEATS) for c in cells]


def encode(encoder: Whisper, sounds: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Latents of all layers, [N, 2 D]: mean and deviation over real frames, one after the other."""
    encoder.select(encoder.widths, "mean+std")
    parts = [encoder.encode(sounds[i : i + BATCH]) for i in range(0, len(sounds), BATCH)]
    return {name: torch.cat([part[name] for part in parts]).numpy() for name in encoder.layers}


def log_mel_statistics(encoder: Whisper, sounds: Sequence[np.ndarray]) -> np.ndarray:
    """Mean and deviation over time of what the encoder reads, [N, 2 mels]; a long sound's first window."""
    rows = []
    for sound in sounds:
        part = sound[: encoder.window]
        features = encoder.extractor(part, sampling_rate=encoder.extractor.sampling_rate, return_tensors="pt")
        frames = features["input_features"].transpose(1, 2)  # [1, T, mels]
        real = torch.arange(frames.shape[1])[None] < -(-len(part) // encoder.extractor.hop_length)
        rows.append(pool_tokens(frames, "mean+std", 0, real)[0].numpy())
    return np.stack(rows)


@dataclass(frozen=True)
class Labels:
    """Of N clips: word, voice and language [N]; the rate and pitch that were set [N]."""

    word: np.ndarray
    voice: np.ndarray
    language: np.ndarray
    rate: np.ndarray
    pitch: np.ndarray

    @classmethod
    def of(cls, clips: Sequence[Utterance]) -> Labels:
        cells = len(LANGUAGES) * len(HELD_OUT) * 10
        return cls(
            np.arange(len(clips)) % cells % 10,
            np.array([HELD_OUT.index(clip.voice) for clip in clips]),
            np.array([LANGUAGES.index(clip.language) for clip in clips]),
            np.array([clip.rate for clip in clips], float),
            np.array([clip.pitch for clip in clips], float),
        )


def _folds(*groups: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(fit, test) masks: a test row's group is in no fit row, in any of the groupings."""
    pairs = np.stack(groups, 1)
    for pair in np.unique(pairs, axis=0):
        yield (pairs != pair).all(1), (pairs == pair).all(1)


def judge(z: np.ndarray, labels: Labels) -> dict[str, float]:
    """Of latents [N, D]: accuracies in %, R² in % of the rate and the pitch that were set.

    word: which of ten, in each language, by voices that the probe was not fitted on; word by one: the same,
    fitted on one voice; voice: by words it was not fitted on; language: by other voices and words; rate,
    pitch: ridge regression in five folds of clips.
    """
    voices, words = labels.voice % 3, labels.word % 2
    by_language = [labels.language == n for n in range(len(LANGUAGES))]

    def told(target: np.ndarray, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
        return mean(LinearProbe(z[fit], target[fit]).accuracy(z[test], target[test]) for fit, test in pairs)

    apart = [(fit & mine, test & mine) for mine in by_language for fit, test in _folds(voices)]
    alone = [(test & mine, fit & mine) for mine in by_language for fit, test in _folds(labels.voice)]
    return {
        "word": told(labels.word, apart),
        "word by one": told(labels.word, alone),
        "voice": told(labels.voice, _folds(words)),
        "language": told(labels.language, _folds(voices, words)),
        "rate": _explained(z, labels.rate),
        "pitch": _explained(z, labels.pitch),
    }


def _explained(z: np.ndarray, target: np.ndarray) -> float:
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 4, 9)))
    return 100 * float(
        r2_score(target, cross_val_predict(model, z, target, cv=KFold(5, shuffle=True, random_state=0)))
    )


def arms(
    trained: Whisper, random: Whisper, sounds: Sequence[np.ndarray]
) -> dict[tuple[str, str, str], np.ndarray]:
    """Latents to compare [N, D], by (arm, layer, pooling)."""
    table: dict[tuple[str, str, str], np.ndarray] = {}
    for arm, encoder in (("pre-trained", trained), ("random weights", random)):
        for layer, z in encode(encoder, sounds).items():
            table[arm, layer, "mean"] = z[:, : z.shape[1] // 2]
            table[arm, layer, "mean+std"] = z
    table[STATISTICS, "", "mean+std"] = log_mel_statistics(trained, sounds)
    return table


def probe(trained: Whisper, random: Whisper) -> dict[str, Any]:
    """A row for each arm, layer and pooling."""
    clips = spoken_numbers()
    labels, rows = Labels.of(clips), []
    for (arm, layer, pooling), z in arms(trained, random, [clip.samples for clip in clips]).items():
        progress(f"probe: {arm} {layer} {pooling}")
        scores = {name: round(value, 1) for name, value in judge(z, labels).items()}
        rows.append({"arm": arm, "layer": layer, "pooling": pooling, **scores})
    progress("probe: done", last=True)
    return {"clips": len(clips), "rows": rows}
