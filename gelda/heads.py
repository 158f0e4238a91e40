"""Training of adapters and heads: every copy by its own plan, all of them in one batched loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from gelda import losses, mixers, posts, recipes
from gelda.adapter import Adapter, HeadData, HeadPlan
from gelda.domains import DomainHeads
from gelda.errors import UserError
from gelda.optimizer import AdamW
from gelda.pool import Pool as _Pool
from gelda.pool import draws as draw_rows
from gelda.seeds import derive


def fit(
    adapter: Adapter,
    data: Sequence[HeadData],
    plans: Sequence[HeadPlan],
    *,
    start: int = 0,
    steps: int = 300,
    batch_size: int = 256,
    learning_rate: float = 2e-3,
    weight_decay: float = 1e-2,
    dropout: float = 0.1,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    on_step: Callable[[int, int], None] = lambda step, total: None,
) -> Adapter:
    """Train the layers after `start` of every copy on its own data and by its own plan; those before stay.

    data: one HeadData a copy, of z^(start). Items are drawn with probability ∝ weight, which in
    expectation weights the loss; a recipe gives them other weights in every phase of the steps, and losses
    that know the class sizes those of the phase. Every copy gets the same number of steps: the same budget
    (`crt` then trains a fresh last layer, and nothing else, for as many again). No copy's result depends on
    its neighbours. dtype is that of the hidden layers' products while training; a trained head runs in fp32.
    """
    if len(data) != adapter.copies or len(plans) != adapter.copies:
        raise UserError(
            f"{adapter.copies} heads need as many data sets and plans, not {len(data)} and {len(plans)}."
        )
    if not 0 <= start <= adapter.layers:
        raise UserError(f"start is {start}: it must be from 0 to {adapter.layers}, the hidden layers.")
    plans = [plan.checked() for plan in plans]
    if adapter.head == "cosine":
        _refuse_for_cosines(plans)
    device = adapter.weights[0].device
    tables = [
        recipes.timetable(plan.recipe or "joint", plan.recipe_strength, steps, d.weight, d.label, d.level)
        for d, plan in zip(data, plans, strict=True)
    ]
    pool = _Pool(data, adapter.classes, device, tables)
    draws = draw_rows(tables, steps, batch_size, seed).to(device)
    trained = [p for i in range(start, len(adapter.weights)) for p in (adapter.weights[i], adapter.biases[i])]
    rivals = [k for k, plan in enumerate(plans) if plan.adversarial is not None]
    domains = _domain_heads(adapter, data, plans, rivals, start, seed)
    if domains is not None:
        trained += domains.to(device).parameters()
    optimizer = AdamW(trained, lr=learning_rate, weight_decay=weight_decay, fused=device.type != "mps")
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    groups = [_Group(adapter, pool, plans, members, seed) for members in _members(plans)]
    rng = torch.Generator(device).manual_seed(derive(seed, "head-dropout"))
    adapter.compute = dtype
    for step in range(steps):
        if pool.enter(step):
            for group in groups:
                group.recount(pool)
        z, label = pool.batch(draws[step])
        progress = step / steps
        mixed = [group.mix(z, label, start, progress) for group in groups]
        hidden = adapter(z, start, adapter.layers, dropout, rng)
        features = adapter.activate(hidden, adapter.layers)
        logits = adapter.classify(features, dropout, rng)
        # copies are independent: the sum of their mean losses gives each its own gradient
        total = torch.zeros((), device=device)
        for group, pairs in zip(groups, mixed, strict=True):
            total = total + group.loss(logits, features, label, progress, pairs).mean(1).sum()
        if domains is not None:
            total = total + domains(features[rivals], pool.subdomains(draws[step], rivals), progress)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        schedule.step()
        on_step(step + 1, steps)
    adapter.compute = torch.float32
    settings = {"batch_size": batch_size, "learning_rate": learning_rate, "weight_decay": weight_decay}
    _finish(adapter, data, plans, start, steps, seed, {**settings, "dropout": dropout})
    return adapter.eval()


def _members(plans: Sequence[HeadPlan]) -> list[list[int]]:
    """Copies by loss and mixer: each group's loss is one batched call."""
    groups: dict[tuple[str | None, str | None], list[int]] = {}
    for k, plan in enumerate(plans):
        groups.setdefault((plan.loss, plan.mix), []).append(k)
    return list(groups.values())


