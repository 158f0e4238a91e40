"""Every study resolves, has no setting twice, and says what it takes; a person's own grid is checked."""

import json

import pytest

from gelda import ablation, augmenters, grids, setting_words, studies
from gelda.artifacts import read_json
from gelda.cli_ablate import outlook
from gelda.config import RunConfig, resolve_config
from gelda.errors import UserError
from gelda.recipes import RECIPES
from gelda.study_result import headline, notes, read_result

BASE = resolve_config({"seeds": 3})


@pytest.mark.parametrize("name", studies.STUDIES)
def test_a_study_resolves_and_its_settings_differ(name):
    study = studies.get(name)
    made = ablation.check(study, BASE)
    assert list(made) == [cell.name for cell in study.cells] and study.reference in made
    assert len({config.model_dump_json() for config in made.values()}) == len(study.cells)
    assert len({cell.title for cell in study.cells}) == len(study.cells) and study.name == name
    assert study.question.endswith("?")
    for cell in study.cells:
        assert made[cell.name].methods == (cell.method,)
        assert not cell.levels or set(cell.levels) == set(study.factors())


@pytest.mark.parametrize("name", studies.STUDIES)
def test_a_factors_first_levels_are_the_defaults_or_nothing(name):
    """The reference is the product's default, so that a study speaks of what people run."""
    study = studies.get(name)
    assert studies.configs(study, BASE)[study.reference].generator == RunConfig().generator
    assert studies.configs(study, BASE)[study.reference].sampling == RunConfig().sampling


@pytest.mark.parametrize("name", studies.STUDIES)
def test_a_dry_run_counts_the_cells(name):
    study = studies.get(name)
    found = studies.shape(study, BASE)
    assert found["cells"] == len(study.cells) and found["runs"] == 3 * len(study.cells)
    assert 0 < found["generators"] <= 3 * (len(study.cells) - 1) and found["seconds"] > 0
    text = outlook(study, found)
    assert f"{found['runs']} runs" in text and "estimate" in text


def test_settings_that_come_after_training_share_a_generator():
    guidance, conditioning = (studies.shape(studies.get(n), BASE) for n in ("guidance", "conditioning"))
    assert guidance["generators"] == 3 and conditioning["generators"] == 3 * 9
    assert studies.shape(studies.get("guidance"), resolve_config({"seeds": 6}))["seconds"] == pytest.approx(
        2 * guidance["seconds"]
    )


@pytest.mark.parametrize("name", studies.STUDIES)
def test_a_study_survives_json(name):
    study = studies.get(name)
    assert studies.from_json(json.loads(json.dumps(studies.as_json(study)))) == study


def test_the_id_depends_on_settings_and_not_on_words_or_seeds():
    study = studies.get("weight")
    reworded = studies.Study(study.name, "Other words", "?", study.cells, study.reference)
    first = ablation.run_id(study, BASE)
    assert ablation.run_id(reworded, resolve_config({"seeds": 9})) == first
    assert ablation.run_id(study, resolve_config({"data": {"imbalance": 10}})) != first
    fewer = studies.Study(study.name, study.title, study.question, study.cells[:-1], study.reference)
    assert ablation.run_id(fewer, BASE) != first


def test_a_layer_has_an_adapter_and_a_generator_of_its_own():
    found = studies.shape(studies.get("layer"), BASE)
    assert found["generators"] == 3 * 3
    one = studies.Study("x", "x", "x?", studies.get("layer").cells[:2], "stage3.1-off")
    assert found["seconds"] == pytest.approx(3 * studies.shape(one, BASE)["seconds"])
    methods = {cell.method for cell in studies.get("augmenter").cells}
    assert studies.shape(studies.get("augmenter"), BASE)["generators"] == 3 * sum(
        augmenters.get(m).generative for m in methods
    )


def test_levels_in_words():
    assert list(studies.along("a.b", (True, False, None, 1, 0.5, "x"))) == [
        "on",
        "off",
        "none",
        "1",
        "0.5",
        "x",
    ]


