"""What `mini-speech` is worth on real speech: emotions by linear probes, and its speed.

    OMP_NUM_THREADS=1 python benchmarks/mini_speech.py --data ../shared/data/audio

Each speaker of EmoDB (German) and nEMO (Polish) is tested once by a logistic regression fitted on the others
of the same language; UAR in %, with 95 % intervals from resampled speakers. Beside it the same network with
random weights and the mean and deviation of its log-mel input. The texts recur across speakers. What the
encoder was chosen by is in its card.

    python benchmarks/mini_speech.py --random FOLDER

writes the same network with random weights instead, for `gelda extract --encoder FOLDER`.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from gelda import encoders
from gelda.datasets import open_source
from gelda.metrics.classification import uar
from gelda.pretrain import speech
from gelda.pretrain.probes import LinearProbe
from gelda.pretrain.speech_probe import arms
from gelda.seeds import numpy_generator

CORPORA = {"German (EmoDB)": "emodb/emodb.jsonl", "Polish (nEMO)": "nemo/nemo.jsonl"}
RESAMPLED = 1000


def by_speaker(z: np.ndarray, labels: np.ndarray, speakers: np.ndarray) -> tuple[float, float, float]:
    """UAR of predictions for speakers left out, and its interval, in %."""
    predicted, classes = np.empty_like(labels), int(labels.max()) + 1
    for speaker in np.unique(speakers):
        mine = speakers == speaker
        predicted[mine] = LinearProbe(z[~mine], labels[~mine]).model.predict(z[mine])
    rows = [np.flatnonzero(speakers == speaker) for speaker in np.unique(speakers)]
    rng, drawn = numpy_generator(0, "speakers"), []
    for _ in range(RESAMPLED):
        some = np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))])
        drawn.append(uar(labels[some], predicted[some], classes))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return 100 * uar(labels, predicted, classes), 100 * low, 100 * high


def speed(encoder: encoders.Encoder, seconds: float = 2.0, count: int = 64, batch: int = 16) -> float:
    """Clips a second of processor time."""
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=int(16000 * seconds)).astype(np.float32) for _ in range(count)]
    encoder.encode(clips[:batch])
    started = time.process_time()
    for i in range(0, count, batch):
        encoder.encode(clips[i : i + batch])
    return count / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description="mini-speech on real speech")
    parser.add_argument("--data", type=Path, help="folder of emodb/ and nemo/")
    parser.add_argument("--random", type=Path, help="write the network with random weights here and stop")
    options = parser.parse_args()
    if options.random:
        options.random.mkdir(parents=True)
        for name in ("config.json", "preprocessor_config.json"):
            shutil.copy(encoders.assets() / "encoders" / "mini-speech" / name, options.random)
        state = {name: value.contiguous() for name, value in speech.random().network.state_dict().items()}
        save_file(state, options.random / "model.safetensors")
        return
    if not options.data:
        parser.error("--data or --random is needed")
    torch.set_num_threads(1)
    trained = encoders.get("mini-speech").load()
    print(f"{speed(trained):.0f} clips of 2 s a second of one core\n")
    for title, file in CORPORA.items():
        source = open_source(str(options.data / file))
        table = source.manifest.table
        sounds = [trained.prepare(source.decode(uri)) for uri in table["uri"]]
        labels, speakers = table["label"].to_numpy(), table["group"].to_numpy()
        print(f"{title}: {len(table)} clips, {len(set(speakers))} speakers, {len(set(labels))} emotions\n")
        print("| latents | layer | pooling | UAR |\n|---|---|---|---|")
        for (arm, layer, pooling), z in arms(trained, speech.random(), sounds).items():
            score, low, high = by_speaker(z, labels, speakers)
            print(f"| {arm} | {layer} | {pooling} | {score:.1f} [{low:.1f}, {high:.1f}] |", flush=True)
        print()


if __name__ == "__main__":
    main()
