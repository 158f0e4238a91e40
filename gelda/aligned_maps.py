"""Maps of all layers of a run, laid out together: a point keeps its place from layer to layer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gelda import projection
from gelda.artifacts import write_tensors
from gelda.embedding import Embedding, Exact, among, level, reduce, trustworthiness, unit
from gelda.errors import UserError
from gelda.layer_maps import turned
from gelda.projection import MapInfo
from gelda.seeds import numpy_generator
from gelda.settings import ProjectionConfig

MOST = 20_000  # rows a layer is fitted on at most: above, every layer gets a map of its own
STRENGTH = 0.3  # share of the gap between two layers that a point closes an epoch, from both sides
ROUNDS = 300  # epochs
APART = 5  # points pushed away for each one drawn near: UMAP's own
SIZE = 10.0  # of the first layout, as in UMAP


def planned(
    run: Path, config: ProjectionConfig, workspace: Path | None = None, name: str = ""
) -> list[MapInfo]:
    """The documents of a run's aligned maps, one a layer, each of everything."""
    layers = [layer.name for layer in projection.layers(run)]
    return [
        projection.planned(run, layer, "all", "", config, workspace, name, together=layers)
        for layer in layers
    ]


def refusal(run: Path, config: ProjectionConfig) -> str:
    """Why this run's layers cannot be laid out together with these settings; "" where they can."""
    if len(projection.layers(run)) < 2:
        return "This run has one layer, so there is nothing to lay out together."
    points = projection.load_points(run)
    count = int(((points["origin"] == "real") & (points["split"] != "test")).sum())
    if min(count, config.fit_on) > MOST:
        return f"Layers are laid out together up to {MOST:,} fitted latents; this run's maps take more."
    return ""


def project(
    run: Path, config: ProjectionConfig, workspace: Path | None = None, name: str = ""
) -> list[MapInfo]:
    """Make the aligned maps of every layer, all or none; existing ones are returned.

    Places are written first and the documents last: until the last one says done, none is (`list_maps`).
    """
    started = time.perf_counter()
    wanted, finished = planned(run, config, workspace, name), projection.made_maps(run, workspace)
    if all(info.key in finished for info in wanted):
        return [finished[info.key] for info in wanted]
    why = refusal(run, config)
    if why:
        raise UserError(why)
    points, layers = projection.load_points(run), projection.layers(run)
    inside = np.ones(len(points), bool)
    split = [projection.parts(points, inside, layer.has_synthetic, config) for layer in layers]
    real, others = [], []
    for layer, (shaping, placed, _) in zip(layers, split, strict=True):
        latents = projection.map_latents(run, layer.name)
        real.append(latents[shaping].astype(np.float32))
        others.append(latents[placed].astype(np.float32))
    here = [layer.generation_layer for layer in layers].index(True)
    made = lay_out(real, others, config, split[0][2], here)
    seconds = round((time.perf_counter() - started) / len(layers), 2)
    done = []
    for info, (shaping, placed, _), one in zip(wanted, split, made, strict=True):
        place = np.full((len(points), 2), np.nan, np.float32)
        place[shaping], place[placed] = one.real, one.others
        write_tensors(info.path.with_suffix(".safetensors"), {"xy": place})
        done.append(
            replace(
                info,
                trustworthiness=round(one.trustworthiness, 4),
                fitted=one.fitted,
                shown=len(shaping) + len(placed),
                seconds=seconds,
                compiling=0.0,
                state="done",
            )
        )
    for info in wanted:
        projection.write_map_info(info)
    for info in done:
        projection.write_map_info(info)
    return done


def lay_out(
    real: Sequence[NDArray[np.float32]],
    others: Sequence[NDArray[np.float32]],
    config: ProjectionConfig,
    rows: NDArray[np.integer],
    here: int,
) -> list[Embedding]:
    """Two dimensions for real [N, D] of each layer, the same N points in each; others [M, D] are placed.

    Fitted on the real rows `rows`; the rest and the others lie among their neighbours. All layers are
    turned alike: so that layer `here` lies level. The idea is AlignedUMAP's; umap-learn's fits every layer
    alone first, forgets min_dist and takes five times as long (benchmarks/alignment.py).
    """
    from umap.umap_ import find_ab_params

    if len(real[0]) < 5:
        raise UserError(f"A map needs at least 5 real latents; this selection has {len(real[0])}.")
    if config.metric == "cosine":
        real, others = [unit(z) for z in real], [unit(z) for z in others]
    reduced = [reduce(z, more, config.pca) for z, more in zip(real, others, strict=True)]
    fit = [near[rows] for near, _ in reduced]
    k = min(config.n_neighbors, len(rows) - 1)
    fitted = _optimised(fit, k, find_ab_params(1.0, config.min_dist), config.seed, here)
    rest = np.setdiff1d(np.arange(len(real[0])), rows)
    found = []
    for (near, far), pool, place in zip(reduced, fit, fitted, strict=True):
        whole = np.zeros((len(near), 2), np.float32)
        whole[rows] = place
        if len(rest):
            whole[rest] = among(near[rest], pool, place, k)
        found.append((whole, among(far, pool, place, k) if len(far) else np.zeros((0, 2))))
    axes = level(found[here][0])
    made = []
    for z, (whole, moved) in zip(real, found, strict=True):
        place = np.asarray(whole @ axes, np.float32)
        trust = trustworthiness(z, place, config.seed)
        made.append(Embedding(place, np.asarray(moved @ axes, np.float32), trust, len(rows)))
    return made


