"""The sentence that a person quotes of a confirmed loop: never more than the figures allow."""

from __future__ import annotations

import kit_fixtures as made
import pytest

from gelda import kit
from gelda.edit_text import sentence
from gelda.edits import Add, Drop, Keep, Resample, Weight


@pytest.fixture
def planted(gelda_home):
    return kit.load(made.make_run(map_too=False))


def pair(mean: float, half: float, **more) -> dict:
    return {"mean": mean, "ci95": [mean - half, mean + half], **more}


def look(dev: dict, test: dict, number: int = 1, groups: int = 100) -> dict:
    """As `confirm` writes one: the same change for the main measure and for every class."""
    halves = {
        half: {"measures": {"tail": change}, "classes": [{"class": c, **change} for c in range(8)]}
        for half, change in (("dev", dev), ("test", test))
    }
    return {"main": "tail", "number": number, "groups": {"dev": groups, "test": groups}, **halves}


@pytest.mark.parametrize(
    ("dev", "test", "number", "groups", "said"),
    [
        (pair(2.1, 1), pair(1.8, 1.1), 1, 100,
         "rose by 2.1 ± 1.0 points; confirmed on test (the first look at it): +1.8 ± 1.1 points."),
        (pair(-2.1, 1), pair(-0.02, 1.1), 1, 100,
         "fell by 2.1 ± 1.0 points; on test (the first look at it): 0.0 ± 1.1 points (inside the noise)."),
        (pair(2.1, 1), pair(1.8, 1.1), 3, 100,
         "rose by 2.1 ± 1.0 points; on test (look number 3, so no result): +1.8 ± 1.1 points."),
        (pair(0.04, 1), pair(1.8, 1.1), 1, 100,
         "changed by less than 0.1 points (inside the noise); on test (the first look at it): +1.8 ± 1.1 "
         "points."),
        (pair(-0.04, 0.01), pair(1.8, 1.1), 1, 100,
         "changed by less than 0.1 points; on test (the first look at it): +1.8 ± 1.1 points."),
        (pair(0.0, 1), pair(1.8, 1.1), 1, 100,
         "did not change (inside the noise); on test (the first look at it): +1.8 ± 1.1 points."),
        (pair(2.1, 1), pair(1.8, 1.1), 1, 4,
         "rose by 2.1 ± 1.0 points (on too few groups to tell); on test (the first look at it): +1.8 ± 1.1 "
         "points (on too few groups to tell)."),
        (pair(2.1, 1), {"mean": 1.8, "ci95": [None, None]}, 1, 100,
         "rose by 2.1 ± 1.0 points; on test (the first look at it): +1.8 points (inside the noise)."),
    ],
)  # fmt: skip
def test_it_says_what_the_intervals_and_the_count_of_looks_allow(planted, dev, test, number, groups, said):
    told = sentence(planted, look(dev, test, number, groups), [Drop(classes=("dog",))])
    assert told == f"I removed the synthetic latents of dog; on dev the recall of dog {said}"


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([Drop(ids=made.bad_ids())], f"removed {len(made.bad_ids())} synthetic latents of dog; on dev the "),
        ([Drop(ids=made.bad_ids()[:1])], "removed 1 synthetic latent of dog; "),
        ([Weight(factor=0.5)], "gave 0.5 times their weight to all synthetic latents; on dev the accuracy "),
        ([Keep(cells=(("dog", "day"),))], "took back the synthetic latents of dog day; "),
        ([Resample(cells=(("dog", "day"), ("dog", "night")))],
         "made the synthetic latents of dog day and dog night anew; "),
        ([Add(cells=(("dog", "day"),), count=20), Drop(classes=("dog",))],
         "made 20 more synthetic latents for dog day, then removed the synthetic latents of dog; "),
        ([Add(cells=(("dog", "day"), ("dog", "night")), count=1)],
         "made 1 more synthetic latent for each of dog day and dog night; "),
        ([Weight(factor=0.5)] * 4, "changed the synthetic latents in 4 steps; "),
    ],
)  # fmt: skip
def test_it_says_what_was_done(planted, steps, said):
    assert sentence(planted, look(pair(2, 1), pair(2, 1)), steps).startswith(f"I {said}")
