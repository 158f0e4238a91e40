"""Points between neighbours of a scarce class, by imbalanced-learn."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gelda.augmenters.base import Augmenter, Synthetic, Task, pack
from gelda.augmenters.baselines import grid
from gelda.seeds import derive, numpy_generator


class Smote(Augmenter):
    """SMOTE (Chawla et al., 2002): points between a latent and a near one of its class.

    k shrinks to the class's size less one; a class of one latent is repeated, as there is nothing
    to interpolate with.
    """

    grid = grid("weight", 1.0, 0.1, 0.3)
    neighbours = 5

    def synthesise(self, task: Task) -> Synthetic:
        counts, wanted = task.class_counts(), self.class_targets(task)
        z, y = task.latents.numpy(), task.label.numpy()
        parts, labels = [], []
        for c in np.flatnonzero((wanted > 0) & (counts > 0)):
            own, number = z[y == c], int(wanted[c])
            if len(own) == 1:
                parts.append(own.repeat(number, 0))
            else:
                parts.append(self.between(own, z[y != c], number, task.seed, int(c)))
            labels.append(np.full(number, c))
        return pack(parts, labels, task)

    def between(
        self, own: NDArray[np.float32], rest: NDArray[np.float32], number: int, seed: int, label: int
    ) -> NDArray[np.float32]:
        """`number` new latents [number, D] of a class with at least two rows."""
        from imblearn.over_sampling import SMOTE

        # A second, larger class is what imbalanced-learn needs to call this one a minority;
        # a seed of its own per class, or two classes would get the same random offsets.
        rest = np.zeros((len(own) + 1, own.shape[1]), own.dtype)
        state = derive(seed, "smote", label) % 2**32
        return _resample(SMOTE, own, rest, number, k_neighbors=self._k(own), random_state=state)

    def _k(self, own: NDArray[np.float32]) -> int:
        return min(self.neighbours, len(own) - 1)


class BorderlineSmote(Smote):
    """Borderline-SMOTE 1 (Han et al., 2005): starts only from latents with mostly other classes around.

    A class none of whose latents lies at the border gets plain SMOTE.
    """

    def between(
        self, own: NDArray[np.float32], rest: NDArray[np.float32], number: int, seed: int, label: int
    ) -> NDArray[np.float32]:
        from imblearn.over_sampling import BorderlineSMOTE

        made = own[:0]
        if len(rest):
            around = min(10, len(own) + len(rest) - 1)
            state = derive(seed, "borderline-smote", label) % 2**32
            options = {"k_neighbors": self._k(own), "m_neighbors": around, "random_state": state}
            made = _resample(BorderlineSMOTE, own, rest, number, **options)
        return made if len(made) == number else super().between(own, rest, number, seed, label)


class Adasyn(Smote):
    """ADASYN (He et al., 2008): more points where more of the neighbours are of other classes.

    It rounds the number per latent, so more are made and the wanted number is drawn from them. A class
    whose latents have none of another class around gets plain SMOTE: ADASYN refuses it.
    """

    def between(
        self, own: NDArray[np.float32], rest: NDArray[np.float32], number: int, seed: int, label: int
    ) -> NDArray[np.float32]:
        from imblearn.over_sampling import ADASYN

        made = own[:0]
        if len(rest):
            state = derive(seed, "adasyn", label) % 2**32
            # rounding loses less than half a latent a row
            asked = number + len(own)
            try:
                made = _resample(ADASYN, own, rest, asked, n_neighbors=self._k(own), random_state=state)
            except (RuntimeError, ValueError) as error:
                if "neigbours" not in str(error) and "No samples will be generated" not in str(error):
                    raise
        if len(made) < number:
            return super().between(own, rest, number, seed, label)
        picked = numpy_generator(seed, "adasyn", label).choice(len(made), number, replace=False)
        return made[np.sort(picked)]


def _resample(
    sampler: Callable[..., Any],
    own: NDArray[np.float32],
    rest: NDArray[np.float32],
    number: int,
    **options: Any,
) -> NDArray[np.float32]:
    """What `sampler` adds to `own` against `rest`."""
    data = np.concatenate([rest, own])
    label = np.r_[np.zeros(len(rest), int), np.ones(len(own), int)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that class 1 then outgrows class 0
        made, _ = sampler(sampling_strategy={1: len(own) + number}, **options).fit_resample(data, label)
    return made[len(data) :]
