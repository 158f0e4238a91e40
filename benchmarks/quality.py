"""The proof tables: every method on PACS, on speech emotion in three languages and on the digits demo.

    python benchmarks/quality.py --data ../shared/data/banks         # every row, five seeds: hours
    python benchmarks/quality.py --rows 'pacs-*' --device cuda:0     # some rows; shells can share them
    python benchmarks/quality.py --no-run --out tables.md            # the tables of what is finished
    python benchmarks/quality.py --rows pacs-class --preset tiny     # a look, minutes

Each row is one `gelda compare` (same run folder, so a stopped row goes on where it was and a finished one
is only read); the digits row is the newest `gelda demo digits` of the workspace, else the run that ships, and
is never counted: its baselines are not tuned. Prints Markdown: figures, paired differences and a summary for
each group of rows, then tests over rows. Neutral-only and transductive rows never share a table. Exit code 1
where a row failed or is not finished.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from gelda import compare, compare_runs, recording, runs, terminal, verdicts
from gelda.cli import overrides
from gelda.compare_config import resolve_compare
from gelda.errors import UserError
from gelda.ready import open_bank
from gelda.report import METHOD_TITLES, OURS, load_report, method_title
from gelda.report_text import interval_text
from gelda.statistics import family

Report = Mapping[str, Any]
STYLES = ("photo", "art_painting", "cartoon", "sketch")
LANGUAGES = ("polish", "german", "english")
MEASURES = {"tail": ("tail", "uar", "overall"), "uar": ("uar", "unseen", "overall")}
NAMES = {"tail": "tail", "uar": "UAR", "unseen": "unseen", "overall": "overall"}
STANDINGS = {
    verdicts.EVERY: "ahead of every baseline",
    verdicts.BEST: "ahead of the best, not of every one",
    verdicts.INSIDE: "inside the best one's interval",
    verdicts.BEHIND: "behind",
    verdicts.UNKNOWN: "no interval",
}


@dataclass(frozen=True, eq=False)
class Row:
    """One comparison: its name, the group whose tables it stands in, the bank's file and the settings."""

    name: str
    group: str
    bank: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def transductive(self) -> bool:
        return bool(self.values.get("unlabelled"))


def rows() -> list[Row]:
    """Every row of the proof, in the order of the tables."""
    pacs, ser3 = "pacs_mobilenetv2.npz", "ser3_yamnet.npz"
    found = [
        Row(f"pacs-{cut}", "Long tail, PACS", pacs, {"protocol": "longtail", "cut": cut})
        for cut in ("class", "cell")
    ]
    zero = {"protocol": "zero-shot"}
    for style in STYLES:
        values = {**zero, "target": style, "keep": "person"}
        found.append(Row(f"pacs-{style}", "Zero-shot styles, PACS, kept class only", pacs, values))
    for setting, more in (("neutral-only", {}), ("transductive", {"unlabelled": True})):
        for language in LANGUAGES:
            values = {**zero, "target": language, "keep": "neutral", **more}
            name = f"ser3-{language}" + "-transductive" * bool(more)
            found.append(Row(name, f"Zero-shot languages, speech emotion, {setting}", ser3, values))
    for language in LANGUAGES:
        values = {"protocol": "few-shot", "target": language, "shots": 5}
        found.append(Row(f"ser3-{language}-5", "Few-shot languages, speech emotion, 5 a class", ser3, values))
    return [*found, Row("digits", "Digits demo, baselines not tuned")]


def chosen(pattern: str) -> list[Row]:
    """Rows whose name fits one of the comma-separated patterns."""
    every = rows()
    patterns = [p.strip() for p in pattern.split(",") if p.strip()]
    for p in patterns:
        if not any(fnmatch(row.name, p) for row in every):
            raise UserError(f"No row is called '{p}'. Rows: {', '.join(row.name for row in every)}.")
    return [row for row in every if any(fnmatch(row.name, p) for p in patterns)]


def report_of(row: Row, arguments: argparse.Namespace) -> Report | None:
    """A row's report: read, or computed; None where it is not there and must not be computed now."""
    if not row.bank:
        return digits()
    values: dict[str, Any] = {
        **row.values,
        "bank": str(arguments.data / row.bank),
        "device": arguments.device,
    }
    if arguments.seeds is not None:
        values["seeds"] = arguments.seeds
    for key, value in overrides(arguments.set).items():
        values[key] = {**values[key], **value} if isinstance(values.get(key), dict) else value
    config = resolve_compare(values, arguments.preset)
    bank = open_bank(config.bank)
    compare.check(config, bank)
    state = compare_runs.finished(config, bank)
    if state is not None:
        return load_report(state.path)
    if arguments.no_run:
        return None
    state, _ = compare_runs.prepared(config, bank)
    recording.forget_cancel(state.path)
    with terminal.progress(state) as listener:
        compare.execute(config, bank, state, listener)
    return load_report(state.path)


