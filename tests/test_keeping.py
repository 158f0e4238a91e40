"""Renaming and deleting runs: only those of the workspace, and never one that somebody works in."""

import json
import os
import time

import app_fixtures as fixtures
import pytest

from gelda import keeping, runs, samples, selections
from gelda.errors import UserError


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    monkeypatch.delenv("GELDA_READONLY", raising=False)
    return tmp_path


def listed():
    return [state.id for state in runs.list_runs()]


@pytest.mark.parametrize("status", ["failed", "cancelled", "interrupted", "done"])
def test_a_run_that_has_ended_is_deleted_with_all_it_holds(workspace, status):
    path = fixtures.make_unfinished(status, "old")
    (path / "edits" / "k" / "made").mkdir(parents=True)
    (path / "edits" / "k" / "made" / "z.bin").write_bytes(b"0" * 10_000)
    assert keeping.size(path) > 10_000
    keeping.delete("old")
    assert listed() == [] and list((workspace / "runs").iterdir()) == []
    assert runs._indexed() == {}


def test_what_was_drawn_and_edits_go_with_their_run_and_looks_at_its_test_half_stay_counted(workspace):
    path = fixtures.make_unfinished("done", "old")
    for file in ("edits.json", "made/z.safetensors", "jobs/edits.json", "confirmed/001.json"):
        (workspace / "edits" / "old" / file).parent.mkdir(parents=True, exist_ok=True)
        (workspace / "edits" / "old" / file).write_text("{}")
    drawn = samples.folders(path)[-1]
    drawn.mkdir(parents=True)
    (drawn / "k.json").write_text("{}")
    for run in ("old", "other"):
        selections.keep(run, "bad ones", ["a", "b"], "key")
    keeping.delete("old")
    assert not drawn.exists() and not list((workspace / "runs").iterdir())
    assert selections.listed("old") == [] and not selections.folder("old").exists()
    assert len(selections.listed("other")) == 1
    left = [str(f.relative_to(workspace / "edits")) for f in (workspace / "edits").rglob("*") if f.is_file()]
    assert not path.exists() and left == ["old/confirmed/001.json"]


@pytest.mark.parametrize("state, gone", [("running", False), ("queued", False), ("done", True)])
@pytest.mark.parametrize("job", ["edits/old/jobs/edits.json", "samples/old/k.json"])
def test_a_run_that_a_job_beside_it_is_about_is_kept(workspace, state, gone, job):
    fixtures.make_unfinished("done", "old")
    job = workspace / job
    job.parent.mkdir(parents=True)
    job.write_text(json.dumps({"state": state}))
    if not gone:
        with pytest.raises(UserError, match="being made just now"):
            keeping.delete("old")
        long_ago = time.time() - 2 * runs.PATIENCE
        os.utime(job, (long_ago, long_ago))
    keeping.delete("old")
    assert listed() == []


def test_a_broken_run_is_deleted(workspace):
    path = fixtures.make_broken(workspace)
    keeping.delete("broken-run")
    assert not path.exists()


def test_a_broken_run_that_still_beats_is_kept(workspace):
    path = fixtures.make_broken(workspace)
    (path / "heartbeat").touch()
    with pytest.raises(UserError, match="being made just now"):
        keeping.delete("broken-run")
    long_ago = time.time() - 2 * runs.SILENCE
    os.utime(path / "heartbeat", (long_ago, long_ago))
    keeping.delete("broken-run")
    assert not path.exists()


@pytest.mark.parametrize("status", runs.ALIVE)
def test_a_run_that_is_going_is_neither_deleted_nor_renamed(status):
    path = fixtures.make_unfinished(status, "going")
    for act in (lambda: keeping.delete("going"), lambda: keeping.rename("going", "x")):
        with pytest.raises(UserError, match="is going"):
            act()
    assert path.is_dir()


@pytest.mark.parametrize("folder", ["maps", "samples"])
def test_a_run_of_which_something_is_being_made_is_kept(workspace, folder):
    path = fixtures.make_run(workspace)
    document = path / folder / "new.json"
    document.parent.mkdir(parents=True, exist_ok=True)
    document.write_text(json.dumps({"state": "running"}))
    with pytest.raises(UserError, match="being made just now"):
        keeping.delete(path.name)
    document.write_text(json.dumps({"state": "failed"}))
    keeping.delete(path.name)
    assert not path.exists()


def test_what_ships_is_never_changed():
    shipped = runs.shipped_runs()[0]
    for act in (lambda: keeping.delete(shipped.id), lambda: keeping.rename(shipped.id, "mine")):
        with pytest.raises(UserError, match="ships with GeLDA"):
            act()
    assert (shipped.path / "run.json").is_file()


@pytest.mark.parametrize("name", ["..", "../elsewhere", "/tmp", "", "runs/old", ".deleted-1"])
def test_no_name_leads_out_of_the_workspace(workspace, name):
    (workspace / "elsewhere").mkdir()
    with pytest.raises(UserError, match="no run called"):
        keeping.delete(name)
    assert (workspace / "elsewhere").is_dir()


def test_a_link_is_not_followed(workspace, tmp_path_factory):
    real = tmp_path_factory.mktemp("outside")
    (real / "run.json").write_text("{}")
    (workspace / "runs").mkdir()
    (workspace / "runs" / "linked").symlink_to(real)
    with pytest.raises(UserError, match="is a link"):
        keeping.delete("linked")
    assert (real / "run.json").is_file()


def test_a_deletion_that_was_killed_is_ended_by_the_next(workspace):
    half = workspace / "runs" / ".deleted-0"
    half.mkdir(parents=True)
    (half / "run.json").write_text("{}")
    fixtures.make_unfinished("failed", "old")
    assert listed() == ["old"], "half a run is not listed"
    keeping.delete("old")
    assert list((workspace / "runs").iterdir()) == []


def test_looking_only_changes_nothing(monkeypatch):
    fixtures.make_unfinished("failed", "old")
    monkeypatch.setenv("GELDA_READONLY", "1")
    for act in (lambda: keeping.delete("old"), lambda: keeping.rename("old", "x")):
        with pytest.raises(UserError, match="read-only"):
            act()


def test_a_run_gets_another_name(workspace):
    path = fixtures.make_run(workspace)
    keeping.rename(path.name, "  tail ×\n50 ")
    assert runs.read_state(path).name == "tail × 50" and runs.read_state(path).status == "done"


@pytest.mark.parametrize("name", ["", "   ", "x" * 121])
def test_a_name_has_a_length(workspace, name):
    path = fixtures.make_run(workspace)
    with pytest.raises(UserError, match="1 to 120 characters"):
        keeping.rename(path.name, name)
