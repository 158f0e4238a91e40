"""`gelda demo speech` on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer


def demo(values: dict[str, Any], preset: str, json_file: Path | None) -> str:
    """Run the demo with its progress, print its table; returns the run that the app opens on."""
    from gelda import speech_demo, terminal, terminal_targets
    from gelda.artifacts import write_json

    found = speech_demo.run(values, preset, terminal.progress, terminal_targets.several)
    terminal_targets.print_speech(found)
    if json_file:
        write_json(json_file, found)
        typer.echo(f"Report written to {json_file}.")
    return str(next(iter(found["runs"].values())))
