"""Intervals: by scipy, by bootstrap, and by their coverage."""

import importlib.util
import itertools
import math
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gelda.bootstrap import bootstrap_interval, bootstrap_means
from gelda.statistics import (
    Interval,
    ahead_of_every,
    cluster_interval,
    countable,
    family,
    grouped_mean_variance,
    holm,
    seed_interval,
    shared_share,
    sign_test,
    told_apart,
    wilcoxon,
)

_spec = importlib.util.spec_from_file_location(
    "coverage_benchmark", Path(__file__).resolve().parent.parent / "benchmarks" / "intervals.py"
)
coverage = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = coverage
_spec.loader.exec_module(coverage)


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


# -- few groups ----------------------------------------------------------------------------------------------


def crossed(rng, groups=10, seeds=5, classes=3, items=4, seed_sd=0.1, group_sd=0.2, both_sd=0.1):
    """Scores (truth 0.2), strata and groups of each seed; the same items in every seed."""
    group = np.repeat(np.arange(groups), classes * items)
    strata = np.tile(np.repeat(np.arange(classes), items), groups)
    base = 0.2 + group_sd * rng.normal(size=groups)[group] + 0.3 * rng.normal(size=len(group))
    scores = [
        base
        + seed_sd * rng.normal()
        + both_sd * rng.normal(size=groups)[group]
        + 0.2 * rng.normal(size=len(group))
        for _ in range(seeds)
    ]
    return scores, [strata] * seeds, [group] * seeds


def test_cluster_interval_of_a_balanced_design_by_hand():
    """One class, equal groups: two one-way analyses, and Satterthwaite's degrees of freedom."""
    scores, _, group = crossed(np.random.default_rng(0), classes=1)
    one = [np.zeros(40, int)] * 5
    table = np.array(scores).reshape(5, 10, 4).mean(2)  # [seeds, groups]
    over_seeds = table.mean(1).var(ddof=1) / 5
    over_groups = table.mean(0).var(ddof=1) / 10
    total = over_seeds + over_groups
    freedom = total**2 / (over_seeds**2 / 4 + over_groups**2 / 9)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(total)
    got = cluster_interval(scores, one, group)
    assert (got.mean, got.low, got.high) == pytest.approx(
        (table.mean(), table.mean() - half, table.mean() + half)
    )
    wide = cluster_interval(scores, one, group, level=0.99)
    assert wide.high - wide.mean == pytest.approx(stats.t.ppf(0.995, freedom) * np.sqrt(total))


def test_groups_of_their_own_add_nothing_to_the_variance_over_seeds():
    scores, strata, group = crossed(np.random.default_rng(1))
    apart = [100 * s + g for s, g in enumerate(group)]
    means = [np.mean([x[strata[0] == c].mean() for c in range(3)]) for x in scores]
    got = cluster_interval(scores, strata, apart)
    low, high = stats.t.interval(0.95, 4, np.mean(means), stats.sem(means))
    assert (got.low, got.high) == pytest.approx((low, high))
    shared = cluster_interval(scores, strata, group)
    stated = cluster_interval(scores, strata, group, overlap=1.0)
    assert stated == shared and shared.high > cluster_interval(scores, strata, group, overlap=0.0).high


def test_unequal_groups_leave_the_variance_without_bias(monkeypatch):
    """Items that are all alike and independent: the leverage's correction makes SE² exact in the mean,
    where sums over groups alone would miss 1 − Σ h² of it."""
    monkeypatch.setattr("gelda.statistics.INTERVAL_SEEDS", 2)
    rng = np.random.default_rng(2)
    size = np.array([30, 10, 8, 6, 4, 2])
    group, one = np.repeat(np.arange(6), size), np.zeros(60, int)
    found = []
    for _ in range(4000):
        x = rng.normal(size=60)
        got = cluster_interval([x, x], [one, one], [group, group])  # equal seeds: no variance over seeds
        effective = 1 / np.sum((size / 60) ** 2) - 1
        found.append(((got.high - got.mean) / stats.t.ppf(0.975, effective)) ** 2)
    assert np.mean(found) == pytest.approx(1 / 60, rel=0.04)


