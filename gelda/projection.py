"""The maps of a run: made of its points, kept under their settings, named, listed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gelda import embedding
from gelda.artifacts import (
    FORMAT,
    content_key,
    map_array,
    now,
    read_arrays,
    read_json,
    read_table,
    write_json,
    write_tensors,
)
from gelda.errors import UserError
from gelda.seeds import numpy_generator
from gelda.settings import ProjectionConfig

SCOPES = ("all", "class", "subdomain")
WAIT = "UMAP is compiled first, once"
LOST = 120.0  # seconds without a sign of life after which a map is no longer being made
SETTINGS = ("n_neighbors", "min_dist", "metric", "seed", "pca", "fit_on")


@dataclass(frozen=True)
class MapInfo:
    """One map of a run. trustworthiness in [0, 1] of the real points that shape it (15 neighbours).

    state: running, done or failed, and then `message` says why. Maps of earlier releases lack what has a
    default: they were fitted on all dimensions (pca 0).
    """

    key: str
    layer: str
    layer_title: str
    scope_kind: str
    scope_name: str
    trustworthiness: float | None
    n_neighbors: int
    min_dist: float
    seed: int
    fitted: int
    shown: int
    has_synthetic: bool
    state: str
    message: str
    path: Path
    points: str = ""  # key of the points it was made of
    metric: str = "euclidean"
    pca: int = 0
    fit_on: int = 2000
    created: str = ""  # UTC, ISO 8601: when it was asked for
    seconds: float | None = None  # that making it took, without the compiling
    compiling: float | None = None  # seconds until UMAP was ready; None: not told apart
    name: str = ""  # what a person calls it
    aligned: bool = False  # laid out together with the run's other layers (gelda/aligned_maps.py)

    @property
    def settings(self) -> dict[str, Any]:
        """Its ProjectionConfig, as far as it is known."""
        return {name: getattr(self, name) for name in SETTINGS}

    @property
    def scope(self) -> tuple[str, str, str]:
        """What it shows: layer, kind and name of the scope."""
        return self.layer, self.scope_kind, self.scope_name


@dataclass(frozen=True)
class LayerInfo:
    """A layer that can be looked at; synthetic latents exist from the generation layer on."""

    name: str
    title: str
    dim: int
    has_synthetic: bool
    generation_layer: bool


def project(
    run: Path,
    layer: str,
    scope_kind: str,
    scope_name: str,
    config: ProjectionConfig,
    workspace: Path | None = None,
    name: str = "",
) -> MapInfo:
    """Make one map of a run's points and keep it under its own key; an existing one is returned."""
    value = planned(run, layer, scope_kind, scope_name, config, workspace, name)
    finished = made_maps(run, workspace)
    if value.key in finished:
        return finished[value.key]
    compiling, started = round(embedding.ready(), 2), time.perf_counter()
    points, info = load_points(run), layer_info(run, layer)
    inside = in_scope(run, points, scope_kind, scope_name)
    latents = map_latents(run, layer)
    shaping, placed, rows = parts(points, inside, info.has_synthetic, config)
    here, others = (latents[part].astype(np.float32) for part in (shaping, placed))
    made = embedding.embed(here, others, config, rows)
    place = np.full((len(points), 2), np.nan, np.float32)
    place[shaping], place[placed] = made.real, made.others
    write_tensors(value.path.with_suffix(".safetensors"), {"xy": place})
    value = replace(
        value,
        trustworthiness=round(made.trustworthiness, 4),
        fitted=made.fitted,
        shown=len(shaping) + len(placed),
        seconds=round(time.perf_counter() - started, 2),
        compiling=compiling,
        state="done",
    )
    write_map_info(value)
    return value


