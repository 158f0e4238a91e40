"""LOSSES: classification losses of heads, batched over copies. Adding one = one function and one entry."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from gelda.errors import UserError, unknown

LDAM_SCALE = 30.0  # s of the cosine logits (arXiv 1906.07413, released settings)
DRW_BETA = 0.9999  # of the deferred re-weighting (the same)
FULL_COVARIANCE = 2**24  # ISDA keeps whole covariances up to so many numbers a copy (64 MB), then diagonals


@dataclass(frozen=True)
class LossBatch:
    """What a loss may use, for K copies, B items, C classes and D features of the last hidden layer.

    logits [K, B, C]; label [K, B]; counts [K, 1, C]: (effective) training counts; strength [K, 1]: the
    loss's own number; progress: share of the steps done, 0 at the start; features [K, B, D] and weights
    [K, D, C]: the last layer's input and weights; statistics: of the features, where the loss asks for them.
    """

    logits: torch.Tensor
    label: torch.Tensor
    counts: torch.Tensor
    strength: torch.Tensor
    progress: float
    features: torch.Tensor
    weights: torch.Tensor
    statistics: ClassStatistics | None = None

    def to(self, label: torch.Tensor, logits: torch.Tensor | None = None) -> LossBatch:
        """The same batch under other labels (and logits): the second half of a mixed pair."""
        return replace(self, label=label, logits=self.logits if logits is None else logits)


class ClassStatistics:
    """Running mean and covariance of every class's features in K copies (ISDA, arXiv 1909.12220, eq. 6-7).

    With w = n_b/(n + n_b): Σ ← (1−w)Σ + wΣ_b + w(1−w)(μ−μ_b)(μ−μ_b)ᵀ, which is the covariance of all
    features seen so far. covariance is [K, C, D, D], or [K, C, D] (diagonals) where that would be too large;
    which of the two depends on C and D alone, never on the copies beside.
    """

    def __init__(self, copies: int, classes: int, dim: int, device: torch.device) -> None:
        self.full = classes * dim * max(dim, classes) <= FULL_COVARIANCE
        shape = (copies, classes, dim, dim) if self.full else (copies, classes, dim)
        self.amount = torch.zeros(copies, classes, device=device)
        self.mean = torch.zeros(copies, classes, dim, device=device)
        self.covariance = torch.zeros(shape, device=device)

    def update(self, features: torch.Tensor, label: torch.Tensor) -> None:
        """Take in a batch: features [K, B, D], label [K, B]."""
        features = features.detach().float()
        member = F.one_hot(label, self.amount.shape[1]).to(features.dtype)  # [K, B, C]
        amount = member.sum(1)
        mean = member.transpose(1, 2) @ features / amount.clamp_min(1)[..., None]
        centred = features - mean.gather(1, label[..., None].expand_as(features))
        w = (amount / (self.amount + amount).clamp_min(1))[..., None]
        apart = self.mean - mean
        if self.full:
            # both added terms as outer products of scaled rows, so that Σ is passed over as little as can be
            scaled = (w / amount.clamp_min(1)[..., None]).sqrt()
            rows = centred * scaled.gather(1, label[..., None])
            between = apart * (w * (1 - w)).sqrt()
            self.covariance.mul_(1 - w[..., None])
            for k in range(len(label)):
                self._add_outer(k, rows[k], label[k])
                self._add_outer(k, between[k], torch.arange(len(between[k]), device=label.device))
        else:
            batch = member.transpose(1, 2) @ centred.square() / amount.clamp_min(1)[..., None]
            self.covariance.mul_(1 - w).add_(w * batch).add_(w * (1 - w) * apart.square())
        self.mean.lerp_(mean, w)
        self.amount += amount

    def _add_outer(self, copy: int, rows: torch.Tensor, label: torch.Tensor) -> None:
        """Σ_label += row·rowᵀ for every row [M, D], a few at a time to bound the memory."""
        dim = rows.shape[1]
        number = max(1, FULL_COVARIANCE // dim**2)
        flat = self.covariance[copy].flatten(1)
        for x, y in zip(rows.split(number), label.split(number), strict=True):
            flat.index_add_(0, y, (x[:, :, None] * x[:, None, :]).flatten(1))

    def spread(self, weights: torch.Tensor) -> torch.Tensor:
        """(w_j − w_y)ᵀ Σ_y (w_j − w_y) for all pairs of classes [K, C (y), C (j)]; weights [K, D, C]."""
        rows = weights.transpose(1, 2)  # w_c: [K, C, D]
        if self.full:
            # w_jᵀ Σ_y w_j = ⟨Σ_y, w_j w_jᵀ⟩: one matrix product for all pairs
            outer = (weights[:, :, None] * weights[:, None]).flatten(1, 2)  # [K, D², C]
            own = self.covariance.flatten(2) @ outer
            cross = (self.covariance @ rows[..., None])[..., 0] @ weights  # (Σ_y w_y)ᵀ w_j
        else:
            own = self.covariance @ weights.square()
            cross = (self.covariance * rows) @ weights
        return own - 2 * cross + cross.diagonal(dim1=1, dim2=2)[..., None]


@dataclass(frozen=True)
class LossSpec:
    """per_item(batch) -> [K, B]. `default` is the loss's own number (None: it has none), which must be at
    least 0 and below `below`.

    statistics: it needs ClassStatistics. finish(weight [D, C], bias [1, C], features [N, D]): rewrites a
    trained last layer so that prediction is the plain forward pass.
    """

    title: str
    note: str
    per_item: Callable[[LossBatch], torch.Tensor]
    default: float | None = None
    below: float = math.inf
    statistics: bool = False
    finish: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]] | None = (
        None
    )


def cross_entropy(batch: LossBatch) -> torch.Tensor:
    """−log softmax(logits)[label]."""
    return _cross_entropy(batch.logits, batch.label)


def logit_adjustment(batch: LossBatch) -> torch.Tensor:
    """Cross-entropy on logits + τ·log π, π the class frequencies (arXiv 2007.07314, eq. 10).

    With synthetic latents π must come from the mixed effective counts, or the tail is corrected twice.
    """
    shift = batch.strength[..., None] * _frequency(batch.counts).log()
    return _cross_entropy(batch.logits + shift, batch.label)


def balanced_softmax(batch: LossBatch) -> torch.Tensor:
    """Softmax with every exponential multiplied by its class's count (arXiv 2007.10740, eq. 4)."""
    return _cross_entropy(batch.logits + _frequency(batch.counts).log(), batch.label)


