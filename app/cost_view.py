"""What a run would cost, in words, before it is started."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import sources, widgets, words
from gelda import costs
from gelda.compare_config import resolve_compare
from gelda.config import RunConfig
from gelda.datasets.options import SourceOptions
from gelda.errors import UserError
from gelda.paths import home
from gelda.runs import STAGES

CORRECTED = "Once it goes, its own pace corrects this."


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


def compared(values: Mapping[str, Any], effort: str) -> None:
    """Time and disk of a comparison; nothing where its latents cannot be read, which its start says."""
    from gelda import compare_costs  # it imports torch, which a cold page does not wait for

    try:
        bank = sources.look(values["bank"], SourceOptions()).bank
    except UserError:
        return
    if bank is None:
        return
    config = resolve_compare(dict(values), effort)
    found = compare_costs.estimate(config, len(bank.items.subdomain_names), bank.layers)
    how = (
        f"From “{found.name}” on this machine, scaled by trainings, steps and sizes."
        if found.run
        else "Reckoned as on one core of a server: no comparison has finished here yet."
    )
    widgets.amount_block("Time, about", words.duration(_rough(found.seconds)), f"{how} {CORRECTED}")
    free = words.size(shutil.disk_usage(_existing()).free)
    size = words.size(compare_costs.disk(config, len(bank.items.label), bank.layers))
    widgets.amount_block("Disk, about", size, f"{free} are free where the workspace lies.")


def _rough(seconds: float) -> float:
    """Without what an estimate cannot know."""
    step = 10 if seconds < 120 else 60 if seconds < 7200 else 600
    return max(step, step * round(seconds / step))
