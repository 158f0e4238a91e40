"""What frozen encoders share: hidden layers read by hooks while the network runs, pooling, kept layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

import torch
from torch import Tensor, nn

from gelda import device as devices
from gelda.encoders import EMBED, POOLED, PROJECTED
from gelda.errors import UserError


class _Reached(Exception):
    """The deepest wanted layer is there: the rest of the network need not run."""


class Frozen:
    """A frozen network whose blocks are read as they run, pooled at once: no layer's tokens are kept.

    `embed` is the input of the first block (patches or frames with their positions); a block's layer is the
    block's own output, before any final norm. Layers in `own` are pooled by the model itself: `pooled` is
    what it hands its head, `projected` what its projection makes of that. habit: the pooling that `auto` is.
    """

    media = "image"
    even = False

    def __init__(
        self,
        network: nn.Module,
        blocks: Mapping[str, nn.Module],
        widths: Mapping[str, int],
        *,
        habit: str,
        poolings: Sequence[str],
        own: Sequence[str] = (POOLED, PROJECTED),
    ):
        self.network: Any = network.float().eval().requires_grad_(False)
        self.blocks, self.own, self.habit, self.poolings = (
            dict(blocks),
            frozenset(own),
            habit,
            tuple(poolings),
        )
        self.widths = dict(widths)
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.select(list(widths))

    def select(self, layers: Iterable[str], pooling: str = "auto") -> Self:
        """Keep these layers and pool them so; `layers` and `encode` then hold no other. Returns itself."""
        if pooling not in ("auto", *self.poolings):
            raise UserError(
                f"This encoder cannot pool by '{pooling}': choose from auto, {', '.join(self.poolings)}."
            )
        self.pooling = self.habit if pooling == "auto" else pooling
        kept = set(layers)
        self.layers = {name: self._width(name) for name in self.widths if name in kept}
        return self

    def _width(self, name: str) -> int:
        doubled = self.pooling == "mean+std" and name not in self.own
        return self.widths[name] * (2 if doubled else 1)

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Self:
        """Move the weights; bf16 `dtype` runs matrix products in bf16 (autocast). Latents stay fp32."""
        self.device, self.dtype = torch.device(device), dtype
        self.network.to(self.device)
        return self

    def run(
        self, forward: Callable[[], Any], pool: Callable[[Tensor], Tensor]
    ) -> tuple[dict[str, Tensor], Any]:
        """Pooled outputs of the kept blocks, and what `forward` gave: None if nothing behind them is kept."""
        latents: dict[str, Tensor] = {}
        hidden = [name for name in self.layers if name == EMBED or name in self.blocks]
        deepest = hidden[-1] if hidden and len(hidden) == len(self.layers) else None

        def keep(name: str, value: Any) -> None:
            latents[name] = pool((value[0] if isinstance(value, tuple) else value).float())
            if name == deepest:
                raise _Reached

        handles = []
        for name in hidden:
            if name == EMBED:
                first = next(iter(self.blocks.values()))
                handles.append(first.register_forward_pre_hook(lambda _, inputs: keep(EMBED, inputs[0])))
            else:
                hook = lambda _, __, output, name=name: keep(name, output)  # noqa: E731
                handles.append(self.blocks[name].register_forward_hook(hook))
        output = None
        try:
            with suppress(_Reached), devices.autocast(self.device, self.dtype):
                output = forward()
        finally:
            for handle in handles:
                handle.remove()
        return latents, output

    def ordered(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        """The kept layers in depth order, fp32."""
        return {name: latents[name].float() for name in self.layers}


def numbered(blocks: Sequence[nn.Module]) -> dict[str, nn.Module]:
    """block1 … blockN."""
    return {f"block{i}": block for i, block in enumerate(blocks, 1)}


def block_list(network: nn.Module, count: int) -> list[nn.Module]:
    """The blocks of a transformer: its outermost list of `count` modules; none where blocks share weights."""
    lists = (module for module in network.modules() if isinstance(module, nn.ModuleList))
    return next((list(found) for found in lists if len(found) == count), [])


def pool_tokens(hidden: Tensor, pooling: str, heads: int, real: Tensor) -> Tensor:
    """[B, T, D] -> [B, D], or [B, 2D] for mean+std.

    cls: the average of the first `heads` tokens. mean, mean+std: over the tokens where real [B, T] is true;
    the deviation is the population's.
    """
    if pooling == "cls":
        return hidden[:, :heads].mean(1)
    weight = real.to(hidden.dtype)[:, :, None]
    count = weight.sum(1)
    mean = (hidden * weight).sum(1) / count
    if pooling == "mean":
        return mean
    variance = ((hidden - mean[:, None]).square() * weight).sum(1) / count
    return torch.cat([mean, variance.sqrt()], 1)
