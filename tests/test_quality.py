"""benchmarks/quality.py: the rows, the tables they make, and what counts."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import app_fixtures as fixtures
import numpy as np
import pytest
from scipy import stats

from gelda import compare, runs

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("quality", ROOT / "benchmarks" / "quality.py")
quality = importlib.util.module_from_spec(spec)
sys.modules["quality"] = quality
spec.loader.exec_module(quality)

SMALL = ["--preset", "tiny", "--seeds", "2", "--set", 'methods=["ce","logit-adjustment","smote","gelda"]']


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GELDA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(runs, "shipped_runs", lambda: [])
    return tmp_path


def cells(text: str, first: str) -> list[str]:
    """Cells of the first Markdown row that begins with `first`, without that cell."""
    line = re.search(rf"^\| {re.escape(first)} \|(.*)\|$", text, re.M)
    assert line, f"no row {first} in\n{text}"
    return [c.strip() for c in line.group(1).split("|")]


def write_bank(path: Path) -> None:
    """A small bank with the names that the PACS rows use."""
    rng = np.random.default_rng(0)
    styles, classes = quality.STYLES, ["dog", "house", "person"]
    subdomain, label = (a.ravel() for a in np.meshgrid(np.arange(4), np.repeat(np.arange(3), 30)))
    centre = 2 * rng.normal(size=(3, 1, 8)) + rng.normal(size=(1, 4, 8))
    z = centre[label, subdomain] + rng.normal(size=(len(label), 8))
    np.savez(
        path, z_pool=z.astype(np.float32), y=label, class_names=np.array(classes), subdomain=subdomain,
        subdomain_names=np.array(styles), split=np.where(np.arange(len(label)) % 3 == 0, "test", "train"),
    )  # fmt: skip


def test_two_rows_from_the_bank_to_the_tables_and_again_from_what_is_finished(workspace, capsys, monkeypatch):
    write_bank(workspace / "pacs_mobilenetv2.npz")
    command = ["--data", str(workspace), "--rows", "pacs-class,pacs-sketch", *SMALL]
    assert quality.main([*command, "--no-run"]) == 1
    assert "not finished: pacs-class, pacs-sketch" in capsys.readouterr().out
    assert quality.main([*command, "--out", str(workspace / "tables.md")]) == 0
    text = (workspace / "tables.md").read_text()
    found = {}
    for state in runs.list_runs():
        report = json.loads((state.path / "report.json").read_text())
        found[report["config"]["protocol"]] = report
    tail = found["longtail"]["methods"]["smote"]
    assert cells(text, "SMOTE")[0] == " / ".join(f"{tail[m]['mean']:.1f}" for m in ("tail", "uar", "overall"))
    part = text[text.index("## Zero-shot") :]
    uar = found["zero-shot"]["methods"]["gelda"]
    assert cells(part, "GeLDA") == [" / ".join(f"{uar[m]['mean']:.1f}" for m in ("uar", "unseen", "overall"))]
    best = max(
        ("ce", "logit-adjustment", "smote"), key=lambda m: found["zero-shot"]["methods"][m]["uar"]["mean"]
    )
    row = cells(part, "pacs-sketch")
    assert row[0] == quality.METHOD_TITLES[best] and row[-1] == "no", "two seeds are never counted"
    assert "None of 2 row(s) may be counted" in text
    monkeypatch.setattr(compare, "execute", lambda *_: pytest.fail("a finished row was computed again"))
    assert quality.main(command) == 0
    assert capsys.readouterr().out.endswith(text + "\n")


def test_the_rows_are_those_of_the_proof():
    every = quality.rows()
    assert len({row.name for row in every}) == len(every) == 16
    for row in every:
        if row.values.get("protocol") == "zero-shot":
            assert row.values["keep"] == ("person" if row.name.startswith("pacs") else "neutral")
        assert row.transductive == row.name.endswith("transductive")
        if row.values.get("protocol") == "few-shot":
            assert row.values["shots"] == 5
    groups = {}
    for row in every:
        groups.setdefault(row.group, set()).add(row.transductive)
    assert all(len(kinds) == 1 for kinds in groups.values()), "never in one table"


def test_an_unknown_row_and_a_missing_bank_are_sentences(workspace, capsys):
    assert quality.main(["--rows", "pacs-clas"]) == 2
    assert "No row is called 'pacs-clas'. Rows: pacs-class" in capsys.readouterr().err
    assert quality.main(["--data", str(workspace), "--rows", "pacs-class"]) == 1
    said = capsys.readouterr()
    assert "pacs-class: There is no bank at" in said.err and "Not in these tables" in said.out


def made(gaps: dict[str, float], protocol: str = "zero-shot", width: float = 1.0, **more) -> dict:
    """A report whose main measure has GeLDA at 60 and each method `gap` points under it, ± `width`."""
    gaps = {"gelda-shuffled": 3.0, "gelda-uncond": 2.0, **gaps}
    measures = ("uar", "tail", "unseen", "overall")

    def value(mean: float, half: float) -> dict:
        return {m: {"mean": mean, "ci95": [mean - half, mean + half]} for m in measures}

    return {
        "config": {"protocol": protocol, "selection": {}},
        "seeds": [0, 1, 2, 3, 4],
        "setting": "made up",
        "methods": {m: value(60 - g, 5) for m, g in gaps.items()} | {"gelda": value(60, 5)},
        "paired": {m: value(g, width) for m, g in gaps.items()},
        **more,
    }


def test_the_summary_says_where_gelda_stands():
    text = quality.summary(
        {
            "every": made({"ce": 5.0, "logit-adjustment": 2.0}),
            "inside": made({"ce": 5.0, "logit-adjustment": 0.5}),
            "behind": made({"ce": 5.0, "logit-adjustment": -2.0}),
            "few groups": made({"ce": 5.0, "logit-adjustment": 2.0}, countable=False),
        }
    )
    best = "Logit adjustment"
    assert cells(text, "every") == [
        best, "+2.0 [+1.0, +3.0]", "yes", "ahead of every baseline", "+3.0 [+2.0, +4.0]", "+2.0 [+1.0, +3.0]",
        "+2.0 [+1.0, +3.0]", "yes",
    ]  # fmt: skip
    assert cells(text, "inside")[2:4] == ["yes", "inside the best one's interval"]
    assert cells(text, "behind")[2:4] == ["no", "behind"]
    assert cells(text, "few groups")[-1] == "no"


def test_what_counts_is_counted():
    reports = {
        "a": made({"ce": 5.0}), "b": made({"ce": 0.5}), "c": made({"ce": -4.0}),
        "d": made({"ce": 9.0}, countable=False), "e": made({"ce": 9.0}, seeds=[0, 1]),
    }  # fmt: skip
    untuned = made({"ce": 9.0})
    del untuned["config"]["selection"]
    text = quality.totals({**reports, "digits": untuned})
    assert text == (
        "Of 3 row(s) that count (3 more are only shown) GeLDA has the highest mean in 2. It is ahead of "
        "every baseline in 1, ahead of the best one or inside its interval in 1 more, and behind the best "
        "one in 1."
    )


def test_tests_over_rows_are_adjusted_by_holm():
    """Six rows: always ahead of CE, ahead of SMOTE in five; p-values by scipy, adjusted by hand."""
    ce, smote = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.5, 2.5, 3.5, -0.5, 4.5, 5.5]
    reports = {str(k): made({"ce": a, "smote": b}) for k, (a, b) in enumerate(zip(ce, smote, strict=True))}
    text = quality.over_rows({**reports, "out": made({"ce": -50.0, "smote": -50.0}, countable=False)})
    p = [stats.wilcoxon(v, alternative="greater").pvalue for v in (ce, smote)]
    s = [stats.binomtest(k, 6, alternative="greater").pvalue for k in (6, 5)]
    assert p[0] < p[1] and s[0] < s[1]
    adjusted = [(2 * p[0], max(2 * p[0], p[1])), (2 * s[0], max(2 * s[0], s[1]))]
    assert cells(text, "Cross-entropy") == [
        "+3.5", "6 of 6", f"{adjusted[0][0]:.3f}", f"{adjusted[1][0]:.3f}"
    ]  # fmt: skip
    assert cells(text, "SMOTE")[1:] == ["5 of 6", f"{adjusted[0][1]:.3f}", f"{adjusted[1][1]:.3f}"]
    assert "GeLDA" not in text.split("\n", 2)[2], "GeLDA's own forms and controls are no baselines"


def test_transductive_rows_never_share_a_table_or_a_test():
    rows = {row.name: row for row in quality.rows()}
    plain, read = rows["ser3-german"], rows["ser3-german-transductive"]
    text = quality.tables({plain: made({"ce": 5.0}), read: made({"ce": 5.0})})
    for line in text.splitlines():
        if line.startswith("|"):
            assert not ("ser3-german-transductive" in line and re.search(r"ser3-german \|", line)), line
    assert text.count("Of 1 row(s) that count") == 2


def test_the_digits_row_is_shown_and_not_counted(workspace):
    assert quality.digits() is None
    fixtures.make_run(workspace / "home", seeds=5)
    fixtures.make_comparison(workspace / "home")
    report = quality.digits()
    assert report["demo"] == "digits" and not quality.counts(report)
    assert cells(quality.summary({"digits": report}), "digits")[-1] == "no"
