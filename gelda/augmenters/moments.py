"""Latents from class means and covariances, without a learned generator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gelda.augmenters.base import Augmenter, Synthetic, Task, pack
from gelda.augmenters.baselines import grid
from gelda.seeds import numpy_generator

Array = NDArray[np.float64]


class ResidualTransfer(Augmenter):
    """A real residual (latent − class mean) of another class, added to the class's own mean."""

    grid = grid("weight", 0.3, 0.1, 1.0)

    def synthesise(self, task: Task) -> Synthetic:
        counts, wanted = task.class_counts(), self.class_targets(task)
        y = task.label.numpy()
        means, residual = _means_and_residuals(task)
        # n/(n−1) undoes the shrinking that comes from subtracting a mean that holds the latent itself
        residual *= np.sqrt(counts[y] / np.maximum(counts[y] - 1, 1))[:, None]
        parts, labels = [], []
        for c in np.flatnonzero((wanted > 0) & (counts > 0)):
            donors = np.flatnonzero((y != c) & (counts[y] > 1))
            if len(donors) == 0:
                continue  # one class only: there is no other class to borrow from
            drawn = numpy_generator(task.seed, "residual-transfer", int(c)).choice(donors, wanted[c])
            parts.append(means[c] + residual[drawn])
            labels.append(np.full(wanted[c], c))
        return pack(parts, labels, task)


class ClassGaussian(Augmenter):
    """Draws from N(μ_c, (1−ρ)Σ_c + ρΣ), Σ the covariance within classes, pooled over them.

    ρ = prior/(prior + n_c − 1): `prior` is how many rows the pooled covariance counts for, and a class of
    one latent has nothing else.
    """

    grid = tuple({"weight": w, "prior": p} for p in (10.0, 100.0) for w in (0.3, 0.1, 1.0))

    def synthesise(self, task: Task) -> Synthetic:
        counts, wanted = task.class_counts(), self.class_targets(task)
        y, prior = task.label.numpy(), self.value("prior")
        means, residual = _means_and_residuals(task)
        pooled = _root(residual, len(y) - int((counts > 0).sum()))
        parts, labels = [], []
        for c in np.flatnonzero((wanted > 0) & (counts > 0)):
            rng, n = numpy_generator(task.seed, "class-gaussian", int(c)), counts[c]
            rho = prior / (prior + n - 1) if n > 1 else 1.0
            made = means[c] + np.sqrt(rho) * (rng.standard_normal((wanted[c], len(pooled))) @ pooled)
            if n > 1:
                own = _root(residual[y == c], int(n) - 1)
                made += np.sqrt(1 - rho) * (rng.standard_normal((wanted[c], len(own))) @ own)
            parts.append(made)
            labels.append(np.full(wanted[c], c))
        return pack(parts, labels, task)


class DistributionCalibration(Augmenter):
    """Each latent z of a class lends N((μ_a + μ_b + z)/3, (Σ_a + Σ_b)/2 + α) (arXiv 2101.06395, eq. 5-6).

    a and b are the two base classes with the means nearest to z. Base classes here are the richer half of
    the classes (those with two rows at least), without the class itself. α is added to every entry of the
    covariance, as in the paper's code: a shift common to all dimensions. The paper first takes Tukey's
    power of the features; that needs features that are not negative, which standardised latents are not,
    so it is left out.
    """

    grid = tuple({"weight": w, "alpha": a} for a in (0.21, 0.0) for w in (0.3, 0.1, 1.0))
    nearest = 2

    def synthesise(self, task: Task) -> Synthetic:
        counts, wanted = task.class_counts(), self.class_targets(task)
        y, z = task.label.numpy(), task.latents.numpy().astype(np.float64)
        means, residual = _means_and_residuals(task)
        richer = np.argsort(-counts, kind="stable")[: -(-task.classes // 2)]
        roots = {int(b): _root(residual[y == b], int(counts[b]) - 1) for b in richer if counts[b] > 1}
        parts, labels = [], []
        for c in np.flatnonzero((wanted > 0) & (counts > 0)):
            base = np.array([b for b in roots if b != c], dtype=np.int64)
            if len(base) == 0:
                continue  # no other class from which to take a covariance
            rng = numpy_generator(task.seed, "distribution-calibration", int(c))
            own = rng.permutation(np.flatnonzero(y == c))
            shares = np.bincount(np.arange(wanted[c]) % len(own), minlength=len(own))
            for row, number in zip(own, shares, strict=True):
                if number == 0:
                    break
                distance = np.linalg.norm(means[base] - z[row], axis=1)
                near = base[np.argsort(distance, kind="stable")[: self.nearest]]
                made = np.tile((means[near].sum(0) + z[row]) / (len(near) + 1), (number, 1))
                for b in near:
                    root = roots[int(b)]
                    made += rng.standard_normal((number, len(root))) @ root / np.sqrt(len(near))
                parts.append(made + np.sqrt(self.value("alpha")) * rng.standard_normal((number, 1)))
                labels.append(np.full(number, c))
        return pack(parts, labels, task)


def _means_and_residuals(task: Task) -> tuple[Array, Array]:
    """Class means [C, D] (0 for a class without rows) and every row less its class's mean [N, D]."""
    z, y = task.latents.numpy().astype(np.float64), task.label.numpy()
    means = np.zeros((task.classes, z.shape[1]))
    np.add.at(means, y, z)
    means /= np.maximum(task.class_counts(), 1)[:, None]
    return means, z - means[y]


def _root(residual: Array, freedom: int) -> Array:
    """R [r, D] with RᵀR = residualᵀ residual / freedom: standard normals times R have that covariance."""
    if freedom < 1:
        return np.zeros((1, residual.shape[1]))
    scaled = residual / np.sqrt(freedom)
    if len(scaled) <= 8 * scaled.shape[1]:  # multiplying by it costs less than finding a root
        return scaled
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    return np.sqrt(values.clip(0))[:, None] * vectors.T
