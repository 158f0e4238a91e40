"""`gelda run --from RUN --edits FILE`: a list of edits again, from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gelda.errors import UserError


def run_edits(run_id: str, file: Path | None, confirm: bool, json_file: Path | None) -> None:
    """Refit the heads of a finished run before and after every step of an edits file, and say what it did."""
    from gelda import edits as editing
    from gelda import kit as kits
    from gelda import runs
    from gelda.edit_figures import history

    if file is None:
        raise UserError(f"--from {run_id} needs --edits FILE: Explore exports one, under Edit and refit.")
    kit = kits.load(runs.find_run(run_id))
    edits = editing.read(file, kit)
    from gelda import device
    from gelda.confirm import confirm as confirmed
    from gelda.edit_text import sentence
    from gelda.refit import refit

    device.set_threads()
    refit(kit, edits)
    result: dict[str, Any] = history(kit, edits)
    if confirm:
        look = confirmed(kit, edits)
        result["confirmation"] = {**look, "sentence": sentence(kit, look, edits.active)}
    _print(result)
    if json_file:
        from gelda.artifacts import write_json

        write_json(json_file, result)
        typer.echo(f"Result written to {json_file}.")


def edit_job(
    run_id: str,
    name: str,
    what: Annotated[str, typer.Option()] = "refit",
    state: Annotated[str, typer.Option()] = "",
) -> None:
    """What a background job does: refit or confirm one list of edits."""
    from gelda import device
    from gelda.edit_jobs import work

    device.set_threads()
    work(run_id, name, "confirm" if what == "confirm" else "refit", state)


def _print(result: Mapping[str, Any]) -> None:
    """What each step of a list of edits did on dev, and on the test half where that was confirmed."""
    from rich.table import Table

    from gelda.terminal import new_console

    console = new_console()
    table = Table(title="Points on dev, paired, with 95 % intervals", title_justify="left")
    table.add_column("step")
    for name in ("tail", "unseen cells", "UAR", "overall", "tail, to the step before"):
        table.add_column(name, justify="right")
    wanted = ("tail", "unseen", "uar", "overall")
    for entry in result["steps"]:
        cells = [_change(entry["to_start"]["measures"].get(name)) for name in wanted]
        last = _change(entry["to_previous"].get("tail"))
        weight = f" ({entry['weight']})" if "weight" in entry else ""
        table.add_row(f"{entry['step']}. {entry['title']}{weight}", *cells, last)
    console.print(table)
    looked = result.get("confirmation")
    if looked:
        halves = [
            f"{half} {_change(looked[half]['measures'].get(looked['main']))}" for half in ("dev", "test")
        ]
        said = f"{looked['main']}: {', '.join(halves)}. {looked['standing']}"
        console.print(f"Measured on both halves, {said}", style="bold")
        console.print(f"  {looked['sentence']}")
    console.print(f"  {result['note']}")


def _change(value: Mapping[str, Any] | None) -> str:
    from gelda.report_text import interval_text

    return "–" if value is None else interval_text(value, signed=True)
