"""Where Explore's parts stand: the map beside the open panel on a wide screen, above it on a narrow one."""

# ruff: noqa: F401, F811 - fixtures are imported, and named again where they are used
from __future__ import annotations

import pytest
from browser_fixtures import browser, gelda_home, page, server, wait_for_map

from gelda import projection, runs

pytestmark = pytest.mark.browser
LIMIT = 120_000  # ms on a busy machine
TABS = "document.querySelector('[class*=st-key-panel]').getBoundingClientRect()"


def _synthetic() -> str:
    """The id of a point of the run that ships: with its neighbours the panel is longer than a window."""
    points = projection.load_points(runs.find_run("digits"))
    return points["id"][points["origin"] == "synthetic"].iloc[0]


def test_the_map_stays_beside_the_open_panel_where_there_is_room(server, page) -> None:
    from playwright.sync_api import expect

    page.set_default_timeout(LIMIT)
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.goto(f"{server.url}/explore?run=digits&panel=neighbours&k=50&point={_synthetic()}")
    wait_for_map(page)
    latents, tabs = page.locator(".map"), page.locator("[class*='st-key-panel']").first
    page.wait_for_function(f"() => {TABS}.top < 110")  # a link to a panel shows it
    across, beside = latents.bounding_box(), tabs.bounding_box()
    assert across["x"] + across["width"] < beside["x"]
    assert across["y"] > 0 and across["height"] > 600, "still in sight, as high as the window allows"

    chosen = page.locator(".map button", has_text="Selected")
    expect(chosen).to_be_hidden()
    page.get_by_role("textbox", name="Search").fill("two upright")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Select these").click()
    expect(chosen).to_be_visible(timeout=LIMIT)

    page.set_viewport_size({"width": 1280, "height": 800})
    page.wait_for_function(f"() => {TABS}.left < 60")
    across, below = latents.bounding_box(), tabs.bounding_box()
    assert below["y"] > across["y"] + across["height"]
    assert not page.problems
