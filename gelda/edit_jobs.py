"""Refits and confirmations as processes: started by a page, followed by it, resumed after a kill."""

from __future__ import annotations

import os
import platform
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from gelda import edits as editing
from gelda import jobs, recording, runs
from gelda import kit as kits
from gelda.artifacts import FORMAT, locked, read_json, write_json
from gelda.edits import Edits
from gelda.errors import UserError, sentence
from gelda.kit import Kit
from gelda.recording import Cancelled

What = Literal["refit", "confirm"]
PUBLISH = 0.3  # seconds between two reports of progress
KEPT = "before it was done; what it had is kept"


@dataclass(frozen=True)
class Job:
    """What the job of a list of edits is doing.

    state: none, queued, running, done, failed, interrupted or cancelled. stopping: it was asked to stop, and
    does at its next step.
    """

    what: str = "refit"
    state: str = "none"
    done: float = 0.0
    total: int = 0
    message: str = ""
    stopping: bool = False

    @property
    def going(self) -> bool:
        return self.state in runs.ALIVE


def start(run_id: str, name: str, what: What = "refit", state: str = "") -> None:
    """Start a job, or let the one that is going finish: a refit takes up what was added meanwhile.

    state: for a confirmation, `edits.state_key` of the steps that the person saw; no other ones are measured.
    """
    jobs.allowed()
    with _locked(run_id, name):  # two windows start one job
        job = status(run_id, name)
        if job.going and job.what == what:
            _wish(run_id, name).unlink(missing_ok=True)  # who goes on does not want it to stop any more
            return
        if job.going:
            raise UserError(f"The {job.what} of '{name}' is still going: wait for its end.")
        kit = kits.load(runs.find_run(run_id))
        if what == "confirm":
            _frozen(kit, name, state)
        _wish(run_id, name).unlink(missing_ok=True)
        _put(run_id, name, what, "queued", pid=None)
    command = ["edit-job", run_id, name, "--what", what, *([f"--state={state}"] if state else [])]
    pid = jobs.spawn(command, _document(run_id, name).with_suffix(".txt"))
    with _locked(run_id, name):  # so that one that is killed before it says anything is known to be gone
        value = read_json(_document(run_id, name))
        if value["state"] == "queued" and value["pid"] is None:
            _put(run_id, name, what, "queued", pid=pid)


def cancel(run_id: str, name: str) -> None:
    """Ask a refit to stop at its next step; the heads that it has trained stay."""
    jobs.allowed()
    job = status(run_id, name)
    if job.what != "refit" or not job.going:
        raise UserError(f"No refit of '{name}' is going.")
    _wish(run_id, name).touch()


def status(run_id: str, name: str) -> Job:
    """The state of the last job of a list of edits."""
    file = _document(run_id, name)
    if not file.is_file():
        return Job()
    value = read_json(file)
    job = Job(value["what"], value["state"], value["done"], value["total"], value["message"])
    if not job.going:
        return job
    if runs.process_is_gone(value["pid"], value["host"]):
        return replace(job, state="interrupted", message=f"Its process was ended {KEPT}.")
    patience = runs.PATIENCE if job.state == "queued" else runs.SILENCE
    if time.time() - file.stat().st_mtime > patience:
        return replace(job, state="interrupted", message=f"It stopped {KEPT}.")
    return replace(job, stopping=_wish(run_id, name).exists())


def work(run_id: str, name: str, what: What, state: str = "") -> None:
    """What the background process does; how it ended is left in its document."""
    with recording.beating([_document(run_id, name)]):  # one large head may take longer than silence is borne
        _work(run_id, name, what, state)


def _work(run_id: str, name: str, what: What, state: str) -> None:
    last = 0.0

    def tick(done: float, total: int) -> None:
        nonlocal last
        if what == "refit" and _wish(run_id, name).exists():
            raise Cancelled
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
    except Cancelled:
        if _stopped(run_id, name):
            return
        return _work(run_id, name, what, state)
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


def _stopped(run_id: str, name: str) -> bool:
    """Whether the wish to stop still stands, which is written down; a later step took it back."""
    with _locked(run_id, name):
        wished = _wish(run_id, name).exists()
        if wished:
            _put(run_id, name, "refit", "cancelled", pid=None)
            _wish(run_id, name).unlink()
    return wished


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


def _wish(run_id: str, name: str) -> Path:
    """The file that asks a refit to stop."""
    return _document(run_id, name).with_suffix(".cancel")


def _locked(run_id: str, name: str) -> AbstractContextManager[None]:
    return locked(_document(run_id, name).with_suffix(".lock"))


def _write(
    run_id: str, name: str, what: str, state: str, done: float = 0, total: int = 0, message: str = ""
) -> None:
    """What the job's own process says of it."""
    with _locked(run_id, name):
        _put(run_id, name, what, state, os.getpid(), done, total, message)


def _put(
    run_id: str, name: str, what: str, state: str, pid: int | None,
    done: float = 0, total: int = 0, message: str = "",
) -> None:  # fmt: skip
    value: dict[str, Any] = {"format": FORMAT, "what": what, "state": state, "done": done, "total": total}
    write_json(_document(run_id, name), {**value, "message": message, "pid": pid, "host": platform.node()})
