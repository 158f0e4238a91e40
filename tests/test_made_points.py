"""Latents that edits made are points like all others: selected, found, counted, kept, saved and linked to."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import kit_fixtures as made
import numpy as np
import pandas as pd
import pytest
from test_pages import open_page, text, warnings

from app import editing, joined, loading, map_data, selection_view
from app import map as latent_map
from gelda import edits, kit, projection, runs, selections
from gelda.edits import Add, Drop, Resample, Weight

NIGHT = (("dog", "night"),)
OWN = (made.BAD + made.GOOD) // 2  # the run's own that are in use there
MORE = 20
STEPS = (Resample(cells=NIGHT), Add(cells=NIGHT, count=MORE, seed=2))
CELL = {"classes": "dog", "conditions": "night", "run": made.RUN}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with latents of a cell made anew, and more of them."""
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    monkeypatch.setattr(runs, "shipped_runs", lambda: [])
    path = made.make_run()
    made.edit(path, *STEPS)
    return path


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list:
    """Every layout that the map was given."""
    layouts: list = []
    monkeypatch.setattr(latent_map, "draw", lambda layout, **_: layouts.append(layout) or len(layout.points))
    return layouts


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict:
    """What the buttons of the selection would save, by label."""
    held: dict = {}

    def button(label: str, make, *_, **__) -> None:
        held[label] = make

    monkeypatch.setattr(selection_view.st, "download_button", button)
    return held


def points_of(run: Path) -> pd.DataFrame:
    state, own = runs.read_state(run), projection.load_points(run)
    return editing.shown(state, own, editing.made(state, own))


def press(page, label: str):
    return next(b for b in page.button if b.label.startswith(label)).click().run()


def test_map_bar_files_and_link_count_the_same_points(run: Path, drawn: list, files: dict) -> None:
    page = press(open_page("explore", **CELL, show="synthetic", rejected="False"), "Select this cell")
    number = OWN + MORE
    assert f"{number} synthetic latents selected" in text(page) and not warnings(page)
    assert len(drawn[-1].selected) == drawn[-1].visible.sum() == number
    ids = files["Ids"]().split()
    assert len(ids) == number and all(one.startswith("made-") for one in ids)
    csv = pd.read_csv(io.StringIO(files["CSV"]()))
    assert csv["made by"].value_counts().to_dict() == {
        "GeLDA, step 1 of the edits": OWN, "GeLDA, step 2 of the edits": MORE
    }  # fmt: skip
    assert set(csv["origin"]) == {"synthetic"} and csv["nearest real"].str.startswith("item-").all()
    assert pd.read_parquet(io.BytesIO(files["Parquet"]()))["id"].tolist() == ids
    fresh = open_page("explore", run=made.RUN, sel=page.query_params["sel"])
    assert f"{number} synthetic latents selected" in text(fresh) and not warnings(fresh)
    assert len(drawn[-1].selected) == number


def test_all_of_a_cell_is_what_was_replaced_and_what_was_made(run: Path, files: dict) -> None:
    page = press(open_page("explore", **CELL), "Select this cell")
    table = points_of(run)
    cell = table[(table["label"] == 3) & (table["subdomain"] == 1)]
    said = text(page)
    assert len(cell) == 20 + OWN + 1 + OWN + MORE and f"{len(cell)} points selected" in said
    assert f"{OWN + MORE} made by edits and {OWN} dropped by edits" in said
    csv = pd.read_csv(io.StringIO(files["CSV"]()), keep_default_na=False)
    assert csv["filter"].value_counts().to_dict() == {
        "": 20, "kept": OWN + MORE, "dropped by edits": OWN, "set aside": 1
    }  # fmt: skip
    assert len(page.dataframe[0].value) == len(cell)


def test_ids_are_the_same_wherever_the_steps_are_made_again(run: Path, tmp_path: Path, monkeypatch) -> None:
    before = points_of(run)["id"].tolist()
    file = tmp_path / "mine.json"
    file.write_bytes(edits.path_of(run.name, edits.DEFAULT).read_bytes())
    assert len(set(before)) == len(before)
    monkeypatch.setenv("GELDA_HOME", str(tmp_path / "elsewhere"))
    other = made.make_run()
    made.edit(other, *edits.read(file, kit.load(other)).steps)
    assert points_of(other)["id"].tolist() == before