def class_balanced(batch: LossBatch) -> torch.Tensor:
    """Cross-entropy weighted by (1−β)/(1−β^n) (arXiv 1901.05555, eq. 3)."""
    weight = balanced_weights(batch.counts[:, 0], batch.strength).gather(1, batch.label)
    return weight * _cross_entropy(batch.logits, batch.label)


def focal(batch: LossBatch) -> torch.Tensor:
    """(1 − p)^γ · (−log p), p the probability of the label (arXiv 1708.02002, eq. 4, softmax form)."""
    loss = _cross_entropy(batch.logits, batch.label)
    miss = -torch.expm1(-loss)  # 1 − p without cancellation
    # γ < 1 has an endless slope at p = 1, where the loss itself is 0
    return miss.clamp_min(1e-6) ** batch.strength * loss


def ldam(batch: LossBatch) -> torch.Tensor:
    """Cross-entropy on s·(cosine − Δ_y·[j = y]), Δ_c ∝ n_c^(−1/4), the largest = strength
    (arXiv 1906.07413, eq. 12-13).

    Logits are cosines of the last hidden features and weights, without a bias, s = 30, as in the paper's
    released code. A class without items has no margin.
    """
    cosine = F.normalize(batch.features, dim=-1) @ F.normalize(batch.weights, dim=1)
    there = batch.counts > 0
    margin = torch.where(there, batch.counts.clamp_min(1e-8) ** -0.25, 0.0)
    margin = margin * (batch.strength[..., None] / margin.amax(-1, keepdim=True).clamp_min(1e-8))
    own = F.one_hot(batch.label, cosine.shape[-1]).to(cosine.dtype)
    return _cross_entropy(LDAM_SCALE * (cosine - own * margin), batch.label)


