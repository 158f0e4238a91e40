"""Refits and confirmations as processes: started by a page, followed by it, resumed after a kill."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gelda import edits as editing
from gelda import jobs, runs
from gelda import kit as kits
from gelda.artifacts import FORMAT, read_json, write_json
from gelda.errors import UserError

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


def start(run_id: str, name: str, what: What = "refit") -> None:
    """Start a job, or let the one that is going finish: a refit takes up what was added meanwhile."""
    jobs._allowed()
    job = status(run_id, name)
    if job.going and job.what == what:
        return
    if job.going:
        raise UserError(f"The {job.what} of '{name}' is still going: wait for its end.")
    kits.load(runs.find_run(run_id))
    _write(run_id, name, what, "queued")
    jobs._spawn(["edit-job", run_id, name, "--what", what], _document(run_id, name).with_suffix(".txt"))


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


def work(run_id: str, name: str, what: What) -> None:
    """What the background process does; how it ended is left in its document."""
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

            confirm(kit, editing.load(kit, name), tick)
        else:
            from gelda.edit_figures import pending
            from gelda.refit import refit

            while pending(kit, (edits := editing.load(kit, name)).active):  # steps may be added meanwhile
                refit(kit, edits, tick)
    except BaseException as error:
        said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        _write(run_id, name, what, "failed", message=said)
        raise
    _write(run_id, name, what, "done")


def _document(run_id: str, name: str) -> Path:
    return editing.path_of(run_id, name).parent / "jobs" / f"{name}.json"


def _write(
    run_id: str, name: str, what: str, state: str, done: float = 0, total: int = 0, message: str = ""
) -> None:
    value: dict[str, Any] = {"format": FORMAT, "what": what, "state": state, "done": done, "total": total}
    write_json(
        _document(run_id, name), {**value, "message": message, "pid": os.getpid(), "host": platform.node()}
    )
