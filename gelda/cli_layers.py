"""The command `layers`: which layer of a bank to generate at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gelda.errors import UserError


def layers(
    bank: Annotated[Path, typer.Argument(help="An .npz of latents, or a bank folder.")],
    protocol: Annotated[str, typer.Option(help="longtail, zero-shot or few-shot.")] = "longtail",
    imbalance: Annotated[float | None, typer.Option(help="Largest ÷ smallest (longtail).")] = None,
    cut: Annotated[str | None, typer.Option(help="Long tail over class or cell.")] = None,
    target: Annotated[str | None, typer.Option(help="The scarce subdomain.")] = None,
    keep: Annotated[str | None, typer.Option(help="The class that the target keeps (zero-shot).")] = None,
    classes: Annotated[str | None, typer.Option(help="Classes in play, a,b,c.")] = None,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="Transductive: target latents may be read without labels.")
    ] = False,
    shots: Annotated[int | None, typer.Option(help="Training items a class in the target.")] = None,
    fm_layer: Annotated[str | None, typer.Option(help="One encoder layer alone.")] = None,
    class_semantics: Annotated[
        str | None, typer.Option(help="A source's name, or a CSV or npz file.")
    ] = None,
    subdomain_semantics: Annotated[str | None, typer.Option(help="The same for subdomains.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0 …, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    seeds: Annotated[int | None, typer.Option(help="Repetitions.")] = None,
    preset: Annotated[str, typer.Option(help="default, or tiny for a quick look.")] = "default",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the study to this file.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="section.setting=value, repeatable.")
    ] = None,
) -> None:
    """Print separability, held-out denoising loss and the effect of augmenting, layer by layer."""
    from gelda import compare, terminal
    from gelda.artifacts import write_json
    from gelda.cli_compare import settings
    from gelda.config import resolve_compare
    from gelda.layer_study import study
    from gelda.ready import open_bank

    if target == "each":
        raise UserError("The layer study takes one subdomain at a time: name it with --target.")
    opened = open_bank(bank)
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
    config = resolve_compare(values, preset)
    compare.check(config, opened)
    result = study(config, opened, lambda text: typer.echo(text, err=True))
    terminal.print_layers(result)
    if json_file:
        write_json(json_file, result)
        typer.echo(f"Study written to {json_file}.")
