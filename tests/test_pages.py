"""Every page in every state a person can find it in: nothing run, running, failed, broken, finished."""

from __future__ import annotations

import json
import re
from pathlib import Path

import app_fixtures as fixtures
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app import colouring
from gelda import jobs, map_jobs, projection

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("home", "explore", "results")
pytestmark = pytest.mark.usefixtures("workspace")


def open_page(name: str, **query: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=30)
    for key, value in query.items():
        page.query_params[key] = value
    page.run()
    if name != "home":
        page.switch_page(str(ROOT / "pages" / f"{name}.py"))
        for key, value in query.items():
            page.query_params[key] = value
        page.run()
    assert not page.exception
    return page


def text(page: AppTest) -> str:
    parts = [*page.title, *page.header, *page.subheader, *page.markdown, *page.caption, *page.warning]
    html = [element.proto.body for element in page.get("html")]
    return "\n".join([*(read(part) for part in parts), *html])


def read(part) -> str:
    """What a person reads of a text that is Markdown."""
    return re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", part.value)


def warnings(page: AppTest) -> list[str]:
    return [read(w) for w in page.warning]


@pytest.mark.parametrize("name", PAGES)
def test_empty_workspace_says_what_to_do(name: str) -> None:
    page = open_page(name)
    assert "demo" in text(page)
    assert not warnings(page)
    if name == "home":
        assert [b.label for b in page.button] == ["Run the demo", "Or the demo of synthetic speech"]


@pytest.mark.parametrize("name", PAGES)
def test_finished_run_is_shown(name: str, workspace: Path) -> None:
    fixtures.make_run(workspace)
    page = open_page(name)
    assert not warnings(page)
    assert {"home": "Synthetic latents", "explore": "8 of 50 cells", "results": "3 seeds are too few"}[
        name
    ] in page.title[0].value


def test_runs_of_one_name_can_both_be_chosen(workspace: Path) -> None:
    for name in ("first", "second"):
        fixtures.make_run(workspace, name)
    page = open_page("results", run="first")
    page.selectbox(key="run").set_value("second").run()
    assert page.query_params["run"] == "second" and len(set(page.selectbox(key="run").options)) > 1


@pytest.mark.parametrize("name", PAGES)
def test_broken_folder_is_a_sentence(name: str, workspace: Path) -> None:
    fixtures.make_broken(workspace)
    page = open_page(name, run="broken-run")
    assert "run.json is not valid JSON" in text(page)
    assert "Traceback" not in text(page)


@pytest.mark.parametrize("name", ["explore", "results"])
@pytest.mark.parametrize("missing", ["report.json", "meta.json", "points.parquet"])
def test_half_a_run_is_a_sentence(name: str, missing: str, workspace: Path) -> None:
    path = fixtures.make_run(workspace)
    (path / missing).unlink()
    page = open_page(name)
    needed = {"explore": {"meta.json", "points.parquet"}, "results": {"report.json"}}[name]
    assert bool(warnings(page)) == (missing in needed)
    assert all("could not be drawn" not in w for w in warnings(page)), (
        "the sentence should come from the engine"
    )


@pytest.mark.parametrize("name", ["explore", "results"])
def test_a_link_to_a_run_that_is_not_here_opens_another_and_says_so(name: str, workspace: Path) -> None:
    fixtures.make_run(workspace)
    page = open_page(name, run="<b>nobody")
    said = "This link names the run “&lt;b&gt;nobody”, which is not in this workspace"
    assert text(page).count(said) == 1 and not warnings(page)
    assert page.query_params["run"] == fixtures.RUN


def test_what_a_link_names_and_is_not_in_the_run_is_said_until_the_view_is_changed(workspace: Path) -> None:
    fixtures.make_run(workspace)
    link = {"layer": "block.99", "classes": "eight,twelve", "conditions": "upside-down", "map": "gone",
            "scope": "class:twelve", "panel": "maps"}  # fmt: skip
    page = open_page("explore", run=fixtures.RUN, **link)
    said = (
        "This link names the layer “block.99”, the map fitted on “class:twelve”, the class “twelve”, "
        "the condition “upside-down” and the map “gone”, which are not in this run: shown is what is here"
    )
    assert text(page).count(said) == 1 and not warnings(page)
    assert page.query_params == {"run": fixtures.RUN, "classes": "eight", "panel": "maps"}
    page.run()
    assert said in text(page)  # drawn again, nothing was changed
    page.multiselect(key="classes").select("nine").run()
    assert "This link names" not in text(page) and page.multiselect(key="classes").value == ["eight", "nine"]
    page.multiselect(key="classes").unselect("nine").run()
    assert "This link names" not in text(page)
    assert "This link names" not in text(open_page("explore", run=fixtures.RUN, classes="eight"))


@pytest.mark.parametrize("name", PAGES)
def test_failed_run_keeps_its_sentence(name: str) -> None:
    fixtures.make_unfinished("failed", "failed-run", "The disk is full: free some space and resume.")
    page = open_page(name, run="failed-run")
    assert "The disk is full" in text(page)
    if name == "home":
        assert "Resume" in [b.label for b in page.button]


