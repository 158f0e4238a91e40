"""Refits and confirmations as processes: started by a page, followed by it, resumed after a kill."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gelda import edits as editing
from gelda import jobs, recording, runs
from gelda import kit as kits
from gelda.artifacts import FORMAT, read_json, write_json
from gelda.edits import Edits
from gelda.errors import UserError, sentence
from gelda.kit import Kit

What = Literal["refit", "confirm"]
PUBLISH = 0.3  # seconds between two reports of progress


@dataclass(frozen=True)
class Job:
    """What the job of a list of edits is doing. state: none, queued, running, done, failed or interrupted."""

    what: str = "refit"
    state: str = "none"
    done: float = 0.0
    total: int = 0
    message: str = ""

    @property
    def going(self) -> bool:
        return self.state in runs.ALIVE


def start(run_id: str, name: str, what: What = "refit", state: str = "") -> None:
    """Start a job, or let the one that is going finish: a refit takes up what was added meanwhile.

    state: for a confirmation, `edits.state_key` of the steps that the person saw; no other ones are measured.
    """
    jobs._allowed()
    job = status(run_id, name)
    if job.going and job.what == what:
        return
    if job.going:
        raise UserError(f"The {job.what} of '{name}' is still going: wait for its end.")
    kit = kits.load(runs.find_run(run_id))
    if what == "confirm":
        _frozen(kit, name, state)
    _write(run_id, name, what, "queued")
    command = ["edit-job", run_id, name, "--what", what, *([f"--state={state}"] if state else [])]
    jobs._spawn(command, _document(run_id, name).with_suffix(".txt"))


def status(run_id: str, name: str) -> Job:
    """The state of the last job of a list of edits."""
    file = _document(run_id, name)
    if not file.is_file():
        return Job()
    value = read_json(file)
    job = Job(value["what"], value["state"], value["done"], value["total"], value["message"])
    patience = runs.PATIENCE if job.state == "queued" else runs.SILENCE
    silent = time.time() - file.stat().st_mtime > patience
    gone = job.state == "running" and runs.process_is_gone(value["pid"], value["host"])
    if job.going and (silent or gone):
        return Job(job.what, "interrupted", job.done, job.total, "It stopped half-way; what it had is kept.")
    return job


def work(run_id: str, name: str, what: What, state: str = "") -> None:
    """What the background process does; how it ended is left in its document."""
    with recording.beating([_document(run_id, name)]):  # one large head may take longer than silence is borne
        _work(run_id, name, what, state)


def _work(run_id: str, name: str, what: What, state: str) -> None:
    last = 0.0

    def tick(done: float, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > PUBLISH:
            last = time.monotonic()
            _write(run_id, name, what, "running", done, total)

    try:
        tick(0, 0)
        kit = kits.load(runs.find_run(run_id))
        if what == "confirm":
            from gelda.confirm import confirm

            confirm(kit, _frozen(kit, name, state), tick)
        else:
            _refit(kit, name, tick)
        _write(run_id, name, what, "done")
        if what == "refit":
            _refit(kit, name, tick)  # a step that came just before "done" was left to this process
    except BaseException as error:
        _write(run_id, name, what, "failed", message=sentence(error))
        raise
    _write(run_id, name, what, "done")


def _refit(kit: Kit, name: str, tick: Any) -> None:
    """Train what is missing, also of steps that are added meanwhile."""
    from gelda.edit_figures import pending
    from gelda.refit import refit

    while pending(kit, (mine := editing.load(kit, name)).active):
        refit(kit, mine, tick)


def _frozen(kit: Kit, name: str, state: str) -> Edits:
    """The list as the person saw it; one that was changed since (in another window) is not measured."""
    mine = editing.load(kit, name)
    if editing.state_key(kit, mine.active) != state:
        raise UserError(
            "The steps were changed after this was asked: look at them again, then confirm. The test half "
            "was not looked at."
        )
    return mine


def _document(run_id: str, name: str) -> Path:
    return editing.path_of(run_id, name).parent / "jobs" / f"{name}.json"


def _write(
    run_id: str, name: str, what: str, state: str, done: float = 0, total: int = 0, message: str = ""
) -> None:
    value: dict[str, Any] = {"format": FORMAT, "what": what, "state": state, "done": done, "total": total}
    write_json(
        _document(run_id, name), {**value, "message": message, "pid": os.getpid(), "host": platform.node()}
    )
