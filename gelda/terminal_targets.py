"""Comparisons with every subdomain as the target, on the terminal: how far they are, and their tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from gelda.recording import Cancelled
from gelda.report import method_title
from gelda.report_folds import FIGURES
from gelda.report_text import interval_text
from gelda.runs import RunState
from gelda.terminal import MARKS, duration, new_console


@contextmanager
def several() -> Iterator[Callable[[Sequence[RunState]], None]]:
    """A live display with one line a run; where the output is not a terminal, a line when one is done."""
    shown = new_console()
    try:
        with _live(shown) if shown.is_terminal else nullcontext(_ends(shown)) as listener:
            yield listener
    except KeyboardInterrupt as error:
        raise Cancelled from error


def _ends(shown: Console) -> Callable[[Sequence[RunState]], None]:
    told: set[str] = set()

    def tell(states: Sequence[RunState]) -> None:
        for state in states:
            if state.status == "done" and state.id not in told:
                told.add(state.id)
                seconds = sum(stage.seconds for stage in state.stages)
                shown.print(f"{MARKS['done']} {_target(state)}  {duration(seconds)}  run {state.id}")

    return tell


@contextmanager
def _live(shown: Console) -> Iterator[Callable[[Sequence[RunState]], None]]:
    with Live(console=shown, refresh_per_second=4) as live:

        def tell(states: Sequence[RunState]) -> None:
            table = Table.grid(padding=(0, 2))
            for state in states:
                stage = next((s for s in state.stages if s.name == state.stage), None)
                seconds = duration(sum(s.seconds for s in state.stages))
                mark, text = MARKS["done" if state.status == "done" else "running"], ""
                if stage and state.status != "done":
                    text = f"{stage.title}  {100 * stage.done // max(stage.total, 1)} %  {stage.message}"
                table.add_row(mark, _target(state), seconds, text)
            live.update(table)

        yield tell


def _target(state: RunState) -> str:
    """ "zero-shot German": a run's name without that of its bank."""
    return state.name.rpartition(", ")[2]


def print_targets(table: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """WA, UAR and macro F1 of every method by target; UAR alone where targets are many."""
    uar = table["uar"]
    names = list(next(iter(uar.values())))
    figures = list(FIGURES) if len(names) <= 5 else ["uar"]
    title = " / ".join(FIGURES[name] for name in figures)
    shown = Table(title=f"{title} in %, each in turn as the target, mean over seeds", title_justify="left")
    shown.add_column("method")
    for name in names:
        shown.add_column(name, justify="right")
    for method in uar:
        cells = [" / ".join(f"{table[f][method][name]:.1f}" for f in figures) for name in names]
        style = "bold" if method == "gelda" else None
        shown.add_row(method_title(method), *cells, style=style)
    new_console().print(shown)


def print_speech(found: Mapping[str, Any]) -> None:
    """The speech demo's table: UAR by method and language, what they are of, and GeLDA beside mean shift."""
    shown = new_console()
    table = Table(
        title=f"{found['title']}: UAR in %, each language left out in turn (neutral speech alone is kept), "
        "with 95 % intervals",
        title_justify="left",
    )
    table.add_column("method")
    languages = list(found["runs"])
    for name in [*languages, "mean"]:
        table.add_column(name, justify="right")
    for method, values in found["uar"].items():
        cells = [interval_text(values[name]).replace(" [", "\n[") for name in (*languages, "mean")]
        style = "bold" if method == "gelda" else None
        table.add_row(method_title(method), *cells, style=style)
    ceiling = found["in-language"]
    table.add_section()
    table.add_row("in-language probe (ceiling)", *[f"{ceiling[name]:.1f}" for name in (*languages, "mean")])
    shown.print(table)
    shown.print(found["headline"], style="bold")
    for note in found["notes"]:
        shown.print(f"  {note}")
    shown.print(f"Runs: {', '.join(found['runs'].values())}.")
