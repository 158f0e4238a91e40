"""Figures against scikit-learn and scipy, and on planted cases whose answer is known."""

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from imblearn.metrics import geometric_mean_score
from scipy.spatial.distance import cdist, pdist
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from gelda import metrics
from gelda.errors import UserError

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


@pytest.mark.parametrize(
    "shapes",
    [((200, 4), (150, 4)), ((60, 1), (50, 1)), ((6, 12), (9, 12)), ((90, 12), (9, 12)), ((5, 9), (80, 9))],
)
def test_frechet_is_the_formula_with_scipy_s_square_root(shapes):
    a, b = (
        RNG.normal(size=shapes[0]),
        1.5 * RNG.normal(size=shapes[1]) @ np.diag(1 + np.arange(shapes[1][1])) + 0.7,
    )
    cov_a, cov_b = np.cov(a.T).reshape(shapes[0][1], -1), np.cov(b.T).reshape(shapes[0][1], -1)
    root = scipy.linalg.sqrtm(cov_a @ cov_b)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a + cov_b - 2 * root.real)
    assert metrics.frechet(a, b) == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert metrics.frechet(b, a) == pytest.approx(metrics.frechet(a, b), rel=1e-9)
    assert metrics.frechet(a.astype(np.float32), b) == pytest.approx(metrics.frechet(a, b), rel=1e-5)


def test_frechet_of_a_sample_with_itself_is_zero_and_grows_with_a_shift():
    a = RNG.normal(size=(300, 5))
    assert metrics.frechet(a, a) == pytest.approx(0, abs=1e-8)
    assert metrics.frechet(a, a + 2) == pytest.approx(4 * 5, rel=1e-6)
    assert metrics.frechet(a, 3 * a) == pytest.approx(
        4 * np.trace(np.cov(a.T)) + 4 * np.square(a.mean(0)).sum(), rel=1e-6
    )


def test_frechet_needs_a_covariance():
    with pytest.raises(ValueError, match="at least two"):
        metrics.frechet(np.ones((1, 3)), np.ones((5, 3)))


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


def test_nearest_ratio_is_one_for_fresh_draws_and_none_for_copies():
    train, held = RNG.normal(size=(400, 8)), RNG.normal(size=(1500, 8))
    assert metrics.nearest_ratio(RNG.normal(size=(1500, 8)), train, held) == pytest.approx(1, abs=0.05)
    copies = train[RNG.integers(0, 400, 300)] + 1e-3 * RNG.normal(size=(300, 8))
    assert metrics.nearest_ratio(copies, train, held) < 0.01
    expected = np.median(cdist(copies, train).min(1)) / np.median(cdist(held, train).min(1))
    assert metrics.nearest_ratio(copies, train, held) == pytest.approx(expected, rel=1e-5)


def test_the_variance_ratio_is_a_median_over_the_classes_asked_for():
    ratios = {0: 0.5, 3: 1.0, 4: 3.0}
    assert metrics.variance_ratio(ratios) == 1.0
    assert metrics.variance_ratio(ratios, [0, 3, 7]) == 0.75
    assert np.isnan(metrics.variance_ratio(ratios, [7]))


# -- a classifier --------------------------------------------------------------------------------------------


def test_uar_accuracy_and_worst_class_are_scikit_learn_s():
    true, guess = TRUE, np.where(GUESS == 5, 0, GUESS)
    assert metrics.uar(true, guess, 6) == pytest.approx(reference.balanced_accuracy_score(true, guess))
    assert metrics.accuracy(true, guess) == pytest.approx(reference.accuracy_score(true, guess))
    each = reference.recall_score(true, guess, average=None)
    assert metrics.worst_recall(true, guess, 6) == pytest.approx(each.min())
    assert 0 < each.min() < each.max(), "the case must tell a mean from a minimum"