def digits() -> Report | None:
    """The newest finished digits demo of the workspace that may count, else the one that ships."""
    known = [*runs.list_runs(), *runs.shipped_runs()]
    done = [s for s in known if s.status == "done" and not (s.comparison or s.extraction)]
    found = [load_report(s.path) for s in done]
    return next((r for r in found if verdicts.counts(r)), next(iter(found), None))


# -- tables --------------------------------------------------------------------------------------------------


def tables(found: Mapping[Row, Report]) -> str:
    """The whole document in Markdown."""
    parts = []
    for group in dict.fromkeys(row.group for row in found):
        reports = {row.name: report for row, report in found.items() if row.group == group}
        parts += [f"## {group}", figures(reports), differences(reports), summary(reports)]
        remarks = [f"{name}: {r['remark']}" for name, r in reports.items() if r.get("remark")]
        settings = [f"- {name}: {r['setting']}" for name, r in reports.items()]
        parts += ["\n".join(settings), *remarks]
    parts += ["## Over rows"]
    for words, transductive in (("every row but the transductive ones", False), ("transductive rows", True)):
        part = {row.name: report for row, report in found.items() if row.transductive == transductive}
        if part:
            parts += [f"### {words.capitalize()}", totals(part), over_rows(part)]
    return "\n\n".join(parts) + "\n"


def figures(reports: Mapping[str, Report]) -> str:
    """Every method's means in each row of a group, and the mean of the main measure over the rows."""
    main = verdicts.main_measure(next(iter(reports.values())))
    measures = MEASURES[main]
    head = [
        f"{' / '.join(NAMES[m] for m in measures)}, %",
        *reports,
        *([f"mean {NAMES[main]}"] if len(reports) > 1 else []),
    ]
    lines = []
    for method in methods(reports):
        cells = []
        for report in reports.values():
            scores = report["methods"].get(method, {})
            cells.append(" / ".join(_number(_mean(scores, m)) for m in measures) if scores else "–")
        if len(reports) > 1:
            values = [_mean(r["methods"].get(method, {}), main) for r in reports.values()]
            cells.append(_number(float(np.mean(values))))  # NaN where the method is missing from a row
        lines.append([method_title(method), *cells])
    return markdown(head, lines)


def differences(reports: Mapping[str, Report]) -> str:
    """GeLDA − every other method on the main measure, with 95 % intervals."""
    main = verdicts.main_measure(next(iter(reports.values())))
    lines = []
    for method in methods(reports):
        if method != OURS:
            pairs = [verdicts.paired(report, method, main) for report in reports.values()]
            cells = [interval_text(p.as_json(), signed=True) for p in pairs]
            lines.append([method_title(method), *cells])
    return markdown([f"GeLDA − method, {NAMES[main]}", *reports], lines)


def summary(reports: Mapping[str, Report]) -> str:
    """What each row says, by verdicts on its main measure."""
    main = verdicts.main_measure(next(iter(reports.values())))
    head = [
        "row",
        f"best baseline ({NAMES[main]})",
        "GeLDA − it",
        "GeLDA's mean is the highest",
        "standing",
        "− shuffled, unseen",
        "− uncond, unseen",
        "overall − logit adj.",
        "counted",
    ]
    lines = []
    for name, report in reports.items():
        found = verdicts.verdict(report, main)
        if found is None:
            lines.append([name, *["–"] * (len(head) - 1)])
            continue
        lines.append(
            [
                name,
                method_title(found.best),
                interval_text(found.difference.as_json(), signed=True),
                "yes" if found.first else "no",
                STANDINGS[found.standing],
                *(_paired(report, m, "unseen") for m in ("gelda-shuffled", "gelda-uncond")),
                _paired(report, "logit-adjustment", "overall"),
                "yes" if counts(report) else "no",
            ]
        )
    return markdown(head, lines)


