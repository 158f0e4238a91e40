"""Settings: unknown names, bounds, merging, and what a form needs to know."""

import json

import pytest
from pydantic import BaseModel

from gelda.compare_config import resolve_compare
from gelda.config import PRESETS, RunConfig, resolve_config
from gelda.errors import UserError


@pytest.mark.parametrize(
    "values, words",
    [
        ({"sedes": 3}, "no setting called 'sedes'. Did you mean 'seeds'"),
        (
            {"generator": {"step": 3}},
            r"no setting called 'generator.step'. Did you mean 'steps'.*batch_size, ",
        ),
        (
            {"paper_sampling": {"guidance_clas": 1}},
            "no setting called 'paper_sampling.guidance_clas'.*'guidance_class'",
        ),
        ({"qqqqqq": 3}, r"no setting called 'qqqqqq'\. Valid names: adapter, data, "),
    ],
)
def test_an_unknown_setting_names_the_nearest(values, words):
    with pytest.raises(UserError, match=words):
        resolve_config(values)
    with pytest.raises(UserError, match=words):
        resolve_config(**values)


@pytest.mark.parametrize("values, words", [
    ({"seeds": 0}, "setting 'seeds' is 0: input should be greater than or equal to 1"),
    ({"seeds": 2.5}, "setting 'seeds' is 2.5: "),
    ({"seeds": "many"}, "setting 'seeds' is 'many': "),
    ({"adapter": {"dropout": 1.0}}, "setting 'adapter.dropout' is 1.0: input should be less than 1"),
    ({"generator": {"prediction_type": "x"}}, "'generator.prediction_type' is 'x': .*'v_prediction'"),
    ({"generator": {"width": -1}}, "'generator.width' is -1"),
    ({"sampling": {"kept_share": 0}}, "'sampling.kept_share' is 0"),
    ({"sampling": {"weight": float("nan")}}, "'sampling.weight' is nan"),
    ({"data": {"imbalance": 0.5}}, "'data.imbalance' is 0.5"),
    ({"projection": {"metric": "l7"}}, "'projection.metric' is 'l7'"),
    ({"adapter": 3}, "setting 'adapter' is 3"),
    ({"adapter": {"hidden": [128, "wide"]}}, "setting 'adapter.hidden.1' is 'wide'"),
])  # fmt: skip
def test_values_out_of_bounds_are_told_with_their_place(values, words):
    with pytest.raises(UserError, match=words):
        resolve_config(values)


@pytest.mark.parametrize("values, words", [
    ({"generator": {"prediction_type": "flow"}}, "'dpm-solver.*does not fit.*'flow': use flow-euler"),
    ({"sampling": {"scheduler": "flow-euler"}}, "sampling.scheduler 'flow-euler' does not fit"),
    ({"paper_sampling": {"scheduler": "dpm"}}, "no scheduler called 'dpm'. Did you mean 'd"),
    ({"generator": {"timestep_sampling": "logit-normal"}}, "timestep_sampling 'logit-normal' is for flows"),
    ({"generator": {"size": "huge"}}, "'generator.size' is 'huge': .*'reference'"),
])  # fmt: skip
def test_generator_and_scheduler_must_fit(values, words):
    with pytest.raises(UserError, match=words):
        resolve_config(values)


def test_a_flow_is_configured_in_three_places_and_a_named_size_wins_over_numbers():
    flow = {"scheduler": "flow-euler"}
    config = resolve_config(
        {"generator": {"prediction_type": "flow", "timestep_sampling": "logit-normal", "size": "base"}},
        "tiny", sampling=flow, paper_sampling=flow,
    )  # fmt: skip
    assert config.generator.width == 768 and config.generator.depth == 3
    assert resolve_config(json.loads(config.model_dump_json())) == config


@pytest.mark.parametrize("hidden", [[0], [-4], []])
def test_widths_of_the_adapter_are_positive(hidden):
    if hidden:
        with pytest.raises(UserError, match="adapter.hidden"):
            resolve_config(adapter={"hidden": hidden})
    else:
        assert resolve_config(adapter={"hidden": []}).adapter.hidden == ()


@pytest.mark.parametrize("methods", [[], ["ce", "ce"]])
def test_methods_are_some_and_each_once(methods):
    with pytest.raises(UserError, match="methods"):
        resolve_config(methods=methods)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_resolve_and_their_json_resolves_to_the_same(preset):
    config = resolve_config(preset=preset)
    again = resolve_config(json.loads(config.model_dump_json()))
    assert again == config


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(UserError, match="no preset called 'tinny'. Did you mean 'tiny'"):
        resolve_config(preset="tinny")


def test_overrides_beat_the_spec_which_beats_the_preset_key_by_key():
    config = resolve_config({"generator": {"steps": 7}, "seeds": 3}, "tiny", generator={"width": 64}, seeds=4)
    assert config.seeds == 4 and config.generator.steps == 7 and config.generator.width == 64
    assert config.generator.batch_size == PRESETS["tiny"]["generator"]["batch_size"]
    assert config.generator.ema_decay == RunConfig().generator.ema_decay
    assert PRESETS["tiny"]["generator"]["width"] == 32, "a preset is not changed by using it"


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().seeds = 3


def sections(model: type[BaseModel]):
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, field.annotation


def test_every_section_refuses_unknown_keys():
    names = dict(sections(RunConfig))
    assert {"data", "encoder", "adapter", "generator", "sampling", "projection"} <= set(names)
    for name in names:
        with pytest.raises(UserError, match=f"no setting called '{name}.no_such_thing'"):
            resolve_config({name: {"no_such_thing": 1}})


def test_the_demo_compares_the_methods_it_promises():
    expected = {
        "ce",
        "logit-adjustment",
        "oversampling",
        "smote",
        "residual-transfer",
        "gelda-paper",
        "gelda",
    }
    config = resolve_config()
    assert set(config.methods) == expected and config.seeds >= 5
    assert config.paper_sampling.guidance_class > 1 and config.paper_sampling.guidance_subdomain > 1


def test_a_setting_of_several_types_is_named_as_the_person_wrote_it():
    with pytest.raises(UserError, match="^The setting 'adapter_layer' is 9: "):
        resolve_compare({"bank": "x", "adapter_layer": 9})
