"""Validation of a comparison's arms while it goes on: a row an arm, the lowest first."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app import charts, words
from app.palette import theme
from gelda.arm_progress import ArmProgress
from gelda.augmenters import AUGMENTERS

ROW = 22  # pixels
OURS = "gelda"
MOST = 12  # arms in the figure; our own is always there


def title_of(arm: str) -> str:
    return AUGMENTERS[arm].title if arm in AUGMENTERS else arm


def scores(told: ArmProgress) -> pd.DataFrame:
    """One row a score: arm, title, seed, score, mean of the arm; lowest mean first.

    Scores that are not finite are left out.
    """
    seeds = told.seeds()
    rows = [
        (arm, title_of(arm), seed, by_seed[seed])
        for arm, by_seed in told.validated.items()
        for seed in seeds
        if by_seed.get(seed) is not None
    ]
    frame = pd.DataFrame(rows, columns=["arm", "title", "seed", "score"])
    frame["mean"] = frame.groupby("arm")["score"].transform("mean").astype(float)
    return frame.sort_values(["mean", "title"], kind="stable")


def validation(told: ArmProgress, theme_name: str | None) -> go.Figure | None:
    """None where validation has said nothing yet."""
    frame, look = scores(told), theme(theme_name)
    if frame.empty:
        return None
    every = list(dict.fromkeys(frame["arm"]))
    arms = [arm for place, arm in enumerate(every) if place < MOST or arm == OURS]
    frame = frame[frame["arm"].isin(arms)]
    place = frame["arm"].map({arm: k for k, arm in enumerate(arms)})
    means = frame.drop_duplicates("arm")
    colours = [look.accent if arm == OURS else look.muted for arm in arms]
    data = [
        dict(
            type="scatter", mode="markers", x=frame["score"], y=place, hoverinfo="skip",
            marker=dict(size=6, color=look.quiet, opacity=0.7),
        ),
        dict(
            type="scatter", mode="markers", x=means["mean"], y=np.arange(len(arms)),
            customdata=means["title"], marker=dict(size=9, color=colours),
            hovertemplate="%{customdata}: %{x:.3f}<extra></extra>",
        ),
    ]  # fmt: skip
    labels = [f"<b>{title_of(a)}</b>" if a == OURS else title_of(a) for a in arms]
    layout = dict(
        xaxis=dict(title_text="class-mean log-loss on validation, lower is better", nticks=6),
        yaxis=dict(tickmode="array", tickvals=list(range(len(arms))), ticktext=labels, zeroline=False,
                   range=[len(arms) - 0.4, -0.6], tickfont=dict(color=look.ink), ticklabelstandoff=8),
    )  # fmt: skip
    figure = go.Figure(dict(data=data, layout=layout))
    seeds = told.seeds()
    over = f"Mean over {words.count(len(seeds), 'seed')}" if len(seeds) > 1 else "One seed"
    rest = len(told.tuned) - len(told.validated)
    note = f"{over}." + (f" The best {MOST} of {len(every)}." if len(every) > MOST else "")
    note += f" {words.count(rest, 'method')} still to come." if rest else ""
    title = f"Best on validation so far: {title_of(arms[0])}"
    charts.finish(figure, look, title, 150 + ROW * len(arms), note)
    return figure.update_layout(margin=dict(t=84))
