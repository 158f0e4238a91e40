"""Latents: choose an encoder and its layers, see what it costs, encode in the background."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from app import bank_view, data_view, fields, run_list, source_form, sources, state, widgets, words
from gelda import encoders, jobs, runs
from gelda.artifacts import read_json
from gelda.datasets import SourceOptions
from gelda.encoders.outline import Outline, outline
from gelda.errors import UserError
from gelda.extract_config import ExtractConfig
from gelda.paths import permitted

OTHER = "a model of the Hub, or in a folder"
MORE = ("device", "precision", "batch_size", "workers", "max_skipped", "out")
LAYERS = {"all": "All", "last4": "The last four", "chosen": "Chosen"}
STORES = {"float32": "32 bits", "float16": "16 bits"}
BYTES = {"float32": 4, "float16": 2}


def view() -> None:
    """The whole page: a bank, else the items to be encoded; then what is going on and what is there."""
    state.bind("bank", "")
    _arrived()
    path, options = source_form.asked()
    bank = state.value("bank")
    if bank:
        bank_view.view(bank)
    elif path:
        _encode(sources.look(path, options), options)
    else:
        st.title("What a frozen encoder sees")
        widgets.lead(
            "An encoder turns every item into latents, one vector a layer. Choose the items first; the layer "
            "is chosen here, by how well it separates the classes."
        )
        if st.button("Choose data", type="primary"):
            st.switch_page(run_list.PAGES / "data.py")
        widgets.note("None at hand? Handwritten digits and synthetic speech are there to try.")
    run_list.view("Encoding", lambda run: run.extraction and run.status != "done")
    _banks(bank or path)
    state.publish()


def _arrived() -> None:
    """Show the bank of the extraction that this person started or followed, once it is there."""
    started = st.session_state.get("_extraction")
    try:
        run = runs.read_state(runs.find_run(started)) if started else None
    except UserError:  # its folder is gone
        run = None
    if run is not None and run.status == "done":
        state.put("bank", runs.read_spec(run.path)["out"])
    if run is None or run.status not in widgets.ALIVE:
        st.session_state.pop("_extraction", None)


def _encode(look: sources.Look, options: SourceOptions) -> None:
    if look.bank is not None:
        bank_view.view(look.path)
        return
    _follow(look.path)
    st.title(f"Encode {words.escaped(data_view.finding(look))}")
    widgets.note(" · ".join(words.safe(fact) for fact in data_view.facts(look)))
    st.page_link(
        run_list.PAGES / "data.py", label="Back to the data",
        query_params=source_form.query(look.path, options),
    )  # fmt: skip
    left, right = st.columns([0.6, 0.4], gap="large")
    with left:
        name, spec = _encoder(look.source.media)
        if spec is None:
            return
        chosen = _layers(name, spec)
        with st.expander("More settings"):
            more = fields.settings(MORE, ExtractConfig(path=look.path), prefix="extract")
    values = {
        "path": look.path,
        "source": options.model_dump(mode="json", exclude_defaults=True),
        "encoder": name,
        **chosen,
        **more,
    }
    with right:
        _cost(look, name, chosen)
        _start(values)


def _follow(path: str) -> None:
    """Its end leads to the bank also where an extraction of these items was resumed, or the app restarted."""
    for run in runs.list_runs(limit=run_list.RECENT):
        if run.extraction and run.status in widgets.ALIVE and runs.read_spec(run.path).get("path") == path:
            st.session_state["_extraction"] = run.id


def _encoder(media: str) -> tuple[str, encoders.EncoderSpec | None]:
    """The encoder that was chosen, with what it says of itself; None where there is no such encoder."""
    fitting = [name for name, spec in encoders.ENCODERS.items() if spec.media == media]
    known = [*fitting, OTHER]
    state.bind("encoder", known[0])
    asked = state.value("encoder")
    listed = asked if asked in known else OTHER
    kind, typed = f"encoder-kind.{media}", f"encoder-name.{media}"  # those of other items are others
    if state.asked("encoder") or kind not in st.session_state:
        st.session_state[kind], st.session_state[typed] = listed, asked if listed == OTHER else ""
    picked = st.radio(
        "Encoder", known, key=kind,
        format_func=lambda n: encoders.ENCODERS[n].title if n in encoders.ENCODERS else n[0].upper() + n[1:],
        captions=[encoders.ENCODERS[n].note for n in fitting] + [""],
    )  # fmt: skip
    if picked == OTHER:
        name = st.text_input(
            "Hub name or folder", key=typed, placeholder=" or ".join(_examples(media)),
        ).strip()  # fmt: skip
        if not name:
            return "", None
    else:
        name = picked
    state.put("encoder", name)
    spec, problem = _known(name)
    if problem or spec is None:
        widgets.warn(problem)
        return name, None
    if spec.media != media:
        widgets.warn(f"{name} encodes {words.NOUNS[spec.media]}s, and these items are {words.NOUNS[media]}s.")
        return name, None
    if name not in encoders.ENCODERS:
        widgets.note(words.safe(spec.note))
    if spec.caution:
        widgets.note(f"<strong>{words.safe(spec.caution)}</strong>")
    return name, spec


def _examples(media: str) -> tuple[str, ...]:
    return {
        "image": ("timm/vit_base_patch16_clip_224.openai", "/models/dinov2-base"),
        "audio": ("openai/whisper-small", "/models/wavlm-large"),
        "text": ("sentence-transformers/all-MiniLM-L6-v2", "/models/bert"),
    }[media]


@st.cache_resource(max_entries=16, ttl=60, show_spinner="Looking the encoder up")
def _known(name: str) -> tuple[encoders.EncoderSpec | None, str]:
    """An encoder by name, or why there is none: kept for a minute, for the Hub is slow to say no."""
    try:
        if Path(name).expanduser().is_dir():
            permitted(name)
        return encoders.get(name), ""
    except UserError as error:
        return None, str(error)


def _layers(name: str, spec: encoders.EncoderSpec) -> dict[str, Any]:
    """Layers, pooling and width of storage, as settings of an extraction."""
    with st.container(horizontal=True, gap="medium"):
        kind = st.segmented_control(
            "Layers", list(LAYERS), default="all", key="layers-kind", format_func=LAYERS.get, required=True
        )
        pooling = st.selectbox(
            "Pooling", ["auto", *spec.poolings], key="pooling", width=170,
            help="How a layer's tokens or frames become one vector; auto is the model's own habit.",
        )  # fmt: skip
        store = st.segmented_control(
            "Stored as", list(STORES), default="float32", key="store", format_func=STORES.get, required=True
        )
    layers = str(kind)
    if kind == "chosen":
        names = list(_widths(name, "all", "auto") or {})
        if names:
            key = f"layers-names.{name}"
            layers = ",".join(st.multiselect("Layers, in depth order", names, key=key)) or "all"
        else:
            layers = st.text_input("Layers by number or name", "last4", key="layers-text") or "all"
    return {"layers": layers, "pooling": pooling, "dtype": store}


@st.cache_resource(max_entries=32, show_spinner="Looking at the encoder")
def _widths(name: str, layers: str, pooling: str) -> Mapping[str, int] | None:
    """Width of every layer that would be kept; None where saying so would mean loading a large model."""
    if name not in encoders.ENCODERS:
        return None
    encoder = encoders.ENCODERS[name].load()
    return dict(encoder.select(encoders.choose_layers(encoder.layers, layers), pooling).layers)


@st.cache_resource(max_entries=16, ttl=60, show_spinner=False)
def _outline(name: str) -> Outline:
    """Sizes by a model's config, kept for a minute: the Hub is asked for it."""
    return outline(name)


