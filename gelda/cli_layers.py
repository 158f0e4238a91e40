"""The command `layers`: which layer of a bank to generate at."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Annotated

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
)


def layers(
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
        str | None, typer.Option(help="One encoder layer alone, or weighted (a learned sum of all).")
    ] = None,
    class_semantics: ClassSemantics = None,
    subdomain_semantics: SubdomainSemantics = None,
    device: Device = "auto",
    precision: Precision = "auto",
    seeds: Seeds = None,
    preset: ComparePreset = "default",
    json_file: JsonFile = None,
    set_: Set = None,
) -> None:
    """Print separability, held-out denoising loss and the effect of augmenting, layer by layer."""
    from gelda import terminal
    from gelda.cli_compare import by_target, settings, write_results
    from gelda.layer_study import study
    from gelda.ready import open_bank

    opened = open_bank(bank)
    opened = replace(opened, load=cache(opened.load))  # read once for every target
    values = settings(
        bank,
        protocol,
        json_file,
        set_,
        {"imbalance": imbalance, "cut": cut, "target": target, "keep": keep, "shots": shots, "seeds": seeds},
        {"classes": classes},
        {"class_semantics": class_semantics, "subdomain_semantics": subdomain_semantics},
        fm_layer,
        {"unlabelled": unlabelled, "device": device, "precision": precision},
    )
    results = {}
    for one, config in by_target(values, preset, opened).items():
        results[one] = study(config, opened, lambda text: typer.echo(text, err=True))
        terminal.print_layers(results[one])
    write_results(json_file, results, "Study")