class _Group:
    """Copies of one loss and one mixer, whatever their strengths."""

    def __init__(
        self, adapter: Adapter, pool: _Pool, plans: Sequence[HeadPlan], members: list[int], seed: int
    ) -> None:
        device, plan = pool.latents.device, plans[members[0]]
        self.adapter, self.members = adapter, members
        self.spec = losses.get(plan.loss or "")
        self.recount(pool)
        numbers = [plans[k].strength or 0.0 for k in members]
        self.strength = torch.tensor(numbers, dtype=torch.float32, device=device)[:, None]
        # a copy without deferred re-weighting starts it after the end
        starts = [1.0 - d if (d := plans[k].deferred) else 2.0 for k in members]
        self.deferred = torch.tensor(starts, device=device)[:, None]
        self.reweighted = min(starts) < 2
        self.statistics = None
        if self.spec.statistics:
            width = adapter.weights[-1].shape[1]
            self.statistics = losses.ClassStatistics(len(members), adapter.classes, width, device)
        self.mixer = mixers.get(plan.mix) if plan.mix else None
        if self.mixer is not None:
            self.mix_strength = [plans[k].mix_strength or 0.0 for k in members]
            self.streams, self.sd = mixers.Streams(seed, plan.mix or "", len(members)), pool.sd(members)

    def recount(self, pool: _Pool) -> None:
        """Take the class counts that hold from now on."""
        self.counts = pool.counts[self.members]
        self.class_weight = losses.balanced_weights(self.counts[:, 0], losses.DRW_BETA)

    def mix(self, z: torch.Tensor, label: torch.Tensor, start: int, progress: float) -> mixers.Mixed | None:
        """Change this group's rows of z [K, B, D] in place; what its loss must know of it."""
        if self.mixer is None:
            return None
        mine = label[self.members]

        def loss_of(latents: torch.Tensor) -> torch.Tensor:
            for i in range(start, self.adapter.layers + 1):
                features = self.adapter.activate(latents, i)
                latents = self.adapter.multiply(i, features, self.members)
            weight = self.adapter.weights[-1][self.members]
            return self._per_item(latents, features, weight, mine, progress, None)

        mixed = self.mixer.mix(
            mixers.MixBatch(z[self.members], mine, self.mix_strength, self.sd, self.streams, loss_of)
        )
        z[self.members] = mixed.latents
        return mixed

    def loss(
        self,
        logits: torch.Tensor,
        features: torch.Tensor,
        label: torch.Tensor,
        progress: float,
        mixed: mixers.Mixed | None,
    ) -> torch.Tensor:
        """Losses [K', B] of this group's copies from everyone's logits [K, B, C] and features [K, B, D]."""
        at = self.members
        if self.statistics is not None:
            self.statistics.update(features[at], label[at])
        weight = self.adapter.weights[-1][at]
        return self._per_item(logits[at], features[at], weight, label[at], progress, mixed)

    def _per_item(
        self,
        logits: torch.Tensor,
        features: torch.Tensor,
        weight: torch.Tensor,
        label: torch.Tensor,
        progress: float,
        mixed: mixers.Mixed | None,
    ) -> torch.Tensor:
        batch = losses.LossBatch(
            logits, label, self.counts, self.strength, progress, features, weight, self.statistics
        )
        loss = self._weighted(batch)
        if mixed is None or mixed.other is None or mixed.share is None:
            return loss
        loss = mixed.share * loss + (1 - mixed.share) * self._weighted(batch.to(mixed.other))
        if mixed.apart is not None:
            # either class of a pair must be found where the other is no choice; two of one class are no pair
            sides = [
                self._weighted(batch.to(a, logits.scatter(-1, b[..., None], -1e9)))
                for a, b in ((label, mixed.other), (mixed.other, label))
            ]
            loss = loss + mixed.apart * torch.where(label == mixed.other, 0.0, sides[0] + sides[1])
        return loss

    def _weighted(self, batch: losses.LossBatch) -> torch.Tensor:
        """The loss per item, class-balanced from the copy's deferred start on."""
        loss = self.spec.per_item(batch)
        if not self.reweighted:
            return loss
        weight = self.class_weight.gather(1, batch.label)
        return torch.where(self.deferred <= batch.progress + 1e-9, weight, 1.0) * loss


