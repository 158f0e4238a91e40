"""The adapter with its classifier: z^(0) … z^(L), logits; and what its copies learn from, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from gelda import losses, mixers, posts, recipes
from gelda.errors import UserError, unknown
from gelda.seeds import generator

HEADS = {"linear": "A linear last layer.", "cosine": "Cosines, scaled, without a bias."}
COSINE_SCALE = 25.0


class Adapter(nn.Module):
    """K adapters of one shape: z^(i) = W_i·GELU(LN(z^(i−1))) (i = 1: W_1·z^(0)), logits likewise.

    Latents are pre-activations, so that a generator meets roughly Gaussian vectors. All K copies run
    in one batched matrix product; K is the arms or folds trained together.

    head: `linear`, or `cosine`: logits are 25 × the cosines of the last hidden features and the classes'
    weights, without a bias.

    compute: the dtype in which hidden layers are multiplied; weights, sums and all else stay in fp32.
    """

    compute: torch.dtype = torch.float32

    def __init__(
        self,
        widths: Sequence[int],
        classes: int,
        copies: int = 1,
        seed: int = 0,
        head: str = "linear",
    ) -> None:
        super().__init__()
        if head not in HEADS:
            raise unknown("head", head, HEADS)
        self.head = head
        self.widths, self.classes, self.copies = tuple(widths), classes, copies
        sizes = [*widths, classes]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for i, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            rng = generator(seed, "adapter", i)
            one = torch.randn(fan_in, fan_out, generator=rng) / fan_in**0.5
            self.weights.append(nn.Parameter(one.repeat(copies, 1, 1)))  # same start in every arm
            self.biases.append(nn.Parameter(torch.zeros(copies, 1, fan_out)))

    @property
    def layers(self) -> int:
        """L, the number of hidden layers."""
        return len(self.widths) - 1

    def forward(
        self,
        z: torch.Tensor,
        start: int = 0,
        stop: int | None = None,
        dropout: float = 0.0,
        rng: torch.Generator | None = None,
    ) -> torch.Tensor:
        """From z^(start) [K, B, D] to z^(stop), or to the logits [K, B, C] where stop is None."""
        for i in range(start, len(self.weights) if stop is None else stop):
            z = self.multiply(i, self._drop(self.activate(z, i), i, dropout, rng))
        return z

    def activate(self, z: torch.Tensor, layer: int) -> torch.Tensor:
        """What matrix number `layer` is given: GELU(LN(z^(layer))), and z^(0) as it is."""
        return F.gelu(F.layer_norm(z, z.shape[-1:])) if layer else z

    def classify(
        self, features: torch.Tensor, dropout: float = 0.0, rng: torch.Generator | None = None
    ) -> torch.Tensor:
        """Logits [K, B, C] of the last hidden features, activate(z^(L), L)."""
        return self.multiply(self.layers, self._drop(features, self.layers, dropout, rng))

    def multiply(self, layer: int, z: torch.Tensor, copies: list[int] | None = None) -> torch.Tensor:
        """Matrix number `layer` on its input [K, B, D], of all copies or of the named ones."""
        weight, bias = self.weights[layer], self.biases[layer]
        if copies is not None:
            weight, bias = weight[copies], bias[copies]
        if layer == self.layers and self.head == "cosine":
            return COSINE_SCALE * (F.normalize(z, dim=-1) @ F.normalize(weight, dim=1))
        if layer < self.layers and self.compute != torch.float32:
            return bias + torch.bmm(z.to(self.compute), weight.to(self.compute)).float()
        return torch.baddbmm(bias, z, weight)

    def _drop(self, z: torch.Tensor, layer: int, dropout: float, rng: torch.Generator | None) -> torch.Tensor:
        """One mask for all copies: an arm's result must not depend on its neighbours. z^(0) stays whole."""
        if layer == 0 or not dropout:
            return z
        kept = torch.rand(z.shape[1:], generator=rng, device=z.device) >= dropout
        return z * (kept / (1 - dropout))

    def run(self, z: torch.Tensor, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """The same for one set of latents [N, D] shared by all copies: [K, N, D], no gradient."""
        with torch.no_grad():
            return self(z.expand(self.copies, -1, -1), start, stop)

    def gather(self, index: Sequence[int]) -> Adapter:
        """A new adapter whose k-th copy starts from copy `index[k]` of this one."""
        new = Adapter(self.widths, self.classes, len(index), head=self.head).to(self.weights[0].device)
        with torch.no_grad():
            for mine, theirs in zip(new.parameters(), self.parameters(), strict=True):
                mine.copy_(theirs[list(index)])
        return new


@dataclass(frozen=True)
class HeadData:
    """What one head learns from: latents [N, D], labels [N], and each item's weight [N].

    counts [C] are the effective counts for losses that look at them: the sum of weights per class.
    subdomain [N] is needed for domain-adversarial training only; −1 is unknown. level int [N] is what
    recipes go by: 0 real, 1 … the noise level of a synthetic latent; None: no row is known to be synthetic.
    class_vectors [C, d]: semantic vectors that the classes' weights start from (gelda.class_start).
    """

    latents: torch.Tensor
    label: torch.Tensor
    weight: torch.Tensor
    subdomain: torch.Tensor | None = None
    level: torch.Tensor | None = None
    class_vectors: torch.Tensor | None = None

    def counts(self, classes: int, weight: torch.Tensor | None = None) -> torch.Tensor:
        """Effective counts [C], under other item weights [N] where given (those of a recipe's phase)."""
        weight = self.weight if weight is None else weight
        return torch.zeros(classes, dtype=torch.float64).index_add_(
            0, self.label.cpu(), weight.double().cpu()
        )


@dataclass(frozen=True)
class HeadPlan:
    """How one copy is trained. A strength of None is the entry's default.

    loss: an entry of LOSSES with its own number `strength`; deferred: class-balanced re-weighting in this
    last share of the steps (DRW, arXiv 1906.07413); mix: an entry of MIXERS, used on every batch of
    z^(start); post: an entry of POSTS, used on the last layer afterwards; adversarial: strength of
    domain-adversarial training (arXiv 1505.07818), None = without. recipe: an entry of RECIPES with its own
    number, when real and when synthetic items are drawn. loss, recipe None = the run's.
    """

    loss: str | None = None
    strength: float | None = None
    deferred: float | None = None
    mix: str | None = None
    mix_strength: float | None = None
    post: str | None = None
    post_strength: float | None = None
    adversarial: float | None = None
    recipe: str | None = None
    recipe_strength: float | None = None

    def resolved(
        self,
        loss: str,
        tau: float | None = None,
        recipe: str = "joint",
        recipe_strength: float | None = None,
    ) -> HeadPlan:
        """With the run's loss and recipe where none is named, its τ where logit adjustment has none."""
        plan = replace(self, loss=self.loss or loss)
        if plan.recipe is None:
            plan = replace(plan, recipe=recipe, recipe_strength=recipe_strength)
        if plan.loss == "logit-adjustment" and plan.strength is None:
            plan = replace(plan, strength=tau)
        return plan

    def checked(self) -> HeadPlan:
        """With every number filled in; an unknown name or an unusable number is refused."""
        if self.loss is None:
            raise UserError("A head's plan names no loss: give it one, or the run's with resolved(loss).")
        if self.deferred is not None and not 0 <= self.deferred <= 1:
            raise UserError(f"deferred is {self.deferred:g}: it is a share of the steps, from 0 to 1.")
        if self.adversarial is not None and not 0 <= self.adversarial < float("inf"):
            raise UserError(f"The adversarial strength is {self.adversarial:g}: it must be at least 0.")
        return replace(
            self,
            strength=losses.strength(self.loss, self.strength),
            mix_strength=mixers.strength(self.mix, self.mix_strength) if self.mix else None,
            post_strength=posts.strength(self.post, self.post_strength) if self.post else None,
            recipe=self.recipe or "joint",
            recipe_strength=recipes.strength(self.recipe or "joint", self.recipe_strength),
        )
