"""Two samples of latents without a Gaussian: support (precision … coverage) and kernel distance (MMD).

Distances are taken in blocks of rows, so that memory grows with N + M and not with N·M.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from gelda.metrics.latents import nearest

Array = NDArray[np.floating]
BLOCK = 512


@dataclass(frozen=True)
class Support:
    """Shares of support: precision, recall (arXiv 1904.06991), density, coverage (arXiv 2002.09797)."""

    precision: float
    recall: float
    density: float
    coverage: float

    def as_json(self) -> dict[str, float]:
        return asdict(self)


def support(real: Array, synthetic: Array, k: int = 5) -> Support:
    """How far synthetic [M, D] and real [N, D] latents lie in each other's neighbourhoods.

    A neighbourhood is the ball around a latent that reaches its k-th nearest of the same kind. precision:
    share of synthetic latents inside any real ball; recall: of real ones inside any synthetic ball;
    density: mean number of real balls around a synthetic latent, over k (can exceed 1); coverage: share of
    real balls that hold a synthetic latent. All rise and fall with N and M: compare at equal numbers.
    k is cut to the smaller sample − 1. Raises ValueError below two rows.
    """
    real, synthetic = np.asarray(real, float), np.asarray(synthetic, float)
    if min(len(real), len(synthetic)) < 2:
        raise ValueError("support needs at least two latents of each kind")
    k = min(k, len(real) - 1, len(synthetic) - 1)
    real_ball = nearest(real, real, k, skip_self=True)[1][:, -1]
    made_ball = nearest(synthetic, synthetic, k, skip_self=True)[1][:, -1]
    inside = np.zeros(len(synthetic), np.int64)  # real balls around each synthetic latent
    recalled = covered = 0
    for start, squared in _squared_distances(real, synthetic):
        distance = np.sqrt(squared)
        hits = distance <= real_ball[start : start + len(distance), None]
        inside += hits.sum(0)
        covered += int(hits.any(1).sum())
        recalled += int((distance <= made_ball[None]).any(1).sum())
    return Support(
        precision=float((inside > 0).mean()),
        recall=recalled / len(real),
        density=float(inside.mean() / k),
        coverage=covered / len(real),
    )


def median_distance(a: Array, b: Array, most: int = 1000) -> float:
    """Median distance between rows of the pooled samples, the usual bandwidth (Gretton et al. 2012, § 8).

    At most `most` evenly spaced rows enter. 1 where all rows are equal.
    """
    pooled = np.concatenate([a, b]).astype(float)
    pooled = pooled[np.linspace(0, len(pooled) - 1, min(most, len(pooled))).astype(int)]
    rows = [np.sqrt(d[i, start + i + 1 :]) for start, d in _squared_distances(pooled) for i in range(len(d))]
    return float(np.median(np.concatenate(rows))) or 1.0


def mmd2(a: Array, b: Array, bandwidth: float | None = None) -> float:
    """Unbiased squared maximum mean discrepancy of [N, D] and [M, D] (Gretton et al. 2012, JMLR 13, eq. 3).

    Kernel exp(−d²/2σ²), σ = `bandwidth` or the median distance. Around 0 (also below) for one distribution.
    """
    return float(_mmd2(a, b, bandwidth, np.zeros((0, len(a) + len(b)), bool))[0])


def mmd_test(
    a: Array, b: Array, bandwidth: float | None = None, *, permutations: int = 200, seed: int = 0
) -> tuple[float, float]:
    """`mmd2` and its permutation p-value (1 + #{permuted ≥ found}) / (1 + permutations): exact in level."""
    rng = np.random.default_rng(seed)
    mask = np.arange(len(a) + len(b)) < len(a)
    found = _mmd2(a, b, bandwidth, rng.permuted(np.tile(mask, (permutations, 1)), axis=1))
    # equal up to rounding counts as ≥
    reached = np.sum(found[1:] >= found[0] - 1e-12)
    return float(found[0]), float((1 + reached) / (1 + permutations))


def _mmd2(a: Array, b: Array, bandwidth: float | None, masks: NDArray[np.bool_]) -> Array:
    """MMD² of the given halves and of each relabelling masks [B, N+M] (true: first sample): [B + 1]."""
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise ValueError("the unbiased MMD needs at least two latents of each kind")
    sigma = median_distance(a, b) if bandwidth is None else bandwidth
    pooled = np.concatenate([a, b]).astype(float)
    first = np.concatenate([(np.arange(n + m) < n)[None], masks]).T.astype(float)  # [N+M, B+1]
    within, rows, total = np.zeros(first.shape[1]), np.zeros(first.shape[1]), 0.0
    for start, squared in _squared_distances(pooled):
        kernel = np.exp(squared / (-2 * sigma**2))
        place = np.arange(len(kernel))
        kernel[place, start + place] = 0  # the unbiased form leaves out each latent with itself
        block = first[start : start + len(kernel)]
        sums = kernel.sum(1)
        within += np.einsum("ib,ib->b", block, kernel @ first)
        rows += sums @ block
        total += float(sums.sum())
    across = rows - within
    rest = total - 2 * rows + within
    return within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * across / (n * m)


def _squared_distances(a: Array, b: Array | None = None) -> Iterator[tuple[int, Array]]:
    """(first row, squared distances [≤ BLOCK, M]) of the rows of a [N, D] to those of b (or a) [M, D]."""
    other = a if b is None else b
    centre = other.mean(0)  # nearer to the origin, less is lost in |x|² + |y|² − 2xy
    a, other = a - centre, other - centre
    norm = np.square(other).sum(1)
    for start in range(0, len(a), BLOCK):
        rows = a[start : start + BLOCK]
        yield start, np.maximum(np.square(rows).sum(1)[:, None] + norm - 2 * rows @ other.T, 0)
