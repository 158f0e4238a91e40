"""How often the 95 % interval of a refit holds the truth: real heads, planted latents, fresh dev items.

    python benchmarks/refit_intervals.py          # 500 experiments a row: 4 minutes on 1 core
    python benchmarks/refit_intervals.py 100      # fewer experiments a row

One training set: four classes, of which one has 4 real latents and 40 synthetic ones, some of them on another
class; the edit drops these. Every experiment draws 5 of 16 head seeds, with replacement, and fresh dev items
(alone, or five to a group that share a displacement), and asks for the interval that a page shows. The truth
is the mean change over all head seeds on a large population: what the interval speaks of, with this generator
and these latents. Prints coverage, mean half-width (points) and how often the interval is a single point, of
those experiments in which an interval is shown: dashes where items always lie in too few groups for one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gelda import edits
from gelda.adapter import HeadPlan
from gelda.edit_figures import HEADS, difference
from gelda.kit import Kit
from gelda.refit import Bench

CLASSES, DIM, TAIL = 4, 8, 3
TRAIN, MADE = (40, 30, 20, 4), 40
ADAPTER = {"hidden": [16], "steps": 60, "tune_steps": 60, "batch_size": 32, "learning_rate": 0.005}
POPULATION = 20_000  # items that the truth is measured on
MEASURES = ("tail", "uar", "overall")


@dataclass(frozen=True)
class Case:
    """Dev items of each class, how many share a group, and the spread of what a group shares."""

    name: str
    each: int
    together: int = 1
    shared: float = 0.0


CASES = (
    Case("40 items of a class", 40),
    Case("20 items of a class", 20),
    Case("10 items of a class", 10),
    Case("5 items of a class", 5),
    Case("40 of a class, groups of 5", 40, 5, 0.7),
    Case("100 of a class, groups of 5", 100, 5, 0.7),
)


def centres() -> np.ndarray:
    return 1.1 * np.random.default_rng(5).normal(size=(CLASSES, DIM))


def latents(rng: np.random.Generator, label: np.ndarray, shift: np.ndarray | float = 0.0) -> np.ndarray:
    return (centres()[label] + shift + rng.normal(size=(len(label), DIM))).astype(np.float32)


def problem(bad: int, seed: int = 0) -> tuple[Bench, tuple[str, ...]]:
    """A training set and the ids of synthetic latents that lie on the first class."""
    rng = np.random.default_rng(seed)
    real, made = np.repeat(np.arange(CLASSES), TRAIN), np.full(MADE, TAIL)
    wrong = np.arange(MADE) < bad
    z = np.concatenate([latents(rng, real), latents(rng, np.where(wrong, 0, made))])
    label = np.r_[real, made]
    synthetic = np.arange(len(label)) >= len(real)
    table = pd.DataFrame(
        {
            "id": [f"item-{i}" for i in range(len(label))],
            "label": label,
            "subdomain": 0,
            "group": "",
            "split": np.where(synthetic, "", "train"),
            "origin": np.where(synthetic, "synthetic", "real"),
            "kept": True,
            "level": synthetic.astype(int),
            "point": -1,
        }
    )
    about = {
        "key": "planted", "class_names": [f"class {c}" for c in range(CLASSES)], "subdomain_names": ["all"],
        "groups": {"head": [0], "medium": [1, 2], "tail": [TAIL]}, "cells": None, "empty": [],
        "by_cell": False, "layer": 0, "seed": 0, "weight": 1.0, "adapter": ADAPTER, "widths": (DIM, 16),
        "plan": HeadPlan("logit-adjustment", 1.0, recipe="joint").__dict__, "dtype": "float32",
    }  # fmt: skip
    kit = Kit(Path("planted"), about, table, {"z": z})
    return Bench(kit, z), tuple(table["id"][synthetic][wrong])


def trained(bench: Bench, drop: tuple[str, ...], heads: int) -> dict[str, list[torch.nn.Module]]:
    """Heads before and after the edit, of the same seeds."""
    states = {"before": (), "after": (edits.Drop(ids=drop),)}
    return {
        name: [bench.head(edits.applied(bench.kit, steps), 10_000 * k) for k in range(heads)]
        for name, steps in states.items()
    }


def items(rng: np.random.Generator, case: Case) -> tuple[pd.DataFrame, torch.Tensor]:
    """Fresh dev items: a group lies in one class, as originals and takes do."""
    label = np.repeat(np.arange(CLASSES), case.each)
    group = np.arange(len(label)) // case.together
    shift = case.shared * rng.normal(size=(group.max() + 1, DIM))
    table = pd.DataFrame({"label": label, "subdomain": 0, "group": group})
    return table, torch.from_numpy(latents(rng, label, shift[group]))


def predicted(bench: Bench, heads: dict[str, list], z: torch.Tensor) -> dict[str, np.ndarray]:
    """Classes [heads, M] that every head gives."""
    return {state: np.stack([bench.predicted(h, z) for h in own]) for state, own in heads.items()}


def changes(bench: Bench, said: Mapping[str, np.ndarray], table: pd.DataFrame) -> dict[str, dict]:
    """Every measure's change with its interval, and the recall of the class that was edited."""
    found = difference(bench.kit, list(said["before"]), list(said["after"]), table)
    return {**{name: found["measures"][name] for name in MEASURES}, "class": found["classes"][TAIL]}


def truth(bench: Bench, heads: dict[str, list], case: Case, seed: int = 1) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    table, z = items(rng, Case("", POPULATION // CLASSES // case.together * case.together, case.together,
                               case.shared))  # fmt: skip
    return {name: pair["mean"] for name, pair in changes(bench, predicted(bench, heads, z), table).items()}


def coverage(
    bench: Bench, heads: dict[str, list], case: Case, experiments: int, seed: int = 2
) -> pd.DataFrame:
    """One row an experiment and measure: is the truth inside, half-width, is the interval a point."""
    true, rng, rows = truth(bench, heads, case), np.random.default_rng(seed), []
    for _ in range(experiments):
        table, z = items(rng, case)
        some = rng.integers(len(heads["before"]), size=HEADS)
        drawn = {state: [own[k] for k in some] for state, own in heads.items()}
        for name, pair in changes(bench, predicted(bench, drawn, z), table).items():
            low, high = pair["ci95"]
            inside = low - 1e-9 <= true[name] <= high + 1e-9
            rows.append((name, inside, (high - low) / 2, low == high, low > 0 or high < 0))
    return pd.DataFrame(rows, columns=["measure", "inside", "half", "point", "certain"])


def main(experiments: int, heads: int = 16) -> None:
    print("| edit | dev items | measure | true change | coverage | half-width | a single point |")
    print("|---|---|---|---|---|---|---|")
    for bad in (24, 3):
        bench, drop = problem(bad)
        both = trained(bench, drop, heads)
        for case in CASES:
            true, found = truth(bench, both, case), coverage(bench, both, case, experiments)
            for name, rows in found.groupby("measure", sort=False):
                what = f"{bad} of {MADE} dropped | {case.name} | {name} | {true[str(name)]:+.2f}"
                rows = rows[rows["half"].notna()]
                if not len(rows):
                    print(f"| {what} | – | – | – |", flush=True)
                    continue
                share, half, point = rows["inside"].mean(), rows["half"].mean(), rows["point"].mean()
                print(f"| {what} | {100 * share:.1f} % | {half:.1f} | {100 * point:.1f} % |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
