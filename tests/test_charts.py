"""Charts and words: figures say what the numbers say, and no more."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from app import charts, forest_charts, words
from app.palette import THEMES, Theme, legible, mixed

LA = "logit adjustment"


def frame(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["metric", "method", "title", "mean", "low", "high"])


def test_an_interval_that_crosses_zero_is_never_called_ahead() -> None:
    unsure = {"mean": 3.0, "ci95": [-0.1, 6.1]}
    assert words.verdict(unsure) == "inside the noise"
    assert "inside the noise" in words.difference(unsure)
    assert "ahead" not in words.difference(unsure)


@pytest.mark.parametrize(
    ("mean", "ci95", "said"), [(2.0, [0.5, 3.5], "ahead of"), (-2.0, [-3.5, -0.5], "behind")]
)
def test_an_interval_clear_of_zero_is_named(mean: float, ci95: list[float], said: str) -> None:
    assert f"2.0 points {said} {LA}" in words.difference({"mean": mean, "ci95": ci95})


def test_one_seed_has_no_interval_and_no_verdict() -> None:
    assert "no interval" in words.difference({"mean": 2.0, "ci95": [None, None]})


def test_minus_signs_are_minus_signs() -> None:
    assert words.number(-1.25, signed=True) == "−1.2"
    assert (
        words.minus("tail (95 % interval -3.0 to +2.0), logit-adjustment")
        == "tail (95 % interval −3.0 to +2.0), logit-adjustment"
    )


@pytest.mark.parametrize("theme", list(THEMES))
def test_forest_title_follows_the_intervals(theme: str) -> None:
    data = frame(
        ("tail", "gelda", "GeLDA", 0.6, -0.4, 1.6),
        ("unseen", "gelda", "GeLDA", 4.3, 2.9, 5.6),
        ("tail", "ce", "CE", -9, -12, -6),
        ("unseen", "ce", "CE", -9, -12, -6),
    )
    figure = forest_charts.forest(data, theme)
    title = figure.layout.title.text
    assert title == f"GeLDA is ahead of {LA} on cells never seen, inside the noise on the rare classes"
    dots = [trace for trace in figure.data if trace.mode == "markers"]
    filled = {trace.xaxis + trace.y[0]: trace.marker.color[0] != THEMES[theme].paper for trace in dots}
    assert filled == {"xGeLDA": False, "xCE": True, "x2GeLDA": True, "x2CE": True}  # open where unsure
    low, high = figure.layout.xaxis.range
    assert low < -12 and high > 1.6
    few = forest_charts.forest(data, theme, enough=False)
    colours = {trace.marker.color[0] for trace in few.data if trace.mode == "markers"}
    assert colours == {THEMES[theme].paper} and "ahead" not in few.layout.title.text, "too few seeds"


def test_gain_title_has_the_means_it_shows() -> None:
    rows = [(s, "nine", 10, "tail", 4.0 + s) for s in (0, 1)] + [
        (s, "zero", 100, "head", -1.0) for s in (0, 1)
    ]
    data = pd.DataFrame(rows, columns=["seed", "class_name", "count", "group", "gain"])
    figure = charts.gain_by_size(data, "light", "GeLDA", LA)
    assert "+4.5 points in rare classes, −1.0 elsewhere" in figure.layout.title.text
    assert figure.layout.xaxis.type == "log"


def test_confusion_rows_sum_to_a_hundred_and_the_title_names_the_largest() -> None:
    counts = np.array([[8, 2, 0], [0, 10, 0], [5, 0, 5]])
    figure = charts.confusion(counts, ["a", "b", "c"], "t", "dark")
    assert np.allclose(np.sum(figure.data[0].z, axis=1), 100)
    assert (
        charts.confusion_title(counts, ["a", "b", "c"], "CE")
        == "CE takes <i>c</i> for <i>a</i> most often (50.0 %)"
    )


def test_confusion_difference_to_itself_is_nothing() -> None:
    counts = np.array([[8, 2], [1, 9]])
    figure = charts.confusion(counts, ["a", "b"], "t", "light", reference=counts)
    assert np.allclose(figure.data[0].z, 0)


def test_a_row_without_items_is_not_a_division_by_zero() -> None:
    assert np.isnan(charts.row_percent(np.array([[0, 0], [1, 3]]))[0]).all()


def test_the_plain_map_keeps_small_cells_whole() -> None:
    points = pd.DataFrame({"label": [0] * 1000 + [1] * 7, "subdomain": 0, "origin": "real"})
    rows = charts.stratified(points, np.arange(len(points)), limit=100)
    assert len(rows) == 100
    assert (points["label"].iloc[rows] == 1).sum() == 7


def contrast(one: str, other: str) -> float:
    """WCAG 2's ratio, written out again."""

    def luminance(colour: str) -> float:
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return float(np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
                     @ [0.2126, 0.7152, 0.0722])  # fmt: skip

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("look", THEMES.values(), ids=list(THEMES))
def test_text_is_legible_on_every_shade_of_a_heat_map(look: Theme) -> None:
    loss, nothing, gain = look.diverging
    for low, high in (look.scale, (nothing, loss), (nothing, gain)):
        for share in np.linspace(0, 1, 21):
            ground = mixed(low, high, share)
            assert contrast(legible(look, ground), ground) > 4.5, f"{ground} at {share:.2f}"


@pytest.mark.parametrize("look", THEMES.values(), ids=list(THEMES))
@pytest.mark.parametrize("signed", [False, True])
def test_figures_in_a_confusion_are_legible(look: Theme, signed: bool) -> None:
    counts = np.array([[55.0, 45.0], [30.0, 70.0]])
    other = np.array([[90.0, 10.0], [50.0, 50.0]]) if signed else None
    figure = charts.confusion(counts, ["a", "b"], "", look.name, other)
    (heat,) = figure.data
    scale = [(place, colour) for place, colour in heat.colorscale]
    for note in figure.layout.annotations[:4]:
        i, j = "ab".index(note.y), "ab".index(note.x)
        at = (heat.z[i][j] - heat.zmin) / (heat.zmax - heat.zmin)
        (a, low), (b, high) = next(pair for pair in zip(scale, scale[1:], strict=False) if at <= pair[1][0])
        assert contrast(note.font.color, mixed(low, high, (at - a) / (b - a))) > 4.5


@pytest.mark.parametrize(("classes", "points"), [(10, 10), (30, 30), (31, 16), (1000, 30)])
def test_the_line_of_gains_stays_a_line_with_many_classes(classes: int, points: int) -> None:
    rng = np.random.default_rng(0)
    rows = [
        (seed, f"c{k}", k + 1, "tail" if k < 5 else "head", gain)
        for seed in range(2)
        for k, gain in enumerate(rng.normal(size=classes))
    ]
    data = pd.DataFrame(rows, columns=["seed", "class_name", "count", "group", "gain"])
    line = charts.gain_by_size(data, "light", "GeLDA", LA).data[-1]
    assert len(line.x) == points and list(line.x) == sorted(line.x)
    first = -(-classes // points)
    assert line.y[0] == pytest.approx(data.loc[data["count"] <= first, "gain"].mean())


@pytest.mark.parametrize("value", [0.99, 0.9, 0.5])
def test_trustworthiness_is_said_to_be_of_the_real_points(value):
    said = words.trust(value, 15)
    assert "eal points that lie close" in said and f"{value:.2f} of 1, 15 neighbours" in said
    assert "Synthetic points and test items are only placed" in said and "not part of this figure" in said
