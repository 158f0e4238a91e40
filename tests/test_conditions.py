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
