"""Run folders: what is broken is told, what is silent is interrupted, and the index is only a cache."""

import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from gelda import jobs, keeping, recording, runs
from gelda.errors import UserError
from gelda.recording import Cancelled, Recorder
from gelda.runs import RunState, StageState


def create(run_id="r1", status="done", **values) -> RunState:
    state = runs.create_run({"seeds": 2}, "A run", "digits", run_id)
    state.status = status
    for name, value in values.items():
        setattr(state, name, value)
    runs.save_state(state)
    return state


def age(path, seconds):
    """Move a run's signs of life into the past."""
    for name in ("run.json", "heartbeat"):
        if (path / name).exists():
            os.utime(path / name, (time.time() - seconds,) * 2)


def test_a_run_is_a_folder_with_its_spec(gelda_home):
    state = create("", "queued")
    assert state.path.parent == gelda_home / "runs" and "-digits-" in state.id
    assert runs.read_spec(state.path) == {"seeds": 2}
    again = runs.read_state(state.path)
    assert (again.id, again.name, again.demo, again.status) == (state.id, "A run", "digits", "queued")
    assert again.created and again.updated and not again.shipped
    assert len({runs.create_run({}, "n", "d").id for _ in range(3)}) == 3


def test_state_round_trip_keeps_stages():
    state = create(
        "r1", "done", stages=[StageState("adapt", "Adapt", "done", 5, 5, 1.25, "x", None)], headline="h"
    )
    again = runs.read_state(state.path)
    assert again.stages == state.stages and again.headline == "h" and again.path == state.path


@pytest.mark.parametrize("content, words", [
    ("", "not valid JSON"),
    ('{"format": 1, "status": "do', "not valid JSON"),
    ("[]", "no 'format' number"),
    ('{"format": 1}', "half written or not a run: delete the folder r1"),
    ('{"format": 1, "stages": [{"nom": 1}]}', "half written"),
    ('{"format": 1, "stages": 3}', "half written"),
    ('{"format": 2, "id": "r1"}', "has format 2, this release reads up to 1: upgrade"),
    (None, "There is no file .*run.json"),
])  # fmt: skip
def test_what_cannot_be_read_comes_back_as_broken(content, words):
    path = create("r1").path
    (path / "run.json").unlink()
    if content is not None:
        (path / "run.json").write_text(content)
    state = runs.read_state(path)
    assert state.status == "broken" and state.id == "r1" and state.path == path
    with pytest.raises(UserError, match=words):
        raise UserError(state.error)
    assert [s.status for s in runs.list_runs()] == ["broken"], "one broken run must not hide the list"
    assert content is None or (path / "run.json").read_text() == content, "nothing is lost"


@pytest.mark.parametrize("key, value", [
    ("status", "sleeping"), ("unknown_field", 1), ("created", 5), ("name", None), ("pid", 10**30),
    ("pid", -1), ("headline", ["h"]), ("stages", [{"name": "a", "title": 5}]),
    ("stages", [{"name": "a", "title": "A", "seconds": float("inf")}]),
])  # fmt: skip
def test_a_state_of_another_shape_is_broken(key, value):
    path = create("r1").path
    stored = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps({**stored, key: value}))
    assert runs.read_state(path).status == "broken" and runs.read_state(path).error


def test_a_folder_in_place_of_the_state_is_broken():
    path = create("r1").path
    (path / "run.json").unlink()
    (path / "run.json").mkdir()
    assert runs.read_state(path).status == "broken"


@pytest.mark.parametrize("status", runs.STATUSES[:-1])
def test_silence_interrupts_only_what_was_going(status):
    path = create("r1", status).path
    (path / "heartbeat").touch()
    age(path, 0)
    assert runs.read_state(path).status == status
    age(path, (runs.PATIENCE if status == "queued" else runs.SILENCE) + 5)
    after = runs.read_state(path)
    assert after.status == ("interrupted" if status in ("queued", "running") else status)
    if status in ("queued", "running"):
        assert "Resume it" in after.error


def test_a_heartbeat_alone_keeps_a_run_alive():
    path = create("r1", "running").path
    age(path, 100)
    (path / "heartbeat").touch()
    assert runs.read_state(path).status == "running"
    assert runs.silent_for(path / "nowhere") == float("inf")


