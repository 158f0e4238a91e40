"""Nearest neighbours in latent space: of a point, and of the centre of what was made for a cell."""

from __future__ import annotations

from pathlib import Path

import app_fixtures as fixtures
import numpy as np
import pandas as pd
import pytest
from test_pages import open_page, text, warnings

from app import neighbours_view
from gelda import nearby, projection, runs

LINE = np.arange(8, dtype=np.float32)[:, None] * [1.0, 0.0]


def table() -> pd.DataFrame:
    """Training samples at 0 to 2, held-out items at 3 and 4, synthetic latents at 5 to 7."""
    return pd.DataFrame(
        {
            "origin": ["real"] * 5 + ["synthetic"] * 3,
            "split": ["train"] * 3 + ["dev"] * 2 + [""] * 3,
            "label": [0, 0, 1, 1, 1, 2, 2, 1],
            "subdomain": [0, 1, 0, 0, 1, 0, 0, 1],
            "method": [""] * 5 + ["a", "a", "b"],
            "kept": [True] * 6 + [False, True],
        }
    )


@pytest.mark.parametrize(
    "name, rows", zip(nearby.POOLS, ([0, 1, 2], [0, 1, 2, 3, 4], [5, 6, 7]), strict=True)
)
def test_pools(name: str, rows: list[int]) -> None:
    assert nearby.pool(table(), name).tolist() == rows
    assert name in neighbours_view.POOLS


def test_nearest_to_a_point_leaves_it_out_and_says_how_far() -> None:
    near = nearby.to_point(LINE, 2, nearby.pool(table(), "real"), 3)
    assert near.rows[0] in (1, 3) and set(near.rows) <= {0, 1, 3, 4} and 2 not in near.rows
    assert near.distance.tolist() == [1, 1, 2]
    far = nearby.to_point(LINE, 7, nearby.pool(table(), "train"), 50)
    assert far.rows.tolist() == [2, 1, 0] and far.distance.tolist() == [5, 6, 7]


def test_a_layer_without_synthetic_latents_has_no_such_neighbours() -> None:
    latents = LINE.copy()
    latents[5:] = np.nan
    assert not len(nearby.to_point(latents, 0, nearby.pool(table(), "synthetic"), 5).rows)


def test_the_centre_of_a_cell() -> None:
    points = table()
    assert nearby.made_for(points, 2, 0, "a").tolist() == [5], "what the filter set aside is not meant"
    near = nearby.to_centre(LINE, np.array([5, 7]), nearby.pool(points, "real"), 2)
    assert near.rows.tolist() == [4, 3] and near.distance.tolist() == [2, 3]
    assert nearby.sources(points, [0, 2, 3]) == [(1, 0, 2), (0, 0, 1)]


def test_cells_without_a_sample_come_first() -> None:
    points = pd.concat([table(), table().iloc[[5] * 3].assign(label=0, subdomain=0)], ignore_index=True)
    assert nearby.cells_made(points, "a") == [(2, 0), (0, 0)]
    assert nearby.cells_made(points, "b") == [(1, 1)]
    assert nearby.cells_made(points, "nobody") == []


def test_the_nearest_of_many_are_found_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearby, "AT_ONCE", 7)
    latents = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float16)
    latents[7:14] = np.nan
    among = np.arange(0, 60, 2)
    near = nearby.to_point(latents, 4, among, 6)
    far = np.linalg.norm(latents.astype(np.float64) - latents[4], axis=1)
    wanted = [row for row in np.argsort(far) if row in set(among) - {4} and np.isfinite(far[row])][:6]
    assert near.rows.tolist() == wanted and near.distance == pytest.approx(far[wanted], rel=1e-5)


def test_how_much_of_it_the_map_shows() -> None:
    among = nearby.pool(table(), "train")
    near = nearby.to_point(LINE, 7, among, 2)
    turned = LINE * [-1, 1]
    assert nearby.also_near(LINE, 7, near, among) == 2 == nearby.also_near(turned, 7, near, among)
    folded = LINE.copy()
    folded[0] = folded[7]
    assert nearby.also_near(folded, 7, near, among) == 1
    folded[7] = np.nan
    assert nearby.also_near(folded, 7, near, among) is None


@pytest.fixture
def run(workspace: Path) -> runs.RunState:  # noqa: F811
    return runs.read_state(fixtures.make_run(workspace))


