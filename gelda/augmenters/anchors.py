"""What residual diffusion takes off a latent and adds back: leave-one-out prototypes, or centres."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gelda.augmenters.base import Task
from gelda.augmenters.subdomains import statistics_rows
from gelda.seeds import generator

MOST = 16  # latents that a prototype is averaged over at most


@dataclass(frozen=True)
class Anchors:
    """anchor of a row: the mean of k others of its class (k random, log k is a condition feature), or,
    where a target subdomain is to be learned from others, the centre of its subdomain.

    From rich classes the model so learns how far a prototype of k latents lies from the truth
    (method §4, direction 1). members [C, n_max] row numbers padded; count [C]; place [N] of each row in
    its class; centre [S, D] or None.
    """

    latents: torch.Tensor
    label: torch.Tensor
    subdomain: torch.Tensor
    members: torch.Tensor
    count: torch.Tensor
    place: torch.Tensor
    centre: torch.Tensor | None
    seed: int

    @property
    def features(self) -> int:
        """Condition features: log k, or none."""
        return 0 if self.centre is not None else 1

    @classmethod
    def of(cls, task: Task) -> Anchors:
        """Anchors of a task, on its device."""
        z, y = task.latents, task.label
        count = torch.bincount(y, minlength=task.classes)
        members = torch.zeros(task.classes, max(1, int(count.max())), dtype=torch.int64)
        place = torch.zeros_like(y)
        for c in range(task.classes):
            rows = (y == c).nonzero()[:, 0]
            members[c, : len(rows)] = rows
            place[rows] = torch.arange(len(rows))
        centre = subdomain_centres(task) if task.target is not None else None
        there = task.device
        return cls(
            z.to(there),
            y.to(there),
            task.subdomain.to(there),
            members.to(there),
            count.to(there),
            place.to(there),
            None if centre is None else centre.to(there),
            task.seed,
        )

    def batch(self, rows: torch.Tensor, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Residuals [B, D] and log k [B, 1] of drawn rows; no host sync."""
        if self.centre is not None:
            return self.latents[rows] - self.centre[self.subdomain[rows]], None
        label = self.label[rows]
        others = self.count[label] - 1
        most = others.clamp(1, MOST).float()
        uniform = torch.rand(len(rows), generator=rng, device=rows.device)
        k = (most + 1).pow(uniform).floor().clamp(min=1).minimum(most)  # log-uniform on 1 … most
        drawn = torch.rand(len(rows), MOST, generator=rng, device=rows.device)
        index = (drawn * others.clamp_min(1)[:, None]).long()
        index = torch.where(index >= self.place[rows][:, None], index + 1, index)  # never the row itself
        # a class of one has no others: its only row is its prototype, the residual is nothing
        index = torch.where(others[:, None] > 0, index, torch.zeros_like(index))
        return self.latents[rows] - self._mean(label, index, k), k.log()[:, None]

    def draw(self, label: torch.Tensor, subdomain: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Anchors [M, D] on the CPU and log k [M, 1] for latents to be made in cells (label, subdomain).

        Every cell draws from a stream of its own, row by row: asking for more keeps the first anchors.
        """
        if self.centre is not None:
            return self.centre[subdomain.to(self.centre.device)].cpu(), None
        count = self.count.cpu()[label]
        k = count.clamp(1, MOST).float()
        drawn = torch.empty(len(label), MOST)
        for c, s in torch.stack([label, subdomain], 1).unique(dim=0).tolist():
            rows = (label == c) & (subdomain == s)
            drawn[rows] = torch.rand(
                int(rows.sum()), MOST, generator=generator(self.seed, "prototypes", c, s)
            )
        index = (drawn * count.clamp_min(1)[:, None]).long()
        where = self.label.device
        mean = self._mean(label.to(where), index.to(where), k.to(where)).cpu()
        overall = self.latents.mean(0).cpu()  # a class without a latent has no prototype
        return torch.where(count[:, None] > 0, mean, overall), k.log()[:, None]

    def _mean(self, label: torch.Tensor, index: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """Mean of the first k [B] of the class members numbered index [B, MOST]."""
        used = (torch.arange(MOST, device=k.device) < k[:, None]).to(self.latents.dtype)
        rows = self.members[label[:, None], index]
        return torch.einsum("bk,bkd->bd", used / k[:, None], self.latents[rows])


def subdomain_centres(task: Task) -> torch.Tensor:
    """[S, D]: the mean of the kept class's (or unlabelled) rows, else the class-balanced mean of a subdomain.

    A subdomain without such rows has the mean of all of them.
    """
    if task.kept is not None or task.unlabelled is not None:
        z, s = (torch.as_tensor(part) for part in statistics_rows(task))
        z = z.float()
        return torch.stack(
            [z[s == d].mean(0) if bool((s == d).any()) else z.mean(0) for d in range(task.subdomains)]
        )
    z, y, s = task.latents, task.label, task.subdomain
    centres = []
    for d in range(task.subdomains):
        means = [z[(s == d) & (y == c)].mean(0) for c in y[s == d].unique()]
        centres.append(torch.stack(means).mean(0) if means else z.mean(0))
    return torch.stack(centres)
