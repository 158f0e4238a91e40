"""The objective: schedule, identities between predictions, EMA, drop-out of conditions, drawn rows."""

import copy

import numpy as np
import pytest
import torch

from gelda.conditions import ConditionEncoder, ConditionSpace
from gelda.denoiser import Denoiser
from gelda.diffusion import (
    PREDICTION_TYPES,
    Draws,
    Model,
    NoisePath,
    TrainingData,
    cosine_alphas_cumprod,
    decay_groups,
    min_snr,
    target,
    to_clean,
    train,
)
from gelda.errors import UserError
from gelda.held_out import held_out_loss
from gelda.seeds import derive

SETTINGS = dict(
    steps=12, batch_size=16, learning_rate=1e-2, weight_decay=0.0, ema_decay=0.9, drop=0.1,
    prediction_type="v_prediction", weighting="uniform", seed=3,
)  # fmt: skip


def model(seed=0, dim=4) -> Model:
    torch.manual_seed(seed)
    space = ConditionSpace.build(torch.eye(3), torch.eye(2))
    return Model(Denoiser(dim, 8, width=16, depth=1), ConditionEncoder(space, 8))


def data(weight=None, dim=4) -> TrainingData:
    rng = torch.Generator().manual_seed(1)
    n = 30
    weight = torch.ones(n) if weight is None else weight
    return TrainingData(torch.randn(n, dim, generator=rng), torch.arange(n) % 3, torch.arange(n) % 2, weight)


def test_the_schedule_is_diffusers_cosine_bit_for_bit():
    from diffusers import DDPMScheduler

    reference = DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2").alphas_cumprod
    assert torch.equal(cosine_alphas_cumprod(), reference)


def test_the_schedule_is_the_published_formula():
    t = np.arange(1, 1001) / 1000
    expected = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(cosine_alphas_cumprod().numpy()[:-1], expected[:-1], atol=1e-5)
    assert 0 < float(cosine_alphas_cumprod()[-1]) < 1e-5, "β is capped, ᾱ does not reach zero"


@pytest.mark.parametrize("kind", PREDICTION_TYPES)
@pytest.mark.parametrize("timestep", [0, 100, 500, 900, 990])
def test_a_perfect_prediction_gives_the_clean_latent_back(kind, timestep):
    clean, noise = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    bar = cosine_alphas_cumprod()[timestep].double()
    alpha, sigma = bar.sqrt(), (1 - bar).sqrt()
    if kind == "flow":
        alpha, sigma = 1 - timestep / 1000, timestep / 1000
    prediction = target(kind, clean, noise, alpha, sigma)
    torch.testing.assert_close(to_clean(kind, prediction, alpha * clean + sigma * noise, alpha, sigma), clean)


def test_flow_is_the_derivative_of_the_straight_path():
    """d/dσ of (1 − σ)·clean + σ·noise: it leads to the noise, as diffusers' sigmas do (arXiv 2209.03003)."""
    clean, noise, sigma, step = torch.randn(4, 2).double(), torch.randn(4, 2).double(), 0.3, 1e-6
    ahead = (1 - sigma - step) * clean + (sigma + step) * noise
    behind = (1 - sigma + step) * clean + (sigma - step) * noise
    velocity = target("flow", clean, noise, torch.tensor(1 - sigma), torch.tensor(sigma))
    torch.testing.assert_close(velocity, (ahead - behind) / (2 * step), atol=1e-8, rtol=1e-8)


def test_v_is_the_derivative_along_the_angle():
    """v = d(noisy)/dφ for α = cos φ, σ = sin φ (arXiv 2202.00512, appendix D)."""
    clean, noise, phi, step = torch.randn(4, 2).double(), torch.randn(4, 2).double(), 0.7, 1e-6
    ahead = np.cos(phi + step) * clean + np.sin(phi + step) * noise
    behind = np.cos(phi - step) * clean + np.sin(phi - step) * noise
    v = target("v_prediction", clean, noise, torch.tensor(np.cos(phi)), torch.tensor(np.sin(phi)))
    torch.testing.assert_close(v, (ahead - behind) / (2 * step), atol=1e-8, rtol=1e-8)
    assert torch.equal(target("epsilon", clean, noise, phi, phi), noise)
    assert torch.equal(target("sample", clean, noise, phi, phi), clean)


