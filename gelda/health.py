"""Is the generator healthy? Its latents against held-out real ones, with a ceiling and a floor beside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gelda import metrics
from gelda.seeds import numpy_generator

Array = NDArray[np.floating]
Labels = NDArray[np.integer]

MOST = 2000  # latents of a kind that enter: beyond, the figures stand still and the seconds do not
MOST_PAIRS = 1000  # for the figures that look at every pair
FEWEST = 10  # matched latents below which the two-sample figures say nothing
NO_PROBE = {"accuracy": float("nan"), "uar": float("nan")}  # one class alone: nothing to tell apart
SAMPLE_KEYS = ("precision", "recall", "density", "coverage", "mmd2", "c2st", "tstr_accuracy", "tstr_uar")


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
    residuals. The figures of `SAMPLE_KEYS` likewise, with `_real` and `_gaussian` (see
    `_sample_figures`), NaN where held-out real latents are too few. At most `MOST` latents of a kind enter.
    """
    ratios = metrics.variance_ratios(*made, *held)
    made, train, held = (
        _some(pair, seed, name) for pair, name in ((made, "made"), (train, "train"), (held, "held"))
    )
    z, label = made
    real = metrics.class_centred(*held)
    real = real[numpy_generator(seed, "health-real").permutation(len(real))]
    ours = metrics.class_centred(z, label)
    ours = ours[numpy_generator(seed, "health-synthetic").permutation(len(ours))]
    count = min(len(real) // 2, len(ours))
    reference = real[len(real) // 2 :]
    if count < 2:
        frechet = dict.fromkeys(("frechet", "frechet_real", "frechet_gaussian"), float("nan"))
    else:
        gaussian = shrunk_gaussian(metrics.class_centred(*train), count, seed)
        frechet = {
            "frechet": metrics.frechet(ours[:count], reference),
            "frechet_real": metrics.frechet(real[:count], reference),
            "frechet_gaussian": metrics.frechet(gaussian, reference),
        }
    order = numpy_generator(seed, "health-held").permutation(len(held[0]))
    first, second = held[0][order[::2]], held[0][order[1::2]]
    return {
        "variance_ratio": metrics.variance_ratio(ratios),
        "variance_ratio_tail": metrics.variance_ratio(ratios, tail),
        **frechet,
        "memorisation": metrics.memorisation(z, train[0], first),
        "memorisation_real": metrics.memorisation(second, train[0], first),
        "nearest_ratio": metrics.nearest_ratio(z, train[0], first),
        "nearest_ratio_real": metrics.nearest_ratio(second, train[0], first),
        **_sample_figures(made, train, held, seed),
    }


def shrunk_gaussian(residuals: Array, count: int, seed: int) -> Array:
    """[count, D] draws of a centred Gaussian with the Ledoit-Wolf covariance of residuals [N, D]
    (doi:10.1016/S0047-259X(03)00096-4): full covariances need shrinking where N is near D."""
    from sklearn.covariance import ledoit_wolf

    covariance, _ = ledoit_wolf(residuals, assume_centered=True)
    return numpy_generator(seed, "health-gaussian").multivariate_normal(
        np.zeros(residuals.shape[1]), covariance, count, method="eigh"
    )


def _sample_figures(
    made: tuple[Array, Labels], train: tuple[Array, Labels], held: tuple[Array, Labels], seed: int
) -> dict[str, float]:
    """Support, MMD² and two-sample accuracy of class residuals, and training on synthetic to test on real.

    Four samples of one size and one mix of classes, since all of these change with both: a reference half
    of the held-out latents, and against it the synthetic latents, the other half (`_real`) and the Gaussian
    around the training means (`_gaussian`). Residuals are taken within each sample, so support and distances
    speak of the shape of classes; where the classes lie is what the classifier of `tstr_*` is trained on.
    (Residuals of one sample add up to 0 in each class, so the ceiling of c2st lies a little below 0.5.)
    """
    rng = numpy_generator(seed, "health-samples")
    reference, other, ours = [], [], []
    for c in np.unique(held[1]):
        real = rng.permutation(np.flatnonzero(held[1] == c))
        synthetic = rng.permutation(np.flatnonzero(made[1] == c))
        count = min(len(real) // 2, len(synthetic))
        if count > 1 and (train[1] == c).any():  # a residual needs two, the Gaussian a mean
            reference.append(real[:count])
            other.append(real[count : 2 * count])
            ours.append(synthetic[:count])
    names = [f"{key}{kind}" for kind in ("", "_real", "_gaussian") for key in SAMPLE_KEYS]
    if sum(map(len, reference)) < FEWEST:
        return dict.fromkeys(names, float("nan"))
    fixed, label = held[0][np.concatenate(reference)], held[1][np.concatenate(reference)]
    noise = shrunk_gaussian(metrics.class_centred(*train), len(label), seed)
    means = {c: train[0][train[1] == c].mean(0) for c in np.unique(label)}
    samples = {
        "": made[0][np.concatenate(ours)],
        "_real": held[0][np.concatenate(other)],
        "_gaussian": np.stack([means[c] for c in label]) + noise,
    }
    some = rng.permutation(len(label))[:MOST_PAIRS]
    centred = metrics.class_centred(fixed, label)[some]
    bandwidth = metrics.median_distance(centred, centred[:0])
    found: dict[str, float] = {}
    for kind, sample in samples.items():
        residual = metrics.class_centred(sample, label)[some]
        probe = metrics.train_on_synthetic(sample, label, fixed, label) if len(reference) > 1 else NO_PROBE
        figures = {
            **metrics.support(centred, residual).as_json(),
            "mmd2": metrics.mmd2(residual, centred, bandwidth),
            "c2st": metrics.classifier_two_sample(residual, centred, seed=seed % 2**32).accuracy,
            "tstr_accuracy": probe["accuracy"],
            "tstr_uar": probe["uar"],
        }
        found |= {f"{key}{kind}": float(figures[key]) for key in SAMPLE_KEYS}
    return found


def _some(pair: tuple[Array, Labels], seed: int, name: str) -> tuple[Array, Labels]:
    """At most `MOST` rows, a random and seeded choice."""
    if len(pair[1]) <= MOST:
        return pair
    rows = numpy_generator(seed, "health-some", name).permutation(len(pair[1]))[:MOST]
    return pair[0][rows], pair[1][rows]
