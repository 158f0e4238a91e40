"""Figures against scikit-learn and scipy, and on planted cases whose answer is known."""

import numpy as np
import pytest
import scipy.linalg
from sklearn import metrics as reference
from sklearn.neighbors import NearestNeighbors

from gelda import metrics

RNG = np.random.default_rng(0)
TRUE = RNG.choice(5, 300, p=[0.5, 0.3, 0.1, 0.06, 0.04])
GUESS = np.where(RNG.random(300) < 0.6, TRUE, RNG.integers(0, 6, 300))


def test_confusion_and_recalls_are_scikit_learn_s():
    np.testing.assert_array_equal(
        metrics.confusion(TRUE, GUESS, 6), reference.confusion_matrix(TRUE, GUESS, labels=range(6))
    )
    expected = reference.recall_score(TRUE, GUESS, labels=range(5), average=None)
    np.testing.assert_allclose(metrics.recalls(TRUE, GUESS, 6)[:5], expected)
    assert np.isnan(metrics.recalls(TRUE, GUESS, 6)[5]), "class 5 never occurs"
    assert np.nanmean(metrics.recalls(TRUE, GUESS, 6)) == pytest.approx(
        reference.recall_score(TRUE, GUESS, labels=range(5), average="macro")
    )


def test_macro_f1_is_scikit_learn_s_over_the_classes_that_occur():
    expected = reference.f1_score(TRUE, GUESS, labels=range(5), average="macro")
    assert metrics.macro_f1(TRUE, GUESS, 6) == pytest.approx(expected)


@pytest.mark.parametrize("shapes", [((200, 4), (150, 4)), ((60, 1), (50, 1)), ((6, 12), (9, 12))])
def test_frechet_is_the_formula_with_scipy_s_square_root(shapes):
    a, b = (
        RNG.normal(size=shapes[0]),
        1.5 * RNG.normal(size=shapes[1]) @ np.diag(1 + np.arange(shapes[1][1])) + 0.7,
    )
    cov_a, cov_b = np.cov(a.T).reshape(shapes[0][1], -1), np.cov(b.T).reshape(shapes[0][1], -1)
    root = scipy.linalg.sqrtm(cov_a @ cov_b)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a + cov_b - 2 * root.real)
    assert metrics.frechet(a, b) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_frechet_of_a_sample_with_itself_is_zero_and_grows_with_a_shift():
    a = RNG.normal(size=(300, 5))
    assert metrics.frechet(a, a) == pytest.approx(0, abs=1e-8)
    assert metrics.frechet(a, a + 2) == pytest.approx(4 * 5, rel=1e-6)
    assert metrics.frechet(a, 3 * a) == pytest.approx(
        4 * np.trace(np.cov(a.T)) + 4 * np.square(a.mean(0)).sum(), rel=1e-6
    )


def test_class_centred_residuals_have_no_mean_and_an_unbiased_spread():
    label = np.repeat(np.arange(400), [2] * 399 + [1])
    z = 2.0 * RNG.normal(size=(len(label), 3)) + 50 * label[:, None]
    residual = metrics.class_centred(z, label)
    assert residual.shape == (798, 3), "a class of one latent has no residual"
    np.testing.assert_allclose(residual[0::2] + residual[1::2], 0, atol=1e-9)
    # without the factor √(n/(n−1)) pairs would show half of the variance
    assert residual.var(0).mean() == pytest.approx(4.0, rel=0.1)
    assert metrics.class_centred(z[:1], label[:1]).shape == (0, 3)


def test_variance_ratio_finds_narrow_and_wide_generators():
    held_label, label = np.repeat([0, 1, 2], [50, 50, 9]), np.repeat([0, 1, 2, 3], 400)
    held = RNG.normal(size=(109, 6)) + 10 * held_label[:, None]
    spread = np.select([label == 0, label == 1], [0.5, 2.0], 1.0)[:, None]
    made = spread * RNG.normal(size=(1600, 6)) - 5 * label[:, None]
    ratios = metrics.variance_ratios(made, label, held, held_label)
    assert set(ratios) == {0, 1}, "fewer than ten held-out items say nothing"
    for c, factor in ((0, 0.25), (1, 4.0)):
        trace = np.trace(np.cov(made[label == c].T)) / np.trace(np.cov(held[held_label == c].T))
        assert ratios[c] == pytest.approx(trace) and ratios[c] == pytest.approx(factor, rel=0.25)


def test_nearest_is_exact():
    pool, queries = RNG.normal(size=(80, 7)), RNG.normal(size=(30, 7))
    distance = np.sqrt(((queries[:, None] - pool[None]) ** 2).sum(-1))
    index, found = metrics.nearest(queries, pool, 4)
    np.testing.assert_array_equal(index, distance.argsort(1)[:, :4])
    np.testing.assert_allclose(found, np.sort(distance, 1)[:, :4], atol=1e-6)
    assert metrics.nearest(queries, pool[:2], 4)[0].shape == (30, 2), "a small pool has no more"


@pytest.mark.parametrize("twins", [False, True])
def test_a_latent_is_not_its_own_neighbour(twins):
    pool = RNG.normal(size=(40, 3))
    if twins:
        pool[7] = pool[30]  # two items may be equal: then each is the other's neighbour, never its own
    index, distance = metrics.nearest(pool, pool, 3, skip_self=True)
    assert not (index == np.arange(40)[:, None]).any()
    full = np.sqrt(((pool[:, None] - pool[None]) ** 2).sum(-1))
    np.fill_diagonal(full, np.inf)
    np.testing.assert_allclose(distance, np.sort(full, 1)[:, :3], atol=1e-6)


def test_memorisation_is_one_for_copies_and_a_twentieth_for_fresh_draws():
    train, held = RNG.normal(size=(400, 8)), RNG.normal(size=(2000, 8))
    copies = train[RNG.integers(0, 400, 500)] + 1e-3 * RNG.normal(size=(500, 8))
    assert metrics.memorisation(copies, train, held) == 1.0
    assert metrics.memorisation(RNG.normal(size=(4000, 8)), train, held) == pytest.approx(0.05, abs=0.02)
    half = np.concatenate([copies[:250], RNG.normal(size=(250, 8))])
    assert metrics.memorisation(half, train, held) == pytest.approx(0.525, abs=0.03)


def test_memorisation_by_hand():
    train, held, made = RNG.normal(size=(50, 2)), RNG.normal(size=(60, 2)), 0.9 * RNG.normal(size=(70, 2))
    knn = NearestNeighbors(n_neighbors=1).fit(train)
    limit = np.quantile(knn.kneighbors(held)[0][:, 0], 0.05)
    assert metrics.memorisation(made, train, held) == pytest.approx(
        (knn.kneighbors(made)[0][:, 0] < limit).mean()
    )


def test_the_gaussian_to_beat_knows_the_covariance():
    """Correlated residuals: the shrunk Gaussian comes near real to real, a diagonal one does not."""
    from gelda.health import shrunk_gaussian

    rng = np.random.default_rng(0)
    mix = rng.normal(size=(12, 12)) / 2
    train, held = rng.normal(size=(400, 12)) @ mix, rng.normal(size=(400, 12)) @ mix
    full = metrics.frechet(shrunk_gaussian(train, 400, 0), held)
    diagonal = metrics.frechet(rng.normal(size=(400, 12)) * train.std(0), held)
    assert full < 0.25 * diagonal
    assert full < 3 * metrics.frechet(train, held)
