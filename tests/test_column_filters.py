"""Columns of the data in Explore: colour, filters that a link holds, the table, its files and search."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path

import app_fixtures as fixtures
import numpy as np
import pandas as pd
import pytest
from test_pages import open_page, text, warnings

from app import colouring, column_filters, search, selection_view
from app.palette import GREY, LIMIT, RAMP
from gelda import projection, runs
from gelda.artifacts import read_json, read_table, write_table
from gelda.neighbours import load_neighbours

RUN = fixtures.RUN


def told(points: pd.DataFrame) -> pd.DataFrame:
    """Points with a column of every kind; synthetic ones have none."""
    place, real = np.arange(len(points)), (points["origin"] == "real").to_numpy()
    days = pd.Series(pd.Timestamp("2024-02-01") + pd.to_timedelta(place % 40, unit="D"))
    return points.assign(**{
        "column.seconds": np.where(real, place / 100, np.nan),
        "column.take": np.where(real, place % 7, np.nan),
        "column.day": days.where(real),
        "column.voice, own": np.where(real, np.array(["low", "high"])[place % 2], ""),
        "column.street": np.where(real, np.char.add("street ", (place % 25).astype(str)), ""),
        "column.note": np.where(real, np.char.add("remark number ", place.astype(str)), ""),
        "column.label": np.where(real, "same", ""),
    })  # fmt: skip


@pytest.fixture
def run(workspace: Path) -> Path:  # noqa: F811
    path = fixtures.make_run(workspace)
    write_table(path / "points.parquet", told(read_table(path / "points.parquet")))
    return path


def test_what_tells_points_apart_can_colour_them(run: Path) -> None:
    points = projection.load_points(run)
    found = colouring.offered(points, "condition")
    own = {name: title for name, title in found.items() if name.startswith("column.")}
    assert list(own.values()) == ["seconds", "take", "day", "voice, own", "street"]
    meta, real = read_json(run / "meta.json"), (points["origin"] == "real").to_numpy()
    for name in own:
        made = colouring.make(name, points, meta, "condition")
        assert (made.numbers[~real] == GREY).all() and "synthetic latents have none" in made.meaning
        np.testing.assert_array_equal(made.without, ~real)
    days = colouring.make("column.day", points, meta, "condition")
    assert days.ramp.written() == ["2024-02-01", "2024-02-20", "2024-03-10"]
    assert days.value_names[int(days.values[3])] == str(points["column.day"].iloc[3].date())
    assert (days.numbers[real] >= RAMP).all()
    street = colouring.make("column.street", points, meta, "condition", chosen=["street 24", "street 3"])
    assert [name for _, name in street.legend] == ["street 24", "street 3", "23 others"]
    assert len(colouring.groups_of(points["column.street"])) == 25


@pytest.mark.parametrize(
    "name, expected",
    [("seconds", (0.0, 2.7)), ("take", (0, 6)), ("day", (date(2024, 2, 1), date(2024, 3, 11)))],
)
def test_a_slider_goes_over_all_values(run: Path, name: str, expected: tuple) -> None:
    column = projection.load_points(run)[f"column.{name}"]
    low, high = column_filters.whole(column)
    assert (type(low), low) == (type(expected[0]), expected[0]) and high >= expected[1]


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 0.37, 12.5, 1e7, 1e15])
def test_no_value_lies_outside_of_its_slider(scale: float) -> None:
    column = pd.Series(np.random.default_rng(0).normal(size=200) * scale)
    low, high = column_filters.whole(column)
    assert low <= column.min() and high >= column.max() and high - low < 1.1 * (column.max() - column.min())


WHERE = {
    "column.seconds": ("0.5,1.25", lambda p: p["column.seconds"].between(0.5, 1.25)),
    "column.take": ("2,3", lambda p: p["column.take"].isin([2, 3])),
    "column.day": ("2024-02-03,2024-02-05", lambda p: p["column.day"].between("2024-02-03", "2024-02-05")),
    "column.voice, own": ("high", lambda p: p["column.voice, own"] == "high"),
    "confidence": ("0.4,0.5", None),
}


@pytest.mark.parametrize("name", WHERE)
def test_a_link_filters_by_a_column(run: Path, name: str) -> None:
    text_of, wanted = WHERE[name]
    page = open_page("explore", run=RUN, where=name.replace(",", "\\,"), **{f"is.{name}": text_of})
    assert not warnings(page)
    points = projection.load_points(run)
    real = points["origin"] == "real"
    shown = points["confidence"].between(0.4, 0.5) if wanted is None else wanted(points) | ~real
    assert 0 < shown.sum() < len(points)
    assert f"{shown.sum()} of {len(points)} points drawn" in text(page)
    assert page.query_params[f"is.{name}"] == text_of
    assert wanted is None or "Synthetic latents have no value" in text(page)


def test_a_filter_that_a_link_has_wrong_filters_nothing(run: Path) -> None:
    page = open_page("explore", run=RUN, where="column.take,column.gone", **{"is.column.take": "9,x"})
    assert not warnings(page) and page.multiselect(key="where").value == ["column.take"]
    assert page.slider(key="is.column.take").value == (0, 6)


def test_all_of_one_runs_range_is_no_filter_of_another(run: Path, workspace: Path) -> None:
    other = fixtures.make_run(workspace, "other-run")
    about = runs.read_state(other)
    about.name = "Another"
    runs.save_state(about)
    points = told(read_table(other / "points.parquet"))
    write_table(other / "points.parquet", points.assign(**{"column.take": 10 * points["column.take"]}))
    page = open_page("explore", run=RUN, where="column.take")
    page.selectbox(key="run").set_value("other-run").run()
    assert page.slider[0].value == (0, 60) and not warnings(page)
    page.slider[0].set_value((10, 30)).run()
    page.selectbox(key="run").set_value(RUN).run()  # what was chosen goes along, as far as it can
    assert page.slider[0].value == (0, 6) and f"{len(points)} of {len(points)} points drawn" in text(page)


def test_a_column_that_is_called_like_ours_can_be_chosen(run: Path) -> None:
    points = projection.load_points(run).rename(columns={"column.voice, own": "column.Class"})
    write_table(run / "points.parquet", points)
    page = open_page("explore", run=RUN)
    page.selectbox(key="colour").set_value("column.Class").run()
    assert page.query_params["colour"] == "column.Class" and "Class (column)" in page.selectbox[2].options


def test_filters_are_chosen_by_hand_and_colour_by_a_column(run: Path) -> None:
    page = open_page("explore", run=RUN)
    page.multiselect(key="where").select("column.voice, own").run()
    page.multiselect(key="is.column.voice, own").select("low").run()
    page.selectbox(key="colour").select("column.street").run()
    assert page.multiselect(key="highlight").value == [f"street {k}" for k in range(LIMIT)]
    assert not warnings(page) and "15 others" in text(page) and "no value" in text(page)
    assert page.query_params["colour"] == "column.street"


def test_table_and_files_of_a_selection_hold_the_columns(run: Path) -> None:
    points = projection.load_points(run).rename(columns={"column.label": "column.class"})
    near, distance = load_neighbours(run)
    rows = np.asarray([3, 0, len(points) - 1])
    names = fixtures.CLASSES, fixtures.CONDITIONS
    found = selection_view.table_of(points, rows, near, distance, names, "condition")
    assert found["class"].tolist() != found["class (column)"].tolist() == ["same", "same", ""]
    assert found["take"].tolist()[:2] == [3, 0] and pd.isna(found["take"].iloc[2])
    buffer = io.BytesIO()
    found.to_parquet(buffer, index=False)
    assert pd.read_parquet(buffer)["note"].tolist()[:2] == ["remark number 3", "remark number 0"]
    page = open_page("explore", run=RUN, sel=_link(run, [3]))
    assert "note" in page.dataframe[0].value and not warnings(page)


def _link(run: Path, rows: list[int]) -> str:
    from app import selecting

    return selecting.code(runs.read_state(run), rows)


@pytest.mark.parametrize(
    "wanted, said, count",
    [("Remark number 7", "1 point whose note is", 1), ("number 12", "points whose note holds", 11),
     ("street 3", "points whose street is", None), ("low", "points whose voice, own is", None)],
)  # fmt: skip
def test_search_reads_the_columns(run: Path, wanted: str, said: str, count: int | None) -> None:
    points = projection.load_points(run)
    found = search.find(wanted, points, fixtures.CLASSES, fixtures.CONDITIONS)
    assert said in found.said and (count is None or len(found.rows) == count)
    assert (points["origin"].iloc[found.rows] == "real").all() and len(found.rows)
