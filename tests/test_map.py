"""The map: what goes to the browser, and which points a lasso holds."""

from __future__ import annotations

import numpy as np
import pytest

from app import map as latent_map
from app.colouring import Colouring


def test_lasso_is_even_odd_and_leaves_out_what_is_not_on_the_map() -> None:
    square = [[0, 0], [4, 0], [4, 4], [0, 4]]
    xy = np.array([[1, 1], [5, 1], [np.nan, np.nan], [3.9, 3.9], [-0.1, 2]], dtype=np.float32)
    assert latent_map.inside(square, xy).tolist() == [0, 3]
    notched = [[0, 0], [4, 0], [2, 2], [4, 4], [0, 4]]
    assert latent_map.inside(notched, np.array([[3.5, 2.0], [1, 2]], dtype=np.float32)).tolist() == [1]
    assert latent_map.inside([[0, 0], [1, 1]], xy).size == 0


def test_lasso_agrees_with_an_independent_test() -> None:
    path = pytest.importorskip("matplotlib.path")
    rng = np.random.default_rng(0)
    xy = rng.normal(size=(2000, 2)).astype(np.float32)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    polygon = np.stack([np.cos(angle), np.sin(angle)], 1) * rng.uniform(0.5, 1.5, 40)[:, None]
    expected = np.flatnonzero(path.Path(np.vstack([polygon, polygon[:1]])).contains_points(xy))
    assert latent_map.inside(polygon.tolist(), xy).tolist() == expected.tolist()


def test_names_stand_on_their_points() -> None:
    rng = np.random.default_rng(0)
    clusters = np.concatenate([rng.normal(size=(50, 2)), rng.normal(size=(30, 2)) + 40]).astype(np.float32)
    one = Colouring("class", np.zeros(80, np.uint8), groups=np.zeros(80, int), names=["a"], labelled=[(0, 0)])
    (label,) = latent_map.labels_at_modes(clusters, one, np.ones(80, bool))
    assert np.hypot(label["x"], label["y"]) < 3  # on the larger cluster, not between the two
