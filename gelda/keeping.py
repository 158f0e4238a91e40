"""A run's folder as a thing to keep: what it takes on the disk, what it is called, and its end."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import uuid
from pathlib import Path

from gelda import confirm, runs, samples, selections
from gelda import edits as editing
from gelda.errors import UserError
from gelda.paths import home

LONGEST = 120  # characters of a name, as RunConfig has it


def size(path: Path) -> int:
    """Bytes of all files of a run; what vanishes meanwhile counts nothing."""
    total = 0
    for file in path.rglob("*"):
        with contextlib.suppress(OSError):
            total += file.lstat().st_size
    return total


def rename(run_id: str, name: str) -> None:
    """Give a run another name; its id, folder and report stay what they are."""
    state, name = _own(run_id), " ".join(name.split())
    if not 0 < len(name) <= LONGEST:
        raise UserError(f"A run's name has 1 to {LONGEST} characters, and this one has {len(name)}.")
    if state.status == "broken":
        raise UserError(f"The run '{run_id}' cannot be read, and so cannot be renamed: delete it.")
    if state.status in runs.ALIVE:
        raise UserError(f"The run '{run_id}' is going: rename it when it has ended.")
    state.name = name
    runs.save_state(state)


def delete(run_id: str) -> None:
    """Delete a run with everything made of it (maps, samples, edits, kept selections), a broken one too.

    Looks at its test half stay counted: another run may hold out the same items. Only a folder right inside
    the workspace's `runs`; never one that ships, is going, or is being written to. It is moved out of sight
    first: what is killed half-way leaves no half run. The next call clears away what was moved; edits,
    samples and selections that were not yet stay on the disk.
    """
    state = _own(run_id)
    if state.status in runs.ALIVE:
        raise UserError(f"The run '{run_id}' is going: cancel it first.")
    if busy(state.path):
        raise UserError(
            f"Something of the run '{run_id}' is being made just now: delete it when that is done."
        )
    gone = state.path.with_name(f".deleted-{uuid.uuid4().hex}")
    try:
        state.path.rename(gone)
    except OSError as error:
        raise UserError(f"The run '{run_id}' cannot be deleted: {error.strerror}.") from error
    runs.forget(run_id)
    for where in _beside(state.path):
        for part in where.glob("*"):
            if part != confirm.folder(run_id):
                shutil.move(part, gone / f"{where.parent.name}-{part.name}")
        with contextlib.suppress(OSError):  # not empty where looks are counted, or never there
            where.rmdir()
    for rest in state.path.parent.glob(".deleted-*"):
        shutil.rmtree(rest, ignore_errors=True)


def busy(path: Path) -> bool:
    """Whether a job of a run lives: a map, samples, a refit, or a run that is broken in the middle of its
    work."""
    beat = path / "heartbeat"
    if beat.is_file() and time.time() - beat.stat().st_mtime < runs.SILENCE:
        state = runs.read_state(path)
        if state.status == "broken":
            return True
    edited, drawn, _ = _beside(path)
    for document in (*path.glob("*/*.json"), *edited.glob("jobs/*.json"), *drawn.glob("*.json")):
        with contextlib.suppress(OSError, ValueError):
            silent = time.time() - document.stat().st_mtime
            if silent < runs.PATIENCE:
                value = json.loads(document.read_bytes())
                stage = value.get("state") if isinstance(value, dict) else ""
                if stage == "queued" or stage == "running" and silent < runs.SILENCE:
                    return True
    return False


def _beside(path: Path) -> tuple[Path, Path, Path]:
    """Where a run's edits, the latents that were drawn to look at and the selections that were kept lie: not
    in its own folder."""
    return editing.folder(path.name), samples.folders(path)[-1], selections.folder(path.name)


def _own(run_id: str) -> runs.RunState:
    """A run of the workspace that may be changed."""
    if runs.readonly():
        raise UserError("This is a read-only demonstration (GELDA_READONLY=1): runs cannot be changed here.")
    path = runs.find_run(run_id)
    state = runs.read_state(path)
    if state.shipped:
        raise UserError(f"The run '{run_id}' ships with GeLDA: it cannot be changed.")
    if path.is_symlink() or path.resolve().parent != (home() / "runs").resolve():
        raise UserError(f"{path} is a link to elsewhere: remove it by hand.")
    return state
