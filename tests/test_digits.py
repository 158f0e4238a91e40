"""The demo's images are what they are said to be: deterministic, bounded, different in each condition."""

import numpy as np
import pytest

from gelda.datasets import digits

COUNT = 1797
EVERY = np.arange(len(digits.CONDITIONS))


def test_labels_are_the_ten_digits():
    labels = digits.labels()
    assert labels.shape == (COUNT,)
    assert np.bincount(labels).min() >= 170 and len(np.bincount(labels)) == len(digits.CLASS_NAMES)


def test_draws_ink_on_paper():
    images = digits.draw(np.arange(200), np.zeros(200, int))
    assert images.shape == (200, 1, 32, 32) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    assert (images[:, :, 0, :3] > 0.999).all(), "the corner of the paper is blank"
    assert (images.min((1, 2, 3)) < 0.1).all(), "every image has full ink somewhere"


def test_drawing_does_not_depend_on_order_or_company():
    index, condition = np.repeat(np.arange(700), 5), np.tile(EVERY, 700)
    images = digits.draw(index, condition)
    order = np.random.default_rng(0).permutation(len(index))
    np.testing.assert_array_equal(digits.draw(index[order], condition[order]), images[order])
    for row in (0, 611, 3499):
        np.testing.assert_array_equal(digits.draw([index[row]], [condition[row]])[0], images[row])


def test_conditions_differ_as_their_parameters_say():
    index = np.arange(300)
    drawn = {name: digits.draw(index, np.full(300, i))[:, 0] for i, name in enumerate(digits.CONDITIONS)}
    upright = drawn["upright"]
    for name in digits.CONDITIONS[1:]:
        assert (np.abs(drawn[name] - upright).mean((1, 2)) > 0.01).all(), name
    np.testing.assert_allclose(drawn["inverted"], 1 - upright, atol=1e-6)
    assert ((1 - drawn["thick"]).sum((1, 2)) > 1.2 * (1 - upright).sum((1, 2))).all()

    def steepest(images):
        return np.abs(np.diff(images, axis=2)).max((1, 2))

    assert (steepest(drawn["blurred"]) < 0.7 * steepest(upright)).all()


def test_slant_varies_and_leans_to_the_right():
    index = np.flatnonzero(digits.labels() == 1)
    lean = [_lean(digits.draw(index, np.full(len(index), c))[:, 0]) for c in (digits.UPRIGHT, digits.SLANTED)]
    added = lean[1] - lean[0]
    assert (added > 0.2).all() and np.std(added) > 0.05


def _lean(images):
    """Shear dx/dy of the ink (upwards is to the right), from second moments."""
    ink = 1 - images
    y, x = np.mgrid[:32, :32]
    mass = ink.sum((1, 2))
    my, mx = (ink * y).sum((1, 2)) / mass, (ink * x).sum((1, 2)) / mass
    dy, dx = y - my[:, None, None], x - mx[:, None, None]
    return -(ink * dx * dy).sum((1, 2)) / (ink * dy * dy).sum((1, 2))


def test_attribute_tables():
    assert digits.CLASS_ATTRIBUTES.shape == (10, 7)
    assert len(np.unique(digits.CLASS_ATTRIBUTES, axis=0)) == 10
    assert digits.CLASS_ATTRIBUTES.sum(1).tolist() == [6, 2, 5, 5, 4, 5, 6, 3, 7, 6]  # segments lit
    assert digits.CONDITION_ATTRIBUTES.shape == (len(digits.CONDITIONS), 4)
    assert len(np.unique(digits.CONDITION_ATTRIBUTES, axis=0)) == len(digits.CONDITIONS)


def test_what_does_not_exist_is_refused():
    with pytest.raises(IndexError, match="0 to 1796"):
        digits.draw([COUNT], [0])
    with pytest.raises(IndexError, match="upright, slanted"):
        digits.draw([0], [5])
    with pytest.raises(ValueError, match="one length"):
        digits.draw([0, 1], [0])
    assert digits.draw([], []).shape == (0, 1, 32, 32)
