"""Runs wait for their turn: order, the front, cancelling, and a lock that dies with its process."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gelda import cli_runs, jobs, runs, slots
from gelda.errors import UserError
from gelda.recording import Cancelled, Recorder

HOLD = "import sys, time; from pathlib import Path; from gelda import runs, slots\n" \
       "state = runs.read_state(runs.find_run(sys.argv[1]))\n" \
       "with slots.turn(state.path): (state.path / 'began').touch(); time.sleep(60)"  # fmt: skip


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    monkeypatch.delenv("GELDA_READONLY", raising=False)
    monkeypatch.delenv("GELDA_SLOTS", raising=False)
    monkeypatch.setattr(slots, "POLL", 0.02)
    monkeypatch.setattr(jobs, "spawn", lambda arguments, log: None)
    return tmp_path


def waiting(name: str) -> runs.RunState:
    state = runs.create_run({}, name, "digits", name)
    jobs.queue(state)
    return state


def ids() -> list[str]:
    return [state.id for state in slots.line()]


def taken(state: runs.RunState) -> bool:
    """Whether it would be a run's turn now."""
    lock = slots._take(state)
    if lock is not None:
        lock.close()
    return lock is not None


def test_the_line_is_in_order_of_starting_and_the_front_goes_first():
    a, b, c = (waiting(name) for name in ("run-b", "run-a", "run-c"))
    assert ids() == ["run-b", "run-a", "run-c"]
    jobs.to_front("run-c")
    assert ids() == ["run-c", "run-b", "run-a"]
    jobs.to_front("run-a")
    assert ids() == ["run-a", "run-c", "run-b"]
    assert [taken(s) for s in (a, b, c)] == [False, True, False]


def test_a_run_moves_one_place_forward_and_the_first_stays():
    line = [waiting(name) for name in ("a", "b", "c", "d")]
    jobs.earlier("d")
    assert ids() == ["a", "b", "d", "c"]
    jobs.earlier("d")
    jobs.earlier("d")
    assert ids() == ["d", "a", "b", "c"]
    jobs.earlier("d")
    assert ids() == ["d", "a", "b", "c"]
    line[1].status = "running"
    runs.save_state(line[1])
    with pytest.raises(UserError, match="does not wait"):
        jobs.earlier("b")


@pytest.mark.parametrize("move", [slots.earlier, slots.to_front])
def test_a_run_whose_turn_came_meanwhile_is_a_sentence(move):
    waiting("a")
    seen = waiting("b")
    now = runs.read_state(seen.path)
    now.status = "running"
    runs.save_state(now)
    with pytest.raises(UserError, match="'b' does not wait: its status is running"):
        move(seen)


@pytest.mark.parametrize("count, expected", [("1", [True, False, False]), ("2", [True, True, False])])
def test_so_many_go_at_a_time(monkeypatch, count, expected):
    monkeypatch.setenv("GELDA_SLOTS", count)
    line = [waiting(name) for name in ("x", "y", "z")]
    assert [taken(s) for s in line] == expected
    with slots.turn(line[0].path):
        line[0].status = "running"
        runs.save_state(line[0])
        assert [taken(s) for s in line[1:]] == [count == "2", False]
    assert taken(line[1])


@pytest.mark.parametrize("text", ["0", "two", "-1", "²"])
def test_a_wrong_number_of_slots_is_a_sentence(monkeypatch, text):
    monkeypatch.setenv("GELDA_SLOTS", text)
    with pytest.raises(UserError, match=f"GELDA_SLOTS is '{text}'.*whole number"):
        slots.slots()


def test_who_waits_begins_when_the_slot_is_free():
    first, second = waiting("one"), waiting("two")
    began = threading.Event()

    def wait():
        with slots.turn(second.path):
            began.set()

    with slots.turn(first.path):
        first.status = "running"
        runs.save_state(first)
        other = threading.Thread(target=wait)
        other.start()
        assert not began.wait(0.3)
        assert runs.silent_for(second.path) < 1, "who waits gives signs of life"
    assert began.wait(10)
    other.join()


def test_a_run_that_waits_can_be_cancelled():
    first, second = waiting("one"), waiting("two")
    with slots.turn(first.path):
        first.status = "running"
        runs.save_state(first)
        jobs.cancel("two")
        with pytest.raises(Cancelled), slots.turn(second.path):
            pytest.fail("it was cancelled")
        assert runs.read_state(second.path).status == "cancelled"
    assert not (second.path / "cancel").exists() and ids() == []


