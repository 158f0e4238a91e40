"""Which data: a path, an upload or a demo, and how they are read; all of it in the URL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import streamlit as st
from pydantic import ValidationError

from app import sources, state, widgets
from app.fields import settings
from gelda import datasets, runs, uploads
from gelda.datasets.options import Columns, SourceOptions
from gelda.errors import UserError

OWN = {name for reader in datasets.READERS.values() for name in reader.own}
COLUMNS = tuple(f"columns.{name}" for name in Columns.model_fields)
VIEW = ("part", "class", "subdomain", "more")  # what is looked at of the data before
UPLOADS = ("zip", "npz", "safetensors", "parquet", "csv", "tsv", "jsonl", "json", "txt")


def asked() -> tuple[str, SourceOptions]:
    """The data in the URL, or handed over by another page, and how they are read."""
    state.bind("source", "")
    state.bind("reader", "auto", ["auto", *datasets.READERS])
    state.bind("options", "")
    return state.value("source").strip(), _options(state.value("options"), state.value("reader"))


def query(path: str, options: SourceOptions) -> dict[str, str]:
    """The same as parameters of a link."""
    given = _text(options.model_dump(mode="json", exclude_defaults=True, exclude={"reader"}))
    parts = {"source": path, "reader": options.reader, "options": given}
    return {name: value for name, value in parts.items() if value and value != "auto"}


def _options(text: str, reader: str) -> SourceOptions:
    try:
        values = json.loads(text) if text else {}
        return SourceOptions(**{**values, "reader": reader})
    except (ValueError, TypeError, ValidationError) as error:
        raise UserError(
            f"The address holds options that are none ({error}): choose the data again."
        ) from error


def _text(values: dict[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False) if values else ""


def choose(path: str) -> None:
    """Look at other data; the options of those before do not hold for them."""
    state.put("source", path)
    state.put("reader", "auto")
    _other()


def _other() -> None:
    state.put("options", "")
    state.drop(*VIEW)


def chooser(empty: bool) -> None:
    """The line of widgets that says which data."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Folder, list, table, manifest or latents", key=state.key("source"), on_change=_other,
            placeholder="/data/pictures, train.txt, items.csv, manifest.jsonl, latents.npz …",
        )  # fmt: skip
        titles = {"auto": "Recognise it", **{name: spec.title for name, spec in datasets.READERS.items()}}
        st.selectbox("Kind of data", list(titles), key=state.key("reader"), format_func=titles.get, width=230)
        if not runs.readonly():
            _upload()
        if not empty:
            with st.popover("Demos"):
                demos()
            st.button("Read again", on_click=sources.again, help="After files were added or changed.")


def demos() -> None:
    """What ships, one click each."""
    for name, spec in datasets.DATASETS.items():
        st.button(spec.title, key=f"demo-{name}", on_click=choose, args=(name,))
        widgets.note(spec.note)


def _upload() -> None:
    times = st.session_state.get("_uploads", 0)  # a new key closes the popover and forgets the file
    with st.popover("Upload", key=f"uploads-{times}"):
        given = st.file_uploader(
            "A zip of pictures or recordings, a small table, or latents", UPLOADS, key=f"upload-{times}",
            max_upload_size=uploads.LIMIT // 2**20,
        )  # fmt: skip
        widgets.note(uploads.RULES)
        refused, why = st.session_state.get("_refused", ("", ""))
        if given is None:
            return
        if given.file_id == refused:
            widgets.warn(why)
            return
        try:
            with st.spinner("Unpacking"):
                kept, left_out = uploads.keep(given.name, given.getbuffer())
        except UserError as error:
            st.session_state["_refused"] = (given.file_id, str(error))
            st.rerun()
        st.session_state["_uploads"], st.session_state["_left_out"] = times + 1, (str(kept), left_out)
        state.drop("source", "reader", "options", *VIEW)
        state.carry("source", str(kept))
        st.query_params.clear()
        st.rerun()


def left_out(path: str) -> list[tuple[str, str]]:
    """What of the zip that was uploaded as `path` was not unpacked, with the reason."""
    kept, problems = st.session_state.get("_left_out", ("", []))
    return [(problem.item, problem.reason) for problem in problems] if kept == path else []


def fields(reader: str) -> tuple[str, ...]:
    """Options that say something about data of one kind; all of them where the kind is not known."""
    own = datasets.READERS[reader].own if reader in datasets.READERS else OWN
    return tuple(n for n in SourceOptions.model_fields if n != "reader" and (n not in OWN or n in own))


def options_form(path: str, options: SourceOptions, classes: Sequence[str], wanted: bool) -> None:
    """How the data are read, open where it is `wanted`; applied together, so nothing is read halfway."""
    changed = options.model_dump(exclude_defaults=True, exclude={"reader"})
    said = f"Read them differently ({len(changed)} changed)" if changed else "Read them differently"
    reader = datasets.recognised(path) if options.reader == "auto" else options.reader
    named = {"classes": classes} if classes else None
    prefix = f"read-{path}-{_text(changed)}"  # what was typed for other data, or before, is not for these
    with st.expander(said, expanded=wanted), st.form(prefix, border=False):
        shown = fields(reader)
        plain = [name for name in shown if name != "columns"]
        new = {}
        if "columns" in shown:
            st.markdown("**What the table calls its columns**")
            new = settings(COLUMNS, options, prefix=prefix, across=4)
            st.markdown("**What is made of them**")
        new |= settings(plain, options, named, prefix=prefix, across=4)
        if st.form_submit_button("Read with these"):
            merged = options.model_dump() | new
            merged["columns"] = options.columns.model_dump() | new.get("columns", {})
            state.put("options", query(path, SourceOptions(**merged)).get("options", ""))
            st.rerun()
