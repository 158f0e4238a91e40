"""Two dimensions of many: principal components, exact neighbours, UMAP of some rows, how far to trust it."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gelda.errors import UserError
from gelda.seeds import numpy_generator
from gelda.settings import ProjectionConfig

NEIGHBOURS = 15  # of trustworthiness
QUERIES = 500  # points that trustworthiness is measured of: of all of them it would be O(N²)
ROUNDS = 200  # of refining a fitted sample: what UMAP itself takes above 10 000 rows
EXACT = 20_000  # fitted rows up to which a CPU finds neighbours exactly; NN-descent is faster above
BLOCK = 1 << 25  # distances held at once


@dataclass(frozen=True)
class Embedding:
    """real [N, 2] and others [M, 2]; trustworthiness in [0, 1] of the real ones; how many were fitted."""

    real: NDArray[np.float32]
    others: NDArray[np.float32]
    trustworthiness: float
    fitted: int


def ready() -> float:
    """Compile UMAP on a few made-up rows, which happens once a process; the seconds that took."""
    started = time.perf_counter()
    _compiled()
    return time.perf_counter() - started


@cache
def _compiled() -> None:
    z = numpy_generator(0, "compiling").normal(size=(50, 8)).astype(np.float32)
    embed(z[:40], z[40:], ProjectionConfig(), np.arange(30))


def embed(
    real: NDArray[np.float32],
    others: NDArray[np.float32],
    config: ProjectionConfig,
    rows: NDArray[np.integer] | None = None,
) -> Embedding:
    """UMAP (arXiv 1802.03426) of real [N, D]; others [M, D] are only transformed: they never shape the map.

    Fitted on the real rows `rows` (all where none are given), the other ones are put where UMAP's transform
    would begin; on at most `pca` principal components of the real rows. The cosine metric is Euclid's on rows
    of length 1.
    """
    import umap

    from gelda import device

    if len(real) < 5:
        raise UserError(f"A map needs at least 5 real latents; this selection has {len(real)}.")
    if config.metric == "cosine":
        real, others = unit(real), unit(others)
    near, far = reduce(real, others, config.pca)
    rows = np.arange(len(real)) if rows is None else rows
    fit = near[rows]
    neighbours = min(config.n_neighbors, len(rows) - 1)
    index = None if len(rows) > EXACT and device.resolve().type == "cpu" else Exact(fit)
    known = (None, None, None) if index is None else (*index.own(neighbours), index)
    rest = np.setdiff1d(np.arange(len(real)), rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed costs it its threads, and that our index is not its own
        reducer = umap.UMAP(
            n_neighbors=neighbours,
            min_dist=config.min_dist,
            random_state=config.seed,
            init="pca",  # spectral starts differ between runs of one seed
            precomputed_knn=known,
            n_epochs=ROUNDS if len(rest) else None,
        ).fit(fit)
        place = np.zeros((len(real), 2), np.float32)
        place[rows] = reducer.embedding_
        if len(rest):
            place[rest] = among(near[rest], fit, reducer.embedding_, neighbours)
        moved = reducer.transform(far) if len(far) else np.zeros((0, 2))
    axes = level(place)
    place = np.asarray(place @ axes, np.float32)
    others = np.asarray(moved @ axes, np.float32)
    return Embedding(place, others, trustworthiness(real, place, config.seed), len(rows))


def level(place: NDArray[np.float32]) -> NDArray[np.float32]:
    """The turn [2, 2] that lays a map's longer side level: UMAP leaves it free, and frames are wide."""
    axes = np.linalg.svd(place - place.mean(0), full_matrices=False)[2]
    leading = np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1)
    return np.asarray((axes * np.sign(leading)).T, np.float32)


