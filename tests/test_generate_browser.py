"""In a real browser: start two runs, close the browser, restart the app; the line goes on."""

# ruff: noqa: F401, F811 - fixtures are imported, and named again where they are used
from __future__ import annotations

import time
from pathlib import Path

import pytest
from browser_fixtures import RUN_LIMIT, Server, browser, page

from gelda import runs

pytestmark = pytest.mark.browser


def wait_until(said: str, holds) -> None:
    limit = time.monotonic() + RUN_LIMIT
    while not holds():
        assert time.monotonic() < limit, f"not in {RUN_LIMIT} s: {said}"
        time.sleep(0.5)


def status(name: str) -> str:
    return runs.read_state(runs.find_run(name)).status


def start(tab, going: int) -> None:
    """Press Start and wait until so many runs are going on."""
    tab.get_by_role("button", name="Start", exact=True).click()
    wait_until("the run is listed", lambda: len(runs.list_runs()) == going)
    tab.get_by_role("heading", name="Going on").wait_for()


def test_a_line_of_runs_outlives_browser_and_app(
    browser,
    page,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    page.set_default_timeout(1000 * RUN_LIMIT)
    server = Server(tmp_path)
    try:
        page.goto(f"{server.url}/generate?preset=tiny")
        page.get_by_text("Time, about").wait_for()
        seeds = page.get_by_label("Seeds", exact=True)  # enough of them that a run outlives a restart
        seeds.fill("6")
        seeds.press("Enter")
        page.get_by_text("1 setting changed").wait_for()
        start(page, 1)
        (first,) = (run.id for run in runs.list_runs())
        wait_until("the first one begins", lambda: status(first) == "running")
        pid = runs.read_state(runs.find_run(first)).pid
        start(page, 2)
        (second,) = (run.id for run in runs.list_runs() if run.id != first)
        page.get_by_text("waiting: next in line").wait_for()
        assert status(second) == "queued"
        page.context.close()
    finally:
        server.stop()
    assert status(first) in ("running", "done"), "the app's end is not the run's"
    server = Server(tmp_path)
    try:
        tab = browser.new_page()
        tab.set_default_timeout(1000 * RUN_LIMIT)
        tab.goto(f"{server.url}/generate")
        tab.get_by_role("heading", name="Going on").wait_for()
        assert runs.read_state(runs.find_run(first)).pid == pid
        waits = status(second) == "queued"
        assert waits or status(first) == "done", "one at a time"
        tab.get_by_text("The denoiser’s loss").first.wait_for()
        wait_until("the first one ends", lambda: status(first) not in runs.ALIVE)
        assert status(first) == "done"
        wait_until("the second one begins by itself", lambda: status(second) == "running")
        tab.get_by_role("button", name="Cancel").click()
        wait_until("the second one is cancelled", lambda: status(second) == "cancelled")
        tab.get_by_role("button", name="Resume").wait_for()
        tab.locator(f"[data-testid=stMain] a[href*='results'][href*='{first}']").first.wait_for()
    finally:
        server.stop()
