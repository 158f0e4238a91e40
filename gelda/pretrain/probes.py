"""What both rebuilds share: a linear probe of frozen latents, and a line of progress."""

from __future__ import annotations

import sys

import numpy as np
from torch import Tensor


class LinearProbe:
    """Logistic regression on standardised latents."""

    def __init__(self, latents: np.ndarray, targets: np.ndarray | Tensor):
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from threadpoolctl import threadpool_limits

        self.model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=400, tol=1e-3))
        with threadpool_limits(1):  # such small fits lose more by waiting threads than they gain
            self.model.fit(latents, np.asarray(targets))

    def accuracy(self, latents: np.ndarray, targets: np.ndarray | Tensor) -> float:
        """Share of right answers, in %."""
        return float(100 * np.mean(self.model.predict(latents) == np.asarray(targets)))


def progress(line: str, *, last: bool = False) -> None:
    """Write over the line before, on stderr."""
    print(f"\r{line:<78}", end="\n" if last else "", file=sys.stderr, flush=True)
