"""What the journeys in a real browser share: the app, a tab of Chromium, and how a person works the map."""

from __future__ import annotations

import math
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUN_LIMIT = 300  # seconds the tiny demo may take on a slow machine


def browser_or_skip() -> str:
    """Path of Chromium. On CI its absence is a failure: the journey must not vanish unnoticed."""
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))),
        None,
    )
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        found = None
    if found is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            "needs playwright and a chromium on the PATH"
        )
    return found


class Server:
    """The app as a person starts it, on a free port, with its own workspace."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self.log = home / "server.log"
        command = [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            str(ROOT / "app" / "main.py"),
            "--server.port",
            str(self.port),
        ]
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        env = {**os.environ, "GELDA_HOME": str(home), "PYTHONPATH": paths, **environment}
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, cwd=home, env=env, stdout=log, stderr=log)
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.25)
        raise RuntimeError(self.log.read_text())

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:  # a machine so busy that it does not end by itself
            self.process.kill()
            self.process.wait()


def launch(play):
    """Chromium with WebGL2 from its software renderer."""
    # the sandbox cannot start as root, as in CI's containers
    flags = ["--enable-unsafe-swiftshader", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    return play.chromium.launch(executable_path=browser_or_skip(), args=flags)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    browser_or_skip()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = launch(play)
        yield started
        started.close()


def opened(browser):
    """A tab of a browser of its own; what goes wrong in its scripts is in `problems`."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, accept_downloads=True)
    tab = context.new_page()
    tab.set_default_timeout(60_000)
    tab.problems = []
    tab.on("pageerror", lambda error: tab.problems.append(str(error)))
    return tab


@pytest.fixture
def page(browser) -> Iterator:
    """A tab, without an error at the end of the test."""
    tab = opened(browser)
    yield tab
    problems = tab.problems
    tab.context.close()
    assert not problems


@pytest.fixture(scope="module")
def server(request, browser, tmp_path_factory) -> Iterator[Server]:
    """One app for a file of tests, with its ENVIRONMENT; each finds the workspace empty (`gelda_home`)."""
    started = Server(tmp_path_factory.mktemp("app"), **getattr(request.module, "ENVIRONMENT", {}))
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def gelda_home(server, monkeypatch) -> Iterator[Path]:
    """The server's workspace, and nothing in it."""
    monkeypatch.setenv("GELDA_HOME", str(server.home))
    yield server.home
    for path in server.home.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path != server.log:
            path.unlink()


def lasso(page, centre: tuple[float, float], radius: float) -> None:
    """Draw a circle with the lasso tool, in fractions of the map."""
    page.locator(".map button", has_text="Lasso").click()
    box = page.locator(".map").bounding_box()
    x, y = box["x"] + box["width"] * centre[0], box["y"] + box["height"] * centre[1]
    r = radius * min(box["width"], box["height"])
    page.mouse.move(x + r, y)
    page.mouse.down()
    for k in range(1, 33):
        page.mouse.move(x + r * math.cos(k * math.pi / 16), y + r * math.sin(k * math.pi / 16))
    page.mouse.up()


def wait_for_map(page) -> None:
    page.locator(".map[data-drawn]").wait_for()
    page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')")


SETTLED = """() => {
  const app = document.querySelector("[data-testid=stApp]");
  const { testScriptState: script, testConnectionState: line } = app?.dataset ?? {};
  const idle = script === "notRunning" && line === "CONNECTED";
  if (!idle) window.idleSince = 0;
  else window.idleSince ||= performance.now();
  return idle && performance.now() - window.idleSince > 600;
}"""


def settle(page) -> None:
    """Until the page has not been drawn for a while: the first heading may be there long before the rest."""
    page.evaluate("() => { window.idleSince = 0; }")  # of a time before
    page.wait_for_function(SETTLED)


def choose(page, name: str, option: str) -> None:
    """Pick an option of a list; a page drawn anew closes an open list, and a person opens it again."""
    from playwright.sync_api import TimeoutError as Late

    for last in (False, False, True):
        page.get_by_role("combobox", name=name).click()
        try:
            page.get_by_role("option", name=option, exact=True).click(timeout=15_000)
            return
        except Late:
            if last:
                raise
            page.keyboard.press("Escape")


def wait_for_points(page, number: int) -> None:
    """Until the map draws so many: after a change of page the map of the page before stands for a while."""
    from playwright.sync_api import expect

    expect(page.locator(".map")).to_have_attribute("data-points", str(number), timeout=60_000)


def wait_for_selected(page, number: int) -> None:
    """Until the map shows so many as selected: the text of the page may be a moment ahead of it."""
    page.locator(f".map[data-selected='{number}']").wait_for()


def drag_box(page, low: float, high: float) -> None:
    """Select a square, in fractions of the map, with the box tool."""
    page.locator(".map button", has_text="Box").click()
    box = page.locator(".map").bounding_box()
    page.mouse.move(box["x"] + box["width"] * low, box["y"] + box["height"] * low)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * high, box["y"] + box["height"] * high, steps=4)
    page.mouse.up()


def said(page, number: int) -> None:
    page.get_by_role("heading", name=re.compile(f"^{number} points? selected")).wait_for()