def _finish(
    adapter: Adapter,
    data: Sequence[HeadData],
    plans: Sequence[HeadPlan],
    start: int,
    steps: int,
    seed: int,
    settings: dict[str, float],
) -> None:
    """Rewrite the last layer where the copy's loss or its decoupled head asks for it."""
    last = adapter.layers
    weights, biases = adapter.weights[last].detach(), adapter.biases[last].detach()
    again: dict[int, HeadData] = {}
    for k, (d, plan) in enumerate(zip(data, plans, strict=True)):
        finish = losses.get(plan.loss or "").finish if adapter.head == "linear" else None
        post = posts.get(plan.post) if plan.post else None
        if finish is None and post is None:
            continue
        one = adapter.gather([k])
        hidden = one.run(d.latents.to(weights.device), start, last)[0]
        features, label = adapter.activate(hidden, last), d.label.to(weights.device)
        if finish is not None:
            weights[k], biases[k] = finish(weights[k], biases[k], features)
        if post is not None and post.rewrite is not None:
            layer = posts.LastLayer(weights[k], biases[k], features, label, d.weight.to(weights.device))
            weights[k], biases[k] = post.rewrite(layer, plan.post_strength or 0.0)
        elif post is not None:
            counts = d.counts(adapter.classes).clamp_min(1e-8)
            balance = counts[d.label.cpu()].to(d.weight) ** -(plan.post_strength or 0.0)
            again[k] = HeadData(hidden, d.label, d.weight * balance)
    if not again:
        return
    heads = Adapter(adapter.widths, adapter.classes, len(again), derive(seed, "crt"), adapter.head)
    heads = heads.to(weights.device)
    if adapter.head == "linear":
        with torch.no_grad():  # the problem is convex: from 0 no random start has to be unlearned first
            heads.weights[last].zero_()
    fit(
        heads,
        list(again.values()),
        [HeadPlan(plans[k].loss, plans[k].strength) for k in again],
        start=last,
        steps=steps,
        seed=derive(seed, "crt"),
        **settings,  # type: ignore[arg-type]
    )
    weights[list(again)], biases[list(again)] = heads.weights[last].detach(), heads.biases[last].detach()


def linear_only(plan: HeadPlan) -> str | None:
    """The loss or decoupled head of a plan that is defined for linear last layers alone, or None."""
    return next((n for n in (plan.loss, plan.post) if n in ("isda", "tau-norm", "ncm")), None)


def _refuse_for_cosines(plans: Sequence[HeadPlan]) -> None:
    for name in filter(None, map(linear_only, plans)):
        raise UserError(f"'{name}' needs a linear last layer: use the adapter's head 'linear' with it.")


def _domain_heads(
    adapter: Adapter,
    data: Sequence[HeadData],
    plans: Sequence[HeadPlan],
    members: Sequence[int],
    start: int,
    seed: int,
) -> DomainHeads | None:
    """Domain heads of the copies `members`, or None where there are none."""
    if not members:
        return None
    if start == adapter.layers:
        raise UserError(
            f"Domain-adversarial training needs a trained hidden layer: start before layer {adapter.layers}."
        )
    subdomains = [s for k in members if (s := data[k].subdomain) is not None]
    if len(subdomains) < len(members):
        raise UserError(
            "Domain-adversarial training needs the rows' subdomains: give HeadData its subdomain."
        )
    strength = [plans[k].adversarial or 0.0 for k in members]
    return DomainHeads(strength, [s.cpu() for s in subdomains], adapter.widths[-1], seed)
