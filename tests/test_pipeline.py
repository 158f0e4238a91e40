"""The whole way on planted clusters: rows stay aligned, results make sense, stages are reused."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import CLASSES, PLANTED_DATASET, PLANTED_ENCODER, PlantedEncoder, planted_manifest, planted_read

from gelda import generator_kit, projection, report, runs
from gelda.artifacts import read_arrays, read_json, read_tensors
from gelda.augmenters import AUGMENTERS, AugmenterSpec
from gelda.augmenters.base import Augmenter
from gelda.config import resolve_config
from gelda.datasets import DATASETS
from gelda.encoders import ENCODERS
from gelda.errors import UserError
from gelda.neighbours import load_neighbours
from gelda.pipeline import Pipeline, execute
from gelda.recording import Cancelled, Recorder
from gelda.runs import STAGES

SETTINGS = {
    "name": "planted",
    "seeds": 2,
    "device": "cpu",
    "precision": "fp32",
    "data": {"dataset": "planted", "empty_subdomains": ["shifted"], "imbalance": 6},
    "encoder": {"name": "planted"},
    "adapter": {"steps": 100, "tune_steps": 100, "batch_size": 64, "hidden": [24]},
    "generator": {"steps": 250, "batch_size": 128, "width": 48, "depth": 2, "condition_dim": 16},
    "sampling": {"num_inference_steps": 10, "filter": "confidence", "kept_share": 0.8},
    "projection": {"fit_on": 60},
}
WORK = ("extract", "adapt", "generate", "sample", "finetune")


def config(**changes):
    return resolve_config(SETTINGS, "tiny", **changes)


@pytest.fixture(scope="module", autouse=True)
def gelda_home(tmp_path_factory):
    """One workspace for the module, with the planted data and encoder registered."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GELDA_HOME", str(home))
        patch.setitem(DATASETS, "planted", PLANTED_DATASET)
        patch.setitem(ENCODERS, "planted", PLANTED_ENCODER)
        yield home


def start(run_id: str, settings=None, **changes):
    settings = settings or config(**changes)
    state = runs.create_run(settings.model_dump(mode="json"), settings.name, "planted", run_id)
    return settings, state


@pytest.fixture(scope="module")
def finished(gelda_home):
    settings, state = start("whole")
    result = execute(settings, state)
    return state.path, result


def written(path, *stages) -> dict[str, int]:
    """When each file of the stages was written."""
    files = [f for stage in stages for f in path.glob(f"stages/{stage}-*/*")]
    assert files
    return {str(f.relative_to(path)): f.stat().st_mtime_ns for f in files}


# -- before anything is computed ---------------------------------------------------------------------------


@pytest.mark.parametrize("changes, words", [
    ({"data": {"dataset": "plantet"}}, "no dataset called 'plantet'. Did you mean 'planted'"),
    ({"encoder": {"name": "plantet"}}, "no encoder called 'plantet'. Did you mean 'planted'"),
    ({"methods": ["ce", "smot"]}, "no method called 'smot'. Did you mean 'smote'"),
    ({"generator": {"adapter_layer": 2}}, r"adapter_layer is 2, but the adapter has 1 hidden layer"),
    ({"adapter": {"fm_layer": "deap"}}, "no layer of planted called 'deap'. Did you mean 'deep'"),
    ({"adapter": {"fm_layer": "weighted"}}, "'weighted'.* works in `gelda compare` and `gelda layers`"),
    ({"sampling": {"conditions": ["a in plane = b in plain"]}},
     "sampling.conditions 'a in plane = b in plain': .*'plane'. Did you mean 'plain'"),
    ({"paper_sampling": {"conditions": ["g in plain = b in plain"]}},
     "paper_sampling.conditions 'g in plain .*no class called 'g'"),
    ({"device": "gpu"}, "Device 'gpu' is not one of"),
    ({"precision": "fp8"}, "Precision 'fp8' is not one of"),
    ({"data": {"empty_subdomains": ["shiftet"]}}, "no subdomain called 'shiftet'. Did you mean 'shifted'"),
    ({"sampling": {"scheduler": "ddimm"}}, "no scheduler called 'ddimm'. Did you mean 'ddim'"),
    ({"paper_sampling": {"scheduler": "ddimm"}}, "no scheduler called 'ddimm'"),
    ({"sampling": {"allocation": "headcell"}}, "no allocation called 'headcell'. Did you mean 'head-cell'"),
    ({"sampling": {"filter": "confidense"}}, "no filter called 'confidense'. Did you mean 'confidence'"),
    ({"generator": {"class_semantics": "attribute"}}, "no semantic source called 'attribute'"),
    ({"generator": {"subdomain_semantics": "onehot"}}, "no semantic source called 'onehot'"),
    ({"generator": {"condition_control": "shufled"}}, "no condition control called 'shufled'"),
])  # fmt: skip
def test_a_setting_that_cannot_work_is_refused_before_anything_is_computed(changes, words):
    with pytest.raises(UserError, match=words):
        settings = config(**changes)
        state = runs.RunState("refused", "n", "planted", runs.home() / "runs" / "refused")
        Pipeline(settings, state, Recorder(state))


