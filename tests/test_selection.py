"""Selecting: how picks join, search, the selection in the URL, and selections kept under a name."""

from __future__ import annotations

from pathlib import Path

import app_fixtures as fixtures
import numpy as np
import pytest
from test_pages import open_page, text, warnings

from app import search, selecting
from gelda import projection, runs, selections
from gelda.errors import UserError
from gelda.neighbours import load_neighbours


@pytest.fixture
def run(workspace: Path) -> runs.RunState:  # noqa: F811
    return runs.read_state(fixtures.make_run(workspace))


@pytest.fixture
def points(run: runs.RunState):
    return projection.load_points(run.path)


def find(wanted: str, points) -> search.Found:
    return search.find(wanted, points, fixtures.CLASSES, fixtures.CONDITIONS)


@pytest.mark.parametrize(
    "mode, joined",
    [("replace", [7, 3]), ("add", [1, 3, 5, 7]), ("common", [3]), ("remove", [1, 5]), ("toggle", [1, 5, 7])],
)
def test_picks_join(mode: str, joined: list[int]) -> None:
    assert selecting.combined([1, 5, 3], [7, 3], mode) == joined


def test_every_mode_of_the_control_is_known_to_the_map() -> None:
    script = (Path(fixtures.__file__).parent.parent / "assets" / "map" / "map.js").read_text()
    for mode in selecting.MODES:
        assert mode in selecting.JOINED and f"{mode}: (was, picked)" in script


@pytest.mark.parametrize("rows", [[0], [3, 4, 5, 90], [35, 36, 2], list(range(50)), [3, 3, 4]])
def test_a_link_holds_a_small_selection(run: runs.RunState, rows: list[int], points) -> None:
    text_of = selecting.code(run, rows)
    assert selecting._decoded(run, text_of, len(points)) == sorted(set(rows))
    assert len(text_of) <= 6 + 4 * len(rows)


def test_a_large_selection_is_not_in_the_link(run: runs.RunState) -> None:
    assert selecting.code(run, range(51)) == "" == selecting.code(run, [])


@pytest.mark.parametrize(
    "broken", ["~", "~made.", "~made.zzzzzz", "~made.0-zz", "~made.5-1", "~abcd.1", "~made.1.", "~x"]
)
def test_a_broken_link_is_a_sentence(run: runs.RunState, points, broken: str) -> None:
    with pytest.raises(UserError, match="selection in this link"):
        selecting._decoded(run, broken, len(points))


def test_search_finds_ids(points) -> None:
    one, other = points["id"].iloc[5], points["id"].iloc[9]
    assert find(one.upper(), points).rows.tolist() == [5]
    assert find(f"{one}, {other}", points).rows.tolist() == [5, 9]
    assert set(points["origin"].iloc[find("gelda-0001", points).rows]) == {"synthetic"}
    assert len(find("gelda-0001", points).rows) == 10


@pytest.mark.parametrize(
    "wanted, column, values",
    [
        ("eight", "label", {8}),
        ("Eight in Inverted", "label", {8}),
        ("eight, inverted", "subdomain", {4}),
        ("inverted eights"[:-1], "subdomain", {4}),
        ("synthetic eight", "origin", {"synthetic"}),
        ("invert", "subdomain", {4}),
        ("eight nine", "label", {8, 9}),
    ],
)
def test_search_reads_names(points, wanted: str, column: str, values: set) -> None:
    found = find(wanted, points)
    assert len(found.rows) and set(points[column].iloc[found.rows]) == values


def test_search_takes_the_longest_name(points) -> None:
    part = points[points["subdomain"] < 2]
    found = search.find(
        "very sad", part.reset_index(drop=True), ["sad", "very sad", *"abcdefgh"], ["a b", "b"]
    )
    assert set(part["label"].iloc[found.rows]) == {1}
    found = search.find(
        "sad in a b", part.reset_index(drop=True), ["sad", "very sad", *"cdefghij"], ["a b", "b"]
    )
    assert set(part["subdomain"].iloc[found.rows]) == {0}


@pytest.mark.parametrize("wanted", ["", "nobody", "eight nobody", "in the"])
def test_search_that_finds_nothing_says_what_to_type(points, wanted: str) -> None:
    found = find(wanted, points)
    assert not len(found.rows) and "try" in found.said


def test_the_page_searches_and_joins(run: runs.RunState, points) -> None:
    page = open_page("explore")
    page.text_input(key="find").set_value("eight in inverted").run()
    eights = np.flatnonzero((points["label"] == 8) & (points["subdomain"] == 4))
    assert f"{len(eights)} points: eight, inverted" in text(page)
    next(b for b in page.button if b.label == f"Select these {len(eights)} points").click().run()
    assert f"{len(eights)} points selected" in text(page)
    page.session_state["join"] = "common"
    page.text_input(key="find").set_value("synthetic").run()
    next(b for b in page.button if b.label.startswith("Keep common with")).click().run()
    assert "3 points selected: 0 real, 3 synthetic" in text(page)


