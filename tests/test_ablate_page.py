"""The Ablate page: empty, read-only, with a study that is finished, runs, failed or is started."""

import json
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from test_pages import open_page, text, warnings
from test_study_result import TWO, found, of, rows

from app import ablate_view, grid_form, study_charts
from gelda import ablation, jobs, runs, setting_words, studies
from gelda.artifacts import write_json
from gelda.config import resolve_config
from gelda.runs import StageState
from gelda.study_result import result

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def spawned(gelda_home, monkeypatch):
    monkeypatch.setattr(studies, "shipped", dict)
    started = []
    monkeypatch.setattr(jobs, "spawn", lambda arguments, log: started.append(arguments))
    return started


def opened(**query: str) -> AppTest:
    return open_page("ablate", **query)


def stored(value: dict, status: str = "done", error: str | None = None) -> runs.RunState:
    base = resolve_config({"seeds": len(value["seeds"])})
    state, _ = ablation.prepared(TWO, base)
    state.stages = [StageState(c.name, c.title, "done", 100, 100) for c in TWO.cells]
    state.status, state.error = status, error
    runs.save_state(state)
    write_json(state.path / studies.RESULT, {**value, "run": state.id})
    return state


def test_an_empty_workspace_offers_every_study():
    page = opened()
    assert page.title[0].value == "Which setting matters?" and not page.warning
    for study in studies.STUDIES.values():
        assert study.title in text(page) and study.question in text(page)
        assert page.button(key=f"study-{study.name}").label == "Run"
    assert "50 runs" in text(page)


def test_a_read_only_server_shows_and_starts_nothing(monkeypatch):
    monkeypatch.setenv("GELDA_READONLY", "1")
    stored(of(), "interrupted", "It stopped.")
    page = opened()
    assert not page.button and "looking only" in text(page)


def test_a_finished_study_shows_its_finding_its_effects_and_its_table():
    stored(of())
    page = opened()
    assert "“on, on” in cells never seen" in page.title[0].value or "in rare classes" in page.title[0].value
    assert len(page.get("plotly_chart")) == 2
    assert all(cell.title in text(page) for cell in TWO.cells)
    assert "the reference" in text(page)
    assert [b.proto.label for b in page.get("download_button")] == ["CSV", "Markdown", "JSON"]


def test_a_link_to_a_study_that_is_not_here_opens_another_and_says_so():
    said = "the study “gone”, which is not in this workspace"
    state = stored(of())
    page = opened(study="gone")
    assert said in text(page) and page.selectbox(key="study").value == state.id and not page.warning


def test_a_link_holds_the_study_that_is_shown_though_it_is_the_newest(spawned, monkeypatch):
    monkeypatch.setenv("GELDA_DEMO_PRESET", "tiny")
    state = stored(of())
    page = opened()
    link = dict(page.query_params)
    assert page.query_params["study"] == state.id
    page.button(key="study-weight").click().run()
    (new,) = (run.id for run in runs.list_runs() if run.id != state.id)
    assert page.query_params["study"] == new and ablate_view.TO_TOP in text(page), "it stands at the top"
    assert ablate_view.TO_TOP not in text(page.run())
    assert opened(**link).selectbox(key="study").value == state.id


def test_few_seeds_are_too_few():
    stored(of(3))
    assert "3 seeds are too few" in opened().title[0].value


@pytest.mark.parametrize("seeds", [3, 5])
def test_few_seeds_fill_no_dot_and_make_nothing_bold(seeds):
    value = of(seeds)
    pairs = [c["paired"][m] for c in value["cells"] if "paired" in c for m in value["measures"]]
    for one in [*pairs, *(figure for e in value["effects"] for figure in e["figures"].values())]:
        one.update(mean=4.0, ci95=[3.0, 5.0])
    stored(value)
    page = opened()
    forest = next(
        chart for chart in (json.loads(c.proto.spec) for c in page.get("plotly_chart"))
        if "What each setting changes" in chart["layout"]["title"]["text"]
    )  # fmt: skip
    filled = [t for t in forest["data"] if t["marker"]["color"] == t["marker"]["line"]["color"]]
    assert any(len(t["customdata"]) for t in filled) == (seeds == 5)
    assert ("<small><b>" in text(page)) == (seeds == 5)
    assert ("bold where it excludes zero" in text(page)) == (seeds == 5)


