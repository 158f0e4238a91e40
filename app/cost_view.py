"""What a run would cost, in words, before it is started."""

from __future__ import annotations

import shutil

import streamlit as st

from app import loading, run_list, widgets, words
from gelda import costs, runs
from gelda.config import RunConfig
from gelda.errors import UserError
from gelda.paths import home
from gelda.runs import STAGES


def view(config: RunConfig) -> None:
    """Time and disk of a run, what the time rests on, and where it goes."""
    known = costs.seconds(config, costs.measured())
    total = sum(value for value, _ in known.values())
    if known:
        widgets.amount_block("Time, about", words.duration(total), _basis(known))
    else:
        widgets.note("How long it takes is not known before a run has finished here.")
    free = words.size(shutil.disk_usage(_existing()).free)
    widgets.amount_block(
        "Disk, about", words.size(costs.disk(config)), f"{free} are free where the workspace lies."
    )
    if known:
        with st.expander("Where the time goes"):
            rows = [
                f"<tr><td>{words.safe(STAGES[stage])}</td><td>{_told(value)}</td></tr>"
                for stage, (value, _) in known.items()
            ]
            widgets.table("", "<th>about</th>", rows)


def _told(value: float) -> str:
    return words.duration(value) if value else "kept from before"


def _basis(known: dict[str, tuple[float, costs.Measured]]) -> str:
    """Which runs the estimate rests on."""
    bases = {base.run: base for value, base in known.values() if value}
    here = [base for base in bases.values() if not base.shipped]
    scaled = "scaled by seeds, steps and sizes"
    if not here:
        return f"From the run that ships, on two processor cores, {scaled}: yours may be faster or slower."
    text = f"From your last {'runs' if len(here) > 1 else 'run'} on this machine, {scaled}."
    return text if len(here) == len(bases) else f"{text} What it reused, from the run that ships."


def _existing() -> str:
    folder = home()
    return str(next(p for p in (folder, *folder.parents) if p.exists()))


def compared(bank: str) -> None:
    """The time that the last comparison of these latents took, where there is one."""
    for run in runs.list_runs(limit=run_list.RECENT):
        if not run.comparison or run.status != "done":
            continue
        try:
            if loading.spec(run.path).get("bank") != bank:
                continue
            spent = sum(loading.report_of(run.path)["seconds"].values())
        except UserError:
            continue
        widgets.amount_block("The last one took", words.duration(spent), f"{run.name}, on these latents.")
        return
    widgets.note(
        "No comparison of these latents has finished here: the line under “How thorough” says what to expect."
    )
