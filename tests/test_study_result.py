"""Effects of a study, re-derived by hand; what it says with few seeds, and how it is written down."""

import csv
import io
import json
import re

import numpy as np
import pytest

from gelda import grids, studies, study_text
from gelda.artifacts import write_json
from gelda.config import resolve_config
from gelda.errors import UserError
from gelda.report import SeedResult
from gelda.studies import Cell, Study
from gelda.study_result import effects, joined, main_measure, read_result, result

TWO = Study(
    "two",
    "Two by two",
    "Does it?",
    (
        studies.NO_SYNTHETIC,
        *[
            Cell(f"{a}{b}", f"{a}, {b}", {"generator": {"steps": 10 * i + 1}}, {"first": a, "second": b})
            for i, (a, b) in enumerate([("off", "off"), ("on", "off"), ("off", "on"), ("on", "on")])
        ],
    ),
    "onon",
)
RNG = np.random.default_rng(0)
TRUE = np.arange(60) % 6


def seeds_of(cell: str, accuracy: float, count: int = 5) -> list[SeedResult]:
    made = []
    for seed in range(count):
        rng = np.random.default_rng([seed, *cell.encode()])
        predicted = np.where(rng.random(60) < accuracy, TRUE, (TRUE + 1) % 6)
        counts = np.ones((6, 2), int)
        made.append(
            SeedResult(seed, TRUE, np.arange(60) % 2, np.arange(60) // 2, {"gelda": predicted}, counts,
                       {"head": (0, 1), "medium": (2, 3), "tail": (4, 5)}, ((5, 1),))
        )  # fmt: skip
    return made


def found(count: int = 5) -> dict[str, list[SeedResult]]:
    accuracies = {"none": 0.5, "offoff": 0.4, "onoff": 0.6, "offon": 0.45, "onon": 0.9}
    return {name: seeds_of(name, accuracy, count) for name, accuracy in accuracies.items()}


def rows(names, state="done"):
    return {name: {"state": state, "seconds": 2.0, "error": None, "health": {}} for name in names}


def of(count: int = 5, names=None) -> dict:
    all_found = found(count)
    names = names or list(all_found)
    table = {**rows(all_found, "waiting"), **rows(names)}
    return result(TWO, resolve_config({"seeds": count}), table, {n: all_found[n] for n in names})


def test_a_reference_that_failed_is_named():
    names = ["none", "offoff", "onoff"]
    all_found = found()
    table = {**rows(all_found, "waiting"), **rows(names), **rows(["onon"], "failed")}
    value = result(TWO, resolve_config({"seeds": 5}), table, {n: all_found[n] for n in names})
    assert value["headline"] == "Nothing to compare with: “on, on” failed."


@pytest.mark.parametrize("title, command", [("Weight", "GRID.json"), (None, "--study weight")])
def test_a_grid_of_ones_own_is_no_ready_made_study_whatever_its_title(title, command):
    grid = {"title": title, "factors": {"sampling.weight": [0.1, 1]}}
    study = grids.from_spec(grid, "grid.json")[0] if title else studies.get("weight")
    assert study.name == "weight"
    value = result(study, resolve_config({"seeds": 5}), rows([c.name for c in study.cells], "waiting"), {})
    assert value["command"] == f"gelda ablate {command} --seeds 5"


def test_main_effects_and_the_interaction_are_those_of_a_two_by_two_by_hand():
    value = of()
    mean = {c["name"]: c["figures"]["uar"]["mean"] for c in value["cells"]}
    first, second, both = value["effects"]
    assert [e["kind"] for e in value["effects"]] == ["main", "main", "interaction"]
    on_first = (mean["onoff"] - mean["offoff"] + mean["onon"] - mean["offon"]) / 2
    assert first["figures"]["uar"]["mean"] == pytest.approx(on_first)
    assert first["parts"] == [{"factor": "first", "level": "on", "zero": "off"}]
    on_second = (mean["offon"] - mean["offoff"] + mean["onon"] - mean["onoff"]) / 2
    assert second["figures"]["uar"]["mean"] == pytest.approx(on_second)
    beyond = mean["onon"] - mean["onoff"] - mean["offon"] + mean["offoff"]
    assert both["figures"]["uar"]["mean"] == pytest.approx(beyond)
    low, high = first["figures"]["uar"]["ci95"]
    assert low < on_first < high


def test_three_levels_are_averaged_over_the_other_factor():
    cells = studies.grid({"a": {x: {"generator": {"steps": n}} for n, x in enumerate("lmh", 1)},
                          "b": {x: {"sampling": {"weight": n}} for n, x in enumerate("xy", 1)}})  # fmt: skip
    study = Study("grid", "Grid", "?", cells, cells[0].name)
    results = joined({cell.name: seeds_of(cell.name, 0.3 + 0.1 * i) for i, cell in enumerate(cells)})
    mean = {c.name: np.mean([(r.predicted[c.name] == TRUE).mean() for r in results]) * 100 for c in cells}
    values = effects(study, results, ["overall"])
    assert [e["kind"] for e in values] == ["main"] * 3 + ["interaction"] * 2
    by = {tuple(p["level"] for p in e["parts"]): e["figures"]["overall"]["mean"] for e in values}
    assert by["h",] == pytest.approx(np.mean([mean[f"a-h-b-{b}"] - mean[f"a-l-b-{b}"] for b in "xy"]))
    assert by["y",] == pytest.approx(np.mean([mean[f"a-{a}-b-y"] - mean[f"a-{a}-b-x"] for a in "lmh"]))
    wanted = mean["a-h-b-y"] - mean["a-h-b-x"] - mean["a-l-b-y"] + mean["a-l-b-x"]
    assert by["h", "y"] == pytest.approx(wanted)


