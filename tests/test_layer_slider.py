"""The slider of layers, and which of a run's maps is in view."""

import dataclasses
from pathlib import Path

import app_fixtures as fixtures
import numpy as np
import pytest
from app_fixtures import make_run
from test_pages import open_page, text

from app import map_choice
from gelda import layer_maps, map_jobs, projection
from gelda.artifacts import write_json, write_tensors


def _another(path: Path, key: str, xy: np.ndarray | None = None, **changes: object) -> projection.MapInfo:
    """One more map beside the run's own."""
    own = projection.list_maps(path)[0]
    place = projection.load_map(path, own.key) if xy is None else xy
    info = dataclasses.replace(own, key=key, path=path / "maps" / f"{key}.json", **changes)
    projection.write_map_info(info)
    write_tensors(info.path.with_suffix(".safetensors"), {"xy": place.astype(np.float32)})
    return info


def test_the_slider_says_how_many_neighbours_change(workspace: Path) -> None:  # noqa: F811
    path = make_run(workspace)
    page = open_page("explore")
    assert page.select_slider(key="layer").value == "adapter.1" and "nearest neighbours." not in text(page)
    write_json(
        path / "neighbourhoods.json",
        {"format": 1, "points": "made-up", "neighbours": 15, "sampled": 9,
         "change": [{"from": "stage2.1", "to": "adapter.1", "share": 0.618}]},
    )  # fmt: skip
    said = "From Encoder stage2.1 to Adapter layer 1 a training latent changes 62 % of its 15 nearest"
    page = open_page("explore")
    assert said in text(page)
    page.select_slider(key="layer").set_value("stage2.1").run()
    assert said in text(page) and page.query_params["layer"] == "stage2.1"
    assert "no map has been made yet" in text(page)


def test_maps_of_other_layers_are_turned_to_the_run_s_own(workspace: Path) -> None:  # noqa: F811
    from app import loading

    path = make_run(workspace)
    own = projection.list_maps(path)[0]
    place = projection.load_map(path, own.key)
    turned = place @ np.array([[0.0, 1.0], [1.0, 0.0]]) * 3 + 5
    other = _another(path, "turned", turned, layer="stage2.1", layer_title="Encoder stage2.1")
    np.testing.assert_allclose(loading.coordinates(path, other), place, atol=1e-3)
    np.testing.assert_array_equal(loading.coordinates(path, own), place)


def test_a_link_to_a_map_shows_it_and_others_with_its_settings(workspace: Path) -> None:  # noqa: F811
    path = make_run(workspace)
    wide = _another(path, "wide", min_dist=0.8, name="wide <b>", created="2026-11-21T20:00:00Z")
    _another(path, "class", scope_kind="class", scope_name="eight")
    _another(path, "wideclass", scope_kind="class", scope_name="eight", min_dist=0.8)
    page = open_page("explore")
    assert "least distance" not in text(page)
    page = open_page("explore", map=wide.key)
    assert "Map \u201cwide &lt;b&gt;\u201d: least distance 0.8." in text(page)
    page.selectbox(key="scope").set_value("class:eight").run()
    assert "This map: least distance 0.8." in text(page)


@pytest.mark.parametrize("asked, key", [("", "own"), ("wide", "wide"), ("gone", "own")])
def test_the_map_with_the_nearest_settings_is_shown(asked, key, workspace: Path, monkeypatch) -> None:  # noqa: F811
    path = make_run(workspace)
    own = dataclasses.replace(projection.list_maps(path)[0], key="own")
    maps = [
        dataclasses.replace(own, key="wide", min_dist=0.8, seed=2),
        dataclasses.replace(own, key="failed", state="failed"),
        own,
        dataclasses.replace(own, key="later", created="2026-11-21T20:00:00Z"),
    ]
    values = {"layer": own.layer, "scope": "all", "map": asked}
    monkeypatch.setattr(map_choice.state, "value", values.get)
    run = fixtures.runs.read_state(path)
    assert map_choice.chosen(run, maps).key == key
    assert layer_maps.anchor(path, maps, map_jobs.projection_config(path)).key == "own"
