"""The manifest refuses rows that cannot be right, and names the row."""

import pandas as pd
import pytest
from conftest import planted_manifest

from gelda.errors import UserError
from gelda.manifest import Manifest

ROWS = pd.DataFrame(
    {"id": ["x", "y"], "uri": ["u", "v"], "label": [0, 1], "subdomain": [0, 0], "group": ["g", "g"]}
)


def make(**changes) -> Manifest:
    return Manifest(ROWS.assign(**changes), ("cat", "dog"), ("photo",), "pets")


def test_a_good_one():
    assert len(make()) == 2


def test_missing_columns_are_named():
    with pytest.raises(UserError, match="'pets' lacks the column.*uri, group"):
        Manifest(ROWS.drop(columns=["uri", "group"]), ("cat", "dog"), ("photo",), "pets")


def test_a_repeated_id_is_named():
    with pytest.raises(UserError, match="holds the id 'x' more than once"):
        make(id=["x", "x"])


@pytest.mark.parametrize("column, values, words", [
    ("label", [0, 2], "Item 'y' .*label 2, but there are 2 names"),
    ("label", [-1, 0], "Item 'x' .*label -1"),
    ("subdomain", [0, 1], "Item 'y' .*subdomain 1, but there are 1 names"),
    ("label", [0, float("nan")], "Item 'y' .*label"),
])  # fmt: skip
def test_ids_outside_their_names_are_named(column, values, words):
    with pytest.raises(UserError, match=words):
        make(**{column: values})


def test_save_load_keeps_rows_and_key(tmp_path):
    manifest = planted_manifest(3)
    manifest.save(tmp_path)
    again = Manifest.load(tmp_path)
    pd.testing.assert_frame_equal(again.table, manifest.table)
    assert again.class_names == manifest.class_names and again.subdomain_names == manifest.subdomain_names
    assert again.key() == manifest.key()


def test_the_key_follows_every_column_and_name():
    keys = {make().key(), Manifest(ROWS, ("cat", "cow"), ("photo",), "pets").key()}
    keys |= {
        make(**{c: v}).key()
        for c, v in (("id", ["x", "z"]), ("uri", ["u", "w"]), ("label", [1, 1]), ("group", ["g", "h"]))
    }
    assert len(keys) == 6


def test_loading_from_an_empty_folder_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="no file .*names.json"):
        Manifest.load(tmp_path)