def test_names_and_order_of_groups_do_not_matter():
    rng = np.random.default_rng(3)
    scores, strata, group = crossed(rng)
    order = rng.permutation(len(group[0]))
    names = np.array([f"speaker {(7 * g) % 10}" for g in group[0]])
    a = cluster_interval(scores, strata, group)
    b = cluster_interval(
        [scores[0], *[x[order] for x in scores[1:]]],
        [strata[0], *[s[order] for s in strata[1:]]],
        [names, *[names[order]] * 4],
    )
    assert (a.mean, a.low, a.high) == pytest.approx((b.mean, b.low, b.high))


def test_without_seeds_groups_or_items_there_is_no_interval():
    scores, strata, group = crossed(np.random.default_rng(0))
    for got in (
        cluster_interval(scores[:1], strata[:1], group[:1]),
        cluster_interval(scores, strata, [np.zeros_like(g) for g in group]),
        bootstrap_interval(scores[:1], strata[:1], group[:1]),
    ):
        assert np.isfinite(got.mean) and np.isnan(got.low) and not ahead_of_every([got])
    empty = [np.zeros(0)] * 2
    assert np.isnan(cluster_interval(empty, empty, empty).mean)
    assert np.isnan(cluster_interval([], [], []).mean)
    same = cluster_interval([np.ones(6)] * 3, [np.zeros(6, int)] * 3, [np.arange(6)] * 3)
    assert (same.low, same.mean, same.high) == (1, 1, 1)


CASES = [c for c in coverage.CASES if c.name in ("nothing but items", "seeds and groups", "groups, unequal")]


@pytest.mark.parametrize("groups", [8, 24])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_five_seeds_and_few_groups_cover_the_truth_in_93_percent(case, groups):
    """500 experiments; benchmarks/intervals.py has all cases. Not by being wide: the width is bounded too."""
    rng = np.random.default_rng(17)
    inside, ours, plain = 0, 0.0, 0.0
    for _ in range(500):
        arrays = coverage.experiment(rng, case, groups)
        got, old = cluster_interval(*arrays), coverage.plain(*arrays)
        inside += got.low <= coverage.TRUTH <= got.high
        ours, plain = ours + got.high - got.low, plain + old.high - old.low
    assert 0.93 <= inside / 500
    assert ours < 0.95 * plain


@pytest.mark.parametrize("pool, share", [(120, 0.25), (40, 0.5)])
def test_redrawn_test_groups_cover_the_truth_too(pool, share):
    rng, inside = np.random.default_rng(8), 0
    for _ in range(400):
        item = 0.2 + 0.5 * rng.normal(size=pool)
        drawn = [rng.choice(pool, int(share * pool), replace=False) for _ in range(5)]
        scores = [item[rows] + 0.05 * rng.normal() + 0.3 * rng.normal(size=len(rows)) for rows in drawn]
        got = cluster_interval(scores, [np.zeros(len(rows), int) for rows in drawn], drawn)
        inside += got.low <= 0.2 <= got.high
    assert inside / 400 >= 0.93


@pytest.mark.parametrize("seed_sd", [0.0, 0.03, 0.1])
def test_a_given_split_covers_the_truth_for_its_training_set(seed_sd):
    """Training and test items are the same in every seed, each item its own group: what is estimated is the
    mean over heads and over further test items of the classes as this training set left them."""
    rng, inside = np.random.default_rng(9), 0
    of_class = 0.2 + 0.3 * rng.normal(size=5)  # fixed: what this training set did for each class
    strata = np.repeat(np.arange(5), 20)
    for _ in range(600):
        item = of_class[strata] + 0.4 * rng.normal(size=100)
        scores = [item + seed_sd * rng.normal() + 0.2 * rng.normal(size=100) for _ in range(5)]
        got = cluster_interval(scores, [strata] * 5, [np.arange(100)] * 5)
        inside += got.low <= of_class.mean() <= got.high
    assert 0.93 <= inside / 600 <= 0.985, "neither too sure nor far too wide"


# -- the bootstrap -------------------------------------------------------------------------------------------


def slow_bootstrap(scores, strata, groups, draws, rng):
    """Seeds, groups and items resampled with plain loops."""
    names = np.unique(np.concatenate(groups))
    found = []
    for _ in range(draws):
        taken, means = rng.choice(names, len(names)), []
        for s in rng.choice(len(scores), len(scores)):
            drawn = {c: [] for c in np.unique(strata[s])}
            for g in taken:
                for c in drawn:
                    members = scores[s][(groups[s] == g) & (strata[s] == c)]
                    if len(members):
                        drawn[c].extend(rng.choice(members, len(members)))
            means.append(np.mean([np.mean(v) for v in drawn.values() if v]))
        found.append(np.mean(means))
    return np.array(found)


