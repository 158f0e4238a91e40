"""γ and κ: normalisation, null conditions, controls, and what can be learned."""

import numpy as np
import pytest
import torch

from gelda.conditions import CONTROLS, ConditionEncoder, ConditionSpace, derangement
from gelda.errors import UserError
from gelda.seeds import generator

GAMMA, KAPPA = torch.randn(5, 7, generator=generator(0, "g")), torch.randn(3, 4, generator=generator(0, "k"))


def encoder(**options) -> ConditionEncoder:
    torch.manual_seed(0)
    return ConditionEncoder(ConditionSpace.build(GAMMA, KAPPA), 6, **options)


def normalised(table):
    centred = table.numpy() - table.numpy().mean(0)
    return centred / np.sqrt((centred**2).sum(1).mean())


def test_tables_are_centred_with_mean_square_norm_one():
    space = ConditionSpace.build(GAMMA, KAPPA)
    np.testing.assert_allclose(space.gamma.numpy(), normalised(GAMMA), atol=1e-6)
    np.testing.assert_allclose(space.kappa.numpy(), normalised(KAPPA), atol=1e-6)


def test_scale_and_offset_of_a_source_do_not_matter():
    a, b = ConditionSpace.build(GAMMA, KAPPA), ConditionSpace.build(100 * GAMMA + 3, 0.01 * KAPPA - 2)
    torch.testing.assert_close(a.gamma, b.gamma, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(a.kappa, b.kappa, atol=1e-4, rtol=1e-4)


def test_low_rank_is_the_best_one():
    space = ConditionSpace.build(GAMMA, KAPPA, rank=2)
    assert space.gamma.shape == (5, 2) and space.kappa.shape == (3, 2)
    centred = GAMMA.numpy() - GAMMA.numpy().mean(0)
    u, s, vt = np.linalg.svd(centred)
    kept = (u[:, :2] * s[:2]) @ vt[:2]
    gram = kept @ kept.T / (np.trace(kept @ kept.T) / 5)  # rotations of the columns do not matter
    np.testing.assert_allclose((space.gamma @ space.gamma.T).numpy(), gram, atol=1e-5)


@pytest.mark.parametrize("gamma", [torch.ones(5, 3), torch.zeros(1, 3)])
def test_a_table_without_differences_stays_finite(gamma):
    assert torch.equal(ConditionSpace.build(gamma, KAPPA).gamma, torch.zeros_like(gamma))


@pytest.mark.parametrize("count", [2, 3, 5, 10, 100])
def test_a_derangement_has_no_fixed_point(count):
    for seed in range(30):
        order = derangement(count, generator(seed, "d")).numpy()
        assert sorted(order) == list(range(count)) and not (order == np.arange(count)).any()


def test_derangements_differ_between_seeds():
    assert len({tuple(derangement(10, generator(seed, "d")).tolist()) for seed in range(5)}) == 5


def test_shuffled_gives_every_id_another_s_vector():
    space, plain = ConditionSpace.build(GAMMA, KAPPA, control="shuffled"), ConditionSpace.build(GAMMA, KAPPA)
    for got, table in ((space.gamma, plain.gamma), (space.kappa, plain.kappa)):
        match = (got[:, None] == table[None]).all(-1).numpy()
        assert (match.sum(1) == 1).all() and (match.sum(0) == 1).all(), "the same rows in another order"
        assert not match.diagonal().any()


def test_random_keeps_shape_and_scale_but_not_the_relations():
    space, plain = ConditionSpace.build(GAMMA, KAPPA, control="random"), ConditionSpace.build(GAMMA, KAPPA)
    assert space.gamma.shape == plain.gamma.shape
    assert float(space.gamma.square().sum(1).mean()) == pytest.approx(1, abs=1e-5)
    assert not torch.allclose(space.gamma @ space.gamma.T, plain.gamma @ plain.gamma.T, atol=0.1)
    other = ConditionSpace.build(GAMMA, KAPPA, control="random", seed=1)
    assert not torch.allclose(space.gamma, other.gamma)


@pytest.mark.parametrize("control, blank, kept", [
    ("class-only", "kappa", "gamma"),
    ("subdomain-only", "gamma", "kappa"),
])  # fmt: skip
def test_one_axis_can_be_blanked(control, blank, kept):
    space, plain = ConditionSpace.build(GAMMA, KAPPA, control=control), ConditionSpace.build(GAMMA, KAPPA)
    assert not getattr(space, blank).any()
    assert torch.equal(getattr(space, kept), getattr(plain, kept))


def test_an_unknown_control_names_the_nearest():
    with pytest.raises(UserError, match="no condition control called 'shufled'. Did you mean 'shuffled'"):
        ConditionSpace.build(GAMMA, KAPPA, control="shufled")
    for control in CONTROLS:
        assert torch.isfinite(ConditionSpace.build(GAMMA, KAPPA, control=control).gamma).all()


LABEL, SUBDOMAIN = torch.tensor([0, 4, 2, 2]), torch.tensor([1, 0, 2, 1])


def test_residuals_start_at_zero_so_the_semantic_vector_speaks_alone():
    model = encoder()
    w, b = model.project_class.weight.detach().numpy(), model.project_class.bias.detach().numpy()
    v, a = model.project_subdomain.weight.detach().numpy(), model.project_subdomain.bias.detach().numpy()
    expected = normalised(GAMMA)[LABEL] @ w.T + b + normalised(KAPPA)[SUBDOMAIN] @ v.T + a
    np.testing.assert_allclose(model(LABEL, SUBDOMAIN).detach().numpy(), expected, atol=1e-5)


def test_a_dropped_axis_gives_the_null_vector_of_that_axis():
    model = encoder()
    with torch.no_grad():
        model.null_class.normal_()
        model.null_subdomain.normal_()
    yes, no = torch.ones(4, dtype=torch.bool), torch.zeros(4, dtype=torch.bool)
    neither = model(LABEL, SUBDOMAIN, no, no)
    torch.testing.assert_close(neither, (model.null_class + model.null_subdomain).expand(4, -1))
    only_kappa = model(LABEL, SUBDOMAIN, no, yes)
    torch.testing.assert_close(only_kappa, model((LABEL + 1) % 5, SUBDOMAIN, no, yes))
    assert not torch.allclose(only_kappa, model(LABEL, (SUBDOMAIN + 1) % 3, no, yes))
    only_gamma = model(LABEL, SUBDOMAIN, yes, no)
    torch.testing.assert_close(only_gamma, model(LABEL, (SUBDOMAIN + 1) % 3, yes, no))
    torch.testing.assert_close(only_gamma + only_kappa - neither, model(LABEL, SUBDOMAIN))
    mixed = model(LABEL, SUBDOMAIN, torch.tensor([True, False, True, False]), yes)
    torch.testing.assert_close(mixed[1::2], only_kappa[1::2])
    torch.testing.assert_close(mixed[::2], model(LABEL, SUBDOMAIN)[::2])


@pytest.mark.parametrize("residual", [True, False])
def test_every_trainable_parameter_gets_a_gradient(residual):
    model = encoder(residual=residual)
    keep = torch.tensor([True, False, True, True])
    model(LABEL, SUBDOMAIN, keep, keep.flip(0)).square().sum().backward()
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert ("class_residual" in trainable) == residual == ("subdomain_residual" in trainable)
    for name, p in model.named_parameters():
        assert (p.grad is not None and bool(p.grad.any())) == (name in trainable), name


def test_an_id_that_is_never_seen_keeps_exactly_its_semantic_vector():
    model = encoder()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        model(LABEL, SUBDOMAIN).square().sum().backward()
        optimizer.step()
    assert not model.class_residual[[1, 3]].any() and model.class_residual[[0, 2, 4]].any()


def test_ranks_of_the_axes_go_before_the_common_one():
    def shapes(**ranks):
        space = ConditionSpace.build(GAMMA, KAPPA, **ranks)
        return [space.gamma.shape[1], space.kappa.shape[1]]

    assert shapes() == [7, 4]
    assert shapes(class_rank=3) == [3, 4] and shapes(subdomain_rank=1) == [7, 1]
    assert shapes(rank=2) == [2, 2] and shapes(rank=2, class_rank=4) == [4, 2]


@pytest.mark.parametrize("control, classes, subdomains", [
    ("none", True, True),
    ("shuffled", True, True),
    ("random", True, True),
    ("class-only", True, False),
    ("subdomain-only", False, True),
    ("unconditional", False, False),
])  # fmt: skip
def test_what_a_control_blanks_cannot_be_learned_back(control, classes, subdomains):
    """Trained to tell ids apart, the encoder can do so only on the axes that the control leaves."""
    model = ConditionEncoder(ConditionSpace.build(GAMMA, KAPPA, control=control), 6)
    label, subdomain = torch.arange(15) % 5, torch.arange(15) % 3
    target = torch.randn(15, 6, generator=generator(0, "t"))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(40):
        optimizer.zero_grad()
        (model(label, subdomain) - target).square().mean().backward()
        optimizer.step()
    gamma, kappa = model.tables()
    assert (torch.pdist(gamma).max() > 0.1) == classes == bool(model.class_residual.any())
    assert (torch.pdist(kappa).max() > 0.1) == subdomains == bool(model.subdomain_residual.any())
    if not classes:
        assert torch.equal(gamma, gamma[:1].expand(5, -1)), "exactly the same for every class"


def test_the_seed_chooses_the_derangement_and_both_axes_have_their_own():
    table = torch.randn(12, 3, generator=generator(0, "table"))
    spaces = [ConditionSpace.build(table, table, control="shuffled", seed=seed) for seed in range(5)]
    assert len({tuple(s.gamma.flatten().tolist()) for s in spaces}) == 5
    assert not any(torch.equal(s.gamma, s.kappa) for s in spaces)
    assert torch.equal(spaces[2].gamma, ConditionSpace.build(table, KAPPA, control="shuffled", seed=2).gamma)


def learned() -> ConditionEncoder:
    model = encoder(extra=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator(0, "learned", len(parameter)))
    return model


def test_a_class_of_one_cell_goes_with_a_subdomain_of_another():
    model = learned()
    a, b = model(torch.tensor([0]), torch.tensor([1])), model(torch.tensor([4]), torch.tensor([2]))
    crossed = model(torch.tensor([0]), torch.tensor([2])) + model(torch.tensor([4]), torch.tensor([1]))
    torch.testing.assert_close(a + b, crossed)


def test_mixtures_interpolate_between_ids():
    model = learned()
    one = torch.nn.functional.one_hot
    whole = model.mix(one(LABEL, 5).float(), one(SUBDOMAIN, 3).float())
    torch.testing.assert_close(whole, model(LABEL, SUBDOMAIN))
    weights, centre = torch.tensor([[0.25, 0, 0.75, 0, 0]]), torch.tensor([[0.5, 0.5, 0]])
    got = model.mix(weights, centre)
    at = lambda c, s: model(torch.tensor([c]), torch.tensor([s]))  # noqa: E731
    expected = sum(w * v * at(c, s) for c, w in ((0, 0.25), (2, 0.75)) for s, v in ((0, 0.5), (1, 0.5)))
    torch.testing.assert_close(got, expected)
    no = torch.tensor([False])
    torch.testing.assert_close(model.mix(weights, centre, no, no), at_null(model))


def at_null(model):
    return (model.null_class + model.null_subdomain)[None]


def test_extended_ids_are_the_mixtures():
    model = learned()
    weights = torch.tensor([[0.5, 0.5, 0, 0, 0], [0, 0, 0, 1.5, -0.5]])
    centre = torch.tensor([[0.2, 0.3, 0.5]])
    more = model.extended(weights, centre)
    torch.testing.assert_close(more(LABEL, SUBDOMAIN), model(LABEL, SUBDOMAIN))
    got = more(torch.tensor([5, 6]), torch.tensor([3, 3]), extra=torch.ones(2, 2))
    torch.testing.assert_close(got, model.mix(weights, centre.expand(2, -1), extra=torch.ones(2, 2)))
    assert model.gamma.shape == (5, 7) and not any(p.requires_grad for p in more.parameters())


@pytest.mark.parametrize("weights, words", [
    (torch.ones(1, 4) / 4, r"must be \[rows, 5\], one column an id, not \(1, 4\)"),
    (torch.ones(5) / 5, "one column an id"),
    (torch.ones(1, 5), "sum to 1"),
    (torch.full((1, 5), float("nan")), "finite and sum to 1"),
])  # fmt: skip
def test_weights_that_do_not_fit_are_refused(weights, words):
    for call in (encoder().mix, encoder().extended):
        with pytest.raises(UserError, match=words):
            call(weights, torch.tensor([[1.0, 0, 0]]))


def test_extra_features_start_without_a_say_and_learn_one():
    model = encoder(extra=2)
    extra = torch.randn(4, 2, generator=generator(0, "e"))
    plain = model(LABEL, SUBDOMAIN)
    assert torch.equal(model(LABEL, SUBDOMAIN, extra=extra), plain)
    model(LABEL, SUBDOMAIN, extra=extra).sum().backward()
    assert model.project_extra.weight.grad.abs().sum() > 0
    with torch.no_grad():
        model.project_extra.weight.normal_()
    no = torch.zeros(4, dtype=torch.bool)
    for keep in (None, no):
        moved = model(LABEL, SUBDOMAIN, keep, keep, extra) - model(LABEL, SUBDOMAIN, keep, keep)
        torch.testing.assert_close(moved, extra @ model.project_extra.weight.T)
    with pytest.raises(ValueError, match="extra=0"):
        encoder()(LABEL, SUBDOMAIN, extra=extra)
    assert "project_extra.weight" not in encoder().state_dict(), "older weights load as before"


@pytest.mark.parametrize("space", [{}, {"control": "shuffled"}])
def test_training_leaves_the_residual_of_an_unseen_id_exactly_zero(space):
    from gelda import diffusion
    from gelda.denoiser import Denoiser

    conditions = ConditionEncoder(ConditionSpace.build(GAMMA, KAPPA, **space), 6)
    model = diffusion.Model(Denoiser(4, 6, width=16, depth=1), conditions)
    label = torch.tensor([0, 2, 4] * 10)
    data = diffusion.TrainingData(torch.randn(30, 4), label, torch.arange(30) % 2, torch.ones(30))
    model = diffusion.train(
        model, data, steps=30, batch_size=16, learning_rate=1e-2, weight_decay=0.1, ema_decay=0.9, drop=0.2,
        prediction_type="v_prediction", weighting="uniform", seed=0,
    )  # fmt: skip
    trained = model.conditions
    assert not trained.class_residual[[1, 3]].any() and trained.class_residual[[0, 2, 4]].any(1).all()
    assert not trained.subdomain_residual[2].any() and trained.subdomain_residual[:2].any(1).all()


def test_a_mixture_is_sampled_like_any_other_cell():
    from gelda import diffusion, sampler
    from gelda.denoiser import Denoiser

    torch.manual_seed(1)
    denoiser = Denoiser(4, 6, width=16, depth=1)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.normal_(std=0.3)
    model = learned()
    both = model.extended(torch.eye(5)[[3]], torch.eye(3)[[1]])  # a "mixture" of one id alone
    noise = torch.randn(2, 4)
    known = sampler.sample(
        diffusion.Model(denoiser, model), torch.tensor([3, 3]), torch.tensor([1, 1]), noise
    )
    mixed = sampler.sample(diffusion.Model(denoiser, both), torch.tensor([5, 5]), torch.tensor([3, 3]), noise)
    torch.testing.assert_close(mixed, known)
    half = model.extended(torch.tensor([[0.5, 0, 0, 0.5, 0]]), torch.eye(3)[[1]])
    between = sampler.sample(diffusion.Model(denoiser, half), torch.tensor([5]), torch.tensor([3]), noise[:1])
    assert not torch.allclose(between, known[:1], atol=1e-3)
