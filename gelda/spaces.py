"""The space that an episode's latents are generated in: z^(l) of an adapter trained on its training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gelda.adapter import Adapter, HeadData, HeadPlan
from gelda.class_start import fresh
from gelda.finetune import adversarial
from gelda.heads import fit
from gelda.latents import Standardizer
from gelda.settings import AdapterConfig


@dataclass(frozen=True)
class Space:
    """Standardised z^(l), made from an encoder layer's raw latents [N, D]; all of it from training rows.

    base standardises the raw latents. At l ≥ 1 adapter (one copy) takes them to z^(l), which scale
    standardises. Not cross-fitted: the adapter has seen the training rows that arms model, so their z^(l)
    lie closer to their class than those of new items (prototypes and residuals with them); adapters of
    different folds have no common axes in which residuals could be exchanged. What it does is to be seen
    in the generator's health, which is measured on items that nothing was fitted on (method §5).
    """

    layer: int
    base: Standardizer
    adapter: Adapter | None = None
    scale: Standardizer | None = None

    @classmethod
    def at(cls, layer: int, base: Standardizer, adapter: Adapter, train: torch.Tensor) -> Space:
        """z^(l), l ≥ 1, from the raw training latents [N, D]."""
        return cls(layer, base, adapter, Standardizer.fit(_through(adapter, base.apply(train), layer)))

    def apply(self, raw: torch.Tensor) -> torch.Tensor:
        """Standardised z^(l) of raw latents [N, D]."""
        z = self.base.apply(raw)
        if self.adapter is None or self.scale is None:
            return z
        return self.scale.apply(_through(self.adapter, z, self.layer))

    def restore(self, z: torch.Tensor) -> torch.Tensor:
        """What the layers after l take for standardised z^(l)."""
        return z if self.scale is None else self.scale.invert(z)


def train_adapter(
    data: HeadData,
    classes: int,
    config: AdapterConfig,
    plan: HeadPlan,
    seed: int,
    device: torch.device,
) -> Adapter:
    """One adapter on standardised latents by a plan: its hidden layers are what l counts."""
    widths = (data.latents.shape[1], *config.hidden)
    return fit(
        fresh([data], widths, classes, seed, config.head).to(device),
        [data],
        [adversarial(plan, config, 0)],
        seed=seed,
        **config.training(config.steps),
    )


def heads_from(
    spaces: Sequence[Space | None],
    data: Sequence[HeadData],
    widths: tuple[int, ...],
    classes: int,
    seed: int,
    head: str = "linear",
) -> tuple[Adapter, int]:
    """Untuned heads, one a space and its data, and the layer they are tuned after.

    At l = 0 all start from one fresh initialisation (gelda.class_start); at l ≥ 1 each goes on from its
    space's adapter.
    """
    adapters = [space.adapter for space in spaces if space is not None and space.adapter is not None]
    if not adapters:
        return fresh(data, widths, classes, seed, head), 0
    heads = Adapter(adapters[0].widths, classes, len(spaces), seed, adapters[0].head)
    with torch.no_grad():
        for mine, *theirs in zip(heads.parameters(), *(a.parameters() for a in adapters), strict=True):
            mine.copy_(torch.cat(theirs))
    layers = {space.layer for space in spaces if space is not None}
    if len(adapters) < len(spaces) or len(layers) > 1:
        raise ValueError("heads that are tuned together must be at one layer")
    return heads, layers.pop()


def _through(adapter: Adapter, z: torch.Tensor, layer: int) -> torch.Tensor:
    return adapter.run(z.to(adapter.weights[0].device), 0, layer)[0].cpu()
