"""Journeys in a real browser: a link shows the same view elsewhere; from Results to a sound in two clicks."""

# ruff: noqa: F401, F811 - fixtures are imported, and named again where they are used
from __future__ import annotations

import re

import app_fixtures as fixtures
import pytest
from browser_fixtures import (
    browser,
    drag_box,
    gelda_home,
    opened,
    page,
    said,
    server,
    wait_for_map,
    wait_for_selected,
)

from gelda import projection

pytestmark = pytest.mark.browser


def test_a_link_opens_the_same_view_in_a_fresh_browser(server, browser, page) -> None:
    total = len(projection.load_points(fixtures.make_run(server.home)))
    page.goto(f"{server.url}/explore")
    wait_for_map(page)
    page.get_by_role("textbox", name="Search").fill("eight in inverted")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Select these 6 points").click()
    said(page, 6)
    drag_box(page, 0.02, 0.98)  # a picture of everything replaces it
    said(page, total)
    wait_for_selected(page, total)
    page.get_by_role("radio", name="Keep common").click()
    page.get_by_role("button", name="Keep common with these 6 points").click()
    said(page, 6)
    wait_for_selected(page, 6)
    page.locator("[aria-label^='eight, inverted']").click()
    page.wait_for_url("**conditions=inverted**")
    page.get_by_text("Nearest neighbours", exact=True).click()
    page.wait_for_url("**panel=neighbours**")
    heading = page.get_by_role("heading", name=re.compile("^Nearest to"))
    heading.wait_for()
    seen, address = heading.inner_text(), page.url
    assert "sel=%7E" in address or "sel=~" in address
    fresh = opened(browser)
    fresh.goto(address)
    wait_for_map(fresh)
    fresh.get_by_role("heading", name=seen).wait_for()
    wait_for_selected(fresh, 6)
    assert fresh.locator(".map").get_attribute("data-points") == "6"
    assert fresh.url == address
    fresh.get_by_text("Selection", exact=True).click()
    said(fresh, 6)


# Pressed anew where the page was drawn again since, with other players
PLAYS = """() => {
  const player = document.querySelector('audio');
  if (player.paused && player.readyState > 0 && player.currentTime === 0) {
    player.muted = true;
    player.play().catch(() => {});
  }
  return player.currentTime > 0;
}"""


def test_from_results_to_the_sound_of_what_was_made(server, page) -> None:
    fixtures.make_comparison(server.home, points=True, media="audio")
    page.goto(f"{server.url}/results?run={fixtures.COMPARISON}")
    page.get_by_text("Hear more").first.click()  # the first click
    page.get_by_role("heading", name="What would bee sound like in night?").wait_for()
    page.locator("audio").first.wait_for()
    page.wait_for_function("() => document.querySelector('audio').getBoundingClientRect().top < innerHeight")
    page.wait_for_function(PLAYS)  # the second


def test_two_sessions_at_once_on_different_runs(server, browser, page) -> None:
    first = len(projection.load_points(fixtures.make_run(server.home)))
    points = projection.load_points(fixtures.make_comparison(server.home, points=True))
    second = int((points["split"] != "test").sum())
    assert first != second
    other = opened(browser)
    page.goto(f"{server.url}/explore?run={fixtures.RUN}")
    other.goto(f"{server.url}/explore?run={fixtures.COMPARISON}&colour=source")
    for tab in (page, other):
        wait_for_map(tab)
    drag_box(page, 0.02, 0.98)
    said(page, first)
    assert "sel=" not in other.url
    wait_for_selected(other, 0)
    drag_box(other, 0.02, 0.98)
    shown = int(other.locator(".map").get_attribute("data-points"))
    said(other, shown)
    assert shown <= second
    wait_for_selected(page, first)
    wait_for_selected(other, shown)
    page.get_by_role("button", name="Clear").click()
    wait_for_selected(page, 0)
    other.reload()  # a new session, on the run and in the colours of its address
    wait_for_map(other)
    assert fixtures.COMPARISON in other.url and "colour=source" in other.url
    assert int(other.locator(".map").get_attribute("data-points")) == shown
    assert int(page.locator(".map").get_attribute("data-points")) == first
    assert not other.problems
    other.context.close()


def test_a_map_whose_points_the_server_forgot_is_drawn_all_the_same(server, page) -> None:
    """As where another session's page ends while this one is drawn: its blocks are gone."""
    total = len(projection.load_points(fixtures.make_run(server.home)))
    gone = []

    def forget(route) -> None:
        if len(gone) < 2:
            gone.append(route.request.url)
            route.fulfill(status=404, body="")
        else:
            route.continue_()

    page.route(re.compile(r"/media/.*\.bin"), forget)
    page.goto(f"{server.url}/explore?run={fixtures.RUN}")
    wait_for_map(page)
    assert len(gone) == 2 and page.locator(".map").get_attribute("data-points") == str(total)
