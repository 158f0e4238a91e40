"""What edits did and what Confirm found, as the one sentence that a person quotes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gelda import edits as editing
from gelda.edit_figures import touched
from gelda.kit import Kit
from gelda.statistics import MIN_GROUPS

MEASURES = {"tail": "the accuracy in the rare classes", "uar": "the mean recall", "overall": "the accuracy"}
SPELT = 3  # steps, classes or cells that are named one by one


def sentence(kit: Kit, look: Mapping[str, Any], steps: Sequence[Any]) -> str:
    """ "I removed 9 synthetic latents of eight; on dev its recall rose by 2.1 ± 1.0 points; confirmed on
    test: +1.8 ± 1.1." look: an entry of `confirm`; steps: those that it looked at."""
    about = touched(kit, steps)
    pairs = [look[half]["measures"][look["main"]] for half in ("dev", "test")]
    what = _measure(kit, look["main"])
    if len(about) == 1:
        own = [next((c for c in look[half]["classes"] if c["class"] == about[0]), None)
               for half in ("dev", "test")]  # fmt: skip
        if all(own):
            pairs, what = own, f"the recall of {kit.classes[about[0]]}"
    dev, test = pairs
    few = [
        p.get("groups", look["groups"][half]) < MIN_GROUPS
        for p, half in zip(pairs, look["groups"], strict=True)
    ]
    held = _certain(dev) and _certain(test) and dev["mean"] * test["mean"] > 0 and not any(few)
    name = "confirmed on test" if held and look["number"] == 1 else "on test"
    standing = (
        "the first look at it" if look["number"] == 1 else f"look number {look['number']}, so no result"
    )
    return (
        f"I {_did(kit, steps)}; on dev {what} {_changed(dev)}{_doubt(dev, few[0])}; {name} ({standing}): "
        f"{_points(test, signed=True)}{_doubt(test, few[1])}."
    )


def _measure(kit: Kit, name: str) -> str:
    said = MEASURES.get(name, f"the measure {name}")
    return said.replace("classes", "cells") if kit.about["by_cell"] else said


def _did(kit: Kit, steps: Sequence[Any]) -> str:
    if len(steps) > SPELT:
        return f"changed the synthetic latents in {len(steps)} steps"
    rows = editing.applied(kit, steps).rows
    done = []
    for step in steps:
        ids = set(getattr(step, "ids", ()))
        own = rows.loc[rows["id"].isin(ids), "label"].unique()
        where = [_listed(names, noun) for names, noun in (
            (list(getattr(step, "classes", ())), "classes"),
            ([f"{c} {s}" for c, s in getattr(step, "cells", ())], "cells"),
        ) if names]  # fmt: skip
        parts = [f"the synthetic latents of {' and '.join(where)}"] if where else []
        if ids:
            parts.insert(
                0, f"{len(ids)} {_latents(len(ids))} of {_listed([kit.classes[c] for c in own], 'classes')}"
            )
        which, more = " and ".join(parts) or "all synthetic latents", getattr(step, "count", 0)
        each = "each of " * (len(getattr(step, "cells", ())) > 1)
        done.append(
            {
                "drop": f"removed {which}",
                "keep": f"took back {which}",
                "weight": f"gave {getattr(step, 'factor', 1):g} times their weight to {which}",
                "resample": f"made {which} anew",
                "add": f"made {more} more {_latents(more)} for {each}{' and '.join(where)}",
            }[step.kind]
        )
    return ", then ".join(done)


def _latents(count: int) -> str:
    return f"synthetic latent{'s' * (count != 1)}"


def _listed(names: Sequence[str], noun: str) -> str:
    if len(names) > SPELT:
        return f"{len(names)} {noun}"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _changed(pair: Mapping[str, Any]) -> str:
    if pair["mean"] == 0:
        return "did not change"
    if _zero(pair):
        return "changed by less than 0.1 points"
    return f"{'rose' if pair['mean'] > 0 else 'fell'} by {_points(pair)}"


def _zero(pair: Mapping[str, Any]) -> bool:
    return round(pair["mean"], 1) == 0


def _certain(pair: Mapping[str, Any]) -> bool:
    low, high = pair["ci95"]
    return bool(low is not None and (low > 0 or high < 0))


def _points(pair: Mapping[str, Any], signed: bool = False) -> str:
    """ "+2.1 ± 1.0 points": the mean and half its 95 % interval, which lies about it."""
    low, high = pair["ci95"]
    mean = f"{pair['mean']:+.1f}".replace("-", "−") if signed else f"{abs(pair['mean']):.1f}"
    if signed and _zero(pair):
        mean = "0.0"
    half = f" ± {(high - low) / 2:.1f}" if low is not None and np.isfinite(low) else ""
    return f"{mean}{half} points"


def _doubt(pair: Mapping[str, Any], few: bool) -> str:
    return " (on too few groups to tell)" if few else "" if _certain(pair) else " (inside the noise)"
