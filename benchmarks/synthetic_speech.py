"""Whether the speech demo answers itself: emotions of a left-out language by three plain ways.

    OMP_NUM_THREADS=1 python benchmarks/synthetic_speech.py [--encoder mini-speech]

UAR in % of a logistic regression on each language's clips, half of its speakers tested by the other half and
the reverse. Cross-entropy: trained on the other languages and on the language's own neutral clips. Mean
shift: the same, with each language's clips moved so that its neutral mean is the target's. In-language:
trained on the language's own clips of every emotion. Were mean shift near in-language, emotions would be one
shift and the demo would answer itself. Latents: mean and deviation of a log-mel spectrogram and mean size of
its steps over time; with --encoder, each layer of an encoder too.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gelda import datasets, encoders, media
from gelda.metrics.classification import uar
from gelda.seeds import numpy_generator

BANDS, WINDOW, HOP = 64, 400, 160
WAYS = ("cross-entropy", "mean shift", "in-language")


def log_mel(clip: media.Clip) -> np.ndarray:
    """Statistics of a log-mel spectrogram, [3 · BANDS]."""
    padded = np.pad(clip.samples, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    mel = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (60, 7800)), BANDS + 2)
    edges, hertz = 700 * (10 ** (mel / 2595) - 1), np.fft.rfftfreq(512, 1 / clip.rate)
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.clip(np.minimum((hertz - low) / (mid - low), (high - hertz) / (high - mid)), 0, None)
    level = np.log10(np.maximum(power @ triangles.T, 1e-8))
    return np.concatenate([level.mean(0), level.std(0), np.abs(np.diff(level, axis=0)).mean(0)])


def figures(z: np.ndarray, table: dict[str, np.ndarray], kept: int) -> np.ndarray:
    """UAR in %, [languages, WAYS]."""
    label, language, speaker = table["label"], table["subdomain"], table["group"]
    found = np.zeros((language.max() + 1, len(WAYS)))
    for target in range(len(found)):
        own, sources = np.flatnonzero(language == target), np.flatnonzero(language != target)
        speakers = numpy_generator(0, "halves", target).permutation(np.unique(speaker[own]))
        predicted = np.zeros((len(WAYS), len(own)), int)
        for half in np.array_split(speakers, 2):
            tested = np.isin(speaker[own], half)
            rest = own[~tested]
            neutral = rest[label[rest] == kept]
            moved = z.copy()
            for other in np.unique(language[sources]):
                of = (language == other) & (label == kept)
                moved[language == other] += z[neutral].mean(0) - z[of].mean(0)
            both = np.concatenate([sources, neutral])
            for way, (latents, rows) in enumerate(((z, both), (moved, both), (z, rest))):
                model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=300))
                predicted[way, tested] = model.fit(latents[rows], label[rows]).predict(z[own[tested]])
        found[target] = [100 * uar(label[own], p, label.max() + 1) for p in predicted]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="plain figures on the speech demo")
    parser.add_argument("--encoder", default="", help="also every layer of this encoder")
    parser.add_argument("--pooling", default="auto", help="how its layers are pooled")
    arguments = parser.parse_args()
    source = datasets.open_source("speech")
    rows = source.manifest.table
    clips = [source.decode(uri) for uri in rows["uri"]]
    latents = {"log-mel statistics": np.stack([log_mel(clip) for clip in clips])}
    if arguments.encoder:
        encoder = encoders.get(arguments.encoder).load()
        encoder.select(encoder.layers, arguments.pooling)
        sounds = [torch.as_tensor(encoder.prepare(clip)) for clip in clips]
        parts = [encoder.encode(sounds[i : i + 32]) for i in range(0, len(sounds), 32)]
        for layer in encoder.layers:
            latents[f"{arguments.encoder}, {layer}"] = torch.cat([p[layer] for p in parts]).double().numpy()
    names = source.manifest.subdomain_names
    table = {name: rows[name].to_numpy() for name in ("label", "subdomain", "group")}
    for name, z in latents.items():
        found = figures(z, table, source.manifest.class_names.index("neutral"))
        print(f"\n| {name} | {' | '.join(names)} | mean |\n|{'---|' * (len(names) + 2)}")
        for way, values in zip(WAYS, found.T, strict=True):
            print(f"| {way} | {' | '.join(f'{v:.1f}' for v in (*values, values.mean()))} |")


if __name__ == "__main__":
    main()
