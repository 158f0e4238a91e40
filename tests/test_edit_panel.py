"""The edit panel: select, drop, see, undo, confirm; what it says where it cannot."""

import json
import os
import subprocess
import sys
from pathlib import Path

import kit_fixtures as made
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from test_pages import open_page, text, warnings

from app import edit_charts, edit_view
from gelda import edit_jobs, edits, kit, projection, runs, suspects
from gelda.artifacts import write_json
from gelda.edits import Drop, Edits
from gelda.errors import UserError
from gelda.neighbours import load_neighbours

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    monkeypatch.setattr(runs, "shipped_runs", lambda: [])
    monkeypatch.setattr("gelda.jobs.spawn", _inside)
    return tmp_path


def _inside(arguments: list[str], log: Path) -> None:
    """The job, done at once in this process."""
    _, run_id, name, _, what, *state = arguments
    edit_jobs.work(run_id, name, what, *(text.removeprefix("--state=") for text in state))


def button(page: AppTest, label: str):
    return next(b for b in page.button if b.label.startswith(label))


def opened(**query: str) -> AppTest:
    return open_page("explore", run=made.RUN, panel="edit", **query)


def test_select_drop_see_undo_redo_confirm(workspace):
    path = made.make_run()
    page = opened()
    assert "Drop what does not help" in text(page)
    assert button(page, "Drop the selection").disabled
    button(page, f"Select {made.BAD} among other classes").click().run()
    button(page, f"Drop these {made.BAD} synthetic latents").click().run()
    said = text(page)
    assert f"Drop {made.BAD} latents: rare classes" in said and "points on dev" in said
    assert "160 dev items" in said and edits.load(kit.load(path)).active
    assert not [b for b in page.button if "among other" in b.label], "what was dropped is not offered again"
    assert "None in view lies among other classes" in text(page)
    button(page, "Undo").click().run()
    assert "Drop what does not help" in text(page) and "<s>Drop 20 latents</s>" in text(page)
    button(page, "Redo").click().run()
    assert f"Drop {made.BAD} latents: rare classes" in text(page)
    button(page, "Confirm, once").click().run()
    said = text(page)
    assert "First look at the test half: a result." in said and "on test" in said
    assert not [b for b in page.button if b.label.startswith("Confirm")], "these steps were looked at"
    button(page, "Apply").click().run()
    assert "look number 2: it is no longer a result" in "\n".join(warnings(page))
    button(page, "Look again").click().run()
    assert "2nd look" in text(page) and not page.exception


def test_the_line_over_the_map_leads_through_the_loop(workspace):
    made.make_run()
    page = open_page("explore", run=made.RUN)
    page.button("loop_suggest.0").click().run()
    assert f"{made.BAD} synthetic latents selected" in text(page)
    page.button("loop_drop").click().run()
    assert page.query_params["panel"] == "edit" and "Recall of dog, on dev" in text(page)
    plain = text(page).replace("\\", "")  # one of the two is Markdown
    assert plain.count(f"Drop {made.BAD} latents: rare classes") == 2, "over the map, and in the panel"
    button(page, "Confirm, once").click().run()
    assert "Recall of dog, on test" in text(page), "the one class that was edited has its figure on test"
    page.button("loop_undo").click().run()
    assert "Seen on the test half" in text(page), "what was seen stays to be seen"
    assert not page.button("loop_suggest.0").disabled and not page.exception


@pytest.mark.parametrize("step", ["Apply", "Make them anew", "Generate"])
def test_the_line_over_the_map_says_what_any_step_did(workspace, monkeypatch, step):
    path = made.make_run()
    write_json(path / "generator.json", {"setting": {"guidance": 1.0}, "sampling": {}})
    (path / "generator.safetensors").touch()
    monkeypatch.setattr(edits, "check", lambda *_: None)
    monkeypatch.setattr("gelda.edit_jobs.start", lambda *_: None)
    page = opened()
    button(page, f"Select {made.BAD} among other classes").click().run()
    assert page.button("loop_drop")
    button(page, step).click().run()
    assert edits.load(kit.load(path)).active and not page.exception
    assert page.button("loop_refit") and "selected</b>" not in text(page)


def test_what_is_typed_and_clicked_at_once_counts(workspace):
    path = made.make_run()
    page = opened()
    button(page, "Apply").click().run()
    next(t for t in page.text_input if t.label == "Its name").input("Half of all")
    page.button("edit_keep_name").click().run()  # both in one run, as where the click comes at once
    assert edits.load(kit.load(path)).steps[0].title == "Half of all" and "1. Half of all" in text(page)


