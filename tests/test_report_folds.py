"""Figures by test fold, worked out by hand, and what is said of the independence of speakers."""

import json
from dataclasses import replace

import numpy as np
import pytest
from bank_fixtures import CLASSES, npz_arrays, planted_latents, ready_bank, speech_items, write_npz

from gelda import compare, report_folds, report_text
from gelda.compare_config import resolve_compare
from gelda.protocols import zero_shot
from gelda.runs import create_run

ITEMS = speech_items()
BANK = ready_bank(ITEMS, {"pool": planted_latents(ITEMS)})
POLISH, NEUTRAL = 1, CLASSES.index("neutral")


def folds(items=ITEMS, seed=0):
    return zero_shot(items, seed, target=POLISH, kept=NEUTRAL, rotations=2)


def test_figures_of_every_fold_by_hand():
    """The first fold is right but for all of joy, the second wrong throughout."""
    episodes = folds()
    first, second = (ITEMS.label[e.test] for e in episodes)
    joy, anger = CLASSES.index("joy"), CLASSES.index("anger")
    predicted = np.concatenate([np.where(first == joy, anger, first), (second + 1) % len(CLASSES)])
    outcome = {"episodes": episodes, "rows": None, "ce": predicted}
    one, two = report_folds.by_fold(BANK, {7: outcome}, ["ce"])
    assert (one["seed"], one["fold"], two["fold"], one["subdomain"]) == (7, 1, 2, "polish")
    assert one["groups"] == two["groups"] == 2 and one["items"] == len(first)
    # of four classes as large as each other one is never found; anger has F1 2/3, joy 0
    assert one["figures"]["ce"] == pytest.approx(
        {"overall": 75, "uar": 75, "macro_f1": 100 * (2 + 2 / 3) / 4}
    )
    assert two["figures"]["ce"] == pytest.approx({"overall": 0, "uar": 0, "macro_f1": 0})
    report = {"folds": [one, two], "methods": {"ce": {}}}
    assert report_folds.spread(report, "ce", "uar") == pytest.approx((37.5, 0, 75))
    text = "\n".join(report_folds.to_markdown(report))
    assert "| Cross-entropy | 37.5 (0.0 to 75.0) | 37.5 (0.0 to 75.0) | 33.3 (0.0 to 66.7) |" in text
    assert f"| seed 7, fold 1 | 2 | {len(first)} | 75.0 / 75.0 / 66.7 |" in text


def test_speakers_held_apart_are_said_to_be():
    found = report_folds.independence(BANK, folds() + folds(seed=1))
    assert found == {"items": 48, "groups": 4, "unnamed": 0, "shared": 0}
    assert report_folds.said(found).startswith("Speaker-independent, checked: none of the 4 tested groups")


def test_a_speaker_on_both_sides_is_counted():
    episode = folds()[0]
    leak = replace(episode, train=np.append(episode.train, episode.test[0]))
    found = report_folds.independence(BANK, [leak])
    assert found["shared"] == 1 and report_folds.said(found).startswith("Not speaker-independent: 1 group")


@pytest.mark.parametrize("known, words", [
    (False, "none of the 48 tested items names a speaker"),
    (True, "12 of the 48 tested items name no speaker"),
])  # fmt: skip
def test_unknown_speakers_are_no_independence(known, words):
    """Readers give an item without a speaker a group of its own, under its id."""
    ids = np.array([f"clip {n}" for n in range(len(ITEMS))])
    group = np.array([f"s{g}" for g in ITEMS.group])
    anonymous = ITEMS.subdomain == POLISH
    if known:
        anonymous &= ITEMS.group == ITEMS.group[anonymous][0]
    items = replace(ITEMS, group=np.where(anonymous, ids, group))
    bank = replace(ready_bank(items, {"pool": planted_latents(items)}), ids=ids)
    found = report_folds.independence(bank, folds(items))
    assert found["shared"] == 0 and words in report_folds.said(found)
    whole = replace(items, grouped=False, split=np.where(np.arange(len(items)) % 2, "train", "test"))
    found = report_folds.independence(replace(bank, items=whole), folds(whole))
    assert found["unnamed"] == found["items"] > 0


@pytest.mark.parametrize("protocol", [
    {"protocol": "zero-shot", "target": "polish", "keep": "neutral"}, {"protocol": "longtail", "imbalance": 4}
])  # fmt: skip
def test_a_comparison_reports_its_folds(protocol, gelda_home):
    config = resolve_compare({"bank": "planted", "methods": ["ce", "mean-shift"], **protocol}, "tiny")
    result = compare.execute(config, BANK, create_run({}, "test", "compare", "t"))
    if config.protocol == "longtail":
        assert "folds" not in result and "test folds" not in report_text.to_markdown(result)
        return
    assert [(f["seed"], f["fold"]) for f in result["folds"]] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert any(note.startswith("Speaker-independent, checked") for note in result["notes"])
    assert "## polish: test folds" in report_text.to_markdown(result)
    pooled = result["methods"]["mean-shift"]["overall"]["mean"]
    assert report_folds.spread(result, "mean-shift", "overall")[0] == pytest.approx(pooled), "folds as large"
    table = report_folds.across({"polish": result, "again": result})
    row = table["uar"]["ce"]
    assert (
        row["mean"] == pytest.approx(row["polish"]) == pytest.approx(result["methods"]["ce"]["uar"]["mean"])
    )


def test_the_command_sums_up_every_target(gelda, tmp_path):
    bank, out = write_npz(tmp_path / "bank.npz", npz_arrays(ITEMS)), tmp_path / "out.json"
    given = ("--protocol", "zero-shot", "--keep", "neutral", "--target", "each", "--preset", "tiny")
    done = gelda("compare", bank, *given, "--methods", "ce,mean-shift", "--seeds", "1", "--json", out)
    assert done.returncode == 0, done.stderr
    assert "WA / UAR / macro F1 in %, each in turn as the target" in " ".join(done.stdout.split())
    found = json.loads(out.read_text())
    assert set(found["targets"]) == set(ITEMS.subdomain_names)
    row = found["table"]["macro_f1"]["mean-shift"]
    assert row["german"] == pytest.approx(
        found["targets"]["german"]["methods"]["mean-shift"]["macro_f1"]["mean"]
    )
    assert row["mean"] == pytest.approx(np.mean([row[name] for name in ITEMS.subdomain_names]))