@pytest.mark.parametrize("call", [
    lambda: target("velocity", None, None, 1, 0),
    lambda: to_clean("velocity", None, None, 1, 0),
])  # fmt: skip
def test_an_unknown_prediction_type_lists_the_valid_ones(call):
    with pytest.raises(
        UserError, match="no prediction_type called 'velocity'.*epsilon, flow, sample, v_prediction"
    ):
        call()


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_the_average_follows_the_formula(decay):
    """a ← d·a + (1 − d)·p with d = min(decay, n/(n + 9)) at step n, from the starting weights on."""
    trained, snapshots = model(), []
    start = copy.deepcopy(trained.state_dict())
    average = train(
        trained, data(), **{**SETTINGS, "ema_decay": decay}, every=1,
        on_step=lambda step, loss: snapshots.append(copy.deepcopy(trained.state_dict())),
    )  # fmt: skip
    assert len(snapshots) == 12
    expected = {name: value.double() for name, value in start.items()}
    for n, weights in enumerate(snapshots, 1):
        d = min(decay, n / (n + 9))
        expected = {name: d * old + (1 - d) * weights[name].double() for name, old in expected.items()}
    for name, value in average.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(average.denoiser.output.weight, trained.denoiser.output.weight)
    assert average is not trained and not average.training


@pytest.mark.parametrize("drop", [0.0, 0.1, 0.4])
def test_the_axes_are_dropped_separately_at_the_asked_rate(drop, monkeypatch):
    kept = []
    forward = ConditionEncoder.forward

    def spy(self, label, subdomain, keep_class=None, keep_subdomain=None):
        kept.append(torch.stack([keep_class, keep_subdomain]))
        return forward(self, label, subdomain, keep_class, keep_subdomain)

    monkeypatch.setattr(ConditionEncoder, "forward", spy)
    train(model(), data(), **{**SETTINGS, "drop": drop, "steps": 40, "batch_size": 500})
    dropped = ~torch.cat(kept, 1)
    sd = (drop * (1 - drop) / 20_000) ** 0.5
    assert dropped.shape == (2, 20_000)
    for axis in range(2):
        assert abs(float(dropped[axis].float().mean()) - drop) <= 5 * sd
    both = float((dropped[0] & dropped[1]).float().mean())
    assert abs(both - drop**2) <= 5 * (drop**2 / 20_000) ** 0.5, "one axis must not be dropped with the other"


def test_rows_are_drawn_in_proportion_to_their_weight(monkeypatch):
    drawn = []
    forward = ConditionEncoder.forward
    monkeypatch.setattr(
        ConditionEncoder,
        "forward",
        lambda self, label, *rest: drawn.append(label) or forward(self, label, *rest),
    )
    weight = torch.tensor([1.0, 2.0, 0.0]).repeat(10)  # by label, as data() has it
    train(model(), data(weight), **{**SETTINGS, "steps": 40, "batch_size": 500})
    share = np.bincount(torch.cat(drawn).numpy(), minlength=3) / 20_000
    np.testing.assert_allclose(share, [1 / 3, 2 / 3, 0], atol=0.02)


