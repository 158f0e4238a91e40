"""What runs are called in a list to choose from: those of one name by the settings in which they differ."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from app import loading, words
from gelda import runs
from gelda.errors import UserError

MOST = 2  # settings that a title names


def titles(found: Sequence[runs.RunState]) -> dict[str, str]:
    """Titles by the ids of runs; no two are the same."""
    differ: dict[str, str] = {}
    for _, group in groupby(sorted(found, key=lambda run: run.name), key=lambda run: run.name):
        alike = list(group)
        if len(alike) > 1:
            differ |= _differences(alike)
    return words.distinct({run.id: _title(run, differ.get(run.id, "")) for run in found})


def _title(run: runs.RunState, differs: str) -> str:
    when = "ships with the product" if run.shipped else words.ago(run.created) or run.id
    # what tells runs apart stands first: a list cuts long titles off at their end
    return " · ".join(filter(None, (differs, run.name, when)))


def _differences(alike: Sequence[runs.RunState]) -> dict[str, str]:
    """{run: "imbalance 50, seeds 3"}: the first settings in which runs of one name are not all the same."""
    from gelda import contrast, setting_words  # only where names are alike
    from gelda.config import flat

    specs = {}
    for run in alike:
        try:
            spec = flat(loading.spec(run.path))
            specs[run.id] = {name: contrast.told(value) for name, value in spec.items()}
        except UserError:
            specs[run.id] = {}
    names = [
        name
        for name in dict.fromkeys(name for one in specs.values() for name in one)
        if name not in (*contrast.UNTOLD, "bank")
        and len({one.get(name) for one in specs.values() if one}) > 1
    ][:MOST]
    return {
        run: ", ".join(
            setting_words.beside(
                setting_words.setting(name), words.cut(setting_words.choice(name, one[name]), 24)
            )
            for name in names
            if one.get(name)
        )
        for run, one in specs.items()
    }
