"""The report's numbers, worked out by hand on a small example, and its forms."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gelda import __version__, card, report, report_text, statistics
from gelda.artifacts import write_json
from gelda.errors import UserError
from gelda.statistics import cluster_interval

GROUPS = {"head": (0,), "medium": (1,), "tail": (2,)}
EMPTY = ((2, 1),)
TRUE = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
SUBDOMAIN = np.array([0, 0, 1, 1, 0, 1, 0, 0, 1, 1])
GROUP = np.array(["a", "a", "b", "b", "c", "c", "d", "e", "d", "e"])
COUNTS = np.array([[9, 8], [4, 3], [2, 0]])


@pytest.fixture(autouse=True, scope="module")
def two_seeds_are_enough():
    """Figures by hand are of two seeds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(statistics, "INTERVAL_SEEDS", 2)
        yield


def result(seed: int, **wrong: list[int]) -> report.SeedResult:
    """A seed whose methods are right but for the listed items (they say the next class)."""
    predicted = {}
    for method, items in wrong.items():
        values = TRUE.copy()
        values[items] = (values[items] + 1) % 3
        predicted[method.replace("_", "-")] = values
    return report.SeedResult(seed, TRUE, SUBDOMAIN, GROUP, predicted, COUNTS, GROUPS, EMPTY)


# logit-adjustment: items 3, 8, 9 wrong, then 8, 9; gelda: 3, 9, then none
SEEDS = [
    result(0, ce=[4, 6, 7, 8, 9], logit_adjustment=[3, 8, 9], gelda=[3, 9]),
    result(1, ce=[6, 7, 8, 9], logit_adjustment=[8, 9], gelda=[]),
]
HEALTH = [{"variance_ratio": 0.8, "frechet": 2.0}, {"variance_ratio": 1.0, "frechet": 3.0}]


def build(results=SEEDS, **options):
    settings = dict(
        class_names=("x", "y", "z"),
        subdomain_names=("day", "night"),
        health=HEALTH,
        notes=["A note, 100 % true."],
        config={"seeds": 2},
        seconds={"extract": 1.5},
        run="r1",
        name="toy",
        demo="toy",
        setting="3 classes.",
    )
    return report.build(results, **{**settings, **options})


with pytest.MonkeyPatch.context() as _patched:
    _patched.setattr(statistics, "INTERVAL_SEEDS", 2)
    MADE = build()
CELLS = {"tail": ((0, 0), (0, 1), (2, 0)), "head": ((1, 0),), "unseen": EMPTY}


@pytest.mark.parametrize("by_cell, tail, uar", [
    # seed 0: gelda misses items 3, in cell (0, 1), and 9, in (2, 1)
    (False, (75 + 100) / 2, (75 + 100 + 75) / 3),
    (True, (100 + 50 + 100) / 3, (100 + 50 + 100 + 100 + 100 + 50) / 6),
])  # fmt: skip
def test_groups_of_cells_by_hand(by_cell, tail, uar):
    results = [replace(r, groups={}, cells=CELLS, by_cell=by_cell) for r in SEEDS]
    made = build(results)["methods"]["gelda"]
    assert made["tail"]["seeds"] == pytest.approx([tail, 100])
    assert made["uar"]["seeds"] == pytest.approx([uar, 100])
    assert made["head"]["seeds"] == pytest.approx([100, 100]) and made["medium"]["seeds"] == []
    assert made["unseen"]["seeds"] == pytest.approx([50, 100])
    assert made["overall"] == MADE["methods"]["gelda"]["overall"], "items weigh alike whatever the groups"


def test_the_groups_of_a_measure_are_those_of_the_seed_that_has_fewest():
    groups = {m: MADE["paired_to_la"]["gelda"][m]["groups"] for m in report.PAIRED}
    assert groups == {"overall": 5, "tail": 2, "uar": 5, "unseen": 2}
    made = build([SEEDS[0], replace(SEEDS[1], group=np.where(TRUE == 2, "d", GROUP))])
    assert made["methods"]["gelda"]["tail"]["groups"] == 1 and made["methods"]["ce"]["uar"]["groups"] == 4
    assert np.isnan(build([replace(r, empty=()) for r in SEEDS])["methods"]["ce"]["unseen"]["mean"])