def test_runs_are_listed_newest_first(gelda_home):
    assert runs.list_runs() == []
    for name, created in (
        ("a", "2026-01-01T00:00:00Z"),
        ("b", "2026-03-01T00:00:00Z"),
        ("c", "2026-02-01T00:00:00Z"),
    ):
        create(name, created=created)
    (gelda_home / "runs" / ".hidden").mkdir()
    (gelda_home / "runs" / "file").write_text("")
    assert [s.id for s in runs.list_runs()] == ["b", "c", "a"]


@pytest.mark.parametrize(
    "run_id", ["..", ".", "", "../home", "a/../r1", "/etc", "r1/", "nope", "x" * 5000, "a\0b", "*"]
)
def test_find_run_does_not_leave_the_workspace(run_id):
    create("r1")
    with pytest.raises(UserError, match="There is no run called .*Runs here: .*r1"):
        runs.find_run(run_id)
    assert runs.find_run("r1").name == "r1"


def rows(home):
    with sqlite3.connect(home / "index.sqlite") as index:
        return sorted(index.execute("SELECT id, status FROM runs").fetchall())


def test_the_index_is_rebuilt_from_the_folders(gelda_home):
    create("a")
    create("b", "failed")
    assert rows(gelda_home) == [("a", "done"), ("b", "failed")]
    for content in (None, b"this is no database" * 99):
        for name in gelda_home.glob("index.sqlite*"):
            name.unlink()
        if content:
            (gelda_home / "index.sqlite").write_bytes(content)
        assert runs.rebuild_index() == 2
        assert rows(gelda_home) == [("a", "done"), ("b", "failed")]


@pytest.mark.parametrize("name", ["r1-backup", "r1 (copy)", "renamed"])
def test_a_copied_folder_is_a_run_of_its_own(gelda_home, name):
    original = create("r1").path
    shutil.copytree(original, original.with_name(name))
    assert sorted(s.id for s in runs.list_runs()) == sorted(["r1", name])
    assert runs.rebuild_index() == 2 and rows(gelda_home) == sorted([("r1", "done"), (name, "done")])
    keeping.delete(name)
    assert [s.id for s in runs.list_runs()] == ["r1"] and original.is_dir()


def test_a_broken_index_does_not_stop_a_run(gelda_home):
    create("a")
    for name in gelda_home.glob("index.sqlite*"):
        name.unlink()
    (gelda_home / "index.sqlite").write_bytes(b"this is no database" * 99)
    create("b")
    assert {s.id for s in runs.list_runs()} == {"a", "b"}


def test_rebuilding_without_a_workspace_is_an_empty_index(gelda_home):
    assert runs.rebuild_index() == 0 and rows(gelda_home) == []


@pytest.mark.parametrize("content, words", [
    ('{"format": 9, "config": {}}', "has format 9"),
    ('{"format": 1}', "holds no settings"),
    ('{"format": 1, "config": 3}', "holds no settings"),
    ("{", "not valid JSON"),
])  # fmt: skip
def test_a_broken_spec_is_a_sentence(content, words):
    path = create("r1").path
    (path / "spec.json").write_text(content)
    with pytest.raises(UserError, match=words):
        runs.read_spec(path)


def test_a_file_in_place_of_the_workspace_is_a_sentence(gelda_home):
    gelda_home.write_text("")
    with pytest.raises(UserError, match=r"workspace .* cannot be written .*set GELDA_HOME to another folder"):
        create("r1")
    assert runs.list_runs() == []


# -- the recorder ------------------------------------------------------------------------------------------


def recorded(**options):
    state = create("r1", "queued", stages=[StageState("adapt", "Adapt"), StageState("report", "Report")])
    return state, Recorder(state, **options)


