"""What a person sees in a terminal: a bar per stage, then the table."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from gelda import rounding
from gelda.recording import Cancelled
from gelda.report import method_title
from gelda.report_text import interval_text
from gelda.runs import RunState

MARKS = {"waiting": " ", "running": "…", "done": "✓", "reused": "✓", "failed": "✗"}


@contextmanager
def progress(state: RunState) -> Iterator[Callable[[RunState], None]]:
    """A live display with one line a stage; plain lines where the output is not a terminal.

    Ctrl-C becomes Cancelled: typer would answer a KeyboardInterrupt without a word.
    """
    console = new_console()
    console.print(f"{state.name}  run {state.id}", style="bold")
    try:
        with _bars(console) if console.is_terminal else nullcontext(_lines(console)) as listener:
            yield listener
    except KeyboardInterrupt as error:
        raise Cancelled from error


def _lines(console: Console) -> Callable[[RunState], None]:
    told: set[str] = set()

    def tell(current: RunState) -> None:
        for stage in current.stages:
            if stage.state in ("done", "reused", "failed") and stage.name not in told:
                told.add(stage.name)
                note = " (reused)" if stage.state == "reused" else ""
                console.print(f"{MARKS[stage.state]} {stage.title}  {stage.seconds:.1f} s{note}")

    return tell


@contextmanager
def _bars(console: Console) -> Iterator[Callable[[RunState], None]]:
    bars = Progress(
        TextColumn("{task.fields[mark]}", markup=False),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
    )
    with bars:
        tasks: dict[str, Any] = {}

        def show(current: RunState) -> None:
            for stage in current.stages:
                if stage.name not in tasks:
                    tasks[stage.name] = bars.add_task(stage.title, total=None, start=False, note="", mark=" ")
                if stage.state == "waiting":
                    continue
                note = duration(stage.seconds)
                if stage.state == "running":
                    left = f", about {duration(stage.remaining)} left" if stage.remaining else ""
                    note += f"{left}  {stage.message}"
                elif stage.state == "reused":
                    note = "reused"
                bars.start_task(tasks[stage.name])
                bars.update(
                    tasks[stage.name],
                    total=max(stage.total, 1),
                    completed=stage.done,
                    note=note,
                    mark=MARKS[stage.state],
                )

        yield show


def duration(seconds: float) -> str:
    """ "12 s", "34 min", "5.6 h", "7 days"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86_400 else f"{seconds / 86_400:.0f} days"


def new_console() -> Console:
    """Text as it is: names may hold [brackets] and :colons:. A pipe or a log file has no width of its own: it
    gets what the table needs."""
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=140 if piped else None, markup=False, emoji=False)


COLUMNS = {
    "overall": "overall",
    "head": "head",
    "medium": "medium",
    "tail": "tail",
    "uar": "UAR",
    "unseen": "unseen cells",
}


def print_report(report: Mapping[str, Any]) -> None:
    """The comparison table, the headline and the notes; a narrow terminal gets fewer columns."""
    console = new_console()
    wide = console.width >= 130
    shown = [m for m in COLUMNS if wide or m not in ("head", "medium")]
    if console.width < 104:
        shown = ["tail", "unseen"]
    table = Table(
        title="Accuracy in %, mean over seeds; differences paired with 95 % intervals", title_justify="left"
    )
    table.add_column("method")
    for measure in shown:
        table.add_column(COLUMNS[measure], justify="right")
    for name in ("tail − logit adj.", "unseen − logit adj."):
        table.add_column(name, justify="right", min_width=0 if wide else 14)
    for method, values in report["methods"].items():
        paired = report["paired_to_la"].get(method)
        differences = [interval_text(paired[m], signed=True) if paired else "–" for m in ("tail", "unseen")]
        table.add_row(
            method_title(method),
            *[interval_text({**values[m], "ci95": [None, None]}) for m in shown],
            *[text if wide else text.replace(" [", "\n[") for text in differences],
            style="bold" if method == "gelda" else None,
        )
    console.print(table)
    if len(shown) < len(COLUMNS):
        console.print("A wider terminal shows more columns; `gelda report` shows them all.")
    g = report["generator"]
    if g:
        n = {key: _figure(value) for key, value in g.items()}
        console.print(
            f"Generator: variance ratio {n['variance_ratio']} (1 is right), Fréchet {n['frechet']} "
            f"(real against real {n['frechet_real']}, Gaussian {n['frechet_gaussian']}), "
            f"memorised {n['memorisation']} (held-out real {n['memorisation_real']})."
        )
    console.print(report["headline"], style="bold")
    for note in report["notes"]:
        console.print(f"  {note}")
    console.print(f"Seconds: {', '.join(f'{k} {v:.0f}' for k, v in report['seconds'].items())}.")


