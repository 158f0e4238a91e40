"""Maps of a run's latents, drawn in a process of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gelda import aligned_maps, jobs, layer_maps, projection, recording, runs
from gelda.compare_config import resolve_compare
from gelda.config import resolve_config
from gelda.errors import UserError, sentence
from gelda.projection import MapInfo
from gelda.settings import ProjectionConfig


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
    jobs.allowed()
    path = runs.find_run(run_id)
    config, workspace = config or projection_config(path), map_workspace(path)
    maps = [projection.planned(path, *scope, config, workspace, name) for scope in wanted]
    finished = projection.made_maps(path, workspace)
    for info in maps:
        if info.key not in finished:  # its document would say that it is being made, and nobody makes it
            projection.write_map_info(info)
    return _spawned(path, workspace, maps)


def start_aligned(run_id: str, config: ProjectionConfig | None = None) -> list[str]:
    """Start making the maps of all layers together; returns their keys.

    Where they cannot be (`aligned_maps.refusal`), each layer gets a map of its own.
    """
    jobs.allowed()
    path = runs.find_run(run_id)
    config, workspace = config or projection_config(path), map_workspace(path)
    if aligned_maps.refusal(path, config):
        each = [(layer.name, "all", "") for layer in projection.layers(path)]
        return start_projections(run_id, each, config)
    maps = aligned_maps.planned(path, config, workspace)
    if not {info.key for info in maps} <= set(projection.made_maps(path, workspace)):
        for info in maps:
            projection.write_map_info(info)
    return _spawned(path, workspace, maps)


def _spawned(path: Path, workspace: Path | None, maps: Sequence[MapInfo]) -> list[str]:
    """Start the process that makes the maps; returns their keys."""
    keys = [info.key for info in maps]
    log = projection.maps_folders(path, workspace)[-1] / "log.txt"
    jobs.spawn(["project-stored", path.name, *keys], log)
    return keys


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


def projection_config(path: Path) -> ProjectionConfig:
    """The projection settings of a run's spec."""
    state = runs.read_state(path)
    if not state.mapped:
        raise UserError(f"The run '{path.name}' keeps no points to draw a map of: run it again to its end.")
    return (resolve_compare if state.comparison else resolve_config)(runs.read_spec(path)).projection


def map_workspace(path: Path) -> Path | None:
    """Where maps of a shipped (read-only) run go; None for the workspace's own runs."""
    return runs.home() if runs.read_state(path).shipped else None
