"""The list of runs: how each stands, what it takes on the disk, its name and its end."""

from __future__ import annotations

import json
from pathlib import Path

import app_fixtures as fixtures
import pytest
from streamlit.testing.v1 import AppTest
from test_pages import open_page, text, warnings

from app import run_names
from gelda import confirm, runs, selections

pytestmark = pytest.mark.usefixtures("workspace")


def dialog(page: AppTest, run: str) -> AppTest:
    page.button(key=f"more-{run}").click().run()
    return page


@pytest.mark.parametrize("status", ["failed", "cancelled", "interrupted", "broken"])
def test_a_run_that_came_to_nothing_is_deleted_from_home(workspace: Path, status: str) -> None:
    if status == "broken":
        fixtures.make_broken(workspace, "old")
    else:
        fixtures.make_unfinished(status, "old")
    page = dialog(open_page("home"), "old")
    assert page.button(key="delete-old").disabled, "not by one press"
    assert (workspace / "runs" / "old").is_dir()
    page.checkbox(key="sure-old").check().run()
    page.button(key="delete-old").click().run()
    assert not warnings(page) and not (workspace / "runs" / "old").exists()
    assert "old" not in [b.key.removeprefix("more-") for b in page.button if b.key]


def test_the_dialog_says_what_goes_with_a_run_and_what_stays(workspace: Path) -> None:
    fixtures.make_unfinished("failed", "old")
    said = dialog(open_page("home"), "old").checkbox(key="sure-old").label
    assert said == "Delete this run. Its maps, samples, edits and figures go with it, for good."
    for name in ("bad ones", "good ones"):
        selections.keep("old", name, ["a"], "key")
    look = confirm.folder("old") / "001.json"
    look.parent.mkdir(parents=True)
    look.write_text("{}")
    said = dialog(open_page("home"), "old").checkbox(key="sure-old").label
    assert "edits, 2 kept selections and figures go with it, for good. Looks at its test half stay" in said


def test_a_run_gets_another_name_from_home(workspace: Path) -> None:
    path = fixtures.make_run(workspace)
    page = dialog(open_page("home"), path.name)
    assert page.button(key=f"rename-{path.name}").disabled
    page.text_input(key=f"name-{path.name}").set_value("Tail <b>× 50</b>").run()
    page.button(key=f"rename-{path.name}").click().run()
    assert runs.read_state(path).name == "Tail <b>× 50</b>"
    assert "Tail &lt;b&gt;× 50" in text(page)


def test_what_came_between_is_a_sentence(workspace: Path) -> None:
    path = fixtures.make_unfinished("failed", "old")
    page = dialog(open_page("home"), "old")
    page.checkbox(key="sure-old").check().run()
    state = runs.read_state(path)
    state.status = "running"
    runs.save_state(state)
    page.button(key="delete-old").click().run()
    assert path.is_dir()


def test_what_is_going_or_ships_or_may_only_be_looked_at_has_no_more(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixtures.make_unfinished("running", "going")
    fixtures.make_unfinished("failed", "failed-run")
    assert [b.key for b in open_page("home").button if b.label == "More"] == ["more-failed-run"]
    monkeypatch.setenv("GELDA_READONLY", "1")
    assert not [b for b in open_page("home").button if b.label == "More"]
    monkeypatch.delenv("GELDA_READONLY")
    shipped = runs.read_state(runs.assets() / "runs" / "digits")
    monkeypatch.setattr(runs, "shipped_runs", lambda: [shipped])
    assert f"more-{shipped.id}" not in [b.key for b in open_page("home").button]


def test_disk_use_is_said(workspace: Path) -> None:
    for name in ("one", "two"):
        path = fixtures.make_unfinished("failed", name)
        (path / "weights.bin").write_bytes(b"0" * 3_000_000)
    said = text(open_page("home"))
    assert "2 runs that have ended, 6" in said and "\u00a0MB on the disk" in said


def test_fifty_runs_in_every_state_are_a_list(workspace: Path) -> None:
    for k in range(50):
        status = ("failed", "cancelled", "interrupted", "running")[k % 4]
        fixtures.make_unfinished(status, f"run-{k:02d}", "It stopped." if status == "failed" else None)
    page = open_page("home")
    assert not warnings(page)
    assert sum(b.label == "Resume" for b in page.button) == 38 and page.expander


def test_runs_of_one_name_are_told_apart_by_what_differs(workspace: Path) -> None:
    fixtures.make_run(workspace)
    path = fixtures.make_run(workspace, "20261121-080000-digits-0002")
    spec = json.loads((path / "spec.json").read_text())
    spec["config"]["sampling"]["weight"] = 0.7
    (path / "spec.json").write_text(json.dumps(spec))
    first, second = sorted(run_names.titles(runs.list_runs()).values())
    assert second.startswith("weight of a synthetic latent 0.7 · Handwritten digits · ")
    assert first.startswith("weight of a synthetic latent ") and "0.7" not in first
    fixtures.make_run(workspace, "20261121-080000-digits-0002")
    (alone,) = run_names.titles(runs.list_runs()[:1]).values()
    assert alone.startswith("Handwritten digits · ")
