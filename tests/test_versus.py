"""Two runs side by side: what may be paired, how maps are laid on each other, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import app_fixtures as fixtures
import numpy as np
import pandas as pd
import pytest
from test_pages import open_page, text, warnings
from test_report import MADE, SEEDS, build

from app import versus
from gelda import contrast, runs
from gelda.recipes import RECIPES
from gelda.verdicts import FEWEST_SEEDS

OTHER = "20261121-090000-digits-0002"


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    monkeypatch.setattr(runs, "shipped_runs", lambda: [])
    return tmp_path


@pytest.mark.parametrize("mirror", [1.0, -1.0])
def test_a_turned_map_is_laid_on_the_other(mirror: float) -> None:
    rng = np.random.default_rng(0)
    fixed = rng.normal(size=(40, 2))
    turn = np.array([[np.cos(1.2), -np.sin(1.2)], [np.sin(1.2), np.cos(1.2)]]) @ np.diag([1, mirror])
    rows = np.arange(30)
    fixed[3] = np.nan
    moved = (np.nan_to_num(fixed) @ turn * 7 + [3, -9])[::-1].astype(np.float32)
    back = versus.aligned(moved, fixed, 39 - rows, rows)
    there = np.setdiff1d(np.arange(40), [3])
    np.testing.assert_allclose(back[::-1][there], fixed[there], atol=1e-4)


def test_too_few_shared_points_move_nothing() -> None:
    moved = np.ones((5, 2), np.float32)
    still = versus.aligned(moved, np.zeros((5, 2)), np.arange(2), np.arange(2))
    np.testing.assert_array_equal(still, moved)


def test_shared_points_are_real_ones_that_both_list_once() -> None:
    a = pd.DataFrame({"id": ["x", "y", "z", "z", "gelda-1"], "origin": ["real"] * 4 + ["synthetic"]})
    b = pd.DataFrame({"id": ["gelda-1", "z", "y", "w", "x"], "origin": ["synthetic"] + ["real"] * 4})
    first, second = versus.shared_rows(a, b)
    assert {(a["id"][i], b["id"][j]) for i, j in zip(first, second, strict=True)} == {("x", "x"), ("y", "y")}


def test_the_finding_is_as_modest_as_its_interval() -> None:
    b = {**build(list(reversed(SEEDS))), "run": "r2"}

    def said(rows: pd.DataFrame) -> str:
        return versus.finding(MADE, b, rows)

    row = {"measure": "tail", "a": 1.0, "b": 2.0, "difference": 3.0, "low": -1.0, "high": 7.0, "seeds": 5}
    assert said(pd.DataFrame([row])) == "The second run is inside the noise of the first on the rare classes"
    assert "ahead of the first by 3.0 points" in said(pd.DataFrame([{**row, "low": 1.0}]))
    behind = {**row, "difference": -3.0, "low": -5.0, "high": -1.0}
    assert "is behind the first by 3.0 points" in said(pd.DataFrame([behind]))
    alone = pd.DataFrame([{**row, "low": np.nan, "high": np.nan, "seeds": 1}])
    assert said(alone) == "1 seed is too few to tell the two runs apart"
    assert said(alone.assign(seeds=5)) == "+3.0 points on the rare classes in each of 5 seeds"
    few = pd.DataFrame([{**behind, "seeds": FEWEST_SEEDS - 1}])
    assert said(few) == "4 seeds are too few to tell the two runs apart"
    same = pd.DataFrame([{**row, "difference": 0.0, "low": np.nan, "high": np.nan, "seeds": 3}])
    assert said(same) == "The two runs are the same on the rare classes in each of 3 seeds"
    other = {**b, "config": {"target": "night"}}
    assert "no pairs" in versus.finding(MADE, other, alone) and "no pair" in versus.pairing(MADE, other)


def change(path: Path, **values: object) -> None:
    file = path / "report.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_two_runs_stand_side_by_side(workspace: Path) -> None:
    fixtures.make_run(workspace)
    path = fixtures.make_run(workspace, OTHER)
    config = json.loads((path / "report.json").read_text())["config"]
    change(path, config={**config, "generator": {**config["generator"], "steps": 99}})
    page = open_page("results", run=fixtures.RUN, other=OTHER)
    assert not warnings(page)
    assert page.title[0].value == "The two runs are the same on the rare classes in each of 3 seeds"
    said = text(page)
    assert "1 setting differs" in said and ">Diffusion training steps<" in said and ">99<" in said
    assert "The same points, twice" in said and "real latents are on both" in said
    assert page.query_params["other"] == OTHER
    page.selectbox(key="second").set_value("logit-adjustment").run()
    assert "GeLDA and logit adjustment, measure by measure" in text(page)
    gap = contrast.by_measure(
        *(x for one in ((fixtures.RUN, "gelda"), (OTHER, "logit-adjustment"))
          for x in (json.loads((workspace / "runs" / one[0] / "report.json").read_text()), one[1]))
    ).set_index("measure").loc["tail", "difference"]  # fmt: skip
    assert f"{gap:+.1f}".replace("-", "−") in text(page)


@pytest.mark.parametrize("seeds", [FEWEST_SEEDS - 1, FEWEST_SEEDS])
def test_too_few_seeds_make_nothing_bold_and_no_class_a_change(workspace: Path, seeds: int) -> None:
    for run in (fixtures.RUN, OTHER):
        path = fixtures.make_run(workspace, run, seeds=seeds)
    config = json.loads((path / "report.json").read_text())["config"]
    change(path, config={k: v for k, v in config.items() if k != "generator"})
    page = open_page("results", run=fixtures.RUN, other=OTHER, first="ce", second="gelda")
    said, enough = text(page), seeds == FEWEST_SEEDS
    assert not warnings(page)
    assert ("4 seeds are too few to tell the two runs apart" in page.title[0].value) != enough
    cells = [c for c in said.split("<td>") if c.startswith(("<b>+", "<b>−"))]
    assert bool(cells) == enough and "<small>(" in said
    assert ("with fewer than 5 none is called a change" in said) != enough
    assert ("The largest changes, class by class" in said) != enough
    assert "A dash: that run has no such setting." in said


def test_settings_are_called_what_forms_call_them() -> None:
    assert versus.setting("projection.pca") == "Principal components"
    assert versus.choice("paper_sampling.recipe", "joint") == RECIPES["joint"].title
    assert versus.choice("projection.pca", "50") == "50" and versus.choice("loss", "") == "–"


def test_two_runs_alike_change_no_class(workspace: Path) -> None:
    fixtures.make_run(workspace)
    fixtures.make_run(workspace, OTHER)
    said = text(open_page("results", run=fixtures.RUN, other=OTHER))
    assert "No class changed" in said and "The largest changes" not in said


def test_another_cut_has_no_differences_with_intervals(workspace: Path) -> None:
    fixtures.make_run(workspace)
    path = fixtures.make_run(workspace, OTHER)
    config = json.loads((path / "report.json").read_text())["config"]
    change(path, config={**config, "data": {"dataset": "digits", "imbalance": 3}})
    page = open_page("results", run=fixtures.RUN, other=OTHER)
    assert "no differences with intervals" in text(page) and not warnings(page)
    assert "No class changed" in text(page)


def test_nothing_in_common_is_a_sentence(workspace: Path) -> None:
    fixtures.make_run(workspace)
    fixtures.make_comparison(workspace)
    page = open_page("results", run=fixtures.RUN, other=fixtures.COMPARISON)
    assert "share no class: choose two runs on the same classes" in warnings(page)[0]
    page.selectbox(key="other").set_value("").run()
    assert not warnings(page) and "other" not in page.query_params


def test_another_run_that_cannot_stand_beside_is_a_sentence(workspace: Path) -> None:
    fixtures.make_run(workspace)
    fixtures.make_unfinished("failed", "failed-run", "The disk is full.")
    page = open_page("results", run=fixtures.RUN, other="failed-run")
    assert "failed-run" in warnings(page)[0] and "Class by class" in [h.value for h in page.header]
    page = open_page("results", run=fixtures.RUN, other="nobody")
    assert "the run “nobody”, which is not in this workspace" in text(page) and not warnings(page)
    assert "Class by class" in [h.value for h in page.header]