def test_a_failing_stage_leaves_a_readable_state(monkeypatch):
    def broken(uris):
        raise OSError("the disk went away")

    monkeypatch.setitem(DATASETS, "planted", replace(PLANTED_DATASET, read=broken))
    monkeypatch.setitem(ENCODERS, "planted", replace(PLANTED_ENCODER, revision=lambda: "other"))
    settings, state = start("failing")
    with pytest.raises(UserError, match="864 items could not be used.*OSError: the disk went away"):
        execute(settings, state)
    kept = runs.read_state(state.path)
    assert kept.status == "failed" and "planted:0/0/0: OSError: the disk went away" in kept.error
    assert [s.state for s in kept.stages] == ["failed"] + ["waiting"] * 6


def test_cancelling_keeps_the_state_as_cancelled(monkeypatch):
    monkeypatch.setitem(ENCODERS, "planted", replace(PLANTED_ENCODER, revision=lambda: "yet another"))
    settings, state = start("cancelled")
    with pytest.raises(Cancelled, match="^$"):
        execute(settings, state, lambda s: (s.path / "cancel").touch())
    kept = runs.read_state(state.path)
    assert kept.status == "cancelled" and kept.error is None


def test_too_little_disk_is_refused_at_the_start(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10_000_000}))
    settings, state = start("full")
    with pytest.raises(UserError, match="needs about 200 MB and its disk has 10 MB free"):
        execute(settings, state)
    assert runs.read_state(state.path).status == "failed"


# -- the whole way -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_run_is_done_and_its_report_complete(finished):
    path, result = finished
    state = runs.read_state(path)
    assert state.status == "done" and state.headline == result["headline"] and state.error is None
    assert [(s.name, s.state, s.done == s.total) for s in state.stages] == [(n, "done", True) for n in STAGES]
    stored = report.load_report(path)
    assert set(stored["seconds"]) == set(STAGES) and all(v >= 0 for v in stored["seconds"].values())
    assert list(stored["methods"]) == list(SETTINGS.get("methods") or config().methods)
    assert set(stored["paired"]) == set(stored["methods"]) - {"gelda"}
    assert set(stored["paired_to_la"]) == set(stored["methods"]) - {"logit-adjustment"}
    for figures in stored["methods"].values():
        for figure in figures.values():
            assert 0 <= figure["mean"] <= 100 and len(figure["seeds"]) == 2
            assert figure["ci95"] == [None, None], "two seeds have no interval"
    health = stored["generator"]
    assert {"variance_ratio", "frechet", "frechet_real", "frechet_gaussian", "memorisation"} <= set(health)
    assert 0.2 < health["variance_ratio"] < 3 and 0 <= health["memorisation"] <= 1
    assert health["frechet_real"] >= 0 and np.isfinite(list(health.values())).all()
    assert stored["config"] == config().model_dump(mode="json") and stored["notes"]
    assert "the 2 scarcest never shifted in training" in stored["setting"]
    json.dumps(stored, allow_nan=False)


