"""The card of a run: it says what it must, and its command makes the same run again."""

import copy

import pytest
from test_report import HEALTH, MADE, SEEDS, build, markdown_tables, result
from typer.testing import CliRunner

from gelda import card, runs
from gelda.artifacts import write_json
from gelda.cli import app
from gelda.cli_options import overrides
from gelda.compare_config import resolve_compare
from gelda.config import merged, resolve_config
from gelda.datasets import DATASETS
from gelda.report import load_report

SECTIONS = ["Purpose", "Data", "Figures", "The synthetic latents", "Limits", "Settings", "Make it again",
            "Versions and time"]  # fmt: skip


def of_a_run(**changes):
    config = resolve_config(changes, "tiny").model_dump(mode="json")
    return build(config=config, demo="digits")


def section(text, name):
    return text.split(f"## {name}\n\n")[1].split("\n\n## ")[0]


def test_every_section_is_there_in_order():
    text = card.card(of_a_run())
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == SECTIONS
    assert text.startswith("# toy\n\nRun `r1`. GeLDA against logit adjustment: +37.5 points in tail classes")
    assert "A class has 2 to 17 training items." in section(text, "Data")
    assert "1.5 s" in text or "2 s in all: extract 2 s" in text


@pytest.mark.parametrize("name", DATASETS)
def test_a_demo_s_card_has_its_licence_and_caveat(name):
    text = section(card.card(of_a_run(data={"dataset": name})), "Data")
    assert DATASETS[name].licence in text and DATASETS[name].caveat in text


def test_negative_findings_are_said():
    worse = [result(s, logit_adjustment=[], gelda=[6, 7, 8, 9, s % 2]) for s in range(6)]
    text = section(card.card(build(worse)), "Limits")
    assert "Tail classes: GeLDA is behind logit adjustment by -100.0" in text
    assert "Head classes: -25.0 points to logit adjustment, over seeds alone." in text
    assert "A note, 100 % true." in text
    few = section(card.card(MADE), "Limits")
    assert "GeLDA is inside the noise beside logit adjustment (+37.5" in few
    assert "a claim needs 5 seeds" in few


@pytest.mark.parametrize("health, said", [
    ({"precision": 0.2, "precision_gaussian": 0.3}, "Precision 0.20 (the Gaussian 0.30)"),
    ({"frechet": 9.0, "frechet_gaussian": 3.0}, "9.00 (the Gaussian 3.00)"),
    ({"precision": 0.4, "precision_gaussian": 0.3}, None),
    ({"precision": 0.301, "precision_gaussian": 0.302}, None),
    ({"c2st": 0.9, "c2st_gaussian": 0.5}, None),
])  # fmt: skip
def test_a_generator_behind_a_gaussian_is_a_limit(health, said):
    text = section(card.card(build(health=[health])), "Limits")
    assert (said or "A Gaussian") in text if said else "A Gaussian" not in text


def test_latents_that_vary_too_little_are_a_limit():
    thin = [{**h, "variance_ratio": 0.4} for h in HEALTH]
    assert "vary 0.40 times as much as real ones" in card.card(build(health=thin))
    assert "times as much as real ones" not in card.card(MADE)


def test_the_health_table_has_ceiling_and_floor():
    figures = {"precision": 0.5, "precision_real": 0.9, "precision_gaussian": 0.3, "kept_share": 1.0}
    rows = markdown_tables(card.card(build(health=[figures])))["## The synthetic latents"]
    assert rows[2][:4] == ["Precision", "0.50", "0.90", "0.30"] and len(rows) == 3
    bare = build([result(0, ce=[1], logit_adjustment=[2])], health=[])
    assert "## The synthetic latents" not in card.card(bare)


@pytest.mark.parametrize("preset, changes", [
    ("tiny", {}),
    ("digits", {"seeds": 9, "generator": {"steps": 77, "class_semantics": "file:a b.csv"}}),
    ("tiny", {"methods": ("ce",), "data": {"empty_subdomains": []}, "sampling": {"recipe_strength": 0.5}}),
])  # fmt: skip
def test_the_command_of_a_run_gives_its_settings_again(preset, changes):
    config = resolve_config(changes, preset)
    words = card.command(build(config=config.model_dump(mode="json"), demo="digits"))
    assert words[:2] == ["gelda", "run"]
    options = dict(zip(words[2::2], words[3::2], strict=True))
    given = overrides([words[i + 1] for i, word in enumerate(words) if word == "--set"])
    assert resolve_config(merged({}, given), options["--preset"]) == config
    assert len(given) <= len(changes), "only what differs is said"


@pytest.mark.parametrize("preset, changes", [
    ("default", {"imbalance": 20}),
    ("tiny", {"protocol": "zero-shot", "target": "new york", "keep": "calm", "classes": ("calm", "sad")}),
])  # fmt: skip
def test_the_command_of_a_comparison_gives_its_settings_again(preset, changes):
    config = resolve_compare({"bank": "/data/my bank.npz", **changes}, preset)
    stored = {**config.model_dump(mode="json"), "selection": {"0": {}}, "semantics": {}, "dtype": "float32"}
    words = card.command(build(config=stored, demo=runs.COMPARISON))
    assert words[:5] == ["gelda", "compare", "/data/my bank.npz", "--protocol", config.protocol]
    given = overrides([words[i + 1] for i, word in enumerate(words) if word == "--set"])
    assert resolve_compare({"bank": words[2], "protocol": words[4], **given}, words[6]) == config


def test_an_older_run_without_a_newer_setting_has_a_command():
    made = of_a_run()
    old = copy.deepcopy(made)
    del old["config"]["generator"]["ema_decay"]
    assert card.command(old) == card.command(made)


def test_the_command_line_prints_a_card(tmp_path, monkeypatch):
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    state = runs.create_run({}, "toy", "toy", "r1")
    write_json(state.path / "report.json", build(SEEDS))
    state.status = "done"
    runs.save_state(state)
    done = CliRunner().invoke(app, ["report", "r1", "--format", "card"])
    assert done.exit_code == 0 and done.output == card.card(load_report(state.path))
