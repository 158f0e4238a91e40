"""Semantic vectors read from latents: mean and covariance of what carries a name."""

from __future__ import annotations

import torch

RANK = 8  # directions in which `moments` looks at a covariance


def moments(latents: torch.Tensor, ids: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    """Means [count, D] and log-covariances of the ids in the leading directions of all rows, each half of the
    variance; latents [N, D], ids [N].

    The covariance [r, r] of an id's n rows is shrunk to the pooled one, (n S + r P) / (n + r), and its
    matrix logarithm is flattened with √2 beside the diagonal, so that Euclidean distance is the
    log-Euclidean one (Arsigny et al., 2006).
    """
    residual = latents - means[ids]
    if len(latents) < 3:
        return means
    _, _, directions = torch.linalg.svd(residual, full_matrices=False)
    r = min(RANK, len(directions), len(latents) - 1)
    seen = (residual @ directions[:r].T).double()
    pooled = seen.T @ seen / len(seen)
    pooled = pooled + 1e-6 * pooled.diagonal().mean().clamp_min(1e-12) * torch.eye(r, dtype=seen.dtype)
    upper = torch.triu_indices(r, r)
    weight = torch.where(upper[0] == upper[1], 1.0, 2**0.5).double()
    logs = []
    for i in range(len(means)):
        mine = seen[ids == i]
        values, vectors = torch.linalg.eigh((mine.T @ mine + r * pooled) / (len(mine) + r))
        log = (vectors * values.clamp_min(1e-12).log()) @ vectors.T
        logs.append(log[upper[0], upper[1]] * weight)
    return torch.cat([_unit(means), _unit(torch.stack(logs).float())], dim=1)


def _unit(table: torch.Tensor) -> torch.Tensor:
    centred = table - table.mean(0)
    return centred / centred.square().sum(1).mean().sqrt().clamp_min(1e-8)