def test_a_filter_hides_and_does_not_unselect(run: runs.RunState, points) -> None:
    page = open_page("explore")
    page.text_input(key="find").set_value("eight in inverted").run()
    next(b for b in page.button if b.label.startswith("Select these")).click().run()
    number = int(((points["label"] == 8) & (points["subdomain"] == 4)).sum())
    page.multiselect(key="classes").select("nine").run()
    assert f"{number} points selected" in text(
        page
    ) and f"{number} of them are hidden by the filters" in text(page)
    page.multiselect(key="classes").unselect("nine").run()
    assert f"{number} points selected" in text(page) and "hidden by the filters" not in text(page)


def test_a_cell_of_the_grid_is_selected(run: runs.RunState, points) -> None:
    page = open_page("explore", classes="eight", conditions="inverted")
    next(b for b in page.button if b.label == "Select this cell").click().run()
    assert f"{((points['label'] == 8) & (points['subdomain'] == 4)).sum()} points selected" in text(page)
    assert not any(b.label.startswith("Select") for b in open_page("explore").button)


def test_the_url_reopens_a_small_selection(run: runs.RunState) -> None:
    page = open_page("explore", sel=selecting.code(run, [3, 4, 5]))
    assert "3 points selected" in text(page)
    page.text_input(key="find").set_value("gelda-00001").run()
    next(b for b in page.button if b.label == "Select it").click().run()
    address = page.query_params["sel"]
    assert address != selecting.code(run, [3, 4, 5])
    assert "1 point selected: 0 real, 1 synthetic" in text(open_page("explore", sel=address))


@pytest.mark.parametrize(
    "sel, said", [("~abcd.1", "made again"), ("~made", "cannot be read"), ("nobody", "No selection called")]
)
def test_a_selection_that_is_gone_is_a_sentence(run: runs.RunState, sel: str, said: str) -> None:
    page = open_page("explore", sel=sel)
    assert said in warnings(page)[0] and "sel" not in page.query_params


def test_a_selection_is_kept_by_name_and_reopened(run: runs.RunState, points) -> None:
    page = open_page("explore", sel=selecting.code(run, [3, 4, 5]))
    page.text_input(key="keep_name").set_value("odd ones")
    next(b for b in page.button if b.label == "Keep").click().run()
    assert page.query_params["sel"] == "odd ones"
    assert selections.load(run.id, "odd ones").ids == tuple(points["id"].iloc[[3, 4, 5]])
    fresh = open_page("explore", sel="odd ones")
    assert "3 points selected" in text(fresh)
    fresh.text_input(key=f"rename.{run.id}.odd ones").set_value("odd").run()
    assert fresh.query_params["sel"] == "odd" and [k.name for k in selections.listed(run.id)] == ["odd"]
    fresh.button(key=f"forget.{run.id}.odd").click().run()
    assert not selections.listed(run.id) and "3 points selected" in text(fresh)


def test_kept_selections_have_their_own_names_while_the_list_grows(run: runs.RunState) -> None:
    def agree() -> list[str]:
        named = [box.value for box in page.text_input if box.label == "Name"]
        assert named == [kept.name for kept in selections.listed(run.id)]
        return named

    page = open_page("explore", sel=selecting.code(run, [3, 4, 5]))
    for name in ("aaa", "bbb", "ccc"):
        page.text_input(key="keep_name").set_value(name)
        next(b for b in page.button if b.label == "Keep").click().run()
        assert name in agree()
    page.text_input(key=f"rename.{run.id}.bbb").set_value("aaa").run()
    assert "There is a selection called 'aaa' already" in warnings(page)[0]
    row = agree().index("bbb")
    [b for b in page.button if b.label == "Delete"][row].click().run()
    assert sorted(agree()) == ["aaa", "ccc"]


