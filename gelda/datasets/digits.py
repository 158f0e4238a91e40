"""The digits demo's images: real handwriting, drawn under five writing conditions.

The source is scikit-learn's ``load_digits``: 1 797 digits by 13 of the 43 writers of *Optical Recognition
of Handwritten Digits* (Alpaydin and Kaynak, UCI 1998, CC BY 4.0), stored as 8 x 8 counts of ink. The
counts are sums over 4 x 4 blocks of a 32 x 32 bitmap, so a cubic spline through them and a soft threshold
give the stroke back. Who wrote which digit is not recorded.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

SIZE = 32  # px, height and width of a drawn image
CLASS_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CONDITIONS = ("upright", "slanted", "thick", "blurred", "inverted")
UPRIGHT, SLANTED, THICK, BLURRED, INVERTED = range(len(CONDITIONS))

INK_HEIGHT = 25.0  # px taken by the 8 source rows; the rest is margin for slant, thickness and blur
INK_LEVEL = 0.48  # coverage at which the soft threshold is one half
INK_SLOPE = 11.0  # steepness of the soft threshold, per unit of coverage
SLANT_RANGE = (0.35, 0.75)  # shear dx/dy (19 to 37 degrees), drawn once for each image
THICK_RADIUS = 2.0  # px added on each side of a stroke
BLUR_SIGMA = 1.9  # px, standard deviation of the Gaussian

# gamma of the demo: which segments a..g of a seven-segment display show the digit. A table of digit shape
# that nobody made for this purpose (a top, b and c right, d bottom, e and f left, g middle).
CLASS_ATTRIBUTES = np.array(
    [
        # a, b, c, d, e, f, g
        [1, 1, 1, 1, 1, 1, 0],  # 0
        [0, 1, 1, 0, 0, 0, 0],  # 1
        [1, 1, 0, 1, 1, 0, 1],  # 2
        [1, 1, 1, 1, 0, 0, 1],  # 3
        [0, 1, 1, 0, 0, 1, 1],  # 4
        [1, 0, 1, 1, 0, 1, 1],  # 5
        [1, 0, 1, 1, 1, 1, 1],  # 6
        [1, 1, 1, 0, 0, 0, 0],  # 7
        [1, 1, 1, 1, 1, 1, 1],  # 8
        [1, 1, 1, 1, 0, 1, 1],  # 9
    ],
    dtype=np.float64,
)

# kappa of the demo: the parameters that each condition is drawn with.
CONDITION_ATTRIBUTES = np.array(
    [
        # mean shear dx/dy, px added to a stroke's side, sigma of the blur in px, ink and paper swapped
        [0.0, 0.0, 0.0, 0.0],
        [sum(SLANT_RANGE) / 2, 0.0, 0.0, 0.0],
        [0.0, THICK_RADIUS, 0.0, 0.0],
        [0.0, 0.0, BLUR_SIGMA, 0.0],
        [0.0, 0.0, 0.0, 1.0],
    ],
    dtype=np.float64,
)

_PAD = 3  # empty source cells around the 8 x 8 counts, so that the spline ends on paper
_SLANT_SEED = 1998
_CHUNK = 512  # images drawn at once: bounds the memory of the spline weights to about 30 MB


@cache
def _source() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Spline coefficients of the ink ``[1797, 14, 14]``, labels ``[1797]`` and shears ``[1797]``."""
    from scipy.ndimage import spline_filter1d
    from sklearn.datasets import load_digits

    bunch = load_digits()
    ink = np.pad(bunch.images / 16.0, ((0, 0), (_PAD, _PAD), (_PAD, _PAD)))
    for axis in (1, 2):
        ink = spline_filter1d(ink, order=3, axis=axis, mode="mirror")
    shear = np.random.default_rng(_SLANT_SEED).uniform(*SLANT_RANGE, size=len(ink))
    return ink.astype(np.float32), bunch.target.astype(np.int64), shear.astype(np.float32)


def labels() -> NDArray[np.int64]:
    """Digit of each source image, ``[1797]``."""
    return _source()[1].copy()


def columns() -> dict[str, NDArray[np.float64]]:
    """What the source images are like, before a condition, ``[1797]`` each: ink, the share of full ink in
    percent, and slant, the shear of the writing (from second moments, positive leans right) in degrees."""
    from sklearn.datasets import load_digits

    ink = load_digits().images
    y, x = np.mgrid[: ink.shape[1], : ink.shape[2]]
    total = ink.sum((1, 2))
    dx, dy = (
        v[None] - ((ink * v).sum((1, 2)) / total)[:, None, None] for v in (x.astype(float), y.astype(float))
    )
    shear = -(ink * dx * dy).sum((1, 2)) / (ink * dy**2).sum((1, 2))  # rows are counted downwards
    return {
        "ink (%)": np.round(100 * total / 16 / ink[0].size, 1),
        "slant (°)": np.round(np.degrees(np.arctan(shear)), 1),
    }


