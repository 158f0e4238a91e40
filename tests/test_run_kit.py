"""The kit that `gelda run` leaves: its head, trained again, says what the run's own head said."""

import dataclasses

import numpy as np
import pytest
import torch
from conftest import PLANTED_DATASET, PLANTED_ENCODER
from test_pipeline import SETTINGS

from gelda import edits, kit, runs
from gelda.artifacts import read_tensors
from gelda.config import merged, resolve_config
from gelda.datasets import DATASETS
from gelda.encoders import ENCODERS
from gelda.pipeline import execute
from gelda.refit import Bench

METHODS = ("logit-adjustment", "gelda")


@pytest.mark.parametrize("changes", [
    {},
    {"generator": {"adapter_layer": 1}},
    {"generator": {"form": "aligned"}, "sampling": {"recipe": "real-last"}},
    {"adapter": {"class_start": "mean", "head": "cosine"}},
], ids=["plain", "adapter layer 1", "aligned, real last", "cosine from semantics"])  # fmt: skip
def test_its_head_again_says_what_the_runs_head_said(changes, monkeypatch):
    monkeypatch.setitem(DATASETS, "planted", PLANTED_DATASET)
    monkeypatch.setitem(ENCODERS, "planted", PLANTED_ENCODER)
    small = {"seeds": 1, "methods": METHODS, "adapter": {"fm_layer": "deep"}, "generator": {"steps": 30}}
    config = resolve_config(merged(merged(SETTINGS, small), changes), "tiny")
    state = runs.create_run(config.model_dump(mode="json"), "planted", "planted", "kit")
    monkeypatch.setattr("gelda.projection.project", lambda *_: None)
    execute(config, state)
    found = kit.load(state.path)
    (file,) = state.path.glob("stages/finetune-0-*/predictions.safetensors")
    stored = read_tensors(file)
    bench = Bench(found)
    head = bench.head(edits.applied(found, []), found.about["seed"])
    z, items = kit.load_test(state.path)
    test = bench.prepared(torch.from_numpy(z), items["subdomain"].to_numpy())
    for half, latents in (("dev", bench.z[torch.from_numpy(found.rows("dev"))]), ("test", test)):
        own = stored[half][METHODS.index("gelda")].argmax(-1).numpy()
        assert (bench.predicted(head, latents) == own).mean() > 0.99, "points keep half precision"
    assert (~found.table["kept"]).sum() > 0, "what the filter set aside is there, and not used"
    assert found.key == kit.load(state.path).key
    assert dataclasses.replace(found, about={**found.about}).latents().dtype == np.float32
