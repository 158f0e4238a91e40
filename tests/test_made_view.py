"""Results lead to what was made: one click to its neighbours, the second plays one."""

from __future__ import annotations

from pathlib import Path

import app_fixtures as fixtures
import pytest
from test_pages import open_page, text, warnings

from app import made_view
from gelda import projection


def links(page) -> list[dict[str, str]]:
    found = [element.proto for element in page.get("page_link")]
    return [
        dict(part.split("=") for part in proto.query_string.split("&"))
        for proto in found
        if proto.query_string
    ]


def test_each_unseen_cell_has_a_link_to_its_neighbours(workspace: Path) -> None:  # noqa: F811
    fixtures.make_run(workspace)
    page = open_page("results")
    assert "See what was made" in text(page) and not warnings(page)
    asked = {link["cell"].replace("%7C", "|") for link in links(page) if link.get("panel") == "neighbours"}
    assert asked == {f"{fixtures.CLASSES[c]}|{fixtures.CONDITIONS[s]}" for c, s in fixtures.EMPTY}
    explore = open_page("explore", run=fixtures.RUN, panel="neighbours", cell=sorted(asked)[0])
    assert "What would *" in text(explore)


def test_from_results_a_clip_is_heard_in_two_clicks(workspace: Path) -> None:  # noqa: F811
    fixtures.make_comparison(workspace, points=True, media="audio")
    page = open_page("results")
    assert "Hear what was made" in text(page)
    assert len(page.get("audio")) == 2, "the nearest clip of each cell plays here already"
    link = next(one for one in links(page) if one.get("panel") == "neighbours")
    explore = open_page("explore", **{key: value.replace("%7C", "|") for key, value in link.items()})
    assert "sound like" in text(explore) and len(explore.get("audio")) > 4


@pytest.mark.parametrize("missing", ["points.parquet", "meta.json", "points/adapter.1.safetensors"])
def test_without_points_the_figures_stand_alone(missing: str, workspace: Path) -> None:  # noqa: F811
    path = fixtures.make_run(workspace)
    (path / missing).unlink()
    page = open_page("results")
    assert not warnings(page) and "what was made" not in text(page)


def test_without_an_empty_cell_the_rare_classes_are_shown(workspace: Path) -> None:  # noqa: F811
    points = projection.load_points(fixtures.make_run(workspace))
    tail = fixtures.GROUPS["tail"]
    assert set(made_view.wanted(points, "gelda", tail)) == set(fixtures.EMPTY)
    full = points[~points.set_index(["label", "subdomain"]).index.isin(fixtures.EMPTY)]
    assert {cell[0] for cell in made_view.wanted(full, "gelda", tail)} == set(tail)