def fold_cosine(
    weight: torch.Tensor, bias: torch.Tensor, features: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A plain last layer with the cosine layer's predictions: its length and the bias are taken out.

    All classes share an item's feature length, so their order is exact; probabilities are as if every item
    had the mean length.
    """
    length = features.norm(dim=1).mean().clamp_min(1e-8)
    return F.normalize(weight, dim=0) * (LDAM_SCALE / length), torch.zeros_like(bias)


def isda(batch: LossBatch) -> torch.Tensor:
    """Cross-entropy on z_j + ½λ(w_j−w_y)ᵀΣ_y(w_j−w_y), λ = λ0·progress (arXiv 1909.12220, eq. 10)."""
    if batch.statistics is None:
        raise ValueError("isda needs the class statistics of its copies")
    spread = batch.statistics.spread(batch.weights)
    mine = spread.gather(1, batch.label[..., None].expand(-1, -1, spread.shape[-1]))
    strength = (0.5 * batch.progress) * batch.strength[..., None]
    return _cross_entropy(batch.logits + strength * mine, batch.label)


def balanced_weights(counts: torch.Tensor, beta: torch.Tensor | float) -> torch.Tensor:
    """(1−β)/(1−β^n) per class, scaled so that training items have a mean weight of 1; counts [..., C].

    The paper scales the classes' weights to a sum of C; ours keeps the loss as large as without weights
    whatever the imbalance. A class without items gets 0.
    """
    beta = torch.as_tensor(beta, dtype=counts.dtype, device=counts.device)
    # 1 − β^n = −expm1(n·log β), which β close to 1 needs; β = 0 weighs every class the same
    effective = -torch.expm1(counts.clamp_min(1e-8) * beta.clamp_min(1e-30).log())
    weight = torch.where(counts > 0, (1 - beta) / effective, 0.0)
    mean = (weight * counts).sum(-1, keepdim=True) / counts.sum(-1, keepdim=True)
    return weight / mean.clamp_min(1e-30)


LOSSES: dict[str, LossSpec] = {
    "ce": LossSpec("Cross-entropy", "Every item counts the same.", cross_entropy),
    "class-balanced": LossSpec(
        "Class-balanced", "Weighs a class by its effective number of items (β).", class_balanced, 0.9999, 1.0
    ),
    "focal": LossSpec("Focal", "Counts items less that are already right (γ).", focal, 2.0),
    "ldam": LossSpec(
        "LDAM",
        "Cosine logits with a larger margin for scarcer classes (largest margin).",
        ldam,
        0.5,
        finish=fold_cosine,
    ),
    "balanced-softmax": LossSpec(
        "Balanced softmax", "Multiplies each exponential by its class's count.", balanced_softmax
    ),
    "logit-adjustment": LossSpec(
        "Logit adjustment", "Adds τ·log(class frequency) to the logits in training.", logit_adjustment, 1.0
    ),
    "isda": LossSpec(
        "ISDA",
        "As if infinitely many latents were drawn from each class's covariance (λ0).",
        isda,
        0.5,
        statistics=True,
    ),
}


def get(name: str) -> LossSpec:
    """The entry for `name`, or an error that lists the valid names."""
    if name not in LOSSES:
        raise unknown("loss", name, LOSSES)
    return LOSSES[name]


def strength(name: str, value: float | None) -> float | None:
    """The loss's own number: `value`, or its default; a number it cannot use is refused."""
    spec = get(name)
    if value is None:
        return spec.default
    if spec.default is None:
        raise UserError(f"The loss '{name}' has no strength to set: leave {value:g} out.")
    if not 0 <= value < spec.below:
        limit = "" if spec.below == math.inf else f" and below {spec.below:g}"
        raise UserError(f"The strength of the loss '{name}' is {value:g}: it must be at least 0{limit}.")
    return value


def _frequency(counts: torch.Tensor) -> torch.Tensor:
    return (counts / counts.sum(-1, keepdim=True)).clamp_min(1e-8)


def _cross_entropy(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    return -F.log_softmax(logits, -1).gather(-1, label[..., None])[..., 0]
