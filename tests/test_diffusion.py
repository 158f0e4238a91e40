"""The objective: schedule, identities between predictions, EMA, drop-out of conditions, drawn rows."""

import copy

import numpy as np
import pytest
import torch

from gelda.conditions import ConditionEncoder, ConditionSpace
from gelda.denoiser import Denoiser
from gelda.diffusion import (
    PREDICTION_TYPES,
    Model,
    TrainingData,
    cosine_alphas_cumprod,
    target,
    to_clean,
    train,
)
from gelda.errors import UserError
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
    prediction = target(kind, clean, noise, alpha, sigma)
    torch.testing.assert_close(to_clean(kind, prediction, alpha * clean + sigma * noise, alpha, sigma), clean)


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
        UserError, match="no prediction_type called 'velocity'.*epsilon, sample, v_prediction"
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
    rows = (torch.rand(16, generator=rng) * 30).floor().long()  # equal weights: row = ⌊30·u⌋
    t = torch.randint(1000, (16,), generator=rng)
    noise = torch.randn(16, 4, generator=rng)
    bar = cosine_alphas_cumprod()[t].numpy().astype(np.float64)
    snr = bar / (1 - bar)
    x, e = d.clean[rows].numpy(), noise.numpy()
    wanted = {
        "epsilon": e,
        "sample": x,
        "v_prediction": np.sqrt(bar)[:, None] * e - np.sqrt(1 - bar)[:, None] * x,
    }[kind]
    capped = np.minimum(snr, 5)
    factor = {"epsilon": capped / snr, "sample": capped, "v_prediction": capped / (snr + 1)}[
        kind
    ]  # arXiv 2303.09556
    factor = factor if weighting == "min-snr" else np.ones(16)
    assert losses[0] == pytest.approx(float((factor * (wanted**2).mean(1)).mean()), rel=1e-4)


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
