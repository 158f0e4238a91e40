"""Augmenters that make no latents, or make them without learning a generator."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from gelda.augmenters.base import Augmenter, Synthetic, Task
from gelda.seeds import derive, numpy_generator


class CrossEntropy(Augmenter):
    """Real latents only, plain cross-entropy."""

    loss = "ce"


class LogitAdjustment(Augmenter):
    """Real latents only, logit-adjusted loss (arXiv 2007.07314)."""

    loss = "logit-adjustment"


class Oversampling(Augmenter):
    """Random oversampling: rows are drawn so that every class is seen equally often.

    Its effective counts are equal, so logit adjustment adds nothing to it.
    """

    def real_weight(self, task: Task) -> torch.Tensor:
        counts = torch.from_numpy(task.class_counts()).float().clamp_min(1)
        weight = 1 / counts[task.label]
        return weight * len(weight) / weight.sum()


class Smote(Augmenter):
    """SMOTE (imbalanced-learn): points between a latent and a near one of its class.

    k shrinks to the class's size less one; a class of one latent is repeated, as there is nothing
    to interpolate with.
    """

    def synthesise(self, task: Task) -> Synthetic:
        from imblearn.over_sampling import SMOTE

        counts, wanted = task.class_counts(), self.class_targets(task)
        z, y = task.latents.numpy(), task.label.numpy()
        parts, labels = [], []
        for c in np.flatnonzero((wanted > 0) & (counts > 0)):
            own = z[y == c]
            if len(own) == 1:
                parts.append(own.repeat(wanted[c], 0))
            else:
                # A second, larger class is what imbalanced-learn needs to call this one a minority;
                # a seed of its own per class, or two classes would get the same random offsets.
                rest = np.zeros((len(own) + 1, z.shape[1]), z.dtype)
                sampler = SMOTE(
                    sampling_strategy={1: len(own) + int(wanted[c])},
                    k_neighbors=min(5, len(own) - 1),
                    random_state=derive(task.seed, "smote", int(c)) % 2**32,
                )
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # it warns that class 1 then outgrows class 0
                    made, _ = sampler.fit_resample(
                        np.concatenate([rest, own]), np.r_[np.zeros(len(rest), int), np.ones(len(own), int)]
                    )
                parts.append(made[len(rest) + len(own) :])
            labels.append(np.full(len(parts[-1]), c))
        return _pack(parts, labels, task)


class ResidualTransfer(Augmenter):
    """A real residual (latent − class mean) of another class, added to the class's own mean."""

    weight = 0.3

    def synthesise(self, task: Task) -> Synthetic:
        counts, wanted = task.class_counts(), self.class_targets(task)
        z, y = task.latents.numpy(), task.label.numpy()
        means = np.stack(
            [z[y == c].mean(0) if counts[c] else np.zeros(z.shape[1]) for c in range(task.classes)]
        )
        # n/(n−1) undoes the shrinking that comes from subtracting a mean that holds the latent itself
        residual = (z - means[y]) * np.sqrt(counts[y] / np.maximum(counts[y] - 1, 1))[:, None]
        parts, labels = [], []
        for c in np.flatnonzero((wanted > 0) & (counts > 0)):
            donors = np.flatnonzero((y != c) & (counts[y] > 1))
            if len(donors) == 0:
                continue  # one class only: there is no other class to borrow from
            drawn = numpy_generator(task.seed, "residual-transfer", int(c)).choice(donors, wanted[c])
            parts.append((means[c] + residual[drawn]).astype(np.float32))
            labels.append(np.full(wanted[c], c))
        return _pack(parts, labels, task)


def _pack(parts: list[np.ndarray], labels: list[np.ndarray], task: Task) -> Synthetic:
    if not parts:
        return Synthetic.none(task.latents.shape[1])
    label = torch.from_numpy(np.concatenate(labels).astype(np.int64))
    latents = torch.from_numpy(np.concatenate(parts).astype(np.float32))
    return Synthetic(latents, label, torch.full_like(label, -1))
