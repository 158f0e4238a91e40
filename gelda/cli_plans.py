"""`gelda run --preset` of PLANS: from a folder of data to its comparisons, or what that would take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from gelda.errors import UserError


def run_plan(
    name: str,
    data: list[Path],
    encoder: str,
    settings: dict[str, Any],
    dry_run: bool,
    json_file: Path | None,
) -> None:
    """Encode the data, then compare, each an ordinary run; the same command again goes on where it was."""
    from gelda import plan_jobs

    if not data:
        raise UserError(f"The preset '{name}' needs --data DIR, the folder that holds the data.")
    made = plan_jobs.job(name, data, encoder, settings)
    if dry_run:
        _dry(made, json_file)
        return
    source = plan_jobs.open_source(made)
    made, started_from = plan_jobs.text_start(made, source.manifest.class_names)
    for line in (made.plan.note, started_from, *source.notes):
        if line:
            typer.echo(line)
    _encode(made)
    _compare(made, json_file)


def plan_stored(name: str) -> None:
    """What a background job does: look at what a plan takes, which a page asked for."""
    from gelda.plan_runs import make_look

    make_look(name)


def _encode(made: Any) -> None:
    from gelda import extraction_runs, recording, terminal

    extraction_runs.opened(made.extract)  # a mistake is said before there is a run
    state = extraction_runs.prepared(made.extract)
    recording.forget_cancel(state.path)
    with terminal.progress(state) as listener:
        result = extraction_runs.execute(made.extract, state, listener)
    terminal.print_extraction(result)


def _compare(made: Any, json_file: Path | None) -> None:
    from dataclasses import replace
    from functools import cache

    from gelda import cli_compare
    from gelda.ready import open_bank

    bank = open_bank(made.bank)
    bank = replace(bank, load=cache(bank.load))  # read once for every comparison and target
    asked = [
        cli_compare.by_target({**values, "bank": str(made.bank)}, "default", bank)
        for values in made.comparisons
    ]
    results: dict[str, Any] = {}
    more: dict[str, Any] = {}
    for configs in asked:
        found = {target: cli_compare.one(config, bank, False) for target, config in configs.items()}
        more |= cli_compare.summed(found)
        results |= {f"{configs[t].protocol} {t or ''}".strip(): result for t, result in found.items()}
    cli_compare.write_results(json_file, results, "Report", more)


def _dry(made: Any, json_file: Path | None) -> None:
    from gelda.artifacts import write_json
    from gelda.plan_outlook import outlook

    found = outlook(made)
    for line in lines(found):
        typer.echo(line)
    if json_file:
        write_json(json_file, found)
        typer.echo(f"Written to {json_file}.")


def lines(found: dict[str, Any]) -> list[str]:
    """What a dry run says, line by line."""
    from gelda.terminal import duration

    items, encoder = found["items"], found["encoder"]
    splits = ", ".join(f"{count:,} {split}".strip() for split, count in items["by_split"].items())
    known = {"found": "", "listed": " (lines of the lists)", "published": " (published counts)"}
    says = [f"{found['title']}: preset {found['preset']}", found["note"], f"Data: {found['data']}"]
    if found["missing"] or found["problem"]:
        says += [f"  missing  {line}" for line in found["missing"]]
        says += [f"  problem  {found['problem']}"] if found["problem"] else []
        says += [f"  get  {p['what']}: {p['url']} ({p['terms']})" for p in found["places"]]
    says.append(
        f"Items: {splits}{known[items['known']]}, {found['classes']} classes, "
        f"{found['subdomains']} subdomain{'s' if found['subdomains'] > 1 else ''}"
    )
    says.append(f"Encoder: {encoder['name']}, whose weights are {'' if encoder['here'] else 'not '}here")
    says += [f"  get  {p['what']}: {p['url']} ({p['terms']})" for p in found["weights"]]
    says += [line for line in (encoder["caution"], found["start"]) if line]
    says.append(f"Device: {found['device']}")
    needed = 0
    for number, stage in enumerate(found["stages"], 1):
        text = f"{number}. {stage['stage'].capitalize()} {stage['what']}"
        if stage["stage"] == "encode":
            if stage["bytes"] is not None:
                needed = stage["bytes"]
                widths = ", ".join(f"{k} {v}" for k, v in stage["layers"].items())
                text += f"; layers {widths}; {size(needed)}"
        else:
            text += f"; at most {stage['heads']:,} heads and {stage['generators']:,} generators"
        seconds = stage["seconds"]
        took = "time unknown" if seconds is None else f"about {duration(seconds)}"
        says.append(f"{text}; {took} ({stage['how']})")
    short = " That is too little." if needed > found["free_bytes"] else ""
    says.append(
        f"Disk: {size(needed) if needed else 'unknown'} for {found['bank']}; "
        f"{size(found['free_bytes'])} free.{short}"
    )
    return [*says, "Nothing was started, and nothing was fetched."]


def size(count: float) -> str:
    """ "1.2 GB"."""
    for power, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= power:
            return f"{count / power:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
