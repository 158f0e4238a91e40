"""What a person has selected on the map: pictures and sounds, table, exports."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import charts, health_view, items, joined, pictures, selecting, state, widgets, words
from app.explored import Explored
from gelda import columns, runs
from gelda.artifacts import content_key
from gelda.report_text import to_csv

STRIP = 14  # items shown
MOST = {"audio": 8}  # or so many of a kind that takes room
ACROSS = 4  # players in a row
TABLE = 2_000  # rows of the table on the page; exports hold all of them
PICTURED = 200  # of them with a picture
ROW, PICTURE_ROW = 35, 44  # pixels


def table_of(points: pd.DataFrame, rows: np.ndarray, near: np.ndarray, distance: np.ndarray,
             names: tuple[Sequence[str], Sequence[str]], axis: str) -> pd.DataFrame:  # fmt: skip
    """Selected points in words, with their nearest real training point and the columns of the data."""
    part = points.iloc[rows]
    first = near[rows, 0]
    ids = points["id"].to_numpy()
    synthetic = (part["origin"] == "synthetic").to_numpy()
    table = pd.DataFrame(
        {
            "id": part["id"].to_numpy(),
            "class": np.asarray(names[0])[part["label"]],
            axis: np.asarray(names[1])[part["subdomain"]],
            "origin": part["origin"].to_numpy(),
            "made by": joined.makers(part),
            "split": part["split"].to_numpy(),
            "filter": np.where(synthetic, joined.standing(part), ""),
            "nearest real": np.where(first >= 0, ids[np.maximum(first, 0)], ""),
            "distance": np.round(distance[rows, 0], 3),
        }
    )
    for name in columns.own(points):
        title = columns.title(name)
        column = part[name].reset_index(drop=True)
        whole = columns.kind(column) == "number" and (column.dropna() % 1 == 0).all()
        table[f"{title} (column)" if title in table else title] = column.astype("Int64") if whole else column
    return table


def view(explored: Explored) -> None:
    """The selection in words and figures, or how to select where nothing is."""
    run, points, rows, meta = explored.run, explored.points, explored.selected, explored.meta
    names = explored.classes, explored.subdomains
    things = items.thing(meta)
    if not len(rows):
        st.subheader("Select points to read them")
        widgets.note(
            "Press <b>Lasso</b> or <b>Box</b> and draw around points (or hold shift and drag), click one, or "
            "search. A synthetic "
            f"latent cannot be turned back into {words.article(items.thing(meta, 1))}; its nearest real "
            f"{things} stand in."
        )
        return
    near, distance = explored.neighbours
    made = int(explored.synthetic[rows].sum())
    kinds = f"{words.thousands(len(rows) - made)} real, {words.thousands(made)} synthetic"
    st.subheader(f"{words.count(len(rows), 'point')} selected: {kinds}")
    told = _edited(explored)
    if told:
        widgets.note(told)
    hidden = len(rows) - len(explored.rows)
    if hidden:
        widgets.note(
            f"{words.thousands(hidden)} of them {'is' if hidden == 1 else 'are'} hidden by the filters."
        )
    if items.kind(meta):
        _show(points, rows, (near, distance), names, meta)
    health_view.view(explored)

    def table(some: np.ndarray) -> pd.DataFrame:
        return table_of(points, some, near, distance, names, explored.axis)

    # what was made is what one looks for: it stands first, where the table ends before the selection does
    first = explored.selected[np.argsort(~explored.synthetic[explored.selected], kind="stable")][:TABLE]
    _table(explored, table(first), first, near[:, 0])
    _exports(run, lambda: table(rows))


def _edited(explored: Explored) -> str:
    """What edits made of the selection, and what they dropped of it; "" where nothing."""
    rows, told = explored.selected, []
    if explored.made:
        made = int((rows >= explored.made.first).sum())
        told.append(f"{words.thousands(made)} made by edits" if made else "")
    dropped = int(explored.dropped[rows].sum())
    told.append(f"{words.thousands(dropped)} dropped by edits" if dropped else "")
    said = " and ".join(filter(None, told))
    return f"Of the synthetic ones, {said}." if said else ""


def _show(points: pd.DataFrame, rows: np.ndarray, neighbours: tuple[np.ndarray, np.ndarray],
          names: tuple[Sequence[str], Sequence[str]], meta: dict[str, Any]) -> None:  # fmt: skip
    """What some of the points look or sound like; nearest real items stand in for synthetic latents."""
    near, distance = neighbours
    synthetic = (points["origin"] == "synthetic").to_numpy()
    thing, things = items.thing(meta, 1), items.thing(meta)

    def cell(row: int) -> str:
        return words.cell(points.iloc[row], *names)

    figures: list[tuple[int, str, bool]] = []  # row of a real item, caption, whether it stands in
    if len(rows) == 1 and synthetic[rows[0]]:
        (row,) = rows
        (method,) = joined.makers(points.iloc[[row]])
        widgets.note(
            f"Synthetic latent for {words.cell(points.iloc[row], *names, mark=True)}, made by "
            f"{words.safe(method)}; its nearest real {things}, with their distance in latent space:"
        )
        pairs = zip(near[row], distance[row], strict=True)
        figures = [(r, f"{cell(r)}, at {far:.1f}", True) for r, far in pairs if r >= 0]
    else:
        most = MOST.get(items.kind(meta), STRIP)
        chosen = charts.stratified(points, rows, most)
        for row in chosen:
            if not synthetic[row]:
                figures.append((row, cell(row), False))
            elif near[row, 0] >= 0:
                figures.append((near[row, 0], f"{cell(near[row, 0])}, near a latent for {cell(row)}", True))
        said = f"{len(chosen)} of {len(rows)}, spread over the cells. " if len(chosen) < len(rows) else ""
        if synthetic[chosen].any():
            said += f"Dashed: the real {thing} that is nearest to a synthetic latent."
        widgets.note(said)
    shown = [(items.shown(meta, points["uri"].iloc[row]), caption, made) for row, caption, made in figures]
    items.draw(shown, meta, ACROSS)


def _table(explored: Explored, table: pd.DataFrame, rows: np.ndarray, near: np.ndarray) -> None:
    """The points `rows` with their pictures; ticked ones can become the selection, or leave it."""
    shown, every = table, len(explored.selected)
    synthetic = explored.synthetic[rows]
    real = np.where(synthetic, near[rows], rows)[:PICTURED]
    small = pictures.thumbnails(explored.run.path, real)
    config, width = {}, ROW
    if any(small):
        seen = pd.Series(small + [None] * (len(shown) - len(small)), dtype=object)
        shown = shown.assign(item=seen.to_numpy())[["item", *table.columns]]
        note = "of a synthetic latent, its nearest real one" if synthetic.any() else None
        config = {
            "item": st.column_config.ImageColumn(items.thing(explored.meta, 1), help=note, width="small")
        }
        width = PICTURE_ROW
    actions = st.container(horizontal=True, vertical_alignment="center")
    event = st.dataframe(
        shown, hide_index=True, column_config=config, row_height=width, on_select="rerun",
        height=min(420, 38 + width * len(shown)), selection_mode="multi-row",
        key=f"table-{content_key(rows.tolist())}",
    )  # fmt: skip
    ticked = rows[[row for row in event.selection.rows if row < len(rows)]]
    with actions:
        _ticked(explored, ticked)
    if every > TABLE:
        widgets.note(f"{words.thousands(TABLE)} rows; the files hold all {words.thousands(every)}.")


def _ticked(explored: Explored, rows: np.ndarray) -> None:
    """What can be done with rows ticked in the table."""
    if not len(rows):
        widgets.note("Tick rows to go on with them alone, or to take them out.")
        return
    run, these = explored.run.id, "this one" if len(rows) == 1 else f"these {len(rows)}"
    for label, by in ((f"Only {these}", "replace"), (f"Without {these}", "remove")):
        st.button(label, on_click=selecting.pick, args=(run, rows, "table", by))
    if len(rows) == 1:
        st.button("Its nearest neighbours", on_click=_go_on, args=(str(explored.points["id"].iloc[rows[0]]),))


def _go_on(point: str) -> None:
    state.put("point", point)
    state.put("panel", "neighbours")


def _exports(run: runs.RunState, table: Callable[[], pd.DataFrame]) -> None:
    """Files of all that is selected: made when asked for, not on every run of the script."""

    def parquet() -> bytes:
        buffer = io.BytesIO()
        table().to_parquet(buffer, index=False)
        return buffer.getvalue()

    def ids() -> str:
        return "\n".join(table()["id"].astype(str)) + "\n"

    name = f"{run.id}-selection"
    with st.container(horizontal=True):
        for label, suffix, mime, make in (
            ("CSV", "csv", "text/csv", lambda: to_csv(table())),
            ("Parquet", "parquet", "application/octet-stream", parquet),
            ("Ids", "txt", "text/plain", ids),
        ):
            st.download_button(label, make, f"{name}.{suffix}", mime, on_click="ignore")
