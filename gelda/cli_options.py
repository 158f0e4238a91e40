"""Options that several commands have, and what they do with them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from gelda.errors import UserError

Bank = Annotated[Path, typer.Argument(help="Latents as .npz, .safetensors or .parquet, or a bank folder.")]
Protocol = Annotated[str, typer.Option(help="longtail, zero-shot or few-shot.")]
Imbalance = Annotated[float | None, typer.Option(help="Largest ÷ smallest (longtail).")]
Cut = Annotated[
    str | None, typer.Option(help="Long tail over class or cell, or given: the data's own split.")
]
Target = Annotated[
    str | None, typer.Option(help="The scarce subdomain, or `each` for one table a subdomain.")
]
Keep = Annotated[str | None, typer.Option(help="The class that the target keeps (zero-shot).")]
Classes = Annotated[str | None, typer.Option(help="Compared classes, a,b,c.")]
Unlabelled = Annotated[
    bool, typer.Option("--unlabelled", help="Transductive: target latents may be read without labels.")
]
Shots = Annotated[int | None, typer.Option(help="Training items a class in the target.")]
ClassSemantics = Annotated[str | None, typer.Option(help="A source's name, or a CSV or npz file.")]
SubdomainSemantics = Annotated[str | None, typer.Option(help="The same for subdomains.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0 …, mps.")]
Precision = Annotated[str, typer.Option(help="auto, fp32 or bf16.")]
Seeds = Annotated[int | None, typer.Option(help="Repetitions; at least 5 for a claim.")]
ComparePreset = Annotated[str, typer.Option(help="default, speech (the demo's) or tiny for a quick look.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the result to this file.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="section.setting=value, repeatable.")]


def check_writable(file: Path) -> None:
    """Refuse an output file that could not be written, before anything long is started."""
    folder = file.resolve().parent
    if file.is_dir():
        raise UserError(f"{file} is a folder: name a file to write.")
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder} to write {file.name} into: create it first.")
    if not os.access(folder, os.W_OK):
        raise UserError(f"No permission to write {file}: choose another folder.")


def overrides(pairs: list[str]) -> dict[str, Any]:
    """`--set generator.steps=500` pairs as nested settings."""
    nested: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UserError(f"--set {pair} has no '=': write it as section.setting=value.")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        here = nested
        *sections, last = name.split(".")
        for section in sections:
            here = here.setdefault(section, {})
            if not isinstance(here, dict):
                raise UserError(f"--set {pair}: '{section}' was already set to a value of its own.")
        here[last] = value
    return nested


def source_of(text: str) -> str:
    """A source as it is, with what stands behind its colon, and a file as file:PATH."""
    from gelda.semantics import SEMANTICS, split

    file = Path(text).is_file() or text.lower().endswith((".csv", ".npz"))
    return f"file:{text}" if file and split(text)[0] not in SEMANTICS else text
