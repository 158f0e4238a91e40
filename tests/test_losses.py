"""Every loss is its formula, derived again in numpy; statistics, gradients and bad numbers."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from gelda import losses
from gelda.errors import UserError
from gelda.losses import LOSSES, ClassStatistics, LossBatch, balanced_weights, fold_cosine

K, B, C, D = 2, 9, 4, 5
RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(K, B, C, generator=RNG)
LABELS = torch.arange(K * B).reshape(K, B) % C
COUNTS = torch.tensor([[[50.0, 10.0, 5.0, 1.0]], [[3.0, 30.0, 3.0, 0.5]]])
FEATURES = torch.randn(K, B, D, generator=RNG)
WEIGHTS = torch.randn(K, D, C, generator=RNG)
STRENGTHS = {  # two copies with different numbers
    "ce": (0.0, 0.0),
    "class-balanced": (0.9999, 0.9),
    "focal": (2.0, 0.5),
    "ldam": (0.5, 0.2),
    "balanced-softmax": (0.0, 0.0),
    "logit-adjustment": (1.0, 2.5),
    "isda": (0.5, 7.5),
}


def statistics(full=True) -> ClassStatistics:
    made = ClassStatistics(K, C, D, torch.device("cpu"))
    if not full:
        made.full, made.covariance = False, torch.zeros(K, C, D)
    for seed in (5, 6):
        rng = torch.Generator().manual_seed(seed)
        made.update(torch.randn(K, 20, D, generator=rng) + seed, torch.randint(0, C, (K, 20), generator=rng))
    return made


def batch(name, **change) -> LossBatch:
    values = dict(
        logits=LOGITS, label=LABELS, counts=COUNTS, strength=torch.tensor(STRENGTHS[name])[:, None],
        progress=0.4, features=FEATURES, weights=WEIGHTS,
        statistics=statistics() if LOSSES[name].statistics else None,
    )  # fmt: skip
    return LossBatch(**{**values, **change})


def formula(name: str, k: int, i: int) -> float:
    """Each loss of one item of one copy, once more; a new loss needs its line here."""
    z, y, n = LOGITS[k, i].double().numpy(), int(LABELS[k, i]), COUNTS[k, 0].double().numpy()
    h, w, number = FEATURES[k, i].double().numpy(), WEIGHTS[k].double().numpy(), STRENGTHS[name][k]
    if name == "ce":
        return -log_softmax(z)[y]
    if name == "class-balanced":
        raw = (1 - number) / (1 - number**n)
        return -log_softmax(z)[y] * raw[y] * n.sum() / (raw @ n)
    if name == "focal":
        return -((1 - softmax(z)[y]) ** number) * log_softmax(z)[y]
    if name == "ldam":
        margin = number * (n / n.min()) ** -0.25
        cosine = np.array([h @ w[:, c] / np.linalg.norm(h) / np.linalg.norm(w[:, c]) for c in range(C)])
        cosine[y] -= margin[y]
        return -log_softmax(30 * cosine)[y]
    if name == "balanced-softmax":
        weighted = n * np.exp(z)
        return -np.log(weighted[y] / weighted.sum())
    if name == "logit-adjustment":
        return -log_softmax(z + number * np.log(n / n.sum()))[y]
    if name == "isda":
        sigma = statistics().covariance[k, y].double().numpy()
        extra = [(w[:, j] - w[:, y]) @ sigma @ (w[:, j] - w[:, y]) for j in range(C)]
        return -log_softmax(z + 0.5 * number * 0.4 * np.array(extra))[y]
    raise AssertionError(f"no formula for {name}")


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_their_formulas(name):
    got = LOSSES[name].per_item(batch(name))
    assert got.shape == (K, B)
    expected = [[formula(name, k, i) for i in range(B)] for k in range(K)]
    np.testing.assert_allclose(got.numpy(), expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_copy_s_loss_is_the_same_alone(name):
    together, state = LOSSES[name].per_item(batch(name)), statistics()
    for k in range(K):
        one = batch(name)
        if one.statistics is not None:
            one.statistics.covariance = state.covariance[k : k + 1]
        alone = LossBatch(
            one.logits[k : k + 1], one.label[k : k + 1], one.counts[k : k + 1], one.strength[k : k + 1], 0.4,
            one.features[k : k + 1], one.weights[k : k + 1], one.statistics,
        )  # fmt: skip
        torch.testing.assert_close(LOSSES[name].per_item(alone)[0], together[k], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_have_a_finite_gradient_also_for_absurd_logits_and_absent_classes(name):
    for scale in (1.0, 1e4):
        logits, features, weights = (
            (scale * x).requires_grad_()
            for x in (LOGITS, FEATURES, WEIGHTS if name != "isda" else WEIGHTS / scale)
        )
        counts = COUNTS * torch.tensor([1.0, 1.0, 1.0, 0.0])
        loss = LOSSES[name].per_item(
            batch(name, logits=logits, counts=counts, features=features, weights=weights)
        )
        loss.mean().backward()
        grads = [x.grad for x in (logits, features, weights) if x.grad is not None]
        assert torch.isfinite(loss).all() and all(torch.isfinite(g).all() for g in grads)
        assert any(g.any() for g in grads)


def test_cross_entropy_is_torch_s():
    expected = torch.nn.functional.cross_entropy(LOGITS.flatten(0, 1), LABELS.flatten(), reduction="none")
    torch.testing.assert_close(LOSSES["ce"].per_item(batch("ce")).flatten(), expected)


def test_balanced_classes_need_no_correction():
    even, plain = torch.full((K, 1, C), 7.0), LOSSES["ce"].per_item(batch("ce"))
    for name in ("logit-adjustment", "balanced-softmax", "class-balanced"):
        torch.testing.assert_close(LOSSES[name].per_item(batch(name, counts=even)), plain)


def test_special_cases_are_cross_entropy():
    plain = LOSSES["ce"].per_item(batch("ce"))
    zero = torch.zeros(K, 1)
    for name in ("focal", "logit-adjustment", "isda", "class-balanced"):
        torch.testing.assert_close(LOSSES[name].per_item(batch(name, strength=zero)), plain, msg=name)
    torch.testing.assert_close(LOSSES["isda"].per_item(batch("isda", progress=0.0)), plain)
    torch.testing.assert_close(
        LOSSES["logit-adjustment"].per_item(batch("logit-adjustment", strength=torch.ones(K, 1))),
        LOSSES["balanced-softmax"].per_item(batch("balanced-softmax")),
    )


def test_class_balanced_weights():
    n = np.array([500.0, 40.0, 2.0, 0.0])
    for beta in (0.0, 0.9, 0.9999):
        got = balanced_weights(torch.from_numpy(n), beta).numpy()
        raw = np.array([(1 - beta) / (1 - beta**m) if m else 0.0 for m in n])
        np.testing.assert_allclose(got, raw * n.sum() / (raw @ n), rtol=1e-6)
        assert (got * n).sum() / n.sum() == pytest.approx(1)
    # β → 1 is the inverse frequency, also in single precision
    fine = balanced_weights(torch.tensor([500.0, 40.0, 2.0]), 1 - 1e-6)
    np.testing.assert_allclose((fine / fine[2]).numpy(), [2 / 500, 2 / 40, 1], rtol=1e-2)


def test_ldam_margins_shrink_with_the_fourth_root_of_the_count():
    """Read back from the loss: two classes, equal cosines; log(e^(30Δ) + 1) is the loss of an item."""
    counts = torch.tensor([[[160.0, 10.0, 0.0]]])
    equal = torch.ones(1, 3, 2), torch.ones(1, 2, 3)
    made = LossBatch(
        torch.zeros(1, 3, 3), torch.tensor([[0, 1, 0]]), counts, torch.tensor([[0.5]]), 0.0, *equal
    )
    loss = LOSSES["ldam"].per_item(made)[0].double()
    margin = torch.log((loss.exp() - 1) / 2) / 30
    np.testing.assert_allclose(margin[:2].numpy(), [0.25, 0.5], rtol=1e-4)


def test_folding_the_cosine_keeps_its_order_and_its_scale():
    h, w = FEATURES[0], WEIGHTS[0]
    weight, bias = fold_cosine(w, torch.ones(1, C), h)
    cosine = 30 * torch.nn.functional.cosine_similarity(h[:, :, None], w[None], dim=1)
    logits = h @ weight + bias
    assert torch.equal(logits.argsort(1), cosine.argsort(1))
    torch.testing.assert_close(logits, cosine * (h.norm(dim=1) / h.norm(dim=1).mean())[:, None])


@pytest.mark.parametrize("full", [True, False])
def test_isda_s_covariance_is_that_of_all_features_seen(full):
    made = statistics(full)
    for k in range(K):
        seen, label = [], []
        for seed in (5, 6):
            rng = torch.Generator().manual_seed(seed)
            seen.append((torch.randn(K, 20, D, generator=rng) + seed)[k])
            label.append(torch.randint(0, C, (K, 20), generator=rng)[k])
        z, y = torch.cat(seen).double().numpy(), torch.cat(label).numpy()
        for c in range(C):
            expected = np.cov(z[y == c].T, bias=True)
            got = made.covariance[k, c].numpy()
            np.testing.assert_allclose(got, expected if full else np.diag(expected), atol=1e-4)
            np.testing.assert_allclose(made.mean[k, c].numpy(), z[y == c].mean(0), atol=1e-4)


def test_isda_s_update_is_the_paper_s_formula():
    """Two batches by the recursion of the paper, a class that misses one of them included."""
    rng = np.random.default_rng(3)
    labels = [np.array([0, 0, 0, 1, 1, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 3])]
    batches = [(rng.normal(size=(len(y), D)) + 2 * k, y) for k, y in enumerate(labels)]
    made = ClassStatistics(1, C, D, torch.device("cpu"))
    n, mu, sigma = np.zeros(C), np.zeros((C, D)), np.zeros((C, D, D))
    for z, y in batches:
        made.update(torch.from_numpy(z).float()[None], torch.from_numpy(y)[None])
        for c in range(C):
            own = z[y == c]
            if len(own) == 0:
                continue
            w = len(own) / (n[c] + len(own))
            d = mu[c] - own.mean(0)
            sigma[c] = (1 - w) * sigma[c] + w * np.cov(own.T, bias=True) + w * (1 - w) * np.outer(d, d)
            mu[c] = (1 - w) * mu[c] + w * own.mean(0)
            n[c] += len(own)
    np.testing.assert_allclose(made.covariance[0].numpy(), sigma, atol=1e-5)
    np.testing.assert_allclose(made.amount[0].numpy(), n)


def test_diagonal_spread_is_the_full_one_of_diagonal_covariances():
    flat, full = statistics(False), statistics()
    full.covariance = torch.diag_embed(flat.covariance)
    torch.testing.assert_close(flat.spread(WEIGHTS), full.spread(WEIGHTS), rtol=1e-4, atol=1e-4)


def test_large_problems_keep_diagonals_only():
    assert ClassStatistics(1, 101, 128, torch.device("cpu")).full
    assert ClassStatistics(1, 1000, 768, torch.device("cpu")).covariance.shape == (1, 1000, 768)


@pytest.mark.parametrize("name, value, words", [
    ("ce", 1.0, "'ce' has no strength to set"),
    ("focal", -1.0, "must be at least 0."),
    ("class-balanced", 1.0, "at least 0 and below 1"),
    ("logit-adjustment", float("nan"), "must be at least 0"),
    ("isda", float("inf"), "must be at least 0"),
])  # fmt: skip
def test_numbers_that_a_loss_cannot_use_are_refused(name, value, words):
    with pytest.raises(UserError, match=words):
        losses.strength(name, value)
    assert losses.strength(name, None) == LOSSES[name].default
