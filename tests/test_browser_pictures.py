"""Pictures of points come a little later than the map: what a person is at goes on."""

# ruff: noqa: F401, F811 - fixtures are imported, and named again where they are used
from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import app_fixtures as fixtures
import pytest
from browser_fixtures import Server, browser, drag_box, gelda_home, page, said, settle, wait_for_map

pytestmark = pytest.mark.browser
# Python runs it as it starts: a sheet of pictures waits for a file before it is written
LATE = """
import os, time
from PIL import Image
save = Image.Image.save
def late(image, file, kind=None, **how):
    while "method" in how and not os.path.exists(os.environ["PICTURES_COME"]):
        time.sleep(0.05)
    save(image, file, kind, **how)
Image.Image.save = late
"""


@pytest.fixture(scope="module")
def come(tmp_path_factory) -> Path:
    """The file that is waited for."""
    return tmp_path_factory.mktemp("late") / "come"


@pytest.fixture(scope="module")
def server(browser, come, tmp_path_factory) -> Iterator[Server]:
    (come.parent / "sitecustomize.py").write_text(LATE)
    paths = os.pathsep.join(
        [str(come.parent), str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    started = Server(tmp_path_factory.mktemp("app"), PICTURES_COME=str(come), PYTHONPATH=paths)
    yield started
    started.stop()


def test_waveforms_that_come_neither_close_a_list_nor_stop_a_clip(server, page, come) -> None:
    """All of the page would be drawn again for them, with other players."""
    fixtures.make_comparison(server.home, points=True, media="audio")
    page.goto(f"{server.url}/explore?run={fixtures.COMPARISON}")
    wait_for_map(page)
    drag_box(page, 0.02, 0.98)
    said(page, int(page.locator(".map").get_attribute("data-points")))
    page.wait_for_function("() => document.querySelector('audio')?.readyState > 0")
    settle(page)
    page.evaluate(
        "async () => { window.player = document.querySelector('audio');"
        " player.muted = player.loop = true; await player.play(); }"
    )
    page.get_by_role("combobox", name="Colour by").click()
    options = page.get_by_role("option")
    options.first.wait_for()
    turn = page.locator(".map").get_attribute("data-turn")
    assert page.locator(".map").get_attribute("data-pictures") == "false"
    come.touch()
    page.locator(".map[data-pictures=true]").wait_for()
    page.wait_for_timeout(1_500)
    assert options.count() > 1 and page.locator(".map").get_attribute("data-turn") == turn
    assert page.evaluate("() => player.isConnected && !player.paused")
    page.keyboard.press("Escape")
    box = page.locator(".map").bounding_box()
    for x, y in product(range(2, 39), repeat=2):
        page.mouse.move(box["x"] + box["width"] * x / 40, box["y"] + box["height"] * y / 40)
        if page.locator(".card.open .image").count():
            break
    width = page.locator(".card.open .image").first.evaluate(
        "async (one) => { const image = new Image(); image.src = one.style.backgroundImage.slice(5, -2);"
        " await image.decode(); return image.naturalWidth; }"
    )
    assert width > 0
