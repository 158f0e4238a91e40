"""Maps: UMAP fitted on real latents, synthetic and test ones transformed; trustworthiness; neighbours."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gelda.artifacts import (
    FORMAT,
    content_key,
    read_arrays,
    read_json,
    read_table,
    write_json,
    write_tensors,
)
from gelda.errors import UserError
from gelda.metrics import nearest
from gelda.seeds import numpy_generator
from gelda.settings import ProjectionConfig

SCOPES = ("all", "class", "subdomain")
NEIGHBOURS = 8
WAIT = "UMAP is compiled first, about 25 s"


@dataclass(frozen=True)
class MapInfo:
    """One map of a run. trustworthiness in [0, 1] of the fitted real points (15 neighbours)."""

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


@dataclass(frozen=True)
class LayerInfo:
    """A layer that can be looked at; synthetic latents exist from the generation layer on."""

    name: str
    title: str
    dim: int
    has_synthetic: bool
    generation_layer: bool


def fit_map(
    real: NDArray[np.float32], others: NDArray[np.float32], config: ProjectionConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32], float, int]:
    """UMAP (arXiv 1802.03426) of real [N, D]; others [M, D] are only transformed.

    Fitted on at most `fit_on` real rows (drawn by the seed), the rest is transformed too. Returns
    coordinates [N, 2], [M, 2], the trustworthiness of the fitted rows and their number.
    """
    import warnings

    import umap
    from sklearn.manifold import trustworthiness

    if len(real) < 5:
        raise UserError(f"A map needs at least 5 real latents; this selection has {len(real)}.")
    rows = np.sort(numpy_generator(config.seed, "map").permutation(len(real))[: config.fit_on])
    neighbours = min(config.n_neighbors, len(rows) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that a seed costs it its threads: that is wanted
        reducer = umap.UMAP(
            n_neighbors=neighbours,
            min_dist=config.min_dist,
            metric=config.metric,
            random_state=config.seed,
            init="pca",  # spectral starts differ between runs of one seed
        ).fit(real[rows])
        place = np.zeros((len(real), 2), np.float32)
        place[rows] = reducer.embedding_
        rest = np.setdiff1d(np.arange(len(real)), rows)
        if len(rest):
            place[rest] = reducer.transform(real[rest])
        moved = reducer.transform(others) if len(others) else np.zeros((0, 2), np.float32)
    score = trustworthiness(
        real[rows], place[rows], n_neighbors=min(15, max(1, len(rows) // 2 - 1)), metric=config.metric
    )
    return place, moved.astype(np.float32), float(score), len(rows)


def project(
    run: Path,
    layer: str,
    scope_kind: str,
    scope_name: str,
    config: ProjectionConfig,
    workspace: Path | None = None,
) -> MapInfo:
    """Make one map of a run's points and keep it under its own key; an existing one is returned."""
    points, info = load_points(run), layer_info(run, layer)
    key = map_key(run, layer, scope_kind, scope_name, config)
    for folder in maps_folders(run, workspace):
        document = folder / f"{key}.json"
        if (folder / f"{key}.safetensors").is_file() and document.is_file():
            return _map_info(document)
    inside = in_scope(run, points, scope_kind, scope_name)
    synthetic = (points["origin"] == "synthetic").to_numpy()
    latents = load_latents(run, layer)
    own = ~synthetic & (points["split"] != "test").to_numpy()  # test items never shape a map
    fitting = np.flatnonzero(inside & own)
    placed = np.flatnonzero(inside & ~own & (info.has_synthetic | ~synthetic))
    real, others, score, fitted = fit_map(latents[fitting], latents[placed], config)
    place = np.full((len(points), 2), np.nan, np.float32)
    place[fitting], place[placed] = real, others
    write_tensors(folder / f"{key}.safetensors", {"xy": place})
    value = MapInfo(
        key=key,
        layer=layer,
        layer_title=info.title,
        scope_kind=scope_kind,
        scope_name=scope_name,
        trustworthiness=round(score, 4),
        n_neighbors=config.n_neighbors,
        min_dist=config.min_dist,
        seed=config.seed,
        fitted=fitted,
        shown=len(fitting) + len(placed),
        has_synthetic=info.has_synthetic,
        state="done",
        message="",
        path=document,
        points=points_key(run),
    )
    write_map_info(value)
    return value


def write_map_info(info: MapInfo) -> None:
    """Write a map's document (also while it is being made, or when it failed)."""
    value = asdict(info)
    del value["path"]
    write_json(info.path, {"format": FORMAT, **value})


def map_key(run: Path, layer: str, scope_kind: str, scope_name: str, config: ProjectionConfig) -> str:
    """Content key of a map: its own settings over the points' key, so a new map re-embeds nothing."""
    return content_key("map", points_key(run), layer, scope_kind, scope_name, config.model_dump())


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


def load_neighbours(run: Path) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Rows [N, 8] of the nearest real training points at the generation layer, and distances."""
    value = read_arrays(Path(run) / "neighbours.safetensors")
    return value["index"], value["distance"]


def find_neighbours(latents: NDArray[np.float32], points: pd.DataFrame) -> dict[str, Any]:
    """The table behind `load_neighbours`: a training point's own row is left out."""
    train = np.flatnonzero((points["split"] == "train").to_numpy())
    index = np.full((len(points), NEIGHBOURS), -1, np.int32)
    distance = np.full((len(points), NEIGHBOURS), np.nan, np.float32)
    others = np.setdiff1d(np.arange(len(points)), train)
    for rows, own in ((train, True), (others, False)):
        if len(rows) and len(train) > own:
            found, far = nearest(latents[rows], latents[train], NEIGHBOURS, skip_self=own)
            index[rows, : found.shape[1]] = train[found]
            distance[rows, : found.shape[1]] = far
    return {"index": index, "distance": distance}


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
    found, present = [], points_key(run)
    order = {layer.name: (not layer.generation_layer, i) for i, layer in enumerate(layers(run))}
    for folder in maps_folders(run, workspace):
        for document in sorted(folder.glob("*.json")):
            try:
                info = _map_info(document)
            except (UserError, TypeError):
                continue  # a map is cheap: a broken one is offered again
            if info.points in ("", present):
                found.append(info)
    return sorted(found, key=lambda m: (*order.get(m.layer, (True, len(order))), m.scope_kind, m.scope_name))


def load_map(run: Path, key: str, workspace: Path | None = None) -> NDArray[np.float32]:
    """Coordinates [N, 2] of a map; NaN rows are not in it."""
    for folder in maps_folders(run, workspace):
        if (folder / f"{key}.safetensors").is_file():
            return read_arrays(folder / f"{key}.safetensors")["xy"]
    raise UserError(f"There is no map '{key}' in the run {Path(run).name}: make it again.")


def _map_info(document: Path) -> MapInfo:
    value = read_json(document)
    value.pop("format", None)
    return MapInfo(path=document, **value)
