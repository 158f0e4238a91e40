"""The commands `compare` and `import`: every method on one bank of ready latents."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from gelda.cli_options import (
    Bank,
    Classes,
    ClassSemantics,
    ComparePreset,
    Cut,
    Device,
    Imbalance,
    JsonFile,
    Keep,
    Precision,
    Protocol,
    Seeds,
    Set,
    Shots,
    SubdomainSemantics,
    Target,
    Unlabelled,
    check_writable,
    overrides,
    source_of,
)
from gelda.errors import UserError


def compare(
    bank: Bank,
    protocol: Protocol = "longtail",
    imbalance: Imbalance = None,
    cut: Cut = None,
    target: Target = None,
    keep: Keep = None,
    classes: Classes = None,
    unlabelled: Unlabelled = False,
    shots: Shots = None,
    fm_layer: Annotated[
        str | None,
        typer.Option(help="Encoder layer, auto, or weighted (SUPERB: a learned softmax sum of all layers)."),
    ] = None,
    adapter_layer: Annotated[str | None, typer.Option(help="Adapter layer l, or auto.")] = None,
    class_semantics: ClassSemantics = None,
    subdomain_semantics: SubdomainSemantics = None,
    methods: Annotated[str, typer.Option(help="all, or a,b,c.")] = "all",
    device: Device = "auto",
    precision: Precision = "auto",
    seeds: Seeds = None,
    preset: ComparePreset = "default",
    json_file: JsonFile = None,
    set_: Set = None,
    map: Annotated[
        bool, typer.Option(" /--no-map", help="Leave the first map to Explore, which offers it.")
    ] = True,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute again what was computed before.")] = False,
) -> None:
    """Compare every method on ready latents; the same command again goes on where it stopped."""
    from gelda.ready import open_bank

    opened = open_bank(bank)
    opened = replace(opened, load=cache(opened.load))  # read once for the check and for every target
    values = settings(
        bank,
        protocol,
        json_file,
        set_,
        {"imbalance": imbalance, "cut": cut, "target": target, "keep": keep, "shots": shots, "seeds": seeds},
        {"classes": classes, "methods": None if methods == "all" else methods},
        {"class_semantics": class_semantics, "subdomain_semantics": subdomain_semantics},
        fm_layer,
        {
            "unlabelled": unlabelled,
            "device": device,
            "precision": precision,
            **({} if map else {"map": False}),
        },
    )
    if not map:
        values.setdefault("map", False)
    if adapter_layer is not None:
        values.setdefault("adapter_layer", _layer(adapter_layer))
    configs = by_target(values, preset, opened)
    results = {target: one(config, opened, fresh) for target, config in configs.items()}
    write_results(json_file, results, "Report", summed(results))


def by_target(values: dict[str, Any], preset: str, bank: Any) -> dict[Any, Any]:
    """A checked CompareConfig for the target that was named, or for every subdomain where it is `each`."""
    from gelda import compare as engine
    from gelda.compare_config import resolve_compare

    targets = bank.items.subdomain_names if values.get("target") == "each" else (values.get("target"),)
    configs = {
        target: resolve_compare({**values, **({"target": target} if target else {})}, preset)
        for target in targets
    }
    for config in configs.values():
        engine.check(config, bank)
    return configs


def summed(results: dict[Any, Any]) -> dict[str, Any]:
    """Print WA, UAR and macro F1 of every method and target, where there are several, and give them."""
    if len(results) < 2:
        return {}
    from gelda import terminal_targets
    from gelda.report_folds import across

    table = across(results)
    terminal_targets.print_targets(table)
    return {"table": table}


def write_results(
    file: Path | None, results: dict[Any, Any], what: str, more: dict[str, Any] | None = None
) -> None:
    """One target's result as it is, those of several under "targets" with what there is `more`."""
    if file:
        from gelda.artifacts import write_json

        several = {"targets": results, **(more or {})}
        write_json(file, next(iter(results.values())) if len(results) == 1 else several)
        typer.echo(f"{what} written to {file}.")


def settings(
    bank: Path,
    protocol: str,
    json_file: Path | None,
    set_: list[str] | None,
    plain: dict[str, Any],
    lists: dict[str, str | None],
    sources: dict[str, str | None],
    fm_layer: str | None,
    always: dict[str, Any],
) -> dict[str, Any]:
    """CompareConfig's values from flags: those that were given, in the config's form; --set goes last."""
    from gelda.compare_config import FITTING, PROTOCOLS
    from gelda.config import merged
    from gelda.errors import unknown

    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    if json_file:
        check_writable(json_file)
    values: dict[str, Any] = {"bank": str(bank.resolve()), "protocol": protocol, **always}
    values |= {k: v for k, v in plain.items() if v is not None}
    for name, text in lists.items():
        if text:
            values[name] = [part.strip() for part in text.split(",") if part.strip()]
    for name, fitting in FITTING.items():
        if values.get(name) and protocol not in fitting:
            raise UserError(f"--{name} belongs to {' and '.join(fitting)}, not to {protocol}: leave it out.")
    if fm_layer:
        values["adapter"] = {"fm_layer": fm_layer}
    chosen = {k: source_of(v) for k, v in sources.items() if v}
    if chosen:
        values["generator"] = chosen
    return merged(values, overrides(set_ or []))


def import_(
    source: Annotated[Path, typer.Argument(help="Latents as .npz, .safetensors or .parquet.")],
    out: Annotated[Path, typer.Option("--out", help="The bank folder to write.")],
) -> None:
    """Write ready latents as a bank folder, checked."""
    from gelda.bank_import import import_bank

    bank = import_bank(source, out)
    typer.echo(f"{len(bank)} latents of each of {', '.join(bank.layers)} written to {out}.")


def one(config: Any, bank: Any, fresh: bool) -> dict[str, Any]:
    """Start, resume or show one comparison."""
    import shutil

    from gelda import compare as engine
    from gelda import compare_runs, recording, runs, terminal
    from gelda.report import load_report

    run_id = compare_runs.run_id(config, bank)
    path = runs.home() / "runs" / run_id
    if fresh and path.is_dir():
        if runs.read_state(path).status in runs.ALIVE:
            raise UserError(f"The run '{run_id}' is going: cancel it before --fresh.")
        shutil.rmtree(path)
    state, done = compare_runs.prepared(config, bank)
    if done:
        result = load_report(path)
        terminal.print_report(result)
        typer.echo(f"This comparison was finished before ({run_id}); --fresh computes it again.")
        return result
    recording.forget_cancel(state.path)
    with terminal.progress(state) as listener:
        result = engine.execute(config, bank, state, listener)
    terminal.print_report(result)
    return result


def _layer(text: str) -> int | str:
    if text != "auto" and not text.isdigit():
        raise UserError(f"--adapter-layer is {text!r}: it must be a number from 0 on, or auto.")
    return text if text == "auto" else int(text)
