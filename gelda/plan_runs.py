"""Plans in the background: what one would take over a person's data, and its runs, one after another."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gelda import jobs, recording
from gelda.artifacts import FORMAT, check_format, content_key, read_json, write_json
from gelda.errors import UserError, sentence
from gelda.paths import home, permitted

PATIENCE = 60 * recording.HEARTBEAT  # seconds without a sign of life: it may still be importing torch


@dataclass(frozen=True)
class Look:
    """What a plan would take: `found` is plan_outlook's document once state is "done"."""

    state: str
    message: str = ""
    found: dict[str, Any] = field(default_factory=dict)


def key(plan: str, data: str, encoder: str) -> str:
    """Of a look: the plan's name, the data's path and the encoder."""
    return content_key("plan", plan, str(Path(data).expanduser()), encoder)


def find(plan: str, data: str, encoder: str) -> Look | None:
    """The last look at these data, in whatever state; None where nobody looked, or its process is gone."""
    file = _file(key(plan, data, encoder))
    if not file.is_file():
        return None
    try:
        value = read_json(file)
        check_format(value, file)
        if value["state"] == "running" and time.time() - file.stat().st_mtime > PATIENCE:
            return None
        return Look(value["state"], value["message"], value["found"])
    except (UserError, KeyError, TypeError):
        return None  # cheap to make: a broken one is offered again


def start_look(plan: str, data: str, encoder: str) -> None:
    """Look in the background at what the plan would take; nothing is fetched, nothing else is written."""
    from gelda import plan_jobs

    jobs.allowed()
    plan_jobs.job(plan, permitted(data), encoder)  # a wrong path or name is said at once
    name = key(plan, data, encoder)
    _note(name, "running", asked=[plan, data, encoder])
    jobs.spawn(["plan-stored", name], home() / "plans" / "log.txt")


def make_look(name: str) -> None:
    """What that process does: the look, or why there is none, in its document."""
    from gelda import plan_jobs
    from gelda.plan_outlook import outlook

    asked = [str(part) for part in read_json(_file(name))["asked"]]
    plan, data, encoder = asked
    try:
        with recording.beating([_file(name)]):
            found = outlook(plan_jobs.job(plan, permitted(data), encoder))
    except Exception as error:
        _note(name, "failed", sentence(error), asked=asked)
        raise
    _note(name, "done", found=found, asked=asked)


def start_plan(plan: str, data: str, encoder: str) -> str:
    """Encode, then compare, in the background; returns the id of the extraction, as which it waits in line.

    What the plan's data lack is a UserError before anything starts. Started again it goes on where it was.
    """
    from gelda import extraction_runs, plan_jobs

    jobs.allowed()
    made = plan_jobs.job(plan, permitted(data), encoder)
    plan_jobs.open_source(made)
    extraction_runs.opened(made.extract)
    own = [f"--encoder={encoder}"] if encoder else []
    with recording.starting():
        state = extraction_runs.prepared(made.extract)
        jobs.queue(state, ["run", f"--preset={plan}", f"--data={made.data}", *own])
    return state.id


def _file(name: str) -> Path:
    return home() / "plans" / f"{name}.json"


def _note(name: str, state: str, message: str = "", found: Any = None, asked: Any = None) -> None:
    value = {"format": FORMAT, "state": state, "message": message, "found": found or {}, "asked": asked}
    write_json(_file(name), value)