def among(
    queries: NDArray[np.float32], pool: NDArray[np.float32], place: NDArray[np.float32], k: int
) -> NDArray[np.float32]:
    """Places [N, 2]: the mean of the k nearest rows' places, weighted by UMAP's memberships.

    That is where UMAP's transform starts. Its refining takes longer than all the rest and gains nothing
    (benchmarks/projection.py).
    """
    from umap.umap_ import smooth_knn_dist

    index, distance = knn(queries, pool, k)
    sigma, rho = smooth_knn_dist(distance, float(k))
    weight = np.exp(-np.maximum(distance - rho[:, None], 0) / sigma[:, None])
    return np.asarray((weight[..., None] * place[index]).sum(1) / weight.sum(1, keepdims=True))


def reduce(
    real: NDArray[np.float32], others: NDArray[np.float32], most: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both on the first `most` principal components of real [N, D]; as they are where D is no more."""
    import torch

    from gelda import device

    if real.shape[1] <= most:
        return real.astype(np.float32), others.astype(np.float32)
    where = device.resolve()
    z = torch.from_numpy(np.ascontiguousarray(real, np.float32)).to(where)
    mean = z.mean(0)
    z = z - mean
    axes = torch.linalg.eigh(z.T @ z).eigenvectors[:, -most:].flip(1)
    more = torch.from_numpy(np.ascontiguousarray(others, np.float32)).to(where)
    return (z @ axes).cpu().numpy(), ((more - mean) @ axes).cpu().numpy()


def knn(
    queries: NDArray[np.float32], pool: NDArray[np.float32], k: int, own: bool = False
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Exact k nearest rows of `pool` [M, D] for each query [N, D], Euclid's, on the GPU where there is one.

    With `own` the queries are the pool, and every row is its own first neighbour, as UMAP wants it.
    """
    import torch

    from gelda import device

    where = device.resolve()
    known = torch.from_numpy(pool).to(where)
    index = np.empty((len(queries), k), np.int32)
    distance = np.empty((len(queries), k), np.float32)
    step = max(1, BLOCK // len(pool))
    for first in range(0, len(queries), step):
        part = torch.cdist(torch.from_numpy(queries[first : first + step]).to(where), known)
        if own:
            part.diagonal(offset=first).fill_(-1)
        found = part.topk(k, largest=False)
        index[first : first + step] = found.indices.cpu().numpy()
        distance[first : first + step] = found.values.clamp_min(0).cpu().numpy()
    return index, distance


class Exact:
    """What UMAP asks of a search index, answered exactly."""

    _angular_trees = False

    def __init__(self, pool: NDArray[np.float32]) -> None:
        self.pool = pool

    def own(self, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        return knn(self.pool, self.pool, k, own=True)

    def query(
        self, queries: NDArray[np.float32], k: int, epsilon: float
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        return knn(queries, self.pool, k)


def trustworthiness(z: NDArray[np.float32], place: NDArray[np.float32], seed: int = 0) -> float:
    """Venna and Kaski's, of places [N, 2] to latents [N, D]: do points that are near here lie near there?

    Scikit-learn's up to `QUERIES` points; above, that many drawn by the seed are ranked against all.
    """
    import torch

    from gelda import device

    count = len(z)
    k = min(NEIGHBOURS, max(1, count // 2 - 1))
    rows = np.sort(numpy_generator(seed, "trust").permutation(count)[:QUERIES])
    where = device.resolve()
    high = torch.from_numpy(np.ascontiguousarray(z, np.float32)).to(where)
    low = torch.from_numpy(np.ascontiguousarray(place, np.float32)).to(where)
    penalty, step = 0.0, max(1, BLOCK // count)
    for first in range(0, len(rows), step):
        part = torch.from_numpy(rows[first : first + step]).to(where)
        here = torch.arange(len(part), device=where)
        far = torch.cdist(high[part], high)
        far[here, part] = -1  # itself: of rank 0
        close = torch.cdist(low[part], low)
        close[here, part] = torch.inf
        chosen = far.gather(1, close.topk(k, largest=False).indices)
        for each in chosen.T:  # counting is quicker than sorting all
            rank = (far < each[:, None]).sum(1)
            penalty += float((rank - k).clamp_min(0).sum())
    return 1 - 2 * penalty / (len(rows) * k * (2 * count - 3 * k - 1))


def unit(z: NDArray[np.float32]) -> NDArray[np.float32]:
    return z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
