"""What is going on: runs that go or wait, in the order of the line, and what is told so far."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import arm_charts, curve_charts, loading, run_care, run_list, widgets, words
from app.figures import show
from gelda import arm_progress, curves, runs, slots
from gelda.arm_progress import ArmProgress

_SEEN = "_seen_going"  # ids of runs that were drawn as going, in this session
CURVES = 6  # generators of a comparison whose losses are drawn


def alive() -> list[runs.RunState]:
    """Runs with a report that go or wait, the line's next one first."""
    found = [run for run in _recent() if run.status in widgets.ALIVE]
    line = {run.id: place for place, run in enumerate(slots.line())}
    return sorted(found, key=lambda r: line.get(r.id, -1))


def _recent() -> list[runs.RunState]:
    return [run for run in runs.list_runs(limit=run_list.RECENT) if run.reported]


def view() -> list[str]:
    """What goes, drawn again every second, and what has ended under this session's eyes; the ids of both."""
    before = [run.id for run in alive()]
    st.fragment(_live, run_every=1 if before else None)(before)
    over = _ended()
    run_care.dialog(over)
    if over:
        st.header("Ended just now")
        for run in over:
            run_list.row(run)
    st.session_state[_SEEN] = list(dict.fromkeys([*st.session_state.get(_SEEN, []), *before]))
    return [*before, *(run.id for run in over)]


def _ended() -> list[runs.RunState]:
    """Runs that this session saw going and that go no more: they keep their place, with what can be done."""
    seen = st.session_state.get(_SEEN, [])
    return [run for run in _recent() if run.id in seen and run.status not in widgets.ALIVE]


def _live(before: list[str]) -> None:
    found = alive()
    if {run.id for run in found} != set(before):
        st.rerun()  # the lists below change too
    if not found:
        return
    st.header("Going on")
    with st.container(key="going"):
        for run in found:
            with widgets.guarded():
                (_running if run.status == "running" else run_list.row)(run)


def _running(run: runs.RunState) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        run_list.row(run)
    if run.comparison:
        _comparison(run, left, right)
    else:
        _run(run, right)


def _run(run: runs.RunState, place: DeltaGenerator) -> None:
    frame = curves.losses(run.path)
    if len(frame):
        spec = loading.spec(run.path)
        note = curve_charts.of_run(frame, spec["seeds"])
        figure = curve_charts.losses(frame, st.context.theme.type, spec["generator"]["steps"], note)
        with place:
            show(figure, f"loss-{run.id}")


def _comparison(run: runs.RunState, left: DeltaGenerator, right: DeltaGenerator) -> None:
    """Validation of the arms on the right; under the stages what the generator in training loses."""
    from gelda import compare_costs  # it imports torch, which a cold page does not wait for

    told = arm_progress.read(run.path)
    if told is None:
        return
    with left:
        frame = curves.losses(run.path)
        if len(frame):
            last = list(dict.fromkeys(frame["stage"]))[-CURVES:]
            steps = loading.spec(run.path)["generator"]["steps"]
            part, note = frame[frame["stage"].isin(last)], curve_charts.of_comparison(last[-1])
            show(curve_charts.losses(part, st.context.theme.type, steps, note), f"loss-{run.id}")
    with right:
        figure = arm_charts.validation(told, st.context.theme.type)
        if figure is not None:
            show(figure, f"arms-{run.id}")
        left_over = compare_costs.remaining(run)
        about = f" About {words.duration(left_over)} left in all." if left_over is not None else ""
        widgets.note(done(told) + about)
        with st.expander("Every method"):
            _table(told)


def done(told: ArmProgress) -> str:
    """ "13 methods: 12 of 90 settings chosen on validation, 0 of 130 trainings done."""
    validated = sum(len(seeds) for seeds in told.validated.values())
    chosen = f"{validated} of {len(told.tuned) * told.rounds} settings chosen on validation"
    trained = f"{sum(told.trained.values())} of {len(told.methods) * told.total} trainings done"
    return f"{words.count(len(told.methods), 'method')}: {chosen}, {trained}."


def _table(told: ArmProgress) -> None:
    mean, rows = arm_charts.scores(told).drop_duplicates("arm").set_index("arm")["mean"], []
    for arm in told.methods:
        tuned = f"{len(told.validated.get(arm, {}))} of {told.rounds}" if arm in told.tuned else "–"
        own = ' class="own"' if arm == arm_charts.OURS else ""
        rows.append(
            f"<tr{own}><td>{words.safe(arm_charts.title_of(arm))}</td>"
            f"<td>{words.number(mean.get(arm), 3)}</td><td>{tuned}</td>"
            f"<td>{told.trained.get(arm, 0)} of {told.total}</td></tr>"
        )
    widgets.table("", "<th>log-loss on validation</th><th>setting chosen</th><th>trained</th>", rows)
