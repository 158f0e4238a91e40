"""Sentences for people: numbers with their intervals, names of points, statuses; nothing is computed."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from gelda import rounding

METRICS = {
    "tail": "Rare classes (tail)",
    "uar": "UAR",
    "unseen": "Cells never seen",
    "overall": "All",
    "head": "Frequent classes",
    "medium": "Medium classes",
    "worst": "Worst class",
    "macro_f1": "Macro F1",
    "harmonic": "Harmonic mean",
    "geometric": "Geometric mean",
}
CELLS = {  # where rare is said of cells (class, subdomain)
    "tail": "Rare cells (tail)",
    "head": "Frequent cells",
    "medium": "Medium cells",
    "uar": "Mean of cells",
}
MEANINGS = {
    "tail": "accuracy on the classes with the fewest training samples",
    "uar": "unweighted average recall: every class counts the same",
    "unseen": "accuracy where a class has no real training sample under a condition",
    "overall": "accuracy over all items",
}
NOUNS = {"image": "picture", "audio": "clip", "text": "text", "": "item"}
STATUS = {
    "queued": "waiting to start",
    "running": "running",
    "done": "finished",
    "failed": "failed",
    "cancelled": "cancelled",
    "interrupted": "interrupted",
    "broken": "cannot be read",
}


def measure(name: str, by_cell: bool = False) -> str:
    """A measure's title."""
    return (CELLS if by_cell else {}).get(name) or METRICS.get(name, name)


def number(value: float | None, digits: int = 1, signed: bool = False) -> str:
    """A figure with a true minus sign, and no sign where it is shown as zero; a dash where there is none."""
    if value is None or value != value:
        return "–"
    return rounding.number(value, digits, signed).replace("-", "−")


def figure(value: float) -> str:
    """A number of any size in two or three significant digits."""
    digits = 2 if abs(value) < 10 else 3
    return f"{value:.{digits}g}".replace("-", "−")


def day(days: float) -> str:
    """Days since 1970 as a date."""
    return str((datetime(1970, 1, 1) + timedelta(days=float(days))).date())


def share(of_one: float) -> str:
    """A share of 1 in percent; a small one is not none."""
    percent = 100 * of_one
    return f"{percent:.0f} %" if percent >= 1 or percent == 0 else "< 1 %"


def cut(text: str, most: int) -> str:
    """A text of no more than so many characters."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def interval(ci95: Sequence[float] | None, signed: bool = False) -> str:
    """Both ends; an unsigned one is a share, so it is shown within 0 to 100."""
    if not ci95 or any(v is None or v != v for v in ci95):
        return "–"
    if not signed:
        ci95 = [min(100.0, max(0.0, v)) for v in ci95]
    return " to ".join(rounding.ends(ci95[0], ci95[1], signed)).replace("-", "−")


def percent(ci95: Sequence[float] | None) -> str:
    """The unit of a share, with its interval where it has one."""
    return "%" if not ci95 or any(v is None for v in ci95) else f"% (interval {interval(ci95)})"


def certain(ci95: Sequence[float] | None) -> bool:
    """Does the interval exclude zero?"""
    return bool(ci95) and None not in ci95 and (ci95[0] > 0 or ci95[1] < 0)


def verdict(pair: Mapping[str, Any]) -> str:
    """Ahead, behind, or inside the noise; never more than the interval allows."""
    if not certain(pair.get("ci95")):
        return "inside the noise"
    return "ahead" if pair["mean"] > 0 else "behind"


def difference(pair: Mapping[str, Any] | None, reference: str = "logit adjustment") -> str:
    """One line on a paired difference, with its interval."""
    if not pair or pair.get("mean") is None:
        return f"no paired difference to {reference}"
    if None in pair["ci95"]:
        return f"{number(pair['mean'], signed=True)} points to {reference}, too few seeds, so no interval"
    text = f"95 % interval {interval(pair['ci95'], signed=True)}"
    said = verdict(pair)
    if said == "inside the noise":
        return f"{number(pair['mean'], signed=True)} points to {reference}: inside the noise ({text})"
    return f"{number(abs(pair['mean']))} points {said} of {reference} ({text})".replace("behind of", "behind")


def hovered(frame: pd.DataFrame) -> list[str]:
    """What a chart says of paired differences (columns mean, low, high) under the pointer."""
    said = []
    for mean, *ends in frame[["mean", "low", "high"]].to_numpy(dtype=float):
        sure = f"95 % interval {interval(ends, signed=True)}" if ends[0] == ends[0] else "no interval"
        noise = "" if certain(ends) or ends[0] != ends[0] else ", inside the noise"
        said.append(f"{number(mean, signed=True)} points<br>{sure}{noise}")
    return said


def cell(
    row: Mapping[str, Any], classes: Sequence[str], subdomains: Sequence[str], mark: bool = False
) -> str:
    """Class and subdomain of a point, "eight, inverted"; with `mark` as HTML, *anger* in *Polish*."""
    name, place = classes[int(row["label"])], subdomains[int(row["subdomain"])]
    if mark:
        name, place = f"<em>{safe(name)}</em>", f"<em>{safe(place)}</em>"
    if len(subdomains) == 1:
        return name
    return f"{name} in {place}" if mark else f"{name}, {place}"


def article(noun: str) -> str:
    """ "an image", "a clip"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def count(number_of: int, noun: str, plural: str | None = None) -> str:
    return f"{thousands(number_of)} {noun if number_of == 1 else plural or noun + 's'}"


