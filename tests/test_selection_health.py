"""Health of a selection: right for latents like the real ones, and each fault shows in its own figure."""

from __future__ import annotations

from pathlib import Path

import app_fixtures as fixtures
import numpy as np
import pandas as pd
import pytest
from test_pages import open_page, text, warnings

from app import health_view, selecting
from gelda import metrics, runs
from gelda.selection_health import FEWEST, MOST, SelectionHealth, selection_health

EACH, WIDTH = 60, 6


def made(fault: str = "", held: str = "dev", cells: int = 4) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Four cells far apart with training, held-out and synthetic latents of each, the last with a fault."""
    rng = np.random.default_rng(0)
    kinds = ("train", held, "synthetic")
    rows = [(c // 2, c % 2, kind) for c in range(cells) for kind in kinds for _ in range(EACH)]
    table = pd.DataFrame(rows, columns=["label", "subdomain", "split"])
    synthetic = table["split"] == "synthetic"
    table["origin"] = np.where(synthetic, "synthetic", "real")
    table.loc[synthetic, "split"] = ""
    z = rng.normal(size=(len(table), WIDTH))
    train = np.flatnonzero(table["split"] == "train")
    if fault == "narrow":
        z[synthetic] *= 0.5
    if fault == "elsewhere":
        z[synthetic] += 4.0
    if fault == "copies":
        z[synthetic] = z[train] + 1e-3 * z[synthetic]
    z += 30 * np.eye(cells, WIDTH)[table["label"] * 2 + table["subdomain"]]
    distance = metrics.nearest(z, z[train], 2)[1]
    return z, np.where(np.isin(np.arange(len(z)), train), distance[:, 1], distance[:, 0]), table


def health(rows: np.ndarray | None = None, **how: object) -> SelectionHealth:
    z, distance, table = made(**how)
    return selection_health(z, distance, table, np.arange(len(table)) if rows is None else rows)


def test_latents_like_the_real_ones_are_healthy() -> None:
    found = health()
    figures = found.figures
    assert (found.real, found.synthetic, found.used) == (8 * EACH, 4 * EACH, 4 * EACH)
    assert found.held and found.same_cells and not found.why
    assert figures["variance_ratio"] == pytest.approx(1, abs=0.12)
    assert figures["frechet"] < 2 * figures["frechet_real"] + 0.2
    assert figures["precision"] == pytest.approx(figures["precision_real"], abs=0.1)
    assert figures["coverage"] == pytest.approx(figures["coverage_real"], abs=0.1)
    assert figures["nearest_ratio"] == pytest.approx(1, abs=0.1)


def test_each_fault_shows() -> None:
    assert health(fault="narrow").figures["variance_ratio"] == pytest.approx(0.25, abs=0.05)
    elsewhere = health(fault="elsewhere").figures
    assert elsewhere["precision"] < 0.1 and elsewhere["variance_ratio"] == pytest.approx(1, abs=0.12)
    assert health(fault="copies").figures["nearest_ratio"] < 0.05


@pytest.mark.parametrize("cell", range(4))
def test_the_frechet_distance_sees_every_cell(cell: int) -> None:
    z, distance, table = made()
    rows = np.arange(len(table))
    own = (table["label"] * 2 + table["subdomain"] == cell) & (table["origin"] == "synthetic")
    before = selection_health(z, distance, table, rows).figures["frechet"]
    z[own] = z[own].mean(0) + 5 * (z[own] - z[own].mean(0))
    assert selection_health(z, distance, table, rows).figures["frechet"] > 5 * before


def test_without_a_dev_half_training_is_the_measure_and_test_never_enters() -> None:
    z, distance, table = made(held="test")
    test = (table["split"] == "test").to_numpy()
    found = selection_health(z, distance, table, np.arange(len(table)))
    assert not found.held
    moved = z + 100.0 * test[:, None]
    assert selection_health(moved, distance, table, np.arange(len(table))).figures == found.figures
    assert found.figures["nearest_ratio"] == pytest.approx(1, abs=0.15)


def test_a_cell_without_real_latents_is_compared_in_shape_only() -> None:
    z, distance, table = made()
    empty = (table["label"] == 1) & (table["subdomain"] == 1)
    kept = ~(empty & (table["origin"] == "real"))
    table, z, distance = table[kept].reset_index(drop=True), z[kept], distance[kept]
    rows = np.flatnonzero(
        (table["origin"] == "synthetic") & (table["label"] == 1) & (table["subdomain"] == 1)
    )
    found = selection_health(z, distance, table, rows)
    assert not found.same_cells
    assert found.figures["precision"] is None and "of these cells" in found.why["coverage"]
    assert found.figures["variance_ratio"] == pytest.approx(1, abs=0.25)


def test_too_few_latents_say_so() -> None:
    _, _, table = made()
    found = health(np.flatnonzero(table["origin"] == "synthetic")[: FEWEST - 1])
    assert set(found.why) == {"variance_ratio", "frechet", "precision", "coverage"}
    assert all(found.figures[name] is None and str(FEWEST) in reason for name, reason in found.why.items())


def test_real_points_alone_have_no_figures() -> None:
    _, _, table = made()
    found = health(np.flatnonzero(table["origin"] == "real"))
    assert found.used == 0 and not found.figures


def test_of_many_some_enter() -> None:
    z, distance, table = made()
    many = np.tile(np.arange(len(table)), 4)
    found = selection_health(
        z[many], distance[many], table.iloc[many].reset_index(drop=True), np.arange(len(many))
    )
    assert found.synthetic == 16 * EACH and found.used == MOST


def test_every_figure_has_a_title_and_a_sentence() -> None:
    figures = health().figures
    for name, (title, said) in health_view.SHOWN.items():
        value, beside, how = said(figures, "cell")
        assert title and value != "–" and beside and how.endswith("."), name
    assert "too narrow" in health_view.SHOWN["variance_ratio"][1](health(fault="narrow").figures, "cell")[2]
    assert "copies" in health_view.SHOWN["nearest_ratio"][1](health(fault="copies").figures, "cell")[2]


def test_the_page_says_how_healthy_a_selection_is(workspace: Path) -> None:  # noqa: F811
    run = runs.read_state(fixtures.make_run(workspace))
    page = open_page("explore", classes="eight", show="synthetic")
    next(b for b in page.button if b.label.startswith("Select")).click().run()
    assert not warnings(page)
    assert "Are its synthetic latents healthy?" in text(page) and "held-out real latents (dev)" in text(page)
    assert all(title in text(page) for title, _ in health_view.SHOWN.values())
    page = open_page("explore", run=run.id, sel=selecting.code(run, [0, 1]))
    assert "2 points selected" in text(page) and "healthy" not in text(page)


@pytest.mark.parametrize("others", [(), (2, 3)])
def test_places_are_those_of_the_own_cell_whatever_else_is_selected(others: tuple[int, ...]) -> None:
    """Latents of two cells that stand in each other's place are in none of their own."""
    z, distance, table = made()
    cell = (table["label"] * 2 + table["subdomain"]).to_numpy()
    synthetic = (table["origin"] == "synthetic").to_numpy()
    first, second = (np.flatnonzero(synthetic & (cell == c)) for c in (0, 1))
    z[np.r_[first, second]] = z[np.r_[second, first]]
    found = selection_health(z, distance, table, np.flatnonzero(np.isin(cell, (0, 1, *others))))
    wrong = 2 / (2 + len(others))
    assert found.within == "cell"
    assert found.figures["precision"] == pytest.approx((1 - wrong) * found.figures["precision_real"], abs=0.1)
    assert found.figures["coverage"] == pytest.approx((1 - wrong) * found.figures["coverage_real"], abs=0.1)
    assert found.figures["precision_real"] > 0.8


def test_cells_too_small_to_have_neighbourhoods_are_looked_at_class_by_class() -> None:
    z, distance, table = made()
    cell = (table["label"] * 2 + table["subdomain"]).to_numpy()
    # eight held-out items a cell: halves of four, under SMALLEST, but eight a class
    nth = table.groupby([cell, table["origin"], table["split"]]).cumcount().to_numpy()
    rows = np.flatnonzero((table["split"] != "dev") | (nth < 8))
    found = selection_health(z[rows], distance[rows], table.iloc[rows], np.arange(len(rows)))
    assert found.within == "class" and found.figures["precision"] is not None
    rows = np.flatnonzero((table["split"] != "dev") | (nth < 3))
    found = selection_health(z[rows], distance[rows], table.iloc[rows], np.arange(len(rows)))
    assert found.within == "" and "twice as many" in found.why["precision"]