def test_a_grid_says_its_choices_in_the_words_of_the_forms_and_keeps_its_names():
    spec = {"factors": {"sampling.recipe": ["joint", "real-last"], "generator.form": ["plain", "residual"],
                        "sampling.weight": [0.3, 1]}}  # fmt: skip
    study, _ = grids.from_spec(spec, "grid.json")
    cell = study.cells[-1]
    assert cell.title == (
        "when heads see synthetic latents ‘Real at the end’, form of GeLDA ‘Its distance to a prototype’, "
        "weight of a synthetic latent 1"
    )
    assert list(cell.levels.values()) == ["real-last", "residual", "1"], "which a study is found again by"
    assert "real-last" in cell.name and "residual" in cell.name
    recipes = studies.get("recipe")
    assert recipes.reference in [cell.name for cell in recipes.cells]
    assert {cell.title for cell in recipes.cells[1:]} == {
        setting_words.beside("recipe", RECIPES[level].title) for level in recipes.factors()["recipe"]
    }
    assert "when heads see synthetic latents ‘Joint’" in outlook(study, studies.shape(study, BASE))


def test_a_grid_of_ones_own():
    value = {"title": "Steps", "factors": {"generator.steps": [10, 20], "sampling.weight": [0.1, 0.3, 1]},
             "config": {"seeds": 2}}  # fmt: skip
    study, shared = grids.from_spec(value, "grid.json")
    assert len(study.cells) == 7 and shared == {"seeds": 2} and study.reference == study.cells[1].name
    made = ablation.check(study, resolve_config(shared))
    assert sorted({(c.generator.steps, c.sampling.weight) for c in list(made.values())[1:]}) == [
        (s, w) for s in (10, 20) for w in (0.1, 0.3, 1)
    ]


@pytest.mark.parametrize("values", [[-1, 1], ["a", "A"], [0.3, 0.30000001], [1, True]])
def test_every_value_of_a_grid_is_a_setting_of_its_own(values):
    study, _ = grids.from_spec({"factors": {"sampling.weight": values}}, "grid.json")
    cells = study.cells[1:]
    assert [c.settings["sampling"]["weight"] for c in cells] == values
    assert len({c.name for c in cells}) == len({c.title for c in cells}) == len(values)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "is not a study"),
        ({"factors": {}}, "is not a study"),
        ({"factors": {"sampling.weight": [0.1]}}, "at least two different values"),
        ({"factors": {"sampling.weight": [0.1, 0.1]}}, "at least two different values"),
        ({"factors": {"sampling.weight": [1, 1.0]}}, "at least two different values"),
        ({"factors": {"sampling.weight": 1}}, "at least two different values"),
        ({"factors": {"sampling.weight": [0.1, 1]}, "confg": {}}, "no part of a study called 'confg'"),
        ({"factors": {"sampling.weight": [0.1, 1]}, "config": 3}, "must hold settings"),
        (
            {"factors": {"sampling": [{"weight": 0.1}, {"weight": 1}], "sampling.weight": [0.1, 1]}},
            "'sampling.weight' is a part of the factor 'sampling'",
        ),
        *(
            ({"factors": {path: [1, 2]}}, f"'{path}' cannot be a factor")
            for path in [*grids.SHARED, "projection.seed"]
        ),
    ],
)
def test_what_is_wrong_with_a_grid_is_a_sentence(value, says):
    with pytest.raises(UserError, match=says):
        grids.from_spec(value, "grid.json")


@pytest.mark.parametrize(
    ("path", "values", "says"),
    [
        ("sampling.wieght", [0.1, 1], "Did you mean 'weight'"),
        ("sampling.recipe", ["joint", "never"], "never"),
    ],
)
def test_a_setting_that_cannot_be_is_said_before_anything_starts(path, values, says):
    study, _ = grids.from_spec({"factors": {path: values}}, "grid.json")
    with pytest.raises(UserError, match=says):
        ablation.check(study, BASE)


def test_an_unknown_study_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'guidance'"):
        studies.get("guidence")


@pytest.mark.parametrize("name", studies.shipped())
def test_a_shipped_study_is_whole_and_of_this_code(name):
    folder = studies.shipped()[name]
    value, study = read_json(folder / studies.RESULT), studies.get(name)
    assert [cell["name"] for cell in value["cells"]] == [cell.name for cell in study.cells]
    for stored, cell in zip(value["cells"], study.cells, strict=True):
        assert stored["state"] == "done" and stored["levels"] == dict(cell.levels)
        assert stored["changes"] == (
            dict(cell.settings) or ({"method": cell.method} if cell.name == "none" else {})
        )
    assert value["items"] == "dev" and len(value["seeds"]) >= 5
    assert value["command"] == f"gelda ablate --study {name} --seeds {len(value['seeds'])}"
    assert value["headline"] == headline(value) and value["notes"] == notes(value)
    assert read_result(folder) == value
    assert (folder / studies.RESULT).stat().st_size < 100_000