def test_they_are_searched_for(run: Path) -> None:
    page = open_page("explore", run=made.RUN)
    page.text_input(key="find").set_value("synthetic dog night").run()
    press(page, f"Select these {OWN + 1 + OWN + MORE} points")
    page.text_input(key="find").set_value("step 2").run()
    press(page, f"Select these {MORE} points")
    assert f"{MORE} synthetic latents selected" in text(page) and f"{MORE} made by edits" in text(page)
    one = points_of(run)["id"].iloc[-1]
    page.text_input(key="find").set_value(one).run()
    press(page, "Select it")
    assert "1 synthetic latent selected" in text(page) and "step 2 of the edits" in text(page)


def test_a_kept_selection_holds_them_and_says_where_their_step_was_undone(run: Path) -> None:
    page = press(open_page("explore", **CELL, show="synthetic"), "Select this cell")
    number = 2 * OWN + 1 + MORE
    page.text_input(key="keep_name").set_value("night")
    press(page, "Keep")
    assert len(selections.load(run.name, "night").ids) == number
    fresh = open_page("explore", run=made.RUN, sel="night")
    assert f"{number} synthetic latents selected" in text(fresh) and not warnings(fresh)
    own = kit.load(run)
    edits.change(own, edits.DEFAULT, edits.Edits.undo)
    page.run()
    assert f"{number - MORE} synthetic latents selected" in text(page), "the other step stands"
    late = open_page("explore", run=made.RUN, sel="night")
    assert f"{number - MORE} synthetic latents selected" in text(late)
    assert f"{MORE} of the {number} points of 'night' are not here" in warnings(late)[0]
    edits.change(own, edits.DEFAULT, edits.Edits.redo)
    page.run()
    assert f"{number} synthetic latents selected" in text(page), "redone, they are selected as before"


def test_a_link_of_latents_whose_step_is_gone_is_a_sentence(run: Path) -> None:
    page = open_page("explore", run=made.RUN)
    page.text_input(key="find").set_value("step 2").run()
    link = press(page, "Select these").query_params["sel"]
    edits.change(kit.load(run), edits.DEFAULT, lambda mine: mine.push(Weight(factor=0.5)))
    assert f"{MORE} synthetic latents selected" in text(open_page("explore", run=made.RUN, sel=link))
    made.edit(run, STEPS[0], Add(cells=NIGHT, count=MORE, seed=3))
    other = open_page("explore", run=made.RUN, sel=link)
    assert "edited since" in warnings(other)[0] and "synthetic latents selected" not in text(other)


def test_health_is_of_those_in_use_and_says_how_many_are_not(run: Path) -> None:
    page = press(open_page("explore", **CELL, show="synthetic"), "Select this cell")
    said = text(page)
    assert f"Its {OWN + 1 + MORE} synthetic latents ({OWN} dropped by edits left out)" in said
    page = open_page("explore", run=made.RUN)
    page.text_input(key="find").set_value("step 2").run()
    said = text(press(page, "Select these"))
    assert f"Its {MORE} synthetic latents, where latents are made" in said and "healthy" in said
    made.edit(run, *STEPS, Drop(cells=NIGHT))
    page.run()
    assert f"None of them is in use: {MORE} dropped by edits left out" in text(page)


def test_what_is_told_of_them_is_measured_of_them(run: Path) -> None:
    """Latents planted on their own class are healthier than those that lie on another."""
    from app import health_view
    from gelda.selection_health import selection_health

    seen = {}
    state, own = runs.read_state(run), projection.load_points(run)
    more = editing.made(state, own)
    points, distance = editing.shown(state, own, more), joined.neighbours(run, more)[1][:, 0]
    latents = joined.latents(run, "deep", more)
    for name, step in (("before", 0), ("after", 2)):
        part = (points["origin"] == "synthetic") & (points["label"] == 3) & (points["step"] == step)
        found = selection_health(latents, distance, points, np.flatnonzero(part))
        seen[name] = found.figures["frechet"] if "frechet" in found.figures else None
    assert all(seen.values()) and seen["after"] < seen["before"]
    assert set(found.figures) == set(health_view.SHOWN) | {n for n in found.figures if n.endswith("_real")}


