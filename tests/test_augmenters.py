"""What each baseline makes, against its definition worked out again."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import planted_task

from gelda import augmenters
from gelda.adapter import Adapter
from gelda.augmenters.base import Synthetic
from gelda.finetune import finetune, predict
from gelda.settings import AdapterConfig


def make(name, **setting):
    return augmenters.get(name).build(**setting)


def cells(made):
    """{(class, subdomain): number}."""
    pairs, numbers = torch.stack([made.label, made.subdomain], 1).unique(dim=0, return_counts=True)
    return {(int(c), int(s)): int(n) for (c, s), n in zip(pairs, numbers, strict=True)}


# -- resampling ------------------------------------------------------------


@pytest.mark.parametrize("balance", [1.0, 0.5, 0.25])
def test_oversampling_s_balance(balance):
    task = planted_task()  # classes of 30, 12 and 3
    sums = np.bincount(task.label.numpy(), make("oversampling", balance=balance).real_weight(task).numpy())
    expected = np.array([30.0, 12.0, 3.0]) ** (1 - balance)
    np.testing.assert_allclose(sums / sums.sum(), expected / expected.sum(), rtol=1e-4)


def on_a_line(points, others, wanted):
    """A task in one dimension: class 1 at `points`, class 0 at `others`."""
    z = torch.tensor([*others, *points], dtype=torch.float32)[:, None]
    counts = np.array([[len(others)], [len(points)]])
    task = planted_task(counts, np.array([[0], [wanted]]), dim=1)
    return replace(task, latents=z)


def test_borderline_smote_starts_at_the_border_only():
    # far from class 0: 0, 1, … 9; in danger (more than half but not all of ten neighbours): 100, 101, 102
    points = [*range(10), 100, 101, 102]
    others = [100.5 + 0.01 * k for k in range(8)]
    task = on_a_line(points, others, 400)
    made = make("borderline-smote").synthesise(task).latents[:, 0]
    assert len(made) == 400 and made.min() > 6, "each starts at 100 … 102 and goes to one of its own five"
    assert (make("smote").synthesise(task).latents[:, 0] < 6).any()


def test_a_class_away_from_the_border_gets_plain_smote():
    task = on_a_line(range(20), [1000.0 + k for k in range(30)], 50)
    plain = make("smote").synthesise(task)
    for name in ("borderline-smote", "adasyn"):
        assert torch.equal(make(name).synthesise(task).latents, plain.latents), name


def test_adasyn_makes_more_where_other_classes_are():
    others = [5.0 + 0.01 * k for k in range(30)]
    task = on_a_line([*np.linspace(-100, -90, 10), *np.linspace(4.9, 5.4, 8)], others, 300)
    made = make("adasyn").synthesise(task).latents[:, 0]
    assert len(made) == 300 and (made > 0).all(), "latents with none of class 0 around lend nothing"


# -- statistics ------------------------------------------------------------


def moments_task(sizes=(400, 300, 6), wanted=(0, 0, 20000), dim=4):
    task = planted_task(np.array(sizes)[:, None], np.array(wanted)[:, None], dim=dim)
    mix = torch.randn(dim, dim, generator=torch.Generator().manual_seed(0))
    return replace(task, latents=task.latents @ mix)


@pytest.mark.parametrize("prior", [10.0, 100.0])
def test_class_gaussian_has_the_class_s_mean_and_the_shrunken_covariance(prior):
    task = moments_task()
    made = make("class-gaussian", prior=prior).synthesise(task).latents.double().numpy()
    z, y = task.latents.double().numpy(), task.label.numpy()
    within = sum(np.cov(z[y == c].T) * ((y == c).sum() - 1) for c in range(3)) / (len(y) - 3)
    rho = prior / (prior + 5)
    expected = (1 - rho) * np.cov(z[y == 2].T) + rho * within
    scale = np.abs(expected).max()
    np.testing.assert_allclose(np.cov(made.T), expected, atol=0.05 * scale)
    np.testing.assert_allclose(made.mean(0), z[y == 2].mean(0), atol=0.05 * scale**0.5)


def test_class_gaussian_in_more_dimensions_than_rows():
    task = planted_task(np.array([[6], [5], [4]]), np.array([[0], [0], [30000]]), dim=20)
    made = make("class-gaussian").synthesise(task).latents.double().numpy()
    z, y = task.latents.double().numpy(), task.label.numpy()
    within = sum(np.cov(z[y == c].T) * ((y == c).sum() - 1) for c in range(3)) / (len(y) - 3)
    expected = 3 / 13 * np.cov(z[y == 2].T) + 10 / 13 * within
    np.testing.assert_allclose(np.cov(made.T), expected, atol=0.06)


@pytest.mark.parametrize("alpha", [0.21, 0.0])
def test_distribution_calibration_is_the_paper_s_formula(alpha):
    """One support latent; three of five classes are base classes, and the two nearest of them count."""
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0, 0], [4, 0, 0], [0, 40, 0], [1, 1, 0], [2, 1, 0.0]])
    sizes = (60, 50, 40, 3, 1)
    y = np.repeat(np.arange(5), sizes)
    z = centres[y] + rng.normal(size=(len(y), 3)) @ rng.normal(size=(3, 3))
    task = planted_task(np.array(sizes)[:, None], np.array([0, 0, 0, 0, 40000])[:, None], dim=3)
    task = replace(task, latents=torch.from_numpy(z).float())
    made = make("distribution-calibration", alpha=alpha).synthesise(task).latents.double().numpy()
    support = z[y == 4][0]
    near = sorted(range(3), key=lambda c: np.linalg.norm(z[y == c].mean(0) - support))[:2]
    assert set(near) == {0, 1}
    mean = (z[y == near[0]].mean(0) + z[y == near[1]].mean(0) + support) / 3
    covariance = (np.cov(z[y == near[0]].T) + np.cov(z[y == near[1]].T)) / 2 + alpha
    np.testing.assert_allclose(made.mean(0), mean, atol=0.06)
    np.testing.assert_allclose(np.cov(made.T), covariance, atol=0.04 * np.abs(covariance).max())


def test_distribution_calibration_uses_every_latent_of_the_class_alike():
    task = planted_task(np.array([[30], [20], [3]]), np.array([[0], [0], [3000]]))
    far = task.latents.clone()
    far[-3:] *= torch.tensor([[1.0], [100.0], [-100.0]])
    made = make("distribution-calibration").synthesise(replace(task, latents=far)).latents
    size = made.norm(dim=1)
    assert float((size > 100).float().mean()) == pytest.approx(2 / 3, abs=1e-6)


# -- subdomains ------------------------------------------------------------


def shifted_task(**change):
    """Three subdomains; class 2 is missing in the last, class 1 in the first; rows as in planted_task."""
    counts = np.array([[9, 8, 7], [0, 6, 5], [4, 3, 0]])
    return replace(planted_task(counts, np.array([[0, 0, 2], [5, 0, 0], [0, 0, 600]])), **change)


def centre_of(task, c, s):
    return task.latents[(task.label == c) & (task.subdomain == s)].double().mean(0)


def moved_by(task, made, c, to):
    """Every synthetic latent of a cell less all its possible donors, and the donors' subdomains."""
    rows = (task.label == c) & (task.subdomain != to)
    mine = made.latents[(made.label == c) & (made.subdomain == to)].double()
    return list(mine[:, None] - task.latents[rows].double()), task.subdomain[rows]