def test_a_pass_draws_each_row_as_often_as_its_weight_says_to_within_one():
    weight = torch.tensor([1.0, 5.0, 0.0, 2.5, 0.5, 3.0])
    draws = Draws(weight, torch.Generator().manual_seed(0))
    passes = torch.cat([draws.next(4) for _ in range(300)]).reshape(-1, 6)  # 200 passes of six draws
    assert len({tuple(p.tolist()) for p in passes}) > 50, "the order is drawn anew"
    counts = torch.stack([torch.bincount(p, minlength=6) for p in passes])
    expected = 6 * weight / weight.sum()
    assert int((counts - expected).abs().ceil().max()) <= 1
    np.testing.assert_allclose(counts.double().mean(0), expected, atol=0.1)
    assert not counts[:, 2].any(), "a weight of zero is never drawn"
    one = Draws(torch.tensor([0.0, 0.0, 1.0]), torch.Generator().manual_seed(0))
    assert set(one.next(50).tolist()) == {2}


@pytest.mark.parametrize("kind", PREDICTION_TYPES)
@pytest.mark.parametrize("weighting", ["uniform", "min-snr"])
def test_the_first_loss_by_hand(kind, weighting):
    """The untrained output is zero, so the first loss is the mean of weight(t)·mean(target²)."""
    losses, d = [], data()
    train(
        model(), d, **{**SETTINGS, "steps": 1, "prediction_type": kind, "weighting": weighting},
        on_step=lambda step, loss: losses.append(float(loss)), every=1,
    )  # fmt: skip
    rng = torch.Generator().manual_seed(derive(3, "diffusion-train"))
    rows = torch.randperm(30, generator=rng)[:16]  # equal weights: a pass is a shuffled epoch
    torch.rand(30, generator=rng)
    share = (torch.randperm(16, generator=rng) + torch.rand(16, generator=rng)) / 16
    if kind == "flow":
        spread = share.numpy().astype(np.float64)
        signal = 1 - spread
    else:
        bar = cosine_alphas_cumprod()[(1000 * share).long()].numpy().astype(np.float64)
        signal, spread = np.sqrt(bar), np.sqrt(1 - bar)
    snr = (signal / spread) ** 2
    x, e = d.clean[rows].numpy(), torch.randn(16, 4, generator=rng).numpy()
    wanted = {
        "epsilon": e,
        "sample": x,
        "v_prediction": signal[:, None] * e - spread[:, None] * x,
        "flow": e - x,
    }[kind]
    capped = np.minimum(snr, 5)  # arXiv 2303.09556
    factor = {
        "epsilon": capped / snr,
        "sample": capped,
        "v_prediction": capped / (snr + 1),
        "flow": capped * spread**2,
    }[kind]
    factor = factor if weighting == "min-snr" else np.ones(16)
    assert losses[0] == pytest.approx(float((factor * (wanted**2).mean(1)).mean()), rel=1e-4)


@pytest.mark.parametrize("kind", PREDICTION_TYPES)
def test_min_snr_weighs_the_error_of_the_clean_latent(kind):
    """An error of the prediction, carried over to the clean latent, has the same weight in all kinds."""
    path = NoisePath(kind, torch.device("cpu"))
    alpha, sigma = path.levels(path.quantile(torch.tensor([0.05, 0.3, 0.5, 0.8])))
    noisy, prediction = torch.randn(4, 3), torch.randn(4, 3)
    moved = to_clean(kind, prediction + 0.1, noisy, alpha, sigma) - to_clean(
        kind, prediction, noisy, alpha, sigma
    )
    expected = (alpha / sigma).square().clamp_max(5) * moved.square()
    torch.testing.assert_close(
        min_snr(kind, alpha, sigma) * 0.1**2, expected.mean(1, keepdim=True), rtol=2e-3, atol=1e-6
    )


@pytest.mark.parametrize("kind", PREDICTION_TYPES)
def test_a_batch_has_one_timestep_in_every_equal_share(kind):
    path, rng = NoisePath(kind, torch.device("cpu")), torch.Generator().manual_seed(0)
    first, second = path.draw(50, rng), path.draw(50, rng)
    for drawn in (first, second):
        assert sorted((drawn.double() / 20).floor().long().tolist()) == list(range(50))
    assert not torch.equal(first, first.sort().values) and not torch.equal(first, second)
    assert first.is_floating_point() == (kind == "flow")


