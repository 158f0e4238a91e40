"""What residual diffusion takes off and adds back; and translation's start: re-derived on planted latents."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import planted_task

from gelda.augmenters.anchors import MOST, Anchors, subdomain_centres
from gelda.augmenters.diffusion import Gelda, transported
from gelda.augmenters.subdomains import MeanShift
from gelda.settings import GeneratorConfig, SamplingConfig


def class_task(sizes, latents=None, dim=4, seed=0):
    """Classes of so many rows in one subdomain, standard normal unless given."""
    label = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    z = torch.randn(len(label), dim, generator=torch.Generator().manual_seed(seed))
    task = planted_task(np.array(sizes)[:, None], np.zeros((len(sizes), 1), int), dim=dim, seed=seed)
    assert torch.equal(task.label, label)
    return replace(task, latents=z if latents is None else latents)


def draws(anchors, rows, seed=0):
    return anchors.batch(torch.as_tensor(rows), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sizes", [[2, 5, 9], [40, 3]])
def test_the_prototype_of_a_row_never_holds_the_row_itself(sizes):
    """Row i has its own axis: a prototype with row i in it would take something off there."""
    count = sum(sizes)
    task = class_task(sizes, 1000 * torch.eye(count))
    rows = torch.arange(count).repeat(300)
    residual, log_k = draws(Anchors.of(task), rows)
    assert (residual[torch.arange(len(rows)), rows] == 1000).all()
    prototype = 1000 * torch.eye(count)[rows] - residual
    shares = (prototype / 1000 * log_k.exp()).round()
    torch.testing.assert_close(shares / log_k.exp() * 1000, prototype, atol=0.01, rtol=0)
    torch.testing.assert_close(prototype.sum(1), torch.full((len(rows),), 1000.0), atol=0.01, rtol=0)
    other = task.label[rows][:, None] != task.label[None]
    assert (prototype[other] == 0).all(), "members are of the row's own class"
    for i in range(count):  # and every other member is drawn at some time
        own = (task.label == task.label[i]) & (torch.arange(count) != i)
        assert (prototype[rows == i].sum(0)[own] > 0).all()


def test_one_member_far_away_is_seen_by_all_others_and_not_by_itself():
    z = torch.zeros(6, 2)
    z[0] = 1e6
    anchors = Anchors.of(class_task([6], z))
    residual, _ = draws(anchors, [0] * 200)
    assert (residual == 1e6).all()
    residual, _ = draws(anchors, [3] * 500)
    assert (residual[:, 0] < 0).any() and (residual[:, 0] <= 0).all()


def test_log_k_is_the_log_of_how_many_were_averaged():
    sizes = [2, 5, 200]
    task = class_task(sizes)
    anchors = Anchors.of(task)
    for c, n in enumerate(sizes):
        _, log_k = draws(anchors, (task.label == c).nonzero()[:1, 0].repeat(4000), seed=c)
        k = log_k[:, 0].exp().round().int()
        most = min(n - 1, MOST)
        assert set(k.tolist()) == set(range(1, most + 1))
        # log-uniform: P(k = j) = log((j + 1)/j) / log(most + 1)
        for j in (1, most):
            expected = np.log((j + 1) / j) / np.log(most + 1)
            assert abs(float((k == j).float().mean()) - expected) < 4 * np.sqrt(0.25 / 4000)


def test_a_class_of_one_has_nothing_left():
    task = class_task([1, 8])
    residual, log_k = draws(Anchors.of(task), [0] * 50)
    assert (residual == 0).all() and (log_k == 0).all()


def test_a_residual_is_as_wide_as_a_new_latent_around_a_prototype_of_k():
    """Var(z − mean of k others) = σ²(1 + 1/k) for every k."""
    task = class_task([4000], dim=8)
    residual, log_k = draws(Anchors.of(task), torch.arange(4000).repeat(10))
    k = log_k[:, 0].exp().round().int()
    for j in (1, 2, 4, 8, 16):
        found = float(residual[k == j].var(0).mean())
        assert found == pytest.approx(1 + 1 / j, rel=0.06), j


@pytest.mark.parametrize("size", [1, 2, 5, 16, 60])
def test_prototypes_scatter_as_one_over_k_around_the_class_mean(size):
    task = class_task([size, 3], dim=6)
    own = task.latents[task.label == 0]
    made, log_k = Anchors.of(task).draw(
        torch.zeros(20_000, dtype=torch.int64), torch.zeros(20_000, dtype=torch.int64)
    )
    k = min(size, MOST)
    assert torch.allclose(log_k, torch.tensor(float(k)).log())
    expected = own.var(0, unbiased=False) / k  # drawn with replacement from the members
    torch.testing.assert_close(made.var(0, unbiased=False), expected, rtol=0.06, atol=1e-6)
    spread = float(expected.mean() ** 0.5) / 20_000**0.5
    assert (made.mean(0) - own.mean(0)).abs().max() < 6 * spread + 1e-5


def test_a_class_without_a_latent_has_the_mean_of_all():
    task = planted_task(np.array([[6], [0], [4]]), np.zeros((3, 1), int))
    made, log_k = Anchors.of(task).draw(torch.tensor([1, 1]), torch.tensor([0, 0]))
    torch.testing.assert_close(made, task.latents.mean(0).expand(2, -1))
    assert (log_k == 0).all()


@pytest.mark.parametrize("first, then", [((3, 5), (3, 9)), ((1, 1), (7, 2))])
def test_prototypes_of_a_cell_do_not_depend_on_other_cells(first, then):
    anchors = Anchors.of(class_task([9, 6]))

    def of_cells(a, b):
        label = torch.cat([torch.zeros(a, dtype=torch.int64), torch.ones(b, dtype=torch.int64)])
        made, _ = anchors.draw(label, torch.zeros_like(label))
        return made[:a], made[a:]

    for one, other in zip(of_cells(*first), of_cells(*then), strict=True):
        shared = min(len(one), len(other))
        assert torch.equal(one[:shared], other[:shared])
    assert not torch.equal(of_cells(4, 1)[0][0], of_cells(4, 1)[0][1])


def test_two_cells_of_a_class_do_not_share_their_prototypes():
    label, subdomain = torch.zeros(12, dtype=torch.int64), torch.arange(12) // 6
    made, _ = Anchors.of(class_task([9, 6])).draw(label, subdomain)
    assert not torch.isclose(made[:6], made[6:]).all(1).any()


def test_residuals_and_prototypes_recover_a_gaussian_class():
    """Mean and covariance of a class of 300 come back; a wide and a narrow axis are told apart."""
    spread = torch.tensor([1.4, 1.0, 0.7])
    z = torch.randn(300, 3, generator=torch.Generator().manual_seed(1)) * spread + torch.tensor([3.0, -1, 0])
    task = replace(class_task([300, 300], torch.cat([z, -z]), dim=3), allocation=np.array([[2000], [0]]))
    options = GeneratorConfig(
        steps=2000, width=64, depth=2, condition_dim=16, batch_size=128, class_balance=0.0
    )
    made = Gelda(options, None, SamplingConfig(num_inference_steps=20), form="residual").synthesise(task)
    mean, sd = made.latents.mean(0), made.latents.std(0)
    # prototypes of 16 scatter around the class mean, residuals around the prototype: σ²(1 + 2/16)
    torch.testing.assert_close(mean, z.mean(0), atol=0.35, rtol=0)
    ratio = sd / z.std(0) / (1 + 2 / 16) ** 0.5
    assert ratio.min() > 0.88 and ratio.max() < 1.2, ratio
    assert sd[0] > 1.25 * sd[1] > 1.25**2 * sd[2] * 0.95
    correlation = torch.corrcoef(made.latents.T)[~torch.eye(3, dtype=bool)]
    assert correlation.abs().max() < 0.2


# -- centres of subdomains ------------------------------------------------------------


def transfer_task(**change):
    task = planted_task(np.array([[8, 4, 0], [6, 3, 0], [5, 0, 0]]), np.zeros((3, 3), int))
    return replace(task, target=1, **change)


def test_centres_of_the_kept_class():
    task = transfer_task(kept=0)
    z, y, s = task.latents, task.label, task.subdomain
    kept = y == 0
    expected = [z[kept & (s == 0)].mean(0), z[kept & (s == 1)].mean(0), z[kept].mean(0)]
    torch.testing.assert_close(subdomain_centres(task), torch.stack(expected))


def test_centres_with_unlabelled_latents():
    extra = torch.randn(11, 6) + 5
    task = transfer_task(kept=0, unlabelled=(extra, torch.full((11,), 1)))
    z, s = task.latents, task.subdomain
    both = torch.cat([z, extra])
    expected = [z[s == 0].mean(0), torch.cat([z[s == 1], extra]).mean(0), both.mean(0)]
    torch.testing.assert_close(subdomain_centres(task), torch.stack(expected), atol=1e-5, rtol=1e-5)


def test_centres_by_balanced_classes_where_nothing_is_kept():
    task = transfer_task()
    z, y, s = task.latents, task.label, task.subdomain
    cells = [
        [z[(s == d) & (y == c)].mean(0) for c in range(3) if ((s == d) & (y == c)).any()] for d in (0, 1)
    ]
    expected = [torch.stack(means).mean(0) for means in cells] + [z.mean(0)]
    torch.testing.assert_close(subdomain_centres(task), torch.stack(expected))


def test_across_subdomains_a_residual_is_taken_from_the_centre():
    task = transfer_task(kept=0)
    anchors = Anchors.of(task)
    rows = torch.arange(len(task.label))
    residual, feature = draws(anchors, rows)
    assert feature is None and anchors.features == 0
    centre = subdomain_centres(task)
    torch.testing.assert_close(residual, task.latents - centre[task.subdomain])
    made, feature = anchors.draw(torch.tensor([2, 1]), torch.tensor([1, 0]))
    assert feature is None
    torch.testing.assert_close(made, centre[[1, 0]])


# -- starts of the translate form ------------------------------------------------------------


def test_a_translation_starts_from_the_mean_shift_s_latents_where_there_are_some():
    task = replace(transfer_task(kept=0), allocation=np.array([[0, 3, 0], [0, 4, 0], [0, 5, 2]]))
    label = torch.tensor([0] * 3 + [1] * 4 + [2] * 5 + [2] * 2)
    subdomain = torch.tensor([1] * 12 + [2] * 2)
    starts = transported(task, label, subdomain)
    moved = MeanShift().synthesise(task)
    for c in range(3):
        own = moved.latents[(moved.label == c) & (moved.subdomain == 1)]
        torch.testing.assert_close(starts[(label == c) & (subdomain == 1)], own)
    # subdomain 2 has no centre: real latents of the class
    for start in starts[-2:]:
        assert (task.latents[task.label == 2] == start).all(1).any()
    assert torch.isfinite(starts).all()