@pytest.mark.slow
def test_the_generator_that_is_kept_is_the_one_that_drew_the_points(finished):
    path, _ = finished
    kit, points = generator_kit.load(path), projection.load_points(path)
    drawn = projection.load_latents(path, "deep")
    made = points[points["origin"] == "synthetic"]
    for (c, s), rows in made.groupby(["label", "subdomain"]):
        np.testing.assert_allclose(kit.sample(c, s, len(rows)).latents, drawn[rows.index], atol=4e-3)
    (kept,) = path.glob("stages/finetune-0-*/heads.safetensors")
    heads, place = read_tensors(kept), config().methods.index("gelda")
    assert torch.equal(kit.adapter.weights[0][0], heads["weights.0"][place])


@pytest.mark.slow
def test_every_method_is_far_better_than_chance(finished):
    _, result = finished
    for method, figures in result["methods"].items():
        assert figures["overall"]["mean"] > 60 and figures["uar"]["mean"] > 55, method  # chance: 17


@pytest.mark.slow
def test_validation_chooses_the_layer_that_sees_something(finished):
    path, _ = finished
    meta = read_json(path / "meta.json")
    assert meta["fm_layer"] == "deep" and meta["layer_scores"]["deep"] < meta["layer_scores"]["blind"]
    assert "deep in 2 of 2 seeds" in meta["layer_reason"]


@pytest.mark.slow
def test_points_carry_the_labels_and_latents_of_their_items(finished):
    path, _ = finished
    points, manifest = projection.load_points(path), planted_manifest().table.set_index("id")
    real = points[points["origin"] == "real"]
    assert not points["id"].duplicated().any()
    for column in ("uri", "label", "subdomain", "group"):
        assert (real[column].to_numpy() == manifest.loc[real["id"], column].to_numpy()).all(), column
    (cut,) = path.glob("stages/adapt-0-*/cut.parquet")
    split = pd.read_parquet(cut).set_index("id")["split"]
    assert (real["split"].to_numpy() == split.loc[real["id"]].to_numpy()).all()
    assert set(real["split"]) == {"train", "dev"} and set(split) == {"train", "dev", "test", ""}
    assert len(real) == split.isin(["train", "dev"]).sum(), "test items are not shown"

    # latents once more, from the images of the points themselves
    z = PlantedEncoder().encode(torch.from_numpy(planted_read(list(real["uri"]))))["deep"].numpy()
    train = (real["split"] == "train").to_numpy()
    expected = (z - z[train].mean(0)) / z[train].std(0)
    shown = projection.load_latents(path, "deep")
    assert shown.shape == (len(points), 12)
    np.testing.assert_allclose(shown[: len(real)], expected, atol=5e-3)  # they are kept as fp16
    blind = projection.load_latents(path, "blind")
    assert np.isfinite(blind[: len(real)]).all() and np.isnan(blind[len(real) :]).all()
    assert np.isfinite(projection.load_latents(path, "adapter.1")).all()


@pytest.mark.slow
def test_synthetic_points_lie_where_their_class_lies(finished):
    path, _ = finished
    points, z = projection.load_points(path), projection.load_latents(path, "deep")
    train, made = (points["split"] == "train").to_numpy(), (points["origin"] == "synthetic").to_numpy()
    label = points["label"].to_numpy()
    means = np.stack([z[train & (label == c)].mean(0) for c in range(CLASSES)])
    nearest = np.linalg.norm(z[made][:, None] - means[None], axis=-1).argmin(1)
    assert made.sum() > 50 and (nearest == label[made]).mean() > 0.6  # chance: 0.17


@pytest.mark.slow
def test_points_are_scored_by_the_head_that_the_report_judges(finished):
    path, _ = finished
    points, methods = projection.load_points(path), list(config().methods)
    assert read_json(path / "points.json")["scored_by"] == "gelda"
    (file,) = (path / "stages").glob("finetune-0-*/predictions.safetensors")
    own = read_arrays(file)["dev"][methods.index("gelda")]
    dev = points[points["split"] == "dev"]
    np.testing.assert_array_equal(dev["predicted"], own.argmax(1))
    np.testing.assert_allclose(dev["confidence"], own.max(1), atol=1e-4)
    np.testing.assert_allclose(dev["loss"], -np.log(own[np.arange(len(dev)), dev["label"]]), atol=1e-3)
    fitted = points[points["split"] == "train"]
    assert (fitted["predicted"] == fitted["label"]).mean() > 0.8
    near = load_neighbours(path)[1][:, 0]
    train = points["split"] == "train"
    for label, part in points.groupby("label"):
        unit = np.median(near[train & (points["label"] == label)])
        np.testing.assert_allclose(part["memorisation"], near[part.index] / unit, rtol=1e-5)


