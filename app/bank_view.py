"""A bank of latents: how well each layer separates the classes, what was skipped, and what to do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app import check_view, data_view, layer_charts, loading, run_list, sources, widgets, words
from app.figures import show
from gelda import encoders, jobs, layer_probe, runs
from gelda.artifacts import read_json
from gelda.datasets import SourceOptions
from gelda.errors import UserError
from gelda.paths import permitted


def view(path: str) -> None:
    """The bank at `path`: a folder or a file of latents."""
    look = sources.look(path, SourceOptions())
    if look.bank is None:
        raise UserError(f"{path} holds items, and no latents: encode them first, from the page Data.")
    info = _info(path)
    probe = _probe_of(look)
    file = probe.path / layer_probe.RESULT if probe is not None else None
    probed = file is not None and file.is_file() and probe.status not in widgets.ALIVE
    title, action = st.columns([0.66, 0.34], gap="large", vertical_alignment="center")
    with title:
        st.title(f"{words.escaped(data_view.finding(look))}, {words.count(len(look.bank.layers), 'layer')}")
        facts = [_encoder(info["encoder"]), f"pooling: {info['pooling']}", path] if info else [path]
        widgets.note(" · ".join(words.safe(fact) for fact in facts))
        if look.bank.note:
            widgets.note(f"<strong>{words.safe(look.bank.note)}</strong>")
    with action, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        _actions(look, probed)
    _separability(look, probe, probed)
    _left_out(info)
    real = str(permitted(path))
    run_list.view("Comparisons on these latents", lambda run: run.comparison and _bank_of(run) == real)


def _info(path: str) -> dict[str, Any]:
    """A bank folder's own account of itself; a file of latents has none."""
    file = permitted(path) / "manifest.json"
    return read_json(file) if file.is_file() else {}


def _encoder(name: str) -> str:
    spec = encoders.ENCODERS.get(name)
    return f"{spec.title}, {name}" if spec else name


def _bank_of(run: runs.RunState) -> str:
    try:
        return str(loading.spec(run.path).get("bank", ""))
    except UserError:
        return ""


def _actions(look: sources.Look, probed: bool) -> None:
    st.page_link(run_list.PAGES / "data.py", label="See the items", query_params={"source": look.path})
    if runs.readonly():
        widgets.note("This server is for looking only (GELDA_READONLY is set): it starts no jobs.")
        return
    if st.button("Compare methods", type="primary" if probed else "secondary"):
        own = {"preset": "own", "bank": look.path}
        st.switch_page(run_list.PAGES / "generate.py", query_params=own)


def _probe_of(look: sources.Look) -> runs.RunState | None:
    folder = runs.home() / "runs" / layer_probe.run_id(look.bank)
    return runs.read_state(folder) if folder.is_dir() else None


def _separability(look: sources.Look, probe: runs.RunState | None, probed: bool) -> None:
    if probe is not None and probe.status in widgets.ALIVE:
        st.fragment(_going, run_every=1)(probe.path)
    elif probe is None or probe.status != "done":
        st.subheader("Which layer?")
        read = "training items alone" if "train" in look.splits else "all items, as no split is named"
        widgets.note(
            "A linear probe and the silhouette say which layer keeps the classes apart. They read "
            f"{read} (at most {words.thousands(layer_probe.MOST)}), and take seconds a layer."
        )
        if probe is not None and probe.error:
            widgets.warn(probe.error)
        if not runs.readonly() and st.button(
            "Find out how well each layer separates the classes", type="secondary" if probed else "primary"
        ):  # fmt: skip
            run_list.attempt(jobs.start_probe, look.path)
    if probed:
        result = layer_probe.read_result(probe.path)
        show(layer_charts.separability(result, len(look.names[0]), st.context.theme.type), "separability")
        read = (
            "Test items are not read: a layer may be chosen by this."
            if "train" in look.splits
            else "The bank names no split: every item was read, also those that are tested later."
        )
        widgets.note(
            "Balanced accuracy: cross-validated, groups (speakers) stay together, classes count alike. "
            f"{read} A comparison chooses its layer by itself, on validation, unless one is named."
        )
        with st.expander("As a table"):
            rows = [{"layer": name, **figures} for name, figures in result["layers"].items()]
            st.dataframe(pd.DataFrame(rows), hide_index=True)


def _going(path: Path) -> None:
    """Progress of a probe, drawn again every second until it has ended."""
    probe = runs.read_state(path)
    if probe.status not in widgets.ALIVE:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Probing the layers")
        if st.button("Cancel", key="cancel-probe"):
            jobs.cancel(probe.id)
    widgets.progress(probe)


def _left_out(info: dict[str, Any]) -> None:
    """Items that are not in the bank, with the reason: of the source, and of the extraction."""
    rows = [(p["item"], p["reason"], "reading the data") for p in info.get("problems", [])]
    rows += [(p["uri"], p["reason"], "encoding") for p in info.get("skipped", [])]
    if rows:
        check_view.table(f"{words.count(len(rows), 'item')} left out", rows, "left-out")
    if info.get("notes"):
        with st.expander("How the data were read"):
            widgets.bullets(info["notes"])
