"""Confirm: the one way to the test half. Every look is a numbered file, written before it is taken.

Heads are trained again, before and after the edits, with the seeds that refits have. Only the first look of a
run is a result; a later one comes after a person has seen the test half.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from gelda import edits as editing
from gelda import kit as kits
from gelda.artifacts import FORMAT, now, read_json, write_json
from gelda.edit_figures import dev_items, difference, title
from gelda.edits import Edits
from gelda.errors import UserError
from gelda.kit import Kit


def folder(run: str) -> Path:
    """Where a run's looks at the test half are counted."""
    return editing.folder(run) / "confirmed"


def confirmations(run: str) -> list[dict[str, Any]]:
    """Every look at a run's test half, in order; one that was stopped half-way has no figures yet."""
    return [_entry(file) for file in _files(folder(run))]


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
    entry["standing"] = standing(entry["number"])
    write_json(file, entry)
    return entry


def standing(number: int) -> str:
    """What a look at the test half may be called."""
    if number == 1:
        return "First look at the test half: a result."
    last = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, "th")
    return f"{number}{last} look at the test half: no longer a result, for the test half has been seen."


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


def _look(kit: Kit, edits: Edits, state: str) -> tuple[Path, dict[str, Any]]:
    """File and entry of this look: an earlier one of the same steps, or a new one that counts from now."""
    where = folder(kit.run.name)
    for file in _files(where):
        entry = _entry(file)
        if entry["state"] == state:
            return file, entry
    entry = {
        "format": FORMAT,
        "run": kit.run.name,
        "edits": edits.name,
        "state": state,
        "main": kit.about["main"],
        "time": now(),
        "titles": [title(step) for step in edits.active],
        "list": {**edits.as_json(), "steps": edits.as_json()["steps"][: edits.at]},
    }
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{where} cannot be written ({error.strerror}): nothing is confirmed.") from error
    number = max((int(file.stem) for file in _files(where)), default=0)
    while True:
        number += 1
        file = where / f"{number:03d}.json"
        try:
            with open(file, "x") as new:  # two looks at once get two numbers
                json.dump({**entry, "number": number}, new)
        except FileExistsError:
            continue
        return file, {**entry, "number": number}
