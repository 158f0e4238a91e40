"""Runs and drawn latents as processes of their own: start, resume, cancel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gelda import processes, recording, runs, samples, slots
from gelda.compare_config import resolve_compare
from gelda.config import resolve_config
from gelda.errors import UserError, sentence


def start_demo(
    name: str = "digits",
    seeds: int | None = None,
    preset: str | None = None,
    run_id: str | None = None,
    **overrides: Any,
) -> str:
    """Start a demo in the background and return the run's id at once.

    GELDA_DEMO_PRESET replaces the preset (tests use `tiny`). The speech demo is a chain of runs that its
    process starts, several at once: the id is that of the first, and what is finished is found again.
    """
    allowed()
    preset = preset or os.environ.get("GELDA_DEMO_PRESET") or name
    if name == "speech":
        from gelda import speech_demo

        more = [f"--seeds={seeds}"] if seeds else []
        with recording.starting():
            state = speech_demo.prepared()
            queue(state, ["demo", name, "--no-open", f"--preset={preset}", *more])
        return state.id
    if seeds is not None:
        overrides["seeds"] = seeds
    return start_run(overrides, preset, run_id)


def start_run(values: dict[str, Any], preset: str = "digits", run_id: str | None = None) -> str:
    """Start `gelda run` in the background; returns the run's id.

    Settings that cannot be and names that are not known are a UserError before anything starts.
    """
    from gelda import datasets
    from gelda.experiment_check import check_names

    allowed()
    config = resolve_config(values, preset)
    check_names(config, datasets.get(config.data.dataset).manifest())
    state = runs.create_run(config.model_dump(mode="json"), config.name, config.data.dataset, run_id)
    queue(state)
    return state.id


def start_comparison(values: dict[str, Any], preset: str = "default") -> str:
    """Start `gelda compare` in the background, or find the same comparison again; returns the run's id.

    A bank that cannot be read and settings that do not fit it are a UserError before anything starts.
    """
    from gelda import compare, compare_runs
    from gelda.ready import open_bank

    allowed()
    config = resolve_compare(values, preset)
    bank = open_bank(Path(config.bank).expanduser())
    compare.check(config, bank)
    with recording.starting():
        state, done = compare_runs.prepared(config, bank)
        if not done:
            queue(state)
    return state.id


def start_extraction(values: dict[str, Any]) -> str:
    """Start `gelda extract` in the background, or go on with the same extraction; returns the run's id.

    Data that cannot be read, an unknown encoder and settings that do not fit are a UserError before anything
    starts.
    """
    from gelda import extraction_runs
    from gelda.extract_config import resolve_extract

    allowed()
    config = extraction_runs.resolved(resolve_extract(values))
    extraction_runs.opened(config)
    with recording.starting():
        state = extraction_runs.prepared(config)
        queue(state)
    return state.id


def start_probe(path: str) -> str:
    """Start the probe of a bank's layers in the background, or go on with it; returns the run's id."""
    from gelda import layer_probe
    from gelda.ready import open_bank

    allowed()
    bank = open_bank(Path(path).expanduser())
    with recording.starting():
        state = layer_probe.prepared(Path(path), bank)
        queue(state)
    return state.id


def start_study(asked: str | dict[str, Any], seeds: int, preset: str = "digits") -> str:
    """Start a ready-made study or a person's own grid (`grids.from_spec`) in the background, or go on.

    Returns the run's id. A setting that cannot be is a UserError before anything starts.
    """
    from gelda import ablation, grids, studies

    allowed()
    study, shared = (studies.get(asked), {}) if isinstance(asked, str) else grids.from_spec(asked, "The grid")
    base = resolve_config({**shared, "seeds": seeds}, preset)
    ablation.check(study, base)
    with recording.starting():
        state, done = ablation.prepared(study, base)
        if not done:
            queue(state)
    return state.id


def resume(run_id: str) -> None:
    """Start an interrupted, failed or cancelled run again; finished stages are reused."""
    allowed()
    path = runs.find_run(run_id)
    state = _stopped(path)
    if state.extraction:
        from gelda import extraction_runs
        from gelda.extract_config import resolve_extract

        extraction_runs.opened(resolve_extract(runs.read_spec(path)))
    if state.study:
        from gelda import ablation

        ablation.stored(state)
    if state.comparison:
        from gelda import compare_runs

        compare_runs.reopen(state)  # a bank that was moved is said now, not by a process that dies at once
    with recording.starting():
        queue(_stopped(path))


def _stopped(path: Path) -> runs.RunState:
    """A run of the workspace that is not going."""
    state = runs.read_state(path)
    if state.shipped:
        raise UserError(
            f"The run '{state.id}' ships with GeLDA and is finished: start your own with `gelda demo`."
        )
    if state.status in runs.ALIVE:
        raise UserError(f"The run '{state.id}' is already going.")
    if state.status == "broken":
        raise UserError(state.error or f"The run '{state.id}' cannot be read.")
    return state


def cancel(run_id: str) -> None:
    """Ask a run to stop; it does at its next step and keeps what it has finished."""
    allowed()
    path = runs.find_run(run_id)
    state = runs.read_state(path)
    if state.status not in runs.ALIVE:
        raise UserError(f"The run '{run_id}' is not going: its status is {state.status}.")
    (path / "cancel").touch()


def to_front(run_id: str) -> None:
    """Move a waiting run before all others that wait."""
    allowed()
    slots.to_front(runs.read_state(runs.find_run(run_id)))


def earlier(run_id: str) -> None:
    """Move a waiting run one place forward."""
    allowed()
    slots.earlier(runs.read_state(runs.find_run(run_id)))


def start_samples(run_id: str, request: samples.SampleRequest) -> str:
    """Start drawing latents to look at in the background; returns their key for `samples.find`."""
    allowed()
    path = runs.find_run(run_id)
    name = samples.note(path, request, "running")
    spawn(["draw-stored", run_id, name], samples.folders(path)[-1] / "log.txt")
    return name


def make_samples(run_id: str, name: str) -> None:
    """What that process does: draw and measure them, or leave its failure in their document."""
    path = runs.find_run(run_id)
    request = samples.asked(path, name)
    try:
        with recording.beating([samples.folders(path)[-1] / f"{name}.json"]):
            samples.make(path, request)
    except Exception as error:
        samples.note(path, request, "failed", sentence(error))
        raise


def allowed() -> None:
    """Raise where jobs may not be started."""
    if runs.readonly():
        raise UserError("This is a read-only demonstration (GELDA_READONLY=1): jobs cannot be started here.")


def queue(state: runs.RunState, command: list[str] | None = None) -> None:
    """Start a run's work in a process of its own, which waits for its turn (slots.py)."""
    recording.forget_cancel(state.path)
    state.status, state.error, state.pid = "queued", None, None
    slots.join(state.path)
    runs.save_state(state)
    spawn(["queued", state.id, "--", *(command or ["run-stored", state.id])], state.path / "log.txt")


def spawn(arguments: list[str], log: Path) -> int:
    """Start a command of GeLDA in the background; returns the number of its process."""
    return processes.start(arguments, log).pid
