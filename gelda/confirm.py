"""Confirm: the one way to the test half. Every look is a numbered file, written before it is taken.

Heads are trained again, before and after the edits, with the seeds that refits have. Only the first look at a
test half is a result, in whatever run of the workspace: a later one comes after a person has seen it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gelda import edits as editing
from gelda import kit as kits
from gelda.artifacts import FORMAT, locked, now, read_json, write_json
from gelda.edit_figures import dev_items, difference, title
from gelda.edits import Edits
from gelda.errors import UserError
from gelda.kit import Kit


def folder(run: str) -> Path:
    """Where a run's looks at the test half are counted."""
    return editing.folder(run) / "confirmed"


def confirmations(kit: Kit) -> list[dict[str, Any]]:
    """Every look at a run's test half, in order; one that was stopped half-way has no figures yet.

    A copy of a run and another run that holds out the same items have the same test half.
    """
    return [entry for _, entry in _looks(kit)]


def number_of(kit: Kit, state: str) -> int:
    """Which look it is, or would be, to confirm the steps of a state (`edits.state_key`)."""
    looks = confirmations(kit)
    last = max((look["number"] for look in looks), default=0)
    return next((look["number"] for look in looks if look["state"] == state), last + 1)


def confirm(kit: Kit, edits: Edits, tick: Any = lambda done, total: None) -> dict[str, Any]:
    """Freeze the steps in force and measure them on the test half, beside dev; counted, and never undone.

    The same steps again are the same look: its figures are returned. One that was killed is finished.
    """
    if not edits.active:
        raise UserError("There is nothing to confirm: make a step first.")
    if not (kit.run / kits.TEST).is_file():
        raise UserError(
            f"The run '{kit.run.name}' has no test half (kit_test.safetensors): nothing is confirmed."
        )
    state = editing.state_key(kit, edits.active)
    file, entry = _look(kit, edits, state)
    if "test" in entry:
        return entry
    from gelda.refit import Bench, seeds_of

    z, items = kits.load_test(kit.run)
    import torch

    bench = Bench(kit)
    test = bench.prepared(torch.from_numpy(z), items["subdomain"].to_numpy())
    dev = bench.z[torch.from_numpy(kit.rows("dev"))]
    seeds = seeds_of(kit)
    said: dict[tuple[str, str], list[Any]] = {}
    for number, (name, steps) in enumerate((("before", ()), ("after", edits.active))):
        applied = editing.applied(kit, steps)
        for place, seed in enumerate(seeds):
            tick(number * len(seeds) + place, 2 * len(seeds))
            head = bench.head(applied, seed)
            for half, latents in (("dev", dev), ("test", test)):
                said.setdefault((half, name), []).append(bench.predicted(head, latents))
    halves: dict[str, pd.DataFrame] = {"dev": dev_items(kit), "test": items}
    for half, rows in halves.items():
        entry[half] = difference(kit, said[half, "before"], said[half, "after"], rows)
    entry["groups"] = {half: int(rows["group"].nunique()) for half, rows in halves.items()}
    entry["standing"] = standing(entry["number"], entry.get("elsewhere", ()))
    write_json(file, entry)
    return entry


def standing(number: int, elsewhere: Sequence[str] = ()) -> str:
    """What a look at the test half may be called; elsewhere: other runs in which it was seen before."""
    if number == 1:
        return "First look at the test half: a result."
    last = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, "th")
    runs = f" (also in {', '.join(elsewhere)})" if elsewhere else ""
    return f"{number}{last} look at the test half{runs}: no longer a result, for the test half has been seen."


def _entry(file: Path) -> dict[str, Any]:
    """A look as it was written; one that cannot be read still counts."""
    unread = {"number": int(file.stem), "state": ""}
    try:
        value = read_json(file)
    except UserError:
        return unread
    return value if isinstance(value, dict) and {"number", "state"} <= value.keys() else unread


def _files(where: Path) -> list[Path]:
    """The files of looks, in order."""
    return sorted((f for f in where.glob("*.json") if f.stem.isdecimal()), key=lambda file: int(file.stem))


def _looks(kit: Kit) -> list[tuple[Path, dict[str, Any]]]:
    """Files and entries of every look at a run's test half, in order."""
    found = []
    for where in editing.folder("").glob("*/confirmed"):
        own = where == folder(kit.run.name)
        entries = [(file, _entry(file)) for file in _files(where)]
        found += [look for look in entries if own or look[1].get("half") == kit.half]
    return sorted(found, key=lambda look: look[1]["number"])


def _look(kit: Kit, edits: Edits, state: str) -> tuple[Path, dict[str, Any]]:
    """File and entry of this look: an earlier one of the same steps, or a new one that counts from now."""
    with locked(editing.folder("") / "confirm.lock"):  # two looks at once get two numbers
        looks = _looks(kit)
        for file, entry in looks:
            if entry["state"] == state:
                return file, entry
        number = max((entry["number"] for _, entry in looks), default=0) + 1
        entry = {
            "format": FORMAT,
            "run": kit.run.name,
            "half": kit.half,
            "elsewhere": sorted({e["run"] for _, e in looks if e.get("run", kit.run.name) != kit.run.name}),
            "edits": edits.name,
            "state": state,
            "main": kit.main,
            "time": now(),
            "titles": [title(step) for step in edits.active],
            "list": {**edits.as_json(), "steps": edits.as_json()["steps"][: edits.at]},
            "number": number,
        }
        file = folder(kit.run.name) / f"{number:03d}.json"
        write_json(file, entry)
    return file, entry
