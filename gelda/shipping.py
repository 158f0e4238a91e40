"""The finished run that ships with the product: a run folder without what can be made again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from gelda import aligned_maps, generator_kit, kit, layer_maps, projection, runs
from gelda.artifacts import read_json, write_json
from gelda.config import RunConfig
from gelda.encoders import assets
from gelda.errors import UserError

FILES = (
    "spec.json", "run.json", "report.json", "meta.json", "points.parquet", "neighbours.safetensors",
    *generator_kit.FILES, *kit.FILES,
)  # fmt: skip


def ship(
    run: Path,
    name: str,
    layers: Sequence[str],
    remark: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Copy a finished run to assets/runs/NAME with every map of `layers`; returns the folder.

    Maps: each layer of everything, laid out together where they can be, and the generation layer of each
    class and each subdomain.
    Weights and stage artifacts stay behind; latents of `layers` go along (fp16), so that a person
    can still make other maps. `remark` is what must stand beside
    the figures, such as another run's result.
    """
    if runs.read_state(run).status != "done":
        raise UserError(f"The run {run.name} is not finished: only a finished run can ship.")
    meta = read_json(run / "meta.json")
    generator_kit.load(run)  # it goes along: said now where it is missing
    config = RunConfig.model_validate(runs.read_spec(run)).projection
    known = projection.layers(run)
    unknown = set(layers) - {info.name for info in known}
    if unknown:
        raise UserError(f"The run {run.name} has no layer {', '.join(sorted(unknown))}.")
    kept = [info for info in known if info.name in layers]
    generated = [info.name for info in kept if info.generation_layer]
    together = not aligned_maps.refusal(run, config)
    wanted = [] if together else [(info.name, "all", "") for info in kept]
    wanted += [(g, "class", c) for g in generated for c in meta["class_names"]]
    wanted += [(g, "subdomain", s) for g in generated for s in meta["subdomain_names"]]
    maps = []
    if together:
        say("maps of all layers together")
        maps = [made for made in aligned_maps.project(run, config) if made.layer in layers]
    for number, (layer, kind, scope) in enumerate(wanted):
        say(f"map {number + 1} of {len(wanted)}: {layer} {scope or 'everything'}")
        maps.append(projection.project(run, layer, kind, scope, config))

    target = assets() / "runs" / name
    shutil.rmtree(target, ignore_errors=True)
    (target / "points").mkdir(parents=True)
    (target / "maps").mkdir()
    for file in FILES:
        shutil.copy(run / file, target / file)
    for info in kept:
        shutil.copy(run / "points" / f"{info.name}.safetensors", target / "points")
    for made in maps:
        for suffix in (".json", ".safetensors"):
            shutil.copy(made.path.with_suffix(suffix), target / "maps")
    document = read_json(run / "points.json")
    document["layers"] = [layer for layer in document["layers"] if layer["name"] in layers]
    write_json(target / "points.json", document)
    layer_maps.write_change(target)  # between the layers that ship
    state = read_json(run / "run.json")
    state.update(id=name, pid=None, host=None)
    write_json(target / "run.json", state)
    report = read_json(run / "report.json")
    write_json(target / "report.json", {**report, "run": name, "remark": remark})
    return target