def _figure(value: float | None) -> str:
    """Two digits behind the point; a dash where too few items gave no figure (null in a stored report)."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.2f}"


def print_layers(study: Mapping[str, Any]) -> None:
    """The layer study's table and notes."""
    console = new_console()
    table = Table(title=f"{study['setting']} Validation only, mean over seeds", title_justify="left")
    for name in ("encoder layer", "adapter layer"):
        table.add_column(name)
    right = (
        "width",
        "probe UAR",
        "Fisher",
        "denoising",
        "log-loss, logit adj.",
        "Δ log-loss",
        "Δ tail",
        "Δ UAR",
    )
    for name in right:
        table.add_column(name, justify="right")
    for row in study["rows"]:
        probe, effect = row["separability"], row["effect"]
        table.add_row(
            row["fm_layer"],
            str(row["adapter_layer"]),
            str(row["width"]),
            f"{100 * probe['uar']:.1f}",
            f"{probe['fisher']:.2f}",
            f"{row['denoising']['ratio']:.3f}",
            f"{row['arms']['logit-adjustment']['log_loss']:.3f}",
            f"{effect['log_loss']:+.3f}",
            *[
                "–" if math.isnan(effect[m]) else rounding.number(effect[m], signed=True)
                for m in ("tail", "uar")
            ],
        )
    console.print(table)
    for note in study["notes"]:
        console.print(f"  {note}")
    console.print(f"Seconds: {study['seconds']:.0f}.")


MOST_NAMES = 40  # rows of a list of neighbours


def print_similarity(title: str, names: Sequence[str], matrix: Sequence[Sequence[float]]) -> None:
    """A matrix of cosines where it fits the terminal, else each name with the three it is most like."""
    console = new_console()
    needed = max(map(len, names)) + 4 + sum(max(len(name), 5) + 3 for name in names)
    console.print(title)
    table = Table()
    table.add_column("")
    if needed <= console.width:
        for name in names:
            table.add_column(name, justify="right")
        for name, row in zip(names, matrix, strict=True):
            table.add_row(name, *[f"{value:+.2f}" for value in row])
    else:
        table.add_column("most like")
        for place, (name, row) in enumerate(zip(names[:MOST_NAMES], matrix, strict=False)):
            near = sorted((k for k in range(len(names)) if k != place), key=lambda k: -row[k])[:3]
            table.add_row(name, ", ".join(f"{names[k]} {row[k]:+.2f}" for k in near))
    console.print(table)
    if needed > console.width:
        shown = f", of the first {MOST_NAMES} of {len(names)} names" if len(names) > MOST_NAMES else ""
        console.print(f"The three nearest{shown}; --json writes the whole matrix.")


def print_probe(result: Mapping[str, Any]) -> None:
    """How well each layer separates the classes."""
    table = Table(*["layer", "width", "balanced accuracy %", "silhouette"])
    for layer, figures in result["layers"].items():
        uar = "–" if figures["uar"] is None else f"{100 * figures['uar']:.1f}"
        silhouette = "–" if figures["silhouette"] is None else f"{figures['silhouette']:.3f}"
        table.add_row(layer, str(figures["width"]), uar, silhouette)
    console = new_console()
    console.print(table)
    console.print(f"Linear probe and silhouette on {result['items']} {result['which']}.")


def print_extraction(result: Mapping[str, Any]) -> None:
    """What an extraction made, what it left out, and what can be done with the bank."""
    console = new_console()
    console.print(result["headline"], style="bold")
    for text in filter(None, [result["caution"], *result["notes"]]):
        console.print(f"  {text}")
    left_out = [(p["item"], p["reason"]) for p in result["problems"]]
    left_out += [(item["uri"], item["reason"]) for item in result["skipped"]]
    for name, reason in left_out[:3]:
        console.print(f"  left out {name}: {reason}")
    if len(left_out) > 3:
        console.print(f"  … {len(left_out)} in all, in {result['bank']}/manifest.json.")
    if result["encoded"]:
        rate = result["encoded"] / max(result["seconds"], 1e-9)
        console.print(f"  {result['encoded']} items in {duration(result['seconds'])}, {rate:.3g} a second.")
    if result["rows"] is not None:
        bank = shlex.quote(result["bank"])
        console.print(f"  Next: gelda layers {bank} --preset tiny for a first look, or gelda compare {bank}.")
