"""Figures as text: what reads as zero has no sign, and an interval shows which side of zero it ends on."""

import numpy as np
import pytest

from gelda import report_text, rounding


@pytest.mark.parametrize(
    ("value", "signed", "said"),
    [
        (-0.04, True, "0.0"),
        (0.04, True, "0.0"),
        (-0.04, False, "0.0"),
        (-0.06, True, "-0.1"),
        (2, True, "+2.0"),
    ],
)
def test_what_reads_as_zero_has_no_sign(value, signed, said):
    assert rounding.number(value, signed=signed) == said


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.04, 1.3, "-0.04 to +1.3"),
        (0.04, 1.3, "+0.04 to +1.3"),
        (-2.0, -0.002, "-2.0 to -0.002"),
        (0.0, 0.0, "0.0 to 0.0"),
        (-1e-9, 0.5, "0.0 to +0.5"),
    ],
)
def test_an_end_shows_its_side_of_zero(low, high, said):
    assert " to ".join(rounding.ends(low, high, signed=True)) == said


def test_a_share_needs_no_more_decimals():
    assert rounding.ends(0.02, 3.0) == ("0.0", "3.0")


def test_tables_and_pages_agree():
    from app import words

    rng = np.random.default_rng(0)
    for low in [*rng.normal(0, 0.05, 40), -0.0]:
        pair = {"mean": low + 0.5, "ci95": [low, low + 1]}
        ends = words.interval(pair["ci95"], signed=True).split(" to ")
        assert f"[{', '.join(ends)}]".replace("−", "-") in report_text.interval_text(pair, signed=True)
        assert words.certain(pair["ci95"]) == ends[0].startswith("+") or not low
