"""The picture: the same for one seed, near what it was made of, and honest about how near."""

import numpy as np
import pytest
from sklearn import manifold
from sklearn.neighbors import NearestNeighbors

from gelda import embedding
from gelda.errors import UserError
from gelda.settings import ProjectionConfig

CONFIG = ProjectionConfig(n_neighbors=8, pca=6)
CENTRES = 6 * np.eye(3, 12)


@pytest.fixture(scope="module")
def cloud() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """120 real and 24 other latents of three classes in 12 dimensions, and the classes of all."""
    label = np.r_[np.arange(120) % 3, np.arange(24) % 3]
    z = (CENTRES[label] + np.random.default_rng(0).normal(size=(144, 12))).astype(np.float32)
    return z[:120], z[120:], label


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("rows", [None, np.arange(0, 120, 2)])
def test_the_same_seed_draws_the_same_picture(cloud, rows, metric):
    real, others, label = cloud
    config = CONFIG.model_copy(update={"metric": metric})
    first = embedding.embed(real, others, config, rows)
    again = embedding.embed(real, others, config, rows)
    np.testing.assert_array_equal(first.real, again.real)
    np.testing.assert_array_equal(first.others, again.others)
    alone = embedding.embed(real, others[:0], config, rows)
    np.testing.assert_array_equal(first.real, alone.real, err_msg="others must not move the real ones")
    assert alone.others.shape == (0, 2) and first.fitted == (120 if rows is None else 60)
    # near on the map means of one class, for what was fitted and for what was only transformed
    place = np.concatenate([first.real, first.others])
    near = embedding.knn(place, place[:120], 6)[0][:, 1:]
    assert (label[near] == label[:, None]).mean() > 0.9
    assert first.trustworthiness > 0.75


def test_another_seed_draws_another_picture(cloud):
    real, others, _ = cloud
    other = embedding.embed(real, others, CONFIG.model_copy(update={"seed": 1}))
    assert not np.allclose(embedding.embed(real, others, CONFIG).real, other.real)


def test_cosine_sees_directions_alone(cloud):
    real, _, label = cloud
    longer = real * 2.0 ** np.random.default_rng(1).integers(-5, 5, size=(len(real), 1)).astype(np.float32)
    config = CONFIG.model_copy(update={"metric": "cosine"})
    a, b = (embedding.embed(z, z[:0], config).real for z in (real, longer))
    np.testing.assert_array_equal(a, b)  # powers of two: not even rounding differs


@pytest.mark.parametrize("count", [9, 60, 120])
def test_trustworthiness_is_scikit_learn_s(cloud, count):
    real = cloud[0][:count]
    place = real[:, [1, 7]]
    k = min(15, max(1, count // 2 - 1))
    wanted = manifold.trustworthiness(real, place, n_neighbors=k)
    assert embedding.trustworthiness(real, place) == pytest.approx(wanted, abs=1e-6)


def test_trustworthiness_of_many_is_that_of_a_sample(monkeypatch, cloud):
    real = cloud[0]
    place = real[:, :2]
    full = embedding.trustworthiness(real, place)
    monkeypatch.setattr(embedding, "QUERIES", 60)
    monkeypatch.setattr(embedding, "BLOCK", 1000)  # several blocks
    sampled = embedding.trustworthiness(real, place)
    assert sampled != full and sampled == pytest.approx(full, abs=0.03)


def test_principal_components_are_those_of_the_real_ones(cloud):
    real, others, _ = cloud
    near, far = embedding.reduce(real, others, 6)
    assert near.shape == (120, 6) and far.shape == (24, 6)
    left, values, right = np.linalg.svd(real - real.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(near), np.abs((left * values)[:, :6]), atol=1e-3)
    np.testing.assert_allclose(np.abs(far), np.abs((others - real.mean(0)) @ right[:6].T), atol=1e-3)
    assert (
        embedding.reduce(real, others, 12)[0] is not None
        and embedding.reduce(real, others, 50)[0].shape[1] == 12
    )


@pytest.mark.parametrize("block", [200, 1 << 25])
def test_neighbours_are_exact_and_oneself_comes_first(monkeypatch, cloud, block):
    monkeypatch.setattr(embedding, "BLOCK", block)
    real, others, _ = cloud
    twice = np.concatenate([real, real[:10]])
    index, distance = embedding.knn(twice, twice, 5, own=True)
    np.testing.assert_array_equal(index[:, 0], np.arange(130))
    assert (distance[:, 0] == 0).all() and set(index[3]) >= {3, 123}
    far, rows = NearestNeighbors(n_neighbors=4).fit(real).kneighbors(others)
    index, distance = embedding.knn(others, real, 4)
    np.testing.assert_array_equal(index, rows)
    np.testing.assert_allclose(distance, far, atol=1e-3)


def test_many_rows_are_left_to_neighbour_descent(monkeypatch, cloud):
    real, others, _ = cloud
    monkeypatch.setattr(embedding, "EXACT", 50)
    monkeypatch.setattr(embedding, "knn", _refuse)
    made = embedding.embed(real, others, CONFIG)
    assert np.isfinite(made.real).all() and made.trustworthiness > 0.75


def _refuse(*_):
    raise AssertionError("exact neighbours of too many rows")


def test_too_few_are_refused():
    with pytest.raises(UserError, match="at least 5 real latents; .* has 4"):
        embedding.embed(np.zeros((4, 3), np.float32), np.zeros((0, 3), np.float32), CONFIG)


def test_a_map_lies_level_and_synthetic_ones_turn_with_it(cloud):
    made = embedding.embed(cloud[0], cloud[0][:9], CONFIG)
    spread = np.cov(made.real.T)
    assert abs(spread[0, 1]) < 1e-3 * spread[0, 0] and spread[0, 0] >= spread[1, 1]
    own = np.linalg.norm(made.others - made.real[:9], axis=1)
    assert np.median(own) < 0.1 * np.ptp(made.real[:, 0])  # the same latents, transformed, lie where they lay
