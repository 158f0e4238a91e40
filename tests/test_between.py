"""What lies between two cells: one noise, what the head says along the way, the real items it passes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from test_pages import open_page, text, warnings
from test_scrubber import SHIPPED, buttons, figures

from app import between_charts
from app.drawing import Backdrop
from gelda import samples


def test_the_shipped_run_shows_a_way_at_once() -> None:
    page = open_page("explore", run="digits", panel="between")
    assert not warnings(page)
    titles = [f["layout"]["title"]["text"] for f in figures(page) if "title" in f["layout"]]
    assert any("the head prefers two to eight" in title for title in titles)
    said = text(page)
    assert said.count("At the start") == 1 and said.count('<img alt="two') >= 2


def test_another_way_is_drawn_by_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    query = {"start_class": "one", "end_class": "one", "end_condition": "inverted", "number": "20"}
    page = open_page("explore", run="digits", panel="between", **query)
    monkeypatch.setattr("gelda.jobs.spawn", lambda arguments, log: started.append(arguments))
    next(b for b in page.button if b.label.startswith("Draw them")).click().run()
    wanted = samples.SampleRequest(kind="between", start=(1, 0), end=(1, 4), count=20)
    assert started == [["draw-stored", "digits", samples.key(SHIPPED, wanted)]]


def test_one_cell_twice_is_no_way() -> None:
    page = open_page("explore", run="digits", panel="between", end_class="eight")
    assert "Both ends are the same cell" in text(page)
    assert not any(label.startswith("Draw them") for label in buttons(page))


def way(probability: np.ndarray, classes: tuple[int, int] = (0, 1)) -> between_charts.Between:
    rng = np.random.default_rng(0)
    shares = np.linspace(0, 1, len(probability))
    xy = rng.normal(size=(len(shares), 3, 2)).astype(np.float32)
    far = np.ones((len(shares), 3), np.float32)
    return between_charts.Between(shares, xy, probability, far, ("a, x", "b, x"), classes)


NAMES = ["a", "b<c", "d"]
CHANGES = np.array([[0.9, 0.05, 0.05], [0.6, 0.2, 0.2], [0.2, 0.7, 0.1], [0, 1, 0], [0, 1, 0]])


@pytest.mark.parametrize("probability, classes, words", [
    (CHANGES, (0, 1), "From 50 % of the way on, the head prefers b&lt;c to a"),
    (np.array([[0.9, 0.1, 0], [0.2, 0.3, 0.5], [0, 1, 0]]), (0, 1), "From 50 % of .* to a"),
    (np.array([[0.1, 0.09, 0.8], [0.09, 0.1, 0.8], [0.1, 0.12, 0.78]]), (0, 1), "neither a nor b&lt;c any"),
    (np.array([[0.9, 0.1, 0], [0.3, 0.4, 0.3], [0, 1, 0]]), (0, 1), "sure of neither"),
    (np.array([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.8, 0.2, 0]]), (0, 1), "never prefers b&lt;c to a"),
    (np.array([[0.3, 0.4, 0.3], [0.1, 0.9, 0], [0, 1, 0]]), (0, 1), "prefers b&lt;c to a from the start"),
    (np.array([[0.9, 0.1, 0], [0.7, 0.3, 0], [0.8, 0.2, 0]]), (0, 0), "says a with at least 70 % .at 50 %"),
])  # fmt: skip
def test_the_title_says_where_the_head_changes_its_mind(probability, classes, words) -> None:
    assert re.search(words, between_charts.finding(way(probability, classes), NAMES))


def test_lines_are_of_the_classes_that_matter_and_sum_to_one() -> None:
    behind = Backdrop(np.random.default_rng(1).normal(size=(9, 2)), np.arange(9) % 3, [])
    figure = between_charts.figure(way(CHANGES), behind, NAMES, "Title", "dark")
    said = {trace.name: np.asarray(trace.y) for trace in figure.data if trace.yaxis == "y2"}
    assert set(said) == {"a", "b&lt;c", "d"}
    np.testing.assert_allclose(sum(said.values()), 100, atol=1e-6)
    labels = {a.text for a in figure.layout.annotations}
    assert set(said) <= labels


def test_names_at_lines_that_lie_together_do_not_cover_one_another() -> None:
    shares = np.linspace(0, 1, 21)
    flat = np.tile([0.10, 0.11, 0.105, 0.674, 0.011], (21, 1)) + 0.002 * shares[:, None]
    names = ["two", "three", "five", "seven", "nine"]
    flow = between_charts.Between(
        shares, np.zeros((21, 2, 2)), flat, np.ones((21, 2)), ("two", "three"), (0, 1)
    )
    behind = Backdrop(np.random.default_rng(1).normal(size=(9, 2)), np.arange(9) % 3, [])
    figure = between_charts.figure(flow, behind, names, "Title", "dark")
    found = [a for a in figure.layout.annotations if a.xref == "x2"]
    assert len(found) >= 4
    for k, one in enumerate(found):
        for other in found[:k]:
            apart = abs(one.x - other.x) > between_charts.LETTER * min(len(one.text), len(other.text)) / 2
            assert apart or abs(one.y - other.y) > 5, (one.text, other.text)
