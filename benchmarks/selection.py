"""Which score should choose settings? Raw and calibrated log-loss, UAR and unseen recall on validation alone.

    python benchmarks/selection.py ../shared/data/banks/ser3_yamnet.npz --target polish --keep neutral

For every encoder layer: arms under some of their settings, trained and scored on the pseudo-targets of one
seed (100, which no comparison uses by default); τ is fixed at --tau. No label of the target is read.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gelda import metrics, protocols
from gelda.arms import Setting, describe
from gelda.choices import Choosing
from gelda.compare_config import resolve_compare
from gelda.ready import open_bank

TRIALS: list[tuple[str, Setting]] = [
    ("mixup", {"alpha": 1.0}),
    *(("mean-shift", {"weight": w}) for w in (0.3, 1.0)),
    *(("subdomain-norm", {"prior": p}) for p in (10.0, 100.0)),
    *(
        ("gelda", {"form": form, "weight": w})
        for form in ("plain", "residual", "aligned")
        for w in (0.1, 0.3, 1.0, 3.0)
    ),
]


def figures(true: NDArray[np.int64], logits: NDArray[np.float64], kept: int | None) -> list[float]:
    """Raw class-mean log-loss, calibrated, its temperature, UAR and recall of the classes not kept, in %."""
    shifted = logits - logits.max(1, keepdims=True)
    chance = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
    recalls = 100 * metrics.recalls(true, logits.argmax(1), logits.shape[1])
    unseen = np.delete(recalls, kept) if kept is not None else recalls
    raw = metrics.class_mean_log_loss(true, chance, least=1)
    return [raw, *metrics.calibrated_log_loss(true, logits), np.nanmean(recalls), np.nanmean(unseen)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("bank", type=Path)
    parser.add_argument("--target", required=True)
    parser.add_argument("--keep", required=True)
    parser.add_argument("--tau", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=100)
    asked = parser.parse_args()
    values = {"protocol": "zero-shot", "target": asked.target, "keep": asked.keep, "bank": str(asked.bank)}
    bank = open_bank(asked.bank)
    with tempfile.TemporaryDirectory() as folder:
        bench = Choosing(resolve_compare(values), bank, lambda: None, Path(folder))
        inner = protocols.validation(bank.items, bench.episodes(asked.seed)[0])
        trials = [("logit-adjustment", {"tau": asked.tau}), *TRIALS]
        print("| layer | arm | raw log-loss | calibrated | T | UAR | unseen |\n|" + "---|" * 7)
        for layer in bank.layers:
            heads = bench.trials(inner, layer, asked.tau, trials, asked.seed)
            for (name, setting), own in zip(trials, heads, strict=True):
                every = []
                for trial in own:
                    e = inner[trial.episode]
                    true = np.array([e.classes.index(c) for c in bank.items.label[e.test]])
                    kept = None if e.kept is None else e.classes.index(e.kept)
                    every.append(figures(true, trial.logits.double().numpy(), kept))
                raw, calibrated, t, uar, unseen = np.mean(every, axis=0)
                print(
                    f"| {layer} | {name}, {describe(setting)} | {raw:.3f} | {calibrated:.3f} | {t:.1f} | "
                    f"{uar:.1f} | {unseen:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
