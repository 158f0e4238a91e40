"""The panel of maps: side by side, made with other settings, named, kept, deleted; failures say so."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from app_fixtures import RUN, make_comparison, make_run
from test_layer_slider import _another
from test_pages import open_page, text, warnings

from app import maps_view, multiples
from gelda import map_jobs, projection
from gelda.settings import ProjectionConfig


def _unpacked(data: bytes) -> dict:
    length = int.from_bytes(data[:4], "little")
    head = json.loads(data[4 : 4 + length])
    types = {"u1": "u1", "u2": "<u2"}
    arrays = {
        name: np.frombuffer(data, types[code], count, start)
        for name, (code, start, count) in head["arrays"].items()
    }
    return {**head, **arrays}


def _points(count: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": np.arange(count) % 3,
            "subdomain": 0,
            "origin": np.where(np.arange(count) < 40, "real", "synthetic"),
        }
    )


def test_small_maps_hold_what_is_in_view_and_all_that_is_selected(monkeypatch):
    monkeypatch.setattr(multiples, "MOST", 12)
    points, rng = _points(60), np.random.default_rng(0)
    first, second = (rng.normal(size=(60, 2)).astype(np.float32) for _ in range(2))
    second[50:] = np.nan
    visible, selected = np.arange(60) != 3, np.array([3, 7, 55])
    tiles = [
        multiples.Tile("one", "trustworthiness 0.93", "k1", first, True),
        multiples.Tile("two", "", "k2", second),
        multiples.Tile("three", "not made yet"),
    ]
    colours = np.arange(60) % 7
    made = _unpacked(multiples.pack(tiles, points, colours, visible, selected))
    one, two, three = made["tiles"]
    assert [t["key"] for t in made["tiles"]] == ["k1", "k2", ""] and one["on"] and not two["on"]
    assert 12 <= one["to"] - one["from"] <= 14 and three["from"] == three["to"] and made["some"]
    kind = made["kind"][one["from"] : one["to"]]
    assert (kind & 4 > 0).sum() == 2, "the selected that are in view, 3 is hidden"
    assert (made["kind"][two["from"] : two["to"]] & 4 > 0).sum() == 1, "55 is not on the second map"
    place = made["place"].reshape(-1, 2)[one["from"] : one["to"]]
    assert place.min() == 0 and place.max() == 65_535
    assert set(made["palette"]) == {"light", "dark"}
    assert len(made["colour"]) == len(made["kind"]) == two["to"]


@pytest.fixture
def shown(monkeypatch):
    """What the component of small maps was given last."""
    given = []
    monkeypatch.setattr(multiples, "_component", lambda **values: given.append(values))
    return lambda: _unpacked(given[-1]["data"])["tiles"]


def test_layers_classes_and_subdomains_stand_side_by_side(workspace: Path, shown, monkeypatch) -> None:  # noqa: F811
    path = make_run(workspace)
    _another(path, "eight", scope_kind="class", scope_name="eight")
    asked = []
    monkeypatch.setattr(map_jobs, "start_projections", lambda *a: asked.append(a))
    page = open_page("explore", panel="maps")
    assert [(t["title"], bool(t["key"])) for t in shown()] == [
        ("Encoder stage2.1", False),
        ("Adapter layer 1", True),
    ]
    page.button_group(key="beside").set_value("classes").run()
    assert len(shown()) == 10 and [t["title"] for t in shown() if t["key"]] == ["eight"]
    next(b for b in page.button if b.label.startswith("Make the 9 missing ones")).click().run()
    run, scopes, config = asked[0]
    assert run == RUN and len(scopes) == 9 and all(s[:2] == ("adapter.1", "class") for s in scopes)
    assert config.n_neighbors == 15
    page.multiselect(key="classes").select("eight").select("two").run()
    assert [t["title"] for t in shown()] == ["eight", "two"]
    page.button_group(key="beside").set_value("subdomains").run()
    assert len(shown()) == 5 and page.query_params["beside"] == "subdomains"


def test_layers_are_laid_out_together(workspace: Path, shown, monkeypatch) -> None:  # noqa: F811
    path = make_run(workspace)
    asked = []
    monkeypatch.setattr(map_jobs, "start_aligned", lambda *a: asked.append(a))
    page = open_page("explore", panel="maps", layer="stage2.1")
    next(b for b in page.button if b.label.startswith("Make the maps of all 2 layers")).click().run()
    next(b for b in page.button if b.label.startswith("Lay all 2 layers out together")).click().run()
    assert [(run, config.n_neighbors) for run, config in asked] == [(RUN, 15)] * 2
    for layer in ("stage2.1", "adapter.1"):
        _another(path, f"with-{layer}", layer=layer, aligned=True)
    page = open_page("explore", panel="maps", layer="adapter.1")
    assert [t["key"] for t in shown()] == ["with-stage2.1", "with-adapter.1"]
    assert not any("layers" in b.label for b in page.button) and "laid out with the other" in text(page)
    own = next(m for m in projection.list_maps(path) if not m.aligned)
    page.button(key=f"show.{own.key}").click().run()
    assert page.query_params["map"] == own.key and page.button(key=f"show.{own.key}").disabled


def test_a_map_with_other_settings_is_made_and_named(workspace: Path, monkeypatch) -> None:  # noqa: F811
    make_run(workspace)
    asked = []
    monkeypatch.setattr(map_jobs, "start_projection", lambda *a: asked.append(a) or "new")
    page = open_page("explore", panel="maps")
    page.number_input(key=f"map.{RUN}.n_neighbors").set_value(40).run()
    page.text_input(key="map_name").set_value("the whole").run()
    page.button(key="make_map").click().run()
    (run, layer, kind, scope, config, name) = asked[0]
    assert (run, layer, kind, scope, name) == (RUN, "adapter.1", "all", "", "the whole")
    assert config.n_neighbors == 40 and config.min_dist == 0.5
    assert page.text_input(key="map_name").value == ""
    page.number_input(key=f"map.{RUN}.n_neighbors").set_value(23)
    page.button(key="make_map").click().run()  # both in one run, as where the click comes at once
    assert asked[1][4].n_neighbors == 23


def test_kept_maps_are_shown_renamed_and_deleted(workspace: Path) -> None:  # noqa: F811
    path = make_run(workspace)
    own = projection.list_maps(path)[0]
    wide = _another(path, "wide", min_dist=0.8, name="wide", created="2026-11-21T20:00:00Z")
    page = open_page("explore", panel="maps")
    assert "<strong>wide</strong>, Everything, Adapter layer 1" in text(page)
    assert "least distance 0.8" in text(page) and "trustworthiness 0.93" in text(page)
    keys = {b.key for b in page.button}
    assert f"delete.{wide.key}" in keys and f"delete.{own.key}" not in keys, "the run's own map stays"
    page.button(key=f"show.{wide.key}").click().run()
    assert page.query_params["map"] == wide.key and "Map \u201cwide\u201d: least distance 0.8." in text(page)
    page.text_input(key=f"name.{wide.key}").set_value("spread").run()
    assert "<strong>spread</strong>" in text(page)
    page.button(key=f"delete.{wide.key}").click().run()
    assert [m.key for m in projection.list_maps(path)] == [own.key]
    assert "least distance 0.8" not in text(page) and not warnings(page)


def test_a_server_for_looking_makes_and_deletes_nothing(workspace: Path, monkeypatch) -> None:  # noqa: F811
    path = make_run(workspace)
    wide = _another(path, "wide", min_dist=0.8, name="wide")
    monkeypatch.setenv("GELDA_READONLY", "1")
    page = open_page("explore", panel="maps", beside="classes")
    labels = [b.label for b in page.button]
    assert not [label for label in labels if label.startswith(("Make", "Delete"))]
    assert any(b.key == f"show.{wide.key}" for b in page.button)


def test_a_failed_map_says_one_sentence_and_can_be_tried_again(workspace: Path) -> None:  # noqa: F811
    path = make_run(workspace)
    config = ProjectionConfig(n_neighbors=15, fit_on=300)
    info = projection.planned(path, "adapter.1", "class", "eight", config)
    message = "A map needs at least 5 real latents; this selection has 3."
    projection.write_map_info(projection.replace(info, state="failed", message=message))
    page = open_page("explore", panel="maps", beside="classes")
    assert warnings(page) == [message]
    assert any(b.label.startswith("Make the 10 missing ones") for b in page.button)


def test_many_classes_show_the_scarcest(workspace: Path, shown, monkeypatch) -> None:  # noqa: F811
    make_comparison(workspace, points=True)
    monkeypatch.setattr(maps_view, "MOST", 2)
    page = open_page("explore", panel="maps", beside="classes")
    assert [t["title"] for t in shown()] == ["bee", "cat"]
    assert "1 more: choose classes or subdomains in the filters" in text(page)
