"""The map's script by itself, called in the orders that Streamlit's browser side calls it in."""

# ruff: noqa: F401, F811 - fixtures are imported, and named again where they are used
from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from browser_fixtures import browser, opened
from test_map_data import layout_of

from app import components, map_data

pytestmark = pytest.mark.browser
URL = "http://map.test"
SCRIPTS = ("order.js", "map/points.js", "map/map.js")
SCRIPT = "".join((components.ASSETS / name).read_text() for name in SCRIPTS)
PICTURES = "".join(
    (components.ASSETS / name).read_text() for name in ("order.js", "map/points.js", "map/pictures.js")
)
HTML = f"""<html><body><div id="parent">
<div class="map" style="width: 600px"></div><div class="pictures"></div></div>
<script type="module">
  import draw from "{URL}/map.js";
  import bring from "{URL}/pictures.js";
  window.sent = [];
  window.bring = (number, address) => bring({{
    data: {{ number, address, run: "a" }},
    parentElement: document.getElementById("parent"),
    setTriggerValue: (name) => window.sent.push(name),
  }});
  window.draw = (bytes) => draw({{
    data: new Uint8Array(bytes),
    parentElement: document.getElementById("parent"),
    setTriggerValue: (name, value) => window.sent.push(name),
    setStateValue: (name, value) => window.sent.push(name),
  }});
  document.body.dataset.ready = "1";
</script></body></html>"""


class Stage:
    """A page with the component, and the blocks that its server has at the moment."""

    def __init__(self, browser) -> None:
        self.page = opened(browser)
        self.page.set_default_timeout(30_000)
        self.layout = layout_of()
        some = map_data.drawn(self.layout)
        parts = map_data.blocks(self.layout, some.rows)
        self.every = {f"/{name}": part for name, part in parts.items()}
        self.served = dict(self.every)
        self.page.route(re.compile(f"^{URL}/"), self.answer)
        self.page.goto(f"{URL}/")
        self.page.locator("body[data-ready]").wait_for()

    def answer(self, route) -> None:
        path = route.request.url.removeprefix(URL)
        if path == "/":
            route.fulfill(body=HTML, content_type="text/html")
        elif path == "/map.js":
            route.fulfill(body=SCRIPT, content_type="text/javascript")
        elif path == "/pictures.js":
            route.fulfill(body=PICTURES, content_type="text/javascript")
        elif path in self.served:
            route.fulfill(body=self.served[path], content_type="application/octet-stream")
        else:
            route.fulfill(status=404, body="")

    def message(self, number: int) -> list[int]:
        """What Python sends, as numbers that a script can be given."""
        addresses = {name.strip("/"): URL + name for name in self.every}
        some = map_data.drawn(self.layout)
        packed = map_data.pack(self.layout, some, addresses=addresses, height="400px")
        return list(packed + struct.pack("<d", number))

    def fail(self, number: int) -> None:
        """Draw a message without all of its blocks, and wait until the map knows."""
        self.page.evaluate(
            "async (one) => { draw(one); await fetch('/').then((page) => page.text()); }",
            self.message(number),
        )

    def lost(self) -> bool:
        """Whether the map has given back its WebGL context."""
        return self.page.evaluate(
            "() => document.querySelector('canvas').getContext('webgl2').isContextLost()"
        )


@pytest.fixture
def stage(browser) -> Iterator[Stage]:
    made = Stage(browser)
    yield made
    problems = made.page.problems
    made.page.context.close()
    assert not problems


@pytest.mark.parametrize("order", ["older first", "newer first"])
def test_a_call_that_was_overtaken_does_not_end_the_map(stage, order: str) -> None:
    """Two messages before the script is loaded: Streamlit calls it for both, and ends the older one's call.

    Seen in Chromium: the newer message may be handed over first.
    """
    swap = order == "newer first"
    stage.served["/older"] = stage.every["/facts"]
    older = bytes(stage.message(0)).replace(f"{URL}/facts".encode(), f"{URL}/older".encode())
    stage.page.evaluate(
        """([older, newer, swap]) => {
          if (swap) window.last = draw(newer);
          draw(older)?.();
          if (!swap) window.last = draw(newer);
        }""",
        [list(older), stage.message(1), swap],
    )
    stage.page.locator(".map[data-drawn]").wait_for()
    assert stage.page.locator(".map").get_attribute("data-turn") == ("1" if swap else "2")
    stage.page.wait_for_timeout(1_500)
    assert not stage.lost()


def test_a_map_is_released_once_its_root_has_left_the_page(stage) -> None:
    stage.page.evaluate("(one) => { window.last = draw(one); }", stage.message(0))
    stage.page.locator(".map[data-drawn]").wait_for()
    stage.page.evaluate(
        """() => {
          window.canvas = document.querySelector("canvas");
          document.querySelector(".map").remove();
          last();
        }"""
    )
    stage.page.wait_for_function("() => canvas.getContext('webgl2').isContextLost()")


def test_a_missing_block_is_asked_for_and_drawn_once_it_is_there(stage) -> None:
    del stage.served["/facts"]
    stage.page.evaluate("(one) => { draw(one); }", stage.message(0))
    stage.page.wait_for_function("() => sent.length")
    assert stage.page.evaluate("() => sent") == ["missing"]
    assert stage.page.locator(".map[data-drawn]").count() == 0
    stage.served = dict(stage.every)
    stage.page.evaluate("(again) => { draw(again); }", stage.message(1))
    stage.page.locator(".map[data-drawn]").wait_for()
    assert stage.page.locator(".map").get_attribute("data-points") == str(len(stage.layout.points))


