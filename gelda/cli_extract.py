"""The command `extract`: a person's items through a frozen encoder, into a bank."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gelda.cli_options import Device, JsonFile, Precision, Set, check_writable, overrides


def extract(
    source: Annotated[
        list[str],
        typer.Argument(
            help="A folder, a list or table, hf:org/name, a demo's name; or several EmoBox manifests."
        ),
    ],
    encoder: Annotated[
        str, typer.Option(help="A registered name, timm/…, another Hub name, or a local folder.")
    ] = "mini-image",
    layers: Annotated[str, typer.Option(help="all, last4, numbers (6,9,12) or names.")] = "all",
    pooling: Annotated[str, typer.Option(help="auto, cls, mean or mean+std.")] = "auto",
    emotions: Annotated[
        str | None,
        typer.Option(help="own names, joined (happy, joy … are one), or four (the common ones only)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The bank folder to write; else one in the workspace.")
    ] = None,
    shard: Annotated[str, typer.Option(help="i/n: this process's part, for n executors.")] = "1/1",
    workers: Annotated[int | None, typer.Option(help="Decode processes; 0 decodes in this one.")] = None,
    batch_size: Annotated[int, typer.Option(help="Items encoded at once.")] = 64,
    dtype: Annotated[str, typer.Option(help="float32 or float16, on disk.")] = "float32",
    max_skipped: Annotated[float, typer.Option(help="Share of unreadable items at which it stops.")] = 0.05,
    device: Device = "auto",
    precision: Precision = "auto",
    json_file: JsonFile = None,
    set_: Set = None,
) -> None:
    """Encode every item by a frozen encoder; the same command again goes on where it stopped."""
    from gelda import extraction_runs, recording, terminal
    from gelda.artifacts import write_json
    from gelda.config import merged
    from gelda.extract_config import resolve_extract

    if json_file:
        check_writable(json_file)
    values: dict[str, Any] = {
        "path": source[0],
        "encoder": encoder,
        "layers": layers,
        "pooling": pooling,
        "out": str(out or ""),
        "shard": shard,
        "workers": workers,
        "batch_size": batch_size,
        "dtype": dtype,
        "max_skipped": max_skipped,
        "device": device,
        "precision": precision,
    }
    read = {"beside": source[1:] or None, "emotions": emotions}
    values["source"] = {name: value for name, value in read.items() if value is not None}
    config = extraction_runs.resolved(resolve_extract(merged(values, overrides(set_ or []))))
    extraction_runs.opened(config)  # a mistake is said before there is a run
    state = extraction_runs.prepared(config)
    recording.forget_cancel(state.path)
    with terminal.progress(state) as listener:
        result = extraction_runs.execute(config, state, listener)
    terminal.print_extraction(result)
    if json_file:
        write_json(json_file, result)
        typer.echo(f"Result written to {json_file}.")
