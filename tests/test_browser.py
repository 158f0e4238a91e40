"""Journeys in a real browser: start the demo, watch it, explore what it made, select, export; own data."""

# ruff: noqa: F401, F811 - fixtures are imported, and named again where they are used
from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import app_fixtures as fixtures
import media_fixtures as made
import pytest
from browser_fixtures import (
    ROOT,
    RUN_LIMIT,
    browser,
    choose,
    gelda_home,
    lasso,
    page,
    server,
    wait_for_map,
    wait_for_points,
)

pytestmark = pytest.mark.browser
ENVIRONMENT = {"GELDA_DEMO_PRESET": "tiny"}


def test_from_the_demo_to_an_export(server, page) -> None:
    from gelda import runs

    page.goto(server.url)
    wait_for_map(page)  # nothing has been run here: the run that ships is shown
    page.get_by_text("ships with the product").wait_for()
    page.get_by_role("button", name="Run the demo").click()
    page.locator("table.stages").first.wait_for()
    limit = time.monotonic() + RUN_LIMIT
    mine = runs.list_runs()[0].id
    link = page.locator(f"[data-testid=stMain] a[href*='explore'][href*='run={mine}']")
    while not link.count():
        states = [run.status for run in runs.list_runs()]
        assert "failed" not in states, runs.list_runs()[0].error
        assert time.monotonic() < limit, f"the demo is still {states} after {RUN_LIMIT} s"
        page.wait_for_timeout(500)
    link.first.click()
    wait_for_map(page)
    run = runs.list_runs()[0]
    from gelda import projection

    points = projection.load_points(run.path)
    assert set(points["origin"]) == {"real", "synthetic"}
    wait_for_points(page, len(points))
    lasso(page, (0.5, 0.5), 0.45)
    heading = page.get_by_role("heading", name="selected:")
    heading.wait_for()
    on_map = int(page.locator(".map").get_attribute("data-selected"))
    assert on_map > 20
    assert heading.inner_text().startswith(f"{on_map:,} ".replace(",", "\u202f"))  # browser and server agree
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    assert len(Path(download.value.path()).read_text().splitlines()) == on_map + 1


def test_a_stopped_app_leaves_its_port(tmp_path: Path) -> None:
    """Also when it is stopped as a service is, by SIGTERM to the command alone."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "GELDA_HOME": str(tmp_path)}
    app = subprocess.Popen([sys.executable, "-m", "gelda", "app", "--port", str(port)], cwd=ROOT, env=env)
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        with socket.socket() as asked:
            if not asked.connect_ex(("127.0.0.1", port)):
                break
        time.sleep(0.2)
    app.terminate()
    app.wait(20)
    with socket.socket() as asked:
        assert asked.connect_ex(("127.0.0.1", port))


def test_selection_stays_and_the_url_holds_the_view(server, page) -> None:
    fixtures.make_run(server.home)
    page.goto(f"{server.url}/explore")
    wait_for_map(page)
    lasso(page, (0.5, 0.5), 0.49)
    heading = page.get_by_role("heading", name="selected:")
    heading.wait_for()
    said = heading.inner_text()
    chosen = page.locator(".map").get_attribute("data-selected")
    choose(page, "Colour by", "Source")
    page.wait_for_url("**colour=source**")
    assert heading.inner_text() == said
    assert page.locator(".map").get_attribute("data-selected") == chosen
    page.locator("[aria-label^='eight, inverted']").click()
    page.wait_for_url("**conditions=inverted**")
    page.get_by_role("link", name="Results").first.click()
    page.get_by_role("heading", name="Every method").wait_for()
    page.get_by_role("link", name="Explore").first.click()
    page.wait_for_url("**colour=source**")
    wait_for_map(page)
    wait_for_points(page, 6)  # three dev images and three synthetic latents
    page.locator(".map").focus()
    page.keyboard.press("Escape")


def test_the_clips_of_a_comparison_play(server, page) -> None:
    fixtures.make_comparison(server.home, points=True, media="audio")
    page.goto(f"{server.url}/explore?run={fixtures.COMPARISON}")
    wait_for_map(page)
    lasso(page, (0.5, 0.5), 0.49)
    players = page.locator("audio")
    players.first.wait_for()
    page.wait_for_function("() => document.querySelector('audio').readyState > 0")
    assert players.first.evaluate("player => player.duration") == pytest.approx(0.5, abs=0.05)
    assert page.locator(".strip.sound img").count() == players.count() == 8


def test_from_a_folder_to_a_comparison(server, page, tmp_path: Path) -> None:
    for name, colour in (("ant", (200, 30, 30)), ("bee", (20, 40, 190))):
        for domain in ("day", "night"):
            for i in range(6):
                made.picture(tmp_path / "pets" / domain / name / f"{i}.png", (colour[0], 20 * i, colour[2]))
    page.goto(f"{server.url}/data")
    page.get_by_label("Folder, list, table, manifest or latents").fill(str(tmp_path / "pets"))
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="24 pictures of 2 classes in 2 subdomains").wait_for()
    cells = page.locator(".js-plotly-plot .heatmaplayer image")
    cells.wait_for()
    box = cells.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.25)
    page.wait_for_url("**class=bee&subdomain=day**")
    page.wait_for_function("() => document.querySelectorAll('.strip img').length === 6")
    page.get_by_role("button", name="Encode these items").click()
    page.get_by_role("button", name="Encode", exact=True).click()
    page.locator("table.stages").first.wait_for()
    page.get_by_role("heading", name="24 latents of 2 classes").wait_for(timeout=120_000)
    page.wait_for_url("**bank=**")
    page.get_by_role("button", name="Find out how well each layer").click()
    page.get_by_text("Balanced accuracy of a linear probe").first.wait_for(timeout=120_000)
    page.get_by_role("button", name="Compare methods").click()
    page.wait_for_url("**/generate?**bank=**")
    page.get_by_text("Few-shot", exact=True).click()
    page.get_by_role("combobox", name="Scarce subdomain").click()
    assert page.get_by_role("option").all_inner_texts() == ["day", "night"]