def _cost(look: sources.Look, name: str, chosen: Mapping[str, Any]) -> None:
    """Disk, and time where this machine has encoded with the same model before."""
    items, each = len(look.table), BYTES[chosen["dtype"]]
    widths = _widths(name, chosen["layers"], chosen["pooling"])
    if widths:
        layers, numbers = words.count(len(widths), "layer"), words.count(sum(widths.values()), "number")
        _disk(items * sum(widths.values()) * each, f"{words.count(items, 'item')} × {numbers} in {layers}.")
    elif (found := _outline(name)).width:
        a_layer = items * found.width * (2 if chosen["pooling"] == "mean+std" else 1) * each
        blocks = {"all": found.blocks, "last4": 4}.get(chosen["layers"])
        how = f"About, for {blocks} hidden layers." if blocks else "About, for each layer."
        _disk(a_layer * (blocks or 1), how)
    rate = _rate(name)
    if rate:
        how = f"At the {words.number(rate, 0)} a second of the last time."
        widgets.amount_block("Time", words.duration(items / rate), how)
    else:
        widgets.note(
            "How long it takes is not known before this encoder has run here; progress says it then."
        )


def _disk(size: float, how: str) -> None:
    widgets.amount_block("Disk for the latents", words.size(size), how)


def _rate(name: str) -> float | None:
    """Items a second of the last extraction with this encoder in this workspace."""
    for run in runs.list_runs(limit=run_list.RECENT):
        if run.extraction and run.status == "done" and runs.read_spec(run.path).get("encoder") == name:
            stage = next((s for s in run.stages if s.name == "extract" and s.state == "done"), None)
            if stage is not None and stage.seconds > 1:
                return stage.total / stage.seconds
    return None


def _start(values: dict[str, Any]) -> None:
    if runs.readonly():
        widgets.note("This server is for looking only (GELDA_READONLY is set): it starts no jobs.")
        return
    if st.button("Encode", type="primary", disabled="_extraction" in st.session_state):  # these are followed
        try:
            with st.spinner("Checking data and encoder"):
                run = jobs.start_extraction(values)
        except UserError as error:
            widgets.warn(error)
            return
        st.session_state["_extraction"] = run
        st.rerun()
    run_list.waits()


def _banks(shown: str) -> None:
    """Finished banks of the workspace, newest first."""
    folders = [folder for folder in sources.banks() if str(folder) != shown]
    if not folders:
        return
    st.header("Other latents of this workspace" if shown else "Latents of this workspace")
    for folder in folders[: run_list.SHOWN]:
        try:
            info = read_json(folder / "manifest.json")
            sizes = words.count(info["rows"], "latent"), words.count(len(info["layers"]), "layer")
            facts = " · ".join([info["encoder"], *sizes])
        except (UserError, KeyError, TypeError):
            continue
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.html(f"<strong>{words.safe(folder.name)}</strong><p class='note last'>{words.safe(facts)}</p>")
            st.page_link(run_list.PAGES / "latents.py", label="Open", query_params={"bank": str(folder)})