@pytest.mark.slow
def test_counts_agree_between_points_meta_and_report(finished):
    path, result = finished
    points, meta = projection.load_points(path), read_json(path / "meta.json")
    real, synthetic = np.array(meta["real"]), np.array(meta["synthetic"])
    for table, rows in (
        (real, points[points["split"] == "train"]),
        (synthetic, points[(points["origin"] == "synthetic") & points["kept"]]),
    ):
        counts = np.zeros_like(table)
        np.add.at(counts, (rows["label"], rows["subdomain"]), 1)
        np.testing.assert_array_equal(table, counts)
    assert {tuple(cell) for cell in meta["empty_cells"]} == set(zip(*np.nonzero(real == 0), strict=True))
    assert set(meta["groups"]["tail"]) <= {c for c, s in meta["empty_cells"] if s == 1}
    made = points[points["origin"] == "synthetic"].groupby(["label", "subdomain"]).size()
    for (c, s), n in made.items():
        assert n == real.max() - real[c, s], "every cell is filled to the fullest one"
        assert synthetic[c, s] == max(1, round(0.8 * n)), "the filter keeps its share"
    first_seed = [row for row in result["per_class"] if row["seed"] == 0]
    assert [row["count"] for row in first_seed] == list(real.sum(1))


@pytest.mark.slow
def test_the_report_s_numbers_follow_from_the_predictions_on_disk(finished):
    path, result = finished
    table = planted_manifest().table
    for seed in (0, 1):
        (folder,) = path.glob(f"stages/finetune-{seed}-*")
        (cut,) = path.glob(f"stages/adapt-{seed}-*/cut.parquet")
        split = pd.read_parquet(cut)
        assert (split["id"] == table["id"]).all()
        label = table["label"].to_numpy()[(split["split"] == "test").to_numpy()]
        predicted = read_tensors(folder / "predictions.safetensors")["test"].numpy()
        np.testing.assert_allclose(predicted.sum(-1), 1, atol=1e-4)
        for k, method in enumerate(result["methods"]):
            hits = predicted[k].argmax(-1) == label
            assert result["methods"][method]["overall"]["seeds"][seed] == pytest.approx(100 * hits.mean())
            recall = [hits[label == c].mean() for c in range(CLASSES)]
            assert result["methods"][method]["uar"]["seeds"][seed] == pytest.approx(100 * np.mean(recall))


@pytest.mark.slow
def test_the_first_map_and_the_neighbours(finished):
    path, _ = finished
    points = projection.load_points(path)
    (info,) = projection.list_maps(path)
    xy = projection.load_map(path, info.key)
    assert xy.shape == (len(points), 2) and np.isfinite(xy).all() and info.fitted == 60
    layers = {layer.name: layer for layer in projection.layers(path)}
    assert list(layers) == ["blind", "deep", "adapter.1"]
    assert [layer.has_synthetic for layer in layers.values()] == [False, True, True]
    assert [layer.generation_layer for layer in layers.values()] == [False, True, False]
    index, distance = load_neighbours(path)
    assert (points["split"].to_numpy()[index] == "train").all() and (np.diff(distance, axis=1) >= 0).all()
    nearest = points["label"].to_numpy()[index[:, 0]]
    assert (nearest == points["label"].to_numpy()).mean() > 0.6


@pytest.mark.slow
def test_a_second_time_reuses_every_stage(finished):
    path, result = finished
    before = written(path, "adapt", "generate", "sample", "finetune")
    state = runs.read_state(path)
    again = execute(config(), state)
    assert written(path, "adapt", "generate", "sample", "finetune") == before
    assert {s.name: s.state for s in state.stages if s.name in WORK} == dict.fromkeys(WORK, "reused")
    for part in ("methods", "paired", "paired_to_la", "generator"):
        np.testing.assert_equal(again[part], result[part])
    assert len(projection.list_maps(path)) == 1


