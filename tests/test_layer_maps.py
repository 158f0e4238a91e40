"""From layer to layer: a turned copy is brought back, and neighbours that change are counted."""

import dataclasses

import numpy as np
import pytest
import torch
from app_fixtures import make_run

from gelda import layer_maps, map_jobs, projection
from gelda.artifacts import read_json, write_json, write_tensors
from gelda.settings import ProjectionConfig

RNG = np.random.default_rng(0)
PLACE = RNG.normal(size=(200, 2)).astype(np.float32) * [3, 1]
ALL = np.ones(200, bool)


def _turn(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize("mirror", [1, -1])
@pytest.mark.parametrize("angle", [0.3, 2.0, -3.0])
def test_a_turned_mirrored_and_stretched_copy_is_brought_back(angle, mirror):
    copy = (PLACE * [1, mirror]) @ _turn(angle) * 4.5 + [10, -7]
    missing = copy.copy()
    missing[:50] = np.nan
    np.testing.assert_allclose(layer_maps.turned(copy, PLACE, ALL), PLACE, atol=1e-4)
    back = layer_maps.turned(missing, PLACE, ALL)
    assert np.isnan(back[:50]).all()
    np.testing.assert_allclose(back[50:], PLACE[50:], atol=1e-4)


def test_points_that_are_not_shared_do_not_turn_a_map():
    copy = PLACE @ _turn(1.0)
    copy[150:] = 99
    back = layer_maps.turned(copy, PLACE, np.arange(200) < 150)
    np.testing.assert_allclose(back[:150], PLACE[:150], atol=1e-4)


@pytest.mark.parametrize("shared", [ALL & False, np.arange(200) < 2])
def test_too_few_shared_points_leave_a_map_as_it_is(shared):
    np.testing.assert_array_equal(layer_maps.turned(PLACE, PLACE @ _turn(1), shared), PLACE)
    same = np.ones((200, 2), np.float32)
    np.testing.assert_array_equal(layer_maps.turned(same, PLACE, ALL), same)


def test_neighbours_change_from_nothing_to_everything():
    z = RNG.normal(size=(600, 8)).astype(np.float32)
    other = RNG.normal(size=(600, 8)).astype(np.float32)
    shares, k, counted = layer_maps.neighbour_change([z, 3 * z + 1, z + 0.2 * other, other])
    assert (k, counted) == (15, 600) and shares[0] == 0
    assert 0.05 < shares[1] < 0.6 and shares[2] == pytest.approx(1 - 15 / 600, abs=0.03)


def test_the_change_is_measured_once_and_again_for_other_points(tmp_path, monkeypatch):
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    path = make_run(tmp_path)
    assert layer_maps.load_change(path) is None
    layer_maps.write_change(path)
    found = layer_maps.load_change(path)
    assert [(c["from"], c["to"], c["share"]) for c in found["change"]] == [("stage2.1", "adapter.1", 0)]
    train = (projection.load_points(path)["split"] == "train").sum()
    assert found["sampled"] == train and found["neighbours"] == 15
    noise = torch.from_numpy(RNG.normal(size=projection.load_latents(path, "adapter.1").shape)).half()
    write_tensors(path / "points" / "stage2.1.safetensors", {"z": noise})
    layer_maps.write_change(path)
    assert layer_maps.load_change(path) == found, "measured once"
    document = read_json(path / "points.json")
    write_json(path / "points.json", {**document, "key": "other"})
    assert layer_maps.load_change(path) is None
    layer_maps.write_change(path, tmp_path / "elsewhere")
    assert layer_maps.load_change(path) is None
    assert layer_maps.load_change(path, tmp_path / "elsewhere")["change"][0]["share"] > 0.8


def test_the_anchor_is_the_run_s_own_map_whatever_was_made_first(tmp_path, monkeypatch):
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    path = make_run(tmp_path)
    config = map_jobs.projection_config(path)
    (own,) = projection.list_maps(path)
    others = [
        dataclasses.replace(own, key="a", layer="stage2.1"),
        dataclasses.replace(own, key="b", seed=3),
        dataclasses.replace(own, key="c", state="running"),
        dataclasses.replace(own, key="d", scope_kind="class", scope_name="eight"),
    ]
    assert layer_maps.anchor(path, [*others, own], config) == own
    assert layer_maps.anchor(path, [own, *others[::-1]], config) == own
    assert layer_maps.anchor(path, others, config) is None
    assert layer_maps.anchor(path, [own], ProjectionConfig(n_neighbors=40)) is None