@pytest.mark.parametrize("setting", ["shared classes", "kept class", "unlabelled", "unlabelled and kept"])
def test_mean_shift_moves_by_the_difference_of_the_centres(setting):
    extra = torch.randn(50, 6, generator=torch.Generator().manual_seed(2)) + 7
    where = torch.arange(50) % 3
    change = {"kept": 0} if "kept" in setting else {}
    if "unlabelled" in setting:
        change["unlabelled"] = (extra, where)
    task = shifted_task(**change)

    def shift(source, to):
        if "unlabelled" in setting:
            z, s = torch.cat([task.latents, extra]).double(), torch.cat([task.subdomain, where])
            return z[s == to].mean(0) - z[s == source].mean(0)
        if setting == "kept class":
            return centre_of(task, 0, to) - centre_of(task, 0, source)
        shared = {(0, 2): (0,), (1, 2): (0, 1), (0, 1): (0, 2)}[min(source, to), max(source, to)]
        return torch.stack([centre_of(task, c, to) - centre_of(task, c, source) for c in shared]).mean(0)

    made = make("mean-shift").synthesise(task)
    assert cells(made) == {(0, 2): 2, (1, 0): 5, (2, 2): 600}
    for c, to in cells(made):
        differences, source = moved_by(task, made, c, to)
        expected = torch.stack([shift(int(s), to) for s in source])
        used = set()
        for difference in differences:
            error = (difference - expected).abs().amax(1)
            assert float(error.min()) < 1e-4
            used.add(int(source[error.argmin()]))
        if len(differences) > 100:
            assert used == set(source.tolist()), "donors come from every other subdomain"