def test_a_stage_is_recorded_from_waiting_to_done():
    told = []
    state, recorder = recorded(listener=lambda s: told.append((s.stages[0].state, s.stages[0].done)))
    with recorder:
        assert runs.read_state(state.path).status == "running" and state.pid == os.getpid()
        with recorder.stage("adapt", 10) as stage:
            assert runs.read_state(state.path).stages[0].state == "running"
            recorder.advance(stage, 4, "half")
            assert stage.message == "half" and stage.remaining is not None
        assert (stage.state, stage.done, stage.remaining) == ("done", 10, None)
        with recorder.stage("report", 1) as stage:
            stage.message = "reused"
    assert [s.state for s in runs.read_state(state.path).stages] == ["done", "reused"]
    assert told[0] == ("running", 0) and ("running", 4) in told and ("done", 10) in told


def test_a_stage_that_raises_is_failed():
    state, recorder = recorded()
    with pytest.raises(ValueError, match="boom"), recorder:
        with recorder.stage("adapt", 1):
            raise ValueError("boom")
    assert state.stages[0].state == "failed" and state.stages[1].state == "waiting"


KILLED = """
import os, signal, sys, time
from pathlib import Path
from gelda import recording, runs
recording.HEARTBEAT = 0.02
state = runs.read_state(Path(sys.argv[1]))
state.stages = recording.stages(state, {"adapt": "Adapt", "report": "Report"})
with recording.Recorder(state) as recorder:
    with recorder.stage("adapt", 9):
        recorder._started -= 100
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_stage_adds_up_the_seconds_of_attempts_that_were_cancelled_or_killed():
    state, recorder = recorded()
    titles = {"adapt": "Adapt", "report": "Report"}
    with pytest.raises(Cancelled), recording.tracked(state), recorder, recorder.stage("adapt", 9):
        recorder._started -= 10
        raise Cancelled
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", KILLED, str(state.path)], timeout=60, env=environment)
    killed = runs.read_state(state.path)
    assert killed.status == "interrupted" and killed.stages[0].seconds < 100, "nothing was written at its end"
    killed.stages = recording.stages(killed, titles)
    assert [int(stage.seconds) for stage in killed.stages] == [110, 0]
    with Recorder(killed) as again, again.stage("adapt", 9) as stage:
        again._started -= 5
        again.advance(stage, 3)
        assert stage.remaining == pytest.approx(10, abs=1), "by this attempt alone"
    adapt = runs.read_state(state.path).stages[0]
    assert adapt.state == "done" and int(adapt.seconds) == 115 and int(adapt.earlier) == 110


def test_cancelling_stops_at_the_next_step():
    state, recorder = recorded()
    with recorder, recorder.stage("adapt", 9) as stage:
        recorder.advance(stage, 1)
        runs.save_state(state)
        jobs.cancel("r1")
        with pytest.raises(Cancelled, match="^$"):
            recorder.advance(stage, 2)


def test_an_old_cancel_flag_does_not_stop_a_resumed_run():
    state, recorder = recorded()
    (state.path / "cancel").touch()
    recording.forget_cancel(state.path)  # as `resume` does
    with recorder, recorder.stage("adapt", 9) as stage:
        recorder.advance(stage, 1)


def test_cancelling_while_queued_is_not_lost():
    state, recorder = recorded()
    state.status = "queued"
    runs.save_state(state)
    jobs.cancel(state.id)
    with pytest.raises(Cancelled), recorder, recorder.stage("adapt", 9):
        raise AssertionError("a cancelled run must not start its first stage")


def test_a_queued_run_is_given_time_to_import(monkeypatch):
    path = create("r1", "queued").path
    age(path, runs.SILENCE + 5)
    assert runs.read_state(path).status == "queued"
    age(path, runs.PATIENCE + 5)
    assert runs.read_state(path).status == "interrupted"


def test_long_lists_read_only_the_newest_folders(gelda_home):
    for day in range(1, 6):
        create(f"r{day}", created=f"2026-01-0{day}T00:00:00Z")
    assert [s.id for s in runs.list_runs(limit=2)] == ["r5", "r4"]
    (gelda_home / "index.sqlite").write_bytes(b"this is no database" * 99)
    assert {"r5", "r4"} <= {s.id for s in runs.list_runs(limit=2)}


def test_a_run_whose_process_is_gone_is_interrupted_at_once():
    gone = subprocess.Popen(["true"])
    gone.wait()
    path = create("r1", "running", pid=gone.pid, host=platform.node()).path
    assert runs.read_state(path).status == "interrupted"
    other = create("r2", "running", pid=gone.pid, host="another-host").path
    assert runs.read_state(other).status == "running", "another machine's process cannot be looked up"


def test_two_processes_cannot_run_one_run():
    state = create("r1", "running", pid=os.getpid() + 1)
    (state.path / "heartbeat").touch()
    with pytest.raises(UserError, match="already going in another process"):
        Recorder(runs.read_state(state.path)).__enter__()
    age(state.path, runs.SILENCE + 1)
    with Recorder(runs.read_state(state.path)):
        assert runs.read_state(state.path).pid == os.getpid()


def test_the_heart_beats_while_the_process_works(monkeypatch):
    monkeypatch.setattr(recording, "HEARTBEAT", 0.02)
    state, recorder = recorded()
    with recorder:
        beat = state.path / "heartbeat"
        waited = threading.Event()
        for _ in range(500):
            if beat.exists():
                break
            waited.wait(0.02)
        os.utime(beat, (1, 1))
        for _ in range(500):
            if beat.stat().st_mtime > 1:
                break
            waited.wait(0.02)
        assert beat.stat().st_mtime > 1


def test_metrics_are_lines_of_json():
    state, recorder = recorded()
    recorder.metric("generate", 5, loss=0.25)
    recorder.metric("generate", 10, loss=0.125)
    lines = [json.loads(line) for line in (state.path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["step"], line["loss"]) for line in lines] == [
        ("generate", 5, 0.25),
        ("generate", 10, 0.125),
    ]


# -- jobs: what may be started, resumed and cancelled --------------------------------------------------------


@pytest.fixture
def spawned(monkeypatch):
    calls = []
    monkeypatch.setattr(jobs, "spawn", lambda arguments, log: calls.append(arguments))
    return calls


def test_a_demo_is_started_with_its_spec_written(spawned, monkeypatch):
    run_id = jobs.start_demo(seeds=3)
    state = runs.read_state(runs.find_run(run_id))
    assert spawned == [["queued", run_id, "--", "run-stored", run_id]] and state.status == "queued"
    assert runs.read_spec(state.path)["seeds"] == 3
    monkeypatch.setenv("GELDA_DEMO_PRESET", "tiny")
    assert runs.read_spec(runs.find_run(jobs.start_demo()))["name"] == "digits demo, tiny"


@pytest.mark.parametrize("status", ["interrupted", "failed", "cancelled"])
def test_what_stopped_can_be_resumed(status, spawned):
    create("r1", status)
    jobs.resume("r1")
    assert (
        spawned == [["queued", "r1", "--", "run-stored", "r1"]]
        and runs.read_state(runs.find_run("r1")).status == "queued"
    )


def test_what_runs_is_broken_or_unknown_is_not_resumed(spawned):
    create("r1", "running")
    with pytest.raises(UserError, match="already going"):
        jobs.resume("r1")
    path = create("r2").path
    (path / "run.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match="has format 99.*upgrade"):
        jobs.resume("r2")
    assert (path / "run.json").read_text() == '{"format": 99}', "nothing is lost"
    with pytest.raises(UserError, match="no run called 'r3'"):
        jobs.resume("r3")
    with pytest.raises(UserError, match="is not going: its status is done"):
        jobs.cancel(create("r4").id)
    assert spawned == []


@pytest.mark.parametrize("call", [jobs.start_demo, lambda: jobs.resume("r1"), lambda: jobs.cancel("r1")])
def test_a_read_only_demonstration_starts_nothing(call, spawned, monkeypatch):
    create("r1", "failed")
    monkeypatch.setenv("GELDA_READONLY", "1")
    with pytest.raises(UserError, match="read-only demonstration"):
        call()
    assert spawned == []


def test_a_shipped_run_that_was_copied_into_the_workspace_is_there_once(gelda_home):
    shipped = runs.shipped_runs()[0]
    shutil.copytree(shipped.path, gelda_home / "runs" / shipped.id)
    every = [*runs.list_runs(), *runs.shipped_runs()]
    assert [state.path for state in every if state.id == shipped.id] == [runs.find_run(shipped.id)]
    assert runs.find_run(shipped.id).parent == gelda_home / "runs"