def thousands(number_of: int) -> str:
    """A whole number in groups of three."""
    return f"{number_of:,}".replace(",", "\u202f")


def axis(run: Any, meta: Mapping[str, Any]) -> str:
    """What a run calls its subdomains: condition, language …"""
    return meta.get("axes", ("class", "subdomain" if run.comparison else "condition"))[1]


def kind(meta: Mapping[str, Any]) -> str:
    """What a run calls its classes: class, emotion …"""
    return meta.get("axes", ("class",))[0]


def plural(noun: str) -> str:
    return noun + ("es" if noun.endswith("s") else "s")


def listed(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def absent(missed: Sequence[tuple[str, str]], where: str) -> str:
    """What a link names (noun, name) and is not in `where`; runs and studies are not in the workspace."""
    named: dict[str, list[str]] = {}
    for noun, name in missed:
        named.setdefault(noun, []).append(f"“{cut(name, 60)}”")
    parts = []
    for noun, names in named.items():
        more = [f"{len(names) - 3} more"] if len(names) > 3 else []
        parts.append(f"the {noun if len(names) == 1 else plural(noun)} {listed([*names[:3], *more])}")
    runs = [noun in ("run", "study") for noun in named]
    place = "in this workspace" if all(runs) else "here" if any(runs) else f"in {where}"
    return (
        f"This link names {listed(parts)}, which {'is' if len(missed) == 1 else 'are'} not {place}: "
        "shown is what is here, and the lists on this page have all that can be chosen."
    )


def size(count: float) -> str:
    """Bytes for people."""
    for unit, large in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= large:
            return f"{count / large:.3g}\u00a0{unit}"
    return f"{count:.0f} bytes"


def ago(stamp: str) -> str:
    """How long since an ISO time, in words."""
    try:
        then = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    except ValueError:
        return ""
    seconds = (datetime.now(UTC) - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds()
    for size, noun in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{count(int(seconds // size), noun)} ago"
    return "just now"


def duration(seconds: float | None) -> str:
    """ "45 s", "1 min 18 s", "34 min", "2 h 5 min", "3 days"."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return f"{round(minutes / 1440)} days"


def about(low: float, high: float) -> str:
    """ "about 20 s", or "8 s to 1 min" where the guess is wide."""
    low, high = (round(s, -1) if s >= 20 else s for s in (low, high))
    if high <= 1.5 * low + 2:
        return f"about {duration(high)}"
    return f"{duration(low)} to {duration(high)}"


def trust(value: float | None, neighbours: int) -> str:
    """What trustworthiness says about a map, in words."""
    if value is None or value != value:
        return "How far the map keeps neighbourhoods has not been measured."
    if value >= 0.95:
        kept = "Real points that lie close together here are nearly always close in latent space too"
    elif value >= 0.85:
        kept = "Real points that lie close together here are mostly close in latent space too"
    else:
        kept = "Many real points that lie close together here are not close in latent space"
    return (
        f"{kept} (trustworthiness {value:.2f} of 1, {neighbours} neighbours). Synthetic points and test "
        "items are only placed among them, and are not part of this figure. "
        "Distances between groups and their sizes mean little."
    )


def minus(text: str) -> str:
    """A sentence with true minus signs before its figures."""
    return re.sub(r"(?<=[\s(\[])-(?=\d)", "−", text)


def plain(text: str) -> str:
    """A title without its markup, for readers of the screen."""
    return html.unescape(re.sub(r"<[^>]+>", "", text))


def distinct(titles: Mapping[str, str]) -> dict[str, str]:
    """Titles of choices by their key, with the key beside those that are alike.

    A list knows what was chosen by its title alone: of two that are alike, the second could never be.
    """
    number = Counter(titles.values())
    return {key: f"{title} ({key})" if number[title] > 1 else title for key, title in titles.items()}


def escaped(text: object) -> str:
    """Text for Markdown: names come from files."""
    return re.sub(r"([\\`*_{}\[\]()#+.!|<>$~:&=-])", r"\\\1", str(text))


def markdown(text: object) -> str:
    """A sentence for Markdown: a command between backticks stays code, all else is escaped, for it may name
    what comes from a file or an address. A plain web address in it is still a link, to what it says."""
    code = re.compile(r"((?<!`)`(?!`)[^`\n]+`(?!`))")
    parts = code.split(" ".join(str(text).splitlines()))
    return "".join(part if k % 2 else escaped(part) for k, part in enumerate(parts))


def safe(text: object) -> str:
    """Text for HTML: names come from files."""
    return html.escape(str(text))
