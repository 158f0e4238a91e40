"""The kit that a comparison leaves: its rows, halves that share no group, and the head it trains again."""

import numpy as np
import pytest
import torch
from bank_fixtures import photo_items, speech_items
from test_compare_points import executed

from gelda import compare, compare_kit, compare_points, edits, kit, projection
from gelda.edit_figures import history
from gelda.edits import Add, Drop, Edits
from gelda.refit import Bench, refit


@pytest.mark.parametrize("items", [speech_items(), photo_items()], ids=["speakers", "photos"])
def test_halves_share_no_group_and_hold_every_class(items):
    rows = np.arange(len(items))
    dev = compare_kit.halves(items.label[rows], items.group[rows], 0)
    assert not set(items.group[dev]) & set(items.group[~dev])
    assert set(items.label[dev]) == set(items.label[~dev]) == set(items.label)
    assert abs(int(dev.sum()) - len(rows) / 2) <= len(rows) / 6
    assert np.array_equal(dev, compare_kit.halves(items.label[rows], items.group[rows], 0))
    assert not np.array_equal(dev, compare_kit.halves(items.label[rows], items.group[rows], 1))


@pytest.mark.parametrize("case", ["long tail", "zero-shot", "at an adapter layer"])
def test_rows_are_those_of_the_episode_and_the_head_trains_again(case, monkeypatch):
    monkeypatch.setitem(compare_points.LIMITS, "train", 20)  # most rows are not drawn
    monkeypatch.setitem(compare_points.LIMITS, "synthetic", 5)
    monkeypatch.setattr(compare_points, "FLOOR", 1)
    config, bank, run = executed(case, methods=["logit-adjustment", "gelda"], map=False)
    found = kit.load(run)
    (episode, *_) = compare.episodes(config, bank.items, 0)
    table, points = found.table, projection.load_points(run)
    assert list(table["id"][found.rows("train")]) == [str(row) for row in episode.train]
    dev = set(table["id"][found.rows("dev")])
    assert dev < {str(row) for row in episode.test} and found.about["test"] == len(episode.test) - len(dev)
    drawn = table["point"].to_numpy() >= 0
    assert 0 < drawn.sum() < len(table)
    assert (table["id"][drawn].to_numpy() == points["id"].iloc[table["point"][drawn]].to_numpy()).all()
    assert found.about["main"] == ("tail" if case == "long tail" else "uar")
    z, items = kit.load_test(run)
    assert len(z) == len(items) and not dev & {str(row) for row in episode.train}

    bench = Bench(found)
    head = bench.head(edits.applied(found, []), found.about["seed"])
    rows = torch.from_numpy(found.rows("train"))
    said = bench.predicted(head, bench.z[rows])
    stored = points[(points["split"] == "train")]["predicted"].to_numpy()
    at = table["point"].to_numpy()[rows]
    same = said[at >= 0] == stored[at[at >= 0]]
    assert same.mean() > 0.95, "the run's own head says the same of its training items"

    cell = (found.classes[-1], found.subdomains[0])
    mine = (
        Edits(run.name, found.key).push(Drop(classes=(found.classes[0],))).push(Add(cells=(cell,), count=3))
    )
    refit(found, mine)
    steps = history(found, mine)["steps"]
    assert len(steps) == 2 and "uar" in steps[1]["to_start"]["measures"]
