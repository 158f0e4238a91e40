"""Runs and maps as processes of their own: start, resume, cancel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gelda import aligned_maps, layer_maps, processes, projection, recording, runs, samples, slots
from gelda.compare_config import resolve_compare
from gelda.config import resolve_config
from gelda.errors import UserError, sentence
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
    process starts, several at once: the id is that of the first, and what is finished is found again.
    """
    _allowed()
    preset = preset or os.environ.get("GELDA_DEMO_PRESET") or name
    if name == "speech":
        from gelda import speech_demo

        more = [f"--seeds={seeds}"] if seeds else []
        with recording.starting():
            state = speech_demo.prepared()
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
    with recording.starting():
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
    with recording.starting():
        state = extraction_runs.prepared(config)
        _queue(state)
    return state.id


def start_probe(path: str) -> str:
    """Start the probe of a bank's layers in the background, or go on with it; returns the run's id."""
    from gelda import layer_probe
    from gelda.ready import open_bank

    _allowed()
    bank = open_bank(Path(path).expanduser())
    with recording.starting():
        state = layer_probe.prepared(Path(path), bank)
        _queue(state)
    return state.id


def start_study(asked: str | dict[str, Any], seeds: int, preset: str = "digits") -> str:
    """Start a ready-made study or a person's own grid (`grids.from_spec`) in the background, or go on.

    Returns the run's id. A setting that cannot be is a UserError before anything starts.
    """
    from gelda import ablation, grids, studies

    _allowed()
    study, shared = (studies.get(asked), {}) if isinstance(asked, str) else grids.from_spec(asked, "The grid")
    base = resolve_config({**shared, "seeds": seeds}, preset)
    ablation.check(study, base)
    with recording.starting():
        state, done = ablation.prepared(study, base)
        if not done:
            _queue(state)
    return state.id


def resume(run_id: str) -> None:
    """Start an interrupted, failed or cancelled run again; finished stages are reused."""
    _allowed()
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
        _queue(_stopped(path))


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
    _allowed()
    path = runs.find_run(run_id)
    state = runs.read_state(path)
    if state.status not in runs.ALIVE:
        raise UserError(f"The run '{run_id}' is not going: its status is {state.status}.")
    (path / "cancel").touch()


def to_front(run_id: str) -> None:
    """Move a waiting run before all others that wait."""
    _allowed()
    slots.to_front(runs.read_state(runs.find_run(run_id)))


def earlier(run_id: str) -> None:
    """Move a waiting run one place forward."""
    _allowed()
    slots.earlier(runs.read_state(runs.find_run(run_id)))


def start_projection(
    run_id: str,
    layer: str,
    scope_kind: str = "all",
    scope_name: str = "",
    config: ProjectionConfig | None = None,
    name: str = "",
) -> str:
    """Start making a map in the background; returns its key. `projection.list_maps` shows its state.

    config: other settings than the run's own; name: what to call the map.
    """
    return start_projections(run_id, [(layer, scope_kind, scope_name)], config, name)[0]


def start_projections(
    run_id: str,
    wanted: Sequence[tuple[str, str, str]],
    config: ProjectionConfig | None = None,
    name: str = "",
) -> list[str]:
    """Start making several maps (layer, scope's kind, scope's name), one after another in one process.

    Also measures how neighbourhoods change from layer to layer where that is not known yet, so it is not
    wrong to want no map at all.
    """
    _allowed()
    path = runs.find_run(run_id)
    config, workspace = config or projection_config(path), map_workspace(path)
    maps = [projection.planned(path, *scope, config, workspace, name) for scope in wanted]
    finished = projection.made_maps(path, workspace)
    for info in maps:
        if info.key not in finished:  # its document would say that it is being made, and nobody makes it
            projection.write_map_info(info)
    log = projection.maps_folders(path, workspace)[-1] / "log.txt"
    _spawn(["project-stored", run_id, *(info.key for info in maps)], log)
    return [info.key for info in maps]


def start_aligned(run_id: str, config: ProjectionConfig | None = None) -> list[str]:
    """Start making the maps of all layers together; returns their keys.

    Where they cannot be (`aligned_maps.refusal`), each layer gets a map of its own.
    """
    _allowed()
    path = runs.find_run(run_id)
    config, workspace = config or projection_config(path), map_workspace(path)
    if aligned_maps.refusal(path, config):
        each = [(layer.name, "all", "") for layer in projection.layers(path)]
        return start_projections(run_id, each, config)
    maps = aligned_maps.planned(path, config, workspace)
    if not {info.key for info in maps} <= set(projection.made_maps(path, workspace)):
        for info in maps:
            projection.write_map_info(info)
    log = projection.maps_folders(path, workspace)[-1] / "log.txt"
    _spawn(["project-stored", run_id, *(info.key for info in maps)], log)
    return [info.key for info in maps]


def make_projections(run_id: str, keys: Sequence[str]) -> int:
    """What the background process does; returns how many maps failed: their documents say why."""
    path = runs.find_run(run_id)
    workspace = map_workspace(path)
    waiting = [m for m in projection.list_maps(path, workspace) if m.key in keys and m.state == "running"]
    waiting.sort(key=lambda m: keys.index(m.key))
    failed = 0
    alive = [info.path for info in waiting]
    with recording.beating(alive):
        together = [info for info in waiting if info.aligned]
        if together:
            waiting = [info for info in waiting if not info.aligned]
            config = ProjectionConfig(**together[0].settings)
            try:
                aligned_maps.project(path, config, workspace, together[0].name)
            except Exception as error:  # each layer still gets a map of its own, which says why
                why = f"Its layers could not be laid out together: {sentence(error)}"
                for info in together:
                    projection.delete_map(info)
                    single = projection.planned(path, *info.scope, config, workspace, info.name)
                    waiting.append(replace(single, message=why))
                    projection.write_map_info(waiting[-1])
                    alive.append(single.path)
        for info in waiting:
            try:
                config = ProjectionConfig(**info.settings)
                made = projection.project(path, *info.scope, config, workspace, info.name)
                if info.message:
                    projection.write_map_info(replace(made, message=info.message))
            except Exception as error:
                failed += 1
                projection.write_map_info(replace(info, state="failed", message=sentence(error)))
        layer_maps.write_change(path, workspace)
    return failed


def start_samples(run_id: str, request: samples.SampleRequest) -> str:
    """Start drawing latents to look at in the background; returns their key for `samples.find`."""
    _allowed()
    path = runs.find_run(run_id)
    name = samples.note(path, request, "running")
    _spawn(["draw-stored", run_id, name], samples.folders(path)[-1] / "log.txt")
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
    """Start a run's work in a process of its own, which waits for its turn (slots.py)."""
    recording.forget_cancel(state.path)
    state.status, state.error, state.pid = "queued", None, None
    slots.join(state.path)
    runs.save_state(state)
    _spawn(["queued", state.id, "--", *(command or ["run-stored", state.id])], state.path / "log.txt")


def _spawn(arguments: list[str], log: Path) -> int:
    return processes.start(arguments, log).pid