@pytest.mark.parametrize("name", PAGES)
def test_running_run_shows_its_stages(name: str) -> None:
    fixtures.make_unfinished("running", "running-run")
    page = open_page(name, run="running-run")
    assert "Train the latent diffusion model" in text(page)
    assert "9 s left" in text(page)
    if name == "home":
        assert "Cancel" in [b.label for b in page.button]
        assert "waits in line" in text(page)
        assert not next(b for b in page.button if b.label == "Run the demo").disabled


def test_a_stage_of_a_strange_run_is_text(workspace: Path) -> None:
    file = fixtures.make_unfinished("running", "some-run") / "run.json"
    stored = json.loads(file.read_text())
    stored["stages"][0]["state"] = '"><img src=//evil.example>'
    file.write_text(json.dumps(stored))
    assert "<img src=//evil" not in text(open_page("results", run="some-run"))


@pytest.mark.parametrize("status, said", [("running", "9 s left"), ("interrupted", "stopped here")])
def test_only_a_run_that_is_going_has_time_left(status: str, said: str, workspace: Path) -> None:
    fixtures.make_unfinished(status, "some-run")
    page = open_page("results", run="some-run")
    assert said in text(page) and ("9 s left" in text(page)) == (status == "running")


def test_readonly_starts_nothing(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GELDA_READONLY", "1")
    fixtures.make_run(workspace)
    fixtures.make_unfinished("failed", "failed-run", "No.")
    assert not open_page("home").button
    assert "looking only" in text(open_page("home"))
    page = open_page("explore", scope="class:eight")
    assert not any(b.label.startswith("Make this map") for b in page.button)


def test_the_demo_button_starts_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(jobs, "start_demo", lambda *a, **k: started.append(a))
    page = open_page("home")
    page.button[0].click().run()
    assert started == [("digits",)]


def test_a_refusal_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from gelda.errors import UserError

    def refuse(*_: object, **__: object) -> None:
        raise UserError("The workspace cannot be written.")

    monkeypatch.setattr(jobs, "start_demo", refuse)
    page = open_page("home")
    page.button[0].click().run()
    assert warnings(page) == ["The workspace cannot be written."]


def test_a_missing_map_is_offered_and_made_elsewhere(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixtures.make_run(workspace)
    asked = []
    monkeypatch.setattr(map_jobs, "start_projections", lambda *a: asked.append(a))
    page = open_page("explore", scope="class:eight")
    next(b for b in page.button if b.label.startswith("Make this map")).click().run()
    assert [a[:2] for a in asked] == [(fixtures.RUN, [("adapter.1", "class", "eight")])]


def test_a_map_that_failed_says_why(workspace: Path) -> None:
    path = fixtures.make_run(workspace)
    info = projection.list_maps(path)[0]
    values = {**vars(info), "key": "other", "scope_kind": "class", "scope_name": "eight", "state": "failed"}
    values |= {"message": "A map needs at least 5 real latents.", "path": info.path.with_name("other.json")}
    projection.write_map_info(projection.MapInfo(**values))
    page = open_page("explore", scope="class:eight")
    assert warnings(page) == ["A map needs at least 5 real latents."]
    assert any(b.label.startswith("Make this map") for b in page.button)


def test_filters_change_what_is_drawn(workspace: Path) -> None:
    fixtures.make_run(workspace)
    points = projection.load_points(workspace / "runs" / fixtures.RUN)
    page = open_page("explore")
    assert f"{len(points)} of {len(points)} points drawn" in text(page)
    page.multiselect(key="classes").select("eight").run()
    eights = int((points["label"] == 8).sum())
    assert f"{eights} of {len(points)} points drawn" in text(page)
    assert page.query_params["classes"] == "eight"


def test_filters_narrow_each_other(workspace: Path) -> None:
    fixtures.make_run(workspace)
    points = projection.load_points(workspace / "runs" / fixtures.RUN)
    page = open_page("explore", classes="eight", split="train")
    eight, synthetic = points["label"] == 8, points["origin"] == "synthetic"
    wanted = int((eight & (synthetic | (points["split"] == "train"))).sum())
    assert 0 < wanted < int(eight.sum())
    assert f"{wanted} of {len(points)} points drawn" in text(page)
    page = open_page("explore", classes="eight", split="train", show="synthetic")
    assert f"{int((eight & synthetic).sum())} of {len(points)} points drawn" in text(page)


def test_the_url_sets_the_view(workspace: Path) -> None:
    fixtures.make_run(workspace)
    page = open_page("explore", colour="source", conditions="inverted,thick", show="real")
    assert page.session_state["colour"] == "source"
    assert page.multiselect(key="conditions").value == ["inverted", "thick"]
    points = projection.load_points(workspace / "runs" / fixtures.RUN)
    shown = int(((points["origin"] == "real") & points["subdomain"].isin([2, 4])).sum())
    assert f"{shown} of {len(points)} points drawn" in text(page)


def test_an_outdated_url_falls_back(workspace: Path) -> None:
    fixtures.make_run(workspace)
    page = open_page("explore", layer="no-such-layer", colour="mood", classes="twelve")
    assert not warnings(page)
    assert page.session_state["layer"] == "adapter.1"
    assert page.session_state["classes"] == []
    assert "the colour “mood”" in text(page)


def test_a_selection_becomes_a_table_and_survives_recolouring(workspace: Path) -> None:
    fixtures.make_run(workspace)
    points = projection.load_points(workspace / "runs" / fixtures.RUN)
    rows = [0, 5, int(np.flatnonzero(points["origin"] == "synthetic")[0])]
    page = open_page("explore")
    from app.state import Selection

    page.session_state["_selection"] = Selection(fixtures.RUN, rows, "lasso")
    page.run()
    for colour in colouring.offered(points, "condition"):
        page.session_state["colour"] = colour
        page.run()
        assert not warnings(page) and page.session_state["colour"] == colour
        assert "3 points selected: 2 real, 1 synthetic" in text(page)
        table = page.dataframe[0].value
        assert table["id"].tolist() == points["id"].iloc[[rows[2], *rows[:2]]].tolist(), "what was made first"
        assert table["nearest real"].iloc[0] != ""


def test_a_colour_says_what_it_means_and_of_whom(workspace: Path) -> None:
    fixtures.make_run(workspace)
    page = open_page("explore", colour="loss", density="synthetic")
    assert not warnings(page) and "the head of GeLDA" in text(page)
    assert "loss (logarithmic)" in text(page) or "or more, half below" in text(page)
    assert page.query_params["colour"] == "loss" and page.query_params["density"] == "synthetic"


def test_what_is_not_scored_is_counted(workspace: Path) -> None:
    fixtures.make_comparison(workspace, points=True)
    page = open_page("explore", run=fixtures.COMPARISON, colour="memorisation", held="True")
    points = projection.load_points(workspace / "runs" / fixtures.COMPARISON)
    unscored = int((points["memorisation"].isna() & points["method"].isin(["", "gelda"])).sum())
    assert unscored >= (points["split"] == "test").sum() and f"{unscored} not scored" in text(page)
    page = open_page("explore", run=fixtures.COMPARISON, colour="loss")
    assert page.session_state["colour"] == "class", "an older table has no such column"


def test_above_the_limit_the_page_says_what_it_draws(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixtures.make_run(workspace)
    monkeypatch.setattr("app.map_data.MOST", 150)
    page = open_page("explore")
    points = projection.load_points(workspace / "runs" / fixtures.RUN)
    assert f"Drawn 150 of {len(points)} points in view, every cell kept" in text(page)


def test_of_a_thousand_classes_ten_are_in_colour_and_a_person_chooses(workspace: Path) -> None:
    path = fixtures.make_run(workspace)
    meta = json.loads((path / "meta.json").read_text())
    more = [f"kind {k}" for k in range(990)]
    rare = [[1, 0, 0, 0, 0]] * len(more)
    meta |= {"class_names": [*meta["class_names"], *more], "real": [*meta["real"], *rare]}
    meta["synthetic"] = [*meta["synthetic"], *rare]
    (path / "meta.json").write_text(json.dumps(meta))
    page = open_page("explore")
    assert page.multiselect(key="highlight").value == more[:10] and "990 others" in text(page)
    page.multiselect(key="highlight").set_value(["eight"]).run()
    assert page.query_params["highlight"] == "eight" and "999 others" in text(page)
    next(b for b in page.button if b.label == "The ten scarcest").click().run()
    assert next(m for m in page.multiselect if m.label.startswith("In colour")).value == more[:10]


def test_results_keep_the_noise_inside(workspace: Path) -> None:
    path = fixtures.make_run(workspace, seeds=5)
    report = json.loads((path / "report.json").read_text())
    report["paired_to_la"]["gelda"]["tail"] = {"mean": 3.0, "ci95": [-1.0, 7.0]}
    report["paired_to_la"]["gelda"]["unseen"] = {"mean": 4.0, "ci95": [1.0, 7.0]}
    (path / "report.json").write_text(json.dumps(report))
    page = open_page("results")
    assert (
        page.title[0].value
        == "GeLDA is ahead of logit adjustment on cells never seen, inside the noise on the rare classes"
    )
    assert "+3.0 points to logit adjustment: inside the noise" in text(page)
    assert all(note in text(page) for note in report["notes"])


def test_results_of_one_seed_have_no_intervals(workspace: Path) -> None:
    fixtures.make_run(workspace, seeds=1)
    page = open_page("results")
    assert not warnings(page)
    assert page.title[0].value == "1 seed is too few to tell methods apart"
    assert "no interval" in text(page) and "(–)" not in text(page) and "interval –" not in text(page)


def test_pages_stay_short_and_modules_small() -> None:
    for folder, limit in ((ROOT / "pages", 80), (ROOT / "app", 300)):
        for file in folder.glob("*.py"):
            assert len(file.read_text().splitlines()) <= limit, file
