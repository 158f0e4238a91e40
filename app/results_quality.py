"""Results: are the synthetic latents like real ones? Every figure between its ceiling and its floor."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import widgets, words
from gelda import card


def view(report: dict[str, Any]) -> None:
    """Four figures in words, then all of them in a table."""
    generator = report.get("generator")
    if not generator:
        return
    st.header("Are the synthetic latents healthy?")
    figures = health(generator, _filtered(report))
    for column, (name, value, beside, how) in zip(
        st.columns(len(figures), gap="medium"), figures, strict=True
    ):
        with column:
            st.html(
                f'<div class="figure"><p class="what">{name}</p><p class="value">{value}</p>'
                f'<p class="how">{words.safe(beside)}</p><p class="how read">{how}</p></div>'
            )
    _table(generator)


def health(generator: dict[str, Any], filtered: bool = True) -> list[tuple[str, str, str, str]]:
    """The generator's figures: name, value, what it stands beside, how to read it."""
    n = words.number

    def percent(key: str) -> str:
        return n(100 * generator[key], 0) if generator.get(key) is not None else "–"

    return [
        (
            "Variance ratio",
            n(generator.get("variance_ratio"), 2),
            f"rare classes {n(generator.get('variance_ratio_tail'), 2)}; real is 1",
            "Spread within a class, over that of held-out real latents. Under 1: they vary too little.",
        ),
        (
            "Fréchet distance",
            n(generator.get("frechet"), 1),
            f"real to real {n(generator.get('frechet_real'), 1)}; "
            f"a Gaussian {n(generator.get('frechet_gaussian'), 1)}",
            "How far the shapes of the synthetic and real clouds differ, class means removed. Real to real "
            "is as good as it gets; above the Gaussian, one covariance for all classes does better.",
        ),
        (
            "Memorisation",
            percent("memorisation"),
            f"% near a training latent; held-out real {percent('memorisation_real')} %",
            "Share of latents nearer to a training latent than 95 % of held-out real ones are. Well above "
            "the real figure: copies. Well below: they lie further out than real ones do.",
        ),
        (
            "Kept by the filter",
            percent("kept_share"),
            "% of synthetic latents",
            "The others of each cell scored lowest and were not trained on."
            if filtered
            else "This run uses no filter: every synthetic latent is trained on.",
        ),
    ]


def _filtered(report: dict[str, Any]) -> bool:
    return report.get("config", {}).get("sampling", {}).get("filter", "none") != "none"


def finding(generator: dict[str, Any]) -> str:
    """In how many figures the generator beats the floor, a Gaussian around each class mean."""
    told = [
        (made > gaussian) == card.HEALTH[key][1]
        for key, made, _, gaussian in card.health_rows(generator)
        if card.HEALTH[key][1] is not None and gaussian == gaussian and made != gaussian
    ]
    if not told:
        return "Every figure, with its ceiling and its floor"
    better = sum(told)
    which = {0: "none", len(told): "all"}.get(better, str(better))
    return f"Nearer to real than a Gaussian in {which} of {len(told)} figures"


def _table(generator: dict[str, Any]) -> None:
    rows = []
    for key, made, real, gaussian in card.health_rows(generator):
        name, more, meaning = card.HEALTH[key]
        beaten = more is not None and gaussian == gaussian and made != gaussian and (made > gaussian) == more
        texts = [card.digits(value).replace("-", "−") for value in (made, real, gaussian)]
        looks = [' class="best"' * beaten, "", ""]
        cells = "".join(f"<td{look}>{text}</td>" for look, text in zip(looks, texts, strict=True))
        better = {True: "more is better", False: "less is better", None: ""}[more]
        told = "; ".join(filter(None, (meaning, better)))
        rows.append(f"<tr><td>{name}</td>{cells}<td>{words.safe(told)}</td></tr>")
    if not rows:
        return
    st.subheader(finding(generator))
    head = "<th>synthetic</th><th>real to real (ceiling)</th><th>a Gaussian (floor)</th><th></th>"
    widgets.table("", head, rows, "forms")
    widgets.note(
        "Means over seeds, in the standardised latents at the layer of generation, against real latents that "
        "nothing was fitted on. Underlined: nearer to real than a Gaussian of one covariance around each "
        "class mean."
    )
