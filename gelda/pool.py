"""The items that heads train on, on the device: rows, the counts of a phase, and who is drawn when."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gelda.adapter import HeadData
from gelda.seeds import generator


class Pool:
    """Rows of all copies on the device; latents that copies share are held once."""

    def __init__(
        self,
        data: Sequence[HeadData],
        classes: int,
        device: torch.device,
        timetables: Sequence[Sequence[tuple[int, torch.Tensor]]] = (),
    ) -> None:
        stored: dict[int, tuple[int, torch.Tensor]] = {}
        rows = 0
        for d in data:
            if id(d.latents) not in stored:
                stored[id(d.latents)] = (rows, d.latents)
                rows += len(d.latents)
        self.latents = torch.cat([table for _, table in stored.values()]).to(device)
        self.label = torch.cat([d.label for d in data]).to(device)
        self.counts = torch.stack([d.counts(classes) for d in data]).float().to(device)[:, None]
        # counts [C] of the copies whose phase begins, by step
        self._phases: dict[int, list[tuple[int, torch.Tensor]]] = {}
        for k, table in enumerate(timetables):
            for first, weight in table:
                if weight is not data[k].weight or first:
                    counts = data[k].counts(classes, weight).float().to(device)
                    self._phases.setdefault(first, []).append((k, counts))
        self.latent_at = torch.tensor([stored[id(d.latents)][0] for d in data], device=device)[:, None]
        sizes = torch.tensor([len(d.label) for d in data], device=device)
        self.label_at = (sizes.cumsum(0) - sizes)[:, None]
        self._data = data
        self._subdomain: torch.Tensor | None = None

    def batch(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """z^(start) [K, B, D] and labels [K, B] of the copies' row numbers [K, B]."""
        return self.latents[rows + self.latent_at], self.label[rows + self.label_at]

    def enter(self, step: int) -> bool:
        """Take the counts of the phases that begin at this step; False where none does."""
        begun = self._phases.get(step, [])
        for k, counts in begun:
            self.counts[k, 0] = counts
        return bool(begun)

    def subdomains(self, rows: torch.Tensor, members: list[int]) -> torch.Tensor:
        """Subdomains [K', B] of the row numbers [K, B], for copies that train against them."""
        if self._subdomain is None:
            unknown = [
                torch.full_like(d.label, -1) if d.subdomain is None else d.subdomain for d in self._data
            ]
            self._subdomain = torch.cat(unknown).to(self.label.device)
        return self._subdomain[(rows + self.label_at)[members]]

    def sd(self, members: Sequence[int]) -> torch.Tensor:
        """Standard deviation of every dimension over a copy's rows [K', 1, D]."""
        rows = [self._data[k].latents.to(self.latents) for k in members]
        return torch.stack([z.std(0, unbiased=False, keepdim=True) for z in rows])


def draws(
    timetables: Sequence[Sequence[tuple[int, torch.Tensor]]], steps: int, batch_size: int, seed: int
) -> torch.Tensor:
    """Row numbers of every copy's own table [steps, K, B]; a copy's draws depend on its weights alone."""
    uniform = torch.rand(steps, batch_size, generator=generator(seed, "head-draws"), dtype=torch.float64)
    parts = []
    for table in timetables:
        ends = [first for first, _ in table[1:]] + [steps]
        drawn = []
        for (first, weight), end in zip(table, ends, strict=True):
            cumulative = weight.double().cpu().cumsum(0)
            rows = torch.searchsorted(cumulative, uniform[first:end] * cumulative[-1])
            drawn.append(rows.clamp_max(len(cumulative) - 1))
        parts.append(torch.cat(drawn))
    return torch.stack(parts, 1)