def _optimised(
    fit: Sequence[NDArray[np.float32]], k: int, curve: tuple[float, float], seed: int, here: int
) -> NDArray[np.float32]:
    """UMAP's layouts [L, N, 2] of every layer [N, D]; after each epoch a point is pulled to its places in
    the layers before and after, the weaker the fewer neighbours it shares with them."""
    from umap.umap_ import make_epochs_per_sample

    graphs = [_graph(z, k) for z in fit]
    edges = [graph.tocoo() for graph in graphs]
    known = [graph.astype(bool) for graph in graphs]
    shared = np.zeros((len(fit), len(fit[0])))
    for layer, (one, other) in enumerate(zip(known, known[1:], strict=False)):
        both = one.multiply(other).getnnz(1)
        shared[layer] = both / np.maximum(one.getnnz(1) + other.getnnz(1) - both, 1)
    places = np.stack(_starts(fit, here)).astype(np.float32)
    _epochs()(
        places,
        np.cumsum([0, *(edge.nnz for edge in edges)]),
        np.concatenate([edge.row for edge in edges]),
        np.concatenate([edge.col for edge in edges]),
        np.concatenate([make_epochs_per_sample(edge.data, ROUNDS) for edge in edges]),
        STRENGTH * shared,
        ROUNDS,
        *curve,
        int(numpy_generator(seed, "aligned").integers(2**31)),
    )
    return places


@cache
def _epochs() -> Callable[..., None]:
    """UMAP's stochastic descent of several layers at once, with the pull between them; compiled."""
    import numba

    @numba.njit
    def step(value: float) -> float:
        return min(4.0, max(-4.0, value))

    @numba.njit
    def run(places, first, head, tail, every, pull, rounds, a, b, seed):  # type: ignore[no-untyped-def]
        np.random.seed(seed)
        count = places.shape[1]
        due, due_apart, apart = every.copy(), every / APART, every / APART
        for epoch in range(rounds):
            rate = 1.0 - epoch / rounds
            for layer in range(len(places)):
                place = places[layer]
                for e in range(first[layer], first[layer + 1]):
                    if due[e] > epoch:
                        continue
                    i, j = head[e], tail[e]
                    x, y = place[i, 0] - place[j, 0], place[i, 1] - place[j, 1]
                    far = x * x + y * y
                    if far > 0:
                        force = -2 * a * b * far ** (b - 1) / (a * far**b + 1)
                        dx, dy = rate * step(force * x), rate * step(force * y)
                        place[i, 0] += dx
                        place[i, 1] += dy
                        place[j, 0] -= dx
                        place[j, 1] -= dy
                    due[e] += every[e]
                    drawn = int((epoch - due_apart[e]) / apart[e])
                    due_apart[e] += drawn * apart[e]
                    for _ in range(drawn):
                        j = np.random.randint(count)
                        x, y = place[i, 0] - place[j, 0], place[i, 1] - place[j, 1]
                        far = x * x + y * y
                        if far > 0:
                            force = 2 * b / ((0.001 + far) * (a * far**b + 1))
                            place[i, 0] += rate * step(force * x)
                            place[i, 1] += rate * step(force * y)
            for layer in range(len(places) - 1):
                for i in range(count):
                    for d in range(2):
                        gap = rate * pull[layer, i] * (places[layer + 1, i, d] - places[layer, i, d])
                        places[layer, i, d] += gap
                        places[layer + 1, i, d] -= gap

    return run


def _graph(z: NDArray[np.float32], k: int) -> Any:
    """UMAP's neighbourhood graph of rows [N, D], sparse, without what no epoch would come to."""
    from umap.umap_ import fuzzy_simplicial_set

    index, distance = Exact(z).own(k)
    state = np.random.RandomState(0)  # only drawn from where neighbours are not known
    graph = fuzzy_simplicial_set(z, k, state, "euclidean", knn_indices=index, knn_dists=distance)[0].tocsr()
    graph.data[graph.data < graph.data.max() / ROUNDS] = 0
    graph.eliminate_zeros()
    graph.sort_indices()
    return graph


def _starts(fit: Sequence[NDArray[np.float32]], here: int) -> list[NDArray[np.float32]]:
    """Each layer's two principal components, turned onto those of the next one towards layer `here`."""
    flat = [reduce(z, z[:0], 2)[0] for z in fit]
    flat = [place * (SIZE / max(float(np.abs(place).max()), 1e-12)) for place in flat]
    every = np.ones(len(fit[0]), bool)
    for layer in [*range(here - 1, -1, -1), *range(here + 1, len(fit))]:
        flat[layer] = turned(flat[layer], flat[layer + 1 if layer < here else layer - 1], every)
    return [np.ascontiguousarray(place, np.float32) for place in flat]
