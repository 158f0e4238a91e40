"""Figures of a classifier: predictions or probabilities against true labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gelda.errors import UserError

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
    if not present.any():
        return float("nan")
    return float(np.mean((2 * hit / np.maximum(total, 1))[present]))


def accuracy(true: Labels, predicted: Labels) -> float:
    """Share of items found: overall accuracy, in speech WA; NaN without items."""
    return float(np.mean(np.asarray(true) == predicted)) if len(true) else float("nan")


def uar(true: Labels, predicted: Labels, classes: int) -> float:
    """Unweighted average recall over the classes that occur (scikit-learn's `balanced_accuracy_score`)."""
    found = _present(true, predicted, classes)
    return float(found.mean()) if len(found) else float("nan")


def worst_recall(true: Labels, predicted: Labels, classes: int) -> float:
    """Recall of the class found least, among those that occur."""
    found = _present(true, predicted, classes)
    return float(found.min()) if len(found) else float("nan")


def harmonic_mean_recall(true: Labels, predicted: Labels, classes: int) -> float:
    """Harmonic mean of the recalls of the classes that occur; 0 as soon as one class is never found."""
    found = _present(true, predicted, classes)
    if not len(found) or found.min() == 0:
        return 0.0 if len(found) else float("nan")
    return float(len(found) / np.sum(1 / found))


def geometric_mean_recall(true: Labels, predicted: Labels, classes: int) -> float:
    """Geometric mean of the recalls (imbalanced-learn's `geometric_mean_score` where every class occurs)."""
    found = _present(true, predicted, classes)
    if not len(found) or found.min() == 0:
        return 0.0 if len(found) else float("nan")
    return float(np.exp(np.log(found).mean()))


def class_mean_log_loss(true: Labels, probabilities: Array, *, least: int = 2, floor: float = 1e-12) -> float:
    """Mean over classes of the mean −log p(true class): log-loss in which each class weighs the same.

    true [N], probabilities [N, C] with rows that sum to one, folds concatenated before the call (pooled,
    so that a class with one item in a fold weighs no more than another). A class with fewer than `least`
    items does not enter: with one item it had no training item when it was scored. Probabilities are
    taken as at least `floor`, so that one confident error stays finite. NaN where no class is left.
    """
    true, probabilities = np.asarray(true), np.asarray(probabilities, float)
    if probabilities.ndim != 2 or len(probabilities) != len(true):
        raise ValueError(f"probabilities must be [{len(true)}, C], not {list(probabilities.shape)}")
    if not np.allclose(probabilities.sum(1), 1, atol=1e-3):
        raise ValueError("rows of probabilities must sum to one; were these logits?")
    loss = -np.log(np.maximum(probabilities[np.arange(len(true)), true], floor))
    sizes = np.bincount(true, minlength=probabilities.shape[1])
    sums = np.bincount(true, loss, minlength=probabilities.shape[1])
    kept = sizes >= max(least, 1)
    return float(np.mean(sums[kept] / sizes[kept])) if kept.any() else float("nan")


def calibrated_log_loss(true: Labels, logits: Array, strata: Labels | None = None) -> tuple[float, float]:
    """Class-mean log-loss at the one temperature T that makes it smallest, and T (arXiv 1706.04599).

    true [N], logits [N, C]; strata [N] name what weighs alike (the classes themselves if None). Scores that
    are compared by it tell how well classes are told apart: a head that is sure of itself under a shift is
    not put behind one that spreads its guesses, which accuracy and UAR would not do either. It never
    exceeds log C. (NaN, NaN) where a logit is not finite or no item is given.
    """
    from scipy.optimize import minimize_scalar

    true, logits = np.asarray(true), np.asarray(logits, float)
    if len(true) == 0 or not np.isfinite(logits).all():
        return float("nan"), float("nan")
    stratum = np.unique(true if strata is None else np.asarray(strata), return_inverse=True)[1]
    weight = 1 / np.bincount(stratum)[stratum]
    weight /= weight.sum()
    shifted = logits - logits.max(1, keepdims=True)
    own = shifted[np.arange(len(true)), true]

    def loss(log_t: float) -> float:
        t = np.exp(log_t)
        return float(weight @ (np.log(np.exp(shifted / t).sum(1)) - own / t))

    # convex in 1/T, hence with one minimum in log T
    found = minimize_scalar(loss, bounds=(-3.0, 9.0), method="bounded", options={"xatol": 1e-4})
    return min(float(found.fun), float(np.log(logits.shape[1]))), float(np.exp(found.x))


def shot_groups(counts: Labels, many: int = 100, few: int = 20) -> dict[str, tuple[int, ...]]:
    """Class ids of "many" (> `many` training items), "medium" and "few" (< `few`), from counts [C].

    Repositories differ at the borders (OLTR, arXiv 1904.05160: ≥ 100 and ≤ 20), so both are options.
    """
    if many < few:
        raise UserError(f"many-shot classes start above {many} items, below few-shot's {few}: raise `many`.")
    counts = np.asarray(counts)
    parts = {
        "many": counts > many,
        "medium": (counts <= many) & (counts >= few),
        "few": counts < few,
    }
    return {name: tuple(np.flatnonzero(mask).tolist()) for name, mask in parts.items()}


def classification_figures(
    true: Labels, predicted: Labels, classes: int, groups: Mapping[str, Sequence[int]] | None = None
) -> dict[str, float]:
    """Every figure of a set of predictions [N], as shares in 0 … 1, with the UAR of each group of classes.

    overall is WA, the accuracy over items; NaN marks a group whose classes have no items.
    """
    figures = {
        "overall": accuracy(true, predicted),
        "uar": uar(true, predicted, classes),
        "macro_f1": macro_f1(true, predicted, classes),
        "worst": worst_recall(true, predicted, classes),
        "harmonic": harmonic_mean_recall(true, predicted, classes),
        "geometric": geometric_mean_recall(true, predicted, classes),
    }
    found = recalls(true, predicted, classes)
    for name, members in (groups or {}).items():
        ours = found[list(members)]
        ours = ours[np.isfinite(ours)]
        figures[name] = float(ours.mean()) if len(ours) else float("nan")
    return figures


def per_subdomain(
    true: Labels,
    predicted: Labels,
    subdomain: Labels,
    classes: int,
    groups: Mapping[str, Sequence[int]] | None = None,
) -> dict[int, dict[str, float]]:
    """`classification_figures` of each subdomain that occurs in subdomain [N]."""
    return {
        int(s): classification_figures(true[subdomain == s], predicted[subdomain == s], classes, groups)
        for s in np.unique(subdomain)
    }


def _present(true: Labels, predicted: Labels, classes: int) -> Array:
    """Recalls of the classes that occur."""
    found = recalls(true, predicted, classes)
    return found[np.isfinite(found)]