def test_each_seed_has_cells_of_its_own():
    other = {**CELLS, "tail": ((2, 1),)}
    results = [replace(r, groups={}, cells=c) for r, c in zip(SEEDS, (CELLS, other), strict=True)]
    made = build(results)["methods"]["logit-adjustment"]["tail"]
    # seed 0 misses item 3 of the cells (0, 0), (0, 1), (2, 0); seed 1 misses both items of (2, 1)
    assert made["seeds"] == pytest.approx([(75 + 100) / 2, 0])


def test_intervals_of_cells_are_the_cluster_intervals_of_their_items():
    results = [replace(r, groups={}, cells=CELLS, by_cell=True) for r in SEEDS]
    made = build(results)["paired_to_la"]["gelda"]["tail"]
    keep = np.isin(TRUE * 2 + SUBDOMAIN, [0, 1, 4])
    hits = [
        100.0 * (r.predicted["gelda"] == TRUE) - 100.0 * (r.predicted["logit-adjustment"] == TRUE)
        for r in results
    ]
    expected = cluster_interval(
        [h[keep] for h in hits], [(TRUE * 2 + SUBDOMAIN)[keep]] * 2, [GROUP[keep]] * 2
    )
    assert made["mean"] == pytest.approx(expected.mean)
    assert made["ci95"] == pytest.approx([expected.low, expected.high])


@pytest.mark.parametrize("method, measure, per_seed", [
    ("ce", "overall", [50, 60]),
    ("logit-adjustment", "overall", [70, 80]),
    ("gelda", "overall", [80, 100]),
    ("gelda", "head", [75, 100]),
    ("gelda", "medium", [100, 100]),
    ("ce", "medium", [50, 100]),
    ("logit-adjustment", "tail", [50, 50]),
    ("gelda", "tail", [75, 100]),
    ("logit-adjustment", "uar", [(75 + 100 + 50) / 3, (100 + 100 + 50) / 3]),
    ("gelda", "uar", [(75 + 100 + 75) / 3, 100]),
    ("logit-adjustment", "unseen", [0, 0]),
    ("gelda", "unseen", [50, 100]),
    ("ce", "worst", [0, 0]),
    ("gelda", "worst", [75, 100]),
])  # fmt: skip
def test_means_by_hand(method, measure, per_seed):
    value = MADE["methods"][method][measure]
    assert value["seeds"] == pytest.approx(per_seed)
    assert value["mean"] == pytest.approx(np.mean(per_seed))
    low, high = value["ci95"]
    if measure == "medium":
        assert np.isnan([low, high]).all(), "both of its items lie in one group: no interval"
    else:
        assert (low + high) / 2 == pytest.approx(value["mean"])


def two_way(means, sums, groups, items):
    """Half an interval of two seeds that share all of their groups (Cameron et al. 2011, CR2), in shares.

    means [2]: the seeds' means; sums [2, G]: over a group's items, score − mean; items: of a group.
    """
    count = groups * items
    over_seeds = np.var(means, ddof=1) / 2
    pull = np.array(sums) / count / np.sqrt(1 - items / count)
    over_groups = np.square(pull.mean(0)).sum()
    total = over_seeds + over_groups
    freedom = total**2 / (over_seeds**2 / 1 + over_groups**2 / (groups - 1))
    return 100 * stats.t.ppf(0.975, max(1.0, freedom)) * np.sqrt(total)


def test_an_interval_by_hand():
    """gelda's overall: seeds 80 and 100; hits of the groups a b c d e, by seed, two items each."""
    value = MADE["methods"]["gelda"]["overall"]
    sums = [np.array([2, 1, 2, 2, 1]) - 2 * 0.8, np.array([2, 2, 2, 2, 2]) - 2 * 1.0]
    half = two_way([0.8, 1.0], sums, 5, 2)
    assert value["ci95"] == pytest.approx([90 - half, 90 + half])


