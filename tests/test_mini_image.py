"""The shipped encoder: refuses what is not its own weights, does not mix images, and beats random weights."""

import json
import shutil

import numpy as np
import pytest
import torch

from gelda.datasets import digits, glyphs
from gelda.encoders import assets, mini_image
from gelda.errors import UserError
from gelda.pretrain import image as pretrain
from gelda.pretrain.__main__ import main

SHIPPED = assets() / "encoders" / "mini-image"


@pytest.fixture(scope="module")
def encoder():
    return mini_image.load(SHIPPED)


@pytest.fixture
def copy(tmp_path):
    for name in (mini_image.WEIGHTS, mini_image.CARD):
        shutil.copy(SHIPPED / name, tmp_path / name)
    return tmp_path


def test_layers_are_named_in_depth_order_with_their_widths(encoder):
    latents = encoder.encode(torch.rand(3, 1, 32, 32))
    assert {name: list(value.shape) for name, value in latents.items()} == {
        name: [3, width] for name, width in encoder.layers.items()
    }
    assert list(latents) == list(encoder.layers)
    assert all(value.dtype == torch.float32 and not value.requires_grad for value in latents.values())


def test_last_layer_is_the_networks_own_output(encoder):
    images = torch.rand(4, 1, 32, 32)
    torch.testing.assert_close(encoder.encode(images)[mini_image.LAST], encoder.network(1 - images))


def test_latents_do_not_depend_on_the_batch(encoder):
    images = torch.from_numpy(digits.draw(np.arange(40), np.arange(40) % 5))
    together = encoder.encode(images)
    for batch in (1, 7):
        parts = [encoder.encode(part) for part in images.split(batch)]
        for name, value in together.items():
            torch.testing.assert_close(torch.cat([part[name] for part in parts]), value, atol=1e-5, rtol=1e-5)


def test_other_images_are_refused(encoder):
    with pytest.raises(ValueError, match="32, 32"):
        encoder.encode(torch.rand(2, 3, 32, 32))


@pytest.mark.parametrize("name", [mini_image.WEIGHTS, mini_image.CARD])
def test_a_missing_file_is_a_sentence(copy, name):
    (copy / name).unlink()
    with pytest.raises(UserError, match=rf"no {name} in .*gelda\.pretrain"):
        mini_image.load(copy)


def test_changed_weights_are_refused(copy):
    path = copy / mini_image.WEIGHTS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="sha256"):
        mini_image.load(copy)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weights": 3}'])
def test_a_broken_card_is_refused(copy, text):
    (copy / mini_image.CARD).write_text(text)
    with pytest.raises(UserError, match="not a model card"):
        mini_image.load(copy)


def test_the_card_describes_what_ships(encoder):
    card = json.loads((SHIPPED / mini_image.CARD).read_text())
    assert (
        card["architecture"]["parameters"] == sum(p.numel() for p in encoder.network.parameters()) < 4_000_000
    )
    assert card["architecture"]["layers"] == encoder.layers
    assert card["weights"]["bytes"] == (SHIPPED / mini_image.WEIGHTS).stat().st_size < 8_000_000
    trained = card["data"]["letters"].replace(" ", "")
    assert all(glyphs.allowed(letter) for letter in trained), "rebuild: the rule is stricter than the weights"
    readme = (SHIPPED / "README.md").read_text()
    assert card["weights"]["sha256"] in readme and card["validation"]["choice"] in readme


def test_pretrained_latents_beat_random_ones_and_pixels(encoder):
    targets = digits.labels()[:600]
    fit, test = np.arange(0, 600, 2), np.arange(1, 600, 2)  # the file is ordered by writer
    upright, slanted = (
        digits.draw(np.arange(600), np.full(600, c)) for c in (digits.UPRIGHT, digits.SLANTED)
    )

    def last(latents):
        return latents[mini_image.LAST]

    def accuracy(latents, moved):
        model = pretrain.LinearProbe(latents[fit], targets[fit])
        return model.accuracy(latents[test], targets[test]), model.accuracy(moved[test], targets[test])

    scores = {
        name: accuracy(*(last(pretrain.encode(model, torch.from_numpy(x))) for x in (upright, slanted)))
        for name, model in (("trained", encoder), ("random", mini_image.random()))
    }
    scores["pixels"] = accuracy(upright.reshape(600, -1), slanted.reshape(600, -1))
    assert scores["trained"][0] > 90
    assert scores["trained"][0] > scores["random"][0] + 2
    assert scores["trained"][1] > max(scores["random"][1], scores["pixels"][1]) + 10


def test_two_steps_of_training_write_a_loadable_folder(tmp_path, monkeypatch):
    few = [chr(code) for code in range(ord("A"), ord("Z")) if glyphs.allowed(chr(code))]
    images = [
        (i, f, glyphs.render(c, face)) for i, c in enumerate(few) for f, face in enumerate(glyphs.FACES)
    ]
    data = glyphs.Glyphs(
        torch.from_numpy(np.stack([image for *_, image in images])),
        torch.tensor([i for i, *_ in images]),
        torch.tensor([f for _, f, _ in images]),
        tuple(few),
    )
    monkeypatch.setattr(glyphs, "load", lambda: data)
    monkeypatch.setattr(glyphs, "VALIDATION_CLASSES", 4)
    monkeypatch.setattr(pretrain, "BATCH", 16)
    monkeypatch.setattr(pretrain, "probe", lambda encoder: {"splits": 0, "few": 0, "accuracy": {}})
    assert main(["mini-image", "--out", str(tmp_path / "new"), "--steps", "2"]) == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "README.md",
        "card.json",
        "model.safetensors",
    ]
    latents = mini_image.load(tmp_path / "new").encode(torch.rand(1, 1, 32, 32))
    assert all(value.isfinite().all() for value in latents.values())
    assert main(["probe", "mini-image", "--out", str(tmp_path / "nothing")]) == 2
