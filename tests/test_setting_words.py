"""What settings and their values are called: the same wherever they are named."""

import typing

import pytest

from app import fields
from gelda import setting_words
from gelda.config import RunConfig


@pytest.mark.parametrize("path, title", [
    ("sampling.weight", "weight of a synthetic latent"), ("generator.ema_decay", "ema decay"),
    ("adapter.dropout", "dropout (adapter)"), ("projection.pca", "principal components"),
    ("shots", "items a class in it"), ("adapter.fm_layer", "encoder layer"),
    ("sampling.nothing", "sampling.nothing"), ("sampling.weight.deep", "sampling.weight.deep"),
])  # fmt: skip
def test_a_setting_in_words(path, title):
    assert setting_words.setting(path) == title


def test_no_two_settings_of_a_grid_have_one_title():
    names = [
        f"{section}.{name}"
        for section in ("sampling", "generator", "adapter")
        for name in getattr(RunConfig(), section).model_dump()
    ]
    assert len({setting_words.setting(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    "path", [path for path in setting_words.TITLES if path in fields.CHOICES or "." in path]
)
def test_every_choice_of_a_form_has_words_of_its_own(path):
    field, _ = fields.field_of(RunConfig(), path)
    options = [
        *fields.CHOICES.get(path, ()),
        *(o for o in typing.get_args(field.annotation) if isinstance(o, str)),
    ]
    said = [setting_words.choice(path, option) for option in options]
    assert len(set(said)) == len(options) and not set(said) & set(options), path
    assert setting_words.choice(f"paper_{path}", options[0]) == said[0]


def test_a_value_without_words_is_itself_and_words_are_quoted():
    assert setting_words.choice("sampling.weight", "0.3") == "0.3"
    assert setting_words.beside("weight", "0.3") == "weight 0.3"
    assert setting_words.beside("recipe", "Joint") == "recipe ‘Joint’"
