"""The lesson on guidance: a 2-D mixture with known densities, a scale to drag, the right answer beside it."""

from __future__ import annotations

import base64
import math
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app import components, state, widgets, words
from app.palette import theme
from gelda.artifacts import read_arrays, read_json

LESSON = widgets.ASSETS / "lessons"
STEP = 2.0**-12  # what one unit of a stored coordinate is: a point may lie within ±8

_component = components.declare("guidance", "lesson", "lessons/guidance.css", "lessons/guidance.js")


@st.cache_resource(show_spinner=False)
def lesson(folder: Path) -> tuple[dict[str, Any], str]:
    """The record of `gelda.playground`; its points [2, cells, scales, shown, 2] as base64 of int16."""
    record, arrays = read_json(folder / "guidance.json"), read_arrays(folder / "guidance.safetensors")
    points = np.stack([arrays["exact"], arrays["trained"]]).astype(np.float32)
    record["shown"] = points.shape[3]
    record["bounds"] = [round(float(np.quantile(np.abs(points[..., axis]), 0.9995)), 2) for axis in (0, 1)]
    whole = np.clip(np.round(points / STEP), -32768, 32767).astype("<i2")
    return record, base64.b64encode(whole.tobytes()).decode()


def view() -> None:
    """The whole page."""
    record, points = lesson(LESSON)
    names = [f"{c} {s}" for c in record["class_names"] for s in record["subdomain_names"]]
    most = record["scales"][-1]
    state.bind("w", "1")
    state.bind("asked", names[0], names)
    w, cell = _scale(state.value("w"), most), names.index(state.value("asked"))
    st.title("Guidance makes samples easier to recognise, and less true")
    widgets.lead(
        "Six kinds of points whose densities are known: A, B and C, by day and by night. A diffusion model "
        "is asked for one of them. <em>Guidance</em> asks louder: at every step it takes what the denoiser "
        "says with the condition, subtracts what it says without, and goes <em>w</em> times that way. Drag "
        "<em>w</em>."
    )

    def moved() -> None:
        event = st.session_state["guidance"].get("view")
        if event:
            state.put("w", f"{float(event['w']):g}")
            state.put("asked", names[int(event["cell"])])

    _component(
        key="guidance",
        data=components.numbered(
            "guidance", {**_drawn(record, names), "points": points, "w": w, "cell": cell}
        ),
        on_view_change=moved,
    )
    _text(record, names)
    state.put("w", f"{w:g}")
    state.publish()


def _scale(text: str, most: float) -> float:
    """w from the address, within what was computed; 1 for anything else."""
    try:
        value = float(text)
    except ValueError:
        return 1.0
    return round(min(max(value, 0.0), most), 2) if math.isfinite(value) else 1.0


