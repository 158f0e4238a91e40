"""Maps of neighbouring layers: laid out together (ours), each alone and turned, umap-learn's AlignedUMAP.

    python benchmarks/alignment.py            # the shipped digits run: about five minutes on 1 core

Both see the real points' latents on the same principal components, with the run's own map settings. Prints
for each pair of neighbouring layers how far a point moves (mean distance over the root-mean-square radius of
the two maps), for each layer trustworthiness, and the seconds of all layers together, compiled beforehand.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gelda import aligned_maps, layer_maps, projection, runs
from gelda.config import RunConfig
from gelda.embedding import embed, reduce, trustworthiness
from gelda.settings import ProjectionConfig

Maps = list[NDArray[np.float32]]
REGULARISATION = (0.01, 0.1)  # AlignedUMAP's own, and a stronger tie


def together(latents: Maps, config: ProjectionConfig, anchor: int) -> Maps:
    """What a run's aligned maps are."""
    rows = np.arange(len(latents[0]))
    made = aligned_maps.lay_out(latents, [z[:0] for z in latents], config, rows, anchor)
    return [one.real for one in made]


def turned(latents: Maps, config: ProjectionConfig, anchor: int) -> Maps:
    """Each layer's own UMAP, turned onto that of the layer `anchor`."""
    none = [z[:0] for z in latents]
    places = [embed(z, no, config).real for z, no in zip(latents, none, strict=True)]
    every = np.ones(len(latents[0]), bool)
    return [layer_maps.turned(place, places[anchor], every) for place in places]


def begun(latents: Maps, config: ProjectionConfig, anchor: int) -> Maps:
    """Each layer's UMAP begun where the next one towards the layer `anchor` ended, then turned onto it."""
    import umap

    reduced = [reduce(z, z[:0], config.pca)[0] for z in latents]
    every, places = (
        np.ones(len(latents[0]), bool),
        {anchor: embed(latents[anchor], latents[anchor][:0], config).real},
    )
    for k in [*range(anchor - 1, -1, -1), *range(anchor + 1, len(latents))]:
        start = places[k + 1 if k < anchor else k - 1]
        mapper = umap.UMAP(
            n_neighbors=config.n_neighbors, min_dist=config.min_dist, random_state=config.seed, init=start
        )
        places[k] = layer_maps.turned(mapper.fit_transform(reduced[k]), start, every)
    return [places[k] for k in range(len(latents))]


def aligned(latents: Maps, config: ProjectionConfig, strength: float) -> Maps:
    """AlignedUMAP with every point related to itself in the next layer."""
    import umap

    reduced = [reduce(z, z[:0], config.pca)[0] for z in latents]
    same = {i: i for i in range(len(latents[0]))}
    mapper = umap.AlignedUMAP(
        n_neighbors=config.n_neighbors,
        min_dist=config.min_dist,
        random_state=config.seed,
        transform_seed=config.seed,
        alignment_regularisation=strength,
    )
    return [np.asarray(z) for z in mapper.fit_transform(reduced, relations=[same] * (len(latents) - 1))]


def displacement(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """How far points move from one map to the next, over the maps' radius."""
    radius = np.sqrt(np.mean([((z - z.mean(0)) ** 2).sum(1).mean() for z in (one, other)]))
    return float(np.linalg.norm(one - other, axis=1).mean() / radius)


def main() -> None:
    warnings.simplefilter("ignore")
    run = runs.find_run("digits")
    config = RunConfig.model_validate(runs.read_spec(run)).projection
    points, layers = projection.load_points(run), projection.layers(run)
    real = np.flatnonzero((points["origin"] == "real").to_numpy())
    latents = [projection.load_latents(run, layer.name)[real].astype(np.float32) for layer in layers]
    anchor = next(k for k, layer in enumerate(layers) if layer.generation_layer)
    ways: dict[str, Callable[[Maps], Maps]] = {
        "together (ours)": lambda z: together(z, config, anchor),
        "each alone, turned": lambda z: turned(z, config, anchor),
        "begun from the next layer": lambda z: begun(z, config, anchor),
    }
    for strength in REGULARISATION:
        ways[f"AlignedUMAP, {strength:g}"] = lambda z, s=strength: aligned(z, config, s)  # type: ignore[misc]
    names = [layer.name for layer in layers]
    pairs = [f"{a} → {b}" for a, b in zip(names, names[1:], strict=False)]
    print(f"{len(real)} points, {len(layers)} layers")
    print("| maps | " + " | ".join([*pairs, "mean", *(f"T {name}" for name in names), "seconds"]) + " |")
    print("|---" * (len(pairs) + len(names) + 3) + "|")
    for name, make in ways.items():
        make([z[:100] for z in latents])  # compiles
        started = time.process_time()
        maps = make(latents)
        seconds = time.process_time() - started
        moved = [displacement(a, b) for a, b in zip(maps, maps[1:], strict=False)]
        trust = [trustworthiness(z, place, config.seed) for z, place in zip(latents, maps, strict=True)]
        figures = [f"{v:.3f}" for v in (*moved, np.mean(moved), *trust)]
        print(f"| {name} | " + " | ".join([*figures, f"{seconds:.1f}"]) + " |", flush=True)


if __name__ == "__main__":
    main()