def test_the_panel_shows_the_neighbours_of_the_selected_point(run: runs.RunState) -> None:
    points = projection.load_points(run.path)
    row = int(np.flatnonzero(points["origin"] == "synthetic")[7])
    page = open_page("explore", panel="neighbours", point=points["id"].iloc[row], k="5")
    assert not warnings(page) and page.query_params["k"] == "5"
    shown = next(t.value for t in page.dataframe)
    latents = projection.load_latents(run.path, "adapter.1")
    train = np.flatnonzero(points["split"] == "train")
    far = np.linalg.norm(latents[train] - latents[row], axis=1)
    assert shown["id"].tolist() == points["id"].iloc[train[np.argsort(far)[:5]]].tolist()
    assert shown["distance"].tolist() == pytest.approx(np.sort(far)[:5], abs=2e-3)
    assert "On the map, 5 of them are among its 5 nearest" in text(page), "here the map is the latent space"


def test_a_link_to_a_cell_asks_what_it_would_look_like(run: runs.RunState) -> None:
    page = open_page("explore", panel="neighbours", cell="eight|inverted", among="real")
    assert "What would *eight* look like *inverted*?" in text(page)
    assert "3 synthetic latents by GeLDA stand for" in text(page) or "synthetic latent" in text(page)
    assert "of which training has no sample" in text(page) and "held-out" in text(page)


def test_the_question_opens_on_a_cell_without_a_sample(run: runs.RunState) -> None:
    page = open_page("explore", panel="neighbours")
    label, subdomain = page.session_state["cell"].split("|")
    assert (fixtures.CLASSES.index(label), fixtures.CONDITIONS.index(subdomain)) in fixtures.EMPTY
    assert "cell" not in page.query_params


def test_a_layer_without_synthetic_latents_is_said(run: runs.RunState) -> None:
    page = open_page("explore", panel="neighbours", layer="stage2.1", cell="eight|inverted")
    assert "holds no synthetic latents: measured in Adapter layer 1" in text(page)


def test_clips_answer_for_speech(workspace: Path) -> None:  # noqa: F811
    fixtures.make_comparison(workspace, points=True, media="audio")
    page = open_page("explore", run=fixtures.COMPARISON, panel="neighbours", cell="bee|night", k="5")
    assert "What would *bee* sound like in *night*?" in text(page)
    assert len(page.get("audio")) == 5
    assert "4 synthetic latents by GeLDA stand for" in text(page)


def test_the_map_joins_a_point_with_its_neighbours(
    run: runs.RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app import map as latent_map

    layouts = []
    monkeypatch.setattr(latent_map, "draw", lambda layout, **_: layouts.append(layout) or len(layout.points))
    points = projection.load_points(run.path)
    open_page("explore", panel="neighbours", point=points["id"].iloc[7], k="5")
    joined = layouts[-1].lines
    assert joined.shape == (5, 2) and set(joined[:, 0]) == {7}
    assert set(points["split"].iloc[joined[:, 1]]) == {"train"} and 7 not in joined[:, 1]
    open_page("explore", point=points["id"].iloc[7])
    assert not len(layouts[-1].lines), "another panel is open"


def test_many_centres_are_found_as_one_by_one() -> None:
    among = np.arange(4)
    cells = [np.array([5, 7]), np.array([4]), np.array([6, 7])]
    near = nearby.to_centres(LINE, cells, among)
    alone = [nearby.to_centre(LINE, cell, among, 1) for cell in cells]
    assert near.rows.tolist() == [one.rows[0] for one in alone]
    np.testing.assert_allclose(near.distance, [one.distance[0] for one in alone])


def test_the_walk_from_point_to_point_has_a_way_back(run: runs.RunState) -> None:
    ids = projection.load_points(run.path)["id"].tolist()
    page = open_page("explore", panel="neighbours", point=ids[7])
    page.session_state["_walked"] = {run.id: [ids[3]]}
    page.run()
    next(b for b in page.button if b.label.startswith("Back to")).click().run()
    assert page.session_state["point"] == ids[3] and page.query_params["point"] == ids[3]
    assert not [b for b in page.button if b.label.startswith("Back to")]


def test_the_neighbours_are_looked_for_once_a_drawing(run: runs.RunState, monkeypatch) -> None:
    asked = []
    found = nearby.to_point
    monkeypatch.setattr(nearby, "to_point", lambda *a: asked.append(a[3]) or found(*a))
    points = projection.load_points(run.path)
    open_page("explore", panel="neighbours", point=points["id"].iloc[9], k="30")
    assert asked.count(30) == 1 + 1, "in latent space, and how many of them are near on the map"
