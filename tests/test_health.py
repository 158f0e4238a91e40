"""The generator's health on planted generators: right, narrow, copying, class-blind."""

import time

import numpy as np
import pytest

from gelda import health, metrics
from gelda.health import SAMPLE_KEYS, generator_health, shrunk_gaussian

MEANS = 5 * np.random.default_rng(9).normal(size=(6, 8))
MIX = np.random.default_rng(8).normal(size=(8, 8)) / 2
OLD_KEYS = {
    "variance_ratio", "variance_ratio_tail", "frechet", "frechet_real", "frechet_gaussian", "memorisation",
    "memorisation_real",
}  # fmt: skip


def draw(count, seed, *, spread=1.0, means=MEANS, skew=0.0):
    """Latents of six classes, lopsided by `skew`, and their labels; `count` a class."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.repeat(np.arange(6), count))
    noise = rng.normal(size=(len(label), 8))
    noise = noise + skew * (np.square(rng.normal(size=noise.shape)) - 1)
    return (spread * noise @ MIX + means[label]).astype(np.float32), label


def figures(made, seed=0, skew=0.0):
    return generator_health(made, draw(60, 1, skew=skew), draw(80, 2, skew=skew), [4, 5], seed)


def test_a_right_generator_is_as_good_as_real_latents():
    found = figures(draw(90, 3))
    expected = OLD_KEYS | {f"{k}{kind}" for k in SAMPLE_KEYS for kind in ("", "_real", "_gaussian")}
    assert set(found) == expected | {"nearest_ratio", "nearest_ratio_real"}
    assert all(isinstance(v, float) and np.isfinite(v) for v in found.values())
    for key in ("precision", "recall", "coverage", "c2st", "tstr_uar", "tstr_accuracy"):
        assert found[key] == pytest.approx(found[f"{key}_real"], abs=0.1), key
    assert found["mmd2"] == pytest.approx(0, abs=0.01) and found["mmd2_real"] == pytest.approx(0, abs=0.01)
    assert found["tstr_uar"] > 0.9 and 0.4 < found["c2st"] < 0.6
    assert found["variance_ratio"] == pytest.approx(1, abs=0.15)


def test_a_narrow_generator_has_precision_without_recall():
    right, narrow = figures(draw(90, 3)), figures(draw(90, 3, spread=0.4))
    assert narrow["variance_ratio"] == pytest.approx(0.16, abs=0.05)
    assert narrow["precision"] > right["precision"] and narrow["recall"] < 0.5 * right["recall"]
    assert narrow["mmd2"] > 0.05 > narrow["mmd2_real"] and narrow["c2st"] > right["c2st"] + 0.1
    assert narrow["frechet"] > 3 * right["frechet"]
    same = ("frechet_real", "mmd2_real", "recall_real", "tstr_uar_real", "c2st_gaussian", "memorisation_real")
    assert all(narrow[k] == right[k] for k in same), "ceiling and floor do not look at the generator"


def test_a_copying_generator_is_found():
    latents, label = draw(60, 1)
    copied = figures((latents + 1e-3, label))
    assert copied["memorisation"] > 0.99 and copied["nearest_ratio"] < 0.02
    assert copied["memorisation_real"] < 0.15 and copied["nearest_ratio_real"] == pytest.approx(1, abs=0.15)


def test_misplaced_classes_fail_to_train_a_classifier_and_nothing_else():
    found = figures(draw(90, 3, means=np.roll(MEANS, 1, axis=0)))
    assert found["tstr_uar"] < 0.2 < 0.9 < found["tstr_uar_real"]
    assert found["precision"] == pytest.approx(found["precision_real"], abs=0.1), "each class has its shape"


def test_the_gaussian_is_the_floor_where_shapes_are_lopsided():
    """Noise with a long tail on one side: a covariance is not the shape, two-sample figures see it."""
    made, train, held = (draw(count, seed, skew=4) for count, seed in ((200, 3), (60, 1), (300, 2)))
    found = generator_health(made, train, held, [4, 5], 0)
    assert found["c2st_gaussian"] > found["c2st"] + 0.05 and found["mmd2_gaussian"] > found["mmd2"] + 0.003


def test_what_the_generator_makes_more_of_does_not_count_against_it():
    """Classes differ in spread; ten times as many of the two widest are no flaw in shape."""
    wide = np.where(np.arange(6) > 3, 3.0, 0.5)

    def scaled(count, seed):
        z, label = draw(count, seed, means=0 * MEANS)
        return z * wide[label][:, None], label

    z, label = scaled(400, 3)
    kept = (label > 3) | (np.arange(len(label)) % 10 == 0)
    mixed = metrics.mmd2(metrics.class_centred(z[kept], label[kept]), metrics.class_centred(*scaled(80, 2)))
    assert mixed > 0.02, "all of them together are another mixture"
    found = generator_health((z[kept], label[kept]), scaled(60, 1), scaled(80, 2), [4, 5], 0)
    assert found["mmd2"] == pytest.approx(0, abs=0.01) and found["c2st"] < 0.57


def test_health_is_seeded():
    made = draw(90, 3)
    assert figures(made, seed=4) == figures(made, seed=4)
    assert figures(made, seed=4)["coverage"] != figures(made, seed=5)["coverage"]


def test_too_few_held_out_latents_give_no_figure_and_no_error():
    made, train, held = draw(20, 3), draw(10, 1), draw(3, 2)
    found = generator_health(made, train, held, [4, 5], 0)
    assert all(np.isnan(found[k]) for k in (*SAMPLE_KEYS, "variance_ratio", "mmd2_real", "tstr_uar_gaussian"))
    assert np.isfinite(found["frechet"]) and np.isfinite(found["memorisation"])
    lone = generator_health(made, train, (held[0][:2], np.array([0, 1])), [4], 0)
    assert np.isnan(lone["frechet"]) and set(lone) == set(found)
    one = draw(40, 2)
    keep = one[1] == 0
    single = generator_health(made, train, (one[0][keep], one[1][keep]), [0], 0)
    assert np.isfinite(single["coverage"]) and np.isnan(single["tstr_uar"]), "one class: no classifier"


def test_numbers_are_capped(monkeypatch):
    seen = []
    true = metrics.support
    monkeypatch.setattr(metrics, "support", lambda a, b: seen.append((len(a), len(b))) or true(a, b))
    monkeypatch.setattr(health, "MOST", 300)
    monkeypatch.setattr(health, "MOST_PAIRS", 50)
    figures(draw(400, 3))
    assert seen == [(50, 50)] * 3


def test_two_thousand_latents_of_256_dimensions_take_seconds_at_most():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(10, 256))

    def large(count):
        label = rng.integers(0, 10, count)
        return (rng.normal(size=(count, 256)) + means[label]).astype(np.float32), label

    sets = large(3000), large(2000), large(2000)
    start = time.process_time()
    generator_health(*sets, [8, 9], 0)
    # 1.4 s alone; the bound leaves room for a slower machine, not for forgetting the caps
    assert time.process_time() - start < 8


def test_the_gaussian_to_beat_knows_the_covariance():
    """Correlated residuals: the shrunk Gaussian comes near real to real, a diagonal one does not."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(12, 12)) / 2
    train, held = rng.normal(size=(400, 12)) @ mix, rng.normal(size=(400, 12)) @ mix
    full = metrics.frechet(shrunk_gaussian(train, 400, 0), held)
    diagonal = metrics.frechet(rng.normal(size=(400, 12)) * train.std(0), held)
    assert full < 0.25 * diagonal
    assert full < 3 * metrics.frechet(train, held)
