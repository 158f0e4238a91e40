"""What the data call their axes, and which cells have nothing, in a sentence on Data and on Explore."""

from __future__ import annotations

import json
from pathlib import Path

import app_fixtures as fixtures
import numpy as np
import pytest
from test_pages import open_page, text, warnings

from app import data_charts, missing
from gelda import datasets, ready
from gelda.artifacts import read_json, write_json

EMOTIONS, LANGUAGES = ("neutral", "happiness", "sadness", "anger"), ("German", "Polish", "English")


def sentence(counts: list[list[int]], **how: str) -> str:
    return missing.sentence(np.array(counts), EMOTIONS, LANGUAGES, "clip", "emotion", **how)


@pytest.mark.parametrize(
    "empty, said",
    [
        ([], ""),
        ([(3, 1)], "Polish: anger has no clip."),
        ([(1, 0), (2, 0), (3, 0)], "German: happiness, sadness and anger have no clip."),
        ([(c, 0) for c in range(4)], "German: every emotion has no clip."),
        ([(1, 0), (2, 1), (3, 1)], "No clip – German: happiness; Polish: sadness and anger."),
    ],
)
def test_what_is_missing_is_named(empty: list[tuple[int, int]], said: str) -> None:
    counts = np.full((4, 3), 5)
    for cell in empty:
        counts[cell] = 0
    assert sentence(counts.tolist()) == said


def test_many_gaps_are_counted() -> None:
    counts = np.ones((10, 9), int)
    counts[0] = 0
    names = [f"n{k}" for k in range(10)]
    assert missing.sentence(counts, names, names[:9], "item", where="in training") == (
        "9 of 90 cells have no item in training."
    )
    counts = np.ones((10, 2), int)
    counts[1:, 0] = 0
    assert missing.sentence(counts, names, names[:2], "item") == "n0: 9 classes have no item."
    assert missing.sentence(counts[:, :1], names, names[:1], "item") == "", "one subdomain has no grid"


def test_an_empty_cell_of_the_heat_map_is_marked() -> None:
    counts = np.array([[30, 2], [4, 0]])
    figure = data_charts.counts(counts, ("a", "b"), ("x", "y"), "clip", "light")
    assert [note.text for note in figure.layout.annotations].count("no clip") == 1
    dashed = [shape for shape in figure.layout.shapes if shape.line.dash == "dash"]
    assert len(dashed) == 1 and (dashed[0].x0, dashed[0].y0) == (1 - 0.47, 1 - 0.44)


@pytest.mark.parametrize("name", datasets.DATASETS)
def test_a_demo_names_its_axes(name: str) -> None:
    source = datasets.open_demo(name)
    assert source.axes == datasets.get(name).axes and len(source.axes) == 2


def test_an_emobox_manifest_speaks_of_emotions_and_languages(tmp_path: Path) -> None:
    lines = [
        {"key": f"{e}{k}", "wav": f"{e}{k}.wav", "emo": e, "language": lang, "spk": str(k)}
        for e in ("sad", "happy") for k, lang in enumerate(("German", "Polish"))
    ]  # fmt: skip
    from media_fixtures import recording

    for line in lines:
        recording(tmp_path / line["wav"])
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = datasets.open_source(str(tmp_path / "m.jsonl"), datasets.SourceOptions())
    assert source.axes == ("emotion", "language")


@pytest.mark.parametrize(
    "info, axes",
    [
        ({}, ("class", "subdomain")),
        ({"axes": ["emotion", "language"]}, ("emotion", "language")),
        ({"source": "speech"}, ("emotion", "language")),
        ({"axes": ["<b>", "language"]}, ("class", "subdomain")),
        ({"axes": "emotion"}, ("class", "subdomain")),
        ({"axes": [1, 2, 3]}, ("class", "subdomain")),
    ],
)
def test_a_banks_axes_are_read_or_made_plain(info: dict, axes: tuple[str, str]) -> None:
    assert ready._axes(info) == axes


def test_explore_names_what_is_missing_in_the_datas_own_words(workspace: Path) -> None:  # noqa: F811
    path = fixtures.make_comparison(workspace, points=True, media="audio")
    write_json(path / "meta.json", {**read_json(path / "meta.json"), "axes": ["emotion", "language"]})
    page = open_page("explore")
    assert not warnings(page)
    assert "night: bee and cat have no clip in training." in text(page)
    assert "an emotion or a language" in text(page)
    assert {"Emotions", "Languages"} <= {field.label for field in page.multiselect}
    assert "Language" in page.selectbox(key="colour").options


def test_data_speaks_the_datas_words(workspace: Path) -> None:  # noqa: F811
    page = open_page("data", source="speech")
    assert not warnings(page)
    assert page.title[0].value == "1\u202f200 clips of 5 emotions in 6 languages"
    assert [box.label for box in page.selectbox if box.key in ("class", "subdomain")] == [
        "Emotion",
        "Language",
    ]
