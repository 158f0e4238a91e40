"""Layers laid out together: points keep their place, rows stay with points, all maps of a set or none."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from gelda import aligned_maps, cli, embedding, jobs, layer_maps, map_jobs, projection
from gelda.artifacts import FORMAT, read_json, write_json, write_table, write_tensors
from gelda.errors import UserError
from gelda.settings import ProjectionConfig

CONFIG = ProjectionConfig(n_neighbors=8, fit_on=100, min_dist=0.3)
LAYERS = ("early", "middle", "late")
REAL, TEST, MADE = 120, 12, 18  # rows: real ones (the last TEST of them held out), then synthetic ones
ONLY_LATE = np.arange(REAL + MADE) >= REAL


@pytest.fixture(scope="module")
def planted() -> list[np.ndarray]:
    """Three layers [150, 6] of six groups that drift apart; every layer has its own axes and scale."""
    rng = np.random.default_rng(0)
    label = np.arange(REAL + MADE) % 6
    centres, z = 5 * np.eye(6), rng.normal(size=(REAL + MADE, 6))
    found = []
    for depth in range(3):
        turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
        z = z + 0.3 * rng.normal(size=z.shape)
        found.append((((1 + 0.3 * depth) * centres[label] + z) @ turn).astype(np.float32))
    return found


@pytest.fixture
def run(planted: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    monkeypatch.delenv("GELDA_READONLY", raising=False)
    path, rows = tmp_path / "runs" / "planted", np.arange(REAL + MADE)
    points = pd.DataFrame(
        {
            "id": [f"p{i:03d}" for i in rows],
            "label": rows % 6,
            "subdomain": 0,
            "split": np.where(rows < REAL - TEST, "train", np.where(ONLY_LATE, "", "test")),
            "origin": np.where(ONLY_LATE, "synthetic", "real"),
        }
    )
    layers = [projection.LayerInfo(name, name, 6, name == "late", name == "late") for name in LAYERS]
    write_json(
        path / "points.json", {"format": FORMAT, "key": "k", "layers": [info.__dict__ for info in layers]}
    )
    write_table(path / "points.parquet", points)
    for layer, z in zip(layers, planted, strict=True):
        own = z if layer.has_synthetic else np.where(ONLY_LATE[:, None], np.nan, z)
        write_tensors(path / "points" / f"{layer.name}.safetensors", {"z": torch.from_numpy(own).half()})
    monkeypatch.setattr(jobs.runs, "find_run", lambda run_id: path)
    monkeypatch.setattr(map_jobs, "map_workspace", lambda path: None)
    monkeypatch.setattr(map_jobs, "projection_config", lambda path: CONFIG)
    return path


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []
    monkeypatch.setattr(jobs, "spawn", lambda arguments, log: calls.append(arguments))
    return calls


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layouts in no time: the first two dimensions."""

    def lay_out(real, others, config, rows, here):
        return [
            embedding.Embedding(z[:, :2], more[:, :2], 0.9, len(rows))
            for z, more in zip(real, others, strict=True)
        ]

    def embed(real, others, config, rows):
        return embedding.Embedding(real[:, :2], others[:, :2], 0.9, len(rows))

    monkeypatch.setattr(aligned_maps, "lay_out", lay_out)
    monkeypatch.setattr(embedding, "embed", embed)


def _moved(one: np.ndarray, other: np.ndarray) -> float:
    """Mean distance over the maps' common radius, of points that are on both."""
    both = np.isfinite(one).all(1) & np.isfinite(other).all(1)
    one, other = one[both], other[both]
    radius = np.sqrt(np.mean([((z - z.mean(0)) ** 2).sum(1).mean() for z in (one, other)]))
    return float(np.linalg.norm(one - other, axis=1).mean() / radius)