def test_readonly_keeps_nothing(run: runs.RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    selections.keep(run.id, "before", ["gelda-00001"], "key")
    monkeypatch.setenv("GELDA_READONLY", "1")
    page = open_page("explore", sel="before")
    assert "1 point selected" in text(page)
    assert "Keep" not in [b.label for b in page.button] and not any(b.label == "Delete" for b in page.button)
    for act in (
        lambda: selections.keep(run.id, "b", ["x"], "key"),
        lambda: selections.delete(run.id, "before"),
    ):
        with pytest.raises(UserError, match="looking only"):
            act()


@pytest.mark.parametrize("name", ["", " ", "../up", "a/b", "~made.1", ".hidden", "x" * 61, "a\nb"])
def test_a_name_cannot_leave_its_folder(name: str, run: runs.RunState) -> None:
    with pytest.raises(UserError, match="name begins with"):
        selections.keep(run.id, name, ["x"], "key")


def test_a_name_is_taken_once(run: runs.RunState) -> None:
    selections.keep(run.id, "one", ["a"], "key")
    selections.keep(run.id, "two", ["b"], "key")
    for act in (
        lambda: selections.keep(run.id, "one", ["c"], "k"),
        lambda: selections.rename(run.id, "two", "one"),
    ):
        with pytest.raises(UserError, match="already"):
            act()
    assert {k.name: k.ids for k in selections.listed(run.id)} == {"one": ("a",), "two": ("b",)}


def test_ids_that_are_gone_are_left_out(run: runs.RunState, points) -> None:
    kept = selections.Kept("x", ("gone", str(points["id"].iloc[4])), "key", "")
    assert selections.rows(kept, points).tolist() == [4]
    with pytest.raises(UserError, match="No point"):
        selections.rows(selections.Kept("x", ("gone",), "key", ""), points)


def test_the_table_has_pictures_and_its_rows_lead_on(run: runs.RunState, points) -> None:
    from app import pictures

    pictures.sheet(run.path).result(60)
    made = np.flatnonzero(points["origin"] == "synthetic")[:2]
    page = open_page("explore", sel=selecting.code(run, [3, 4, *made]))
    table = page.dataframe[0].value
    assert table["item"].str.startswith("data:image/webp;base64,").all()
    nearest = load_neighbours(run.path)[0][made, 0]
    assert table["origin"].tolist() == ["synthetic", "synthetic", "real", "real"], (
        "what was made stands first"
    )
    assert table["item"].iloc[0] == pictures.thumbnails(run.path, nearest[:1])[0], (
        "its nearest real item stands in"
    )
    assert "Only this one" not in [b.label for b in page.button]


def test_while_the_pictures_are_made_the_rows_in_view_have_theirs(run: runs.RunState, monkeypatch) -> None:
    from concurrent.futures import Future

    from app import pictures

    rows = np.arange(2 * pictures.SEEN)
    made = pictures.sheet(run.path)
    made.result(60)
    every = pictures.thumbnails(run.path, rows)
    monkeypatch.setattr(pictures, "sheet", lambda run: Future())
    some = pictures.thumbnails(run.path, rows)
    assert all(url.startswith("data:image/webp;base64,") for url in some[: pictures.SEEN])
    assert all(every) and len(some) == len(every) and not any(some[pictures.SEEN :])


def test_ticked_rows_become_the_selection_or_leave_it(run: runs.RunState, points) -> None:
    from streamlit.testing.v1 import AppTest

    def script(run_id: str, rows: list[int]) -> None:
        import numpy as np

        from app import loading, selection_view
        from app.explored import Explored
        from gelda import projection, runs

        run = runs.read_state(runs.find_run(run_id))
        points = loading.points(run.path)
        every = np.full(len(points), True)
        meta = loading.meta(run.path)
        shown = Explored(
            run, meta, points, projection.layers(run.path), [], None, every, np.array(rows), np.array(rows)
        )
        selection_view._ticked(shown, np.array(rows[:1]))

    page = AppTest.from_function(script, default_timeout=30, kwargs={"run_id": run.id, "rows": [3, 4, 5]})
    page.session_state["_selection"] = selecting.state.Selection(run.id, [3, 4, 5], "lasso")
    page.run()
    assert [b.label for b in page.button] == ["Only this one", "Without this one", "Its nearest neighbours"]
    page.button[1].click().run()
    assert page.session_state["_selection"].rows == [4, 5]
    page.button[0].click().run()
    assert page.session_state["_selection"].rows == [3]
    page.button[2].click().run()
    assert page.session_state["panel"] == "neighbours" and page.session_state["point"] == points["id"].iloc[3]


def test_search_finds_classes_by_a_part_of_their_names(points) -> None:
    names = ["great white shark", "tiger shark", "tench, Tinca tinca", *"defghij"]
    found = search.find("shark", points, names, fixtures.CONDITIONS)
    assert (
        set(points["label"].iloc[found.rows]) == {0, 1} and "great white shark and tiger shark" in found.said
    )
    assert set(points["label"].iloc[search.find("tinca t", points, names, ["a"]).rows]) == {2}
    many = search.find("kind", points, [f"kind-{k}" for k in range(10)], fixtures.CONDITIONS)
    assert len(many.rows) == len(points) and "6 more" in many.said


@pytest.mark.parametrize("names", [["tench, Tinca tinca", "b"], ["a\\", ",", "b,"], ["plain"], []])
def test_a_field_of_several_names_keeps_their_commas(names: list[str]) -> None:
    assert selecting.state._parse(selecting.state._text(names), True) == names


def _of_the_point(page):
    return next(box for box in page.selectbox if box.label == "Of the point")


def test_the_point_that_is_offered_is_the_one_that_is_shown(run: runs.RunState, points) -> None:
    ids = points["id"].tolist()
    page = open_page("explore", panel="neighbours", sel=selecting.code(run, [3, 4, 5]))
    _of_the_point(page).select(ids[4]).run()
    assert f"Nearest to the real image {ids[4]}" in text(page)
    page.session_state["_selection"] = selecting.state.Selection(run.id, [2, 4], "lasso")
    page.session_state["point"] = ""
    page.run()
    assert _of_the_point(page).value == ids[2]
    assert f"Nearest to the real image {ids[2]}" in text(page)
