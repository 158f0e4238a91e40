"""Journeys in a real browser: a link shows the same view elsewhere; from Results to a sound in two clicks."""

from __future__ import annotations

import re
from pathlib import Path

import app_fixtures as fixtures
import pytest
from test_browser import Server, page, wait_for_map  # noqa: F401

from gelda import projection

pytestmark = pytest.mark.browser


def selected(page) -> int:  # noqa: F811
    return int(page.locator(".map").get_attribute("data-selected"))


def drag_box(page, low: float, high: float) -> None:  # noqa: F811
    """Select a square, in fractions of the map, with the box tool."""
    page.locator(".map button", has_text="Box").click()
    box = page.locator(".map").bounding_box()
    page.mouse.move(box["x"] + box["width"] * low, box["y"] + box["height"] * low)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * high, box["y"] + box["height"] * high, steps=4)
    page.mouse.up()


def said(page, number: int) -> None:  # noqa: F811
    page.get_by_role("heading", name=re.compile(f"^{number} points? selected")).wait_for()


def test_a_link_opens_the_same_view_in_a_fresh_browser(
    page,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    total = len(projection.load_points(fixtures.make_run(tmp_path)))
    server = Server(tmp_path)
    try:
        page.goto(f"{server.url}/explore")
        wait_for_map(page)
        page.get_by_role("textbox", name="Search").fill("eight in inverted")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Select these 6 points").click()
        said(page, 6)
        drag_box(page, 0.02, 0.98)  # a picture of everything replaces it
        said(page, total)
        assert selected(page) == total
        page.get_by_text("Keep common", exact=True).click()
        page.get_by_role("button", name="Keep common with these 6 points").click()
        said(page, 6)
        assert selected(page) == 6
        page.locator("[aria-label^='eight, inverted']").click()
        page.wait_for_url("**conditions=inverted**")
        page.get_by_text("Nearest neighbours", exact=True).click()
        page.wait_for_url("**panel=neighbours**")
        heading = page.get_by_role("heading", name=re.compile("^Nearest to"))
        heading.wait_for()
        seen, address = heading.inner_text(), page.url
        assert "sel=%7E" in address or "sel=~" in address
        fresh = page.context.browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
        fresh.set_default_timeout(60_000)
        fresh.goto(address)
        wait_for_map(fresh)
        fresh.get_by_role("heading", name=seen).wait_for()
        assert selected(fresh) == 6 and fresh.locator(".map").get_attribute("data-points") == "6"
        assert fresh.url == address
        fresh.get_by_text("Selection", exact=True).click()
        said(fresh, 6)
        assert not page.problems
    finally:
        server.stop()


def test_from_results_to_the_sound_of_what_was_made(
    page,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    fixtures.make_comparison(tmp_path, points=True, media="audio")
    server = Server(tmp_path)
    try:
        page.goto(f"{server.url}/results?run={fixtures.COMPARISON}")
        page.get_by_text("Hear more").first.click()  # the first click
        page.get_by_role("heading", name="What would bee sound like in night?").wait_for()
        player = page.locator("audio").first
        player.wait_for()
        page.wait_for_function(
            "() => document.querySelector('audio').getBoundingClientRect().top < innerHeight"
        )
        page.wait_for_function("() => document.querySelector('audio').readyState > 0")
        player.evaluate("player => { player.muted = true; return player.play(); }")  # the second
        page.wait_for_function("() => document.querySelector('audio').currentTime > 0")
        assert not page.problems
    finally:
        server.stop()


def test_two_sessions_at_once_on_different_runs(
    page,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    first = len(projection.load_points(fixtures.make_run(tmp_path)))
    points = projection.load_points(fixtures.make_comparison(tmp_path, points=True))
    second = int((points["split"] != "test").sum())
    assert first != second
    server = Server(tmp_path)
    try:
        other = page.context.browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
        other.set_default_timeout(60_000)
        other.on("pageerror", lambda error: page.problems.append(str(error)))
        page.goto(f"{server.url}/explore?run={fixtures.RUN}")
        other.goto(f"{server.url}/explore?run={fixtures.COMPARISON}&colour=source")
        for tab in (page, other):
            wait_for_map(tab)
        drag_box(page, 0.02, 0.98)
        said(page, first)
        assert "sel=" not in other.url and selected(other) == 0
        drag_box(other, 0.02, 0.98)
        shown = int(other.locator(".map").get_attribute("data-points"))
        said(other, shown)
        assert selected(page) == first and selected(other) == shown <= second
        page.get_by_role("button", name="Clear").click()
        page.locator(".map[data-selected='0']").wait_for()
        other.reload()  # a new session, on the run and in the colours of its address
        wait_for_map(other)
        assert fixtures.COMPARISON in other.url and "colour=source" in other.url
        assert int(other.locator(".map").get_attribute("data-points")) == shown
        assert int(page.locator(".map").get_attribute("data-points")) == first
        assert not page.problems
        other.close()
    finally:
        server.stop()
