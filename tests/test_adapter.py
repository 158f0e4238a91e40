"""Adapters side by side: independent of each other, frozen where they should be, right about counts."""

import numpy as np
import pytest
import torch

from gelda.adapter import Adapter, HeadData, HeadPlan
from gelda.artifacts import read_tensors, write_tensors
from gelda.errors import UserError
from gelda.heads import fit

SETTINGS = dict(steps=25, batch_size=32, learning_rate=5e-3, weight_decay=0.05, dropout=0.2)


def data(seed=0, n=90, dim=6, weight=None) -> HeadData:
    rng = torch.Generator().manual_seed(seed)
    label = torch.arange(n) % 3
    z = torch.randn(n, dim, generator=rng) + 2 * torch.eye(3, dim)[label]
    return HeadData(z, label, torch.ones(n) if weight is None else weight)


CE, LA = HeadPlan("ce"), HeadPlan("logit-adjustment")


def parts(adapter, copy):
    return [p[copy] for p in adapter.parameters()]


def test_the_forward_pass_by_hand():
    adapter = Adapter((6, 5, 4), 3, copies=2, seed=1)
    with torch.no_grad():
        for p in adapter.parameters():
            p.add_(0.1 * torch.randn_like(p))
    z = torch.randn(7, 6)
    out = adapter.run(z)
    assert out.shape == (2, 7, 3) and adapter.layers == 2
    for k in range(2):
        w, b = (
            [p[k].double().detach() for p in adapter.weights],
            [p[k].double().detach() for p in adapter.biases],
        )
        h = z.double() @ w[0] + b[0]
        torch.testing.assert_close(adapter.run(z, 0, 1)[k].double(), h, atol=1e-5, rtol=1e-5)
        for i in (1, 2):
            h = (h - h.mean(1, keepdim=True)) / (h.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
            h = h * 0.5 * (1 + torch.erf(h / 2**0.5)) @ w[i] + b[i]
        torch.testing.assert_close(out[k].double(), h, atol=1e-5, rtol=1e-5)
    middle = adapter.run(z, 0, 2)
    torch.testing.assert_close(adapter(middle, 2), out, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("widths", [(6,), (6, 5), (6, 8, 4)])
def test_k_copies_are_k_separate_trainings(widths):
    sets, plans = [data(0), data(1, 60), data(2, 45)], [CE, LA, CE]
    together = fit(Adapter(widths, 3, 3, seed=4), sets, plans, seed=5, **SETTINGS)
    for k in range(3):
        alone = fit(Adapter(widths, 3, 1, seed=4), [sets[k]], [plans[k]], seed=5, **SETTINGS)
        for a, b in zip(parts(together, k), parts(alone, 0), strict=True):
            torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-3)
    assert not torch.allclose(parts(together, 0)[0], parts(together, 1)[0], atol=1e-3)


def test_the_result_of_an_arm_does_not_depend_on_the_others():
    first = fit(Adapter((6, 5), 3, 2), [data(0), data(1)], [CE, CE], **SETTINGS)
    other = fit(Adapter((6, 5), 3, 2), [data(0), data(9, 300)], [CE, LA], **SETTINGS)
    for a, b in zip(parts(first, 0), parts(other, 0), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    more = fit(Adapter((6, 5), 3, 5), [data(k) for k in (3, 4, 0, 5, 6)], [CE] * 5, **SETTINGS)
    for a, b in zip(parts(first, 0), parts(more, 2), strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("start", [0, 1, 2])
def test_layers_before_the_start_stay_as_they_are(start):
    adapter = Adapter((6, 5, 4), 3, 2)
    before = [p.detach().clone() for p in adapter.parameters()]
    z = (
        data()
        if start == 0
        else HeadData(adapter.run(data().latents, 0, start)[0], data().label, data().weight)
    )
    fit(adapter, [z, z], [CE, CE], start=start, **SETTINGS)
    count = len(adapter.weights)
    for i, (old, new) in enumerate(zip(before, adapter.parameters(), strict=True)):
        assert torch.equal(old, new) == (i % count < start), f"parameter {i}"


def test_a_gradient_reaches_every_parameter():
    adapter = Adapter((6, 5, 4), 3, 2)
    adapter(torch.randn(2, 8, 6)).square().mean().backward()
    for name, p in adapter.named_parameters():
        assert p.grad is not None and p.grad.flatten(1).any(1).all(), name


def test_logit_adjustment_uses_the_mixed_effective_counts():
    """Blind latents: only the prior can be learned. Corrected by the effective counts the posterior is
    uniform; corrected by the raw ones (30, 30, 30) it would stay the effective one."""
    weight = torch.tensor([1.0, 0.3, 0.1])[torch.arange(90) % 3]
    blind = HeadData(torch.zeros(90, 2), torch.arange(90) % 3, weight)
    np.testing.assert_allclose(blind.counts(3).numpy(), [30, 9, 3], rtol=1e-5)
    settings = dict(steps=400, batch_size=512, learning_rate=0.05, weight_decay=0.0, dropout=0.0)
    trained = fit(Adapter((2,), 3, 2), [blind, blind], [CE, LA], **settings)
    posterior = trained.run(torch.zeros(1, 2)).softmax(-1)[:, 0].numpy()
    np.testing.assert_allclose(posterior[0], np.array([30, 9, 3]) / 42, atol=0.02)
    np.testing.assert_allclose(posterior[1], 1 / 3, atol=0.03)


def test_counts_of_a_class_without_items_are_zero_and_training_stays_finite():
    label = torch.tensor([0, 0, 1, 1] * 10)
    lonely = HeadData(torch.randn(40, 3), label, torch.ones(40))
    np.testing.assert_array_equal(lonely.counts(3).numpy(), [20, 20, 0])
    trained = fit(Adapter((3, 4), 3), [lonely], [LA], **SETTINGS)
    assert all(torch.isfinite(p).all() for p in trained.parameters())


def test_items_are_drawn_in_proportion_to_their_weight():
    """Two blind classes of one item each, 3 : 1: plain cross-entropy learns just that."""
    pair = HeadData(torch.zeros(2, 2), torch.tensor([0, 1]), torch.tensor([3.0, 1.0]))
    settings = dict(steps=400, batch_size=512, learning_rate=0.05, weight_decay=0.0, dropout=0.0)
    trained = fit(Adapter((2,), 2), [pair], [CE], **settings)
    assert float(trained.run(torch.zeros(1, 2)).softmax(-1)[0, 0, 0]) == pytest.approx(0.75, abs=0.02)


def test_all_copies_start_alike_and_gather_keeps_them():
    adapter = Adapter((6, 5), 3, 3, seed=2)
    for p in adapter.parameters():
        assert torch.equal(p[0], p[1]) and torch.equal(p[0], p[2])
    trained = fit(adapter, [data(k) for k in range(3)], [CE] * 3, **SETTINGS)
    picked = trained.gather([2, 0, 0, 1])
    z = torch.randn(5, 6)
    torch.testing.assert_close(picked.run(z), trained.run(z)[[2, 0, 0, 1]])
    with torch.no_grad():
        picked.weights[0].zero_()
    assert trained.weights[0].any(), "a gathered adapter is a copy"


def test_seeds():
    runs = [fit(Adapter((6, 5), 3, 1, seed=s), [data()], [CE], seed=s, **SETTINGS) for s in (0, 0, 1)]
    assert torch.equal(runs[0].weights[0], runs[1].weights[0])
    assert not torch.allclose(runs[0].weights[0], runs[2].weights[0], atol=1e-3)


def test_it_learns_what_can_be_learned():
    trained = fit(Adapter((6, 16), 3), [data(0, 300)], [LA], **{**SETTINGS, "steps": 150})
    fresh = data(99, 300)
    assert float((trained.run(fresh.latents)[0].argmax(-1) == fresh.label).float().mean()) > 0.75


def test_save_load_same_output(tmp_path):
    trained = fit(Adapter((6, 5), 3, 2), [data(0), data(1)], [CE, CE], **SETTINGS)
    write_tensors(tmp_path / "a.safetensors", trained.state_dict())
    again = Adapter((6, 5), 3, 2, seed=9)
    again.load_state_dict(read_tensors(tmp_path / "a.safetensors"))
    z = torch.randn(9, 6)
    assert torch.equal(trained.run(z), again.run(z))


def test_wrong_calls_are_sentences():
    with pytest.raises(UserError, match="2 heads need as many data sets and plans, not 1 and 2"):
        fit(Adapter((6,), 3, 2), [data()], [CE, CE])
    with pytest.raises(UserError, match="no loss called 'logit-adjustmint'. Did you mean 'logit-adjustment'"):
        fit(Adapter((6,), 3), [data()], [HeadPlan("logit-adjustmint")], **SETTINGS)