@pytest.mark.parametrize("measure, per_seed", [
    ("overall", [10, 20]), ("tail", [25, 50]), ("unseen", [50, 100]), ("uar", [25 / 3, 50 / 3]),
])  # fmt: skip
def test_paired_differences_are_ours_minus_theirs(measure, per_seed):
    to_la, ours = MADE["paired_to_la"]["gelda"][measure], MADE["paired"]["logit-adjustment"][measure]
    assert to_la["seeds"] == pytest.approx(per_seed) and ours["seeds"] == pytest.approx(per_seed)
    assert to_la["mean"] == pytest.approx(np.mean(per_seed))


def test_pairing_takes_the_items_differences_not_two_intervals():
    """tail: gelda − logit adjustment is +1 on item 8 (group d) and +1, +1 on items 8, 9 (groups d, e)."""
    value = MADE["paired_to_la"]["gelda"]["tail"]
    sums = [[d - 2 * (d + e) / 4, e - 2 * (d + e) / 4] for d, e in ((1, 0), (1, 1))]
    half = two_way([0.25, 0.5], sums, 2, 2)
    assert value["ci95"] == pytest.approx([37.5 - half, 37.5 + half])


def test_the_json_form(tmp_path):
    write_json(tmp_path / "report.json", MADE)
    found = report.load_report(tmp_path)
    assert list(found["methods"]) == ["ce", "logit-adjustment", "gelda"]
    for value in found["methods"].values():
        assert {"overall", "head", "medium", "tail", "uar", "unseen", "worst", "macro_f1"} <= set(value)
        for measure, figure in value.items():
            groups = set() if measure in report.SEEDS_ALONE else {"groups"}
            assert set(figure) == {"mean", "ci95", "seeds"} | groups
            assert len(figure["ci95"]) == len(figure["seeds"]) == 2
            assert 0 <= figure["mean"] <= 100
    assert set(found["paired"]) == {"ce", "logit-adjustment"} and set(found["paired_to_la"]) == {
        "ce",
        "gelda",
    }
    for part in ("paired", "paired_to_la"):
        for value in found[part].values():
            assert {"overall", "tail", "uar", "unseen"} <= set(value)
            assert all({"mean", "ci95"} <= set(figure) for figure in value.values())
    assert found["generator"] == {"variance_ratio": pytest.approx(0.9), "frechet": pytest.approx(2.5)}
    assert (
        found["seconds"] == {"extract": 1.5} and found["config"] == {"seeds": 2} and found["seeds"] == [0, 1]
    )
    assert {"python", "gelda", "torch", "diffusers", "numpy"} <= set(found["versions"])
    assert found["format"] == 1 and found["run"] == "r1" and found["class_names"] == ["x", "y", "z"]


def test_the_version_is_of_the_code_and_not_of_what_was_once_installed(monkeypatch):
    monkeypatch.setattr(report.metadata, "version", lambda name: "0.0.1")
    found = report.versions()
    assert (found["gelda"], found["numpy"]) == (__version__, "0.0.1")


def test_per_class_confusion_and_per_subdomain():
    rows = pd.DataFrame(MADE["per_class"])
    assert (
        len(rows) == 2 * 3
        and list(rows["count"][:3]) == [17, 7, 2]
        and list(rows["group"][:3]) == list(GROUPS)
    )
    assert [row["recall"]["gelda"] for row in MADE["per_class"]] == pytest.approx(
        [75, 100, 75, 100, 100, 100]
    )
    assert MADE["confusion"]["logit-adjustment"] == [[7, 1, 0], [0, 4, 0], [4, 0, 4]]
    assert MADE["per_subdomain"]["gelda"] == pytest.approx([100, np.mean([60, 100])])


def test_a_table_of_confusions_that_nobody_can_read_is_left_out(monkeypatch):
    monkeypatch.setattr(report, "MOST_CONFUSED", 2)
    found = build()
    assert found["confusion"] == {} and found["per_class"] == MADE["per_class"]


def test_fewer_than_five_seeds_are_said_to_be_too_few():
    assert any(note.startswith("2 seeds are too few") for note in MADE["notes"])
    assert MADE["notes"][-1] == "A note, 100 % true."
    assert not any("too few" in note for note in build(SEEDS[:1] * 5)["notes"])