@pytest.mark.parametrize("status", ["running", "queued"])
def test_a_study_that_runs_fills_its_table_and_can_be_cancelled(status):
    state = stored(of(names=["none", "onon"]), status)
    state.stages[2].state, state.stages[2].message = "running", "seed 2 of 5"
    state.pid = None
    runs.save_state(state)
    (state.path / "heartbeat").touch()
    page = opened(study=state.id)
    assert "waiting" in text(page)
    assert "waits in line" in text(page)
    assert ("seed 2 of 5" in text(page)) == (status == "running"), "one that waits is at no seed"
    assert ("goes on here" in text(page)) == (status == "queued")
    said = {"running": "Cancel", "queued": "Take out"}[status]
    next(b for b in page.button if b.label == said).click().run()
    assert (state.path / "cancel").exists()


def test_a_failed_setting_is_a_sentence_and_the_study_resumes(spawned):
    table = rows(found())
    table["offon"].update(state="failed", error="The <disk> is full.")
    there = {name: value for name, value in found().items() if name != "offon"}
    value = result(TWO, resolve_config({"seeds": 5}), table, there)
    state = stored(value, "failed", "1 of 5 settings failed.")
    page = opened()
    assert warnings(page)[0] == "1 of 5 settings failed." and "The &lt;disk&gt; is full." in text(page)
    next(b for b in page.button if b.label == "Resume").click().run()
    assert [arguments[-2:] for arguments in spawned] == [["run-stored", state.id]]


def test_a_study_without_a_finished_setting_says_so():
    state, _ = ablation.prepared(TWO, resolve_config({"seeds": 5}))
    page = opened(study=state.id)
    assert "no finished setting yet" in page.title[0].value and not page.warning


def test_run_starts_the_study_as_a_job_and_shows_it(spawned, monkeypatch):
    monkeypatch.setenv("GELDA_DEMO_PRESET", "tiny")
    page = opened()
    page.number_input(key="study_seeds").set_value(2)
    page.button(key="study-weight").click().run()  # both in one run, as where the click comes at once
    assert not page.exception and len(spawned) == 1
    (state,) = runs.list_runs()
    assert state.study and [arguments[-2:] for arguments in spawned] == [["run-stored", state.id]]
    assert page.selectbox(key="study").value == state.id
    study, base = ablation.stored(state)
    assert study == studies.get("weight") and base.seeds == 2 and base.generator.steps == 40


def test_a_grid_of_ones_own_says_what_it_takes_and_starts(spawned, monkeypatch):
    monkeypatch.setenv("GELDA_DEMO_PRESET", "tiny")
    page = opened()
    page.multiselect(key="grid_factors").set_value(["sampling.weight", "sampling.recipe"]).run()
    assert "Give two values or more of" in text(page) and not page.warning
    page.text_input(key="grid.sampling.weight").set_value("0.1, 0.3, 0.3").run()
    page.multiselect(key="grid.sampling.recipe").set_value(["joint", "curriculum"]).run()
    assert "2 × 2 settings and one without synthetic latents, 5 seeds each: 25 runs, 5 gen" in text(page)
    assert not spawned
    page.text_input(key="grid.sampling.weight").set_value("0.1, 0.3, 1")
    page.button(key="grid_run").click().run()  # both in one run, as where the click comes at once
    (state,) = runs.list_runs()
    study, base = ablation.stored(state)
    assert [c.method for c in study.cells].count("gelda") == 6 and base.seeds == 5
    title = "weight of a synthetic latent 0.1, when heads see synthetic latents ‘Joint’"
    assert study.cells[1].title == title
    assert study.question.endswith("alone and together?") and len(spawned) == 1


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ("0.1, -3", "sampling.weight' is -3"),
        (", ".join(map(str, range(1, 120))), "119 settings are too many"),
    ],
)
def test_values_that_cannot_be_are_a_sentence_and_start_nothing(values, says):
    page = opened()
    page.multiselect(key="grid_factors").set_value(["sampling.weight"]).run()
    page.text_input(key="grid.sampling.weight").set_value(values).run()
    assert says in warnings(page)[0]
    assert "grid_run" not in {b.key for b in page.button}


