"""Journeys through what ships: samples, between cells, a study, a lesson, a link, and looking only."""

# ruff: noqa: F401, F811 - fixtures are imported, and named again where they are used
from __future__ import annotations

import csv
import json
import re
import time
from pathlib import Path

import pytest
from browser_fixtures import Server, browser, choose, gelda_home, opened, page, server, settle, wait_for_map

from app import learn_view, scrubber_view
from gelda import projection, runs, samples, studies, study_result

pytestmark = pytest.mark.browser
LIMIT = 120_000  # ms that a job may take on a busy machine


def expect(what):
    from playwright.sync_api import expect

    expect.set_options(timeout=LIMIT)
    return expect(what)


# What Streamlit is about to send waits, and the tick of a timer comes before it; `lateness` is 0 at first.
LATE = """
(() => {
  const wait = window.setTimeout.bind(window);
  window.lateness = 0;
  window.setTimeout = (act, ms, ...more) => wait(act, ms || window.lateness, ...more);
})();
"""


TRACES = (
    "() => JSON.stringify(document.querySelector('.js-plotly-plot')._fullData"
    ".filter(t => (t.mode ?? '').includes('markers')).map(t => Array.from(t.x)))"
)


def traces(page) -> list[list[float]]:
    """x of every trace of points of the figure in view."""
    return json.loads(page.evaluate(TRACES))


def test_a_click_during_a_timers_tick_counts_once(server, page) -> None:
    """The heads are trained, with a tick every half second; a click comes with one, and by itself."""
    page.add_init_script(LATE)
    page.goto(f"{server.url}/explore?run=digits")
    wait_for_map(page)
    page.locator(
        ".map[data-pictures=true]"
    ).wait_for()  # what asks for them keeps clear of presses, but not when late
    line = page.locator(".st-key-loop")
    line.get_by_role("button", name="among other classes").click()
    line.get_by_role("button", name="Drop them").click()
    line.get_by_text("Training the heads").wait_for()
    page.evaluate("window.lateness = 1200")
    page.locator("[aria-label^='two, inverted']").click()
    page.wait_for_timeout(1500)
    page.evaluate("window.lateness = 0")
    page.wait_for_url("**classes=two&conditions=inverted**")
    line.get_by_text("rare classes").wait_for(timeout=LIMIT)
    assert page.locator("[aria-label^='two, inverted']").get_attribute("aria-pressed") == "true"
    assert "classes=two&conditions=inverted" in page.url


def test_samples_come_out_of_noise(server, page) -> None:
    page.goto(f"{server.url}/explore?run=digits&panel=scrubber")
    step = page.locator(".js-plotly-plot .slider-label").first
    expect(step).to_contain_text(re.compile(r"step (\d+) of \1, noise 0"))
    drawn, end = traces(page), step.text_content()
    page.locator(".updatemenu-button", has_text="Play").click()
    expect(step).not_to_have_text(end)
    expect(step).to_have_text(end)
    page.get_by_text("How they are drawn").click()
    choose(page, "Noise they start from", "Another, number 1")
    page.get_by_role("button", name="Draw them").click()
    expect(step).to_have_text(end)
    fresh = traces(page)
    assert [len(x) for x in fresh] == [len(x) for x in drawn] and fresh != drawn
    (made,) = (server.home / "samples" / "digits").glob("*.safetensors")
    assert samples.asked(runs.find_run("digits"), made.stem).seed == 1


def test_what_lies_between_two_cells(server, page) -> None:
    page.goto(f"{server.url}/explore?run=digits&panel=between")
    page.get_by_text("The nearest real images along the way").wait_for()
    title = page.locator(".js-plotly-plot .gtitle")
    expect(title).to_contain_text("of this way" if "start" in title.text_content() else "of the way")
    followed = page.locator(".strip figure.made")
    expect(followed).to_have_count(10)  # two latents at five stops
    choose(page, "to the class", "six")
    page.get_by_role("button", name="Draw them").click()
    expect(title).to_contain_text("six")
    expect(followed).to_have_count(10)
    assert "end_class=six" in page.url


