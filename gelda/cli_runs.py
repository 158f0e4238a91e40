"""The command `run`: a spec, a run that goes on, or a plan over a person's own data."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from gelda.cli_edits import run_edits
from gelda.cli_options import JsonFile, Set, check_writable, overrides
from gelda.cli_plans import run_plan
from gelda.errors import UserError, unknown


def run(
    spec: Annotated[
        Path | None, typer.Argument(help="A JSON file with settings, or a run id to resume.")
    ] = None,
    preset: Annotated[
        str, typer.Option(help="Where settings start: digits, tiny; or, of your own --data, a plan's name.")
    ] = "digits",
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of the data of a plan: imagenet-lt, emobox, pacs …; of emobox also manifests, "
            "repeatable."
        ),
    ] = None,
    encoder: Annotated[str, typer.Option(help="Another encoder than the plan's own.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved settings, or what a plan takes, and stop.")
    ] = False,
    from_: Annotated[
        str, typer.Option("--from", help="A finished run whose head is trained again under --edits.")
    ] = "",
    edits: Annotated[Path | None, typer.Option(help="A list of edits that Explore exported.")] = None,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Measure the edits on the test half too; every look is counted.")
    ] = False,
    set_: Set = None,
    json_file: JsonFile = None,
) -> None:
    """Run a spec, resume a run by its id, compare your own data by a plan, or refit a run under edits."""
    from gelda import recording, runs
    from gelda.artifacts import check_format, read_json
    from gelda.config import PRESETS, merged, resolve_config
    from gelda.plans import PLANS

    if json_file:
        check_writable(json_file)
    if from_:
        run_edits(from_, edits, confirm, json_file)
        return
    if edits or confirm:
        raise UserError("--edits and --confirm belong to a finished run: name it with --from RUN.")
    if preset not in PRESETS and preset not in PLANS:
        raise unknown("preset", preset, [*PRESETS, *PLANS])
    if preset in PLANS:
        if spec is not None:
            raise UserError(f"The preset '{preset}' takes --data DIR, not a spec: leave {spec} out.")
        run_plan(preset, data or [], encoder, overrides(set_ or []), dry_run, json_file)
        return
    if data or encoder:
        raise UserError(f"--data and --encoder belong to a plan ({', '.join(PLANS)}): name it with --preset.")
    if spec is not None and not spec.suffix and not spec.is_file():
        state = runs.read_state(runs.find_run(str(spec)))
        work = _stored(state)
        recording.refuse_going(state.path)  # whose wish to cancel must not be taken back
        recording.forget_cancel(state.path)
        _shown(work, state, json_file)
        return
    values = read_json(spec) if spec else {}
    if not isinstance(values, dict):
        raise UserError(f"{spec} is not a spec: it must hold one JSON object of settings.")
    if spec is not None and "config" in values:
        check_format(values, spec)
    given = values.get("config", values)
    if not isinstance(given, dict):
        raise UserError(f"{spec} is not a spec: its config must be one JSON object of settings.")
    config = resolve_config(merged(given, overrides(set_ or [])), preset)
    if dry_run:
        _check(config)
        typer.echo(config.model_dump_json(indent=1))
        return
    run_here(config, config.data.dataset, json_file)


def run_stored(run_id: str) -> None:
    """What a background job does: run or resume a stored run without a display."""
    from gelda import recording, runs

    state = runs.read_state(runs.find_run(run_id))
    try:
        _stored(state)(None)
    except recording.Cancelled:
        sys.exit(130)


def run_here(config: Any, demo: str, json_file: Path | None) -> str:
    from gelda import runs

    _check(config)
    state = runs.create_run(config.model_dump(mode="json"), config.name, demo)
    from gelda.pipeline import execute

    _shown(lambda listener: execute(config, state, listener), state, json_file)
    return state.id


def _check(config: Any) -> None:
    """Refuse names and devices that cannot work before a run folder exists."""
    from gelda import datasets
    from gelda.experiment_check import check_names

    check_names(config, datasets.get(config.data.dataset).manifest())


def _shown(work: Callable[[Any], dict[str, Any]], state: Any, json_file: Path | None) -> None:
    """Do a run's work with its progress on the terminal, then print its report."""
    from gelda import ablation, runs, study_text, terminal

    with terminal.progress(state) as listener:
        result = work(listener)
    shown = {
        runs.EXTRACTION: terminal.print_extraction,
        runs.PROBE: terminal.print_probe,
        runs.STUDY: study_text.show,
    }
    shown.get(state.demo, terminal.print_report)(result)
    if json_file:
        from gelda.artifacts import write_json

        write_json(json_file, result)
        typer.echo(f"{'Report' if state.reported else 'Result'} written to {json_file}.")
    if state.study:
        ablation.raise_failures(result)


def _stored(state: Any) -> Callable[[Any], dict[str, Any]]:
    """The work of a run that is to go on; what is broken or too new is refused and left as it is."""
    from gelda import ablation, compare_runs, extraction_runs, layer_probe, pipeline, runs
    from gelda.config import resolve_config
    from gelda.extract_config import resolve_extract

    if state.shipped:
        raise UserError(
            f"The run '{state.id}' ships with GeLDA and is finished: start your own with `gelda demo`."
        )
    if state.status == "broken":
        raise UserError(state.error)
    if state.comparison:
        return lambda listener: compare_runs.resume(state, listener)
    if state.study:
        study, base = ablation.stored(state)
        return lambda listener: ablation.execute(study, base, state, listener)
    if state.probe:
        return lambda listener: layer_probe.execute(state, listener)
    if state.extraction:
        extraction = resolve_extract(runs.read_spec(state.path))
        return lambda listener: extraction_runs.execute(extraction, state, listener)
    config = resolve_config(runs.read_spec(state.path))
    return lambda listener: pipeline.execute(config, state, listener)
