"""The layers of a run in depth order, and how many neighbours a latent changes between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import loading, state, words
from gelda.projection import LayerInfo

TURNED = "The maps of all layers are turned and scaled to lie alike; nothing else about them is changed."
ALIGNED = "The maps of all layers are laid out together: a point keeps its place where its neighbours stay."
NAME = 128  # pixels
NAMED = 14  # steps whose figures still fit under the slider


def view(run: Any, layers: Sequence[LayerInfo], meta: dict[str, Any], aligned: bool) -> str:
    """The slider and the share of neighbours that changes at every step; returns one sentence about this one.

    aligned: the map in view is laid out with the other layers'.
    """
    if len(layers) < 2:
        return ""
    titles = {layer.name: layer.title for layer in layers}
    change = loading.neighbour_change(run.path)
    with st.container(horizontal=True, key="layers"):  # named at its side: a label over it takes a line more
        named, steps = st.container(width=NAME), st.container(width="stretch")
        named.markdown(
            "Layer", help=f"{words.escaped(meta.get('layer_reason', ''))} {ALIGNED if aligned else TURNED}"
        )
        steps.select_slider(
            "Layer", list(titles), key=state.key("layer"),
            format_func=lambda name: words.escaped(titles[name]), label_visibility="collapsed",
        )  # fmt: skip
        if not change:
            return ""
        named.html('<p class="depth-name">neighbours changed</p>')
        steps.html(_strip(change["change"], state.value("layer")))
    return sentence(change, state.value("layer"), titles)


def sentence(change: dict[str, Any], layer: str, titles: dict[str, str]) -> str:
    """What happens on the way into a layer; out of the first one."""
    steps = change["change"]
    step = next((s for s in steps if s["to"] == layer), steps[0])
    return (
        f"From {titles[step['from']]} to {titles[step['to']]} a training latent changes "
        f"{100 * step['share']:.0f} % of its {change['neighbours']} nearest neighbours."
    )


def _strip(steps: Sequence[dict[str, Any]], layer: str) -> str:
    """One bar a step, as long as the way between two stops of the slider."""
    bars = []
    for step in steps:
        on = ' class="on"' if step["to"] == layer else ""
        share = 100 * step["share"]
        text = f"{share:.0f} %" if len(steps) <= NAMED else ""
        bars.append(
            f'<div{on} title="{words.safe(step["from"])} to {words.safe(step["to"])}: {share:.0f} %">'
            f'<i style="height:{max(2, share * 0.18):.1f}px"></i><span>{text}</span></div>'
        )
    return f'<div class="depth" role="img" aria-label="Neighbours changed per step">{"".join(bars)}</div>'
