"""The loop in a real browser: drop what lies among other classes, see, confirm; generate into a cell."""

# ruff: noqa: F401, F811 - fixtures are imported, and named again where they are used
from __future__ import annotations

import pytest
from browser_fixtures import browser, drag_box, gelda_home, page, server, wait_for_map

from gelda import confirm, edits, kit, runs

pytestmark = pytest.mark.browser
LIMIT = 180_000  # ms that a job may take on a busy machine


def test_from_the_map_to_a_confirmed_figure(server, page) -> None:
    """The shipped demo run: nothing has to be computed before."""
    page.set_default_timeout(LIMIT)
    page.goto(f"{server.url}/explore?run=digits")
    wait_for_map(page)
    line = page.locator(".st-key-loop")  # over the map: every step of the loop begins there
    line.get_by_role("button", name="among other classes").click()
    drop = line.get_by_role("button", name="Drop them")
    drop.wait_for()
    number = int(line.locator(".said").inner_text().split()[0])
    drop.click()
    line.get_by_text(f"Drop {number} latents: rare classes").wait_for()
    line.get_by_role("button", name="See and confirm").click()
    page.get_by_role("heading", name=f"Drop {number} latents: rare classes").wait_for()
    page.get_by_role("button", name="Confirm, once").click()
    page.get_by_text("First look at the test half: a result.").wait_for()
    line.get_by_role("button", name="Undo").click()
    page.get_by_text("Drop what does not help").wait_for()
    path = runs.find_run("digits")
    mine = edits.load(kit.load(path))
    assert (len(mine.steps), mine.at) == (1, 0) and len(mine.steps[0].ids) == number
    (look,) = confirm.confirmations(kit.load(runs.find_run("digits")))
    assert look["number"] == 1 and look["test"]["measures"]["tail"]


def test_generating_into_an_empty_cell_from_the_grid(server, page) -> None:
    from playwright.sync_api import expect

    page.set_default_timeout(LIMIT)
    page.goto(f"{server.url}/explore?run=digits")
    wait_for_map(page)
    latents = page.locator(".map")  # in a shadow tree: locators see into it, document.querySelector does not
    every = latents.get_attribute("data-points")
    page.locator("[aria-label^='two, inverted']").click()
    expect(latents).not_to_have_attribute("data-points", every, timeout=LIMIT)  # it follows the grid
    before = int(latents.get_attribute("data-points"))
    page.get_by_role("button", name="Generate into this cell").click()
    page.get_by_text("Generate into two, inverted").wait_for()
    page.get_by_role("button", name="Generate", exact=True).last.click()
    page.get_by_role("heading", name="Make 20 more for two inverted").wait_for()
    expect(latents).to_have_attribute("data-points", str(before + 20), timeout=LIMIT)
    assert "+38" in page.locator("[aria-label^='two, inverted']").inner_text()
    drag_box(page, 0.02, 0.98)  # what was made can be selected with the others, and dropped
    line = page.locator(".st-key-loop")
    line.get_by_text("38").first.wait_for()
    line.get_by_role("button", name="Drop them").click()
    line.get_by_text("2 steps: rare classes").wait_for()
    mine = edits.load(kit.load(runs.find_run("digits")))
    assert sum(one.startswith("made-") for one in mine.steps[1].ids) == 20
