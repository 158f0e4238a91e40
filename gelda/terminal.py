"""What a person sees in a terminal: a bar per stage, then the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from gelda.report import METHOD_TITLES, interval_text
from gelda.runs import RunState

MARKS = {"waiting": " ", "running": "…", "done": "✓", "reused": "✓", "failed": "✗"}


@contextmanager
def progress(state: RunState) -> Iterator[Callable[[RunState], None]]:
    """A live display with one line a stage; plain lines where the output is not a terminal."""
    console = Console()
    console.print(f"[bold]{state.name}[/bold]  run {state.id}")
    if not console.is_terminal:
        told: set[str] = set()

        def tell(current: RunState) -> None:
            for stage in current.stages:
                if stage.state in ("done", "reused", "failed") and stage.name not in told:
                    told.add(stage.name)
                    note = " (reused)" if stage.state == "reused" else ""
                    console.print(f"{MARKS[stage.state]} {stage.title}  {stage.seconds:.1f} s{note}")

        yield tell
        return
    bars = Progress(
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}"),
        console=console,
    )
    with bars:
        tasks: dict[str, Any] = {}

        def show(current: RunState) -> None:
            for stage in current.stages:
                if stage.name not in tasks:
                    tasks[stage.name] = bars.add_task(
                        stage.title, total=None, start=False, note="", visible=True
                    )
                if stage.state == "waiting":
                    continue
                note = f"{stage.seconds:.0f} s"
                if stage.state == "running":
                    left = f", about {stage.remaining:.0f} s left" if stage.remaining else ""
                    note += f"{left}  {stage.message}"
                elif stage.state == "reused":
                    note = "reused"
                bars.start_task(tasks[stage.name])
                bars.update(tasks[stage.name], total=max(stage.total, 1), completed=stage.done, note=note)

        yield show


def print_report(report: Mapping[str, Any]) -> None:
    """The comparison table, the headline and the notes."""
    console = Console()
    table = Table(
        title="Accuracy in %, mean over seeds; differences paired with 95 % intervals", title_justify="left"
    )
    table.add_column("method")
    columns = {
        "overall": "overall",
        "head": "head",
        "medium": "medium",
        "tail": "tail",
        "uar": "UAR",
        "unseen": "unseen cells",
    }
    for title in columns.values():
        table.add_column(title, justify="right")
    table.add_column("tail − logit adj.", justify="right")
    table.add_column("unseen − logit adj.", justify="right")
    for method, values in report["methods"].items():
        paired = report["paired_to_la"].get(method)
        table.add_row(
            METHOD_TITLES.get(method, method),
            *[interval_text({**values[m], "ci95": [None, None]}) for m in columns],
            *[interval_text(paired[m], signed=True) if paired else "–" for m in ("tail", "unseen")],
            style="bold" if method == "gelda" else None,
        )
    console.print(table)
    g = report["generator"]
    if g:
        console.print(
            f"Generator: variance ratio {g['variance_ratio']:.2f} (1 is right), Fréchet {g['frechet']:.1f} "
            f"(real against real {g['frechet_real']:.1f}, Gaussian {g['frechet_gaussian']:.1f}), "
            f"memorised {g['memorisation']:.0%} (held-out real {g['memorisation_real']:.0%})."
        )
    console.print(f"[bold]{report['headline']}[/bold]")
    for note in report["notes"]:
        console.print(f"  {note}")
    console.print(f"Seconds: {', '.join(f'{k} {v:.0f}' for k, v in report['seconds'].items())}.")
