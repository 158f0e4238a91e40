"""What several commands do with their options."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from gelda.errors import UserError


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
