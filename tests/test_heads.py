"""Heads trained side by side by their own plans: no copy knows of another; mixers and decoupled heads."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from gelda import mixers, posts
from gelda.adapter import Adapter, HeadData, HeadPlan
from gelda.errors import UserError
from gelda.heads import _Group, _Pool, fit
from gelda.losses import LOSSES, balanced_weights
from gelda.mixers import MIXERS, MixBatch, Streams
from gelda.posts import POSTS, LastLayer

SETTINGS = dict(steps=20, batch_size=32, learning_rate=5e-3, weight_decay=0.05, dropout=0.2)
CE = HeadPlan("ce")


def data(seed=0, sizes=(60, 20, 6), dim=6, subdomains=3) -> HeadData:
    rng = torch.Generator().manual_seed(seed)
    label = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    z = torch.randn(len(label), dim, generator=rng) + 2 * torch.eye(len(sizes), dim)[label]
    return HeadData(z, label, torch.ones(len(label)), torch.arange(len(label)) % subdomains - 1)


def parts(adapter, copy):
    return [p[copy].detach() for p in adapter.parameters()]


PLANS = {f"loss {name}": HeadPlan(name) for name in LOSSES}
PLANS |= {f"mix {name}": HeadPlan("logit-adjustment", mix=name) for name in MIXERS}
PLANS |= {f"post {name}": HeadPlan("ce", post=name) for name in POSTS}
PLANS |= {
    "adversarial": HeadPlan("ce", adversarial=1.0),
    "deferred": HeadPlan("ldam", 0.3, deferred=0.4),
    "everything": HeadPlan("focal", 1.0, 0.5, "mixup", 0.7, "tau-norm", 0.5),
}


@pytest.fixture(scope="module")
def together():
    """Every plan twice, on different data, beside all others, with other numbers in between."""
    plans = [p for p in PLANS.values() for _ in range(2)]
    plans += [HeadPlan("logit-adjustment", 2.0, mix="mixup", mix_strength=3.0), HeadPlan("isda", 5.0)]
    plans += [HeadPlan("logit-adjustment", 0.1, mix="adv-style", mix_strength=2.0)]
    plans += [HeadPlan("focal", 0.5, adversarial=3.0)]
    sets = [data(k % 2) for k in range(2 * len(PLANS))] + [data(9, (30, 30, 30), subdomains=6)] * 4
    return fit(Adapter((6, 5), 3, len(plans), seed=4), sets, plans, seed=5, **SETTINGS)


@pytest.mark.parametrize("name", PLANS)
def test_a_copy_does_not_depend_on_its_neighbours(together, name):
    place = 2 * list(PLANS).index(name)
    alone = fit(Adapter((6, 5), 3, 1, seed=4), [data(0)], [PLANS[name]], seed=5, **SETTINGS)
    for a, b in zip(parts(together, place), parts(alone, 0), strict=True):
        torch.testing.assert_close(a, b, atol=5e-4, rtol=2e-3)
    assert not torch.allclose(parts(together, place)[0], parts(together, place + 1)[0], atol=1e-3)
    assert all(torch.isfinite(p).all() for p in parts(alone, 0))


def test_bf16_training_stays_near_fp32_and_leaves_an_fp32_head():
    plans = [CE, HeadPlan("logit-adjustment", mix="mixup"), HeadPlan("ldam", 0.3, deferred=0.4)]
    sets, z = [data(k) for k in range(3)], data(8).latents
    exact, rounded = (
        fit(Adapter((6, 5), 3, 3, seed=4), sets, plans, seed=5, dtype=dtype, **SETTINGS)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert rounded.compute == torch.float32 and rounded.run(z).dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in rounded.parameters())
    assert not torch.equal(exact.run(z), rounded.run(z)), "bf16 was not used"
    torch.testing.assert_close(exact.run(z).softmax(-1), rounded.run(z).softmax(-1), atol=0.03, rtol=0)
    alone = fit(
        Adapter((6, 5), 3, 1, seed=4), sets[1:2], plans[1:2], seed=5, dtype=torch.bfloat16, **SETTINGS
    )
    torch.testing.assert_close(alone.run(z)[0], rounded.run(z)[1], atol=0.05, rtol=0)


def test_every_plan_leads_somewhere_else(together):
    z = data(3).latents
    out = [together.run(z)[2 * k].softmax(-1) for k in range(len(PLANS))]
    for i, a in enumerate(PLANS):
        for j, b in enumerate(PLANS):
            # balanced softmax is logit adjustment at τ = 1
            if i < j and {a, b} != {"loss balanced-softmax", "loss logit-adjustment"}:
                assert not torch.allclose(out[i], out[j], atol=1e-4), (a, b)


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("widths, start", [((6,), 0), ((6, 5, 4), 1), ((6, 5), 1)])
def test_every_trained_layer_moves_and_the_frozen_ones_stay(name, widths, start):
    if name == "adversarial" and start == len(widths) - 1:
        pytest.skip("nothing to make invariant; refused, see below")
    adapter = Adapter(widths, 3, 2)
    before = [p.detach().clone() for p in adapter.parameters()]
    d = data()
    z = HeadData(adapter.run(d.latents, 0, start)[0], d.label, d.weight, d.subdomain)
    fit(adapter, [z, z], [PLANS[name], CE], start=start, **SETTINGS)
    count = len(adapter.weights)
    for i, (old, new) in enumerate(zip(before, adapter.parameters(), strict=True)):
        if i % count < start:
            assert torch.equal(old, new)
        elif i < count:
            assert not torch.equal(old[0], new[0]), f"weights {i}"
    assert torch.isfinite(adapter.run(z.latents, start)).all()


@pytest.mark.parametrize("name", PLANS)
def test_hard_data(name):
    """A class of one item, one without any, and latents that never vary in a dimension."""
    d = data(sizes=(20, 4, 1))
    latents = d.latents.clone()
    latents[:, 2] = 1.5
    hard = HeadData(latents, d.label, d.weight, d.subdomain)
    trained = fit(Adapter((6, 5), 4), [hard], [PLANS[name]], **SETTINGS)
    assert torch.isfinite(trained.run(latents)).all()
    one = HeadData(latents[:7], d.label[:7], d.weight[:7], torch.full((7,), 2))
    assert torch.isfinite(fit(Adapter((6, 5), 4), [one], [PLANS[name]], **SETTINGS).run(latents)).all()


def test_global_random_numbers_do_not_matter():
    for name, plan in PLANS.items():
        runs = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            np.random.seed(seed)
            runs.append(fit(Adapter((6, 5), 3), [data()], [plan], seed=3, **SETTINGS))
        assert all(torch.equal(a, b) for a, b in zip(parts(runs[0], 0), parts(runs[1], 0), strict=True)), name


def test_latents_that_copies_share_are_held_once():
    d = data()
    other = HeadData(d.latents, d.label.flip(0), 2 * d.weight)
    pool = _Pool([d, other, data(1)], 3, torch.device("cpu"))
    assert len(pool.latents) == 2 * len(d.latents)
    rows = torch.tensor([[0, 5], [3, 1], [85, 2]])
    z, label = pool.batch(rows)
    for k, part in enumerate((d, other, data(1))):
        assert torch.equal(z[k], part.latents[rows[k]]) and torch.equal(label[k], part.label[rows[k]])


# -- mixers ------------------------------------------------------------


def mix_batch(name, strength=(0.5, 2.0), loss_of=None, items=512, dim=6):
    rng = torch.Generator().manual_seed(1)
    z = torch.randn(len(strength), items, dim, generator=rng) * torch.arange(1, dim + 1)
    label = torch.randint(0, 3, (len(strength), items), generator=rng)
    sd = torch.arange(1.0, dim + 1).expand(len(strength), 1, -1)
    return MixBatch(z, label, strength, sd, Streams(3, name, len(strength)), loss_of or (lambda x: x.sum(-1)))


@pytest.mark.parametrize("name", ["mixup", "decoupled-mixup"])
def test_mixup_lies_between_its_partners_and_shares_the_labels(name):
    batch = mix_batch(name)
    mixed = MIXERS[name].mix(batch)
    partner = torch.from_numpy(Streams(3, name, 1).shared.permutation(512))
    share = mixed.share[..., None]
    assert torch.equal(mixed.other, batch.label[:, partner])
    torch.testing.assert_close(mixed.latents, share * batch.latents + (1 - share) * batch.latents[:, partner])
    alphas = [0.5, 2.0] if name == "mixup" else [1.0, 1.0]
    for k, alpha in enumerate(alphas):  # the variance of Beta(α, α) is 1/(4(2α + 1))
        assert float(mixed.share[k].var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.15)
        assert float(mixed.share[k].mean()) == pytest.approx(0.5, abs=0.05)
    assert (mixed.apart is None) == (name == "mixup")


def group_loss(plan, z, mixed, adapter, d):
    """What `fit` takes as the loss of a mixed batch, for one copy."""
    group = _Group(adapter, _Pool([d], 3, torch.device("cpu")), [plan.checked()], [0], 0)
    features = adapter.activate(adapter(z, 0, 1), 1)
    return group.loss(adapter.classify(features), features, mixed[0], 0.5, mixed[1])


@pytest.mark.parametrize("loss", ["ce", "logit-adjustment"])
@pytest.mark.parametrize("name", ["mixup", "decoupled-mixup"])
def test_the_loss_of_a_mixed_pair(name, loss):
    d, adapter = data(), Adapter((6, 5), 3, seed=1)
    z, label = torch.randn(1, 12, 6), torch.arange(12)[None] % 3
    other, share = torch.arange(12)[None] // 4, torch.rand(1, 12)
    apart = torch.tensor([[0.3]]) if name == "decoupled-mixup" else None
    mixed = mixers.Mixed(z, other, share, apart)
    got = group_loss(HeadPlan(loss, mix=name), z, (label, mixed), adapter, d)[0].detach().numpy()
    logits = adapter(z)[0].detach().double().numpy()
    if loss == "logit-adjustment":
        logits = logits + np.log(np.array([60, 20, 6]) / 86)
    for i in range(12):
        a, b, s = int(label[0, i]), int(other[0, i]), float(share[0, i])
        log_p = log_softmax(logits[i])
        expected = -s * log_p[a] - (1 - s) * log_p[b]
        if apart is not None and a != b:
            for one, left_out in ((a, b), (b, a)):
                rest = [c for c in range(3) if c != left_out]
                expected -= 0.3 * (logits[i, one] - np.log(np.exp(logits[i, rest]).sum()))
        assert got[i] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_noise_is_in_units_of_each_dimension_s_sd():
    batch = mix_batch("noise", (0.5, 2.0), items=4000)
    moved = (MIXERS["noise"].mix(batch).latents - batch.latents).std(1)
    for k, sigma in enumerate((0.5, 2.0)):
        np.testing.assert_allclose(moved[k] / (sigma * torch.arange(1, 7)), 1, atol=0.05)


def test_adversarial_style_climbs_the_loss_by_the_asked_step():
    direction = torch.tensor([3.0, -1.0, 0.5, 0.0, 2.0, -2.0])
    batch = mix_batch("adv-style", (0.5, 2.0), lambda x: x @ direction + (x * x).sum(-1) / 50)
    made = MIXERS["adv-style"].mix(batch)
    assert made.other is None and torch.equal(made.latents[:, ::2], batch.latents[:, ::2])
    before, after = batch.loss_of(batch.latents).mean(1), batch.loss_of(made.latents).mean(1)
    assert (after > before + 0.1).all()
    # the mean moves by `strength` sd (root mean square over dimensions), along the slope
    for k, step in enumerate((0.5, 2.0)):
        z, moved = batch.latents[k].double(), made.latents[k, 1::2].double()
        mean, sd = z.mean(0), z.std(0, unbiased=False)
        slope = (direction + 2 * z / 50).mean(0) * sd
        shift = step * sd * slope / slope.square().mean().sqrt()
        scale_slope = ((direction + 2 * z / 50) * (z - mean)).mean(0)
        scale = step * scale_slope / scale_slope.square().mean().sqrt()
        expected = z[1::2] + scale * (z[1::2] - mean) + shift
        torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-3)


def test_no_strength_of_noise_or_style_is_no_change():
    plans = [CE, *(HeadPlan("ce", mix=name, mix_strength=0.0) for name in ("noise", "adv-style"))]
    trained = fit(Adapter((6, 5), 3, 3), [data()] * 3, plans, **SETTINGS)
    for k in (1, 2):
        for a, b in zip(parts(trained, 0), parts(trained, k), strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


# -- re-weighting at the end ------------------------------------------------------------


def test_deferred_reweighting_changes_only_the_last_share_of_the_steps():
    d = data()
    plans = [HeadPlan("ce", deferred=s) for s in (0.25, None, 1.0, 0.0)]
    adapter = Adapter((6, 5), 3, 4)
    group = _Group(
        adapter, _Pool([d] * 4, 3, torch.device("cpu")), [p.checked() for p in plans], [0, 1, 2, 3], 0
    )
    label = torch.arange(9).expand(4, -1) % 3
    features = torch.randn(1, 9, 5).expand(4, -1, -1)
    logits = adapter.classify(features)
    weight = balanced_weights(d.counts(3).float(), 0.9999)[label[0]]
    for progress, active in ((0.0, (2,)), (0.74, (2,)), (0.75, (0, 2)), (0.99, (0, 2))):
        loss = group.loss(logits, features, label, progress, None)
        plain = torch.nn.functional.cross_entropy(logits[0], label[0], reduction="none")
        for k in range(4):
            torch.testing.assert_close(loss[k], plain * weight if k in active else plain)


# -- decoupled heads ------------------------------------------------------------


def trained_pair(post, strength=None, loss="ce"):
    """A plain copy and the same with a decoupled head."""
    d = data()
    plans = [HeadPlan(loss), HeadPlan(loss, post=post, post_strength=strength)]
    return d, fit(Adapter((6, 8), 3, 2), [d, d], plans, **{**SETTINGS, "steps": 60})


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_tau_norm_divides_by_the_power_of_the_length_and_drops_the_bias(tau):
    _, both = trained_pair("tau-norm", tau)
    plain, normed = both.weights[1].detach().numpy()
    expected = plain / np.linalg.norm(plain, axis=0) ** tau
    np.testing.assert_allclose(normed, expected, rtol=1e-4, atol=1e-6)
    assert both.biases[1][0].any() and not both.biases[1][1].any()
    if tau == 1:
        np.testing.assert_allclose(np.linalg.norm(normed, axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize("strength", [0.1, 1.0])
def test_ncm_is_sklearn_s_nearest_centroid(strength):
    from sklearn.neighbors import NearestCentroid

    d, both = trained_pair("ncm", strength)
    features = both.activate(both.run(d.latents, 0, 1), 1)[1].numpy()
    centroid = NearestCentroid().fit(features, d.label.numpy())
    fresh = data(8, (50, 50, 50)).latents
    hidden = both.activate(both.run(fresh, 0, 1), 1)[1].numpy()
    np.testing.assert_array_equal(both.run(fresh)[1].argmax(-1).numpy(), centroid.predict(hidden))
    # its softmax is that of −strength‖h − μ‖²/2σ²
    distance = ((hidden[:, None] - centroid.centroids_) ** 2).sum(-1)
    inside = features - centroid.centroids_[d.label.numpy()]
    expected = log_softmax(-strength * distance / (2 * (inside**2).mean()), axis=1)
    np.testing.assert_allclose(both.run(fresh)[1].log_softmax(-1).numpy(), expected, atol=2e-3)


def test_ncm_counts_items_by_their_weight_and_never_names_an_absent_class():
    h, label = torch.tensor([[0.0], [4.0], [10.0]]), torch.tensor([0, 0, 1])
    layer = LastLayer(torch.zeros(1, 3), torch.zeros(1, 3), h, label, torch.tensor([3.0, 1.0, 1.0]))
    weight, bias = posts.nearest_class_mean(layer, 1.0)
    answer = lambda x: int((torch.tensor([[x]]) @ weight + bias).argmax())  # noqa: E731
    assert [answer(x) for x in (-100.0, 5.4, 5.6, 100.0)] == [0, 0, 1, 1]  # means 1 and 10: the middle is 5.5


def test_crt_trains_the_last_layer_alone_on_balanced_draws():
    d, both = trained_pair("crt")
    assert torch.equal(both.weights[0][0], both.weights[0][1]), "the representation is that of cross-entropy"
    assert not torch.allclose(both.weights[1][0], both.weights[1][1], atol=1e-2)
    # blind latents: balanced draws leave no prior in the last layer, natural ones do
    blind = HeadData(torch.zeros(86, 2), d.label, d.weight)
    settings = dict(steps=600, batch_size=512, learning_rate=0.05, weight_decay=0.0, dropout=0.0)
    plans = [CE] + [HeadPlan("ce", post="crt", post_strength=q) for q in (1.0, 0.5)]
    p = fit(Adapter((2,), 3, 3), [blind] * 3, plans, **settings).run(torch.zeros(1, 2)).softmax(-1)[:, 0]
    n = np.array([60, 20, 6])
    for k, balance in enumerate((0.0, 1.0, 0.5)):
        np.testing.assert_allclose(p[k].numpy(), n ** (1 - balance) / (n ** (1 - balance)).sum(), atol=0.03)


def test_ldam_predicts_by_cosines_through_the_plain_forward_pass():
    d = data()
    trained = fit(Adapter((6, 8), 3), [d], [HeadPlan("ldam")], **{**SETTINGS, "steps": 200})
    assert not trained.biases[1].any()
    lengths = trained.weights[1][0].detach().norm(dim=0)
    torch.testing.assert_close(lengths, lengths[:1].expand(3))
    features = trained.activate(trained.run(d.latents, 0, 1), 1)[0]
    assert float(lengths[0]) == pytest.approx(30 / float(features.norm(dim=1).mean()), rel=1e-4)
    assert float((trained.run(d.latents)[0].argmax(-1) == d.label).float().mean()) > 0.8


# -- cosine heads ------------------------------------------------------------


def test_cosine_logits_by_hand():
    vectors = torch.randn(3, 5)
    adapter = Adapter((6, 5), 3, 2, head="cosine")
    with torch.no_grad():
        adapter.weights[-1].copy_(vectors.T.expand(2, -1, -1))
    z = torch.randn(7, 6)
    features = adapter.activate(adapter.run(z, 0, 1), 1)[0]
    expected = 25 * torch.nn.functional.cosine_similarity(features[:, None], vectors[None], dim=-1)
    for k in range(2):
        torch.testing.assert_close(adapter.run(z)[k], expected)
    picked = adapter.gather([1])
    torch.testing.assert_close(picked.run(z)[0], expected)


LINEAR_ONLY = ("loss isda", "post ncm", "post tau-norm", "everything")


@pytest.mark.parametrize("name", [n for n in PLANS if n not in LINEAR_ONLY])
def test_cosine_heads_learn_under_every_plan_that_knows_them(name):
    d = data()
    adapters = [Adapter((6, 8), 3, c, head="cosine") for c in (1, 3)]
    alone = fit(adapters[0], [d], [PLANS[name]], **{**SETTINGS, "steps": 150})
    beside = fit(adapters[1], [data(5), d, data(6)], [CE, PLANS[name], CE], **{**SETTINGS, "steps": 150})
    torch.testing.assert_close(alone.run(d.latents)[0], beside.run(d.latents)[1], atol=5e-2, rtol=1e-2)
    assert float((alone.run(d.latents)[0].argmax(-1) == d.label).float().mean()) > 0.75


@pytest.mark.parametrize("name", ["loss isda", "post ncm", "post tau-norm"])
def test_what_is_defined_for_linear_layers_is_refused_for_cosines(name):
    with pytest.raises(UserError, match="needs a linear last layer"):
        fit(Adapter((6, 5), 3, head="cosine"), [data()], [PLANS[name]], **SETTINGS)


# -- domain-adversarial training ------------------------------------------------------------


def test_adversarial_training_hides_the_subdomain():
    """The subdomain is one strong, useless dimension: a probe on the features finds it less with it."""
    from sklearn.linear_model import LogisticRegression

    rng = torch.Generator().manual_seed(0)
    label, subdomain = torch.arange(600) % 3, torch.arange(600) // 3 % 2
    z = torch.randn(600, 6, generator=rng) + 3 * torch.eye(3, 6)[label]
    z[:, 5] += 3.0 * subdomain
    d = HeadData(z, label, torch.ones(600), subdomain)
    plans = [HeadPlan("ce", adversarial=s) for s in (0.0, 2.0)]
    settings = dict(steps=1500, batch_size=128, learning_rate=1e-2, weight_decay=0.0, dropout=0.0)
    trained = fit(Adapter((6, 8), 3, 2), [d, d], plans, **settings)
    features = trained.activate(trained.run(z, 0, 1), 1).numpy()
    found = [LogisticRegression(max_iter=1000).fit(f, subdomain).score(f, subdomain) for f in features]
    right = (trained.run(z).argmax(-1) == label).float().mean(1)
    assert found[0] > 0.7 and found[1] < 0.6, found
    assert (right > 0.85).all()


def test_the_reversed_gradient_and_the_rows_of_unknown_subdomain():
    from gelda.domains import DomainHeads

    torch.manual_seed(0)
    subdomain = torch.tensor([[0, 2, -1, 2], [0, 2, -1, 2]])
    heads = DomainHeads([0.5, 2.0], list(subdomain), 5, seed=1)
    with torch.no_grad():
        heads.second.normal_()
        heads.second[1] = heads.second[0]
    features = torch.randn(1, 4, 5).expand(2, -1, -1).clone().requires_grad_()
    heads(features, subdomain, 0.3).backward()
    h = torch.nn.functional.gelu(features[0] @ heads.first[0])
    logits = (h @ heads.second[0])[:, [0, 2]]  # subdomain 1 is not there
    plain = torch.nn.functional.cross_entropy(logits[[0, 1, 3]], torch.tensor([0, 1, 1]))
    (slope,) = torch.autograd.grad(plain, features)
    ramp = 2 / (1 + np.exp(-3.0)) - 1
    for k, strength in enumerate((0.5, 2.0)):
        torch.testing.assert_close(features.grad[k], -strength * ramp * slope[0])


# -- wrong calls ------------------------------------------------------------


@pytest.mark.parametrize("plan, words", [
    (HeadPlan(), "names no loss"),
    (HeadPlan("cee"), "no loss called 'cee'"),
    (HeadPlan("ce", mix="mixap"), "no mixer called 'mixap'. Did you mean 'mixup'"),
    (HeadPlan("ce", post="tau"), "no decoupled head called 'tau'"),
    (HeadPlan("ce", 2.0), "'ce' has no strength"),
    (HeadPlan("ce", deferred=1.5), "deferred is 1.5"),
    (HeadPlan("ce", mix="mixup", mix_strength=0.0), "'mixup' is 0: it must be above 0"),
    (HeadPlan("ce", mix="noise", mix_strength=-1.0), "'noise' is -1: it must be at least 0"),
    (HeadPlan("ce", post="ncm", post_strength=0.0), "'ncm' is 0: it must be above 0"),
    (HeadPlan("ce", post="tau-norm", post_strength=float("nan")), "'tau-norm' is nan"),
    (HeadPlan("ce", adversarial=-1.0), "adversarial strength is -1"),
    (HeadPlan("ce", adversarial=1.0), "needs a trained hidden layer: start before layer 0"),
])  # fmt: skip
def test_wrong_plans_are_sentences(plan, words):
    with pytest.raises(UserError, match=words):
        fit(Adapter((6,), 3), [data()], [plan], **SETTINGS)


def test_a_start_beyond_the_hidden_layers_is_refused():
    with pytest.raises(UserError, match="start is 2: it must be from 0 to 1"):
        fit(Adapter((6, 5), 3), [data()], [CE], start=2, **SETTINGS)


def test_other_wrong_calls_are_sentences():
    d = data()
    with pytest.raises(UserError, match="needs the rows' subdomains"):
        plan = HeadPlan("ce", adversarial=1.0)
        fit(Adapter((6, 5), 3), [HeadData(d.latents, d.label, d.weight)], [plan], **SETTINGS)
    with pytest.raises(UserError, match="no head called 'cosin'. Did you mean 'cosine'"):
        Adapter((6, 5), 3, head="cosin")
