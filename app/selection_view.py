"""What a person has selected on the map: images, table, exports."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import loading, state, widgets, words
from gelda import report, runs

STRIP = 14  # images shown
TABLE = 2_000  # rows of the table on the page; exports hold all of them


def method_title(name: str) -> str:
    """An augmenter in words."""
    return report.METHOD_TITLES.get(name, name)


def table_of(points: pd.DataFrame, rows: np.ndarray, near: np.ndarray, distance: np.ndarray,
             names: tuple[Sequence[str], Sequence[str]], axis: str) -> pd.DataFrame:  # fmt: skip
    """Selected points in words, with their nearest real training point."""
    part = points.iloc[rows]
    first = near[rows, 0]
    ids = points["id"].to_numpy()
    synthetic = (part["origin"] == "synthetic").to_numpy()
    return pd.DataFrame(
        {
            "id": part["id"].to_numpy(),
            "class": np.asarray(names[0])[part["label"]],
            axis: np.asarray(names[1])[part["subdomain"]],
            "origin": part["origin"].to_numpy(),
            "made by": [method_title(m) if m else "" for m in part["method"]],
            "split": part["split"].to_numpy(),
            "filter": np.where(synthetic, np.where(part["kept"], "kept", "set aside"), ""),
            "nearest real": np.where(first >= 0, ids[np.maximum(first, 0)], ""),
            "distance": np.round(distance[rows, 0], 3),
        }
    )


def view(run: runs.RunState, points: pd.DataFrame, rows: np.ndarray,
         names: tuple[Sequence[str], Sequence[str]], meta: dict[str, Any]) -> None:  # fmt: skip
    if not len(rows):
        st.subheader("Select points to read them")
        widgets.note(
            "Press <b>Lasso</b> and draw around points (or hold shift and drag), or click one. "
            "A synthetic latent cannot be turned back into an image; its nearest real images stand in."
        )
        return
    near, distance = loading.neighbours(run.path)
    table = table_of(points, rows, near, distance, names, words.axis(run))
    made = int((table["origin"] == "synthetic").sum())
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(
            f"{words.count(len(rows), 'point')} selected: {len(rows) - made} real, {made} synthetic",
            width="content",
        )
        st.button("Clear", on_click=state.select, args=(run.id, [], ""))
    if loading.shown(meta):
        step = max(1, len(rows) // STRIP)
        widgets.media_strip(rows[::step][:STRIP], points, near, names)
        if len(rows) > STRIP:
            widgets.note(
                f"{STRIP} of {len(rows)}, evenly spread. Dashed: the nearest real image of a synthetic one."
            )
    st.dataframe(table.head(TABLE), hide_index=True, height=min(420, 38 + 35 * len(table)))
    if len(table) > TABLE:
        widgets.note(f"The first {TABLE} rows; the files hold all {len(table)}.")
    _exports(run, table)


def _exports(run: runs.RunState, table: pd.DataFrame) -> None:
    def parquet() -> bytes:
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        return buffer.getvalue()

    def ids() -> str:
        return "\n".join(table["id"].astype(str)) + "\n"

    name = f"{run.id}-selection"  # the files are made when asked for, not on every run of the script
    with st.container(horizontal=True):
        for label, suffix, mime, make in (
            ("CSV", "csv", "text/csv", lambda: table.to_csv(index=False)),
            ("Parquet", "parquet", "application/octet-stream", parquet),
            ("Ids", "txt", "text/plain", ids),
        ):
            st.download_button(label, make, f"{name}.{suffix}", mime, on_click="ignore")
