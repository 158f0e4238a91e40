"""Banks: agreement of index and rows, standardisation."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import PlantedEncoder, planted_manifest, planted_read
from safetensors.torch import load_file, save_file

from gelda.datasets import Source
from gelda.errors import UserError
from gelda.extraction import extract
from gelda.latents import LatentBank, Standardizer, bank_key

MANIFEST = planted_manifest(5)  # 90 items


def build(folder):
    source = Source("planted", "image", MANIFEST, "", lambda uri: planted_read([uri])[0])
    return extract(
        source, PlantedEncoder(), folder,
        encoder_name="planted", revision="1", device=torch.device("cpu"), shard_size=40,
    )  # fmt: skip


def test_save_load_same(tmp_path):
    bank = build(tmp_path / "bank")
    again = LatentBank.open(tmp_path / "bank")
    assert torch.equal(bank.load("deep"), again.load("deep")) and again.info == bank.info


@pytest.mark.parametrize("name", ["../../../escaped", "/tmp/escaped", "..", "a/b", "", "deep\n"])
def test_a_layer_is_no_way_out_of_a_folder(tmp_path, name):
    build(tmp_path / "bank")
    edit(tmp_path / "bank" / "manifest.json", layers={"deep": 12, name: 12})
    with pytest.raises(UserError, match="(?s)the layer name '.*' may hold letters, digits"):
        LatentBank.open(tmp_path / "bank")


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    "what", ["index", "shard", "width", "sum", "missing shard", "column", "newer", "nan"]
)
def test_rows_that_do_not_match_the_index_are_refused(tmp_path, what):
    folder = tmp_path / "bank"
    build(folder)
    shard = folder / "deep" / "shard-00001.safetensors"
    z = load_file(shard)["z"].clone()
    if what == "index":
        pd.read_parquet(folder / "index.parquet").iloc[:-1].to_parquet(folder / "index.parquet")
        words = "says 90 rows, but its index has 89 .*delete the folder"
    elif what == "shard":
        save_file({"z": z[:-3].clone()}, shard)
        words = r"holds \(37, 12\) values where the bank's index says \(40, 12\)"
    elif what == "width":
        save_file({"z": z[:, :-1].clone()}, shard)
        words = r"holds \(40, 11\) values"
    elif what == "sum":
        edit(folder / "manifest.json", shard_rows=[40, 40, 9])
        words = "its shards 89"
    elif what == "missing shard":
        shard.unlink()
        words = "shard-00001.safetensors is missing or broken: delete the folder .*bank"
    elif what == "column":
        pd.read_parquet(folder / "index.parquet").drop(columns=["group", "row"]).to_parquet(
            folder / "index.parquet"
        )
        words = "lacks the column.*group, row"
    elif what == "newer":
        edit(folder / "manifest.json", format=99)
        words = "has format 99.*upgrade"
    else:
        z[2, 3] = float("nan")
        save_file({"z": z}, shard)
        words = f"Latent '{MANIFEST.table['id'][42]}' .*not finite"
    with pytest.raises(UserError, match=words):
        LatentBank.open(folder).load("deep")


def test_an_unknown_layer_names_the_nearest(tmp_path):
    with pytest.raises(UserError, match="no layer called 'deeep'. Did you mean 'deep'"):
        build(tmp_path / "bank").load("deeep")


def test_the_bank_s_key_follows_its_inputs():
    keys = {bank_key(MANIFEST, "a", "1"), bank_key(MANIFEST, "b", "1"), bank_key(MANIFEST, "a", "2")}
    assert len(keys | {bank_key(planted_manifest(4), "a", "1")}) == 4


def test_standardizer_is_fitted_per_dimension_and_inverts():
    z = torch.randn(200, 5) * torch.tensor([1.0, 5.0, 0.1, 3.0, 0.0]) + torch.tensor(
        [0.0, 9.0, -4.0, 0.5, 2.0]
    )
    scaler = Standardizer.fit(z)
    expected = (z.numpy() - z.numpy().mean(0)) / np.where(z.numpy().std(0) > 1e-6, z.numpy().std(0), 1)
    np.testing.assert_allclose(scaler.apply(z).numpy(), expected, atol=2e-5)
    torch.testing.assert_close(scaler.invert(scaler.apply(z)), z, atol=1e-5, rtol=1e-5)
    assert torch.isfinite(scaler.apply(z)).all() and scaler.apply(z)[:, 4].abs().max() < 1e-5
    other = torch.randn(7, 5)
    torch.testing.assert_close(scaler.apply(scaler.invert(other)), other, atol=1e-4, rtol=1e-4)