def test_what_was_dropped_is_crossed_out_on_the_map(workspace):
    path = made.make_run()
    edits.save(Edits(path.name, kit.load(path).key).push(Drop(ids=made.bad_ids())))
    from app import editing

    points = projection.load_points(path)
    shown = editing.shown(runs.read_state(path), points, None)
    assert list(shown["id"][points["kept"] & ~shown["kept"]]) == list(made.bad_ids())
    assert shown["dropped"].sum() == made.BAD, "not those that the filter set aside"


def test_heads_that_are_not_trained_are_offered_and_a_stopped_job_goes_on(workspace, monkeypatch):
    path = made.make_run()
    mine = Edits(path.name, kit.load(path).key).push(Drop(ids=made.bad_ids()))
    edits.save(mine)
    started = []
    monkeypatch.setattr("gelda.jobs.spawn", lambda arguments, log: started.append(arguments))
    page = opened()
    assert not started, "a page starts nothing by itself"
    button(page, "Refit").click().run()
    assert started and "Training the heads again" in text(page)
    edit_jobs._write(path.name, "edits", "refit", "failed", message="The disk is full.")
    page = opened()
    assert "The disk is full." in warnings(page) and button(page, "Refit")


def test_a_refit_can_be_cancelled_and_one_whose_process_was_ended_goes_on(workspace, monkeypatch):
    path = made.make_run()
    edits.save(Edits(path.name, kit.load(path).key).push(Drop(ids=made.bad_ids())))
    started = []
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    monkeypatch.setattr("gelda.jobs.spawn", lambda arguments, log: started.append(arguments) or os.getpid())
    page = opened()
    page.button("loop_refit").click().run()
    page.button("loop_cancel").click().run()
    assert page.button("edit_cancel").label == "Stopping" and page.button("edit_cancel").disabled
    monkeypatch.setattr("gelda.jobs.spawn", lambda arguments, log: started.append(arguments) or gone.pid)
    edit_jobs._write(path.name, "edits", "refit", "cancelled")
    page = opened()
    assert page.button("loop_refit").label == page.button("edit_refit").label == "Go on" and not page.warning
    page.button("edit_refit").click().run()
    page.run()
    assert len(started) == 2 and "process was ended" in page.warning[0].value
    assert text(page).count("Its process was ended") == 2, "in the panel and over the map"
    button(page, "Apply").click().run()
    assert len(started) == 3, "a step starts what is not going"
    monkeypatch.setenv("GELDA_READONLY", "1")
    assert not [b for b in opened().button if b.label in ("Go on", "Refit", "Cancel")]


def test_a_run_without_a_kit_says_what_to_do(workspace, monkeypatch):
    path = made.make_run()
    (path / "kit.json").unlink()
    resumed = []
    monkeypatch.setattr("gelda.jobs.resume", resumed.append)
    page = opened()
    assert "keeps nothing to train its head again" in text(page)
    button(page, "Finish it once more").click().run()
    assert resumed == [path.name]


def test_looking_only_shows_figures_and_no_way_to_change_them(workspace, monkeypatch):
    path = made.make_run()
    mine = Edits(path.name, kit.load(path).key).push(Drop(ids=made.bad_ids()))
    edits.save(mine)
    edit_jobs.work(path.name, mine.name, "refit")
    monkeypatch.setenv("GELDA_READONLY", "1")
    page = opened()
    assert "rare classes" in text(page) and "looking only" in text(page)
    labels = [b.label for b in page.button]
    assert not [label for label in labels if label.startswith(("Drop", "Undo", "Confirm", "Apply", "Keep "))]


def test_a_list_of_other_latents_is_one_sentence_and_can_be_set_aside(workspace, monkeypatch):
    path = made.make_run()
    edits.save(Edits(path.name, "other", steps=(Drop(ids=("x",)),), at=1))
    before = edits.path_of(path.name, "edits").read_bytes()
    page = opened()
    assert "made on other latents" in "\n".join(warnings(page))
    assert "do not fit this run any more" in text(page)
    button(page, "Set them aside").click().run()
    assert not page.warning and "Drop what does not help" in text(page)
    assert edits.path_of(path.name, "edits-aside-1").read_bytes() == before
    monkeypatch.setenv("GELDA_READONLY", "1")
    edits.path_of(path.name, "edits").write_text("{")  # as a full disk leaves it
    page = opened()
    assert page.warning and not [b for b in page.button if b.label.startswith("Set them aside")]


