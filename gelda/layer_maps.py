"""From layer to layer: maps turned to lie alike, and how many neighbours a latent changes on the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gelda import projection
from gelda.artifacts import FORMAT, read_json, write_json
from gelda.embedding import NEIGHBOURS, knn
from gelda.projection import MapInfo, thinned
from gelda.seeds import numpy_generator
from gelda.settings import ProjectionConfig

FILE = "neighbourhoods.json"
SAMPLE = 2000  # points whose neighbours are compared
FEW = 3  # shared points that a turn needs
SAME = ("n_neighbors", "min_dist", "metric", "seed")  # what the map that others are turned to must share


def anchor(run: Path, maps: Sequence[MapInfo], config: ProjectionConfig) -> MapInfo | None:
    """The map that all others of a run are turned to: everything at the generation layer, made with the
    run's own settings, the one laid out with the other layers where there is one. So a turn never depends
    on which maps were made first."""
    here, wanted = projection.generation_layer(run), config.model_dump()
    known = [
        info
        for info in maps
        if info.state == "done"
        and info.scope == (here, "all", "")
        and all(getattr(info, name) == wanted[name] for name in SAME)
    ]
    return min(known, key=lambda m: (not m.aligned, m.pca != config.pca, m.created, m.key), default=None)


def turned(
    place: NDArray[np.float32], to: NDArray[np.float32], shared: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Places [N, 2] rotated, mirrored, scaled and moved onto others [N, 2] (Procrustes on `shared` rows that
    both have). Nothing else changes: it is the same map. Size is the shared rows' spread in both."""
    both = shared & np.isfinite(place).all(1) & np.isfinite(to).all(1)
    if both.sum() < FEW:
        return place
    own, other = place[both].astype(np.float64), to[both].astype(np.float64)
    centre, target = own.mean(0), other.mean(0)
    own, other = own - centre, other - target
    spread = np.linalg.norm(own)
    if spread == 0:
        return place
    left, _, right = np.linalg.svd(own.T @ other)
    matrix = (left @ right) * (np.linalg.norm(other) / spread)
    return ((place - centre) @ matrix + target).astype(np.float32)


def neighbour_change(layers: Sequence[NDArray[np.float32]], seed: int = 0) -> tuple[list[float], int, int]:
    """Share of a point's nearest neighbours that differ from each layer [N, D] to the next.

    Measured of at most SAMPLE points against all; returns the shares, the neighbours and the points counted.
    """
    count = len(layers[0])
    k = min(NEIGHBOURS, count - 2)
    rows = np.sort(numpy_generator(seed, "layers").permutation(count)[:SAMPLE])
    found = []
    for z in layers:
        near, _ = knn(z[rows], z, k + 1)
        found.append([set(own[own != row][:k]) for own, row in zip(near, rows, strict=True)])
    pairs = zip(found, found[1:], strict=False)
    kept = [np.mean([len(a & b) for a, b in zip(*pair, strict=True)]) / k for pair in pairs]
    return [round(1 - float(share), 4) for share in kept], k, len(rows)


def write_change(run: Path, workspace: Path | None = None) -> None:
    """Measure it of a run's real training points, once, and keep it in neighbourhoods.json."""
    if load_change(run, workspace) is not None:
        return
    points, layers = projection.load_points(run), projection.layers(run)
    train = np.flatnonzero((points["split"] == "train").to_numpy())
    train = train[thinned(points["label"].to_numpy()[train], 10 * SAMPLE, numpy_generator(0, "layers"))]
    shares: list[float] = []
    k = sampled = 0
    if len(train) > FEW and len(layers) > 1:
        whole = [projection.map_latents(run, layer.name) for layer in layers]
        latents = [z[train].astype(np.float32) for z in whole]
        shares, k, sampled = neighbour_change(latents)
    write_json(
        _document(run, workspace),
        {
            "format": FORMAT,
            "points": projection.points_key(run),
            "neighbours": k,
            "sampled": sampled,
            "change": [
                {"from": a.name, "to": b.name, "share": share}
                for a, b, share in zip(layers, layers[1:], shares, strict=False)
            ],
        },
    )


def load_change(run: Path, workspace: Path | None = None) -> dict[str, Any] | None:
    """What `write_change` kept of the run's present points; None where it has not been measured."""
    for path in (_document(run, None), _document(run, workspace)):
        if path.is_file():
            found = read_json(path)
            if found["points"] == projection.points_key(run):
                return found
    return None


def _document(run: Path, workspace: Path | None) -> Path:
    return (Path(run) if workspace is None else projection.maps_folders(run, workspace)[-1]) / FILE
