"""What a comparison leaves for Explore: rows, latents and labels belong together, and cost little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from bank_fixtures import photo_items, planted_latents, ready_bank, speech_items

from gelda import compare, compare_kit, compare_points, generator_kit, projection, runs
from gelda.artifacts import read_json
from gelda.compare_check import compare_key
from gelda.compare_config import resolve_compare
from gelda.neighbours import load_neighbours
from gelda.projection import thinned

METHODS = ["logit-adjustment", "gelda-paper", "gelda"]
CASES = {
    "long tail": {"protocol": "longtail", "imbalance": 6},
    "zero-shot": {"protocol": "zero-shot", "target": "polish", "keep": "neutral"},
    "at an adapter layer": {"protocol": "few-shot", "target": "polish", "shots": 2, "adapter_layer": 1},
    "weighted layers": {"protocol": "longtail", "imbalance": 6, "adapter": {"fm_layer": "weighted"}},
    "three classes": {
        "protocol": "zero-shot",
        "target": "english",
        "keep": "joy",
        "classes": ("anger", "joy", "fear"),
    },
    "no generator": {"protocol": "longtail", "imbalance": 6, "methods": ["ce", "logit-adjustment"]},
}


MORE_LAYERS = {"at an adapter layer": ["adapter.1"], "weighted layers": ["weighted"]}


def a_bank(case: str):
    items = photo_items(a_cell=24) if CASES[case]["protocol"] == "longtail" else speech_items()
    layers = {"one": planted_latents(items, 6), "two": planted_latents(items, 6, seed=3)}
    return replace(ready_bank(items, layers), note="Made up.")


def executed(case: str, **change):
    bank = a_bank(case)
    values = {"bank": "b", "seeds": 1, "methods": METHODS, "device": "cpu", **CASES[case], **change}
    if "fm_layer" not in values.get("adapter", {}):
        values["adapter"] = {"fm_layer": "two"}
    config = resolve_compare(values, "tiny")
    state = runs.create_run(config.model_dump(mode="json"), "planted", runs.COMPARISON, "one")
    compare.execute(config, bank, state)
    return config, bank, state.path


@pytest.mark.parametrize("case", CASES)
def test_points_carry_the_labels_and_latents_of_their_items(case):
    config, bank, run = executed(case)
    state = runs.read_state(run)
    assert state.status == "done" and state.mapped and [s.name for s in state.stages] == list(compare.STAGES)
    points, meta = projection.load_points(run), read_json(run / "meta.json")
    assert meta["caution"] == read_json(run / "report.json")["caution"] == bank.note == "Made up."
    (episode, *_) = compare.episodes(config, bank.items, 0)
    real = points[points["origin"] == "real"]
    tested = episode.test
    if "gelda" in config.methods:  # it can be edited: what Confirm reads is not shown
        tested = tested[compare_kit.halves(bank.items.label[tested], bank.items.group[tested], 0)]
        assert any("for Confirm alone" in note for note in meta["notes"])
    for split, rows in (("train", episode.train), ("test", tested)):
        assert list(real[real["split"] == split]["id"]) == [str(row) for row in rows]
    at = real["id"].astype(int).to_numpy()  # the planted bank's ids are row numbers
    names = np.array(meta["class_names"])[real["label"]], np.array(meta["subdomain_names"])[real["subdomain"]]
    assert (names[0] == np.array(bank.items.class_names)[bank.items.label[at]]).all()
    assert (names[1] == np.array(bank.items.subdomain_names)[bank.items.subdomain[at]]).all()

    for layer in bank.layers:
        raw = bank.load(layer)
        train = raw[torch.from_numpy(episode.train)]
        expected = (raw[torch.tensor(at)] - train.mean(0)) / train.std(0, unbiased=False)
        shown = projection.load_latents(run, layer)
        np.testing.assert_allclose(shown[: len(real)], expected, atol=5e-3)  # kept as fp16
        if layer != projection.generation_layer(run):
            assert np.isnan(shown[len(real) :]).all()
    z = projection.load_latents(run, projection.generation_layer(run))
    assert z.shape[0] == len(points) and np.isfinite(z).all()

    found = projection.layers(run)
    assert [layer.name for layer in found] == ["one", "two", *MORE_LAYERS.get(case, [])]
    if "gelda" in config.methods:
        own = [layer.name for layer in found if layer.has_synthetic]
        assert own == [projection.generation_layer(run)]

    counts = np.zeros_like(meta["real"])
    own = real[real["split"] == "train"]
    np.add.at(counts, (own["label"], own["subdomain"]), 1)
    np.testing.assert_array_equal(meta["real"], counts)
    made = points[points["method"] == "gelda"]
    assert len(made) == np.sum(meta["synthetic"])
    assert bool(len(made)) == ("gelda" in config.methods) and not made["split"].any()
    near, _ = load_neighbours(run)
    assert set(points["split"].iloc[np.unique(near[near >= 0])]) == {"train"}, "never a test item"

    test = points["split"] == "test"
    assert points["memorisation"][test].isna().all() and points["memorisation"][~test].notna().any()
    assert read_json(run / "points.json")["scored_by"] == ("gelda" if len(made) else "")
    if len(made):
        scored = points[~test]
        assert (points["predicted"][test] == -1).all(), "test items are read by nobody before they are asked"
        assert points[["confidence", "loss"]][test].isna().all(axis=None)
        assert scored["confidence"].between(0, 1).all() and (scored["loss"] >= 0).all()
        right = scored["predicted"] == scored["label"]
        np.testing.assert_allclose(scored["loss"][right], -np.log(scored["confidence"][right]), atol=1e-4)
        _its_generator_draws_them_again(run, made)
    else:
        assert "loss" not in points and not (run / "generator.json").is_file()


def _its_generator_draws_them_again(run, made):
    """The kit of the arm whose latents are shown, and the head that scored them."""
    kit, z = generator_kit.load(run), projection.load_latents(run, projection.generation_layer(run))
    for (c, s), rows in made.groupby(["label", "subdomain"]):
        again = kit.sample(c, s, len(rows)).latents
        np.testing.assert_allclose(again, z[rows.index], atol=5e-3)  # kept as fp16
        said = kit.head(again, torch.full((len(rows),), s))
        np.testing.assert_allclose(said[np.arange(len(rows)), said.argmax(1)], rows["confidence"], atol=5e-3)


def test_a_comparison_from_before_generators_were_kept_makes_its_own_when_resumed():
    config, bank, run = executed("long tail")
    before = projection.points_key(run)
    (run / "generator.json").unlink()
    compare.execute(config, bank, runs.read_state(run))
    assert generator_kit.load(run).sample(0, 0, 2).latents.isfinite().all()
    assert projection.points_key(run) == before


def test_scores_belong_to_their_rows():
    trained = {"fm_layer": "two", "tune_steps": 300, "batch_size": 64}
    _, _, run = executed("long tail", adapter=trained)
    points = projection.load_points(run)
    right = (points["predicted"] == points["label"]).groupby(points["split"] + points["method"]).mean()
    assert right["train"] > 0.9 and right["test"] == 0, "a shuffled row would be right by chance only"


def test_synthetic_latents_are_those_that_heads_were_trained_on(monkeypatch):
    seen = {}
    train_one = compare.Comparison._train_one

    def spied(self, episode, choice, tick):
        candidates_of = self._candidates

        def kept(*arguments, **more):
            for candidate in candidates_of(*arguments, **more):
                seen.setdefault(candidate.arm, candidate.made.latents)
                yield candidate

        monkeypatch.setattr(self, "_candidates", kept)
        found = train_one(self, episode, choice, tick)
        monkeypatch.setattr(self, "_candidates", candidates_of)
        return found

    monkeypatch.setattr(compare.Comparison, "_train_one", spied)
    _, _, run = executed("long tail")
    points, z = projection.load_points(run), projection.load_latents(run, "two")
    for method in points["method"][points["method"] != ""].unique():
        made = seen[method].half().float().numpy()
        np.testing.assert_array_equal(z[(points["method"] == method).to_numpy()], made)


def test_points_are_kept_and_change_with_what_they_are_of(monkeypatch):
    config, bank, run = executed("long tail")
    report, written = read_json(run / "report.json"), (run / "points.parquet").stat().st_mtime_ns
    compare.execute(config, bank, runs.read_state(run))
    assert (run / "points.parquet").stat().st_mtime_ns == written
    again = read_json(run / "report.json")
    assert {k: v for k, v in again.items() if k != "seconds"} == {
        k: v for k, v in report.items() if k != "seconds"
    }
    compare.execute(
        config.model_copy(update={"methods": ("ce", "logit-adjustment")}), bank, runs.read_state(run)
    )
    assert (run / "points.parquet").stat().st_mtime_ns > written
    assert set(projection.load_points(run)["origin"]) == {"real"}


def test_a_map_changes_no_figure_s_key():
    bank = a_bank("long tail")
    keys = {
        compare_key(resolve_compare({"bank": "b", **change}), bank)
        for change in ({}, {"map": False}, {"projection": {"n_neighbors": 30}})
    }
    assert len(keys) == 1


def test_a_map_that_cannot_be_drawn_leaves_the_comparison_whole(monkeypatch):
    monkeypatch.setattr(projection, "project", _refuse)
    _, _, run = executed("long tail", map=True)
    state = runs.read_state(run)
    assert state.status == "done" and state.headline
    assert state.stages[-1].message == "A map needs at least 5 real latents."


def _refuse(*_):
    from gelda.errors import UserError

    raise UserError("A map needs at least 5 real latents.")


def test_only_large_cells_are_thinned(monkeypatch):
    monkeypatch.setattr(compare_points, "LIMITS", {"train": 20, "test": 20, "synthetic": 20})
    monkeypatch.setattr(compare_points, "FLOOR", 1)
    config, bank, run = executed("long tail")
    points, meta = projection.load_points(run), read_json(run / "meta.json")
    (episode,) = compare.episodes(config, bank.items, 0)
    drawn = points[points["split"] == "train"].groupby(["label", "subdomain"]).size()
    for (label, subdomain), count in drawn.items():
        total = meta["real"][label][subdomain]
        assert count == total or count >= drawn.max() - 1, "a small cell stays whole"
    assert len(drawn) == np.count_nonzero(meta["real"]), "no cell is sampled away"
    assert any(f"20 of {len(episode.train)} training items" in note for note in meta["notes"])


@pytest.mark.parametrize("most", [3, 10, 59, 60, 1000])
def test_thinning_takes_from_the_largest(most):
    cell = np.repeat([0, 1, 2], [50, 8, 2])
    rows = thinned(cell, most, np.random.default_rng(0))
    kept = np.bincount(cell[rows], minlength=3)
    assert kept.sum() == min(most, 60) and (np.diff(rows) > 0).all()
    assert all(k == n or k >= kept.max() - 1 for k, n in zip(kept, (50, 8, 2), strict=True))
