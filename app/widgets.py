"""Parts that several pages share: frame, run picker, progress panel, class x subdomain grid, media strip."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import streamlit as st

from app import components, run_names, state, words
from app.components import ASSETS
from gelda import jobs, runs
from gelda.errors import UserError

GROUPS = {"head": "frequent", "medium": "medium", "tail": "rare"}
ALIVE = ("queued", "running")
LONG = 60  # classes of a grid that has to be scrolled far

# A view's settings are part of its page's address, not steps of history: Back leads to the page before.
ONE_STEP = """
(() => {
  if (window.geldaOneStep) return;
  window.geldaOneStep = true;
  const push = history.pushState.bind(history);
  history.pushState = (state, title, url) => {
    const there = new URL(url ?? location.href, location.href);
    if (there.pathname === location.pathname) history.replaceState(state, title, url);
    else push(state, title, url);
  };
})();
"""

_grid = components.declare("grid", "grid", "grid/grid.css", "grid/grid.js")


def frame() -> None:
    """Name and styles that hold on every page."""
    st.logo(ASSETS / "wordmark.svg", size="medium")
    st.html(f"<style>{(ASSETS / 'app.css').read_text(encoding='utf-8')}</style>")
    st.html(f"<script>{ONE_STEP}</script>", unsafe_allow_javascript=True)


@contextmanager
def guarded() -> Iterator[None]:
    """Turn what goes wrong into a sentence; the traceback goes to the log, never to the page."""
    try:
        yield
    except UserError as error:
        warn(error)
    except Exception as error:  # a page must say what happened whatever it was
        logging.getLogger("gelda.app").exception("A page could not be drawn")
        warn(f"This page could not be drawn ({type(error).__name__}: {error}). The log has the details.")


def warn(said: object) -> None:
    """What went wrong, in one sentence: an error, or a text that may name a file or what an address holds."""
    st.warning(words.markdown(said))


def lead(text: str) -> None:
    st.html(f'<p class="lead">{text}</p>')


def remark(report: dict[str, Any]) -> None:
    """What must stand beside a run's figures, where its report has such a sentence."""
    if report.get("remark"):
        note(f"<strong>{words.safe(words.minus(report['remark']))}</strong>")


def note(text: str) -> None:
    """A quiet line; `text` is HTML, names in it must have gone through `words.safe`."""
    st.html(f'<p class="note">{text}</p>')


def caution(said: Mapping[str, Any]) -> None:
    """What a reader of a report or of a run's points must know of the data, such as that they are synthetic
    speech; nothing where there is nothing to know."""
    if said.get("caution"):
        note(f"<strong>{words.safe(said['caution'])}</strong>")


def absent(where: str = "this run") -> None:
    """What the link to this page names and is not in `where`; call it at the page's end, before it is
    published."""
    missed = state.absent()
    if missed:
        note(words.safe(words.absent(missed, where)))


def bullets(texts: Sequence[str]) -> None:
    """A list of sentences; names in them may come from files."""
    st.html(f"<ul>{''.join(f'<li>{words.safe(text)}</li>' for text in texts)}</ul>")