def test_means_of_recalls_are_those_of_imbalanced_learn_and_scipy():
    true, guess = TRUE, np.where(GUESS == 5, 0, GUESS)
    each = reference.recall_score(true, guess, average=None)
    assert metrics.geometric_mean_recall(true, guess, 5) == pytest.approx(geometric_mean_score(true, guess))
    assert metrics.geometric_mean_recall(true, guess, 7) == pytest.approx(each.prod() ** 0.2)
    assert metrics.harmonic_mean_recall(true, guess, 7) == pytest.approx(scipy.stats.hmean(each))
    lost = np.where(guess == 4, 0, guess)
    assert metrics.geometric_mean_recall(true, lost, 5) == geometric_mean_score(true, lost) == 0
    assert metrics.harmonic_mean_recall(true, lost, 5) == 0


def test_without_items_there_is_no_figure():
    none = np.zeros(0, int)
    figures = metrics.classification_figures(none, none, 3, {"tail": [2]})
    assert len(figures) == 7 and all(np.isnan(v) for v in figures.values())


def test_class_mean_log_loss_is_a_balanced_log_loss():
    chance = RNG.dirichlet(np.ones(5), 300)
    sizes = np.bincount(TRUE, minlength=5)
    expected = reference.log_loss(TRUE, chance, labels=range(5), sample_weight=1 / sizes[TRUE])
    assert metrics.class_mean_log_loss(TRUE, chance) == pytest.approx(expected)
    assert metrics.class_mean_log_loss(TRUE, np.full((300, 5), 0.2)) == pytest.approx(np.log(5))


def test_classes_of_one_item_do_not_enter_the_log_loss():
    true, chance = np.array([0, 0, 1]), np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]])
    pair = -(np.log(0.5) + np.log(0.25)) / 2
    assert metrics.class_mean_log_loss(true, chance) == pytest.approx(pair)
    both = metrics.class_mean_log_loss(true, chance, least=1, floor=1e-6)
    assert both == pytest.approx((pair - np.log(1e-6)) / 2)
    assert np.isnan(metrics.class_mean_log_loss(true, chance, least=3))


@pytest.mark.parametrize("wrong", [RNG.normal(size=(3, 2)), np.full((2, 2), 0.5), np.full(3, 1.0)])
def test_logits_and_wrong_shapes_are_refused(wrong):
    with pytest.raises(ValueError, match="probabilities"):
        metrics.class_mean_log_loss(np.array([0, 1, 1]), wrong)


def test_calibrated_log_loss_is_the_lowest_over_temperatures():
    logits = 3 * RNG.normal(size=(300, 5)) + 2 * np.eye(5)[TRUE]
    sizes = np.bincount(TRUE, minlength=5)

    def at(t):
        p = np.exp(logits / t) / np.exp(logits / t).sum(1, keepdims=True)
        return reference.log_loss(TRUE, p, labels=range(5), sample_weight=1 / sizes[TRUE])

    grid = np.geomspace(0.1, 30, 4000)
    losses = [at(t) for t in grid]
    loss, temperature = metrics.calibrated_log_loss(TRUE, logits)
    assert loss == pytest.approx(min(losses), abs=1e-6) and loss < at(1) - 0.05
    assert temperature == pytest.approx(grid[np.argmin(losses)], rel=0.01)
    again, scaled = metrics.calibrated_log_loss(TRUE, 7 * logits + 100)
    assert again == pytest.approx(loss, abs=1e-6) and scaled == pytest.approx(7 * temperature, rel=1e-2)


def test_calibrated_log_loss_never_exceeds_chance_and_weighs_strata_alike():
    wrong = 5 * np.eye(5)[(TRUE + 1) % 5]
    loss, temperature = metrics.calibrated_log_loss(TRUE, wrong)
    assert loss == pytest.approx(np.log(5), abs=1e-3) and temperature > 1000
    right_or_wrong = np.array([[4.0, 0], [4, 0], [4, 0], [0, 4]])
    true, strata = np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1])
    loss, _ = metrics.calibrated_log_loss(true, right_or_wrong, strata)
    assert loss == pytest.approx(np.log(2), abs=1e-3), "half of the weight is right, half is wrong"
    assert np.isnan(metrics.calibrated_log_loss(TRUE, np.full((300, 5), np.nan))).all()
    assert np.isnan(metrics.calibrated_log_loss(TRUE[:0], np.zeros((0, 5)))).all()


