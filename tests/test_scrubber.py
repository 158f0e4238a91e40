"""The scrubber: what ships plays at once, the rest is offered, and nothing starts by itself."""

from __future__ import annotations

import json
from pathlib import Path

import app_fixtures as fixtures
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from test_pages import open_page, text, warnings

from app import selecting, way_charts
from app.drawing import Backdrop
from gelda import runs, samples
from gelda.encoders import assets

SHIPPED = assets() / "runs" / "digits"


def figures(page: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]


def buttons(page: AppTest) -> list[str]:
    return [button.label for button in page.button]


def test_the_shipped_run_plays_at_once() -> None:
    page = open_page("explore", run="digits", panel="scrubber")
    assert not warnings(page)
    found = next(f for f in figures(page) if f.get("frames"))
    assert len(found["frames"]) == 21
    assert "With guidance 3, the head takes" in found["layout"]["title"]["text"]
    assert "zero" in found["layout"]["title"]["text"], "the first cell without a training sample"


def test_guidance_and_what_is_shown_need_no_drawing() -> None:
    page = open_page("explore", run="digits", panel="scrubber", guidance="5", shown="estimate")
    assert any("With guidance 5" in f["layout"]["title"]["text"] for f in figures(page) if f.get("frames"))
    assert not any("Draw them" in label for label in buttons(page))


def test_other_settings_are_offered_and_drawn_by_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    page = open_page("explore", run="digits", panel="scrubber", from_class="seven", noise="2", steps="10")
    assert not any(f.get("frames") for f in figures(page))
    monkeypatch.setattr("gelda.jobs.spawn", lambda arguments, log: started.append(arguments))
    next(b for b in page.button if b.label.startswith("Draw them")).click().run()
    wanted = samples.SampleRequest(kind="way", start=(7, 1), seed=2, num_inference_steps=10)
    assert started == [["draw-stored", "digits", samples.key(SHIPPED, wanted)]]
    assert "goes on if you leave" in text(page) and not any("Draw them" in b for b in buttons(page))


def test_a_failed_drawing_says_why_and_is_offered_again() -> None:
    wanted = samples.SampleRequest(kind="way", start=(7, 1), seed=3)
    samples.note(SHIPPED, wanted, "failed", "The disk is full: free some space.")
    page = open_page("explore", run="digits", panel="scrubber", from_class="seven", noise="3")
    assert "The disk is full" in warnings(page)[0]
    assert any(label.startswith("Draw them") for label in buttons(page))


def test_looking_only_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GELDA_READONLY", "1")
    page = open_page("explore", run="digits", panel="scrubber", from_class="seven")
    assert "for looking only. Drawn before, with these settings: " in text(page)
    assert not any(label.startswith("Draw them") for label in buttons(page))


@pytest.mark.parametrize("readonly", ["", "1"])
def test_a_run_from_before_says_what_to_do(
    readonly: str,
    workspace: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fixtures.make_run(workspace)
    monkeypatch.setenv("GELDA_READONLY", readonly)
    page = open_page("explore", panel="scrubber")
    assert "keeps no generator" in text(page)
    assert ("Keep its generator" in buttons(page)) == (not readonly)


def test_the_selected_cell_is_offered() -> None:
    points = samples.projection.load_points(SHIPPED)
    own = (points["origin"] == "synthetic") & (points["label"] == 8) & (points["subdomain"] == 4)
    code = selecting.code(runs.read_state(SHIPPED), np.flatnonzero(own.to_numpy()))
    page = open_page("explore", run="digits", panel="scrubber", sel=code)
    take = next(b for b in page.button if "eight, inverted" in b.label and "cell" in b.label)
    take.click().run()
    shown = {box.label: box.value for box in page.selectbox}
    assert (shown["Class"], shown["Condition"]) == ("eight", "inverted")


def made(noisy: bool = True):
    rng = np.random.default_rng(0)
    ways = [
        way_charts.Way(name, name, rng.normal(size=(6, 4, 2)).astype(np.float32),
                       rng.random((6, 4)) < 0.5, np.linspace(2, 1, 6))
        for name in ("without", "w = 3")
    ]  # fmt: skip
    behind = Backdrop(rng.normal(size=(9, 2)), np.arange(9) % 3, [{"text": "a<b", "x": 0.0, "y": 0.0}])
    spread = np.linspace(1, 0, 6)
    marked = np.array([True, False, False, False])
    return ways, way_charts.figure(ways, spread, behind, 1, "one", noisy, marked, "Title", "light")


def test_the_last_frame_is_what_is_shown_first_and_every_frame_moves_the_same_traces() -> None:
    ways, figure = made()
    assert [frame.name for frame in figure.frames] == list("012345")
    for place, trace in enumerate(figure.frames[-1].traces):
        assert list(figure.data[trace].x) == list(figure.frames[-1].data[place].x)
    shown = figure.frames[2].data[3]
    np.testing.assert_allclose(shown.x, ways[1].xy[2, :, 0], atol=1e-3)
    assert shown.marker.symbol[0] == "diamond" and shown.marker.symbol[1] == "diamond-open"
    assert "a&lt;b" in {a.text for a in figure.layout.annotations}


def test_noise_fades_latents_and_estimates_stay() -> None:
    fading = [frame.data[1].opacity for frame in made()[1].frames]
    assert fading == sorted(fading) and fading[0] < 0.5 < fading[-1]
    assert len({frame.data[1].opacity for frame in made(noisy=False)[1].frames}) == 1
