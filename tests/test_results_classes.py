"""Results class by class: two classes and a thousand, two methods, subdomains, the generator, exports."""

from __future__ import annotations

import json
from pathlib import Path

import app_fixtures as fixtures
import numpy as np
import pandas as pd
import pytest
from test_pages import open_page, text, warnings

from app import results_classes, results_quality
from gelda import card, report, runs


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    monkeypatch.setattr(runs, "shipped_runs", lambda: [])
    return tmp_path


def many(path: Path, classes: int, subdomains: int = 1, seeds: int = 2) -> None:
    """Put the report of so many classes and subdomains in place of a run's own."""
    old = json.loads((path / "report.json").read_text())
    rng = np.random.default_rng(2)
    true = np.repeat(np.arange(classes), 4)
    results = [
        report.SeedResult(
            seed, true, np.tile(np.arange(4) % subdomains, classes), np.arange(len(true)),
            {m: np.where(rng.random(len(true)) < 0.7, true, rng.integers(0, classes, len(true)))
             for m in ("logit-adjustment", "gelda")},
            np.full((classes, subdomains), 9), {"head": [0], "tail": list(range(1, classes))}, [],
        )
        for seed in range(seeds)
    ]  # fmt: skip
    made = report.build(
        results, class_names=[f"class {c:04d}" for c in range(classes)],
        subdomain_names=[f"place {s}" for s in range(subdomains)], health=[], notes=[], config=old["config"],
        seconds={}, run=old["run"], name="many", demo="digits", setting="Many classes.",
    )  # fmt: skip
    fixtures.write_json(path / "report.json", made)


def rows(page, corner: str) -> int:
    (table,) = (e.proto.body for e in page.get("html") if f"<th>{corner}</th>" in e.proto.body)
    return table.count("<tr><td>")


@pytest.mark.parametrize("classes, subdomains", [(2, 1), (2, 2), (60, 1), (1000, 3)])
def test_few_and_many_classes(workspace: Path, classes: int, subdomains: int) -> None:
    many(fixtures.make_run(workspace), classes, subdomains)
    page = open_page("results")
    assert not warnings(page)
    assert rows(page, "recall, percent") == min(classes, results_classes.MOST)
    assert ("Each method in each subdomain" in text(page)) == (subdomains > 1)
    charts = {c.proto.id.split("chart-")[-1]: json.loads(c.proto.spec) for c in page.get("plotly_chart")}
    shown = [s["data"][0] for s in charts.values() if s["data"][0]["type"] == "heatmap"]
    assert [len(heat["x"]) for heat in shown] == ([] if classes > 400 else [min(classes, 20)])
    if classes > results_classes.MOST:
        page.text_input(key="cls").set_value("0051").run()
        assert rows(page, "recall, percent") == 1 and "class 0051" in text(page)
        page.text_input(key="cls").set_value("nothing").run()
        assert "No class is called that" in text(page)


def test_classes_of_the_matrix_can_be_chosen(workspace: Path) -> None:
    many(fixtures.make_run(workspace), 60)
    page = open_page("results", matrix="class 0003,class 0007,class 0044")
    (heat,) = (
        s["data"][0] for s in (json.loads(c.proto.spec) for c in page.get("plotly_chart"))
        if s["data"][0]["type"] == "heatmap"
    )  # fmt: skip
    assert heat["x"] == ["class 0003", "class 0007", "class 0044"]


def test_two_methods_are_chosen_once_for_everything(workspace: Path) -> None:
    fixtures.make_run(workspace)
    page = open_page("results", method="smote", minus="ce", against="True")
    said = text(page)
    titles = [json.loads(c.proto.spec)["layout"]["title"]["text"] for c in page.get("plotly_chart")]
    assert any(t.startswith("SMOTE changes recall by") for t in titles)
    assert "What SMOTE says differently from cross-entropy" in titles
    assert "<th>Cross-entropy</th><th>SMOTE</th>" in said
    page.selectbox(key="minus").set_value("smote").run()
    assert not warnings(page) and "Choose two different methods" in text(page)


def test_subdomains_have_uar_accuracy_and_macro_f1(workspace: Path) -> None:
    path = fixtures.make_run(workspace)
    made = json.loads((path / "report.json").read_text())
    page = open_page("results", within="macro_f1")
    value = made["subdomain_figures"]["gelda"]["thick"]["macro_f1"]
    assert f"<td>{value:.1f}</td>" in text(page) and page.query_params["within"] == "macro_f1"


@pytest.mark.parametrize("low, high, said", [
    ([9.0, -2.0], [10.0, 3.0], "1 class gains, all 2 counted"),
    ([9.0, 9.0], [10.0, 10.0], "2 classes gain, all 2 counted"),
    ([9.0, -10.0], [10.0, -9.0], "1 class gains and 1 class loses, all 2 counted"),
    ([0.01, -3.0], [2.0, 1.0], "No class stands out once all 2 are counted"),
    ([-1.0, -3.0], [2.0, 1.0], "No class changes beyond its interval"),
    ([np.nan, np.nan], [np.nan, np.nan], "The largest changes, class by class"),
])  # fmt: skip
def test_the_title_counts_what_is_certain(low: list, high: list, said: str) -> None:
    rows = pd.DataFrame({"low": low, "high": high, "seeds": 5})
    rows["difference"] = (rows["low"] + rows["high"]) / 2
    assert results_classes.change_title(rows) == said


def test_the_generator_stands_between_ceiling_and_floor(workspace: Path) -> None:
    path = fixtures.make_run(workspace)
    made = json.loads((path / "report.json").read_text())
    figures = {"precision": 0.5, "precision_real": 0.9, "precision_gaussian": 0.3,
               "frechet": 9.0, "frechet_real": 1.0, "frechet_gaussian": 4.0, "c2st": 0.6}  # fmt: skip
    made["generator"] |= figures
    fixtures.write_json(path / "report.json", made)
    said = text(open_page("results"))
    assert results_quality.finding(figures) == "Nearer to real than a Gaussian in 1 of 2 figures"
    assert '<td class="best">0.50</td><td>0.90</td><td>0.30</td>' in said
    assert '<td class="best">9.00</td>' not in said and card.HEALTH["c2st"][2] in said


def test_exports_have_every_form_and_charts_two(workspace: Path) -> None:
    fixtures.make_run(workspace)
    page = open_page("results", charts="png")
    assert [b.label for b in page.get("download_button")] == ["CSV", "Markdown", "LaTeX", "JSON", "Card"]
    options = [json.loads(c.proto.config)["toImageButtonOptions"] for c in page.get("plotly_chart")]
    assert options and {o["format"] for o in options} == {"png"} and {o["scale"] for o in options} == {3}
    assert set(card.FORMATS) == {"csv", "md", "latex", "json", "card"}


def test_every_measure_has_a_difference_to_logit_adjustment(workspace: Path) -> None:
    path = fixtures.make_run(workspace)
    made = json.loads((path / "report.json").read_text())
    said = text(open_page("results"))
    per_seed = [made["methods"][m]["harmonic"]["seeds"] for m in ("logit-adjustment", "gelda")]
    gap = np.mean(np.subtract(per_seed[1], per_seed[0]))
    shown = f"{gap:+.1f}".replace("-", "−")
    row = said.split('<tr class="own"><td>GeLDA</td>')[1].split("</tr>")[0]
    assert 'title="95 % interval over seeds:' in row and shown in row.split("<td>")[-2]
