"""Is the generator healthy? Its latents against held-out real ones, with a ceiling and a floor beside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gelda import metrics
from gelda.seeds import numpy_generator

Array = NDArray[np.floating]
Labels = NDArray[np.integer]


def generator_health(
    made: tuple[Array, Labels],
    train: tuple[Array, Labels],
    held: tuple[Array, Labels],
    tail: Sequence[int],
    seed: int,
) -> dict[str, float]:
    """Figures in standardised z^(l); each pair is latents [N, D] and labels [N].

    `held` are real latents that nothing was fitted on: an adapter collapses what it was fitted on.
    The Fréchet distance falls with the number of latents, so all three are taken at one number:
    synthetic, the other half of the real ones (ceiling), and a Gaussian with the training residuals'
    Ledoit-Wolf covariance (what a generator has to beat), each against the same half of the held-out
    residuals.
    """
    z, label = made
    ratios = metrics.variance_ratios(z, label, *held)
    of_tail = [ratios[c] for c in tail if c in ratios]
    real = metrics.class_centred(*held)
    real = real[numpy_generator(seed, "health-real").permutation(len(real))]
    ours = metrics.class_centred(z, label)
    ours = ours[numpy_generator(seed, "health-synthetic").permutation(len(ours))]
    count = min(len(real) // 2, len(ours))
    reference = real[len(real) // 2 :]
    gaussian = shrunk_gaussian(metrics.class_centred(*train), count, seed)
    order = numpy_generator(seed, "health-held").permutation(len(held[0]))
    first, second = held[0][order[::2]], held[0][order[1::2]]
    return {
        "variance_ratio": float(np.median(list(ratios.values()))) if ratios else float("nan"),
        "variance_ratio_tail": float(np.median(of_tail)) if of_tail else float("nan"),
        "frechet": metrics.frechet(ours[:count], reference),
        "frechet_real": metrics.frechet(real[:count], reference),
        "frechet_gaussian": metrics.frechet(gaussian, reference),
        "memorisation": metrics.memorisation(z, train[0], first),
        "memorisation_real": metrics.memorisation(second, train[0], first),
    }


def shrunk_gaussian(residuals: Array, count: int, seed: int) -> Array:
    """[count, D] draws of a centred Gaussian with the Ledoit-Wolf covariance of residuals [N, D]
    (doi:10.1016/S0047-259X(03)00096-4): full covariances need shrinking where N is near D."""
    from sklearn.covariance import ledoit_wolf

    covariance, _ = ledoit_wolf(residuals, assume_centered=True)
    return numpy_generator(seed, "health-gaussian").multivariate_normal(
        np.zeros(residuals.shape[1]), covariance, count, method="eigh"
    )