def test_mean_shift_needs_a_donor_and_a_centre():
    task = shifted_task()
    assert len(make("mean-shift").synthesise(replace(task, allocation=np.zeros((3, 3), int)))) == 0
    # class 1 only in subdomain 1, and nothing to compare the subdomains by
    lonely = planted_task(np.array([[5, 0], [0, 5]]), np.array([[3, 3], [3, 3]]))
    assert len(make("mean-shift").synthesise(lonely)) == 0
    known = replace(lonely, unlabelled=(torch.randn(4, 6), torch.tensor([0, 0, 1, 1])))
    assert cells(make("mean-shift").synthesise(known)) == {(0, 1): 3, (1, 0): 3}
    # the kept class is missing in the target
    wanted = np.array([[0, 0, 4]] * 3)
    assert len(make("mean-shift").synthesise(replace(task, kept=2, allocation=wanted))) == 0


def test_mean_shift_ignores_labels_that_the_setting_hides():
    """With a kept class, no other row of the target may matter."""
    task = shifted_task(kept=0)
    latents = task.latents.clone()
    hidden = (task.subdomain == 2) & (task.label == 1)
    latents[hidden] += 100
    allocation = np.array([[0, 0, 0], [0, 0, 9], [0, 0, 9]])
    a = make("mean-shift").synthesise(replace(task, allocation=allocation))
    b = make("mean-shift").synthesise(replace(task, allocation=allocation, latents=latents))
    assert torch.equal(a.latents, b.latents)


@pytest.mark.parametrize("setting", ["labelled", "kept class", "unlabelled"])
def test_subdomain_norm_by_hand(setting):
    extra = 3 * torch.randn(60, 6, generator=torch.Generator().manual_seed(2)) + 7
    where = torch.arange(60) % 3
    change = {"kept class": {"kept": 0}, "unlabelled": {"kept": 0, "unlabelled": (extra, where)}}
    task = shifted_task(**change.get(setting, {}))
    z, s = task.latents.double(), task.subdomain
    if setting == "kept class":
        z, s = z[task.label == 0], s[task.label == 0]
    elif setting == "unlabelled":
        z, s = torch.cat([z, extra.double()]), torch.cat([s, where])
    within = torch.cat([z[s == k] - z[s == k].mean(0) for k in range(3)]).square().sum(0)
    pooled = within / (len(z) - 3)
    got = make("subdomain-norm", prior=30.0).transform(task)(task.latents, task.subdomain)
    for k in range(3):
        own = z[s == k]
        variance = ((own - own.mean(0)).square().sum(0) + 30 * pooled) / (len(own) + 30)
        rows = task.subdomain == k
        expected = (task.latents[rows].double() - own.mean(0)) / variance.sqrt()
        torch.testing.assert_close(got[rows].double(), expected, atol=1e-4, rtol=1e-4)