def test_the_study_that_ships_can_be_read_and_taken(server, page) -> None:
    (folder,) = studies.shipped().values()
    result = study_result.read_result(folder)
    page.goto(f"{server.url}/ablate")
    page.get_by_role("heading", name=re.compile("reference|told apart|ahead of|behind")).first.wait_for()
    page.locator(".js-plotly-plot").first.wait_for()
    for cell in result["cells"]:
        page.locator("table").get_by_text(cell["title"], exact=True).first.wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    settings = [row for row in rows if row["kind"] == "setting"]
    assert len(settings) == len(result["cells"]) * len(result["measures"])
    before = traces(page)
    page.get_by_test_id("stButtonGroup").get_by_text("All", exact=True).click()
    page.wait_for_url("**measure=**")
    limit = time.monotonic() + 60
    while traces(page) == before:
        assert time.monotonic() < limit, "the figure shows the same measure"
        page.wait_for_timeout(100)


def test_the_lesson_follows_its_slider(server, page) -> None:
    page.goto(f"{server.url}/learn")
    record, _ = learn_view.lesson(learn_view.LESSON)
    slider = page.locator("input[type=range]")
    slider.focus()
    for _ in range(20):
        slider.press("ArrowRight")
    page.wait_for_url("**w=2**")
    at = record["scales"].index(2.0)
    for model in ("exact", "trained"):
        share = f"{100 * record['figures'][model]['recognised'][0][at]:.0f}"
        page.locator(".chart").first.get_by_text(re.compile(rf"^{share}\b")).first.wait_for()
    page.get_by_role("button", name="B by day").click()
    page.wait_for_url("**asked=B**")


def test_a_link_brings_colours_and_layer_to_a_fresh_browser(server, browser, page) -> None:
    page.goto(f"{server.url}/explore?run=digits")
    wait_for_map(page)
    choose(page, "Colour by", "Right or wrong")
    page.wait_for_url("**colour=correctness**")
    layer = page.get_by_role("slider", name="Layer")
    layer.focus()
    layer.press("ArrowLeft")
    page.wait_for_url("**layer=**")
    latents = page.locator(".map")
    every = latents.get_attribute("data-points")
    page.locator("[aria-label='Only inverted']").click()
    page.wait_for_url("**conditions=inverted**")
    expect(latents).not_to_have_attribute("data-points", every)
    count = latents.get_attribute("data-points")
    legend = page.locator(".legend").first.inner_text()
    assert "taken for another" in legend
    fresh = opened(browser)
    fresh.goto(page.url)
    wait_for_map(fresh)
    expect(fresh.locator(".map")).to_have_attribute("data-points", count)
    assert fresh.locator(".legend").first.inner_text() == legend and fresh.url == page.url
    points = projection.load_points(runs.find_run("digits"))
    assert 0 < int(count) < len(points)
    fresh.context.close()


def test_a_server_for_looking_only_starts_nothing(browser, page, tmp_path: Path) -> None:
    """Every button of every page is pressed, but those that lead to a file."""
    server = Server(tmp_path, GELDA_READONLY="1")
    pressed = 0
    try:
        for where in ("", "data", "latents", "generate", "ablate", "explore?panel=edit", "explore?panel=maps",
                      "explore?panel=scrubber&noise=3", "results"):  # fmt: skip
            page.goto(f"{server.url}/{where}")
            page.get_by_role("heading").first.wait_for()
            settle(page)
            buttons = page.locator("[data-testid=stMain] [data-testid=stButton] button:enabled")
            for label in buttons.all_inner_texts():
                found = buttons.filter(has_text=label)
                if found.count():
                    found.first.click()
                    pressed += 1
                    settle(page)
            assert not buttons.filter(has_text=re.compile("^(Drop|Draw|Make|Encode|Start|Run)")).count()
    finally:
        server.stop()
    assert pressed > 0
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["server.log"]