def totals(reports: Mapping[str, Report]) -> str:
    """In how many of the rows that count GeLDA stands where."""
    found = [verdicts.verdict(r, verdicts.main_measure(r)) for r in reports.values() if counts(r)]
    counted = [v for v in found if v is not None]
    if not counted:
        return f"None of {len(reports)} row(s) may be counted (8 test groups and 5 seeds are needed)."
    standing = [v.standing for v in counted]
    ahead = standing.count(verdicts.EVERY)
    level = standing.count(verdicts.INSIDE) + standing.count(verdicts.BEST)
    return (
        f"Of {len(counted)} row(s) that count ({len(reports) - len(counted)} more are only shown) GeLDA has "
        f"the highest mean in {sum(v.first for v in counted)}. It is ahead of every baseline in {ahead}, "
        f"ahead of the best one or inside its interval in {level} more, and behind the best one in "
        f"{standing.count(verdicts.BEHIND)}."
    )


def over_rows(reports: Mapping[str, Report]) -> str:
    """GeLDA − each baseline over the rows that count: one-sided tests, Holm-adjusted over the baselines."""
    counted = [r for r in reports.values() if counts(r) and OURS in r["methods"]]
    if not counted:
        return "No tests over rows: no row may be counted."
    others = [m for m in methods(reports) if any(m in verdicts.baselines(r) for r in counted)]
    gaps = {
        m: np.array([verdicts.paired(r, m, verdicts.main_measure(r)).mean for r in counted]) for m in others
    }
    tested = family(gaps)
    lines = []
    for method, values in gaps.items():
        there = values[np.isfinite(values)]
        p = tested[method]
        lines.append(
            [
                method_title(method),
                f"{there.mean():+.1f}" if len(there) else "–",
                f"{int((there > 0).sum())} of {len(there)}",
                f"{p['wilcoxon']:.3f}",
                f"{p['sign']:.3f}",
            ]
        )
    head = ["GeLDA − baseline, main measure", "mean", "rows ahead", "Wilcoxon p (Holm)", "sign test p (Holm)"]
    return markdown(head, lines)


def counts(report: Report) -> bool:
    """Whether a row may count: enough test groups and seeds, and every arm's setting chosen on validation."""
    return verdicts.counts(report) and "selection" in report["config"]


def methods(reports: Mapping[str, Report]) -> list[str]:
    """Methods of any of the reports, in the registry's order."""
    there = {m for report in reports.values() for m in report["methods"]}
    return [m for m in METHOD_TITLES if m in there] + sorted(there - set(METHOD_TITLES))


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    every = ["| " + " | ".join(cells) + " |" for cells in (head, *lines)]
    return "\n".join([every[0], "|" + "---|" * len(head), *every[1:]])


def _mean(scores: Mapping[str, Any], measure: str) -> float:
    return verdicts.interval(scores.get(measure)).mean


def _number(value: float) -> str:
    return f"{value:.1f}" if np.isfinite(value) else "–"


def _paired(report: Report, method: str, measure: str) -> str:
    return interval_text(verdicts.paired(report, method, measure).as_json(), signed=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--rows", default="*", help="names or patterns of rows, with commas")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/banks"), help="folder of the banks")
    parser.add_argument("--seeds", type=int, help="5 where it is left out")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", action="append", default=[], help="section.setting=value, repeatable")
    parser.add_argument("--no-run", action="store_true", help="only rows that are finished")
    parser.add_argument("--list", action="store_true", help="print the rows' names and stop")
    parser.add_argument("--out", type=Path, help="write the tables to this file, too")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run or read every row, print the tables; 1 where a row failed or is missing."""
    asked = parse(arguments)
    try:
        wanted = chosen(asked.rows)
    except UserError as error:
        print(f"quality: {error}", file=sys.stderr)
        return 2
    if asked.list:
        print("\n".join(f"{row.name:<28}{row.group}" for row in wanted))
        return 0
    found: dict[Row, Report] = {}
    left = []
    for number, row in enumerate(wanted):
        print(f"row {number + 1} of {len(wanted)}: {row.name}", file=sys.stderr, flush=True)
        try:
            report = report_of(row, asked)
        except UserError as error:
            print(f"quality: {row.name}: {error}", file=sys.stderr)
            report = None
        if report is None:
            left.append(row.name)
        else:
            found[row] = report
    text = tables(found) if found else ""
    if left:
        text += f"\nNot in these tables, for they failed or are not finished: {', '.join(left)}.\n"
    print(text)
    if asked.out:
        asked.out.write_text(text, encoding="utf-8")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
