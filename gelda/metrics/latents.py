"""Synthetic latents against real ones: distance of Gaussians, spread within classes, nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Labels = NDArray[np.integer]


def frechet(a: Array, b: Array) -> float:
    """Fréchet distance between Gaussians fitted to [N, D] and [M, D] (arXiv 1706.08500, eq. 6).

    With Σa = Rᵀ R and Σb = Tᵀ T (R, T from QR of the centred rows, of at most D rows) tr (Σa Σb)^½ is the
    sum of the singular values of R Tᵀ: real and stable where sqrtm(Σa Σb) is not, and small where N < D.
    Raises ValueError below two rows.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError("the Fréchet distance needs at least two latents of each kind")
    a, b = np.asarray(a, float), np.asarray(b, float)
    mean = float(np.square(a.mean(0) - b.mean(0)).sum())
    a, b = (a - a.mean(0)) / np.sqrt(len(a) - 1), (b - b.mean(0)) / np.sqrt(len(b) - 1)
    root = np.asarray(np.linalg.qr(a, mode="r"))
    other = b if len(b) < a.shape[1] else np.asarray(np.linalg.qr(b, mode="r"))
    cross = np.linalg.svd(root @ other.T, compute_uv=False).sum()
    return max(0.0, float(mean + np.square(a).sum() + np.square(b).sum() - 2 * cross))


def residuals(latents: Array, label: Labels) -> tuple[Array, Labels]:
    """Each latent minus its class's mean [N', D] and its class [N']; classes of one latent are left out.

    n/(n−1) keeps the covariance of the residuals unbiased for small classes.
    """
    values, place, sizes = np.unique(label, return_inverse=True, return_counts=True)
    mean = np.zeros((len(values), latents.shape[1]))
    np.add.at(mean, place, latents)
    mean /= sizes[:, None]
    kept = np.flatnonzero(sizes[place] > 1)
    kept = kept[np.argsort(place[kept], kind="stable")]
    n = sizes[place[kept], None]
    return (latents[kept] - mean[place[kept]]) * np.sqrt(n / (n - 1)), np.asarray(label)[kept]


def class_centred(latents: Array, label: Labels) -> Array:
    """The rows of `residuals` alone [N', D], class after class."""
    return residuals(latents, label)[0]


def variance_ratios(
    synthetic: Array, synthetic_label: Labels, held: Array, held_label: Labels
) -> dict[int, float]:
    """tr Cov(synthetic) / tr Cov(held-out real) per class with ≥ 10 held-out and ≥ 2 synthetic latents.

    1 is right; below 1 the generator narrows a class (memorisation, strong guidance).
    """
    ratios = {}
    for value in np.unique(synthetic_label):
        ours, real = synthetic[synthetic_label == value], held[held_label == value]
        if len(real) >= 10 and len(ours) >= 2:
            ratios[int(value)] = float(ours.var(0, ddof=1).sum() / max(real.var(0, ddof=1).sum(), 1e-12))
    return ratios


def variance_ratio(ratios: Mapping[int, float], classes: Sequence[int] | None = None) -> float:
    """Median of `variance_ratios`, over all its classes or those of `classes`; NaN where none is left."""
    chosen = [r for c, r in ratios.items() if classes is None or c in set(classes)]
    return float(np.median(chosen)) if chosen else float("nan")


def nearest(
    queries: Array, pool: Array, k: int, *, skip_self: bool = False
) -> tuple[NDArray[np.int64], Array]:
    """Exact k nearest rows of `pool` [M, D] for each query [N, D]: indices and distances [N, k].

    With `skip_self` the queries are the pool, and no row is its own neighbour, even of two equal ones.
    """
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=min(k, len(pool) - skip_self), algorithm="brute").fit(pool)
    distance, index = found.kneighbors(None if skip_self else queries)
    return index, distance


def memorisation(synthetic: Array, train: Array, held: Array) -> float:
    """Share of synthetic latents that lie nearer to a training latent than a held-out one would.

    For each synthetic latent the distance to its nearest training latent is compared with the
    5 % quantile of the same distance for held-out real latents: an honest generator gives about
    0.05, a copying one nears 1.
    """
    _, ours = nearest(synthetic, train, 1)
    _, real = nearest(held, train, 1)
    return float(np.mean(ours[:, 0] < np.quantile(real[:, 0], 0.05)))


def nearest_ratio(synthetic: Array, train: Array, held: Array) -> float:
    """Median distance to the nearest training latent, synthetic over held-out real.

    1 is right, near 0 is copying; `memorisation` sees a share of copies that a median does not.
    """
    _, ours = nearest(synthetic, train, 1)
    _, real = nearest(held, train, 1)
    return float(np.median(ours[:, 0])) / max(float(np.median(real[:, 0])), 1e-12)