def parts(
    points: pd.DataFrame, inside: NDArray[np.bool_], has_synthetic: bool, config: ProjectionConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows that shape a map, rows that are only placed on it, and which of the first UMAP is fitted on."""
    synthetic = (points["origin"] == "synthetic").to_numpy()
    own = ~synthetic & (points["split"] != "test").to_numpy()  # test items never shape a map
    shaping = np.flatnonzero(inside & own)
    placed = np.flatnonzero(inside & ~own & (has_synthetic | ~synthetic))
    cell = pd.factorize(pd.MultiIndex.from_frame(points[["label", "subdomain"]].iloc[shaping]))[0]
    return shaping, placed, thinned(cell, config.fit_on, numpy_generator(config.seed, "map"))


def planned(
    run: Path,
    layer: str,
    scope_kind: str,
    scope_name: str,
    config: ProjectionConfig,
    workspace: Path | None = None,
    name: str = "",
    together: Sequence[str] = (),
) -> MapInfo:
    """The document of a map that is to be made: running, nothing of it is known yet.

    together: the layers it is laid out with, where it is not on its own.
    """
    info, points = layer_info(run, layer), points_key(run)
    setting = [config.model_dump(), *([list(together)] if together else [])]
    key = content_key("map", points, layer, scope_kind, scope_name, *setting)
    return MapInfo(
        key=key,
        layer=layer,
        layer_title=info.title,
        scope_kind=scope_kind,
        scope_name=scope_name,
        trustworthiness=None,
        fitted=0,
        shown=0,
        has_synthetic=info.has_synthetic,
        state="running",
        message="",
        path=maps_folders(run, workspace)[-1] / f"{key}.json",
        points=points,
        created=now(),
        name=name,
        aligned=bool(together),
        **config.model_dump(),
    )


def write_map_info(info: MapInfo) -> None:
    """Write a map's document (also while it is being made, or when it failed)."""
    value = asdict(info)
    del value["path"]
    write_json(info.path, {"format": FORMAT, **value})


def points_key(run: Path) -> str:
    """Content key of a run's points: a map of other points must not be drawn over them."""
    return read_json(Path(run) / "points.json")["key"]


def in_scope(run: Path, points: pd.DataFrame, kind: str, name: str) -> NDArray[np.bool_]:
    """Which points a scope holds, bool [N]."""
    if kind == "all":
        return np.ones(len(points), bool)
    meta = read_json(run / "meta.json")
    axes = {"class": ("label", meta["class_names"]), "subdomain": ("subdomain", meta["subdomain_names"])}
    if kind not in axes:
        raise UserError(f"The scope '{kind}' is not one of {', '.join(SCOPES)}.")
    column, names = axes[kind]
    if name not in names:
        raise UserError(f"There is no {kind} called '{name}'; there are {', '.join(names)}.")
    return (points[column] == names.index(name)).to_numpy()


def maps_folders(run: Path, workspace: Path | None = None) -> list[Path]:
    """Where a run's maps lie; new ones go to the last. A shipped run is read-only: its new maps
    go to the workspace."""
    own = Path(run) / "maps"
    return [own, workspace / "maps" / Path(run).name] if workspace else [own]


def load_points(run: Path) -> pd.DataFrame:
    """One row a point of the run's displayed seed: real (train, dev or test) first, then synthetic."""
    return read_table(Path(run) / "points.parquet")


def load_latents(run: Path, layer: str) -> NDArray[np.float32]:
    """Standardised latents of a layer [N, D], rows as in `load_points`; NaN where a layer has none."""
    return read_arrays(Path(run) / "points" / f"{layer}.safetensors")["z"].astype(np.float32)


def map_latents(run: Path, layer: str) -> NDArray[np.float16]:
    """The same on disk, fp16 and read-only: for a page that asks for few rows of a large run."""
    return map_array(Path(run) / "points" / f"{layer}.safetensors", "z")


def thinned(cell: NDArray[np.integer], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """At most `most` of the rows [N], in order: small cells stay whole, the largest ones lose rows."""
    if len(cell) <= most:
        return np.arange(len(cell))
    order = rng.permutation(len(cell))
    place = pd.Series(cell[order]).groupby(cell[order]).cumcount().to_numpy()  # of a row in its cell
    return np.sort(order[np.argsort(place, kind="stable")[:most]])


def layers(run: Path) -> list[LayerInfo]:
    """Layers of a run in depth order."""
    return [LayerInfo(**value) for value in read_json(Path(run) / "points.json")["layers"]]


def generation_layer(run: Path) -> str:
    """The layer that synthetic latents are made at."""
    return next(layer.name for layer in layers(run) if layer.generation_layer)


def layer_info(run: Path, name: str) -> LayerInfo:
    """One layer by name, or an error that lists them."""
    known = {layer.name: layer for layer in layers(run)}
    if name not in known:
        raise UserError(f"There is no layer called '{name}' in this run; there are {', '.join(known)}.")
    return known[name]


def list_maps(run: Path, workspace: Path | None = None) -> list[MapInfo]:
    """All maps of a run's present points that can be read; the generation layer's come first."""
    if not (Path(run) / "points.json").is_file():
        return []
    found: list[MapInfo] = []
    present = points_key(run)
    order = {layer.name: (not layer.generation_layer, i) for i, layer in enumerate(layers(run))}
    for folder in maps_folders(run, workspace):
        found += [m for m in read_maps(sorted(folder.glob("*.json"))) if m.points in ("", present)]
    place = {info.key: order.get(info.layer, (True, len(order))) for info in found}
    found.sort(key=lambda m: (*place[m.key], m.scope_kind, m.scope_name, not m.aligned))
    return [_whole(info, found) for info in found]


def _whole(info: MapInfo, maps: Sequence[MapInfo]) -> MapInfo:
    """A map that is made with other layers' is there when all of them are."""
    if not info.aligned or info.state != "done":
        return info
    open_ = [m for m in maps if m.aligned and m.settings == info.settings and m.state != "done"]
    return replace(info, state=open_[0].state, message=open_[0].message) if open_ else info


def made_maps(run: Path, workspace: Path | None = None) -> dict[str, MapInfo]:
    """The finished maps of a run's present points, by key."""
    known = [info for info in list_maps(run, workspace) if info.state == "done"]
    return {info.key: info for info in known if info.path.with_suffix(".safetensors").is_file()}


def load_map(run: Path, key: str, workspace: Path | None = None) -> NDArray[np.float32]:
    """Coordinates [N, 2] of a map; NaN rows are not in it."""
    for folder in maps_folders(run, workspace):
        if (folder / f"{key}.safetensors").is_file():
            return read_arrays(folder / f"{key}.safetensors")["xy"]
    raise UserError(f"There is no map '{key}' in the run {Path(run).name}: make it again.")


def rename_map(info: MapInfo, name: str) -> None:
    """Give a map another name; "" takes it away."""
    write_map_info(replace(info, name=" ".join(name.split())[:60]))


def delete_map(info: MapInfo) -> None:
    """Delete a map; it can be made again."""
    for suffix in (".json", ".safetensors"):
        info.path.with_suffix(suffix).unlink(missing_ok=True)


def read_maps(documents: Iterable[Path]) -> Iterator[MapInfo]:
    """Maps whose documents can be read; a map is cheap: a broken one is offered again."""
    for document in documents:
        try:
            value = read_json(document)
            value.pop("format", None)
            info = MapInfo(path=document, **value)
        except (UserError, TypeError):
            continue
        if info.state == "running" and time.time() - document.stat().st_mtime > LOST:
            info = replace(info, state="failed", message="Making this map was interrupted: make it again.")
        yield info
