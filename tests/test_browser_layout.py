"""Where Explore's parts stand: the map beside the open panel on a wide screen, above it on a narrow one."""

# ruff: noqa: F401, F811 - fixtures are imported, and named again where they are used
from __future__ import annotations

import pytest
from browser_fixtures import browser, gelda_home, page, server, settle, wait_for_map

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


@pytest.mark.parametrize(
    "wide, high, below", [(1280, 900, ".st-key-picks"), (1920, 1080, ".st-key-picks"), (1280, 800, ".depth")]
)
def test_the_map_is_seen_with_its_layers_at_once(server, page, wide: int, high: int, below: str) -> None:
    """Without scrolling: on a low window at least the slider of layers, else also the search."""
    page.set_default_timeout(LIMIT)
    page.set_viewport_size({"width": wide, "height": high})
    page.goto(f"{server.url}/explore?run=digits")
    wait_for_map(page)
    page.locator(".depth").wait_for()
    page.locator(".st-key-picks").get_by_role("button", name="Clear").wait_for()
    settle(page)
    parts = [page.locator(name).bounding_box() for name in (".legend", ".map", ".depth", ".st-key-picks")]
    ends = [box["y"] + box["height"] for box in parts]
    assert all(end <= box["y"] for end, box in zip(ends, parts[1:], strict=False)), "none lies on another"
    assert parts[1]["height"] > 0.5 * high
    box = page.locator(below).bounding_box()
    assert box["y"] + box["height"] <= high


def test_notes_of_what_opens_over_the_page_are_legible_in_the_dark(server, browser) -> None:
    """Dialogs and popovers lie outside of the app's element, which alone says that it is dark."""
    page = browser.new_context(color_scheme="dark").new_page()
    page.set_default_timeout(LIMIT)
    page.goto(f"{server.url}/data?source=digits")
    page.get_by_role("button", name="Demos").click()
    page.wait_for_selector("[data-testid=stPopoverBody]")
    red = page.evaluate(
        """() => {
          const note = document.createElement("p");
          note.className = "note";
          document.querySelector("[data-testid=stPopoverBody]").append(note);
          const dot = document.createElement("canvas").getContext("2d");
          dot.fillStyle = getComputedStyle(note).color;
          dot.fillRect(0, 0, 1, 1);
          const [red, , , alpha] = dot.getImageData(0, 0, 1, 1).data;
          return red * alpha / 255;
        }"""
    )
    assert red > 140, "light on what is nearly black"
    page.context.close()