def table(corner: str, head: str, rows: Sequence[str], kind: str = "") -> None:
    """A compact table that scrolls sideways where it is too wide; cells are HTML, names in them `safe`."""
    st.html(
        f'<div class="scroll"><table class="numbers compact {kind}"><thead><tr><th>{corner}</th>{head}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def figure_block(what: str, value: str, unit: str, how: str) -> None:
    """One large number, what it is, and how to read it; an interval in `unit` takes a line of its own."""
    unit, bracket, interval = unit.partition("(")
    within = f'<span class="within">{words.safe(bracket + interval)}</span>' if bracket else ""
    st.html(
        f'<div class="figure"><p class="what">{words.safe(what)}</p>'
        f'<p class="value">{words.safe(value)} <small>{words.safe(unit)}</small>{within}</p>'
        f'<p class="how">{words.safe(how)}</p></div>'
    )


def amount_block(what: str, amount: str, how: str) -> None:
    """A time or a size, "1 min 18 s", its units small."""
    value = re.sub(r"\s?([^\W\d]+)", "\u202f<small>\\1</small>", words.safe(amount))
    st.html(
        f'<div class="figure"><p class="what">{words.safe(what)}</p>'
        f'<p class="value">{value}</p><p class="how">{words.safe(how)}</p></div>'
    )


def run_picker(
    controls: Sequence[float] = (), maps: bool = False
) -> tuple[runs.RunState | None, Any, list[Any]]:
    """The run a page is about, the place for its headline, and places for the page's own `controls`.

    The run comes from the URL, else from the last page, else it is the newest; None in an empty workspace.
    With `maps`, runs that keep no points are left out of the list, but the one that was asked for.
    """
    known = [*runs.list_runs(), *runs.shipped_runs()]
    done = [r for r in known if r.status == "done" and r.reported]
    asked = st.query_params.get("run")
    wanted = asked or state.carried("run")
    found = [r for r in done if r.mapped or not maps or r.id == wanted]
    if asked and asked not in {r.id for r in found} and (not found or runs.exists(asked)):
        found.append(runs.read_state(runs.find_run(asked)))
        runs.require_report(found[-1])
    if not found:
        state.drop("run")
        return None, None, []
    by_id = {r.id: r for r in found}
    state.bind("run", found[0].id, list(by_id), "run")
    if controls:
        head = st.container()
        pick, *places = st.columns([1 - sum(controls), *controls], gap="medium", vertical_alignment="bottom")
    else:
        (head, pick), places = st.columns([0.7, 0.3], gap="medium"), []
    pick.selectbox("Run", list(by_id), key=state.key("run"), format_func=run_names.titles(found).get)
    return by_id[state.value("run")], head, places


def no_run() -> None:
    """What a page says where nothing has been run yet."""
    st.title("Nothing to show yet")
    lead("This page reads a finished run. The demo makes one, offline, in about two minutes.")
    st.page_link(ASSETS.parent / "pages" / "home.py", label="Go to Home and run the demo")


def no_map(run: runs.RunState, head: Any) -> None:
    """What Explore says of a run that keeps no points: a comparison from before they were kept."""
    with head:
        st.title("This comparison keeps no points yet")
        lead(
            f"{words.safe(run.name)} was finished before comparisons kept what a map is drawn of. Its "
            "latents can be made again, in the background; its figures stay as they are."
        )
        if not runs.readonly() and st.button("Make them again", type="primary"):
            jobs.resume(run.id)
            st.rerun()
        st.page_link(
            ASSETS.parent / "pages" / "results.py", label="Open Results", query_params={"run": run.id}
        )
    state.publish()


def unfinished(run: runs.RunState) -> bool:
    """Say what became of a run that has nothing to show; True where that is the case."""
    if run.status == "done":
        return False
    was = "was " if run.status in ("cancelled", "interrupted") else ""
    said = "is still going" if run.status in ALIVE else was + words.STATUS.get(run.status, run.status)
    st.title(f"This run {said}")
    if run.error:
        warn(run.error)
    st.fragment(_going, run_every=2 if run.status in ALIVE else None)(run)
    st.page_link(ASSETS.parent / "pages" / "home.py", label="All runs, and what can be done with this one")
    return True


def _going(before: runs.RunState) -> None:
    """The stages of a run that has nothing to show yet; the page is drawn again when it ends."""
    run = runs.read_state(before.path)
    if before.status in ALIVE and run.status not in ALIVE:
        st.rerun()
    progress(run)


def progress(run: runs.RunState) -> None:
    """Every stage with its bar, rate and remaining time."""
    rows = []
    for stage in run.stages:
        share = 1.0 if stage.state in ("done", "reused") else stage.done / stage.total if stage.total else 0.0
        said = {
            "waiting": "",
            "done": words.duration(stage.seconds),
            "reused": "kept from before",
            "failed": "stopped here",
            "running": "goes on here" if run.status == "queued" else "stopped here",
        }.get(stage.state, "")
        if stage.state == "running" and run.status == "running":
            parts = []
            if stage.message:
                parts.append(stage.message)
            elif stage.seconds > stage.earlier and stage.done:
                rate = stage.done / (stage.seconds - stage.earlier)
                parts.append(f"{words.number(rate, 0)} a second")
            if stage.remaining is not None:
                parts.append(f"{words.duration(stage.remaining)} left")
            said = ", ".join(parts) or "starting"
        rows.append(
            f'<tr class="{words.safe(stage.state)}"><td>{words.safe(stage.title)}</td>'
            f'<td class="bar"><div role="progressbar" aria-valuenow="{100 * share:.0f}" '
            f'aria-label="{words.safe(stage.title)}"><i style="width:{100 * min(1.0, share):.0f}%"></i>'
            "</div></td>"
            f"<td>{words.safe(said)}</td></tr>"
        )
    if rows:
        st.html(f'<table class="stages">{"".join(rows)}</table>')


def cell_grid(
    meta: dict[str, Any], classes_on: Sequence[int], subdomains_on: Sequence[int],
    on_cell: Callable[[int, int], None], key: str = "grid",
) -> None:  # fmt: skip
    """Counts of real and synthetic latents by class and subdomain; -1 in `on_cell` means a whole axis."""
    group_of = {c: name for name, members in meta["groups"].items() for c in members}  # empty: no groups
    real = np.asarray(meta["real"])
    order = sorted(
        range(len(real)), key=lambda c: (list(GROUPS).index(group_of.get(c, "medium")), -real[c].sum())
    )
    if len(order) > LONG:
        order.reverse()  # the scarce ones are what one looks for: not at the end of a long way
    data = {
        "classes": [
            {
                "index": c,
                "name": meta["class_names"][c],
                "kind": GROUPS[group_of.get(c, "medium")] if group_of else "",
            }
            for c in order
        ],
        "subdomains": list(meta["subdomain_names"]),
        "real": real.tolist(),
        "synthetic": np.asarray(meta["synthetic"]).tolist(),
        "most": int(max(1, real.max())),
        "classes_on": list(classes_on),
        "subdomains_on": list(subdomains_on),
    }

    def clicked() -> None:
        event = st.session_state[key].get("cell")
        if event and state.fresh(key, event):
            on_cell(int(event["label"]), int(event["subdomain"]))

    _grid(key=key, data=components.numbered(key, data), on_cell_change=clicked)