@pytest.mark.parametrize("status, pid", [("done", None), ("running", 1), ("queued", None), ("queued", 1)])
def test_who_waits_leaves_where_the_run_is_not_its_own_any_more(status, pid):
    """It was finished, or started, elsewhere, or resumed; also the wish to cancel belongs to that process."""
    first, second = waiting("one"), waiting("two")
    left = []

    def wait():
        with pytest.raises(UserError, match="'two'") as refused, slots.turn(second.path):
            pytest.fail("it had no turn")
        left.append(str(refused.value))

    with slots.turn(first.path):
        other = threading.Thread(target=wait, daemon=True)
        other.start()
        until = time.time() + 10
        while not runs.is_mine(runs.read_state(second.path)) and time.time() < until:
            time.sleep(0.01)
        second.status, second.pid = status, pid
        runs.save_state(second)
        (second.path / "cancel").touch()
        other.join(10)
    assert left and runs.read_state(second.path).status == status and (second.path / "cancel").exists()


def test_one_process_waits_for_a_run(monkeypatch):
    state = waiting("one")
    state.pid = 1
    runs.save_state(state)
    with pytest.raises(UserError, match="waits in line with another process"), slots.turn(state.path):
        pytest.fail("it had no turn")
    with pytest.raises(UserError, match="already going in another process"):
        Recorder(state).__enter__()
    monkeypatch.setattr(cli_runs, "_shown", lambda *_: pytest.fail("it was started"))
    (state.path / "cancel").touch()
    with pytest.raises(UserError, match="already going in another process"):
        cli_runs.run(Path("one"))
    assert runs.read_state(state.path).pid == 1 and (state.path / "cancel").exists()


def test_of_two_who_resume_a_run_one_is_refused(monkeypatch):
    state = waiting("one")
    state.status = "interrupted"
    runs.save_state(state)
    spawned, said, join = [], [], slots.join

    def slow(path):
        time.sleep(0.3)
        join(path)

    def resume():
        try:
            jobs.resume("one")
        except UserError as error:
            said.append(str(error))

    monkeypatch.setattr(slots, "join", slow)
    monkeypatch.setattr(jobs, "spawn", lambda arguments, log: spawned.append(arguments))
    both = [threading.Thread(target=resume) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(10)
    assert len(spawned) == 1 and said == ["The run 'one' is already going."]


def test_a_process_that_comes_late_still_has_its_turn():
    state = waiting("one")
    for file in state.path.iterdir():
        os.utime(file, (time.time() - 2 * runs.PATIENCE,) * 2)
    assert runs.read_state(state.path).status == "interrupted"
    began = threading.Event()

    def wait():
        with slots.turn(state.path):
            began.set()

    threading.Thread(target=wait, daemon=True).start()
    assert began.wait(10)


def test_only_a_run_that_waits_can_go_to_the_front(monkeypatch):
    state = waiting("one")
    state.status = "done"
    runs.save_state(state)
    with pytest.raises(UserError, match="'one' does not wait: its status is done"):
        jobs.to_front("one")
    monkeypatch.setenv("GELDA_READONLY", "1")
    with pytest.raises(UserError, match="read-only"):
        jobs.to_front("one")


def test_an_old_run_that_is_resumed_waits_behind_however_many_newer_ones(monkeypatch):
    monkeypatch.setattr(slots, "RECENT", 2)
    old = runs.create_run({}, "old", "digits", "old")
    old.created = "2020-01-01T00:00:00Z"
    for name in ("a", "b", "c"):
        state = runs.create_run({}, name, "digits", name)
        state.status = "done"
        runs.save_state(state)
    jobs.queue(old)
    assert ids() == ["old"] and taken(old)
    jobs.to_front("old")
    assert [s.id for s in runs.list_runs(limit=2)] == ["c", "b"]


def test_a_silent_one_holds_nobody_up():
    dead, alive = waiting("dead"), waiting("alive")
    for file in dead.path.iterdir():
        os.utime(file, (time.time() - 60, time.time() - 60))
    assert runs.read_state(dead.path).status == "queued", "it may still be importing"
    assert taken(alive)


def test_a_killed_run_gives_its_slot_back(workspace: Path):
    one, two = waiting("one"), waiting("two")
    path = os.pathsep.join([str(Path(slots.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    holder = subprocess.Popen([sys.executable, "-c", HOLD, "one"], env={**os.environ, "PYTHONPATH": path})
    try:
        until = time.time() + 60
        while not (one.path / "began").exists():
            assert time.time() < until
            time.sleep(0.05)
        one = runs.read_state(one.path)
        assert one.pid == holder.pid
        one.status = "running"
        runs.save_state(one)
        assert not taken(two)
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
        assert taken(two), "the kernel gives the lock back"
        assert runs.read_state(one.path).status == "interrupted"
    finally:
        holder.kill()