def test_shot_groups_have_the_paper_s_borders():
    counts = np.array([500, 101, 100, 20, 19, 1])
    assert metrics.shot_groups(counts) == {"many": (0, 1), "medium": (2, 3), "few": (4, 5)}
    oltr = metrics.shot_groups(counts, many=99, few=21)  # ≥ 100 and ≤ 20
    assert oltr == {"many": (0, 1, 2), "medium": (), "few": (3, 4, 5)}
    with pytest.raises(UserError, match="raise `many`"):
        metrics.shot_groups(counts, many=10)


def test_figures_by_group_and_subdomain():
    true, guess = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 2])
    where = np.array([0, 0, 1, 0, 1, 1])
    figures = metrics.classification_figures(true, guess, 4, {"head": (0,), "tail": (1, 2), "none": (3,)})
    assert figures["overall"] == pytest.approx(4 / 6) and figures["head"] == pytest.approx(2 / 3)
    assert figures["tail"] == pytest.approx((0.5 + 1) / 2) and np.isnan(figures["none"])
    assert figures["uar"] == pytest.approx((2 / 3 + 0.5 + 1) / 3) and figures["worst"] == 0.5
    parts = metrics.per_subdomain(true, guess, where, 4, {"tail": (1, 2)})
    assert set(parts) == {0, 1}
    assert parts[0]["uar"] == 1 and parts[1]["overall"] == pytest.approx(1 / 3)
    assert parts[1]["tail"] == pytest.approx(0.5), "class 2 found, class 1 not"


# -- two samples ---------------------------------------------------------------------------------------------


def direct_support(real, made, k):
    """The four definitions, item by item."""
    ball_real = [np.sort([np.linalg.norm(x - u) for u in real])[k] for x in real]
    ball_made = [np.sort([np.linalg.norm(y - u) for u in made])[k] for y in made]
    inside = np.array(
        [[np.linalg.norm(x - y) <= r for y in made] for x, r in zip(real, ball_real, strict=True)]
    )
    precision = np.mean([inside[:, j].any() for j in range(len(made))])
    recall = np.mean(
        [any(np.linalg.norm(x - y) <= r for y, r in zip(made, ball_made, strict=True)) for x in real]
    )
    density = sum(inside[:, j].sum() for j in range(len(made))) / (k * len(made))
    coverage = np.mean([inside[i].any() for i in range(len(real))])
    return precision, recall, density, coverage


@pytest.mark.parametrize("sizes, k", [((70, 50), 5), ((40, 90), 3)])
def test_support_is_its_definition(sizes, k, monkeypatch):
    monkeypatch.setattr("gelda.metrics.samples.BLOCK", 16)  # several blocks
    real, made = RNG.normal(size=(sizes[0], 3)), 0.7 * RNG.normal(size=(sizes[1], 3)) + 0.6
    got = metrics.support(real, made, k)
    assert tuple(got.as_json().values()) == pytest.approx(direct_support(real, made, k))
    assert got.precision > got.recall, "the case must tell precision from recall"


def test_support_tells_lost_modes_from_invented_ones():
    modes = np.array([[0.0, 0], [40, 0]])
    both = modes[RNG.integers(0, 2, 400)] + RNG.normal(size=(400, 2))
    one = RNG.normal(size=(400, 2))
    lost, invented = metrics.support(both, one), metrics.support(one, both)
    assert lost.precision > 0.9 and 0.4 < lost.recall < 0.6 and 0.4 < lost.coverage < 0.6
    assert 0.4 < invented.precision < 0.6 and invented.recall > 0.9 and invented.coverage > 0.7
    same = metrics.support(one, RNG.normal(size=(400, 2)))
    assert same.density == pytest.approx(1, abs=0.15), "density's expectation is 1 for equal distributions"
    # coverage's expectation for equal distributions: 1 − (N−1)…(N−k)/((2N−1)…(2N−k)), arXiv 2002.09797 eq. 9
    expected = 1 - np.prod([(400 - i) / (800 - i) for i in range(1, 6)])
    assert same.coverage == pytest.approx(expected, abs=0.04)


