"""A line of runs: so many at a time (GELDA_SLOTS, 1), the others wait in the order they were started.

A run's own process waits, so the line outlives the app. Who runs holds a lock on a file of the workspace,
which the kernel gives back however a process ends.
"""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gelda.artifacts import read_json, write_json
from gelda.errors import UserError
from gelda.paths import home
from gelda.recording import Cancelled, starting, tracked
from gelda.runs import SILENCE, RunState, is_mine, list_runs, read_state, save_state, silent_for

POLL = 1.0  # seconds between two looks at the line
RECENT = 200  # newest runs that are looked at for waiting ones, whatever the index says of them


def slots() -> int:
    """How many runs go at a time."""
    text = os.environ.get("GELDA_SLOTS", "1")
    if not text.isdecimal() or not int(text):
        raise UserError(f"GELDA_SLOTS is '{text}': it must be a whole number from 1 on.")
    return int(text)


def line() -> list[RunState]:
    """Runs that wait, the next one first."""
    waiting = [state for state in list_runs(limit=RECENT, always="queued") if state.status == "queued"]
    return sorted(waiting, key=lambda state: (place(state.path), state.created, state.id))


def join(path: Path) -> None:
    """Take the last place of the line."""
    write_json(path / "place.json", {"place": time.time()})


def to_front(run: RunState) -> None:
    """Move a waiting run before all others."""
    waiting = _waiting(run)
    write_json(run.path / "place.json", {"place": min(place(other.path) for other in waiting) - 1})


def earlier(run: RunState) -> None:
    """Move a waiting run before the one that stands before it; the one that is next stays where it is."""
    waiting = _waiting(run)
    mine = [other.id for other in waiting].index(run.id)
    before = [place(other.path) for other in waiting[:mine]]
    if before:
        low = before[-2] if len(before) > 1 else before[-1] - 2
        write_json(run.path / "place.json", {"place": (low + before[-1]) / 2})


def _waiting(run: RunState) -> list[RunState]:
    """The line, in which a run must stand: its turn may have come since a page was drawn."""
    waiting = line()
    if run.id not in [other.id for other in waiting]:
        now = read_state(run.path).status
        raise UserError(f"The run '{run.id}' does not wait: its status is {now}.")
    return waiting


def place(path: Path) -> float:
    """A run's number in the line; those of lower ones go first."""
    try:
        return float(read_json(path / "place.json")["place"])
    except (UserError, KeyError, TypeError, ValueError):  # it never joined, or was cut off
        return 0.0


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait for a run's slot and hold it.

    Raises Cancelled where the person asked for that while waiting, and UserError, with nothing changed, where
    the run waits for another process or not any more.
    """
    with starting():
        state = _waits(path)
        if state.pid is not None:
            raise UserError(f"The run '{state.id}' waits in line with another process.")
        state.pid, state.host = os.getpid(), platform.node()
        save_state(state)
    held = None
    try:
        with _or_cancelled(state):
            while held is None:
                if not is_mine(_waits(path)):
                    raise UserError(f"The run '{state.id}' was started anew: another process waits for it.")
                if (path / "cancel").exists():
                    raise Cancelled
                if (held := _take(state)) is None:
                    time.sleep(POLL)
        yield
    finally:
        if held is not None:
            held.close()


def _waits(path: Path) -> RunState:
    """A run as it lies there now, while it waits."""
    (path / "heartbeat").touch()  # first: who comes late, or slept, is not taken for interrupted
    state = read_state(path)
    if state.status != "queued":
        raise UserError(f"The run '{state.id}' does not wait any more: its status is {state.status}.")
    return state


@contextmanager
def _or_cancelled(state: RunState) -> Iterator[None]:
    """Write down that a run was cancelled before it began; nothing where it comes to its turn."""
    try:
        yield
    except (Cancelled, KeyboardInterrupt) as error:
        with tracked(state):
            raise error


def _take(state: RunState) -> IO[str] | None:
    """A lock on a free slot where it is this run's turn; None where it has to wait on."""
    # who is silent is still starting or was killed: nobody waits for it
    waiting = [s.id for s in line() if s.id == state.id or silent_for(s.path) < SILENCE]
    if state.id not in waiting[: slots()]:
        return None
    free = [lock for number in range(slots()) if (lock := _lock(number)) is not None]
    mine = free.pop() if state.id in waiting[: len(free)] else None
    for lock in free:
        lock.close()
    return mine


def _lock(number: int) -> IO[str] | None:
    folder = home() / "slots"
    folder.mkdir(parents=True, exist_ok=True)
    file = open(folder / f"{number}.lock", "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