def test_a_block_that_never_comes_is_asked_for_four_times(stage) -> None:
    warned = []
    stage.page.on("console", lambda said: warned.append(said.text) if said.type == "warning" else None)
    stage.page.clock.install()
    del stage.served["/places"]
    for turn, asked in enumerate([1, 2, 3, 4, 4, 4]):
        stage.fail(turn)
        stage.page.clock.run_for(max([400, 4_000, 10_000, 20_000][:asked]))
        assert stage.page.evaluate("() => sent") == ["missing"] * asked
    assert any("could not be fetched" in text for text in warned)


def test_a_question_that_was_lost_is_asked_again(stage) -> None:
    stage.page.clock.install()
    del stage.served["/places"]
    stage.fail(0)
    stage.page.clock.run_for(60_000)
    assert stage.page.evaluate("() => sent") == ["missing"] * 4


def test_a_message_overtaken_by_one_whose_blocks_are_there_asks_for_nothing(stage) -> None:
    gone = stage.message(0)
    old = bytes(gone).replace(f"{URL}/facts".encode(), f"{URL}/factz".encode())
    stage.page.evaluate(
        "([one, two]) => { draw(one); setTimeout(() => draw(two), 100); }", [list(old), stage.message(1)]
    )
    stage.page.locator(".map[data-drawn]").wait_for()
    stage.page.wait_for_timeout(800)
    assert stage.page.evaluate("() => sent") == []


def test_a_page_that_is_scrolled_does_not_stop_at_the_map(stage) -> None:
    """The wheel zooms where its gesture began over the map; Chromium's own scrolling says which it was."""
    page = stage.page
    page.evaluate("(one) => { draw(one); }", stage.message(0))
    page.locator(".map[data-drawn]").wait_for()
    page.evaluate(
        """() => {
          const below = document.createElement("div");
          below.style.height = "3000px";
          document.body.append(below);
          scrollTo(0, 900);
        }"""
    )
    page.mouse.move(300, 200)
    for _ in range(12):
        page.mouse.wheel(0, -100)
        page.wait_for_timeout(20)
    page.wait_for_function("() => scrollY === 0")
    page.wait_for_timeout(600)
    page.mouse.wheel(0, 100)
    page.wait_for_timeout(300)
    assert page.evaluate("() => scrollY") == 0, "a gesture of its own zooms, and the page stays"


def sheet(count: int) -> bytes:
    """Pictures of the first points of a map, as Python packs them."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "WEBP")
    slot = np.r_[np.arange(count), -1]
    return map_data.pictures(buffer.getvalue(), slot, 8)


def test_pictures_are_asked_for_until_they_are_there(stage) -> None:
    """First they are not made, then the server forgot them; a point that is held has its own at once."""
    stage.page.evaluate("(one) => { draw(one); }", stage.message(0))
    stage.page.locator(".map[data-drawn]").wait_for()
    for x in range(30, 570, 6):  # over the middle of the map, to the first real point
        stage.page.mouse.move(x, 200)
        if stage.page.locator(".card.open .facts", has_text="real · train").count():
            break
    card = stage.page.locator(".card.open")
    assert card.count() == 1 and card.locator(".image").count() == 0
    stage.page.evaluate("() => bring(1, '')")
    stage.page.wait_for_function("() => sent.length === 2")
    stage.page.evaluate(f"() => bring(2, '{URL}/sheet')")
    stage.page.wait_for_function("() => sent.length === 4")
    assert stage.page.locator(".map").get_attribute("data-pictures") == "false"
    stage.served["/sheet"] = sheet(len(stage.layout.points))
    stage.page.locator(".map[data-pictures=true]").wait_for()
    image = card.locator(".image")
    image.wait_for(state="attached")
    drawn = image.evaluate(
        "async (one) => { const i = new Image(); i.src = one.style.backgroundImage.slice(5, -2);"
        " await i.decode(); return i.naturalWidth; }"
    )
    count = stage.page.evaluate("() => sent.length")
    stage.page.wait_for_timeout(1_200)
    assert drawn == 64 and stage.page.evaluate("() => sent.length") == count
    assert stage.page.locator(".map").get_attribute("data-turn") == "1", "the map was not drawn again"


def test_pictures_are_not_asked_for_together_with_a_press(stage) -> None:
    """Streamlit would send both in one message, and that for the pictures' fragment alone."""
    stage.page.clock.install()
    stage.page.evaluate("() => bring(0, '')")
    stage.page.clock.run_for(400)
    stage.page.mouse.click(5, 5)
    stage.page.clock.run_for(300)
    assert stage.page.evaluate("() => sent") == []
    stage.page.clock.run_for(600)
    assert stage.page.evaluate("() => sent") == ["look"]


def test_pictures_are_not_asked_for_once_their_place_has_left_the_page(stage) -> None:
    stage.page.clock.install()
    stage.page.evaluate("() => { bring(0, ''); document.querySelector('.pictures').remove(); }")
    stage.page.clock.run_for(5_000)
    assert stage.page.evaluate("() => sent") == []
