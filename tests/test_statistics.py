"""Intervals: by scipy, by bootstrap, and by their coverage."""

import numpy as np
import pytest
from scipy import stats

from gelda.statistics import Interval, grouped_mean_variance, seed_interval, shared_share


def test_without_item_variance_it_is_scipy_s_t_interval():
    values = [1.0, 2.5, 0.5, 3.0, 2.0]
    got = seed_interval(values, [0.0])
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (got.mean, got.low, got.high) == pytest.approx((1.8, low, high))
    wide = seed_interval(values, [0.0], level=0.99)
    assert (wide.low, wide.high) == pytest.approx(stats.t.interval(0.99, 4, 1.8, stats.sem(values)))


def test_item_variance_is_added_whole():
    values, variances = np.array([1.0, 3.0, 2.0]), np.array([0.4, 0.6, 0.5])
    error = np.sqrt(1.0 / 3 + 0.5)
    got = seed_interval(values, variances)
    assert got.high - got.mean == pytest.approx(stats.t.ppf(0.975, 2) * error)
    assert got.mean - got.low == pytest.approx(got.high - got.mean)


def test_item_variance_counts_as_far_as_seeds_share_their_items():
    values, variances = np.array([1.0, 3.0, 2.0]), np.array([0.4, 0.6, 0.5])
    half = [seed_interval(values, variances, overlap=f).high - 2 for f in (0.0, 0.25, 1.0)]
    errors = [np.sqrt(1.0 / 3 + f * 0.5) for f in (0.0, 0.25, 1.0)]
    assert half == pytest.approx(stats.t.ppf(0.975, 2) * np.array(errors))


def test_shared_share_is_that_of_pairs_of_test_sets():
    a, b, c = np.array(["x", "y", "y"]), np.array(["y", "z"]), np.array(["p", "q"])
    assert shared_share([a, a]) == 1.0 and shared_share([a, c]) == 0.0
    assert shared_share([a, b, c]) == pytest.approx((0.5 + 0 + 0) / 3)
    assert shared_share([a]) == 1.0, "one seed shares all its items with itself"


@pytest.mark.parametrize("values", [[4.0], []])
def test_fewer_than_two_seeds_have_no_interval(values):
    got = seed_interval(values, [0.1])
    assert np.isnan(got.low) and np.isnan(got.high) and not got.excludes_zero
    assert got.mean == 4.0 if values else np.isnan(got.mean)


@pytest.mark.parametrize(
    "low, high, expected", [(0.1, 2, True), (-2, -0.1, True), (-1, 1, False), (0, 1, False)]
)
def test_excludes_zero(low, high, expected):
    assert Interval(0.5, low, high).excludes_zero is expected
    assert Interval(0.5, low, high).as_json() == {"mean": 0.5, "ci95": [low, high]}


def test_mean_over_strata_weighs_classes_alike():
    scores, strata = np.array([1, 1, 1, 0, 0.0]), np.array([0, 0, 0, 0, 1])
    mean, _ = grouped_mean_variance(scores, strata, np.arange(5))
    assert mean == pytest.approx((0.75 + 0.0) / 2)


def test_one_stratum_of_lone_items_is_the_textbook_variance():
    scores = np.random.default_rng(0).normal(size=40)
    mean, variance = grouped_mean_variance(scores, np.zeros(40, int), np.arange(40))
    assert mean == pytest.approx(scores.mean())
    assert variance == pytest.approx(scores.var(ddof=1) / 40)


