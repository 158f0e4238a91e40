"""Encoders of every family: equal to a direct call, whatever the batch; what cannot be loaded is a sentence."""

import numpy as np
import pytest
import torch
from encoder_fixtures import CASES, ITEMS

from gelda import encoders


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """name -> (folder, direct, encoder), each made once."""
    kept = {}

    def get(name):
        if name not in kept:
            folder = tmp_path_factory.mktemp("model")
            kept[name] = folder, CASES[name](folder), encoders.get(str(folder)).load()
        return kept[name]

    return get


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def batch(encoder, items):
    inputs = [encoder.prepare(item) for item in items]
    return torch.from_numpy(np.stack(inputs)) if encoder.media == "image" else inputs


@pytest.mark.parametrize("name", CASES)
def test_latents_equal_a_direct_call(made, name):
    folder, direct, encoder = made(name)
    assert encoders.get(str(folder)).media == encoder.media
    items = ITEMS[encoder.media]()
    latents = encoder.encode(batch(encoder, items))
    assert {layer: list(z.shape) for layer, z in latents.items()} == {
        layer: [len(items), width] for layer, width in encoder.layers.items()
    }
    compared = set()
    for row, item in enumerate(items):
        for layer, latent in direct(item).items():
            close(latents[layer][row], latent)
            compared.add(layer)
    print(name, set(encoder.layers) - compared)