def test_lists_that_are_set_aside_never_replace_one_another(workspace):
    path = made.make_run()
    for turn in (1, 2):
        edits.save(Edits(path.name, f"key {turn}"))
        assert edits.set_aside(path.name).name == f"edits-aside-{turn}.json"
    with pytest.raises(UserError, match="not there any more"):
        edits.set_aside(path.name)


def test_suspects_are_found_by_training_neighbours_alone(workspace):
    path = made.make_run()
    points = projection.load_points(path)
    near, distance = load_neighbours(path)
    found = suspects.foreign(points, near)
    assert list(points["id"].iloc[found]) == list(made.bad_ids())
    other = points.assign(label=np.where(points["split"] == "dev", 0, points["label"]))
    assert np.array_equal(suspects.foreign(other, near), found)
    moved = distance.copy()
    row = found[0]
    moved[row, 0] = 0.1 * distance[near[row, 0], 0]
    assert list(suspects.copies(points, near, moved)) == [
        *sorted({row, *suspects.copies(points, near, distance)})
    ]
    assert not len(suspects.foreign(points.assign(kept=False), near))


def change(mean: float, low: float, high: float) -> dict:
    return {"mean": mean, "ci95": [low, high], "before": 50.0, "after": 50.0 + mean}


@pytest.mark.parametrize("pair, said", [
    (change(2.0, 0.5, 3.5), "Drop dog: rare classes +2.0 points on dev"),
    (change(2.0, -0.5, 4.5), "Drop dog: rare classes +2.0 points on dev, inside the noise"),
    (change(-2.0, -3.0, -1.0), "Drop dog: rare classes −2.0 points on dev"),
    (change(0.0, float("nan"), float("nan")), "Drop dog: rare classes 0.0 points on dev, inside the noise"),
])  # fmt: skip
def test_the_headline_says_no_more_than_the_interval(pair, said):
    mine = Edits("r", "k").push(Drop(classes=("dog",)))
    assert edit_view.headline(mine, {"tail": pair}, "tail") == said


@pytest.mark.parametrize("count", [2, 1000])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_strip_of_classes_holds_what_changed_most(count, theme):
    classes = [
        {"name": f"class {k}", "beyond": k > 10, **change(k / 10, k / 10 - 1, k / 10 + 1)}
        for k in range(count)
    ]
    figure = edit_charts.by_class(classes, theme)
    assert len(figure.data[0].y) == min(count, edit_charts.MOST)
    assert f"class {count - 1}" in figure.data[0].y
    title = edit_charts.class_title(classes)
    assert title == (
        "No class changed beyond the noise" if count == 2 else "class 999 gains 99.9 points of recall"
    )


def test_a_headline_speaks_of_cells_where_cells_are_rare():
    mine = Edits("r", "k").push(Drop(classes=("dog",)))
    said = edit_view.headline(mine, {"tail": change(2.0, 0.5, 3.5)}, "tail", by_cell=True)
    assert said == "Drop dog: rare cells +2.0 points on dev"


def about(path, **values):
    file = path / "kit.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_run_without_rare_classes_is_told_by_its_mean_recall(workspace):
    path = made.make_run()
    about(path, groups={"head": [0, 1], "medium": [2, 3], "tail": []})
    edits.save(Edits(path.name, kit.load(path).key).push(Drop(ids=made.bad_ids())))
    edit_jobs.work(path.name, edits.DEFAULT, "refit")
    page = opened()
    assert f"Drop {made.BAD} latents: mean recall" in text(page) and "rare classes" not in text(page)
    assert not page.warning and kit.load(path).main == "uar"


def test_names_in_the_headline_are_no_markdown(workspace):
    path = made.make_run()
    edits.save(Edits(path.name, kit.load(path).key).push(Drop(ids=made.bad_ids(), title="a*b* $x$")))
    edit_jobs.work(path.name, edits.DEFAULT, "refit")
    assert any(h.value.startswith(r"a\*b\* \$x\$\: rare classes") for h in opened().subheader)


def test_without_a_map_nothing_is_to_be_drawn_around(workspace):
    made.make_run(map_too=False)
    page = opened()
    assert "or begin with" in text(page) and "Lasso" not in text(page)
    (workspace / "runs" / made.RUN / "kit.json").unlink()
    page = opened()
    assert "No map has been made here yet" in text(page) and "Lasso" not in text(page)


def test_what_is_selected_without_a_map_can_be_looked_at_and_taken_away(workspace):
    made.make_run(map_too=False)
    page = opened()
    button(page, f"Select {made.BAD} among other classes").click().run()
    button(page, "Look at them").click().run()
    assert f"{made.BAD} points selected" in text(page) and not page.exception
    assert len(page.get("download_button")) >= 3, "CSV, Parquet and ids"
