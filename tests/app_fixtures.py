"""A small made-up run, written with the engine's own writers, for tests of pages and charts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from media_fixtures import picture, recording

from gelda import projection, report, runs
from gelda.artifacts import FORMAT, write_json, write_table, write_tensors
from gelda.augmenters import AUGMENTERS
from gelda.compare_config import resolve_compare
from gelda.config import resolve_config
from gelda.datasets import digits
from gelda.neighbours import find_neighbours
from gelda.points import head_scores, memorisation
from gelda.runs import STAGES

CLASSES, CONDITIONS = digits.CLASS_NAMES, digits.CONDITIONS
GROUPS = {"head": [0, 1, 4], "medium": [2, 3, 7], "tail": [5, 6, 8, 9]}
EMPTY = [(c, s) for c in GROUPS["tail"] for s in (1, 4)]
METHODS = {"ce": 0.62, "logit-adjustment": 0.74, "smote": 0.68, "gelda-paper": 0.75, "gelda": 0.77}
RUN = "20261121-080000-digits-0001"


def make_run(home: Path, run_id: str = RUN, seeds: int = 3) -> Path:
    """A finished run under ``home/runs``; GELDA_HOME must point at `home`."""
    state = runs.create_run(
        resolve_config(preset="tiny").model_dump(mode="json"), "Handwritten digits", "digits", run_id
    )
    path = state.path
    assert path == Path(home) / "runs" / run_id
    points, xy = _points()
    _write_points(path, points, xy)
    result = _report(state, seeds)
    write_json(path / "report.json", result)
    state.status, state.headline, state.stage = "done", result["headline"], "project"
    state.stages = [
        runs.StageState(name, title, "done", 100, 100, seconds=3.0 + k)
        for k, (name, title) in enumerate(STAGES.items())
    ]
    runs.save_state(state)
    return path


def make_unfinished(status: str, run_id: str, error: str | None = None) -> Path:
    """A run that never got to its report: running, failed, cancelled or interrupted."""
    config = resolve_config(preset="tiny").model_dump(mode="json")
    state = runs.create_run(config, "Handwritten digits", "digits", run_id)
    states = ["done", "done", "failed" if status == "failed" else "running", *["waiting"] * (len(STAGES) - 3)]
    state.stages = [
        runs.StageState(name, title, shown, 40 if shown == "running" else 0, 100, 2.0, remaining=9.0)
        for (name, title), shown in zip(STAGES.items(), states, strict=True)
    ]
    state.status, state.error, state.stage = status, error, "generate"
    runs.save_state(state)
    (state.path / "heartbeat").touch()
    return state.path


def make_broken(home: Path, run_id: str = "broken-run") -> Path:
    """A run folder whose run.json was cut off."""
    path = Path(home) / "runs" / run_id
    path.mkdir(parents=True)
    (path / "run.json").write_text('{"format": 1, "status": "do')
    return path


def _points() -> tuple[pd.DataFrame, np.ndarray]:
    """Real points of every cell but the empty ones, synthetic ones of every cell; one blob a class."""
    rng = np.random.default_rng(0)
    labels = digits.labels()
    rows, places = [], []
    for c in range(len(CLASSES)):
        own = np.flatnonzero(labels == c)
        centre = 6 * np.array([np.cos(0.63 * c), np.sin(0.63 * c)])
        for s, condition in enumerate(CONDITIONS):
            for k, image in enumerate(own[:6]):
                split = "train" if k < 3 else "dev"
                if split == "train" and (c, s) in EMPTY:
                    continue
                name = f"{image:04d}-{condition}"
                rows.append((name, f"digits:{image}/{s}", c, s, split, "real", "", True, f"{image:04d}"))
                places.append(centre + rng.normal(size=2) * 0.7)
    for c in range(len(CLASSES)):
        for s in range(len(CONDITIONS)):
            for _ in range(3):
                name = f"gelda-{sum(r[5] == 'synthetic' for r in rows):05d}"
                rows.append((name, "", c, s, "", "synthetic", "gelda", bool(rng.random() > 0.2), ""))
                places.append(6 * np.array([np.cos(0.63 * c), np.sin(0.63 * c)]) + rng.normal(size=2) * 0.8)
    columns = ["id", "uri", "label", "subdomain", "split", "origin", "method", "kept", "group"]
    points = pd.DataFrame(rows, columns=columns)
    said = rng.dirichlet(np.full(len(CLASSES), 0.2), len(points))
    points = points.assign(**head_scores(said, points["label"].to_numpy()))
    return points, np.asarray(places, dtype=np.float32)


def _write_points(path: Path, points: pd.DataFrame, xy: np.ndarray) -> None:
    layers = [
        projection.LayerInfo("stage2.1", "Encoder stage2.1", 2, False, False),
        projection.LayerInfo("adapter.1", "Adapter layer 1", 2, True, True),
    ]
    meta = {
        "class_names": CLASSES, "subdomain_names": CONDITIONS, "dataset": "digits",
        "groups": GROUPS, "empty_cells": EMPTY, "fm_layer": "stage2.1", "adapter_layer": 1,
        "layer_scores": {"stage2.1": 0.61},
        "layer_reason": "Stage 2.1 separates the classes best on held-out folds.",
    }  # fmt: skip
    _write_mapped(path, points, xy, layers, meta)


def _write_compared_points(path: Path, root: Path, media: str) -> None:
    """Two blobs a class; no training item of bee and cat by night, and test items of every cell."""
    rng = np.random.default_rng(3)
    rows = []
    for c in range(len(PETS)):
        for s in range(len(PLACES)):
            empty = c > 0 and s == 1
            rows += [(c, s, "train", "real", "")] * (0 if empty else 6) + [(c, s, "test", "real", "")] * 2
    rows += [(c, 1, "", "synthetic", "gelda") for c in (1, 2) for _ in range(4)]
    rows += [(c, 1, "", "synthetic", "gelda-paper") for c in (1, 2) for _ in range(3)]
    points = pd.DataFrame(rows, columns=["label", "subdomain", "split", "origin", "method"])
    points["id"] = [f"{r.method or 'item'}-{i:03d}" for i, r in enumerate(points.itertuples())]
    suffix = {"image": ".png", "audio": ".wav", "": ""}[media]
    real = points["origin"] == "real"
    points = points.assign(uri=(points["id"] + suffix).where(real & (media != ""), ""), kept=True, group="")
    for uri in points["uri"][points["uri"] != ""]:
        (picture if media == "image" else recording)(root / uri)
    xy = 5 * np.c_[points["label"], points["subdomain"]] + rng.normal(size=(len(points), 2))
    meta = {
        "class_names": PETS, "subdomain_names": PLACES, "dataset": "pets", "groups": {},
        "empty_cells": [(1, 1), (2, 1)], "fm_layer": "pool", "adapter_layer": 0, "layer_scores": {},
        "layer_reason": "Encoder layer pool, as set.", "media": media, "root": str(root),
        "notes": ["Seed 0."],
    }  # fmt: skip
    layers = [projection.LayerInfo("pool", "Encoder pool", 2, True, True)]
    _write_mapped(path, points, xy.astype(np.float32), layers, meta)


def _write_mapped(
    path: Path,
    points: pd.DataFrame,
    xy: np.ndarray,
    layers: list[projection.LayerInfo],
    meta: dict,
) -> None:
    """Points whose latents are their places on the map, and that map, at the generation layer."""
    real = np.zeros((len(meta["class_names"]), len(meta["subdomain_names"])), int)
    made = np.zeros_like(real)
    for row in points.itertuples():
        if row.split == "train":
            real[row.label, row.subdomain] += 1
        elif row.method == "gelda":
            made[row.label, row.subdomain] += 1
    write_json(
        path / "points.json",
        {
            "format": FORMAT,
            "key": "made-up",
            "layers": [layer.__dict__ for layer in layers],
            "scored_by": "gelda" if "loss" in points else "",
        },
    )
    near = find_neighbours(xy, points)
    write_tensors(path / "neighbours.safetensors", near)
    memorised = memorisation(points, near["distance"][:, 0])
    write_table(path / "points.parquet", points.assign(memorisation=memorised))
    for layer in layers:
        write_tensors(path / "points" / f"{layer.name}.safetensors", {"z": torch.from_numpy(xy).half()})
    counts = {"real": real, "synthetic": made, "display_seed": 0}
    write_json(path / "meta.json", {"format": FORMAT, **meta, **counts})
    (own,) = (layer for layer in layers if layer.generation_layer)
    key = "made-up-map"
    write_tensors(path / "maps" / f"{key}.safetensors", {"xy": xy})
    projection.write_map_info(
        projection.MapInfo(
            key=key, layer=own.name, layer_title=own.title, scope_kind="all", scope_name="",
            trustworthiness=0.93, n_neighbors=15, min_dist=0.5, seed=0, shown=len(points), state="done",
            fitted=int(points["split"].isin(["train", "dev"]).sum()), has_synthetic=True, message="",
            path=path / "maps" / f"{key}.json",
        )
    )  # fmt: skip


def _report(state: runs.RunState, seeds: int) -> dict:
    rng = np.random.default_rng(1)
    label = np.repeat(np.arange(len(CLASSES)), 40)
    subdomain = np.tile(np.arange(len(CONDITIONS)), len(label) // len(CONDITIONS))
    results = []
    for seed in range(seeds):
        predicted = {
            m: np.where(
                rng.random(len(label)) < share,
                label,
                (label + 1 + rng.integers(0, 3, len(label))) % len(CLASSES),
            )
            for m, share in METHODS.items()
        }
        counts = np.tile((180 / 1.4 ** np.arange(len(CLASSES))).astype(int)[:, None], (1, len(CONDITIONS)))
        group = np.array([f"{i // 2:04d}" for i in range(len(label))])
        results.append(report.SeedResult(seed, label, subdomain, group, predicted, counts, GROUPS, EMPTY))
    health = dict(
        variance_ratio=0.82, variance_ratio_tail=0.64, frechet=3.1, frechet_real=1.2, frechet_gaussian=4.8,
        memorisation=0.97, memorisation_real=1.0, kept_share=0.9,
    )  # fmt: skip
    return report.build(
        results, class_names=CLASSES, subdomain_names=CONDITIONS, health=[health],
        notes=["Writers are unknown and shared between the halves."], config=runs.read_spec(state.path),
        seconds=dict.fromkeys(STAGES, 4.0), run=state.id, name=state.name, demo="digits",
        setting="10 classes under 5 conditions; the 4 scarcest never seen slanted and inverted; 3 seeds.",
    )  # fmt: skip


COMPARISON = "compare-pets-longtail-class-00000001"
PETS, PLACES = ("ant", "bee", "cat"), ("day", "night")


def make_comparison(
    home: Path,
    run_id: str = COMPARISON,
    seeds: int = 5,
    status: str = "done",
    countable: bool = True,
    points: bool = False,
    media: str = "",
    **config: object,
) -> Path:
    """A run of `gelda compare` with every method, under ``home/runs``; GELDA_HOME must point at `home`.

    With `points`, its first seed's items and synthetic latents and their map are there, too; with `media`,
    a file for every item.
    """
    settings = resolve_compare({"bank": "/data/pets.npz", "seeds": seeds, **config}, "tiny")
    values = settings.model_dump(mode="json")
    state = runs.create_run(values, "pets, longtail class", "compare", run_id)
    state.stages = [runs.StageState(name, name, "done", 1, 1, 2.0) for name in ("select", "train", "report")]
    if status == "done":
        result = _compared(state, values, seeds)
        result["countable"] = countable
        write_json(state.path / "report.json", result)
        state.headline = result["headline"]
    if points:
        _write_compared_points(state.path, Path(home) / "files", media)
    state.status = status
    runs.save_state(state)
    assert state.path == Path(home) / "runs" / run_id
    return state.path


def _compared(state: runs.RunState, values: dict, seeds: int) -> dict:
    rng = np.random.default_rng(2)
    label, subdomain = np.tile(np.repeat([0, 1, 2], 30), 2), np.repeat([0, 1], 90)
    shares = {m: 0.55 + 0.01 * k for k, m in enumerate(AUGMENTERS)} | {"gelda": 0.99}
    transfer = values["protocol"] != "longtail"
    groups = {} if transfer else {"head": (0,), "medium": (1,), "tail": (2,)}
    cells = {k: tuple((c, s) for c in v for s in (0, 1)) for k, v in groups.items()}
    unseen = ((1, 1), (2, 1)) if values["protocol"] == "zero-shot" else ()
    if transfer:
        cells = {"tail": ((1, 1), (2, 1)), "unseen": unseen}

    def results(methods: list[str], less: float = 0.0) -> list[report.SeedResult]:
        found = []
        for seed in range(seeds):
            made = {
                m: np.where(rng.random(180) < shares[m] - less, label, (label + rng.integers(1, 3, 180)) % 3)
                for m in methods
            }
            counts = np.array([[60, 60], [20, 20], [2, 3]])
            found.append(
                report.SeedResult(
                    seed, label, subdomain, np.arange(180), made, counts, groups, unseen, cells=cells
                )
            )
        return found

    selection = {}
    for seed in range(seeds):
        forms = {"form plain, weight 0.3": 1.2, "form residual, weight 0.3": 1.1 - 0.01 * seed}
        settings = {m: {} for m in AUGMENTERS} | {
            "gelda": {"form": "residual", "weight": 0.3},
            "smote": {"weight": 1.0},
        }
        selection[str(seed)] = {
            "fm_layer": "pool", "tau": 1.5, "settings": settings,
            "scores": {"layer": {"pool": {"1": 1.3, "1.5": 1.2}}, "gelda": forms,
                       "smote": {"weight 1": 1.4, "weight 0.3": 1.6}},
        }  # fmt: skip
    result = report.build(
        results(list(AUGMENTERS)), class_names=PETS, subdomain_names=PLACES, health=[],
        notes=["GeLDA's form, in the order of the seeds: form residual."],
        config={**values, "selection": selection}, seconds={"select": 3.0, "train": 2.0}, run=state.id,
        name=state.name, demo="compare", setting="pets: long tail over classes, imbalance 100; 5 seeds.",
    )  # fmt: skip
    result["under_other_loss"] = report.method_table(results(["smote", "gelda"], 0.3), 3)
    if transfer:
        result["independence"] = {"items": 90, "groups": 10, "unnamed": 0, "shared": 0}
        result["folds"] = [
            {"seed": seed, "fold": fold, "subdomain": "night", "items": 45, "groups": 5,
             "figures": {m: {"overall": 50.0 + seed, "uar": 40.0 + fold, "macro_f1": 30.0} for m in shares}}
            for seed in range(seeds) for fold in (1, 2)
        ]  # fmt: skip
    return result