def test_pairs_are_with_the_reference_and_effects_wait_for_the_whole_design():
    value = of(names=["none", "onon", "onoff"])
    cells = {c["name"]: c for c in value["cells"]}
    assert value["effects"] == [] and "figures" not in cells["offoff"] and "paired" not in cells["onon"]
    difference = cells["none"]["figures"]["uar"]["mean"] - cells["onon"]["figures"]["uar"]["mean"]
    assert cells["none"]["paired"]["uar"]["mean"] == pytest.approx(difference)
    assert "2 still to come" in value["headline"] and "behind no synthetic latents (" in value["headline"]


@pytest.mark.parametrize("count", [1, 4])
def test_few_seeds_are_shown_and_never_called_better(count):
    value = of(count)
    assert "too few to call one setting better" in value["headline"]
    assert "behind" not in value["headline"]


def test_cells_that_were_scored_on_other_items_are_refused():
    all_found = found()
    other = all_found["onon"][0]
    all_found["onon"][0] = SeedResult(
        0,
        other.true[::-1],
        other.subdomain,
        other.group,
        other.predicted,
        other.train_counts,
        other.groups,
        (),
    )
    with pytest.raises(UserError, match="other items"):
        joined(all_found)


def test_nothing_finished_yet_is_a_document_too():
    value = result(TWO, resolve_config({"seeds": 2}), rows(found(), "waiting"), {})
    assert value["measures"] == [] and value["headline"] == "No two settings are finished yet."
    for form in study_text.FORMATS:
        assert study_text.render(value, form)


def test_the_main_measure_is_where_no_real_sample_is():
    assert main_measure(["overall", "tail", "uar", "unseen"]) == "unseen"
    assert main_measure(["overall", "tail", "uar"]) == "tail"


def test_texts_hold_every_setting_and_effect():
    value = json.loads(json.dumps(of()))
    markdown = study_text.render(value, "md")
    table = list(csv.DictReader(io.StringIO(study_text.render(value, "csv"))))
    for cell in TWO.cells:
        assert f"| {cell.title} |" in markdown
        assert sum(row["name"] == cell.name for row in table) == len(value["measures"])
    assert "first on, beside off" in markdown and "together beyond the sum" in markdown
    assert sum(row["kind"] == "interaction" for row in table) == len(value["measures"])
    assert "gelda ablate GRID.json --seeds 5" in markdown
    with pytest.raises(UserError, match="no format called 'pdf'"):
        study_text.render(value, "pdf")


def test_what_older_code_stored_is_said_as_it_is_today(tmp_path):
    spec = {"factors": {"sampling.recipe": ["joint", "real-last"], "sampling.weight": [0.1, 1]}}
    study, _ = grids.from_spec(spec, "grid.json")
    all_found = {c.name: seeds_of(c.name, 0.4 + 0.1 * k) for k, c in enumerate(study.cells)}
    now = json.loads(json.dumps(result(study, resolve_config({"seeds": 5}), rows(all_found), all_found)))
    older = json.loads(json.dumps(now))
    paths = dict(zip(study.factors(), spec["factors"], strict=True))  # before settings had titles
    levels = {c.name: {paths[f]: level for f, level in c.levels.items()} for c in study.cells}
    plain = {"Joint": "joint", "Real at the end": "real-last"}
    for cell in older["cells"][1:]:
        cell["levels"] = levels[cell["name"]]
        cell["title"] = ", ".join(f"{factor} {level}" for factor, level in cell["levels"].items())
    for part in (part for effect in older["effects"] for part in effect["parts"]):
        part["factor"] = paths[part["factor"]]
        part |= {name: plain.get(part[name], part[name]) for name in ("level", "zero")}
    older |= {"headline": "ahead real-last", "notes": []}
    write_json(tmp_path / studies.RESULT, older)
    assert read_result(tmp_path) == now and now["effects"]
    assert "synthetic latents ‘Joint’" in now["headline"] and "joint" not in now["headline"]
    assert "‘Real at the end’, beside ‘Joint’" in study_text.render(now, "md")


def test_a_failed_setting_keeps_its_sentence(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # a narrow terminal would break the sentence in two
    all_found = found()
    table = rows(all_found)
    table["offon"].update(state="failed", error="The disk is full.")
    del all_found["offon"]
    value = result(TWO, resolve_config({"seeds": 5}), table, all_found)
    assert "The disk is full." in study_text.render(value, "md") and value["effects"] == []
    study_text.show(value)
    assert "The disk is full." in capsys.readouterr().out
    value["cells"][3]["error"] = "a|b\nsecond line"
    lines = [line for line in study_text.render(value, "md").splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(TWO.cells) and r"a\|b second line" in lines[5]
    assert len({len(re.split(r"(?<!\\)\|", line)) for line in lines}) == 1, "as many cells in every row"