@pytest.mark.parametrize("name", grid_form.varied(resolve_config()))
def test_every_setting_of_a_grid_can_be_told(name):
    title = setting_words.setting(name)
    assert title and title != name and title[0].islower() or title[:1].isupper()
    assert grid_form.field_of(resolve_config(), name)[0].description


def test_values_are_read_as_the_command_reads_them():
    assert grid_form.parsed("0.1, 0.3,0.1, 2, mean,") == [0.1, 0.3, 2, "mean"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_settings_are_lines_through_their_levels(theme):
    figure = study_charts.lines(of(), "tail", theme)
    means = [c["figures"]["tail"]["mean"] for c in of()["cells"] if c["levels"]]
    ends = [line.y[-1] for line in figure.data]
    assert np.argsort(ends).tolist() == np.argsort(means).tolist() and (min(ends), max(ends)) == (0, 1)
    assert f"({max(means):.1f} %)" in figure.layout.title.text
    heights = {(x, line.y[x]) for line in figure.data for x in (0, 1)}
    assert len(heights) == 2 * len(means), "no line lies on another at a level"
    assert [note.text for note in figure.layout.annotations].count("off") == 2
    assert study_charts.lines(of(names=["none", "onon"]), "tail", theme) is None, (
        "two settings are no picture"
    )


@pytest.mark.parametrize(
    ("intervals", "says"),
    [
        ([(-2, -1), (-1, 1)], "1 of 2 settings is behind “r” in rare classes"),
        ([(1, 2), (2, 3)], "2 of 2 settings are ahead of “r” in rare classes"),
        ([(1, 2), (-3, -2)], "1 of 2 settings is ahead of “r” in rare classes, 1 behind it"),
        ([(-1, 2), (-3, 2)], "No setting can be told apart from “r” in rare classes"),
        # each excludes zero by itself, as one of twenty does by chance
        ([(0.1, 2)] + [(-1, 1)] * 19, "No setting can be told apart from “r” in rare classes"),
    ],
)
def test_the_title_says_what_can_be_told_apart(intervals, says):
    pairs = [{"mean": sum(p) / 2, "ci95": p} for p in intervals]
    cells = [{"name": str(i), "title": "x", "paired": {"tail": p}} for i, p in enumerate(pairs)]
    value = {"cells": [*cells, {"name": "r", "title": "r"}], "reference": "r", "seeds": [0] * 5}
    assert ablate_view.finding(value, "tail") == says


def test_home_lists_a_study_and_leads_to_it():
    stored(of())
    page = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=30).run()
    assert not page.exception and "study of settings" in text(page)


def test_home_says_what_a_study_found_as_its_page_does():
    state = stored({**of(), "headline": "An older rule said this."})
    state.headline = "An older rule said this."
    runs.save_state(state)
    shown = text(open_page("home"))
    assert "An older rule" not in shown and "Beside “" in shown
    (state.path / studies.RESULT).write_text("{")
    assert "An older rule" in text(open_page("home"))


def test_what_ships_is_shown_at_once(monkeypatch):
    monkeypatch.undo()
    page = opened()
    assert page.selectbox(key="study").value == "conditioning" and not page.warning
    assert "“class and condition”" in page.title[0].value and len(page.get("plotly_chart")) == 2