def test_subdomain_norm_of_an_unknown_subdomain_is_the_pooled_one():
    task = planted_task(np.array([[9, 8, 0], [3, 2, 0]]), np.zeros((2, 3), int))
    transform = make("subdomain-norm").transform(task)
    z = task.latents.double()
    expected = (z - z.mean(0)) / z.std(0, unbiased=False)
    for s in (2, -1, 7):
        got = transform(task.latents, torch.full((len(z),), s))
        torch.testing.assert_close(got.double(), expected, atol=1e-4, rtol=1e-4)


def test_subdomain_norm_keeps_a_dimension_that_never_varies():
    task = planted_task()
    z = task.latents.clone()
    z[:, 1] = 3.0
    moved = make("subdomain-norm").transform(replace(task, latents=z))(z, task.subdomain)
    assert torch.equal(moved[:, 1], torch.zeros(len(z)))


# -- in a comparison ------------------------------------------------------------


@pytest.mark.parametrize("layer", [0, 1])
def test_transforms_reach_training_and_test_rows_of_their_own_arm_only(layer):
    """Subdomain 1 is subdomain 0 moved far away; only an arm that normalises can use what it learned."""
    counts = np.array([[40, 40], [40, 0], [40, 0]])
    base = planted_task(counts, np.zeros((3, 2), int), dim=6)
    offset = torch.tensor([60.0, -60.0, 0.0, 60.0, -30.0, 0.0])
    z = base.latents + base.subdomain[:, None] * offset
    task = replace(base, latents=z, kept=0)
    fresh = planted_task(np.full((3, 2), 50), np.zeros((3, 2), int), dim=6, seed=1)
    test = fresh.latents + fresh.subdomain[:, None] * offset
    arms = {n: (make(n), Synthetic.none(6)) for n in ("ce", "subdomain-norm", "logit-adjustment")}
    config = AdapterConfig(
        hidden=(16,) if layer == 0 else (6, 16), tune_steps=150, batch_size=64, dropout=0.0
    )
    adapter = Adapter((6, *config.hidden), 3)
    heads = finetune(adapter, task, arms, layer, config)
    transforms = [arm.transform(task) for arm, _ in arms.values()]
    assert [t is None for t in transforms] == [True, False, True]
    p = predict(heads, test, layer, subdomain=fresh.subdomain, transforms=transforms)
    there = (fresh.subdomain == 1).numpy()
    right = (p.argmax(-1) == fresh.label.numpy())[:, there].mean(1)
    assert right[1] > 0.8 and right[0] < 0.6 and right[2] < 0.6
    plain = predict(heads, test, layer)
    np.testing.assert_allclose(plain[[0, 2]], p[[0, 2]], atol=1e-5)
    with pytest.raises(ValueError, match="subdomains"):
        predict(heads, test, layer, transforms=transforms)


def test_every_arm_in_one_comparison():
    """All arms and all their settings side by side, synthetic latents and all; each learns something."""
    task = planted_task(np.array([[60, 30], [20, 10], [6, 5]]), np.array([[0, 30], [40, 50], [54, 55]]))
    arms = {}
    for name, spec in augmenters.AUGMENTERS.items():
        if not spec.generative:
            for setting in make(name).grid:
                arm = spec.build(**setting)
                arms[name, *setting.items()] = (arm, arm.synthesise(task))
    config = AdapterConfig(hidden=(16,), tune_steps=60, batch_size=64)
    heads = finetune(Adapter((6, 16), 3), task, arms, 0, config)
    test = planted_task(np.full((3, 2), 40), np.zeros((3, 2), int), seed=1)
    transforms = [arm.transform(task) for arm, _ in arms.values()]
    p = predict(heads, test.latents, 0, subdomain=test.subdomain, transforms=transforms)
    right = (p.argmax(-1) == test.label.numpy()).mean(1)
    assert len(arms) > 70 and np.isfinite(p).all()
    assert right.min() > 0.6, {name: r for name, r in zip(arms, right, strict=True) if r < 0.7}
