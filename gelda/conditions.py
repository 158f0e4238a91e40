"""ConditionSpace: γ and κ as normalised vectors, their controls, and the module that embeds them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from gelda.errors import unknown
from gelda.seeds import generator

CONTROLS = ("none", "shuffled", "random", "class-only", "subdomain-only")


@dataclass(frozen=True)
class ConditionSpace:
    """gamma [C, Dγ] and kappa [S, Dκ]: centred, and scaled so that a row's mean square norm is 1."""

    gamma: torch.Tensor
    kappa: torch.Tensor

    @classmethod
    def build(
        cls, gamma: torch.Tensor, kappa: torch.Tensor, *, rank: int = 0, control: str = "none", seed: int = 0
    ) -> ConditionSpace:
        """Normalise both tables, reduce them to `rank` dimensions (0 = keep) and apply a control.

        Low rank: hundreds of free numbers a class are over-fitted (measured, method §4). Controls:
        `shuffled` deranges the rows (none keeps its own), `random` draws Gaussian rows of the same
        shape, `class-only` and `subdomain-only` blank the other axis.
        """
        if control not in CONTROLS:
            raise unknown("condition control", control, CONTROLS)
        tables = {"gamma": _normalise(gamma, rank), "kappa": _normalise(kappa, rank)}
        for name, table in tables.items():
            rng = generator(seed, "condition-control", control, name)
            if control == "shuffled":
                tables[name] = table[derangement(len(table), rng)]
            elif control == "random":
                tables[name] = _normalise(torch.randn(table.shape, generator=rng), 0)
        if control == "class-only":
            tables["kappa"] = torch.zeros_like(tables["kappa"])
        if control == "subdomain-only":
            tables["gamma"] = torch.zeros_like(tables["gamma"])
        return cls(**tables)


class ConditionEncoder(nn.Module):
    """u(γ, κ): each axis = projected semantic vector + learned residual per id, or a null vector.

    The two axes are dropped separately, so that guidance has a scale for each (w_γ, w_κ).
    """

    gamma: torch.Tensor
    kappa: torch.Tensor

    def __init__(self, space: ConditionSpace, width: int, *, residual: bool = True) -> None:
        super().__init__()
        self.width, self.residual = width, residual
        self.register_buffer("gamma", space.gamma.clone())
        self.register_buffer("kappa", space.kappa.clone())
        self.project_class = nn.Linear(space.gamma.shape[1], width)
        self.project_subdomain = nn.Linear(space.kappa.shape[1], width)
        # Zero at the start: an id that is never trained on keeps exactly its semantic vector.
        self.class_residual = nn.Parameter(torch.zeros(len(space.gamma), width), requires_grad=residual)
        self.subdomain_residual = nn.Parameter(torch.zeros(len(space.kappa), width), requires_grad=residual)
        self.null_class = nn.Parameter(torch.zeros(width))
        self.null_subdomain = nn.Parameter(torch.zeros(width))

    def forward(
        self,
        label: torch.Tensor,
        subdomain: torch.Tensor,
        keep_class: torch.Tensor | None = None,
        keep_subdomain: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """label, subdomain int [B]; keep_* bool [B] (None = keep all) -> condition [B, width]."""
        gamma = (self.project_class(self.gamma) + self.class_residual)[label]
        kappa = (self.project_subdomain(self.kappa) + self.subdomain_residual)[subdomain]
        if keep_class is not None:
            gamma = torch.where(keep_class[:, None], gamma, self.null_class)
        if keep_subdomain is not None:
            kappa = torch.where(keep_subdomain[:, None], kappa, self.null_subdomain)
        return gamma + kappa


def derangement(count: int, rng: torch.Generator) -> torch.Tensor:
    """A permutation of [0, count) without a fixed point (Sattolo's algorithm: one cycle)."""
    order = torch.arange(count)
    for i in range(count - 1, 0, -1):
        j = int(torch.randint(i, (1,), generator=rng))
        order[[i, j]] = order[[j, i]]
    return order


def _normalise(table: torch.Tensor, rank: int) -> torch.Tensor:
    centred = table.float() - table.float().mean(0)
    if rank and rank < min(centred.shape):
        u, s, _ = torch.linalg.svd(centred, full_matrices=False)
        centred = u[:, :rank] * s[:rank]
    return centred / centred.square().sum(1).mean().sqrt().clamp_min(1e-8)
