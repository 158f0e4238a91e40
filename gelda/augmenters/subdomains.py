"""Arms that move what is known of one subdomain to another."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from gelda.augmenters.base import Augmenter, Synthetic, Task, Transform, pack
from gelda.augmenters.baselines import grid
from gelda.seeds import numpy_generator

Array = NDArray[np.float64]


class MeanShift(Augmenter):
    """A class's latent of another subdomain, moved by (centre of the wanted subdomain − centre of its own).

    A centre is the mean of the subdomain's rows, labelled or not, where unlabelled ones are given
    (transductive); else that of its rows of the kept class, where there is one; else, pair by pair, the mean
    over the classes that both subdomains hold, each class counting the same. A cell gets nothing if its
    class has no row in any other subdomain, or no centre can be formed.
    """

    needs_subdomains = True
    grid = grid("weight", 0.3, 0.1, 1.0)

    def synthesise(self, task: Task) -> Synthetic:
        z, y, s = task.latents.numpy().astype(np.float64), task.label.numpy(), task.subdomain.numpy()
        parts, labels, subdomains = [], [], []
        for to in np.flatnonzero(task.allocation.sum(0) > 0):
            shift, known = self._shifts(task, int(to))
            for c in np.flatnonzero(task.allocation[:, to] > 0):
                donors = np.flatnonzero((y == c) & (s != to) & known[s])
                number = int(task.allocation[c, to])
                if len(donors) == 0:
                    continue
                rng = numpy_generator(task.seed, "mean-shift", int(c), int(to))
                drawn = rng.choice(donors, number)
                parts.append(z[drawn] + shift[s[drawn]])
                labels.append(np.full(number, c))
                subdomains.append(np.full(number, to))
        return pack(parts, labels, task, subdomains)

    def _shifts(self, task: Task, to: int) -> tuple[Array, NDArray[np.bool_]]:
        """centre of `to` − centre of every subdomain [S, D], and where it is known [S]."""
        if task.unlabelled is not None or task.kept is not None:
            z, s = statistics_rows(task)
            sums, counts = np.zeros((task.subdomains, z.shape[1])), np.bincount(s, minlength=task.subdomains)
            np.add.at(sums, s, z)
            centres = sums / np.maximum(counts, 1)[:, None]
            return centres[to] - centres, (counts > 0) & (counts[to] > 0)
        cell = task.label.numpy() * task.subdomains + task.subdomain.numpy()
        counts = np.bincount(cell, minlength=task.classes * task.subdomains)
        sums = np.zeros((len(counts), task.latents.shape[1]))
        np.add.at(sums, cell, task.latents.numpy().astype(np.float64))
        means = (sums / np.maximum(counts, 1)[:, None]).reshape(task.classes, task.subdomains, -1)
        held = counts.reshape(task.classes, task.subdomains) > 0
        shared = held & held[:, [to]]
        apart = np.where(shared[..., None], means[:, [to]] - means, 0.0).sum(0)
        return apart / np.maximum(shared.sum(0), 1)[:, None], shared.sum(0) > 0


class SubdomainNorm(Augmenter):
    """(z − mean_s)/sd_s, for training and test rows alike, from the training rows of every subdomain s.

    The rows are the same kind in every subdomain: those of the kept class where there is one, and all of
    them, with the unlabelled ones, in the transductive setting. A variance is drawn toward the pooled one
    as if that had been seen in `prior` further rows; pooled is the variance within subdomains. A
    subdomain without rows, or an unknown one (−1), has the statistics of all rows together.
    """

    needs_subdomains = True
    grid = grid("prior", 10.0, 1.0, 30.0, 100.0)

    def transform(self, task: Task) -> Transform | None:
        z, s = statistics_rows(task)
        prior, number = self.value("prior"), task.subdomains
        counts = np.bincount(s, minlength=number)[:, None]
        sums = np.zeros((number, z.shape[1]))
        np.add.at(sums, s, z)
        means = sums / np.maximum(counts, 1)
        squares = np.zeros_like(sums)
        np.add.at(squares, s, (z - means[s]) ** 2)
        # rows less subdomains: with one row in each there is no variance within, and all rows' is taken
        freedom = len(z) - int((counts > 0).sum())
        pooled = squares.sum(0) / freedom if freedom > 0 else z.var(0)
        variance = (squares + prior * pooled) / np.maximum(counts + prior, 1e-12)
        centre = np.where(counts > 0, means, z.mean(0))
        spread = np.where(counts > 0, variance, z.var(0))
        # the last row is for subdomains that are not known
        mean = torch.from_numpy(np.vstack([centre, z.mean(0)])).float()
        sd = torch.from_numpy(np.sqrt(np.vstack([spread, z.var(0)]))).float()
        # a dimension that never varies is only centred
        sd = torch.where(sd > 1e-6, sd, 1.0)

        def normalise(latents: torch.Tensor, subdomain: torch.Tensor) -> torch.Tensor:
            row = torch.where((subdomain >= 0) & (subdomain < number), subdomain, number).to("cpu")
            return (latents - mean[row].to(latents)) / sd[row].to(latents)

        return normalise


def statistics_rows(task: Task) -> tuple[Array, NDArray[np.int64]]:
    """Latents and subdomains from which a subdomain's statistics may come: all labelled and unlabelled rows
    in the transductive setting, else those of the kept class, else all labelled ones."""
    z, s = task.latents, task.subdomain
    if task.unlabelled is not None:
        z, s = torch.cat([z, task.unlabelled[0]]), torch.cat([s, task.unlabelled[1]])
    elif task.kept is not None and bool((task.label == task.kept).any()):
        rows = task.label == task.kept
        z, s = z[rows], s[rows]
    return z.numpy().astype(np.float64), s.numpy()