def test_flow_timesteps_are_uniform_or_logit_normal():
    from scipy import stats

    rng = torch.Generator().manual_seed(0)
    even = NoisePath("flow", torch.device("cpu")).draw(20_000, rng) / 1000
    middle = NoisePath("flow", torch.device("cpu"), "logit-normal").draw(20_000, rng) / 1000
    assert stats.kstest(even.numpy(), "uniform").pvalue > 1e-3
    assert stats.kstest(np.log(middle / (1 - middle)).numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("settings, words", [
    ({"prediction_type": "flows"}, "no prediction_type called 'flows'. Did you mean 'flow'"),
    ({"weighting": "minsnr"}, "no loss weighting called 'minsnr'. Did you mean 'min-snr'"),
    ({"timestep_sampling": "normal"}, "no timestep_sampling called 'normal'. Did you mean 'logit-normal'"),
    ({"timestep_sampling": "logit-normal"}, "'logit-normal' is for flows: use 'uniform', or prediction_type"),
])  # fmt: skip
def test_wrong_settings_are_sentences(settings, words):
    with pytest.raises(UserError, match=words):
        train(model(), data(), **{**SETTINGS, **settings})


class WithExtra(torch.nn.Module):
    """A stand-in for a condition encoder that takes extra features."""

    def __init__(self):
        super().__init__()
        self.inner = ConditionEncoder(ConditionSpace.build(torch.eye(3), torch.eye(2)), 8)
        self.project, self.seen = torch.nn.Linear(2, 8), []

    def forward(self, label, subdomain, keep_class=None, keep_subdomain=None, extra=None):
        self.seen.append((label, subdomain, extra))
        return self.inner(label, subdomain, keep_class, keep_subdomain) + self.project(extra)


def test_a_batch_hook_gives_the_clean_latents_and_extra_features():
    torch.manual_seed(0)
    d, losses, drawn = data(), [], []
    other = Model(Denoiser(4, 8, width=16, depth=1), WithExtra())

    def batch(rows, rng):
        clean = d.clean[rows] - 3.0
        extra = torch.rand(len(rows), 2, generator=rng)
        drawn.append((rows, clean, extra))
        return clean, extra

    train(
        other, d, **{**SETTINGS, "prediction_type": "sample", "steps": 3}, batch=batch, every=1,
        on_step=lambda step, loss: losses.append(float(loss)),
    )  # fmt: skip
    seen = other.conditions.seen
    assert len(drawn) == len(seen) == 3
    for (rows, _, extra), (label, subdomain, handed) in zip(drawn, seen, strict=True):
        assert torch.equal(label, d.label[rows]) and torch.equal(subdomain, d.subdomain[rows])
        assert handed is extra
    # The untrained output is zero: the first loss is the mean square of what the hook gave.
    assert losses[0] == pytest.approx(float(drawn[0][1].square().mean()), rel=1e-5)
    again = []
    torch.manual_seed(0)
    train(
        Model(Denoiser(4, 8, width=16, depth=1), WithExtra()), d, **{**SETTINGS, "prediction_type": "sample"},
        batch=lambda rows, rng: again.append(rows) or batch(rows, rng),
    )  # fmt: skip
    assert torch.equal(again[0], drawn[0][0]), "the hook draws from the training's own generator"


def test_a_batch_hook_without_extra_features_leaves_the_encoder_alone():
    d = data()
    plain = train(model(), d, **SETTINGS)
    hooked = train(model(), d, **SETTINGS, batch=lambda rows, rng: (d.clean[rows], None))
    assert all(torch.equal(x, y) for x, y in zip(plain.parameters(), hooked.parameters(), strict=True))


def test_matrices_decay_and_vectors_do_not():
    m = model()
    decayed, free = decay_groups(list(m.parameters()), 0.3)
    names = {id(p): name for name, p in m.named_parameters()}
    assert decayed["weight_decay"] == 0.3 and free["weight_decay"] == 0
    assert {names[id(p)].split(".")[-1] for p in free["params"]} == {"bias", "null_class", "null_subdomain"}
    assert len(decayed["params"]) + len(free["params"]) == len(names)
    held = {names[id(p)] for p in decayed["params"]}
    assert {"conditions.class_residual", "denoiser.output.weight"} <= held


def test_weight_decay_shrinks_matrices_alone():
    """AdamW (arXiv 1711.05101): beside the gradient's step, a matrix loses lr·decay of itself."""
    start = model()
    torch.nn.init.constant_(start.denoiser.input.bias, 2.0)
    ends = []
    for decay in (0.0, 5.0):
        trained = copy.deepcopy(start)
        train(trained, data(), **{**SETTINGS, "steps": 1, "weight_decay": decay})
        ends.append(trained.denoiser)
    for name, lost in (("weight", 1e-2 * 5.0), ("bias", 0.0)):
        before, (a, b) = getattr(start.denoiser.input, name), (getattr(e.input, name) for e in ends)
        torch.testing.assert_close(a - b, lost * before, atol=1e-6, rtol=1e-4)


def test_dropout_is_seeded_and_leaves_the_global_state_alone():
    def dropping(rate, seed):
        m = model(dim=4)
        m.denoiser.dropout = rate
        state = torch.random.get_rng_state()
        trained = train(m, data(), **{**SETTINGS, "seed": seed})
        assert torch.equal(torch.random.get_rng_state(), state)
        return trained.denoiser.output.weight

    none, some = dropping(0.0, 3), dropping(0.5, 3)
    torch.rand(7)  # another global state
    assert torch.equal(dropping(0.5, 3), some) and not torch.allclose(none, some)


# -- the held-out loss ------------------------------------------------------------------------------------


class Oracle(torch.nn.Module):
    """Predicts as if the clean latent were always zero; tells the timesteps it was asked at."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.asked = kind, []

    @property
    def denoiser(self):
        return self

    def conditions(self, label, subdomain, keep_class, keep_subdomain, *extra):
        assert keep_class is None and keep_subdomain is None
        return torch.zeros(len(label), 1)

    def forward(self, noisy, timestep, condition):
        assert not self.training
        self.asked.append(timestep)
        alpha, sigma = NoisePath(self.kind, noisy.device).levels(timestep)
        return target(self.kind, torch.zeros_like(noisy), noisy / sigma, alpha, sigma)


@pytest.mark.parametrize("kind", PREDICTION_TYPES)
def test_held_out_loss_by_hand_and_with_even_timesteps(kind):
    n, repeats = 500, 4
    clean = 2 + torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    where = torch.zeros(n, dtype=torch.int64)
    oracle = Oracle(kind).train()
    loss = held_out_loss(
        oracle, clean, where, where, seed=0, prediction_type=kind, repeats=repeats, chunk=128
    )
    assert loss.shape == (n,) and oracle.training, "the mode is given back"
    asked = torch.cat(oracle.asked).double().reshape(repeats, n)
    for r in range(repeats):
        share = asked[r] / 1000
        assert r / repeats <= float(share.min()) and float(share.max()) < (r + 1) / repeats
        ordered = share.sort().values
        assert float(ordered.diff().max()) < 4 / (n * repeats) + 1e-3, "a share is covered evenly"
    # An error of −clean in the clean latent, carried over to what is predicted.
    if kind == "flow":
        sigma = asked / 1000
        alpha = 1 - sigma
    else:
        bar = cosine_alphas_cumprod().double()[asked.long()]
        alpha, sigma = bar.sqrt(), (1 - bar).sqrt()
    factor = {
        "sample": torch.ones_like(sigma), "epsilon": alpha / sigma,
        "v_prediction": 1 / sigma, "flow": 1 / sigma,
    }[kind]  # fmt: skip
    expected = (factor.square() * clean.double().square().mean(1)).mean(0)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-2, atol=1e-4)


def test_held_out_loss_is_deterministic_and_knows_each_item_alone():
    trained, d = train(model(), data(), **SETTINGS), data()
    settings = dict(seed=5, prediction_type="v_prediction", repeats=3)
    loss = held_out_loss(trained, d.clean, d.label, d.subdomain, **settings)
    torch.manual_seed(99)
    assert torch.equal(held_out_loss(trained, d.clean, d.label, d.subdomain, **settings), loss)
    part = held_out_loss(trained, d.clean[:9], d.label[:9], d.subdomain[:9], **settings)
    torch.testing.assert_close(part, loss[:9])
    other = held_out_loss(trained, d.clean, d.label, d.subdomain, **{**settings, "seed": 6})
    assert not torch.isclose(other, loss).any()


def test_held_out_loss_hands_extra_features_on():
    m, d = Model(Denoiser(4, 8, width=16, depth=1), WithExtra()), data()
    extra = torch.randn(30, 2)
    held_out_loss(
        m, d.clean, d.label, d.subdomain, extra, seed=0, prediction_type="flow", repeats=2, chunk=20
    )
    parts = [seen[2] for seen in m.conditions.seen]
    assert [len(part) for part in parts] == [20, 10] * 2 and torch.equal(torch.cat(parts[:2]), extra)


@pytest.mark.parametrize("kind", PREDICTION_TYPES)
def test_held_out_loss_falls_in_training_and_varies_little(kind):
    """Ranking two models must not hang on the seed."""
    d, settings = data(), {**SETTINGS, "prediction_type": kind, "steps": 200}
    trained = train(model(), d, **settings)

    def mean(m, seed):
        told = dict(seed=seed, prediction_type=kind, repeats=16)
        return float(held_out_loss(m, d.clean, d.label, d.subdomain, **told).mean())

    before, after = [mean(model(), s) for s in range(6)], [mean(trained, s) for s in range(6)]
    assert np.mean(after) < 0.97 * np.mean(before)
    assert all(a < b for a, b in zip(after, before, strict=True))


def test_the_loss_is_told_as_a_mean_since_the_last_time():
    every_step, every_five = [], []
    train(model(), data(), **SETTINGS, every=1, on_step=lambda step, loss: every_step.append(float(loss)))
    train(
        model(),
        data(),
        **SETTINGS,
        every=5,
        on_step=lambda step, loss: every_five.append((step, float(loss))),
    )
    assert [step for step, _ in every_five] == [5, 10, 12]
    for (_, value), part in zip(every_five, (every_step[:5], every_step[5:10], every_step[10:]), strict=True):
        assert value == pytest.approx(np.mean(part), rel=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    torch.manual_seed(0)
    a = train(model(), data(), **SETTINGS)
    torch.manual_seed(77)  # the global state plays no part in training
    b = train(model(), data(), **SETTINGS)
    c = train(model(), data(), **{**SETTINGS, "seed": 4})
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.allclose(a.denoiser.output.weight, c.denoiser.output.weight)


def test_every_parameter_is_trained_and_finite():
    before = model()
    after = train(model(), data(), **{**SETTINGS, "steps": 30, "drop": 0.3})
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        assert torch.isfinite(new).all() and not torch.equal(old, new), name


def test_bf16_trains_to_finite_weights_kept_in_fp32():
    trained = train(model(), data(), **SETTINGS, dtype=torch.bfloat16)
    reference = train(model(), data(), **SETTINGS)
    for a, b in zip(trained.parameters(), reference.parameters(), strict=True):
        assert a.dtype == torch.float32 and torch.isfinite(a).all()
        assert float((a - b).detach().abs().max()) < 0.1