def _drawn(record: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """What the figure needs beside the points."""
    look = theme(st.context.theme.type)
    means = np.reshape(record["means"], (-1, 2))
    covariances = np.reshape(record["covariances"], (-1, 2, 2))
    inverse = np.linalg.inv(covariances)
    below = np.tile([False, True], len(means) // 2)  # names stand outside: day above, night below
    reach = 2 * np.sqrt(covariances[:, 1, 1]) + 0.2
    labels = means + np.stack([np.zeros(len(means)), np.where(below, -reach, reach)], 1)
    return {
        "scales": record["scales"],
        "ticks": [[0, "0"], [1, "1, as learned"], *[[k, str(k)] for k in range(2, 7)]],
        "names": names,
        "order": [*range(0, len(names), 2), *range(1, len(names), 2)],
        "shown": record["shown"],
        "step": STEP,
        "bounds": record["bounds"],
        "means": means.tolist(),
        "covariances": covariances.tolist(),
        "inverses": inverse[:, [0, 0, 1], [0, 1, 1]].tolist(),
        "logs": (-0.5 * np.linalg.slogdet(covariances)[1]).tolist(),
        "labels": labels.tolist(),
        "figures": record["figures"],
        "models": [
            {"title": "A perfect denoiser", "note": "computed from the known densities", "colour": "exact"},
            {
                "title": "A small trained denoiser",
                "note": f"{words.thousands(record['items'])} training points",
                "colour": "trained",
            },
        ],
        "lines": [
            {"name": "tilted", "title": "what guidance is said to sample", "colour": "muted", "dash": "5 4"},
            {"name": "trained", "title": "trained denoiser", "colour": "trained"},
            {"name": "exact", "title": "perfect denoiser", "colour": "exact"},
        ],
        "look": {
            "name": look.name,
            "ink": look.ink,
            "muted": look.muted,
            "line": look.quiet,
            "paper": look.paper,
            "exact": look.accent,
            "trained": look.diverging[0],
        },
    }


def _text(record: dict[str, Any], names: list[str]) -> None:
    """Three paragraphs, with figures from the record, and a question whose answer is folded."""
    side, middle = 0, names.index("B by day")

    def figure(model: str, name: str, cell: int, w: float) -> float:
        return record["figures"][model][name][cell][record["scales"].index(w)]

    def percent(model: str, name: str, cell: int, w: float) -> str:
        return words.number(100 * figure(model, name, cell, w), 0)

    seen = [percent("exact", "recognised", middle, w) for w in (1.0, 2.0)]
    left = [percent("exact", "variance_ratio", cell, 2.0) for cell in (side, middle)]
    loud = [percent(model, "variance_ratio", side, 6.0) for model in ("trained", "exact")]
    moved = words.number(figure("exact", "shift", side, 2.0))
    does, breaks, trained = st.columns(3, gap="large")
    with does:
        st.subheader("What it does")
        st.markdown(
            "At w = 1 the perfect denoiser draws from the true cell. Classes overlap, so even the best "
            f"possible classifier takes only {seen[0]} % of the samples of *{names[middle]}* for B. At w = 2 "
            f"it takes {seen[1]} % of them: guidance moves samples to where no other class lies. Pictures "
            "made this way look typical, which is why image generators use it."
        )
    with breaks:
        st.subheader("What it breaks")
        st.markdown(
            f"The mean of *{names[side]}* leaves the true one, by {moved} standard deviations at w = 2, and "
            f"only {left[0]} % of the variance is left. *B*, which has neighbours on both sides, cannot flee "
            f"and collapses: {left[1]} %. The grey cloud is the density that guidance is often said to "
            "sample, p(x | cell)ʷ · p(x)¹⁻ʷ. It hardly moves. Guided steps overshoot it, with a perfect "
            "denoiser too: the guided direction at a noise level is not that density’s own "
            "([Bradley and Nakkiran 2024](https://arxiv.org/abs/2408.09000))."
        )
    with trained:
        st.subheader("What a network adds")
        st.markdown(
            "At w = 1 the small network is nearly as good as the right answer. Guidance multiplies the "
            "difference between two of its outputs, and with it whatever is wrong in them: at w = 6 it keeps "
            f"{loud[0]} % of the variance of *{names[side]}*, the perfect denoiser {loud[1]} %. With real "
            "latents no right answer stands beside it. What remains is to compare mean and variance with "
            "held-out real latents, as Results does."
        )
    st.subheader("To think about")
    st.markdown("You want synthetic samples to *train a classifier* on. Which *w* would you choose?")
    with st.expander("An answer"):
        st.markdown(
            "One, or close to it. A classifier learns from where classes meet, and guidance empties just "
            "that region: it sees *A* and *B* further apart than they are, and narrower. That samples are "
            "recognised more easily is no gain, since it is the hard ones it lacks. More variance than the "
            "class has (w below 1) gives wrong labels instead. So measure it: the study of guidance asks the "
            "same of real latents."
        )
        st.page_link(widgets.ASSETS.parent / "pages" / "ablate.py", label="Open Ablate")
    samples, scales = words.thousands(record["samples"]), len(record["scales"])
    widgets.note(
        f"Figures are of {samples} samples a cell at {scales} scales, {record['steps']} steps of "
        "DPM-Solver++, from the same noise; between two scales points are drawn on the straight line. "
        f"Made by <code>{words.safe(record['command'])}</code>."
    )
