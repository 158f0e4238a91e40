"""The denoising loss of held-out latents: by it layers and denoisers are compared without sampling."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from gelda.diffusion import Model, NoisePath, embed, target
from gelda.seeds import row_noise

GOLDEN = (5**0.5 - 1) / 2


@torch.no_grad()
def held_out_loss(
    model: Model,
    clean: torch.Tensor,
    label: torch.Tensor,
    subdomain: torch.Tensor,
    extra: torch.Tensor | None = None,
    *,
    seed: int,
    prediction_type: str,
    repeats: int = 8,
    chunk: int = 4096,
) -> torch.Tensor:
    """Denoising loss [N] of every held-out latent [N, D]: the mean square error of the prediction.

    Repeat r looks at timesteps of the r-th of `repeats` equal shares, the items of a share spread by
    the golden ratio; noise depends on (seed, repeat, item) alone. So two models of one prediction_type
    are compared on the same noise, and an item keeps its loss when others follow it.
    """
    device = clean.device
    path = NoisePath(prediction_type, device)
    offset = (torch.arange(1, len(clean) + 1, dtype=torch.float64) * GOLDEN).frac()
    loss = torch.zeros(len(clean), device=device)
    was_training = model.training
    model.eval()
    for repeat in range(repeats):
        timesteps = path.quantile(((repeat + offset) / repeats).float().to(device))
        noises = row_noise(seed, ("held-out", repeat), *clean.shape).to(device)
        for start in range(0, len(clean), chunk):
            part = slice(start, start + chunk)
            noise, timestep = noises[part], timesteps[part]
            alpha, sigma = path.levels(timestep)
            features = None if extra is None else extra[part]
            condition = embed(model, label[part], subdomain[part], None, None, features)
            prediction = model.denoiser(alpha * clean[part] + sigma * noise, timestep, condition)
            wanted = target(prediction_type, clean[part], noise, alpha, sigma)
            loss[part] += F.mse_loss(prediction, wanted, reduction="none").mean(1) / repeats
    model.train(was_training)
    return loss
