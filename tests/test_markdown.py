"""Names and addresses that are Markdown stay text on every page: no picture is fetched, no link hides."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import app_fixtures as fixtures
import media_fixtures
import pandas as pd
import pytest
from google.protobuf.json_format import MessageToDict
from streamlit.testing.v1 import AppTest
from test_pages import open_page, read

from app import words
from app.explore_panels import PANELS

pytestmark = pytest.mark.usefixtures("workspace")

PICTURE = "![p](http://a.example/{}.png)"
# what the browser is sent and does not read as Markdown
DRAWN = ("plotly_chart", "arrow_data_frame", "bidi_component", "html", "code")
FIELDS = ("id", "formId", "rawValue", "value", "default", "placeholder", "page", "queryString")
OPTIONS = ("selectbox", "multiselect")


def raw(page: AppTest) -> list[tuple[str, ...]]:
    """Element, field and text of every Markdown of the page in which a picture is live."""
    found: list[tuple[str, ...]] = []

    def look(kind: str, field: str, value: object) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                if name not in FIELDS and not (name == "options" and kind in OPTIONS):
                    look(kind, name, inner)
        elif isinstance(value, list):
            for inner in value:
                look(kind, field, inner)
        elif isinstance(value, str) and "![" in value:
            found.append((kind, field, value))

    def walk(block) -> None:
        for child in block.children.values():
            if child.proto is not None and child.type not in DRAWN:
                look(child.type, "", MessageToDict(child.proto))
            if hasattr(child, "children"):
                walk(child)

    walk(page._tree)
    return found


@pytest.fixture
def named(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A comparison whose every name is a picture of Markdown."""
    monkeypatch.setattr(fixtures, "PETS", tuple(PICTURE.format(n) for n in ("ant", "bee", "cat")))
    monkeypatch.setattr(fixtures, "PLACES", tuple(PICTURE.format(n) for n in ("day", "night")))
    path = fixtures.make_comparison(workspace, points=True)
    for name, change in {
        "meta.json": {"axes": [PICTURE.format("kind"), PICTURE.format("axis")]},
        "run.json": {"name": PICTURE.format("run"), "error": PICTURE.format("error")},
        "report.json": {k: PICTURE.format(k) for k in ("caution", "remark")}
        | {"notes": [PICTURE.format("n")]},
    }.items():
        file = path / name
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
    own = json.loads((path / "points.json").read_text())
    first = own["layers"][0] | {"name": "first", "title": PICTURE.format("layer"), "generation_layer": False}
    own["layers"].insert(0, first)
    (path / "points.json").write_text(json.dumps(own))
    shutil.copy(path / "points" / "pool.safetensors", path / "points" / "first.safetensors")
    table = pd.read_parquet(path / "points.parquet")
    values = [PICTURE.format(i % 3) for i in range(len(table))]
    table.assign(**{PICTURE.format("column"): values}).to_parquet(path / "points.parquet")
    return path.name


@pytest.mark.parametrize(
    ("name", "query"),
    [("home", {}), ("results", {}), *(("explore", {"panel": panel}) for panel in PANELS)],
    ids=lambda v: v if isinstance(v, str) else v.get("panel", ""),
)
def test_names_of_a_run_stay_text(named: str, name: str, query: dict[str, str]) -> None:
    page = open_page(name, run=named, **query)
    assert not raw(page)
    assert not page.warning


@pytest.mark.parametrize(
    ("name", "key"),
    [("data", "source"), ("data", "options"), ("latents", "bank"), ("results", "run"), ("generate", "bank")],
)
def test_what_an_address_holds_stays_text(workspace: Path, name: str, key: str) -> None:
    value = json.dumps({PICTURE.format("o"): 1}) if key == "options" else "/" + PICTURE.format("source")
    page = open_page(name, **{key: value, "preset": "own"})
    assert not [part for part in raw(page) if "`" not in part[2]]  # a name of an option is said as code
    if name != "generate":
        assert "![p](http://a.example/" in "".join(read(w) for w in page.warning), "and it is said whole"


def test_an_error_of_a_run_stays_text(workspace: Path) -> None:
    path = fixtures.make_unfinished("failed", "failed-run", PICTURE.format("error"))
    page = open_page("results", run=path.name)
    assert [read(w) for w in page.warning] == [PICTURE.format("error")] and not raw(page)


def test_names_of_folders_stay_text(workspace: Path, tmp_path: Path) -> None:
    for name in ("![p](x.png)", "![q](y.png)"):
        media_fixtures.picture(tmp_path / "own" / "![d](z.png)" / name / "1.png")
        media_fixtures.picture(tmp_path / "own" / "![e](z.png)" / name / "2.png")
    page = open_page("data", source=str(tmp_path / "own"))
    assert page.selectbox(key="class").options[1:] == ["![p](x.png)", "![q](y.png)"] and not raw(page)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("start one with `gelda demo`.", "start one with `gelda demo`\\."),
        ("`gelda run a_b` goes on", "`gelda run a_b` goes on"),
        ("a `b", "a \\`b"),
        ("``x` ![p](u)`", "\\`\\`x` ![p](u)`"),
        ("\\`![p](u)", "\\\\\\`\\!\\[p\\]\\(u\\)"),
        ("a\n===", "a \\=\\=\\="),
        ("&lt;", "\\&lt;"),
    ],
)
def test_commands_stay_code_and_all_else_is_text(said: str, shown: str) -> None:
    assert words.markdown(said) == shown