def draw(index: ArrayLike, condition: ArrayLike) -> NDArray[np.float32]:
    """Draw source images ``index`` ``[N]`` under ``condition`` ``[N]`` (positions in ``CONDITIONS``).

    Returns ``[N, 1, 32, 32]``, float32 in [0, 1], ink 0 on paper 1 (swapped where inverted). The same pair is
    drawn the same way in any order and company. Raises IndexError for a pair that does not exist.
    """
    index = np.atleast_1d(np.asarray(index, dtype=np.int64))
    condition = np.atleast_1d(np.asarray(condition, dtype=np.int64))
    if index.ndim != 1 or index.shape != condition.shape:
        raise ValueError(f"index and condition need one length, not {index.shape} and {condition.shape}")
    count = len(_source()[0])
    if index.size and not (0 <= index.min() and index.max() < count):
        raise IndexError(f"digits are numbered 0 to {count - 1}, not {index.min()} to {index.max()}")
    if condition.size and not (0 <= condition.min() and condition.max() < len(CONDITIONS)):
        raise IndexError(f"conditions are numbered 0 to {len(CONDITIONS) - 1}: {', '.join(CONDITIONS)}")
    images = np.empty((len(index), 1, SIZE, SIZE), dtype=np.float32)
    for start in range(0, len(index), _CHUNK):
        part = slice(start, start + _CHUNK)
        images[part, 0] = _draw(index[part], condition[part])
    return images


def _draw(index: NDArray[np.int64], condition: NDArray[np.int64]) -> NDArray[np.float32]:
    """Draw a chunk, ``[N, 32, 32]``."""
    from scipy.ndimage import gaussian_filter, grey_dilation

    coefficients, _, shears = _source()
    shear = np.where(condition == SLANTED, shears[index], np.float32(0))
    ink = _strokes(coefficients[index], shear)
    thick = condition == THICK
    if thick.any():
        ink[thick] = grey_dilation(ink[thick], footprint=_disc(THICK_RADIUS)[None])
    blurred = condition == BLURRED
    if blurred.any():
        ink[blurred] = gaussian_filter(ink[blurred], sigma=(0, BLUR_SIGMA, BLUR_SIGMA), mode="constant")
    upright_paper = (condition != INVERTED)[:, None, None]
    return np.clip(np.where(upright_paper, 1 - ink, ink), 0, 1)


def _strokes(coefficients: NDArray[np.float32], shear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sheared spline through ``coefficients`` ``[N, K, K]``, thresholded to ink, ``[N, 32, 32]``."""
    centre = (coefficients.shape[1] - 1) / 2
    offset = (np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2) / np.float32(INK_HEIGHT / 8)  # source cells
    rows = np.einsum("yk,nkj->nyj", _spline_weights(centre + offset, coefficients.shape[1]), coefficients)
    # A shear moves each row as a whole; the top (negative offset) moves right, as in slanted handwriting.
    columns = centre + offset[None, None, :] + shear[:, None, None] * offset[None, :, None]
    weights = _spline_weights(columns, coefficients.shape[2])
    coverage = np.einsum("nyxk,nyk->nyx", weights, rows)
    ink = 1 / (1 + np.exp(-INK_SLOPE * (coverage - INK_LEVEL)))
    blank = 1 / (1 + np.exp(INK_SLOPE * INK_LEVEL))
    return np.maximum(ink - blank, 0) / (1 - blank)  # empty paper is exactly blank


def _spline_weights(position: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Cubic B-spline weight of each of ``count`` coefficients at ``position`` ``[...]``, ``[..., count]``."""
    distance = np.abs(position[..., None] - np.arange(count, dtype=np.float32)).astype(np.float32)
    near = 2 / 3 - distance**2 * (1 - distance / 2)
    far = np.maximum(2 - distance, 0) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


def _disc(radius: float) -> NDArray[np.bool_]:
    """Footprint of a disc, ``[2r + 1, 2r + 1]``."""
    span = np.arange(-int(radius), int(radius) + 1)
    return span[:, None] ** 2 + span[None, :] ** 2 <= radius**2