def test_one_seed_has_no_interval_and_says_so():
    made = build(SEEDS[:1])
    assert all(np.isnan(made["methods"]["gelda"]["tail"]["ci95"]))
    assert "one seed, no interval" in made["headline"]
    assert report_text.interval_text(made["methods"]["gelda"]["tail"]) == "75.0"


def test_the_headline_is_as_modest_as_its_intervals():
    assert (
        "+37.5 points in tail classes" in MADE["headline"]
        and "+75.0 points in cells never seen" in MADE["headline"]
    )
    assert MADE["headline"].count("inside the noise") == 3, "two seeds prove nothing"
    sure = build([result(s, logit_adjustment=[8, 9, 6, 7], gelda=[]) for s in range(5)])
    assert "noise" not in sure["headline"].split(";")[0] + sure["headline"].split(";")[1]
    assert sure["headline"].count("2 test groups: shown, not counted)") == 2, "tail and unseen cells"
    more = [replace(r, group=np.arange(10)) for r in SEEDS]
    assert "not counted" not in build(more)["headline"].split("; ")[-1], "overall: ten groups"
    assert sure["headline"].endswith(
        "+40.0 points overall (95 % interval -28.0 to +108.0, inside the noise, 5 test groups: shown, not "
        "counted)."
    )
    without = build([result(0, ce=[1], logit_adjustment=[2])])
    assert without["paired"] == {} and "no comparison of GeLDA" in without["headline"]


def test_a_run_without_logit_adjustment_or_without_a_generator_still_reports():
    made = build([result(0, ce=[1], gelda=[2]), result(1, ce=[], gelda=[])], health=[])
    assert made["generator"] == {} and made["paired_to_la"] == {} and set(made["paired"]) == {"ce"}
    for form in card.FORMATS:
        assert card.render(made, form)


def test_no_unseen_cells_gives_dashes_not_numbers():
    results = [report.SeedResult(**{**r.__dict__, "empty": ()}) for r in SEEDS]
    made = build(results)
    assert np.isnan(made["methods"]["gelda"]["unseen"]["mean"])
    assert report_text.interval_text(made["methods"]["gelda"]["unseen"]) == "–"
    assert "never seen" not in made["headline"]


def stored(tmp_path, made=MADE):
    """As a page or `gelda report` gets it: through JSON, where NaN is null."""
    write_json(tmp_path / "report.json", made)
    return report.load_report(tmp_path)


def markdown_tables(text):
    """Tables of a Markdown text: {first line above: rows of cells}."""
    found, rows, title = {}, [], ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            found[title], rows = rows, []
        if line and not line.startswith("|"):
            title = line
    return found


@pytest.mark.parametrize("seeds", [1, 2])
def test_markdown_has_a_row_a_method_in_every_table(tmp_path, seeds):
    text = card.render(stored(tmp_path, build(SEEDS[:seeds])), "md")
    found = markdown_tables(text)
    for rows in found.values():
        assert len(rows) == 2 + 3 and len({len(row) for row in rows}) == 1
        assert rows[0][0] == "method" and rows[-1][0] == "GeLDA"
    first, more, uar, *_ = found.values()
    ours = dict(zip(first[0], first[-1], strict=True))
    assert ours["Tail classes"] == ("75.0" if seeds == 1 else "87.5") and ours["Unseen cells"].startswith(
        ("50", "75")
    )
    assert ours["tail − logit adj."].startswith("+25.0" if seeds == 1 else "+37.5 [")
    ours = dict(zip(more[0], more[-1], strict=True))
    assert ours["Worst class"] == ("75.0" if seeds == 1 else "87.5"), "the lowest recall of each seed"
    # night: items 2, 3 of x, 5 of y, 8, 9 of z; seed 0 misses 3 and 9: recalls 50, 100, 50
    assert dict(zip(uar[0], uar[-1], strict=True))["night"] == ("66.7" if seeds == 1 else "83.3")
    assert "- A note, 100 % true." in text and text.startswith("# toy")


def test_every_measure_of_a_report_is_in_its_tables():
    shown = {name for _, head, _ in report_text.tables(MADE) for name in head}
    assert set(report.MEASURES.values()) <= shown


