"""What is wrong with items: what was left out, what a check of every file found, what splits share."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import checking, source_form, widgets, words
from app.sources import Look
from gelda import datasets, runs
from gelda.report_text import to_csv

PROBLEMS = 200  # rows of a table on the page; the file has them all


def remarks(look: Look) -> None:
    """What two splits share although they must not, and what was merged, mapped or assumed."""
    if len(look.names[0]) == 1:
        st.warning("There is one class: nothing can be told apart, and methods cannot be compared on it.")
    known = look.leaks
    check = checking.of(look)
    for sentence in dict.fromkeys([*known, *(check.leaks if check else [])]):
        widgets.warn(sentence)
    notes = [text for text in look.source.notes if text not in known]
    if notes:
        st.subheader("How they were read")
        if len(notes) == 1:
            widgets.note(words.safe(notes[0]))
        else:
            widgets.bullets(notes)


def problems(look: Look) -> None:
    """Items that were left out, and below them the check of every file."""
    rows = source_form.left_out(look.path)
    rows += [(problem.item, problem.reason) for problem in look.source.problems]
    if rows:
        table(f"{words.count(len(rows), 'item')} left out", rows, "left-out")
    if look.bank is None and look.path not in datasets.DATASETS and look.source.media != "text":
        running = (check := checking.of(look)) is not None and not _ended(check)
        st.fragment(_check, run_every=1 if running else None)(look, running)


def _check(look: Look, was_running: bool) -> None:
    check = checking.of(look)
    if check is not None and was_running and _ended(check):
        st.rerun()
    st.subheader("Can every file be read?")
    if check is None or check.stopped or check.error:
        widgets.note(
            "Opens every file once, and finds those that cannot be decoded, the same bytes under two names, "
            "and files that two splits share. Encoding skips and lists what it cannot decode, without this."
        )
        if check is not None and check.error:
            widgets.warn(f"The check stopped: {check.error}.")
        if runs.readonly():
            return
        if st.button("Check every file"):
            checking.start(look)
            st.rerun()
    elif not check.finished:
        with st.container(horizontal=True, vertical_alignment="center"):
            share = min(1.0, check.done / max(1, check.total))
            st.progress(
                share, f"{check.doing}: {words.thousands(check.done)} of {words.thousands(check.total)}"
            )
            if st.button("Stop"):
                check.stopped = True
                st.rerun()
    else:
        _found(check)


def _found(check: checking.Check) -> None:
    if not (check.unreadable or check.copies):
        widgets.note("Every file can be read, and no two hold the same bytes.")
    for title, name, found in (
        ("cannot be read: encoding skips them", "unreadable", check.unreadable),
        ("hold the same bytes as another", "copies", check.copies),
    ):
        if found:
            rows = [(problem.item, problem.reason) for problem in found]
            table(f"{words.count(len(found), 'file')} {title}", rows, name)


def table(title: str, rows: list[tuple[str, ...]], name: str) -> None:
    """Items with a reason each, and as a file."""
    st.subheader(title)
    columns = ["item", "reason", "while"][: len(rows[0])]
    frame = pd.DataFrame(rows, columns=columns)
    st.dataframe(frame.head(PROBLEMS), hide_index=True, height=min(420, 38 + 35 * len(frame)))
    if len(frame) > PROBLEMS:
        widgets.note(f"The first {PROBLEMS}; the file has them all.")
    st.download_button("CSV", to_csv(frame), f"{name}.csv", "text/csv", on_click="ignore", key=f"csv-{name}")


def _ended(check: checking.Check) -> bool:
    return check.finished or check.stopped or bool(check.error)