def test_support_of_tiny_samples():
    assert metrics.support(np.eye(3), np.eye(3)).as_json() == {
        "precision": 1, "recall": 1, "density": 1.5, "coverage": 1,
    }  # fmt: skip
    with pytest.raises(ValueError, match="two latents"):
        metrics.support(np.eye(3)[:1], np.eye(3))


def direct_mmd2(a, b, sigma):
    """Gretton et al. 2012, equation 3, as double sums."""

    def kernel(x, y):
        return np.exp(-np.square(x - y).sum() / (2 * sigma**2))

    n, m = len(a), len(b)
    first = sum(kernel(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    second = sum(kernel(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return first + second - 2 * sum(kernel(x, y) for x in a for y in b) / (n * m)


def test_mmd_is_its_definition(monkeypatch):
    monkeypatch.setattr("gelda.metrics.samples.BLOCK", 7)
    a, b = RNG.normal(size=(25, 3)) + 100, 1.3 * RNG.normal(size=(31, 3)) + 100.2
    assert metrics.median_distance(a, b) == pytest.approx(np.median(pdist(np.concatenate([a, b]))))
    sigma = metrics.median_distance(a, b)
    assert metrics.mmd2(a, b) == pytest.approx(direct_mmd2(a, b, sigma), abs=1e-10)
    assert metrics.mmd2(a, b, 0.5) == pytest.approx(direct_mmd2(a, b, 0.5), abs=1e-10)
    value, p = metrics.mmd_test(a, b, 0.9, permutations=50, seed=3)
    assert value == pytest.approx(direct_mmd2(a, b, 0.9), abs=1e-10)
    rng, reached = np.random.default_rng(3), 0
    for mask in rng.permuted(np.tile(np.arange(56) < 25, (50, 1)), axis=1):
        pooled = np.concatenate([a, b])
        reached += direct_mmd2(pooled[mask], pooled[~mask], 0.9) >= value - 1e-12
    assert p == pytest.approx((1 + reached) / 51)
    assert metrics.median_distance(np.ones((4, 2)), np.ones((3, 2))) == 1.0


def test_mmd_s_test_keeps_its_level_and_finds_a_change_of_shape():
    p = [metrics.mmd_test(*RNG.normal(size=(2, 30, 2)), permutations=99, seed=i)[1] for i in range(200)]
    assert np.mean(np.array(p) <= 0.05) < 0.1 and 0.4 < np.mean(p) < 0.6
    a, b = RNG.normal(size=(150, 4)), 1.6 * RNG.normal(size=(150, 4))
    assert metrics.mmd_test(a, b, permutations=99)[1] <= 0.05
    assert metrics.mmd_test(a, b, seed=5) == metrics.mmd_test(a, b, seed=5)


@pytest.mark.parametrize("classifier", ["knn", "logistic"])
def test_the_classifier_two_sample_test_keeps_its_level(classifier):
    found = [
        metrics.classifier_two_sample(*RNG.normal(size=(2, 60, 4)), classifier, seed=i) for i in range(120)
    ]
    assert np.mean([r.p_value <= 0.05 for r in found]) < 0.11
    assert np.mean([r.accuracy for r in found]) == pytest.approx(0.5, abs=0.02)


def test_the_classifier_two_sample_test_finds_shifts_and_shapes():
    a = RNG.normal(size=(300, 3))
    shifted, ring = RNG.normal(size=(400, 3)) + 1.5, 3 * RNG.normal(size=(300, 3))
    for classifier in ("knn", "logistic"):
        got = metrics.classifier_two_sample(a, shifted, classifier)
        assert got.accuracy > 0.85 and got.p_value < 1e-6 and got.items == 600
        assert got == metrics.classifier_two_sample(a, shifted, classifier), "seeded"
    # the best possible for a shift of 1.5 in three directions: Φ(1.5·√3/2)
    best = scipy.stats.norm.cdf(1.5 * np.sqrt(3) / 2)
    assert metrics.classifier_two_sample(a, shifted, "logistic").accuracy == pytest.approx(best, abs=0.03)
    assert metrics.classifier_two_sample(a, ring).accuracy > 0.75
    assert metrics.classifier_two_sample(a, ring, "logistic").accuracy < 0.6, "same mean: blind"
    with pytest.raises(UserError, match="Did you mean 'logistic'"):
        metrics.classifier_two_sample(a, ring, "logistics")
    with pytest.raises(ValueError, match="at least 10"):
        metrics.classifier_two_sample(a[:9], ring)


# -- probes --------------------------------------------------------------------------------------------------


def blobs(count, gap, classes=3, dim=4, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.repeat(np.arange(classes), count))
    return rng.normal(size=(len(label), dim)) + gap * np.eye(classes, dim)[label], label


def test_training_on_synthetic_latents_is_as_good_as_they_are():
    real, label = blobs(150, 5)
    good, good_label = blobs(80, 5, seed=1)
    assert metrics.train_on_synthetic(good, good_label, real, label)["uar"] > 0.97
    swapped = metrics.train_on_synthetic(good, (good_label + 1) % 3, real, label)
    assert swapped["accuracy"] < 0.05
    few = good_label < 2
    lost = metrics.train_on_synthetic(good[few], good_label[few], real[label > 0], label[label > 0])
    assert lost["uar"] == pytest.approx(0.5, abs=0.03), "class 2 was never made, class 1 is found"
    alone = metrics.train_on_synthetic(good[good_label == 1], good_label[good_label == 1], real, label)
    assert alone == {"accuracy": pytest.approx(1 / 3), "uar": pytest.approx(1 / 3)}


def test_the_probe_weighs_classes_alike():
    """A rare class near a frequent one: without the weights it would not be found."""
    z, label = blobs(400, 1.5, classes=2)
    kept = (label == 0) | (np.cumsum(label == 1) <= 12)
    real, real_label = blobs(300, 1.5, classes=2, seed=1)
    got = metrics.train_on_synthetic(z[kept], label[kept], real, real_label)
    plain = LogisticRegression().fit(z[kept], label[kept]).predict(real)
    assert got["uar"] > 0.7 > reference.balanced_accuracy_score(real_label, plain) + 0.05


def test_fisher_ratio_is_known_and_without_bias():
    z, label = blobs(3000, 2.0)
    # three means at distance 2√2 from each other: Var(ddof 1) = Σ pairs d² / (C(C−1)) = 3·8/6, over tr I = 4
    assert metrics.fisher_ratio(z, label) == pytest.approx(4 / 4, rel=0.05)
    nothing = [metrics.fisher_ratio(*blobs(4, 0, seed=i)) for i in range(300)]
    assert np.mean(nothing) == pytest.approx(0, abs=0.02), "class means differ by chance alone"
    assert np.isnan(metrics.fisher_ratio(z[:1], label[:1]))


def test_separability_orders_layers_and_keeps_speakers_apart():
    far, near = metrics.separability(*blobs(60, 5)), metrics.separability(*blobs(60, 1))
    none = metrics.separability(*blobs(60, 0))
    assert (
        far["uar"] > 0.97 > near["uar"] > none["uar"]
        and far["log_loss"] < near["log_loss"] < none["log_loss"]
    )
    assert none["uar"] == pytest.approx(1 / 3, abs=0.1) and none["log_loss"] >= np.log(3) - 0.02
    assert far["fisher"] > near["fisher"] > none["fisher"]
    # latents tell the speaker, and each speaker has one class: apart, nothing is left to find
    rng = np.random.default_rng(0)
    speaker = np.repeat(np.arange(30), 10)
    label = speaker % 3
    z = 6 * rng.normal(size=(30, 40))[speaker] + rng.normal(size=(300, 40))
    assert metrics.separability(z, label)["uar"] > 0.95
    assert metrics.separability(z, label, speaker)["uar"] < 0.6


def test_separability_leaves_out_classes_of_one_item():
    z, label = blobs(20, 5)
    with_one = metrics.separability(np.concatenate([z, z[:1]]), np.concatenate([label, [9]]))
    assert with_one["uar"] == pytest.approx(metrics.separability(z, label)["uar"], abs=0.02)
    assert np.isnan(metrics.separability(z[label == 0], label[label == 0])["uar"])
    pairs = metrics.separability(*blobs(2, 8))
    assert pairs["uar"] > 0.6, "two items of a class lie in two folds"