def test_columns_count_them(run: Path) -> None:
    page = open_page("explore", run=made.RUN, panel="columns")
    page.text_input(key="find").set_value("step 2").run()
    press(page, "Select these")
    assert f"What sets {MORE} selected points apart" in text(page) and not warnings(page)
    state, own = runs.read_state(run), projection.load_points(run)
    more = editing.made(state, own)
    points = editing.shown(state, own, more)
    for facet in joined.facets_of(run, "condition", points, more):
        assert len(facet.codes) == len(points)
    assert len(loading.facets(run, "condition")[0].codes) == len(own), "the run's own stay as they are"


@pytest.mark.parametrize("among", ["train", "real", "synthetic"])
def test_their_neighbours_are_looked_for_like_those_of_all_others(run: Path, drawn: list, among: str) -> None:
    points = points_of(run)
    row = len(points) - 1
    point = points["id"].iloc[row]
    page = open_page("explore", run=made.RUN, panel="neighbours", point=point, among=among, k="15")
    assert not warnings(page) and "Nearest to the synthetic latent" in text(page)
    state, own = runs.read_state(run), projection.load_points(run)
    z = joined.latents(run, "deep", editing.made(state, own))[np.arange(len(points))]
    mask = {"train": points["split"] == "train", "real": points["origin"] == "real",
            "synthetic": points["origin"] == "synthetic"}[among].to_numpy(copy=True)  # fmt: skip
    mask[row] = False
    far = np.where(mask, np.linalg.norm(z - z[row], axis=1), np.inf)
    expected = points["id"].iloc[np.argsort(far, kind="stable")[:15]].tolist()
    shown = next(t.value for t in page.dataframe if "distance" in t.value and "what" in t.value)
    assert shown["id"].tolist() == expected
    if among == "synthetic":
        assert "GeLDA, step 2 of the edits" in set(shown["what"])
    assert set(drawn[-1].lines[:, 0]) == {row}


def test_behind_a_missing_file_nothing_is_shown(run: Path) -> None:
    own = kit.load(run)
    first, _ = edits.applied(own, STEPS).made
    first.file(own).unlink()
    state, points = runs.read_state(run), projection.load_points(run)
    assert editing.made(state, points) is None and len(points_of(run)) == len(points)
    page = open_page("explore", run=made.RUN)
    assert not warnings(page)


def test_the_history_says_what_they_count(run: Path) -> None:
    made.edit(run, Weight(factor=0.5), *STEPS)
    page = open_page("explore", run=made.RUN, panel="edit")
    assert text(page).count("each counts 0.5 times, as those before") == 2 and not warnings(page)


def test_the_map_tells_which_step_made_a_latent(run: Path, drawn: list) -> None:
    import json

    open_page("explore", run=made.RUN)
    layout = drawn[-1]
    block = map_data.blocks(layout, np.arange(len(layout.points)))["facts"]
    head = json.loads(block[4 : 4 + int.from_bytes(block[:4], "little")])
    _, start, count = head["arrays"]["source"]
    told = np.asarray(head["sources"])[np.frombuffer(block, np.uint8, count, start)]
    assert told[layout.points["step"] == 2].tolist() == ["GeLDA, step 2 of the edits"] * MORE
    assert set(told[(layout.points["step"] == 0) & (layout.points["origin"] == "synthetic")]) == {"GeLDA"}
    other = dataclasses.replace(layout, points=layout.points.assign(step=layout.points["step"] + 1))
    assert map_data.digest(other) != map_data.digest(layout)


def test_what_is_found_in_all_points_stays_when_some_are_dropped(run: Path) -> None:
    state, own = runs.read_state(run), projection.load_points(run)
    before = editing.made(state, own)
    made.edit(run, *STEPS, Drop(cells=NIGHT))
    after = editing.made(state, own)
    assert after.key == before.key and not after.points["kept"].any() and before.points["kept"].all()
    assert not points_of(run)["kept"].iloc[before.first :].any()
    made.edit(run, Weight(factor=2), *STEPS)
    assert editing.made(state, own).key != before.key, "they are of other steps now"