def test_the_bootstrap_resamples_seeds_groups_and_items():
    rng = np.random.default_rng(4)
    scores, strata, group = crossed(rng, groups=6, seeds=3, items=2)
    kept = [rng.random(36) < 0.8 for _ in range(3)]  # unequal groups, cells that are empty
    arrays = [[x[k] for x, k in zip(part, kept, strict=True)] for part in (scores, strata, group)]
    ours = bootstrap_means(*arrays, draws=4000, seed=1)
    slow = slow_bootstrap(*arrays, 1500, rng)
    assert ours.mean() == pytest.approx(slow.mean(), abs=4 * slow.std() / np.sqrt(1500))
    # one seed less is another spread: the two agree in it as far as 1500 draws tell
    assert ours.std() == pytest.approx(slow.std(), rel=0.07)
    fixed = bootstrap_means(*arrays, draws=4000, seed=1, resample_seeds=False)
    assert fixed.std() < ours.std()


def test_the_bootstrap_is_seeded_and_its_blocks_do_not_change_its_law():
    scores, strata, group = crossed(np.random.default_rng(5))
    a = bootstrap_interval(scores, strata, group, draws=500, seed=3)
    assert a == bootstrap_interval(scores, strata, group, draws=500, seed=3)
    assert a != bootstrap_interval(scores, strata, group, draws=500, seed=4)
    means = bootstrap_means(scores, strata, group, draws=500, seed=3)
    assert (a.low, a.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
    assert a.low < a.mean < a.high


def test_a_group_s_items_stay_together_in_the_bootstrap():
    """Scores that are one number a group: the bootstrap's variance is that of group means, (1 − 1/G)·s²/G."""
    value = np.random.default_rng(6).normal(size=12)
    group = np.repeat(np.arange(12), 20)
    means = bootstrap_means([value[group]], [np.zeros(240, int)], [group], draws=6000, resample_seeds=False)
    assert means.var() == pytest.approx(value.var(ddof=0) / 12, rel=0.08)


def test_many_items_do_not_need_much_memory():
    n = 20_000
    scores, group = np.random.default_rng(0).normal(size=n), np.arange(n) // 50
    tracemalloc.start()
    bootstrap_means([scores], [np.zeros(n, int)], [group], draws=300)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6, "all draws at once would take 240 MB for the items' places alone"


# -- rows of a table -----------------------------------------------------------------------------------------


def test_a_row_counts_from_eight_groups_on():
    assert [countable({"groups": count}) for count in (0, 7, 8)] == [False, False, True]
    assert countable({}) and countable({"groups": None}), "a report of before says of the whole row alone"


def test_ahead_of_every_needs_every_interval_above_zero():
    good, over, below = Interval(1, 0.1, 2), Interval(1, -0.1, 2), Interval(-1, -2, -0.1)
    assert ahead_of_every([good, good]) and ahead_of_every(iter([good]))
    assert not ahead_of_every([good, over]) and not ahead_of_every([good, below])
    assert not ahead_of_every([]) and not ahead_of_every([Interval(1, float("nan"), float("nan"))])
    assert not ahead_of_every([Interval(1, 0.0, 2)])


def test_rank_tests_by_enumeration():
    d = np.array([0.4, -0.1, 1.3, 0.7, 2.2, -0.2])
    rank = stats.rankdata(np.abs(d))
    every = np.array([rank[np.array(signs)].sum() for signs in itertools.product([False, True], repeat=6)])
    assert wilcoxon(d) == pytest.approx(np.mean(every >= rank[d > 0].sum()))
    assert sign_test(d) == pytest.approx(sum(math.comb(6, k) for k in (4, 5, 6)) / 64)
    assert wilcoxon(-d) > 0.5 and sign_test(-d) > 0.5, "one-sided"
    with_more = np.append(d, [0.0, np.nan])
    assert wilcoxon(with_more) == wilcoxon(d) and sign_test(with_more) == sign_test(d)
    assert wilcoxon([0.0, 0.0]) == sign_test([]) == 1.0


def test_holm_is_the_step_down_procedure():
    p = np.array([0.04, 0.01, 0.03, 0.005, 0.5])
    adjusted = holm(p)
    for level in (0.01, 0.02, 0.04, 0.05, 0.1, 0.13):
        rejected = np.zeros(5, bool)
        for step, k in enumerate(np.argsort(p)):
            if p[k] > level / (5 - step):
                break
            rejected[k] = True
        np.testing.assert_array_equal(adjusted <= level + 1e-12, rejected)
    assert holm([0.9, 0.8]).max() == 1.0 and len(holm([])) == 0


def test_a_family_is_adjusted_over_its_members():
    rng = np.random.default_rng(0)
    rows = {"ce": rng.normal(2, 1, 9), "smote": rng.normal(0.3, 1, 9)}
    got = family(rows)
    np.testing.assert_allclose([got[n]["wilcoxon"] for n in rows], holm([wilcoxon(v) for v in rows.values()]))
    np.testing.assert_allclose([got[n]["sign"] for n in rows], holm([sign_test(v) for v in rows.values()]))


def test_the_p_of_an_interval_is_that_of_the_test_it_inverts() -> None:
    """An interval of level 1 - p touches zero."""
    rng = np.random.default_rng(0)
    scores = [rng.normal(0.4, 1, 60) for _ in range(5)]
    strata = [np.arange(60) % 3] * 5
    groups = [np.arange(60) // 4] * 5
    found = cluster_interval(scores, strata, groups)
    assert 0 < found.p < 1
    edge = cluster_interval(scores, strata, groups, level=1 - found.p)
    assert min(abs(edge.low), abs(edge.high)) < 1e-9


def test_of_many_differences_without_an_effect_one_is_rarely_told_apart() -> None:
    """Twenty settings that do nothing: one interval in twenty excludes zero, and one family in twenty."""
    rng = np.random.default_rng(1)
    single, families, draws = 0, 0, 400
    for _ in range(draws):
        pairs = []
        for values in rng.normal(size=(20, 5)):
            mean, error = values.mean(), values.std(ddof=1) / np.sqrt(5)
            half = float(stats.t.ppf(0.975, 4) * error)
            p = float(stats.ttest_1samp(values, 0).pvalue)
            pairs.append({"mean": mean, "ci95": [mean - half, mean + half], "p": p})
        single += any(low > 0 or high < 0 for low, high in (pair["ci95"] for pair in pairs))
        signs = told_apart(pairs, [5] * 20)
        families += any(signs)
        assert told_apart([{**pair, "p": None} for pair in pairs], [5] * 20) == signs, (
            "t with the same freedom"
        )
    assert single / draws > 0.5 and families / draws < 0.09


def test_what_is_told_apart_has_its_side_and_no_interval_claims_nothing() -> None:
    pairs = [
        {"mean": 3.0, "ci95": [2.0, 4.0], "p": 1e-4},
        {"mean": -3.0, "ci95": [-4.0, -2.0], "p": 1e-4},
        {"mean": 3.0, "ci95": [float("nan")] * 2, "p": float("nan")},
        {"mean": 1.0, "ci95": [None, None]},
        {"mean": 1.0, "ci95": [0.1, 1.9], "p": 0.04},
        {"mean": 3.0, "ci95": [2.0, 4.0], "p": 1e-4, "groups": 7},
    ]
    assert told_apart(pairs, [5] * 6) == [1, -1, 0, 0, 0, 0]
    assert told_apart([], []) == []


def test_the_stored_p_decides_before_that_of_the_seeds() -> None:
    """Test groups give an interval more degrees of freedom than its seeds alone would."""
    pairs = [{"mean": 1.0, "ci95": [0.1, 1.9], "p": p} for p in (0.01, 0.6)]
    assert told_apart(pairs, [5, 5]) == [1, 0]
    assert told_apart([{**pair, "p": None} for pair in pairs], [5, 5]) == [0, 0], "twice 0.037 by 4 degrees"


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_have_no_interval_anywhere(seeds):
    """Of two seeds a difference of 3 and 20 points had ends hundreds of points away."""
    values, one = [3.0, 20.0, 9.0], np.zeros(12, int)
    scores, groups = [v + np.arange(12.0) for v in values], np.arange(12)
    for interval in (
        seed_interval(values[:seeds], [0.0], 0.0),
        cluster_interval(scores[:seeds], [one] * seeds, [groups] * seeds),
    ):
        assert np.isfinite(interval.mean) and np.isnan([interval.low, interval.high, interval.p]).all()
    assert np.isfinite(seed_interval(values, [0.0], 0.0).low)
    assert np.isfinite(cluster_interval(scores, [one] * 3, [groups] * 3).low)
