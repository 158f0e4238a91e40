"""A session that goes on shows what a fresh one shows at the same address: nothing of before sticks."""

from __future__ import annotations

from pathlib import Path

import kit_fixtures as made
import pytest
from streamlit.testing.v1 import AppTest
from test_edit_panel import button, workspace  # noqa: F401
from test_pages import open_page

from gelda import edits, kit
from gelda.artifacts import write_json

KINDS = ("selectbox", "multiselect", "text_input", "number_input", "slider", "select_slider", "toggle",
         "radio", "segmented_control", "pills")  # fmt: skip


def shown(page: AppTest) -> list[tuple[str, str, object]]:
    """Every widget as kind, label and value."""
    return [(kind, widget.label, widget.value) for kind in KINDS for widget in getattr(page, kind)]


def as_fresh(page: AppTest, name: str = "explore") -> None:
    fresh = open_page(name, **page.query_params)
    assert shown(page) == shown(fresh)


def with_generator(run_id: str, guidance: float) -> Path:
    path = made.make_run(run_id)
    write_json(path / "generator.json", {"setting": {"guidance": guidance}, "sampling": {}})
    (path / "generator.safetensors").touch()
    return path


@pytest.mark.parametrize("panel", ["edit", "maps"])
def test_another_run_of_the_picker(panel: str) -> None:
    for name, guidance in (("first", 1.0), ("second", 2.5)):
        with_generator(name, guidance)
    page = open_page("explore", run="first", panel=panel)
    if panel == "edit":
        page.select_slider("edit_factor.first").set_value(3.0).run()
        assert {s.value for s in page.slider if s.label.endswith("guidance")} == {1.0}
    page.selectbox(key="run").set_value("second").run()
    assert page.query_params["run"] in ("second", ["second"])
    as_fresh(page)
    if panel == "edit":
        assert {s.value for s in page.slider if s.label.endswith("guidance")} == {2.5}


def test_the_step_that_is_named_is_the_one_that_is_shown() -> None:
    path = made.make_run()
    page = open_page("explore", run=made.RUN, panel="edit")
    titles = ["first", "second", "third"]
    for count, title in enumerate(titles, 1):
        button(page, "Apply").click().run()
        as_fresh(page)
        assert next(s for s in page.selectbox if s.label == "Step").value == count - 1
        next(t for t in page.text_input if t.label == "Its name").input(title)
        page.button("edit_keep_name").click().run()
        as_fresh(page)
        assert [step.title for step in edits.load(kit.load(path)).steps] == ["first", "second", "third"][
            :count
        ]
    button(page, "Undo").click().run()
    as_fresh(page)
