"""Distortions that make training images of rendered glyphs, in batches, on whatever device the images lie on.

Random numbers are drawn on the CPU, so that every device sees the same ones. Inside this module ink is 1
on paper 0; ``augment`` returns ink 0 on paper 1, as the demo's images are.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SIZE = 32  # px, an augmented image


def augment(images: Tensor, generator: torch.Generator, *, strength: float = 1.0) -> Tensor:
    """Distort rendered glyphs ``[B, 48, 48]`` uint8 into ``[B, 1, 32, 32]`` float32, ink 0 on paper 1.

    Geometry (scale, stretch, rotation, shear, perspective, elastic), then stroke (thicker or thinner),
    resolution, blur, contrast, noise and inversion, each drawn for each image. Strength scales the geometry.
    """
    homography = geometry(len(images), generator, strength).to(images.device)
    ink = warp(images.float()[:, None] / 255, homography, generator, elastic=0.07 * strength)
    ink = _stroke(ink, generator, strength)
    ink = _resolution(ink, generator, strength)
    return _contrast(ink, generator, strength)


def _uniform(
    count: int, low: float, high: float, generator: torch.Generator, device: torch.device | str = "cpu"
) -> Tensor:
    """``[count, 1, 1]`` numbers, drawn on the CPU so that every device sees the same ones."""
    return torch.empty(count, 1, 1).uniform_(low, high, generator=generator).to(device)


def geometry(count: int, generator: torch.Generator, strength: float, shear: float | None = None) -> Tensor:
    """Random homographies from output to input coordinates (both in [-1, 1]), ``[count, 3, 3]``."""
    angle = _uniform(count, -0.22, 0.22, generator) * strength
    # Half of the images lean strongly, as handwriting does; the other half stand.
    lean = _uniform(count, -0.75, 0.75, generator) * (_uniform(count, 0, 1, generator) < 0.6) * strength
    lean = lean if shear is None else torch.full_like(lean, shear)
    height = torch.exp(_uniform(count, -0.12, 0.28, generator) * strength)
    width = height * torch.exp(_uniform(count, -0.3, 0.4, generator) * strength)
    move = [_uniform(count, -0.12, 0.12, generator) * strength for _ in range(2)]
    tilt = [_uniform(count, -0.12, 0.12, generator) * strength for _ in range(2)]
    cos, sin, one = angle.cos(), angle.sin(), torch.ones_like(angle)
    rows = [
        torch.cat([width * cos, width * (lean * cos - sin), move[0]], 2),
        torch.cat([height * sin, height * (lean * sin + cos), move[1]], 2),
        torch.cat([tilt[0], tilt[1], one], 2),
    ]
    return torch.cat(rows, 1)


def warp(ink: Tensor, homography: Tensor, generator: torch.Generator, *, elastic: float = 0.07) -> Tensor:
    """Resample ``[B, 1, 48, 48]`` to ``[B, 1, 32, 32]`` through a homography and a smooth random field."""
    axis = torch.linspace(-1, 1, SIZE + 1, device=ink.device)[:-1] + 1 / SIZE
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], -1).reshape(1, -1, 3) @ homography.mT
    points = (points[..., :2] / points[..., 2:]).reshape(-1, SIZE, SIZE, 2)
    coarse = torch.randn(len(ink), 2, 5, 5, generator=generator).to(ink.device) * elastic
    shift = F.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic", align_corners=True)
    return F.grid_sample(ink, points + shift.permute(0, 2, 3, 1), align_corners=False).clamp(0, 1)


def thicken(ink: Tensor, amount: Tensor) -> Tensor:
    """Dilate (amount up to 1) or erode (down to -1) by that part of a pixel on each side; ``[B, 1, 1]``."""
    grown = F.max_pool2d(ink, 3, 1, 1) - ink
    shrunk = ink + F.max_pool2d(-ink, 3, 1, 1)
    amount = amount[:, None]
    return (ink + amount.clamp(min=0) * grown + amount.clamp(max=0) * shrunk).clamp(0, 1)


def _stroke(ink: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    """Strokes from 0.7 px thinner to 1.9 px thicker on each side."""
    amount = _uniform(len(ink), -0.7, 1.9, generator, ink.device) * strength
    return thicken(thicken(ink, amount.clamp(-1, 1)), (amount - 1).clamp(0, 1))


def blur(ink: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of each image by its own sigma ``[B, 1, 1]`` in px, as two matrix products."""
    axis = torch.arange(SIZE, device=ink.device, dtype=torch.float32)
    weights = torch.exp(-((axis[:, None] - axis) ** 2) / (2 * sigma.clamp(min=0.05) ** 2))
    weights = (weights / weights[:, SIZE // 2].sum(-1)[:, None, None])[:, None]
    return (weights @ ink @ weights.mT).clamp(0, 1)


def _resolution(ink: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    """A third of the images lose detail and are sharpened again (a coarse scan); a half are left soft."""
    count, device = len(ink), ink.device
    coarse = (_uniform(count, 0, 1, generator, device) < 0.35 * strength)[:, None]
    level = _uniform(count, 0.25, 0.55, generator, device)[:, None]
    soft = blur(ink, _uniform(count, 1.0, 2.2, generator, device))
    ink = torch.where(coarse, torch.sigmoid(10 * (soft - level)), ink)
    sigma = _uniform(count, 0.2, 2.4, generator, device) * (
        _uniform(count, 0, 1, generator, device) < 0.5 * strength
    )
    return blur(ink, sigma)


def _contrast(ink: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    """Fainter ink, darker paper, noise in half of the images; ink and paper swapped in 30 %."""
    count, device = len(ink), ink.device
    paper = _uniform(count, -0.15, 0.15, generator, device).clamp(min=0)[:, None] * strength
    faint = _uniform(count, -0.2, 0.35, generator, device).clamp(min=0)[:, None] * strength
    ink = paper + ink * (1 - faint - paper)
    noise = torch.randn(ink.shape, generator=generator).to(device) * strength
    ink = ink + noise * _uniform(count, -0.06, 0.06, generator, device).clamp(min=0)[:, None]
    swap = (_uniform(count, 0, 1, generator, device) < 0.3)[:, None]
    return torch.where(swap, ink, 1 - ink).clamp(0, 1)
