"""A plan over a person's own files: what it needs, what it would take, and its start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import run_list, state, widgets, words
from gelda import runs
from gelda.encoders import ENCODERS
from gelda.plans import PLANS, Place, Plan

if TYPE_CHECKING:
    from gelda.plan_runs import Look

KNOWN = {"found": "", "listed": " (lines of the lists)", "published": " (published counts)"}


def view(left: DeltaGenerator, right: DeltaGenerator) -> None:
    """What is asked on the left; what it takes, and the start, on the right."""
    from gelda import plan_runs  # it imports torch, which a cold page does not wait for

    with left:
        state.bind("plan", next(iter(PLANS)), list(PLANS))
        name = st.selectbox("Benchmark", list(PLANS), key="plan", format_func=lambda n: PLANS[n].title)
        plan = PLANS[name]
        widgets.note(words.safe(plan.note))
        state.bind("data", "")
        data = st.text_input(
            "Folder of the data", key="data", placeholder="/path/to/data",
            help="On the machine that runs GeLDA. Nothing in it is changed.",
        ).strip()  # fmt: skip
        offered = [plan.encoder, *(n for n, spec in ENCODERS.items() if spec.media == plan.media)]
        state.bind("by", plan.encoder, offered)
        encoder = st.selectbox("Encoder", offered, key="by", format_func=_titled)
        own = f"{encoder}, the benchmark’s own." if encoder == plan.encoder else ENCODERS[encoder].note
        widgets.note(words.safe(own))
        with st.expander("What has to be in the folder", expanded=not data):
            _needs(plan)
    with right:
        own = "" if encoder == plan.encoder else encoder
        found = plan_runs.find(name, data, own) if data else None
        if not data:
            widgets.note("Name the folder of the data: what the plan would take is then looked up.")
        elif found is not None and found.state == "running":
            st.fragment(_waiting, run_every=1)(name, data, own)
        else:
            _outcome(name, data, own, found)


def _outcome(name: str, data: str, encoder: str, found: Look | None) -> None:
    from gelda import plan_runs

    if found is not None and found.state == "failed":
        widgets.warn(found.message)
    if found is not None and found.state == "done":
        _takes(found.found)
    if runs.readonly():
        widgets.note("This server is for looking only (GELDA_READONLY is set): it starts no jobs.")
        return
    able = found is not None and found.state == "done" and startable(found.found)
    label = "What would it take?" if found is None or found.state == "failed" else "Look again"
    with st.container(horizontal=True):
        start = able and st.button("Encode and compare", type="primary")
        look = st.button(label, type="secondary" if able else "primary")
    if start:
        with st.spinner("Checking"):
            run_list.attempt(plan_runs.start_plan, name, data, encoder)
    if look:
        run_list.attempt(plan_runs.start_look, name, data, encoder)
    if able:
        widgets.note("It stands in the line as one run. Started again, it goes on where it was.")
        run_list.waits()


def startable(found: dict[str, Any]) -> bool:
    """Whether everything that the plan needs is here."""
    return not (found["missing"] or found["problem"]) and bool(found["encoder"]["here"])


def _waiting(name: str, data: str, encoder: str) -> None:
    from gelda import plan_runs

    found = plan_runs.find(name, data, encoder)
    if found is None or found.state != "running":
        st.rerun()
    widgets.note("Looking at the data, and trying the encoder on a few items …")


def _takes(found: dict[str, Any]) -> None:
    """Items, time, disk; what is missing, and where people get it."""
    items, seconds = found["items"], [stage["seconds"] for stage in found["stages"]]
    classes = words.count(found["classes"], "class", "classes")
    subdomains = words.count(found["subdomains"], "subdomain")
    st.subheader(f"{words.count(items['total'], 'item')}{KNOWN[items['known']]}, {classes}, {subdomains}")
    for line in (found["problem"], *(f"Missing: {line}" for line in found["missing"])):
        if line:
            widgets.warn(line)
    if not found["encoder"]["here"]:
        widgets.warn(f"The weights of {found['encoder']['name']} are not on this machine.")
    _places([Place(**place) for place in (*found["places"], *found["weights"])])
    if None in seconds:
        widgets.note("How long it takes is not known before the encoder’s weights are here.")
    else:
        widgets.amount_block("Time, about", words.duration(sum(seconds)), f"On {found['device']}.")
        with st.expander("Where the time goes"):
            for stage in found["stages"]:
                took = words.duration(stage["seconds"])
                told = f"{stage['stage'].capitalize()} {stage['what']}: {took}"
                widgets.note(words.safe(f"{told}, {stage['how']}."))
    needed = found["stages"][0]["bytes"]
    if needed is not None:
        free = words.size(found["free_bytes"])
        short = " That is too little." if needed > found["free_bytes"] else ""
        widgets.amount_block("Disk for the latents", words.size(needed), f"{free} are free.{short}")
    for said in (found["encoder"]["caution"], found["start"]):
        if said:
            widgets.note(words.safe(said))


def _needs(plan: Plan) -> None:
    rows = [
        f"<td>{words.safe(pattern)}</td><td>{words.safe(what)}</td>" for pattern, what in plan.needs.items()
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    st.html(f'<table class="numbers compact forms"><tbody>{body}</tbody></table>')
    _places(plan.places)


def _places(places: Any) -> None:
    for place in places:
        what = place.what[:1].upper() + place.what[1:]
        widgets.note(
            f'{words.safe(what)}: <a href="{words.safe(place.url)}" target="_blank" rel="noopener">'
            f"{words.safe(place.url)}</a> ({words.safe(place.terms)})"
        )


def _titled(name: str) -> str:
    return ENCODERS[name].title if name in ENCODERS else name
