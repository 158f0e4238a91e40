"""A study's result as text: Markdown, CSV, JSON, and the lines of a terminal; no torch here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from gelda.errors import unknown
from gelda.report_text import interval_text, markdown_table, to_csv
from gelda.setting_words import beside, quoted
from gelda.terminal import duration

TITLES = {"unseen": "unseen cells", "tail": "tail", "uar": "UAR", "overall": "overall"}
STATES = {"waiting": "waiting", "running": "running", "failed": "failed"}


def render(result: Mapping[str, Any], form: str) -> str:
    """The whole result in a format of FORMATS."""
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    return FORMATS[form](result)


def effect_title(effect: Mapping[str, Any]) -> str:
    """ "class vector on, beside off"; an interaction names both levels."""
    parts = [beside(part["factor"], part["level"]) for part in effect["parts"]]
    if effect["kind"] == "interaction":
        return f"{' × '.join(parts)}, together beyond the sum"
    return f"{parts[0]}, beside {quoted(effect['parts'][0]['zero'])}"


def rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a setting and measure, then one an effect and measure: flat, for CSV and for figures."""
    flat = []
    for cell in result["cells"]:
        for measure in result["measures"]:
            own, pair = cell.get("figures", {}).get(measure), cell.get("paired", {}).get(measure)
            if own is None:
                continue
            flat.append(
                {
                    "kind": "setting",
                    "name": cell["name"],
                    "title": cell["title"],
                    "measure": measure,
                    **_numbers("", own),
                    **_numbers("difference_", pair),
                    "variance_ratio": cell["health"].get("variance_ratio"),
                    "seeds": len(own["seeds"]),
                    "seconds": cell["seconds"],
                }
            )
    for effect in result["effects"]:
        for measure, value in effect["figures"].items():
            title = effect_title(effect)
            flat.append(
                {
                    "kind": effect["kind"],
                    "name": "",
                    "title": title,
                    "measure": measure,
                    **_numbers("difference_", value),
                }
            )
    return flat


def _numbers(prefix: str, value: Mapping[str, Any] | None) -> dict[str, Any]:
    low, high = value["ci95"] if value else (None, None)
    return {f"{prefix}mean": value["mean"] if value else None, f"{prefix}low": low, f"{prefix}high": high}


def _markdown(result: Mapping[str, Any]) -> str:
    measures = result["measures"]
    seeds, reference = len(result["seeds"]), _title(result, result["reference"])
    lines = [f"# {result['title']}", "", result["question"], "", f"**{result['headline']}**", ""]
    lines += [
        f"Dev items, {seeds} seed{'s' if seeds > 1 else ''}; accuracies in percent, differences to "
        f"“{reference}” in points with 95 % intervals.",
        "",
    ]
    changes, table = [f"Δ {TITLES[m]}" for m in measures], []
    for cell in result["cells"]:
        if cell["state"] != "done":
            said = cell["error"] or STATES[cell["state"]]
            table.append([cell["title"], said, *[""] * (2 * len(measures) - 1)])
            continue
        means = [f"{cell['figures'][m]['mean']:.1f}" for m in measures]
        pairs = [interval_text(cell["paired"][m], signed=True) if "paired" in cell else "" for m in measures]
        table.append([cell["title"], *means, *pairs])
    lines += markdown_table(["setting", *[TITLES[m] for m in measures], *changes], table)
    if result["effects"]:
        found = [[effect_title(e), *[interval_text(e["figures"][m], signed=True) for m in measures]]
                 for e in result["effects"]]  # fmt: skip
        lines += ["", *markdown_table(["effect", *changes], found)]
    lines += ["", *[f"- {note}" for note in result["notes"]]]
    return "\n".join([*lines, "", f"Made by `{result['command']}`.", ""])


def _title(result: Mapping[str, Any], name: str) -> str:
    return next(cell["title"] for cell in result["cells"] if cell["name"] == name)


def _csv(result: Mapping[str, Any]) -> str:
    flat = rows(result)
    names = list(dict.fromkeys(name for row in flat for name in row)) or ["kind"]
    return to_csv(pd.DataFrame(flat, columns=names, dtype=object))  # as they are: whole numbers have no point


def _json(result: Mapping[str, Any]) -> str:
    return json.dumps(result, indent=1) + "\n"


FORMATS: dict[str, Callable[[Mapping[str, Any]], str]] = {"md": _markdown, "csv": _csv, "json": _json}


def show(result: Mapping[str, Any]) -> None:
    """The table, the headline and the notes on the terminal."""
    from rich.table import Table

    from gelda.terminal import new_console

    console = new_console()
    measures = result["measures"]
    if measures:
        reference = _title(result, result["reference"])
        table = Table(
            title=f"{result['title']}: dev items, % and difference to “{reference}” with 95 % intervals",
            title_justify="left",
        )
        table.add_column("setting")
        for measure in measures:
            table.add_column(TITLES[measure], justify="right")
        for cell in result["cells"]:
            if cell["state"] != "done":
                table.add_row(cell["title"], cell["error"] or STATES[cell["state"]])
                continue
            texts = []
            for m in measures:
                pair = f"\n{interval_text(cell['paired'][m], signed=True)}" if "paired" in cell else ""
                texts.append(f"{cell['figures'][m]['mean']:.1f}{pair}")
            table.add_row(cell["title"], *texts)
        if result["effects"]:
            table.add_section()
        for effect in result["effects"]:
            found = [interval_text(effect["figures"][m], signed=True) for m in measures]
            table.add_row(effect_title(effect), *found)
        console.print(table)
    console.print(result["headline"], style="bold")
    for text in result["notes"]:
        console.print(f"  {text}")
    console.print(f"{duration(result['seconds'])} in all.")
