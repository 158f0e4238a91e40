"""The generator's health on planted generators: right, narrow, copying, class-blind."""

import numpy as np

from gelda import metrics
from gelda.health import shrunk_gaussian


def test_the_gaussian_to_beat_knows_the_covariance():
    """Correlated residuals: the shrunk Gaussian comes near real to real, a diagonal one does not."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(12, 12)) / 2
    train, held = rng.normal(size=(400, 12)) @ mix, rng.normal(size=(400, 12)) @ mix
    full = metrics.frechet(shrunk_gaussian(train, 400, 0), held)
    diagonal = metrics.frechet(rng.normal(size=(400, 12)) * train.std(0), held)
    assert full < 0.25 * diagonal
    assert full < 3 * metrics.frechet(train, held)
