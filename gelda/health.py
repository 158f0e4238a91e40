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
    diagonal covariance (floor), each against the same half of the held-out residuals.
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
    spread = metrics.class_centred(*train).std(0)
    gaussian = numpy_generator(seed, "health-gaussian").normal(size=(count, z.shape[1])) * spread
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
