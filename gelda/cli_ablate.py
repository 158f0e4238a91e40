"""The command `ablate`: a study of settings, ready-made or a grid of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gelda.cli_options import Device, JsonFile, Precision, Seeds, Set, check_writable, overrides
from gelda.errors import UserError


def ablate(
    spec: Annotated[
        Path | None,
        typer.Argument(help='A JSON file with a grid: {"factors": {"sampling.weight": [0.1, 1]}}.'),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(help="A ready-made study: conditioning, guidance, weight, recipe, layer or augmenter."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the settings, the runs and the time they take, and stop.")
    ] = False,
    preset: Annotated[
        str, typer.Option(help="Where settings start: digits, or tiny for a quick look.")
    ] = "digits",
    seeds: Seeds = None,
    device: Device = "auto",
    precision: Precision = "auto",
    set_: Set = None,
    json_file: JsonFile = None,
) -> None:
    """Compare settings on dev items, one after another; the same command goes on where it was."""
    from gelda import ablation, grids, recording, runs, studies, study_result, study_text, terminal
    from gelda.artifacts import read_json, write_json
    from gelda.config import merged, resolve_config

    if json_file:
        check_writable(json_file)
    if (spec is None) == (study is None):
        raise UserError(f"Name one study: --study {', '.join(studies.STUDIES)}, or a JSON file with a grid.")
    shared: dict[str, Any] = {}
    if spec is not None:
        chosen, shared = grids.from_spec(read_json(spec), str(spec))
    else:
        chosen = studies.get(str(study))
    flags: dict[str, Any] = {"device": device, "precision": precision}
    if seeds is not None:
        flags["seeds"] = seeds
    base = resolve_config(merged(merged(shared, overrides(set_ or [])), flags), preset)
    ablation.check(chosen, base)
    if dry_run:
        found = {**studies.shape(chosen, base), "study": studies.as_json(chosen)}
        typer.echo(outlook(chosen, found))
        if json_file:
            write_json(json_file, found)
        return
    state, done = ablation.prepared(chosen, base)
    if done:
        result = study_result.read_result(state.path)
    else:
        recording.forget_cancel(state.path)
        with terminal.progress(state) as listener:
            result = ablation.execute(chosen, base, state, listener)
    study_text.show(result)
    if json_file:
        write_json(json_file, result)
        typer.echo(f"Result written to {json_file}.")
    ablation.raise_failures(result)
    typer.echo(f"Study {runs.find_run(state.id).name}: `gelda app` shows it under Ablate.")


def outlook(study: Any, found: dict[str, Any]) -> str:
    """What a dry run says."""
    from gelda.terminal import duration

    lines = [f"{study.title}. {study.question}", ""]
    for cell in study.cells:
        mark = "   compared to" if cell.name == study.reference else ""
        lines.append(f"  {cell.title}{mark}")
    return "\n".join(
        [
            *lines,
            "",
            f"{found['cells']} settings × {found['seeds']} seeds, {found['runs']} runs: "
            f"{found['generators']} generators to train; about {duration(found['seconds'])} on one idle "
            "core, an estimate from the run that ships.",
            "Ranked on dev items; test items are not read. Nothing was started.",
        ]
    )
