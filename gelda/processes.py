"""GeLDA's commands as processes of their own, and several runs side by side."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gelda import recording, runs
from gelda.errors import UserError
from gelda.recording import Cancelled
from gelda.runs import RunState

POLL = 0.5  # seconds between two looks at what is going
GRACE = 60.0  # seconds that a run has to stop by itself


def start(arguments: Sequence[str], log: Path, **variables: str) -> subprocess.Popen[bytes]:
    """`gelda …` in the background, its output at the end of `log`; it outlives the browser, the app and the
    terminal. variables: of its environment."""
    log.parent.mkdir(parents=True, exist_ok=True)
    package = str(Path(__file__).resolve().parent.parent)  # also found where it is not installed
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    with open(log, "a") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "gelda", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": path, **variables},
        )
    # whoever started it collects it, or one that was killed would stay a zombie, which looks alive
    threading.Thread(target=process.wait, daemon=True).start()
    return process


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(
    begin: Sequence[Callable[[], tuple[RunState, bool]]],
    at_once: int,
    tell: Callable[[Sequence[RunState]], None],
) -> None:
    """Do stored runs, `at_once` of them at a time, each in a process and on a core of its own.

    begin: give the runs, in this order, when their turn comes, and whether one is going already (its process
    lost its parent): that one is waited for. tell: hears of all runs begun so far, again and again. The first
    run that fails ends them all with its sentence, one that is cancelled with Cancelled; what was finished
    stays.
    """
    waiting, paths = list(begin), list[Path]()
    going: dict[Path, subprocess.Popen[bytes] | None] = {}
    try:
        while waiting or going:
            while waiting and len(going) < at_once:
                with recording.starting():
                    state, alive = waiting.pop(0)()
                    going[state.path] = None if alive else _process(state)
                paths.append(state.path)
            time.sleep(POLL)
            for path, process in list(going.items()):
                state = runs.read_state(path)
                if process.poll() is None if process else state.status in runs.ALIVE:
                    continue
                del going[path]
                if state.status == "cancelled":
                    raise Cancelled
                if state.status != "done":
                    raise UserError(f"{state.name}: {state.error or f'it stopped; see {path}/log.txt'}")
            tell([runs.read_state(path) for path in paths])
    finally:
        for path in going:
            (path / "cancel").touch()
        for process in going.values():
            if process:
                try:
                    process.wait(GRACE)
                except subprocess.TimeoutExpired:
                    process.terminate()


def _process(state: RunState) -> subprocess.Popen[bytes]:
    state.status, state.error, state.pid = "queued", None, None
    runs.save_state(state)
    return start(["run-stored", state.id], state.path / "log.txt", OMP_NUM_THREADS="1")
