"""ConditionSpace: γ and κ as normalised vectors, their controls, and the module that embeds them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from gelda.compositions import CONTROLS
from gelda.errors import UserError, unknown
from gelda.seeds import generator


@dataclass(frozen=True)
class ConditionSpace:
    """gamma [C, Dγ] and kappa [S, Dκ]: centred, and scaled so that a row's mean square norm is 1.

    class_residual, subdomain_residual: whether ids of that axis may have a learned vector of their own.
    """

    gamma: torch.Tensor
    kappa: torch.Tensor
    class_residual: bool = True
    subdomain_residual: bool = True

    @classmethod
    def build(
        cls,
        gamma: torch.Tensor,
        kappa: torch.Tensor,
        *,
        rank: int = 0,
        class_rank: int = 0,
        subdomain_rank: int = 0,
        control: str = "none",
        seed: int = 0,
    ) -> ConditionSpace:
        """Normalise both tables, reduce them to so many dimensions (0 = keep) and apply a control.

        `class_rank` and `subdomain_rank` go before `rank` on their axis. Low rank: hundreds of free
        numbers a class are over-fitted (measured, method §4). Controls: `shuffled` deranges the rows
        (none keeps its own; `seed` chooses which derangement), `random` draws Gaussian rows of the same
        shape, `class-only` and `subdomain-only` blank the other axis with its learned residual,
        `unconditional` blanks both.
        """
        if control not in CONTROLS:
            raise unknown("condition control", control, CONTROLS)
        tables = {
            "gamma": _normalise(gamma, class_rank or rank),
            "kappa": _normalise(kappa, subdomain_rank or rank),
        }
        for name, table in tables.items():
            rng = generator(seed, "condition-control", control, name)
            if control == "shuffled":
                tables[name] = table[derangement(len(table), rng)]
            elif control == "random":
                tables[name] = _normalise(torch.randn(table.shape, generator=rng), 0)
        no_class = control in ("subdomain-only", "unconditional")
        no_subdomain = control in ("class-only", "unconditional")
        if no_class:
            tables["gamma"] = torch.zeros_like(tables["gamma"])
        if no_subdomain:
            tables["kappa"] = torch.zeros_like(tables["kappa"])
        return cls(**tables, class_residual=not no_class, subdomain_residual=not no_subdomain)


class ConditionEncoder(nn.Module):
    """u(γ, κ): each axis = projected semantic vector + learned residual per id, or a null vector.

    The two axes are dropped separately, so that guidance has a scale for each (w_γ, w_κ). `extra`
    numbers a row (such as the log k of a k-shot prototype) are added by a projection that starts at 0.
    """

    gamma: torch.Tensor
    kappa: torch.Tensor

    def __init__(self, space: ConditionSpace, width: int, *, residual: bool = True, extra: int = 0) -> None:
        super().__init__()
        self.width, self.residual, self.extra = width, residual, extra
        self.register_buffer("gamma", space.gamma.clone())
        self.register_buffer("kappa", space.kappa.clone())
        self.project_class = nn.Linear(space.gamma.shape[1], width)
        self.project_subdomain = nn.Linear(space.kappa.shape[1], width)
        # Zero at the start: an id that is never trained on keeps exactly its semantic vector.
        self.class_residual = nn.Parameter(
            torch.zeros(len(space.gamma), width), requires_grad=residual and space.class_residual
        )
        self.subdomain_residual = nn.Parameter(
            torch.zeros(len(space.kappa), width), requires_grad=residual and space.subdomain_residual
        )
        self.null_class = nn.Parameter(torch.zeros(width))
        self.null_subdomain = nn.Parameter(torch.zeros(width))
        self.project_extra: nn.Linear | None = None
        if extra:
            self.project_extra = nn.Linear(extra, width, bias=False)
            nn.init.zeros_(self.project_extra.weight)

    def forward(
        self,
        label: torch.Tensor,
        subdomain: torch.Tensor,
        keep_class: torch.Tensor | None = None,
        keep_subdomain: torch.Tensor | None = None,
        extra: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """label, subdomain int [B]; keep_* bool [B] (None = all); extra [B, E] -> condition [B, width]."""
        gamma, kappa = self.tables()
        return self._join(gamma[label], kappa[subdomain], keep_class, keep_subdomain, extra)

    def mix(
        self,
        class_weights: torch.Tensor,
        subdomain_weights: torch.Tensor,
        keep_class: torch.Tensor | None = None,
        keep_subdomain: torch.Tensor | None = None,
        extra: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Conditions between ids: weights [B, C] and [B, S], each row summing to 1 -> [B, width]."""
        gamma, kappa = self.tables()
        return self._join(
            _weights(class_weights, gamma, "class") @ gamma,
            _weights(subdomain_weights, kappa, "subdomain") @ kappa,
            keep_class,
            keep_subdomain,
            extra,
        )

    def extended(self, class_weights: torch.Tensor, subdomain_weights: torch.Tensor) -> ConditionEncoder:
        """A copy with further ids C, C+1 … and S, S+1 … that mix the known ones, for any sampler.

        class_weights [M, C], subdomain_weights [K, S]; rows sum to 1. Projections are affine, so the
        mixture of the inputs is exactly `mix` of the outputs.
        """
        by_class = _weights(class_weights, self.gamma, "class")
        by_subdomain = _weights(subdomain_weights, self.kappa, "subdomain")
        space = ConditionSpace(
            torch.cat([self.gamma, by_class @ self.gamma]),
            torch.cat([self.kappa, by_subdomain @ self.kappa]),
        )
        made = ConditionEncoder(space, self.width, residual=self.residual, extra=self.extra)
        with torch.no_grad():
            state = dict(self.state_dict())
            state |= {"gamma": space.gamma, "kappa": space.kappa}
            for name, weights in (("class_residual", by_class), ("subdomain_residual", by_subdomain)):
                state[name] = torch.cat([state[name], weights @ state[name]])
            made.load_state_dict(state)
        return made.to(self.gamma.device).requires_grad_(False)

    def tables(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Every id's condition of each axis: [C, width], [S, width]."""
        return (
            self.project_class(self.gamma) + self.class_residual,
            self.project_subdomain(self.kappa) + self.subdomain_residual,
        )

    def _join(
        self,
        gamma: torch.Tensor,
        kappa: torch.Tensor,
        keep_class: torch.Tensor | None,
        keep_subdomain: torch.Tensor | None,
        extra: torch.Tensor | None,
    ) -> torch.Tensor:
        if keep_class is not None:
            gamma = torch.where(keep_class[:, None], gamma, self.null_class)
        if keep_subdomain is not None:
            kappa = torch.where(keep_subdomain[:, None], kappa, self.null_subdomain)
        condition = gamma + kappa
        if extra is not None:
            if self.project_extra is None:
                raise ValueError("this ConditionEncoder was built with extra=0")
            condition = condition + self.project_extra(extra)
        return condition


def _weights(weights: torch.Tensor, table: torch.Tensor, axis: str) -> torch.Tensor:
    """Mixture weights [B, ids] on the table's device, checked."""
    if weights.ndim != 2 or weights.shape[1] != len(table):
        raise UserError(
            f"Mixture weights of the {axis} axis must be [rows, {len(table)}], one column an id, "
            f"not {tuple(weights.shape)}."
        )
    weights = weights.to(table)
    if not torch.isfinite(weights).all() or ((weights.sum(1) - 1).abs() > 1e-3).any():
        raise UserError(f"Mixture weights of the {axis} axis must be finite and sum to 1 in every row.")
    return weights


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
