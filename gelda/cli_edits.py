"""`gelda run --from RUN --edits FILE`: a list of edits again, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gelda.errors import UserError


def run_edits(run_id: str, file: Path | None, confirm: bool, json_file: Path | None) -> None:
    """Refit the heads of a finished run before and after every step of an edits file, and say what it did."""
    from gelda import edits as editing
    from gelda import kit as kits
    from gelda import runs, terminal
    from gelda.edit_figures import history

    if file is None:
        raise UserError(f"--from {run_id} needs --edits FILE: Explore exports one, under Edit and refit.")
    kit = kits.load(runs.find_run(run_id))
    edits = editing.read(file, kit)
    from gelda import device
    from gelda.confirm import confirm as confirmed
    from gelda.refit import refit

    device.set_threads()
    refit(kit, edits)
    result: dict[str, Any] = history(kit, edits)
    if confirm:
        result["confirmation"] = confirmed(kit, edits)
    terminal.print_edits(result)
    if json_file:
        from gelda.artifacts import write_json

        write_json(json_file, result)
        typer.echo(f"Result written to {json_file}.")


def edit_job(
    run_id: str,
    name: str,
    what: Annotated[str, typer.Option()] = "refit",
) -> None:
    """What a background job does: refit or confirm one list of edits."""
    from gelda import device
    from gelda.edit_jobs import work

    device.set_threads()
    work(run_id, name, "confirm" if what == "confirm" else "refit")
