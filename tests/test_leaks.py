"""Nothing before Confirm depends on the test half: planted otherwise, every file and page stays the same.

Each run is made twice, the second time with other labels and latents of its test items (of a comparison: of
the half that is Confirm's). The split stays, as it is drawn from labels on purpose.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import PLANTED_DATASET, PLANTED_ENCODER
from test_compare_points import a_bank
from test_pages import open_page, text
from test_pipeline import SETTINGS

from gelda import compare, compare_check, compare_kit, confirm, edit_jobs, edits, jobs, kit, runs
from gelda import samples as drawing
from gelda.artifacts import read_arrays
from gelda.compare_config import resolve_compare
from gelda.config import merged, resolve_config
from gelda.datasets import DATASETS
from gelda.edits import Add, Drop, Edits, Resample, Weight
from gelda.encoders import ENCODERS
from gelda.experiment import Experiment
from gelda.pipeline import execute

RUN = "leaks"
# what is measured on test items, and says so: the report before any edit, its predictions, what Confirm reads
OF_THE_TEST = ("report.json", "run.json", "predictions.safetensors", "/stages/train-", kit.TEST)
TIMES = ("created", "seconds", "pid", "host")


def digits_like(monkeypatch, planted: bool) -> None:
    """`gelda run` on planted clusters."""
    monkeypatch.setitem(DATASETS, "planted", PLANTED_DATASET)
    monkeypatch.setitem(ENCODERS, "planted", PLANTED_ENCODER)
    small = {"seeds": 1, "methods": ("logit-adjustment", "gelda"), "adapter": {"fm_layer": "deep"},
             "generator": {"steps": 30}}  # fmt: skip
    config = resolve_config(merged(SETTINGS, small), "tiny")
    state = runs.create_run(config.model_dump(mode="json"), "planted", "planted", RUN)
    monkeypatch.setattr("gelda.projection.project", lambda *_: None)  # a map is of points and latents
    if planted:
        start = Experiment.__init__

        def otherwise(self, *arguments):
            start(self, *arguments)
            rows = self.cut(0).rows("test")
            self.label = changed(self.label, rows)
            self.latents = {name: disturbed(z, rows) for name, z in self.latents.items()}

        monkeypatch.setattr(Experiment, "__init__", otherwise)
    execute(config, state)


def compared(monkeypatch, planted: bool) -> None:
    """`gelda compare` on ready latents."""
    bank = a_bank("long tail")
    values = {"bank": "b", "seeds": 1, "methods": ["logit-adjustment", "gelda"], "device": "cpu",
              "protocol": "longtail", "imbalance": 6, "adapter": {"fm_layer": "two"}}  # fmt: skip
    config = resolve_compare(values, "tiny")
    state = runs.create_run(config.model_dump(mode="json"), "planted", runs.COMPARISON, RUN)
    if planted:
        items, episodes = bank.items, compare_check.episodes
        (episode,) = episodes(config, items, 0)
        dev = compare_kit.halves(items.label[episode.test], items.group[episode.test], 0)
        rows = episode.test[~dev]
        latents = {name: disturbed(bank.load(name), rows) for name in bank.layers}
        other = replace(items, label=changed(items.label, rows))
        bank = replace(bank, items=other, load=latents.__getitem__)
        monkeypatch.setattr(compare_check, "episodes", lambda c, _, seed: episodes(c, items, seed))
        monkeypatch.setattr(compare_kit, "dev_half", lambda *_: dev)
    compare.execute(config, bank, state)


def changed(label: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Every test item in another class."""
    label = label.copy()
    label[rows] = (label[rows] + 1) % (label.max() + 1)
    return label


def disturbed(z: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
    z = z.clone()
    z[rows] = 5 + torch.randn(len(rows), z.shape[1], generator=torch.Generator().manual_seed(9)).to(z.dtype)
    return z


def edited() -> tuple[kit.Kit, Edits]:
    """A list with every kind of step that trains heads, and a set of latents to look at."""
    own = kit.load(runs.find_run(RUN))
    ids = tuple(own.table["id"][own.synthetic & own.table["kept"].to_numpy(bool)][:3])
    cell = ((own.classes[-1], own.subdomains[0]),)
    steps = (
        Drop(ids=ids),
        Weight(factor=0.5),
        Resample(cells=cell, seed=2),
        Add(cells=cell, count=4, seed=3),
    )
    mine = Edits(own.run.name, own.key)
    for step in steps:
        mine = mine.push(step)
    edits.save(mine)
    edit_jobs.work(RUN, mine.name, "refit")
    asked = drawing.SampleRequest(kind="way", start=(0, 0), count=3, num_inference_steps=2)
    jobs.make_samples(RUN, drawing.note(own.run, asked, "running"))
    return own, mine


def files(home: Path) -> dict[str, object]:
    """Every file that was left but what is of the test items: its bytes, of JSON the values but times."""
    found: dict[str, object] = {}
    for file in sorted(home.rglob("*")):
        name = str(file.relative_to(home))
        if not file.is_file() or any(part in name for part in (*OF_THE_TEST, "/jobs/")):
            continue
        if file.suffix == ".json":
            found[name] = untimed(json.loads(file.read_text()))
        elif file.suffix == ".parquet":
            found[name] = file.read_bytes()
        elif file.suffix == ".safetensors":  # its header has remarks in any order
            found[name] = {key: (z.dtype, z.shape, z.tobytes()) for key, z in read_arrays(file).items()}
    return found


def untimed(value):
    if isinstance(value, dict):
        return {k: untimed(v) for k, v in value.items() if k not in TIMES}
    return [untimed(v) for v in value] if isinstance(value, list) else value


def page() -> tuple[str, list[str]]:
    """What the edit panel says, and its figures."""
    shown = open_page("explore", run=RUN, panel="edit")
    assert not shown.exception
    return text(shown), [chart.proto.spec for chart in shown.get("plotly_chart")]


@pytest.mark.parametrize("make", [digits_like, compared])
def test_other_test_labels_and_latents_change_nothing_before_confirm(make, tmp_path, monkeypatch):
    seen, looks = [], []
    for planted in (False, True):
        with monkeypatch.context() as patch:
            patch.setenv("GELDA_HOME", str(tmp_path / str(planted)))
            patch.setattr(runs, "shipped_runs", lambda: [])
            make(patch, planted)
            own, mine = edited()
            seen.append((files(tmp_path / str(planted)), page()))
            looks.append(confirm.confirm(own, mine))
    (before, shown), (after, shown_then) = seen
    names = {name.split("/")[-1] for name in before}
    assert {"points.parquet", "kit.parquet", "neighbours.safetensors", "head-4.safetensors"} <= names
    assert any("/made/" in name for name in before) and any(name.startswith("samples/") for name in before)
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] == []
    assert shown == shown_then and "points on dev" in shown[0] and shown[1]
    assert looks[0]["dev"] == looks[1]["dev"] and looks[0]["test"] != looks[1]["test"], "Confirm does see it"