def test_csv_has_a_row_a_method_and_measure(tmp_path):
    table = pd.read_csv(io.StringIO(card.render(stored(tmp_path), "csv")), keep_default_na=False)
    whole = table[table["subdomain"] == ""].set_index(["method", "measure"]).drop(columns="subdomain")
    assert len(whole) == 3 * len(report.MEASURES) and set(table["seeds"]) == {2}
    row = whole.loc[("gelda", "tail")].drop("seeds").astype(float)
    assert row["mean"] == pytest.approx(87.5) and row["minus_logit_adjustment"] == pytest.approx(37.5)
    assert row["low"] < 87.5 < row["high"]
    night = table[(table["subdomain"] == "night") & (table["method"] == "gelda")].set_index("measure")
    # day is all right; at night seed 0 says y for 3 and x for 9
    assert float(night.loc["overall", "mean"]) == pytest.approx((60 + 100) / 2)
    assert set(night.index) == {"overall", "uar", "macro_f1"} and night.loc["uar", "low"] == ""


def test_latex_is_whole_tables(tmp_path):
    made = stored(tmp_path, build(subdomain_names=("day_1^~", "50 % & <more>")))
    text = card.render(made, "latex")
    parts = text.strip().split("\n\n")
    assert len(parts) == len(report_text.tables(made))
    for lines in (part.splitlines() for part in parts):
        assert lines[0].startswith("% ") and lines[1].startswith(r"\begin{tabular}{l")
        assert lines[-1] == r"\end{tabular}"
        body = [line for line in lines if line.endswith(r"\\")]
        columns = lines[1].count("r") - "tabular".count("r")
        assert len(body) == 4 and {line.replace(r"\&", "").count("&") for line in body} == {columns}
        bare = "\n".join(lines[1:]).replace(r"\%", "").replace(r"\_", "")
        assert not any(c in bare for c in "%#_−–")
    assert r"day\_1\textasciicircum{}\textasciitilde{} & 50 \% \& $<$more$>$" in text and re.search(
        r"\$-\$\d", text
    )


def test_json_is_strict_json(tmp_path):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    text = card.render(stored(tmp_path, build(SEEDS[:1])), "json")
    assert json.loads(text, parse_constant=refuse)["methods"]["gelda"]["tail"]["ci95"] == [None, None]


def test_wrong_calls_are_sentences(tmp_path):
    with pytest.raises(UserError, match="no report format 'html'.*csv, json, latex, md"):
        card.render(MADE, "html")
    with pytest.raises(UserError, match="has no report yet: let it finish or resume it"):
        report.load_report(tmp_path)
    (tmp_path / "report.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match="has format 99.*upgrade"):
        report.load_report(tmp_path)


def test_a_text_is_no_formula_in_a_csv_and_numbers_stay():
    table = pd.DataFrame(
        {
            "=1+1": pd.Series(["=HYPERLINK(1)", "+1", None], dtype=object),
            "class": pd.Categorical(["-x", "@a", "a=b"]),
            "text": pd.Series([" =1", "", "a"], dtype="string"),
            "value": [-1.5, -2.0, 3.0],
            "day": pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"]),
        }
    )
    assert report_text.to_csv(table).splitlines() == [
        "'=1+1,class,text,value,day",
        "'=HYPERLINK(1),'-x,' =1,-1.5,2020-01-01",
        "'+1,'@a,,-2.0,2020-01-02",
        ",a=b,a,3.0,2020-01-03",
    ]
    values = pd.DataFrame({"value": [-1, None]}, dtype=object)  # numbers of a column of any kind
    assert report_text.to_csv(values) == 'value\n-1\n""\n'


def test_every_csv_of_a_person_is_made_by_one_function():
    """What the engine makes keys of, or an index, is written as it is."""
    ours = ("columns.py", "ready.py", "manifest.py", "speech_synthesis.py", "report_text.py")
    root = Path(report_text.__file__).parent
    for file in [*root.rglob("*.py"), *(root.parent / "app").glob("*.py")]:
        text = file.read_text(encoding="utf-8")
        assert file.name in ours or not re.search(r"\.to_csv\((?!to_frame)|csv\.(Dict)?[wW]riter", text), file
