"""What a simple classifier can tell: real from synthetic, class from class, and real by the synthetic."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gelda.errors import unknown
from gelda.metrics.classification import accuracy, class_mean_log_loss, uar

Array = NDArray[np.floating]
Labels = NDArray[np.integer]


@dataclass(frozen=True)
class TwoSample:
    """accuracy of telling two samples apart (0.5: cannot), its one-sided p-value and the items it is from."""

    accuracy: float
    p_value: float
    items: int


def classifier_two_sample(
    a: Array, b: Array, classifier: str = "knn", *, folds: int = 5, seed: int = 0
) -> TwoSample:
    """Classifier two-sample test of [N, D] against [M, D] (arXiv 1610.06545, § 3), at equal numbers of each.

    `classifier` is "knn" (k ≈ √n of the training half, as in the paper; sees any difference in shape) or
    "logistic" (sees shifted means). The accuracy is cross-validated. The p-value is that of the paper, by the
    binomial over a held-out half that trained nothing: pooled over folds the hits depend on each other (two
    nearest neighbours decide about one another) and the test rejects too often.
    """
    from scipy.stats import binom
    from sklearn.model_selection import StratifiedKFold

    count = min(len(a), len(b))
    if count < 2 * folds:
        raise ValueError(f"the classifier two-sample test needs at least {2 * folds} latents of each kind")
    rng = np.random.default_rng(seed)
    pooled = np.concatenate([rng.permutation(a)[:count], rng.permutation(b)[:count]]).astype(float)
    side = np.repeat([0, 1], count)
    hits = 0
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(pooled, side):
        hits += _told(classifier, pooled[train], side[train], pooled[test], side[test])
    # rows are in random order within a side: the first half of each trains, the second is tested
    half = np.tile(np.arange(count) < count // 2, 2)
    held = _told(classifier, pooled[half], side[half], pooled[~half], side[~half])
    p_value = float(binom.sf(held - 1, int((~half).sum()), 0.5))
    return TwoSample(hits / len(pooled), p_value, len(pooled))


def train_on_synthetic(
    synthetic: Array, synthetic_label: Labels, real: Array, real_label: Labels
) -> dict[str, float]:
    """Accuracy and UAR on real latents [N, D] of a balanced linear probe fitted on synthetic ones [M, D].

    "Train on synthetic, test on real" (arXiv 1706.02633, § 4.2). A class without synthetic latents is never
    found and counts as such.
    """
    classes = int(max(synthetic_label.max(), real_label.max())) + 1
    if len(np.unique(synthetic_label)) < 2:
        predicted = np.full(len(real_label), synthetic_label[0])
    else:
        predicted = _Probe().fit(synthetic, synthetic_label).predict(real)
    return {
        "accuracy": accuracy(real_label, predicted),
        "uar": uar(real_label, predicted, classes),
    }


def fisher_ratio(latents: Array, label: Labels) -> float:
    """Variance between the classes' means over variance within classes, traces, classes weighing alike.

    The spread that sampling alone gives the means (tr Σ_c / n_c) is taken off, so a layer without any class
    structure has about 0 whatever the class sizes. Classes of one latent are left out; NaN below two classes.
    """
    means, spread, noise = [], [], []
    for value in np.unique(label):
        members = np.asarray(latents[label == value], float)
        if len(members) > 1:
            means.append(members.mean(0))
            spread.append(members.var(0, ddof=1).sum())
            noise.append(spread[-1] / len(members))
    if len(means) < 2:
        return float("nan")
    between = np.var(means, axis=0, ddof=1).sum() - np.mean(noise)
    return float(between / max(np.mean(spread), 1e-12))


def separability(
    latents: Array, label: Labels, group: NDArray | None = None, *, folds: int = 5, seed: int = 0
) -> dict[str, float]:
    """How well classes part linearly in a layer [N, D]: cross-validated probe's uar and log_loss, and fisher.

    The probe is a class-balanced logistic regression on standardised latents; log_loss is class-mean, pooled
    over folds. Items of one group [N] (speaker) never train and test at once; classes of one item (or one
    group) do not enter. NaN where fewer than two classes are left.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    group = np.arange(len(label)) if group is None else np.asarray(group)
    kept = np.isin(label, [c for c in np.unique(label) if len(np.unique(group[label == c])) > 1])
    x, names, group = np.asarray(latents[kept], float), np.asarray(label)[kept], group[kept]
    values, y = np.unique(names, return_inverse=True)
    nothing = {"uar": float("nan"), "log_loss": float("nan"), "fisher": fisher_ratio(latents, label)}
    if len(values) < 2:
        return nothing
    alone = len(np.unique(group)) == len(group)
    splitter: Any = StratifiedKFold if alone else StratifiedGroupKFold
    count = min(folds, int(np.bincount(y).max()), len(np.unique(group)))
    chance = np.zeros((len(y), len(values)))
    scored = np.zeros(len(y), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes smaller than the number of folds are expected
        parts = list(splitter(count, shuffle=True, random_state=seed).split(x, y, group))
    for train, test in parts:
        seen = np.unique(y[train])
        test = test[np.isin(y[test], seen)]  # all of a class's groups may have come into one fold
        if len(seen) > 1 and len(test):
            chance[np.ix_(test, seen)] = _Probe().fit(x[train], y[train]).predict_proba(x[test])
            scored[test] = True
    if not scored.any():
        return nothing
    return {
        **nothing,
        "uar": uar(y[scored], chance[scored].argmax(1), len(values)),
        "log_loss": class_mean_log_loss(y[scored], chance[scored]),
    }


def silhouette(latents: Array, label: Labels) -> float:
    """Mean silhouette of the classes in a layer [N, D], standardised: −1 to 1, classes weighing alike.

    (b − a) / max(a, b) of an item's mean distance a to its own class and b to the nearest other one
    (Rousseeuw 1987). Classes of one item do not enter; NaN where fewer than two classes are left.
    """
    from sklearn.metrics import silhouette_samples
    from sklearn.preprocessing import StandardScaler

    kept = np.isin(label, [c for c in np.unique(label) if (label == c).sum() > 1])
    y = np.asarray(label)[kept]
    if len(np.unique(y)) < 2:
        return float("nan")
    values = silhouette_samples(StandardScaler().fit_transform(np.asarray(latents[kept], float)), y)
    return float(np.mean([values[y == c].mean() for c in np.unique(y)]))


class _Probe:
    """Class-balanced logistic regression on standardised latents."""

    def fit(self, x: Array, y: Labels) -> _Probe:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self.model = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=100, tol=1e-3)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # 100 steps are this probe's definition
            self.model.fit(x, y)
        return self

    def predict(self, x: Array) -> Labels:
        return self.model.predict(x)

    def predict_proba(self, x: Array) -> Array:
        return self.model.predict_proba(x)


def _told(classifier: str, x: Array, y: Labels, test: Array, truth: Labels) -> int:
    """Test rows whose sample the classifier, fitted on x [N, D] and y [N], names rightly."""
    if classifier == "knn":
        from sklearn.neighbors import KNeighborsClassifier

        k = int(np.sqrt(len(x))) | 1  # odd: no ties
        model: Any = KNeighborsClassifier(k, algorithm="brute")
    elif classifier == "logistic":
        model = _Probe()
    else:
        raise unknown("two-sample classifier", classifier, ("knn", "logistic"))
    return int((model.fit(x, y).predict(test) == truth).sum())
