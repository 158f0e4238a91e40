"""Labels: raw ones mapped to classes, classes chosen and named, and what is odd about them said."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from gelda.artifacts import read_json
from gelda.datasets.options import SourceOptions
from gelda.datasets.source import Problem
from gelda.errors import UserError, unknown
from gelda.manifest import Manifest
from gelda.paths import permitted


def label_map(given: str | dict[str, str | None]) -> dict[str, str | None]:
    """A label map from a JSON file or as given: raw label → class, null leaves the items out."""
    where = "The label map" if isinstance(given, dict) else str(given)
    values = given if isinstance(given, dict) else read_json(permitted(given))
    if not isinstance(values, dict) or not all(v is None or isinstance(v, str) for v in values.values()):
        raise UserError(f"{where} must be a table of raw labels and class names (or null), as a JSON object.")
    return {str(key): value for key, value in values.items()}


def mapped(
    rows: pd.DataFrame, mapping: dict[str, str | None], where: str, problems: list[Problem], notes: list[str]
) -> pd.DataFrame:
    """Rows with their labels mapped; a label counts as known in any case, and where it is a class already."""
    folded = {key.casefold(): value for key, value in mapping.items()}
    targets = {value for value in mapping.values() if value is not None}
    result: dict[str, str | None] = {}
    for label, count in rows["label"].value_counts().items():
        if label in mapping:
            result[label] = mapping[label]
        elif label in targets:
            result[label] = label
        elif label.casefold() in folded:
            result[label] = folded[label.casefold()]
            notes.append(
                f"Label '{label}' is read as '{result[label]}': {where} has it in other letters' case."
            )
        else:
            problems.append(
                Problem(f"{count} items of label '{label}'", f"{where} does not name their label: add it.")
            )
            continue
        if result[label] is None:
            notes.append(f"{where[0].upper() + where[1:]} leaves out label '{label}': {count} items.")
    classes = rows["label"].map({k: v for k, v in result.items() if v is not None})
    return rows.assign(label=classes)[classes.notna()]


def kept_classes(rows: pd.DataFrame, classes: tuple[str, ...], notes: list[str]) -> pd.DataFrame:
    """The rows of the classes that are asked for (all, where none are)."""
    if not classes:
        return rows
    present = set(rows["label"])
    for name in classes:
        if name not in present:
            raise unknown("class", name, present)
    kept = rows["label"].isin(classes)
    if not kept.all():
        notes.append(f"{int((~kept).sum())} items of classes other than {', '.join(classes)} are left out.")
    return rows[kept].copy()


def class_names(
    labels: pd.Series, own: tuple[str, ...] | None, options: SourceOptions, notes: list[str]
) -> tuple[str, ...]:
    """Classes with items, in the order asked for, else the data's own, else sorted; oddities are noted."""
    present = set(labels.unique())
    order: Iterable[str] = options.classes or own or ()
    names = [name for name in order if name in present]
    rest = present - set(names)
    numbers = all(name.isdigit() for name in rest)
    names += sorted(rest, key=int) if numbers else sorted(rest)
    if own and not options.classes:
        empty = [name for name in own if name not in present]
        if empty and options.label_map is None:
            notes.append(f"No usable item in {_listed('class', empty)}: left out.")
    folded: dict[str, list[str]] = {}
    for name in names:
        folded.setdefault(name.casefold(), []).append(name)
    for alike in folded.values():
        if len(alike) > 1:
            notes.append(
                f"The classes {' and '.join(repr(name) for name in alike)} differ in letters' case only and "
                "stay apart: join them with a label map if they are one."
            )
    return tuple(names)


def unlike(manifest: Manifest) -> list[str]:
    """Classes that are tested and have nothing to train on."""
    table = manifest.table
    if "split" not in table:
        return []
    found = {split: set(table.loc[table["split"] == split, "label"]) for split in ("train", "valid", "test")}
    notes = []
    for split in ("valid", "test"):
        if found["train"] and (more := sorted(found[split] - found["train"])):
            names = [manifest.class_names[label] for label in more]
            notes.append(
                f"Training has {len(found['train'])} classes and {split} {len(found[split])}, among them the "
                f"{_listed('class', names)}: leave out what cannot be learnt with `classes`, or mend the "
                "split."
            )
    return notes


def _listed(kind: str, names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{kind if len(names) == 1 else kind + 'es'} {shown}{more}"
