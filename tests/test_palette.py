"""The ten hues stay apart for every kind of colour vision, and marks stand out from the paper."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from app import palette

# Machado, Oliveira and Fernandes 2009 (doi:10.1109/TVCG.2009.113), severity 1, on linear sRGB
SEEN = {
    "common": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                            [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
CAT02 = np.array([[0.7328, 0.4296, -0.1624], [-0.7036, 1.6975, 0.0061], [0.0030, 0.0136, 0.9834]])
HPE = np.array([[0.38971, 0.68898, -0.07868], [-0.22981, 1.18340, 0.04641], [0, 0, 1]])


def linear(colours: tuple[str, ...]) -> NDArray:
    channels = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def cam02_ucs(light: NDArray) -> NDArray:
    """Linear sRGB [n, 3] in CAM02-UCS (Luo, Cui and Li 2006), an average surround at 64 lux."""
    adapting, background = 64 / np.pi / 5, 0.2
    k = 1 / (5 * adapting + 1)
    level = 0.2 * k**4 * 5 * adapting + 0.1 * (1 - k**4) ** 2 * np.cbrt(5 * adapting)
    adapted = 1 - np.exp(-(adapting + 42) / 92) / 3.6
    white = CAT02 @ XYZ.sum(1) * 100

    def responses(xyz: NDArray) -> NDArray:
        cones = xyz @ CAT02.T * (adapted * 100 / white + 1 - adapted) @ np.linalg.inv(CAT02).T @ HPE.T
        bent = (level * np.abs(cones) / 100) ** 0.42
        return 400 * np.sign(cones) * bent / (bent + 27.13) + 0.1

    induced = 0.725 * (1 / background) ** 0.2
    weights = np.array([2, 1, 1 / 20])
    found = responses(light @ XYZ.T * 100)
    brightness = (found @ weights - 0.305) * induced
    of_white = (responses(XYZ.sum(1) * 100) @ weights - 0.305) * induced
    lightness = 100 * (brightness / of_white) ** (0.69 * (1.48 + np.sqrt(background)))
    a = found @ [1, -12 / 11, 1 / 11]
    b = found @ [1 / 9, 1 / 9, -2 / 9]
    hue = np.arctan2(b, a)
    eccentricity = 0.25 * (np.cos(hue + 2) + 3.8)
    t = 50000 / 13 * induced * eccentricity * np.hypot(a, b) / (found @ [1, 1, 21 / 20])
    colourful = t**0.9 * np.sqrt(lightness / 100) * (1.64 - 0.29**background) ** 0.73 * level**0.25
    radius = np.log(1 + 0.0228 * colourful) / 0.0228
    return np.stack(
        [1.7 * lightness / (1 + 0.007 * lightness), radius * np.cos(hue), radius * np.sin(hue)], 1
    )


def closest(colours: tuple[str, ...], seen: str) -> float:
    """Distance of the two that are hardest to tell."""
    places = cam02_ucs(np.clip(linear(colours) @ SEEN[seen].T, 0, 1))
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    return float(apart[np.triu_indices(len(colours), 1)].min())


def test_the_space_is_the_published_one() -> None:
    """White lies at J' = 100 without a hue; red as colorspacious 1.1 has it."""
    assert cam02_ucs(np.ones((1, 3)))[0] == pytest.approx([100, 0, 0], abs=2.5)
    assert cam02_ucs(linear(("#ff0000",)))[0] == pytest.approx([60.05, 38.6, 24.3], abs=1.5)


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize(("name", "least"), [("light", 14), ("dark", 16)])
def test_no_two_hues_are_alike_to_any_eye(name: str, least: float, seen: str) -> None:
    assert closest(palette.THEMES[name].hues, seen) >= least


@pytest.mark.parametrize("name", palette.THEMES)
def test_better_and_worse_are_told_apart_by_any_eye(name: str) -> None:
    worse, _, better = palette.THEMES[name].diverging
    assert min(closest((worse, better), seen) for seen in SEEN) >= 25


@pytest.mark.parametrize("name", palette.THEMES)
def test_ink_and_muted_text_can_be_read(name: str) -> None:
    look = palette.THEMES[name]
    for colour, least in ((look.ink, 7), (look.muted, 4.5), (look.accent, 4.5)):
        ratio = palette._luminance(colour) / palette._luminance(look.paper)
        assert max(ratio, 1 / ratio) >= least
