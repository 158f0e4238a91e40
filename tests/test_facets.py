"""The Columns panel: bars that hold every point, what sets a selection apart, and its clicks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_column_filters import RUN, run  # noqa: F401
from test_pages import open_page, text, warnings

from app import colouring, columns_view, facets, selecting
from gelda import projection, runs
from gelda.artifacts import read_json


@pytest.fixture
def points(run: Path) -> pd.DataFrame:  # noqa: F811
    return projection.load_points(run)


@pytest.fixture
def found(run: Path, points: pd.DataFrame) -> list[facets.Facet]:  # noqa: F811
    return facets.of(points, read_json(run / "meta.json"), colouring.offered(points, "condition"))


def masks(points: pd.DataFrame, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    selected = np.zeros(len(points), bool)
    selected[rows] = True
    synthetic = (points["origin"] == "synthetic").to_numpy()
    return facets.in_view(np.ones(len(points), bool), synthetic, selected)


def test_all_that_colours_has_bars_that_hold_every_point_with_a_value(points, found) -> None:
    assert [f.name for f in found] == list(colouring.offered(points, "condition"))
    for facet in found:
        told = facets.told(facet, *masks(points, np.arange(0)))
        without = int((facet.codes == len(facet.bars)).sum())
        assert told.real.sum() + told.made.sum() == len(points) - without
        assert len(facet.bars) == len(set(facet.bars)) == len(told.real) and told.difference is None
        if facet.name.startswith("column."):
            assert told.made.sum() == 0 and without == (points["origin"] == "synthetic").sum()
        if facet.ordered and len(facet.bars) > 1:
            values, _ = colouring.numbers_of(points[facet.name])
            middles = [values[facet.codes == k].mean() for k in range(len(facet.bars)) if told.real[k]]
            assert (np.diff(middles) > 0).all(), "bars are in the order of their values"


@pytest.mark.parametrize(
    "name, inside",
    [
        ("class", lambda p: p["label"] == 3),
        ("source", lambda p: p["origin"] == "synthetic"),
        ("confidence", lambda p: p["confidence"] > 0.8),
        ("column.seconds", lambda p: p["column.seconds"] > 1.5),
        ("column.day", lambda p: p["column.day"] < "2024-02-05"),
        ("column.take", lambda p: p["column.take"] == 4),
        ("column.voice, own", lambda p: p["column.voice, own"] == "high"),
    ],
)
def test_what_a_selection_was_made_by_comes_first(points, found, name: str, inside) -> None:
    rows = np.flatnonzero(inside(points))
    told = facets.ordered([facets.told(facet, *masks(points, rows)) for facet in found])
    (own,) = (one for one in told if one.facet.name == name)
    # a column may follow from another: dev items have no synthetic ones among them
    assert own.beyond >= 0.9 * told[0].beyond and own.beyond > 0.3
    expected = (own.chosen > 0).sum() / len(own.chosen)
    assert own.difference <= 1 and expected < 1


def test_what_is_said_of_a_selection_tells_it_from_the_rest(points, found) -> None:
    facet = {f.name: f for f in found}
    late = masks(points, np.flatnonzero(points["column.seconds"] > 2))
    assert facets.told(facet["column.seconds"], *late).said.startswith("half of the selection lies below 2.")
    threes = masks(points, np.flatnonzero(points["column.take"] == 3))
    assert facets.told(facet["column.take"], *threes).said == "100 % of the selection, 0 % of the rest: 3"
    assert (
        "100 % of the selection, 0 % of the rest: three"
        == facets.told(facet["class"], *masks(points, np.flatnonzero(points["label"] == 3))).said
    )


def test_points_drawn_at_random_are_like_the_rest(points, found) -> None:
    rng = np.random.default_rng(0)
    beyond = {facet.name: [] for facet in found}
    for _ in range(30):
        rows = rng.choice(len(points), 40, replace=False)
        for facet in found:
            told = facets.told(facet, *masks(points, rows))
            beyond[facet.name].append(told.beyond)
            assert 0 <= told.difference <= 1 and 0 <= told.chance <= 1
    worst = {name: float(np.mean(values)) for name, values in beyond.items()}
    assert max(worst.values()) < 0.06, worst


def test_the_distances_are_those_of_their_names() -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(1)
    values = pd.Series(rng.normal(size=5000))
    points = pd.DataFrame({"x": values, "origin": "real", "g": rng.choice(list("abc"), 5000)})
    rows = np.flatnonzero(rng.random(5000) < 1 / (1 + np.exp(-values)))
    number, group = facets.of(points, {}, {"x": "x", "g": "g"})
    told = facets.told(number, *masks(points, rows))
    rest = np.setdiff1d(np.arange(5000), rows)
    assert abs(told.difference - ks_2samp(values[rows], values[rest]).statistic) < 1 / 200
    shares = (points["g"].iloc[part].value_counts(normalize=True) for part in (rows, rest))
    difference = facets.told(group, *masks(points, rows)).difference
    assert difference == pytest.approx(
        0.5 * sum(abs(a - b) for a, b in zip(*map(_sorted, shares), strict=True))
    )


def _sorted(shares: pd.Series) -> list[float]:
    return shares.sort_index().tolist()


@pytest.mark.parametrize(
    "values", [[1.0, 2.0], [0.1, 0.1, 0.1, 5.0], list(np.geomspace(1e-6, 1, 90)), [-3, 0, 3]]
)
def test_odd_columns_have_bars(values: list) -> None:
    points = pd.DataFrame({"x": values, "origin": "real"})
    (facet,) = facets.of(points, {}, {"x": "x"})
    assert np.bincount(facet.codes).sum() == len(values) and facet.codes.max() < len(facet.bars)


def test_the_panel_says_what_sets_a_selection_apart(run, points) -> None:  # noqa: F811
    rows = np.flatnonzero(points["label"] == 3)[:30]
    page = open_page(
        "explore", run=RUN, panel="columns", sel=selecting.code(runs.read_state(run), rows.tolist())
    )
    assert not warnings(page) and "What sets 30 selected points apart: Class" in text(page)
    page = open_page("explore", run=RUN, panel="columns")
    assert not warnings(page) and "What is in view, column by column" in text(page)


def test_a_bar_holds_its_points_and_no_point_without_a_value(points, found) -> None:
    for facet in found:
        inside = columns_view.inside(facet, 0, len(facet.bars) - 1)
        np.testing.assert_array_equal(inside, facet.codes < len(facet.bars))
        first = columns_view.inside(facet, 0, 0)
        assert (
            first.sum()
            == facets.told(facet, *masks(points, np.arange(0))).real[0]
            + ((facet.codes == 0) & (points["origin"] == "synthetic").to_numpy()).sum()
        )


def test_what_the_browser_gets_is_small_and_whole(points, found) -> None:
    rows = np.flatnonzero(points["label"] == 3)
    for facet in found:
        packed = columns_view._packed(facets.told(facet, *masks(points, rows)), True)
        assert len(packed["bars"]) <= max(facets.BINS, columns_view.FEW)
        lengths = [bar[name][0] for bar in packed["bars"] for name in ("real", "made", "own")]
        assert max(lengths) <= 1 and min(lengths) >= 0
        if len(facet.bars) <= columns_view.FEW:
            assert max(lengths) == 1 and not packed["others"]
