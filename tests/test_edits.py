"""Lists of edits: what steps leave to learn from, undo and redo, files, and what is refused."""

import json
from concurrent.futures import ThreadPoolExecutor

import kit_fixtures as made
import numpy as np
import pytest

from gelda import edits, kit
from gelda.artifacts import content_key, read_table, write_table
from gelda.edit_figures import inherited, title, touched
from gelda.edits import Add, Drop, Edits, Keep, Resample, Weight
from gelda.errors import UserError


@pytest.fixture(scope="module", autouse=True)
def gelda_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GELDA_HOME", str(home))
        yield home


@pytest.fixture(scope="module")
def planted(gelda_home):
    return kit.load(made.make_run())


def used(planted, *steps) -> dict[str, float]:
    """Factor of every synthetic latent that a head would see."""
    state = edits.applied(planted, steps)
    own = (state.rows["origin"] == "synthetic").to_numpy() & (state.factor > 0)
    assert (state.factor[(state.rows["origin"] == "real").to_numpy()] == 1).all()
    return dict(zip(state.rows["id"][own], state.factor[own], strict=True))


def test_without_steps_what_the_filter_kept_is_used(planted):
    assert list(used(planted).values()) == [1.0] * (made.BAD + made.GOOD)


@pytest.mark.parametrize("step, left", [
    (Drop(ids=made.bad_ids()), made.GOOD),
    (Drop(classes=("dog",)), 0),
    (Drop(cells=(("dog", "night"),)), (made.BAD + made.GOOD) // 2),
    (Drop(ids=("gelda-00000",), cells=(("dog", "night"),)), (made.BAD + made.GOOD) // 2 - 1),
    (Keep(classes=("dog",)), made.BAD + made.GOOD + 2),
    (Weight(factor=0.5), made.BAD + made.GOOD),
    (Add(cells=(("cat", "day"),), count=7), made.BAD + made.GOOD + 7),
    (Resample(cells=(("dog", "night"),)), made.BAD + made.GOOD),
])  # fmt: skip
def test_what_a_step_leaves(planted, step, left):
    assert len(used(planted, step)) == left


@pytest.mark.parametrize("step, about", [
    (Drop(ids=made.bad_ids()), ["dog"]),
    (Drop(classes=("bee",), ids=made.bad_ids()[:1]), ["bee", "dog"]),
    (Weight(factor=0.5, cells=(("cat", "day"),)), ["cat"]),
    (Weight(factor=0.5), list(made.CLASSES)),
    (Add(cells=(("ant", "night"),), count=2), ["ant"]),
])  # fmt: skip
def test_which_classes_a_step_is_about(planted, step, about):
    assert [planted.classes[c] for c in touched(planted, [step])] == about


def test_steps_build_on_each_other(planted):
    steps = [Drop(classes=("dog",)), Keep(ids=("gelda-00001",)), Weight(factor=0.5), Weight(factor=0.5)]
    assert used(planted, *steps) == {"gelda-00001": 0.25}
    resampled = used(planted, Drop(ids=made.bad_ids()), Resample(cells=(("dog", "night"),)))
    fresh = [i for i in resampled if i.startswith("made-")]
    assert len(fresh) == made.GOOD // 2 and not set(resampled) & set(made.bad_ids())
    assert used(planted, Resample(cells=(("cat", "day"),))) == used(planted), "nothing there to make anew"


def test_a_list_may_begin_with_any_word(planted):
    for name in ("confirmed once", "best"):
        edits.save(Edits(planted.run.name, planted.key, name))
    assert {"best", "confirmed once"} <= set(edits.names(planted.run.name))
    for name in ("confirmed once", "best"):
        edits.path_of(planted.run.name, name).unlink()


THREE = Add(cells=(("cat", "day"),), count=3)


@pytest.mark.parametrize("steps, words", [
    ((Add(cells=(("cat", "day"), ("cat", "night")), count=15_000),), "makes 30000 latents"),
    ((THREE, Add(cells=(("cat", "day"),), count=9)), "very latents of step 1"),
    ((THREE, Resample(cells=(("cat", "day"),))), "very latents of step 1"),
    ((THREE, Drop(ids=(f"made-{THREE.key()}-0-00003",))), "00003', which the run does not have"),
    ((Weight(factor=100),) * 8, "more than 10000 times"),
])  # fmt: skip
def test_steps_that_cannot_be_meant_are_refused(planted, steps, words):
    with pytest.raises(UserError, match=words):
        for number, step in enumerate(steps):
            edits.check(step, planted, steps[:number])


def test_more_latents_with_other_noise_or_settings_are_other_latents(planted):
    cell = (("cat", "day"),)
    other = (Add(cells=cell, count=3, seed=2), Add(cells=cell, count=3, guidance_class=4.0))
    steps = (THREE, *other, Add(cells=(("cat", "night"),), count=3))
    for number, step in enumerate(steps):
        edits.check(step, planted, steps[:number])
    last = edits.applied(planted, steps).rows["id"].iloc[-1]
    edits.check(Drop(ids=(last,)), planted, steps)


def test_undo_redo_and_a_new_step_after_undo(planted):
    start = Edits(planted.run.name, planted.key)
    two = start.push(Drop(classes=("dog",))).push(Weight(factor=2))
    assert two.undo().active == two.steps[:1] and two.undo().redo() == two
    assert start.undo() == start and two.redo() == two
    other = two.undo().push(Keep(classes=("dog",)))
    assert [s.kind for s in other.steps] == ["drop", "keep"]


def test_a_list_is_read_as_it_was_saved(planted):
    cells = (("dog", "night"),)
    more = Resample(cells=cells, guidance_class=2.0), Add(cells=cells, count=3, title="A few more")
    steps = (Drop(ids=made.bad_ids()), Weight(factor=0.3, classes=("dog",)), Keep(cells=cells), *more)
    saved = Edits(planted.run.name, planted.key, "mine", steps, 4)
    edits.save(saved)
    assert edits.load(planted, "mine") == saved and edits.names(planted.run.name) == ["mine"]
    assert edits.load(planted, "none yet").steps == ()


def test_the_key_of_a_state_is_of_what_was_done_not_of_names(planted):
    named = edits.state_key(planted, [Drop(classes=("dog",), title="no dogs")])
    assert named == edits.state_key(planted, [Drop(classes=("dog",))])
    assert named != edits.state_key(planted, [Drop(classes=("cat",))]) != edits.state_key(planted, [])


@pytest.mark.parametrize("change, words", [
    ({"steps": [{"kind": "drop", "classes": ["dgo"]}]}, r"step 1 names the class 'dgo'.*Did you mean 'dog'"),
    ({"steps": [{"kind": "drop", "cells": [["dog", "nite"]]}]}, "step 1 names the subdomain 'nite'"),
    ({"steps": [{"kind": "drop", "ids": ["gelda-99999"]}]}, "1 names the synthetic latent 'gelda-99999'"),
    ({"steps": [{"kind": "drop", "ids": ["item-001"]}]}, "the synthetic latent 'item-001'"),
    ({"steps": [{"kind": "drop", "ids": ["made-0123456789abcdef-00001"]}]}, "which the run does not have"),
    ({"steps": [{"kind": "drop"}]}, r"step 1 \(drop\) names no latents"),
    ({"steps": [{"kind": "erase", "classes": ["dog"]}]}, "step 1 has the kind 'erase'; it must be one of"),
    ({"steps": [{"classes": ["dog"]}]}, "step 1 has the kind None"),
    ({"steps": [{"kind": "weight", "factor": -1}]}, "step 1, factor: input should be greater than 0"),
    ({"steps": [{"kind": "weight", "factor": 1, "why": "x"}]}, "step 1, why: extra inputs are not permitted"),
    ({"steps": "none"}, "its steps: input should be a valid tuple"),
    ({"kit": "0"}, "was made on other latents"),
    ({"at": 9}, "'at' is 9"),
    ({"format": 99}, "upgrade GeLDA"),
])  # fmt: skip
def test_a_malformed_file_is_one_sentence(planted, tmp_path, change, words):
    value = {**Edits(planted.run.name, planted.key, "x").as_json(), **change}
    value.setdefault("at", 0)
    if "at" not in change:
        value.pop("at")
    file = tmp_path / "edits.json"
    file.write_text(json.dumps(value))
    with pytest.raises(UserError, match=words) as error:
        edits.read(file, planted)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text, words", [("", "not valid JSON"), ("[]", "no 'format' number")])
def test_a_file_that_is_no_list_of_edits_is_refused(planted, tmp_path, text, words):
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(UserError, match=words):
        edits.read(tmp_path / "e.json", planted)


@pytest.mark.parametrize("name", ["../x", "", ".x", "a/b"])
def test_a_name_cannot_lead_out_of_the_workspace(planted, name):
    with pytest.raises(UserError, match="cannot name a list"):
        edits.load(planted, name)


@pytest.mark.parametrize("step, said", [
    (Drop(ids=("a", "b")), "Drop 2 latents"),
    (Drop(cells=(("dog", "night"),)), "Drop dog night"),
    (Weight(factor=0.5), "Weight × 0.5 for all synthetic latents"),
    (Add(cells=(("dog", "day"),), count=5, guidance_class=2), "Make 5 more for dog day (class guidance 2)"),
    (Drop(classes=("dog",), title="bad dogs"), "bad dogs"),
])  # fmt: skip
def test_a_step_has_words(step, said):
    assert title(step) == said


def test_a_broken_kit_is_a_sentence(planted, tmp_path, monkeypatch):
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    path = made.make_run()
    points = json.loads((path / "points.json").read_text())
    (path / "points.json").write_text(json.dumps({**points, "key": "other"}))
    with pytest.raises(UserError, match="belongs to other points"):
        kit.load(path)
    (path / "kit.json").unlink()
    with pytest.raises(UserError, match="keeps no kit"):
        kit.load(path)


@pytest.mark.parametrize("key", sorted(kit.NEEDED))
def test_a_kit_that_lacks_something_is_a_sentence(planted, tmp_path, key):
    for name in ("points.json", *kit.FILES):
        (tmp_path / name).write_bytes((planted.run / name).read_bytes())
    about = json.loads((tmp_path / "kit.json").read_text())
    about.pop(key)
    (tmp_path / "kit.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match=f"kit.json lacks '{key}'"):
        kit.load(tmp_path)


@pytest.mark.parametrize("name", [file for file in kit.FILES if file != kit.TEST])
def test_a_kit_that_cannot_be_read_is_a_sentence(planted, tmp_path, name):
    for file in ("points.json", *kit.FILES):
        (tmp_path / file).write_bytes((planted.run / file).read_bytes())
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=name) as error:
        kit.load(tmp_path)
    assert "\n" not in str(error.value)


def test_tensors_of_another_table_are_a_sentence(planted, tmp_path, monkeypatch):
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    path = made.make_run()
    write_table(path / "kit.parquet", read_table(path / "kit.parquet").assign(point=-1))
    with pytest.raises(UserError, match="does not fit kit.parquet"):
        kit.load(path)


def test_latents_of_rows_that_are_not_drawn_come_from_the_kit(planted):
    import dataclasses

    table = planted.table.copy()
    table.loc[[3, 5], "point"] = -1
    own = np.full((2, made.DIM), 7, np.float16)
    other = dataclasses.replace(planted, table=table, tensors={"z": own})
    z = other.latents()
    assert (z[[3, 5]] == 7).all()
    assert np.array_equal(np.delete(z, [3, 5], 0), np.delete(planted.latents(), [3, 5], 0))


def test_two_windows_at_once_lose_no_step(planted):
    def push(title):
        edits.change(planted, "shared", lambda mine: mine.push(Weight(factor=1, title=title)))

    titles = {str(k) for k in range(20)}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(push, titles))
    kept = edits.load(planted, "shared").active
    assert len(kept) == 20 and {step.title for step in kept} == titles


DAY, NIGHT = ("dog", "day"), ("dog", "night")
HALF = (made.BAD + made.GOOD) // 2
MAKING = [(Resample(cells=(NIGHT,)), HALF), (Add(cells=(NIGHT,), count=5), 5)]


@pytest.mark.parametrize("step, number", MAKING)
@pytest.mark.parametrize("weights, count", [
    ((), 1.0),
    ((Weight(factor=0.3),), 0.3),
    ((Weight(factor=0.3, cells=(NIGHT,)), Weight(factor=2.0, cells=(NIGHT,))), 0.6),
    ((Weight(factor=0.3, cells=(DAY,)),), 1.0),
    ((Weight(factor=3.0, cells=(NIGHT,)), Drop(cells=(DAY,))), 3.0),
])  # fmt: skip
def test_latents_that_are_made_count_as_much_as_those_of_their_cell(planted, weights, count, step, number):
    factors = used(planted, *weights, step)
    new = [factor for one, factor in factors.items() if one.startswith("made-")]
    assert new == pytest.approx([count] * number)
    said = inherited(planted, (*weights, step))
    assert said[:-1] == [""] * len(weights)
    assert said[-1] == ("" if count == 1 else f"each counts {count:g} times, as those before")


@pytest.mark.parametrize("cells, count", [((), 0.3), ((NIGHT,), 1.0)])
def test_in_an_empty_cell_they_count_as_all_others_do_alike(planted, cells, count):
    factors = used(planted, Weight(factor=0.3, cells=cells), Add(cells=(("cat", "day"),), count=4))
    assert [f for one, f in factors.items() if one.startswith("made-")] == [count] * 4


def test_of_a_cell_whose_latents_count_differently_the_mean_is_inherited(planted):
    steps = (Weight(factor=0.5, ids=("gelda-00001",)), Resample(cells=(NIGHT,)), Weight(factor=2.0))
    before, after = (used(planted, *steps[:n]) for n in (1, 2))
    assert sum(after.values()) == pytest.approx(sum(before.values())), "as much in all"
    new = [f for one, f in used(planted, *steps).items() if one.startswith("made-")]
    assert new == pytest.approx([2 * (HALF - 0.5) / HALF] * HALF)


def test_heads_from_before_made_latents_inherited_a_weight_are_not_taken(planted):
    make, weigh = Resample(cells=(NIGHT,)), Weight(factor=0.5)
    keys = [(make, weigh), (make,), (weigh,)]
    for steps in keys:
        old = content_key("refit", planted.key, [step.key() for step in steps])
        assert edits.state_key(planted, steps) == old, "nothing to inherit"
    old = content_key("refit", planted.key, [weigh.key(), make.key()])
    assert edits.state_key(planted, (weigh, make)) != old
