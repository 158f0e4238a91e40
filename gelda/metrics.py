"""Pure functions from arrays to figures: of a classifier, and of synthetic latents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Labels = NDArray[np.integer]


def confusion(true: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """Counts [C, C]; rows are the true class."""
    return np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)


def recalls(true: Labels, predicted: Labels, classes: int) -> Array:
    """Share of each class found [C]; NaN for a class without items."""
    table = confusion(true, predicted, classes)
    with np.errstate(invalid="ignore"):
        return np.diag(table) / table.sum(1)


def macro_f1(true: Labels, predicted: Labels, classes: int) -> float:
    """Mean F1 over the classes that occur (as scikit-learn's `f1_score(average="macro")` on them)."""
    table = confusion(true, predicted, classes)
    hit = np.diag(table)
    total = table.sum(0) + table.sum(1)
    present = table.sum(1) > 0
    return float(np.mean((2 * hit / np.maximum(total, 1))[present]))


def frechet(a: Array, b: Array) -> float:
    """Fréchet distance between Gaussians fitted to [N, D] and [M, D] (arXiv 1706.08500, eq. 6)."""
    import scipy.linalg

    mean = float(np.square(a.mean(0) - b.mean(0)).sum())
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    cov_a, cov_b = np.atleast_2d(cov_a), np.atleast_2d(cov_b)
    # tr (A B)^½ by the symmetric form A^½ B A^½: real and stable where sqrtm(A B) is not.
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(scipy.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    return max(0.0, mean + float(np.trace(cov_a) + np.trace(cov_b) - 2 * cross))


def class_centred(latents: Array, label: Labels) -> Array:
    """Each latent minus its class's mean [N, D]; classes of one latent are left out (their residual is 0)."""
    rows = []
    for value in np.unique(label):
        members = latents[label == value]
        if len(members) > 1:
            # n/(n−1) keeps the covariance of the residuals unbiased for small classes
            rows.append((members - members.mean(0)) * np.sqrt(len(members) / (len(members) - 1)))
    return np.concatenate(rows) if rows else np.zeros((0, latents.shape[1]))


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