@pytest.mark.slow
def test_another_map_retrains_nothing(finished):
    path, result = finished
    before = written(path, "adapt", "generate", "sample", "finetune")
    again = execute(config(projection={"n_neighbors": 7}), runs.read_state(path))
    assert written(path, "adapt", "generate", "sample", "finetune") == before
    np.testing.assert_equal(again["methods"], result["methods"])
    assert len(projection.list_maps(path)) == 2


@pytest.mark.slow
def test_other_sampling_does_not_retrain_the_denoiser(finished):
    path, result = finished
    trained, made = written(path, "adapt", "generate"), written(path, "sample", "finetune")
    again = execute(config(sampling={"guidance_class": 2.0}), runs.read_state(path))
    assert written(path, "adapt", "generate") == trained
    after = written(path, "sample", "finetune")
    assert set(after) != set(made)
    untouched = [one["methods"]["ce"]["overall"] for one in (again, result)]
    np.testing.assert_equal(*untouched)
    assert again["generator"] != result["generator"]


class Probe(Augmenter):
    """Makes nothing; keeps what it was given."""

    seen: list = []

    def synthesise(self, task):
        self.seen.append(task)
        return super().synthesise(task)


@pytest.mark.slow
def test_latents_at_a_hidden_layer_are_standardised(gelda_home, monkeypatch):
    """The generator works at z^(1) here: it must be given standardised latents there too."""
    monkeypatch.setitem(AUGMENTERS, "probe", AugmenterSpec(Probe, "Probe", "For this test.", "losses"))
    monkeypatch.setattr(Probe, "seen", [])
    settings, state = start(
        "hidden",
        generator={"adapter_layer": 1, "steps": 60},
        seeds=1,
        methods=["logit-adjustment", "gelda", "probe"],
    )
    result = execute(settings, state)
    assert result["methods"]["gelda"]["overall"]["mean"] > 50
    (task,) = Probe.seen
    assert task.latents.shape[1] == 24
    np.testing.assert_allclose(task.latents.mean(0).numpy(), 0, atol=1e-4)
    np.testing.assert_allclose(task.latents.std(0, unbiased=False).numpy(), 1, atol=1e-3)


@pytest.mark.slow
def test_no_arm_makes_a_difference_to_another(finished, gelda_home):
    """Leaving methods out changes none of the numbers of those that stay."""
    _, result = finished
    settings, state = start("fewer", methods=["ce", "smote"])
    fewer = execute(settings, state)
    assert fewer["generator"] == {} and fewer["paired"] == {}
    for method in ("ce", "smote"):
        for measure in ("overall", "uar", "tail"):
            assert fewer["methods"][method][measure]["seeds"] == pytest.approx(
                result["methods"][method][measure]["seeds"], abs=0.6
            )


@pytest.mark.parametrize("form", ["residual", "aligned", "translate"])
def test_a_run_in_another_form_ends_and_is_reused(form):
    """The paper's form stays plain beside it; stored weights fit the form's model again."""
    generator = {**SETTINGS["generator"], "form": form}
    settings, state = start(f"form-{form}", seeds=1, generator=generator)
    first = execute(settings, state)
    assert all(np.isfinite(m["overall"]["mean"]) for m in first["methods"].values())
    made = {m: read_tensors(next(state.path.glob(f"stages/sample-*/{m}.safetensors")))["z"]
            for m in ("gelda", "gelda-paper")}  # fmt: skip
    before = written(state.path, "generate", "adapt")
    for file in state.path.glob("stages/sample-*/*.safetensors"):
        file.unlink()
    again = execute(settings, state)
    assert written(state.path, "generate", "adapt") == before
    for method, found in first["methods"].items():
        assert again["methods"][method]["overall"]["mean"] == found["overall"]["mean"]
    for m, z in made.items():
        again_z = read_tensors(next(state.path.glob(f"stages/sample-*/{m}.safetensors")))["z"]
        torch.testing.assert_close(again_z, z)
