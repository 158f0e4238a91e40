"""A small run with a kit, planted: classes apart, and synthetic latents of one that lie on another."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pandas as pd
import torch

from gelda import edits, kit, projection, refit, runs
from gelda.adapter import HeadPlan
from gelda.artifacts import FORMAT, write_json, write_table, write_tensors
from gelda.config import resolve_config
from gelda.neighbours import find_neighbours

CLASSES, PLACES, DIM = ("ant", "bee", "cat", "dog"), ("day", "night"), 8
TRAIN = {"ant": 40, "bee": 30, "cat": 20, "dog": 4}  # dog is the tail
BAD = 20  # synthetic "dog" that lie on the ants
GOOD = 6
RUN = "20261121-080000-planted-0001"
CENTRES = 2.2 * np.random.default_rng(5).normal(size=(len(CLASSES), DIM))
ADAPTER = {"hidden": [16], "steps": 60, "tune_steps": 60, "batch_size": 32, "learning_rate": 0.005}


def make_run(run_id: str = RUN, map_too: bool = True) -> Path:
    """A finished run under GELDA_HOME with points, one map and a kit; no stage folders."""
    config = resolve_config({"adapter": ADAPTER}, "tiny")
    state = runs.create_run(config.model_dump(mode="json"), "Planted", "digits", run_id)
    points, z = _points()
    path = state.path
    layer = projection.LayerInfo("deep", "Encoder deep", DIM, True, True)
    write_tensors(path / "points" / "deep.safetensors", {"z": torch.from_numpy(z).half()})
    write_tensors(path / "neighbours.safetensors", find_neighbours(z, points))
    write_table(path / "points.parquet", points)
    write_json(path / "points.json", {"format": FORMAT, "key": "planted", "layers": [layer.__dict__]})
    train = points[points["split"] == "train"]
    counts = np.zeros((len(CLASSES), len(PLACES)), int)
    np.add.at(counts, (train["label"], train["subdomain"]), 1)
    made = np.zeros_like(counts)
    own = points[points["origin"] == "synthetic"]
    np.add.at(made, (own["label"], own["subdomain"]), 1)
    groups = {"head": [0], "medium": [1, 2], "tail": [3]}
    empty = np.argwhere(counts == 0).tolist()
    meta = {
        "class_names": CLASSES, "subdomain_names": PLACES, "dataset": "planted", "real": counts,
        "synthetic": made, "groups": groups, "empty_cells": empty, "display_seed": 0, "fm_layer": "deep",
        "adapter_layer": 0, "layer_reason": "", "layer_scores": {},
    }  # fmt: skip
    write_json(path / "meta.json", {"format": FORMAT, **meta})
    write_json(path / "report.json", {"format": FORMAT, "seeds": [0]})
    about = {
        "class_names": CLASSES, "subdomain_names": PLACES, "groups": groups, "cells": None, "empty": empty,
        "by_cell": False, "main": "tail", "arm": "gelda", "layer": 0, "seed": 0, "weight": 1.0,
        "plan": HeadPlan("logit-adjustment", 1.0, recipe="joint").__dict__, "adapter": ADAPTER,
        "widths": (DIM, 16), "dtype": "float32", "test": 160,
    }  # fmt: skip
    rows = np.arange(len(points))
    level = (points["origin"] == "synthetic").astype(np.int64)
    test = _items(np.random.default_rng(2), "test", 20)
    kit.write(
        path,
        about,
        points.assign(level=level, point=rows),
        {"z": torch.zeros(0, DIM)},
        {
            "z": torch.from_numpy(test.pop("z")),
            "label": test["label"],
            "subdomain": test["subdomain"],
            "group": np.arange(len(test["label"])),
        },
        [f"test-{i:03d}" for i in range(len(test["label"]))],
    )
    if map_too:
        _map(path, z, len(points))
    state.status = "done"
    runs.save_state(state)
    return path


def _items(rng: np.random.Generator, split: str, each: int) -> dict[str, np.ndarray]:
    label = np.repeat(np.arange(len(CLASSES)), 2 * each)
    subdomain = np.tile(np.repeat([0, 1], each), len(CLASSES))
    z = CENTRES[label] + 0.4 * subdomain[:, None] + rng.normal(size=(len(label), DIM))
    return {"label": label, "subdomain": subdomain, "z": z.astype(np.float32)}


def _points() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(1)
    frames, latents = [], []

    def add(label: np.ndarray, subdomain: np.ndarray, z: np.ndarray, **columns: object) -> None:
        frames.append(pd.DataFrame({"label": label, "subdomain": subdomain, **columns}))
        latents.append(z.astype(np.float32))

    for c, name in enumerate(CLASSES):
        n = TRAIN[name]
        s = np.zeros(n, int) if name == "dog" else np.arange(n) % 2  # dog is never seen by night
        z = CENTRES[c] + 0.4 * s[:, None] + rng.normal(size=(n, DIM))
        add(np.full(n, c), s, z, split="train", origin="real", method="", kept=True)
    dev = _items(rng, "dev", 20)
    add(dev["label"], dev["subdomain"], dev["z"], split="dev", origin="real", method="", kept=True)
    for centre, n, kept in ((0, BAD, True), (3, GOOD, True), (3, 2, False)):
        z = CENTRES[centre] + 0.3 * rng.normal(size=(n, DIM))
        add(np.full(n, 3), np.arange(n) % 2, z, split="", origin="synthetic", method="gelda", kept=kept)
    points = pd.concat(frames, ignore_index=True)
    real = (points["origin"] == "real").to_numpy()
    number = np.arange(len(points))
    points["id"] = np.where(
        real, [f"item-{i:03d}" for i in number], [f"gelda-{i - real.sum():05d}" for i in number]
    )
    points["group"] = np.where(real, points["id"], "")
    points["uri"] = ""
    return points, np.concatenate(latents)


class Generator:
    """Makes latents about the centre of their class."""

    def sample(self, label: int, subdomain: int, count: int, *, seed: int, **_: object) -> SimpleNamespace:
        noise = np.random.default_rng((seed, label, subdomain)).normal(size=(count, DIM))
        z = CENTRES[label] + 0.4 * subdomain + 0.3 * noise
        return SimpleNamespace(latents=torch.from_numpy(z.astype(np.float32)))


def edit(path: Path, *steps: edits.Step) -> edits.Edits:
    """Put these steps into a run's list, and make the latents that they ask for."""
    own = kit.load(path)
    mine = edits.Edits(path.name, own.key, steps=steps, at=len(steps))
    edits.save(mine)
    with mock.patch("gelda.generator_kit.load", lambda run: Generator()):
        for one in edits.applied(own, steps).made:
            refit.made_latents(own, one)
    return mine


def bad_ids() -> tuple[str, ...]:
    """Ids of the synthetic latents that do not belong."""
    return tuple(f"gelda-{i:05d}" for i in range(BAD))


def _map(path: Path, z: np.ndarray, count: int) -> None:
    write_tensors(path / "maps" / "planted-map.safetensors", {"xy": z[:, :2].copy()})
    projection.write_map_info(
        projection.MapInfo(
            key="planted-map", layer="deep", layer_title="Encoder deep", scope_kind="all", scope_name="",
            trustworthiness=0.9, n_neighbors=15, min_dist=0.5, seed=0, shown=count, state="done",
            fitted=count, has_synthetic=True, message="", path=path / "maps" / "planted-map.json",
        )
    )  # fmt: skip
