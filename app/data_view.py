"""Data: what there is of every class in every subdomain, what it looks and sounds like, what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from app import (
    check_view,
    data_charts,
    items,
    missing,
    source_form,
    sources,
    state,
    widgets,
    words,
)
from app.figures import show
from gelda import datasets, runs
from gelda.datasets.hub import PREFIX
from gelda.errors import UserError

LATENTS = ("Ready latents", "An .npz of z_<layer>, y and class_names, or a bank folder that GeLDA made.")
SHOWN = {"image": 20, "audio": 6, "text": 8}  # previews at once
PAGES = Path(__file__).resolve().parent.parent / "pages"


def view() -> None:
    """The whole page."""
    path, options = source_form.asked()
    head = st.container()
    source_form.chooser(empty=not path)
    look = None
    if not path:
        _nothing_yet(head)
    else:
        try:
            look = sources.look(path, options)
        except UserError as error:
            with head:
                st.title("These data cannot be opened")
            widgets.warn(error)
        if look is None or not (look.bank or path in datasets.DATASETS):
            source_form.options_form(path, options, look.names[0] if look else (), _mendable(path, look))
    if look is not None:
        _headline(head, look, options)
        _look(look)
    with head:
        widgets.absent("these data")
    state.publish()


def _mendable(path: str, look: sources.Look | None) -> bool:
    """Whether it was something readable that could not be read: other options may do."""
    return look is None and datasets.recognised(path) != "auto" and not path.startswith(PREFIX)


def _nothing_yet(head: st.delta_generator.DeltaGenerator) -> None:
    with head:
        st.title("Which items do you have?")
        widgets.lead("Pictures, recordings or texts with a class each; or latents that were made elsewhere.")
    left, right = st.columns([0.68, 0.32], gap="large")
    with left:
        st.subheader("What is read")
        kinds = reversed(datasets.READERS.items())  # from the general to the special; demos have buttons
        forms = [(spec.title, spec.note) for name, spec in kinds if name != "demo"]
        cells = [f"<td>{words.safe(a)}</td><td>{words.safe(b)}</td>" for a, b in [*forms, LATENTS]]
        rows = "".join(f"<tr>{cell}</tr>" for cell in cells)
        st.html(f'<table class="numbers forms"><tbody>{rows}</tbody></table>')
    with right:
        st.subheader("No data at hand?")
        source_form.demos()


def finding(look: sources.Look) -> str:
    """How much there is, in one line."""
    classes, subdomains = look.names
    noun = "latent" if look.bank else words.NOUNS[look.source.media]
    kind, axis = look.source.axes
    parts = words.count(len(classes), kind, words.plural(kind))
    if len(subdomains) > 1:
        parts += f" in {words.count(len(subdomains), axis, words.plural(axis))}"
    return f"{words.count(len(look.table), noun)} of {parts}"


def _headline(head: st.delta_generator.DeltaGenerator, look: sources.Look, options: object) -> None:
    with head:
        title, action = st.columns([0.72, 0.28], gap="large", vertical_alignment="center")
        with title:
            st.title(words.escaped(finding(look)))
            widgets.note(" · ".join(words.safe(part) for part in facts(look)))
        with action:
            _action(look, options)


def facts(look: sources.Look) -> list[str]:
    source = look.source
    facts = [source.name] if source.name == look.path else [source.name, look.path]
    if source.grouped:
        groups = look.table["group"].nunique()
        facts.append(f"{words.count(groups, 'group')} (such as speakers) that a split must keep together")
    if look.bank:
        layers = [f"{name} ({width})" for name, width in look.bank.layers.items()]
        shown = ", ".join(layers) if len(layers) <= 6 else f"{layers[0]} … {layers[-1]}"
        facts.append(f"{words.count(len(layers), 'layer')}: {shown}")
    return facts


def _action(look: sources.Look, options: source_form.SourceOptions) -> None:
    """The next step: items are encoded, latents are compared."""
    if runs.readonly():
        widgets.note("This server is for looking only (GELDA_READONLY is set): it starts no jobs.")
        return
    with st.container(horizontal=True, horizontal_alignment="right"):
        if look.bank is None:
            if st.button("Encode these items", type="primary"):
                state.drop("bank")
                st.switch_page(PAGES / "latents.py", query_params=source_form.query(look.path, options))
        else:
            if st.button("Layers"):
                st.switch_page(PAGES / "latents.py", query_params={"bank": look.path})
            if st.button("Compare methods", type="primary"):
                own = {"preset": "own", "bank": look.path}
                st.switch_page(PAGES / "generate.py", query_params=own)


def _look(look: sources.Look) -> None:
    left, right = st.columns([0.56, 0.44] if look.shown else [0.8, 0.2], gap="large")
    with left:
        part = _part(look)
        label, subdomain = _chosen(look)
        table = look.counts(look.rows(part))
        noun = words.NOUNS[look.source.media]
        figure = data_charts.counts(table, *look.names, noun, st.context.theme.type, (label, subdomain))
        show(figure, "counts", on_select=_clicked)
        lacking = missing.sentence(table, *look.names, noun, look.source.axes[0])
        if lacking:
            widgets.note(f"<strong>{words.safe(lacking)}</strong>")
        _splits(look)
        check_view.remarks(look)
    with right:
        if look.shown:
            _previews(look, part, label, subdomain)
        else:
            widgets.note(
                "These latents came without their items: there is nothing to see or hear. A bank that GeLDA "
                "encodes knows them."
            )
    check_view.problems(look)


def _part(look: sources.Look) -> str:
    """Which split is counted; training where there is one: its counts are what a class is learned from."""
    parts = ["all", *look.splits]
    if len(parts) < 3:
        return "all"
    state.bind("part", "train" if "train" in parts else "all", parts, "split")
    titles = {"all": "All", "train": "Training", "valid": "Validation", "test": "Test"}
    st.segmented_control("Items counted", parts, key="part", format_func=titles.get, required=True)
    return state.value("part")


def _chosen(look: sources.Look) -> tuple[int, int]:
    """The cell in the URL by name, as numbers; -1 is all of an axis."""
    found = []
    for name, names, noun in zip(("class", "subdomain"), look.names, look.source.axes, strict=True):
        state.bind(name, "", ["", *names], noun)
        found.append(names.index(chosen) if (chosen := state.value(name)) else -1)
    return found[0], found[1]


def _clicked() -> None:
    """A click on a cell shows its items; the same widgets as by hand hold it."""
    picked = st.session_state["chart-counts"].selection.points
    if picked:
        names = st.session_state["_names"]
        label, subdomain = picked[0]["customdata"]
        state.put("class", names[0][int(label)])
        if len(names[1]) > 1:
            state.put("subdomain", names[1][int(subdomain)])
        state.put("more", 0)


def _previews(look: sources.Look, part: str, label: int, subdomain: int) -> None:
    st.session_state["_names"] = look.names
    both = st.columns(2, gap="small")
    titles = [name.capitalize() for name in look.source.axes]
    for column, key, title, names in zip(both, ("class", "subdomain"), titles, look.names, strict=True):
        if len(names) > 1:
            column.selectbox(
                words.escaped(title), ["", *names], key=state.key(key),
                format_func=lambda n, t=title: n or f"Every {t.lower()}",
            )  # fmt: skip
    rows = spread(look.table, look.rows(part, label, subdomain))
    if not len(rows):
        widgets.note("No item here: synthetic latents could be drawn for this cell.")
        return
    step = SHOWN[look.source.media]
    start = int(st.session_state.get("more", 0)) % len(rows)
    shown = look.table.iloc[rows[start : start + step]]
    captions = [_caption(look, row, label, subdomain) for row in shown.itertuples()]
    about = {"media": look.source.media, "root": look.source.root}
    found = [items.shown(about, uri) for uri in shown["uri"]]
    items.draw([(one, caption, False) for one, caption in zip(found, captions, strict=True)], about, 2)
    if len(rows) > step:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button("Others", on_click=state.put, args=("more", (start + step) % len(rows)))
            widgets.note(f"{len(shown)} of {words.count(len(rows), words.NOUNS[look.source.media])}")


def spread(table: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """Rows in an order that shows every cell early: one of each, then the second; drawn by a seed."""
    order = rows[np.random.default_rng(0).permutation(len(rows))]
    cells = table.iloc[order].groupby(["label", "subdomain"], sort=False)
    place = cells.cumcount().to_numpy()
    return order[np.lexsort((cells.ngroup().to_numpy(), place))]


def _caption(look: sources.Look, row: object, label: int, subdomain: int) -> str:
    """What is not said by the choice already."""
    classes, subdomains = look.names
    parts = [classes[row.label]] if label < 0 and len(classes) > 1 else []
    if subdomain < 0 and len(subdomains) > 1:
        parts.append(subdomains[row.subdomain])
    if not parts:
        parts.append(row.group if look.source.grouped else str(row.id).rpartition("/")[2])
    return ", ".join(parts)


def _splits(look: sources.Look) -> None:
    if not look.splits:
        return
    heads = ["", "items", *map(words.plural, look.source.axes), *(["groups"] if look.source.grouped else [])]
    body = []
    for name in look.splits:
        part = look.table.iloc[look.rows(name)]
        numbers = [len(part), part["label"].nunique(), part["subdomain"].nunique()]
        if look.source.grouped:
            numbers.append(part["group"].nunique())
        cells = "".join(f"<td>{words.thousands(n)}</td>" for n in numbers)
        body.append(f"<tr><td>{name}</td>{cells}</tr>")
    header = "".join(f"<th>{h}</th>" for h in heads)
    table = f"<thead><tr>{header}</tr></thead><tbody>{''.join(body)}</tbody>"
    st.html(f'<table class="numbers compact">{table}</table>')
