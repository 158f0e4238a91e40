"""Runs and maps as processes of their own: start, resume, cancel."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from gelda import processes, projection, recording, runs
from gelda.compare_config import resolve_compare
from gelda.config import resolve_config
from gelda.errors import UserError
from gelda.settings import ProjectionConfig


def start_demo(
    name: str = "digits",
    seeds: int | None = None,
    preset: str | None = None,
    run_id: str | None = None,
    **overrides: Any,
) -> str:
    """Start a demo in the background and return the run's id at once.

    GELDA_DEMO_PRESET replaces the preset (tests use `tiny`). The speech demo is a chain of runs that its
    process starts one after the other: the id is that of the first, and what is finished is found again.
    """
    _allowed()
    preset = preset or os.environ.get("GELDA_DEMO_PRESET") or name
    if name == "speech":
        from gelda import speech_demo

        state = speech_demo.prepared()
        more = [f"--seeds={seeds}"] if seeds else []
        _queue(state, ["demo", name, "--no-open", f"--preset={preset}", *more])
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

    _allowed()
    config = resolve_config(values, preset)
    check_names(config, datasets.get(config.data.dataset).manifest())
    state = runs.create_run(config.model_dump(mode="json"), config.name, config.data.dataset, run_id)
    _queue(state)
    return state.id


def start_comparison(values: dict[str, Any], preset: str = "default") -> str:
    """Start `gelda compare` in the background, or find the same comparison again; returns the run's id.

    A bank that cannot be read and settings that do not fit it are a UserError before anything starts.
    """
    from gelda import compare, compare_runs
    from gelda.ready import open_bank

    _allowed()
    config = resolve_compare(values, preset)
    bank = open_bank(Path(config.bank).expanduser())
    compare.check(config, bank)
    state, done = compare_runs.prepared(config, bank)
    if not done:
        _queue(state)
    return state.id


def start_extraction(values: dict[str, Any]) -> str:
    """Start `gelda extract` in the background, or go on with the same extraction; returns the run's id.

    Data that cannot be read, an unknown encoder and settings that do not fit are a UserError before anything
    starts.
    """
    from gelda import extraction_runs
    from gelda.extract_config import resolve_extract

    _allowed()
    config = extraction_runs.resolved(resolve_extract(values))
    extraction_runs.opened(config)
    state = extraction_runs.prepared(config)
    _queue(state)
    return state.id


def start_probe(path: str) -> str:
    """Start the probe of a bank's layers in the background, or go on with it; returns the run's id."""
    from gelda import layer_probe
    from gelda.ready import open_bank

    _allowed()
    state = layer_probe.prepared(Path(path), open_bank(Path(path).expanduser()))
    _queue(state)
    return state.id


def resume(run_id: str) -> None:
    """Start an interrupted, failed or cancelled run again; finished stages are reused."""
    _allowed()
    path = runs.find_run(run_id)
    state = runs.read_state(path)
    if state.shipped:
        raise UserError(
            f"The run '{run_id}' ships with GeLDA and is finished: start your own with `gelda demo`."
        )
    if state.status in runs.ALIVE:
        raise UserError(f"The run '{run_id}' is already going.")
    if state.status == "broken":
        raise UserError(state.error or f"The run '{run_id}' cannot be read.")
    if state.extraction:
        from gelda import extraction_runs
        from gelda.extract_config import resolve_extract

        extraction_runs.opened(resolve_extract(runs.read_spec(path)))
    if state.comparison:
        from gelda import compare_runs

        compare_runs.reopen(state)  # a bank that was moved is said now, not by a process that dies at once
    _queue(state)


def cancel(run_id: str) -> None:
    """Ask a run to stop; it does at its next step and keeps what it has finished."""
    _allowed()
    path = runs.find_run(run_id)
    state = runs.read_state(path)
    if state.status not in runs.ALIVE:
        raise UserError(f"The run '{run_id}' is not going: its status is {state.status}.")
    (path / "cancel").touch()


def start_projection(run_id: str, layer: str, scope_kind: str = "all", scope_name: str = "") -> str:
    """Start making a map in the background; returns its key. `projection.list_maps` shows its state."""
    _allowed()
    path = runs.find_run(run_id)
    config = projection_config(path)
    key = projection.map_key(path, layer, scope_kind, scope_name, config)
    target = projection.maps_folders(path, map_workspace(path))[-1]
    target.mkdir(parents=True, exist_ok=True)
    info = projection.MapInfo(
        key=key,
        layer=layer,
        layer_title=projection.layer_info(path, layer).title,
        scope_kind=scope_kind,
        scope_name=scope_name,
        trustworthiness=None,
        n_neighbors=config.n_neighbors,
        min_dist=config.min_dist,
        seed=config.seed,
        fitted=0,
        shown=0,
        has_synthetic=False,
        state="running",
        message="",
        path=target / f"{key}.json",
        points=projection.points_key(path),
    )
    projection.write_map_info(info)
    _spawn(["project", run_id, layer, "--scope", scope_kind, "--name", scope_name], target / "log.txt")
    return key


def make_projection(run_id: str, layer: str, scope_kind: str, scope_name: str) -> projection.MapInfo:
    """What the background process does: make the map, or leave its failure in the map's document."""
    path = runs.find_run(run_id)
    config = projection_config(path)
    workspace = map_workspace(path)
    try:
        return projection.project(path, layer, scope_kind, scope_name, config, workspace)
    except Exception as error:
        key = projection.map_key(path, layer, scope_kind, scope_name, config)
        for info in projection.list_maps(path, workspace):
            if info.key == key and info.state == "running":
                words = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
                projection.write_map_info(replace(info, state="failed", message=words))
        raise


def projection_config(path: Path) -> ProjectionConfig:
    """The projection settings of a run's spec."""
    state = runs.read_state(path)
    if not state.mapped:
        raise UserError(f"The run '{path.name}' keeps no points to draw a map of: run it again to its end.")
    return (resolve_compare if state.comparison else resolve_config)(runs.read_spec(path)).projection


def map_workspace(path: Path) -> Path | None:
    """Where maps of a shipped (read-only) run go; None for the workspace's own runs."""
    return runs.home() if runs.read_state(path).shipped else None


def _allowed() -> None:
    if runs.readonly():
        raise UserError("This is a read-only demonstration (GELDA_READONLY=1): jobs cannot be started here.")


def _queue(state: runs.RunState, command: list[str] | None = None) -> None:
    """Start a run's work in a process of its own."""
    recording.forget_cancel(state.path)
    state.status, state.error = "queued", None
    runs.save_state(state)
    _spawn(command or ["run-stored", state.id], state.path / "log.txt")


def _spawn(arguments: list[str], log: Path) -> None:
    processes.start(arguments, log)
