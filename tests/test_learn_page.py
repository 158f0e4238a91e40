"""The lesson page: whatever the address says, it opens, and what it says is what the record holds."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from test_pages import open_page

ROOT = Path(__file__).resolve().parent.parent


def open_lesson(**query: str) -> AppTest:
    page = open_page("learn", **query)
    assert not page.warning
    return page


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))


@pytest.mark.parametrize("readonly", ["", "1"])
def test_it_opens_in_an_empty_and_in_a_read_only_workspace(readonly, monkeypatch):
    monkeypatch.setenv("GELDA_READONLY", readonly)
    page = open_lesson()
    assert "Guidance makes samples" in page.title[0].value
    assert "85 %" in page.markdown[0].value and not page.button


@pytest.mark.parametrize(
    ("given", "kept"), [("2.5", "2.5"), ("99", "6"), ("-1", "0"), ("loud", None), ("nan", None)]
)
def test_the_scale_comes_from_the_address(given, kept):
    page = open_lesson(w=given, asked="B by night")
    assert page.query_params.get("w") == kept
    assert page.query_params["asked"] == "B by night"


def test_a_cell_that_is_not_there_falls_back():
    assert "asked" not in open_lesson(asked="D by noon").query_params
