"""Runs side by side: never more at once than asked for, and how one ends decides for all."""

import subprocess
import sys

import pytest

from gelda import processes, runs
from gelda.errors import UserError
from gelda.recording import Cancelled
from gelda.terminal_targets import several

# What a run's process does here: it waits for a file, or to be cancelled, and says how it ended.
WORK = """
import sys, time
from pathlib import Path
from gelda import runs
path, end = Path(sys.argv[1]), sys.argv[2]
state = runs.read_state(path)
state.status = "running"
runs.save_state(state)
while end == "waits" and not (path / "cancel").exists():
    time.sleep(0.02)
state.status = {"waits": "cancelled", "fails": "failed"}.get(end, end)
state.error = "The latents are gone." if end == "fails" else None
runs.save_state(state)
"""


@pytest.fixture
def made(gelda_home, monkeypatch):
    """begin(name, end): a run whose process ends so."""
    ends: dict[str, str] = {}
    started: list[str] = []
    monkeypatch.setattr(processes, "POLL", 0.05)

    def process(state):
        started.append(state.id)
        return subprocess.Popen([sys.executable, "-c", WORK, str(state.path), ends[state.id]])

    def begin(name, end):
        ends[name] = end
        return lambda: (runs.create_run({}, name, "compare", name), False)

    monkeypatch.setattr(processes, "_process", process)
    begin.started = started
    return begin


def test_all_are_done_few_at_a_time(made):
    most, last = [], []

    def tell(states):
        most.append(sum(state.status != "done" for state in states))
        last[:] = [(state.id, state.status) for state in states]

    processes.side_by_side([made(name, "done") for name in "abc"], 2, tell)
    assert made.started == list("abc") and max(most) <= 2
    assert last == [(name, "done") for name in "abc"]


def test_a_failure_is_its_sentence_and_ends_the_others(made):
    begin = [made("a", "waits"), made("b", "fails"), made("c", "done")]
    with pytest.raises(UserError, match="b: The latents are gone."):
        processes.side_by_side(begin, 2, lambda states: None)
    assert made.started == ["a", "b"], "nothing more is started"
    assert runs.read_state(runs.find_run("a")).status == "cancelled"


def test_a_run_that_is_cancelled_cancels_all(made):
    def tell(states):
        (states[0].path / "cancel").touch()

    with pytest.raises(Cancelled):
        processes.side_by_side([made("a", "waits"), made("b", "waits")], 2, tell)
    assert {runs.read_state(runs.find_run(name)).status for name in "ab"} == {"cancelled"}


def test_a_run_that_is_going_already_is_waited_for(made):
    """Its process lost its parent: nothing is started, and its end is seen."""
    state, _ = made("a", "done")()
    state.status = "running"
    runs.save_state(state)
    (state.path / "heartbeat").touch()

    def tell(states):
        state.status = "done"
        runs.save_state(state)

    processes.side_by_side([lambda: (runs.read_state(state.path), True)], 2, tell)
    assert made.started == []


def test_a_run_without_a_word_points_to_its_log(made):
    with pytest.raises(UserError, match=r"a: it stopped; see .*log.txt"):
        processes.side_by_side([made("a", "interrupted")], 1, lambda states: None)


def test_a_command_in_the_background_leaves_its_output(tmp_path):
    process = processes.start(["--version"], tmp_path / "new" / "log.txt", OMP_NUM_THREADS="1")
    assert process.wait(60) == 0
    assert (tmp_path / "new" / "log.txt").read_text().strip()
    assert processes.cores() >= 1


def test_a_log_names_each_run_once_when_it_is_done(gelda_home, capsys):
    """Where the output is no terminal, and without the bank's name, which all of them share."""
    states = [
        runs.create_run({}, f"bank-1a, zero-shot {name}", "compare", name) for name in ("German", "Polish")
    ]
    with several() as tell:
        tell(states)
        states[1].status = "done"
        tell(states)
        tell(states)
    assert capsys.readouterr().out.splitlines() == ["✓ zero-shot Polish  0 s  run Polish"]
