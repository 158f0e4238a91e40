"""Maps: rows stay with their points, scopes leave the others out, the same seed draws the same picture."""

import os

import numpy as np
import pandas as pd
import pytest
import torch

from gelda import embedding, projection
from gelda.artifacts import FORMAT, read_json, write_json, write_table, write_tensors
from gelda.errors import UserError
from gelda.neighbours import find_neighbours
from gelda.settings import ProjectionConfig

CONFIG = ProjectionConfig(n_neighbors=8, fit_on=70)
WIDE = CONFIG.model_copy(update={"min_dist": 0.9})
CENTRES = 6 * np.eye(3, 5)


@pytest.fixture(scope="module")
def planted() -> tuple[pd.DataFrame, np.ndarray]:
    """90 real points (60 train, 30 dev) of three classes under two conditions, then 24 synthetic ones."""
    rng = np.random.default_rng(0)
    label = np.r_[np.arange(90) % 3, np.arange(24) % 3]
    points = pd.DataFrame(
        {
            "id": [f"p{i:03d}" for i in range(114)],
            "uri": "",
            "label": label,
            "subdomain": np.r_[(np.arange(90) // 3) % 2, (np.arange(24) // 3) % 2],
            "group": [f"g{i // 2}" for i in range(114)],
            "split": ["train"] * 60 + ["dev"] * 30 + [""] * 24,
            "origin": ["real"] * 90 + ["synthetic"] * 24,
            "method": [""] * 90 + ["gelda"] * 24,
            "kept": True,
        }
    )
    return points, (CENTRES[label] + rng.normal(size=(114, 5))).astype(np.float32)


@pytest.fixture
def run(planted, tmp_path):
    points, z = planted
    path = tmp_path / "run"
    layers = [
        projection.LayerInfo("early", "Encoder early", 5, False, False),
        projection.LayerInfo("late", "Adapter layer 1", 5, True, True),
    ]
    write_json(
        path / "points.json", {"format": FORMAT, "key": "k1", "layers": [info.__dict__ for info in layers]}
    )
    write_table(path / "points.parquet", points)
    blank = np.where((points["origin"] == "real").to_numpy()[:, None], z, np.nan).astype(np.float32)
    for name, value in (("early", blank), ("late", z)):
        write_tensors(path / "points" / f"{name}.safetensors", {"z": torch.from_numpy(value).half()})
    write_json(path / "meta.json", {"class_names": ["a", "b", "c"], "subdomain_names": ["x", "y"]})
    return path


def test_a_map_of_everything(run, planted):
    points, z = planted
    info = projection.project(run, "late", "all", "", CONFIG)
    xy = projection.load_map(run, info.key)
    assert xy.shape == (114, 2) and xy.dtype == np.float32 and np.isfinite(xy).all()
    assert (info.fitted, info.shown, info.state, info.has_synthetic) == (70, 114, "done", True)
    real, label = (points["origin"] == "real").to_numpy(), points["label"].to_numpy()
    # rows belong to their points: near in the map means of one class, also where only transformed
    for rows in (np.flatnonzero(real), np.flatnonzero(~real)):
        distance = np.linalg.norm(xy[rows][:, None] - xy[real][None], axis=-1)
        distance[distance == 0] = np.inf
        hit = label[real][distance.argsort(1)[:, :5]] == label[rows][:, None]
        assert hit.mean() > 0.9
    assert 0.8 < info.trustworthiness <= 1
    document = read_json(info.path)
    assert document["format"] == FORMAT and document["layer_title"] == "Adapter layer 1"
    assert document["n_neighbors"] == 8 and document["seed"] == 0 and "path" not in document
    assert [m.key for m in projection.list_maps(run)] == [info.key]
    before = (run / "maps" / f"{info.key}.safetensors").stat().st_mtime_ns
    assert projection.project(run, "late", "all", "", CONFIG) == info
    assert (run / "maps" / f"{info.key}.safetensors").stat().st_mtime_ns == before, (
        "an existing map is returned"
    )


def test_items_that_are_tested_are_placed_and_shape_no_map(run, planted):
    """Far away or near: the training items lie where they lay."""
    points, z = planted
    tested = np.arange(60, 90)
    write_table(run / "points.parquet", points.assign(split=["train"] * 60 + ["test"] * 30 + [""] * 24))
    found = []
    for key, away in (("near", 0), ("far", 50)):
        moved = z.copy()
        moved[tested] += away
        document = read_json(run / "points.json")
        write_json(run / "points.json", {**document, "key": key})
        write_tensors(run / "points" / "late.safetensors", {"z": torch.from_numpy(moved).half()})
        info = projection.project(run, "late", "all", "", CONFIG.model_copy(update={"fit_on": 200}))
        assert (info.fitted, info.shown) == (60, 114)
        found.append(projection.load_map(run, info.key))
    near, far = found
    np.testing.assert_array_equal(near[:60], far[:60])
    assert np.abs(near[tested] - far[tested]).max() > 0.1 and np.isfinite(far).all()


@pytest.mark.parametrize(
    "kind, name, column, value", [("class", "b", "label", 1), ("subdomain", "y", "subdomain", 1)]
)
def test_a_scope_leaves_the_others_out(kind, name, column, value, run, planted):
    points, _ = planted
    info = projection.project(run, "late", kind, name, CONFIG)
    xy = projection.load_map(run, info.key)
    inside = (points[column] == value).to_numpy()
    assert np.isfinite(xy[inside]).all() and np.isnan(xy[~inside]).all()
    assert info.shown == inside.sum() and info.scope_name == name


def test_a_layer_before_the_generator_shows_real_points_only(run, planted):
    points, _ = planted
    info = projection.project(run, "early", "all", "", CONFIG)
    shown = np.isfinite(projection.load_map(run, info.key)).all(1)
    np.testing.assert_array_equal(shown, points["origin"] == "real")
    assert not info.has_synthetic and info.shown == 90


def test_every_setting_has_its_own_key_and_a_new_run_state_too(run):
    def key(layer="late", kind="all", name="", **changes):
        return projection.planned(run, layer, kind, name, CONFIG.model_copy(update=changes)).key

    keys = [
        key(),
        key("early"),
        key(kind="class", name="a"),
        key(kind="class", name="b"),
        key(seed=1),
        key(n_neighbors=9),
        key(metric="cosine"),
        key(pca=4),
    ]
    value = read_json(run / "points.json")
    write_json(run / "points.json", {**value, "key": "k2"})
    keys.append(key())
    assert len(set(keys)) == 9


def test_neighbours_are_training_points_and_never_oneself(planted):
    points, z = planted
    found = find_neighbours(z, points)
    index, distance = found["index"], found["distance"]
    assert index.shape == distance.shape == (114, 8) and index.dtype == np.int32
    full = np.linalg.norm(z[:, None] - z[None, :60], axis=-1)
    full[np.arange(60), np.arange(60)] = np.inf
    np.testing.assert_array_equal(index, full.argsort(1)[:, :8])
    np.testing.assert_allclose(distance, np.sort(full, 1)[:, :8], atol=1e-3)


@pytest.mark.parametrize("train", [0, 1, 3])
def test_fewer_training_points_than_neighbours_leave_gaps(planted, train):
    points, z = planted
    points = points.assign(split=np.where(np.arange(114) < train, "train", "dev"))
    found = find_neighbours(z, points)
    assert (found["index"][:, train:] == -1).all() and np.isnan(found["distance"][:, train:]).all()
    assert (found["index"][train:, :train] >= 0).all()
    assert (found["index"][:train, : max(0, train - 1)] >= 0).all()


@pytest.mark.parametrize(
    "call, words",
    [
        (
            lambda run: projection.project(run, "lat", "all", "", CONFIG),
            "no layer called 'lat' .*early, late",
        ),
        (
            lambda run: projection.project(run, "late", "klass", "a", CONFIG),
            "scope 'klass' is not one of all, class",
        ),
        (
            lambda run: projection.project(run, "late", "class", "z", CONFIG),
            "no class called 'z'; there are a, b, c",
        ),
        (lambda run: projection.load_map(run, "nope"), "no map 'nope' in the run run: make it again"),
    ],
)
def test_wrong_calls_are_sentences(call, words, run):
    with pytest.raises(UserError, match=words):
        call(run)
    assert projection.list_maps(run) == []


def test_a_broken_map_document_is_left_out_of_the_list(run):
    (run / "maps").mkdir()
    (run / "maps" / "x.json").write_text("{")
    (run / "maps" / "y.json").write_text('{"format": 1, "other": 2}')
    assert projection.list_maps(run) == []


def test_maps_of_a_read_only_run_go_to_the_workspace(run, tmp_path):
    info = projection.project(run, "late", "class", "a", CONFIG, workspace=tmp_path / "home")
    assert info.path.is_relative_to(tmp_path / "home" / "maps" / "run") and not (run / "maps").exists()
    assert projection.load_map(run, info.key, tmp_path / "home").shape == (114, 2)
    assert [m.key for m in projection.list_maps(run, tmp_path / "home")] == [info.key]


def test_maps_are_kept_under_their_settings_and_named(run):
    first = projection.project(run, "late", "all", "", CONFIG)
    second = projection.project(
        run, "late", "all", "", CONFIG.model_copy(update={"min_dist": 0.9}), name="wide"
    )
    assert first.created and first.seconds and second.name == "wide"
    assert ProjectionConfig(**second.settings).min_dist == 0.9 and second.metric == "euclidean"
    projection.rename_map(first, "  the   usual\none ")
    found = {info.key: info for info in projection.list_maps(run)}
    assert found[first.key].name == "the usual one" and found[second.key].name == "wide"
    assert np.isfinite(projection.load_map(run, first.key)).all()
    projection.delete_map(second)
    assert [info.key for info in projection.list_maps(run)] == [first.key]
    assert not list((run / "maps").glob(f"{second.key}*"))


def test_a_map_that_nobody_makes_any_more_failed(run):
    info = projection.planned(run, "late", "all", "", CONFIG)
    projection.write_map_info(info)
    assert projection.list_maps(run)[0].state == "running"
    os.utime(info.path, (0, info.path.stat().st_mtime - projection.LOST - 9))
    (found,) = projection.list_maps(run)
    assert found.state == "failed" and "interrupted: make it again" in found.message
    assert projection.project(run, "late", "all", "", CONFIG).state == "done"


def test_maps_of_earlier_releases_still_open(run):
    info = projection.project(run, "late", "all", "", CONFIG)
    value = read_json(info.path)
    for later in ("metric", "pca", "fit_on", "created", "seconds", "name"):
        del value[later]
    write_json(info.path, value)
    (old,) = projection.list_maps(run)
    assert (old.pca, old.metric, old.created, old.name) == (0, "euclidean", "", "")


def test_scarce_cells_shape_a_map_of_few(run, planted, monkeypatch):
    points, z = planted
    points = points.assign(label=np.where(np.arange(114) < 4, 2, 0), subdomain=0)  # four of a rare class
    write_table(run / "points.parquet", points)
    seen = []

    def embed(real, others, config, rows):
        seen.append(rows)
        return embedding.Embedding(real[:, :2], others[:, :2], 1.0, len(rows))

    monkeypatch.setattr(embedding, "embed", embed)
    projection.project(run, "late", "all", "", CONFIG.model_copy(update={"fit_on": 10}))
    assert len(seen[0]) == 10 and set(range(4)) <= set(seen[0])