def test_points_keep_their_place_and_rows_stay_with_them(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = aligned_maps.project(run, CONFIG)
    places = [projection.load_map(run, info.key) for info in maps]
    assert [info.layer for info in maps] == list(LAYERS) and all(info.aligned for info in maps)
    assert [info.shown for info in maps] == [REAL, REAL, REAL + MADE] and maps[0].fitted == 100
    for info, place in zip(maps, places, strict=True):
        assert np.isnan(place[ONLY_LATE]).all() == (info.layer != "late") and np.isfinite(place[:REAL]).all()
    # near on a map means of one group, also for rows that are only placed: fitted, held out and synthetic
    label, real = np.arange(REAL + MADE) % 6, np.arange(REAL + MADE) < REAL - TEST
    for place in places:
        rows = np.flatnonzero(np.isfinite(place[:, 0]))
        distance = np.linalg.norm(place[rows][:, None] - place[real][None], axis=-1)
        distance[distance == 0] = np.inf
        assert (label[real][distance.argsort(1)[:, :5]] == label[rows][:, None]).mean() > 0.9
    with monkeypatch.context() as patch:
        patch.setattr(aligned_maps, "STRENGTH", 0)  # every layer's own UMAP
        alone = aligned_maps.project(run, CONFIG.model_copy(update={"n_neighbors": 9}))
    single = [projection.load_map(run, info.key) for info in alone]
    single = [layer_maps.turned(place, single[2], ~ONLY_LATE) for place in single]
    for k in (0, 1):
        assert _moved(places[k], places[k + 1]) < 0.7 * _moved(single[k], single[k + 1])
    for own, other in zip(maps, alone, strict=True):
        assert own.trustworthiness > other.trustworthiness - 0.01 and own.key != other.key
    level = places[2][np.isfinite(places[2][:, 0])]
    assert level[:, 0].std() > level[:, 1].std()


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_the_same_seed_draws_the_same_picture(metric: str, planted: list[np.ndarray]) -> None:
    config = ProjectionConfig(n_neighbors=8, metric=metric, pca=4)
    real, others = [z[:60] for z in planted[:2]], [z[:0] for z in planted[:2]]
    rows = np.arange(60)
    one, again = (aligned_maps.lay_out(real, others, config, rows, 1) for _ in range(2))
    seeded = config.model_copy(update={"seed": 1})
    other = aligned_maps.lay_out(real, others, seeded, rows, 1)
    for a, b, c in zip(one, again, other, strict=True):
        np.testing.assert_array_equal(a.real, b.real)
        assert not np.allclose(a.real, c.real) and a.others.shape == (0, 2)
    wide = aligned_maps.lay_out(real, others, config.model_copy(update={"min_dist": 1.0}), rows, 1)
    assert not np.allclose(one[0].real, wide[0].real), "the least distance counts"


def test_no_half_set_is_listed_and_a_killed_one_is_made_again(
    run: Path, quick: None, spawned: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = map_jobs.start_aligned("planted")
    assert spawned == [["project-stored", "planted", *keys]]
    assert {m.state for m in projection.list_maps(run)} == {"running"}
    write, done = projection.write_map_info, []

    def killed(info: projection.MapInfo) -> None:
        done.extend([info.key] if info.state == "done" else [])
        if len(done) > 2:
            raise KeyboardInterrupt
        write(info)

    with monkeypatch.context() as patch:
        patch.setattr(projection, "write_map_info", killed)
        with pytest.raises(KeyboardInterrupt):
            map_jobs.make_projections("planted", keys)
    assert {read_json(m.path)["state"] for m in projection.list_maps(run)} == {"done", "running"}
    assert {m.state for m in projection.list_maps(run)} == {"running"} and not projection.made_maps(run)
    assert map_jobs.start_aligned("planted") == keys
    assert map_jobs.make_projections("planted", keys) == 0
    assert set(projection.made_maps(run)) == set(keys)


def test_where_it_fails_every_layer_gets_a_map_of_its_own_that_says_why(
    run: Path, quick: None, spawned: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise UserError("There is no room.")

    monkeypatch.setattr(aligned_maps, "lay_out", fails)
    assert map_jobs.make_projections("planted", map_jobs.start_aligned("planted")) == 0
    made = projection.list_maps(run)
    assert sorted(m.layer for m in made) == sorted(LAYERS) and not any(m.aligned for m in made)
    assert {(m.state, m.message) for m in made} == {
        ("done", "Its layers could not be laid out together: There is no room.")
    }


def test_too_many_rows_are_maps_of_their_own(
    run: Path, quick: None, spawned: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aligned_maps, "MOST", 99)
    assert "99" in aligned_maps.refusal(run, CONFIG)
    with pytest.raises(UserError, match="laid out together up to 99"):
        aligned_maps.project(run, CONFIG)
    assert len(map_jobs.start_aligned("planted")) == 3
    assert not any(m.aligned for m in projection.list_maps(run))


def test_one_layer_is_refused(run: Path) -> None:
    document = read_json(run / "points.json")
    write_json(run / "points.json", {**document, "layers": document["layers"][2:]})
    assert aligned_maps.refusal(run, CONFIG).startswith("This run has one layer")


def test_others_are_turned_to_the_aligned_one(run: Path, quick: None) -> None:
    single = projection.project(run, "late", "all", "", CONFIG)
    assert layer_maps.anchor(run, projection.list_maps(run), CONFIG) == single
    late = aligned_maps.project(run, CONFIG)[2]
    assert layer_maps.anchor(run, projection.list_maps(run), CONFIG) == late
    older = dataclasses.asdict(single)
    del older["path"], older["aligned"]
    write_json(single.path, {"format": FORMAT, **older})
    assert single in projection.list_maps(run), "documents of earlier releases open"


def test_the_command_lays_them_out(run: Path, quick: None) -> None:
    write_json(run / "meta.json", {"class_names": list("abcdef"), "subdomain_names": ["x"]})
    wrong = CliRunner().invoke(cli.app, ["project", "planted", "late", "--aligned"])
    assert wrong.exit_code != 0 and "--aligned lays out all layers" in str(wrong.exception)
    done = CliRunner().invoke(cli.app, ["project", "planted", "--aligned"])
    assert done.exit_code == 0 and done.output.count("trustworthiness 0.900") == 3
    assert len(projection.made_maps(run)) == 3
