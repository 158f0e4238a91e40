"""How alike names are by a source: from names alone, from a bank, on the terminal and as JSON."""

import json

import numpy as np
import pytest
import torch
from bank_fixtures import npz_arrays, photo_items, planted_latents, ready_bank, write_npz
from scipy.spatial.distance import cosine

from gelda.errors import UserError
from gelda.semantic_preview import of_bank, of_names, preview
from gelda.semantics import SEMANTICS

ITEMS = photo_items()


def bank():
    layers = {"first": planted_latents(ITEMS, 5, 1), "last": planted_latents(ITEMS, 6, 2)}
    return ready_bank(ITEMS, layers), layers


def test_names_alone():
    used, table = preview("auto", of_names(["happy", "sad"]))
    assert used == "vad" and table.loc["happy", "sad"] == pytest.approx(-1)
    used, table = preview("auto", of_names(["Polish", "German", "English"], "subdomain"))
    assert used == "typology" and list(table.columns) == ["Polish", "German", "English"]
    np.testing.assert_allclose(table.to_numpy(), table.to_numpy().T)


@pytest.mark.parametrize("axis", ["class", "subdomain"])
@pytest.mark.parametrize("layer", ["", "first"])
def test_means_of_a_bank_are_of_standardised_items_outside_the_test_split(axis, layer):
    made, layers = bank()
    z = layers[layer or "last"].double().numpy()
    ids = ITEMS.label if axis == "class" else ITEMS.subdomain
    rows = ITEMS.split != "test"
    z, ids = (z[rows] - z[rows].mean(0)) / z[rows].std(0), ids[rows]
    means = np.stack([z[ids == i].mean(0) for i in range(ids.max() + 1)])
    means -= means.mean(0)
    used, table = preview("mean", of_bank(made, axis, layer))
    assert used == "mean"
    assert table.iloc[0, 2] == pytest.approx(1 - cosine(means[0], means[2]), abs=1e-4)


@pytest.mark.parametrize("call, words", [
    (lambda: of_names(["happy"]), "two names or more, each once"),
    (lambda: of_names(["happy", "happy"]), "two names or more, each once"),
    (lambda: of_names(["happy", "sad"], "clas"), "no axis called 'clas'. Did you mean 'class'"),
    (lambda: of_bank(bank()[0], layer="lsat"), "no layer called 'lsat'. Did you mean 'last'"),
    (lambda: preview("mean", of_names(["happy", "sad"])), "Means are read from latents, and there are none"),
    (lambda: preview("moments", of_names(["happy", "sad"])), "Means are read from latents"),
    (lambda: preview("shipped", of_names(["happy", "sadd"])), "'sadd' is not in the table"),
    (lambda: preview("text:", of_names(["happy", "sad"])), "'text' needs a MODEL_FOLDER"),
    (lambda: preview("given", of_bank(bank()[0])), "came without class_semantics"),
])  # fmt: skip
def test_mistakes_are_one_sentence(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_the_command(gelda, tmp_path):
    done = gelda("semantics", "happy,sad,angry", "--source", "vad", "--json", "out.json")
    assert done.returncode == 0, done.stderr
    assert "class names by 'vad'" in done.stdout and "happy" in done.stdout
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["names"] == ["happy", "sad", "angry"] and found["source"] == "vad"
    assert np.diag(found["similarity"]) == pytest.approx(1)
    assert f"{found['similarity'][0][1]:+.2f}" in done.stdout
    own = tmp_path / "mine.csv"
    own.write_text("neutral,0,0\nanger,1,0\njoy,0,1\nfear,1,1\n")
    arrays = {**npz_arrays(ITEMS), "subdomain_semantics": np.eye(3, 2, dtype="f4")}
    path = write_npz(tmp_path / "b.npz", arrays)
    done = gelda("semantics", path, "--source", own)
    assert done.returncode == 0 and "anger" in done.stdout and "file:" in done.stdout
    done = gelda("semantics", path, "--axis", "subdomain")
    assert done.returncode == 0 and "'given'" in done.stdout and "english" in done.stdout
    done = gelda("semantics", path, "--source", f"vad:{own}")
    assert done.returncode == 2 and "no column 'valence'" in done.stderr
    done = gelda("semantics", "gone.npz")
    assert done.returncode == 2 and "There is no bank at gone.npz" in done.stderr


def test_many_names_are_listed_with_their_nearest(gelda, tmp_path):
    from gelda.semantic_tables import read

    names = list(read("cifar-100")["name"])
    done = gelda("semantics", ",".join(names), "--json", "out.json")
    assert done.returncode == 0, done.stderr
    assert "of the first 40 of 100 names" in done.stdout
    found = json.loads((tmp_path / "out.json").read_text())
    table = torch.tensor(found["similarity"])
    assert table.shape == (100, 100)
    first = table[names.index("apple")].clone()
    first[names.index("apple")] = -2
    nearest = names[int(first.argmax())]
    line = next(line for line in done.stdout.splitlines() if line.startswith("│ apple"))
    assert line.split("│")[2].strip().startswith(f"{nearest} {float(first.max()):+.2f}")


def test_the_flag_takes_a_source_with_its_file_and_a_file_alone(tmp_path, monkeypatch):
    from gelda.cli_options import source_of

    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_text("x")
    assert source_of("mine") == "file:mine" and source_of("gone.csv") == "file:gone.csv"
    for name in [*SEMANTICS, "auto", "file:mine.csv", "vad:mine.csv", "lang2vec:l.npz", "text:folder"]:
        assert source_of(name) == name