def test_grouped_variance_is_that_of_a_cluster_bootstrap():
    rng = np.random.default_rng(0)
    strata = np.repeat(np.arange(3), [60, 120, 240])
    group = np.arange(420) // 4  # four items of one original, all of one class
    scores = (rng.random(420) * 0.6 + np.repeat(rng.random(105), 4) * 0.8 > 0.75).astype(float)
    mean, variance = grouped_mean_variance(scores, strata, group)
    blocks, cls = scores.reshape(105, 4).mean(1), strata[::4]
    boots = []
    for _ in range(4000):
        parts = [rng.choice(blocks[cls == c], (cls == c).sum()).mean() for c in range(3)]
        boots.append(np.mean(parts))
    assert mean == pytest.approx(np.mean([blocks[cls == c].mean() for c in range(3)]))
    assert variance == pytest.approx(np.var(boots), rel=0.12)
    lone = grouped_mean_variance(scores, strata, np.arange(420))[1]
    assert lone < 0.6 * variance, "taking the items of an original as independent would be too sure"


def test_group_names_may_be_text_and_their_order_does_not_matter():
    rng = np.random.default_rng(1)
    scores, strata, group = rng.random(50), rng.integers(0, 3, 50), rng.integers(0, 12, 50)
    names = np.array([f"g{g:02d}" for g in group])
    order = rng.permutation(50)
    a = grouped_mean_variance(scores, strata, group)
    b = grouped_mean_variance(scores[order], strata[order], names[order])
    assert a == pytest.approx(b)


@pytest.mark.parametrize("seed_sd, item_sd", [(0.0, 1.0), (0.1, 1.0), (0.3, 1.0), (1.0, 0.5), (0.3, 0.0)])
def test_five_seeds_cover_the_truth_in_93_percent(seed_sd, item_sd):
    """score = truth + seed + item (shared by the seeds, in groups of four) + rest; 2000 experiments."""
    rng, experiments, seeds, groups = np.random.default_rng(5), 2000, 5, 30
    item = item_sd * (
        np.repeat(rng.normal(size=(experiments, 1, groups)), 4, 2)
        + rng.normal(size=(experiments, 1, 4 * groups))
    )
    seed = seed_sd * rng.normal(size=(experiments, seeds, 1))
    scores = 0.2 + seed + item + 0.3 * rng.normal(size=(experiments, seeds, 4 * groups))
    # grouped_mean_variance on one stratum, for all experiments at once (its own test is above)
    blocks = scores.reshape(experiments, seeds, groups, 4).mean(3)
    variances = blocks.var(2, ddof=1) / groups
    strata, group = np.zeros(4 * groups, int), np.arange(4 * groups) // 4
    assert grouped_mean_variance(scores[0, 0], strata, group)[1] == pytest.approx(variances[0, 0])
    inside = 0
    for k in range(experiments):
        got = seed_interval(scores[k].mean(1), variances[k])
        inside += got.low <= 0.2 <= got.high
    assert inside / experiments >= 0.93


@pytest.mark.parametrize("seeds", [5, 20])
@pytest.mark.parametrize("seed_sd, item_sd", [(0.0, 1.0), (0.1, 1.0), (0.3, 0.5), (0.5, 0.0)])
def test_redrawn_test_sets_cover_the_truth_in_93_percent(seeds, seed_sd, item_sd):
    """A finite pool of items, a quarter of it drawn to test each seed; 1500 pools. Without the items'
    part the interval would be too sure of itself, with all of it far too wide."""
    rng, pools, pool, share = np.random.default_rng(6), 1500, 120, 0.25
    inside, alone = 0, 0
    for _ in range(pools):
        item = 0.2 + item_sd * rng.normal(size=pool)
        drawn = [rng.choice(pool, int(share * pool), replace=False) for _ in range(seeds)]
        scores = [item[rows] + seed_sd * rng.normal() + 0.3 * rng.normal(size=len(rows)) for rows in drawn]
        means, variances = [s.mean() for s in scores], [s.var(ddof=1) / len(s) for s in scores]
        got = seed_interval(means, variances, shared_share(drawn))
        inside += got.low <= 0.2 <= got.high
        without = seed_interval(means, variances, 0.0)
        alone += without.low <= 0.2 <= without.high
    assert inside / pools >= 0.93
    if item_sd >= 1 and seeds == 20 and seed_sd == 0:
        assert alone / pools < 0.85, "the case this formula is for"
