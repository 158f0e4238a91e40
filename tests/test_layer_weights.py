"""The weighted sum of layers: finds the layer that says something, from training rows alone."""

import json

import numpy as np
import pytest
import torch

from gelda.compare import Comparison
from gelda.compare_config import resolve_compare
from gelda.encoders.base import pool_tokens
from gelda.errors import UserError
from gelda.layer_weights import check_widths, learn_weights, weighted_sum
from gelda.ready import open_bank
from gelda.recording import Recorder
from gelda.runs import create_run
from gelda.settings import AdapterConfig

CPU = torch.device("cpu")


def layers(items=240, seed=0):
    """Three 6-d layers, the middle one of which holds the class; labels."""
    rng = np.random.default_rng(seed)
    label = np.arange(items) % 3
    good = 2 * rng.normal(size=(3, 6))[label] + rng.normal(size=(items, 6))
    parts = {"a": rng.normal(size=(items, 6)), "b": 7 + 5 * good, "c": 100 * rng.normal(size=(items, 6))}
    return {k: torch.from_numpy(v.astype(np.float32)) for k, v in parts.items()}, label


def write(path, spoil=False):
    z, label = layers()
    split = np.where(np.arange(len(label)) // 3 % 4 == 3, "test", "train")
    if spoil:
        for part in z.values():
            part[torch.from_numpy(split == "test")] = -1e3
        label[split == "test"] = 0
    arrays = {f"z_{k}": v.numpy() for k, v in z.items()}
    np.savez(path, y=label, split=split, class_names=np.array(list("xyz")), **arrays)
    return path


def comparison(path):
    values = {"bank": str(path), "imbalance": 2.0, "seeds": 1, "adapter": {"fm_layer": "weighted"}}
    state = create_run({}, "t", "compare", path.stem)
    return Comparison(resolve_compare(values, "tiny"), open_bank(path), state, Recorder(state))


def test_the_layer_that_tells_the_classes_gets_the_weight():
    z, label = layers()
    stack = torch.stack([(p - p.mean(0)) / p.std(0) for p in z.values()])
    config = AdapterConfig(hidden=(8,), steps=150)
    weights = learn_weights(stack, torch.from_numpy(label), 3, config, 0, CPU)
    assert float(weights.sum()) == pytest.approx(1) and float(weights[1]) > 0.6
    again = learn_weights(stack, torch.from_numpy(label), 3, config, 0, CPU)
    assert torch.equal(weights, again)


def test_the_sum_is_of_layers_standardised_by_the_training_rows():
    z, _ = layers()
    rows, weights = torch.arange(0, 240, 2), torch.tensor([0.2, 0.5, 0.3])
    expected = 0.0
    for w, part in zip(weights, z.values(), strict=True):
        train = part[::2].double()
        expected = expected + w * (part - train.mean(0)) / train.std(0, unbiased=False)
    torch.testing.assert_close(weighted_sum(z, rows, weights), expected.float(), atol=1e-3, rtol=1e-3)


def test_weights_are_learned_on_an_episode_s_training_rows(tmp_path):
    plain, spoiled = comparison(write(tmp_path / "p.npz")), comparison(write(tmp_path / "s.npz", True))
    episode = plain.episodes(0)[0]
    before, after = (c.task(episode, "weighted").latents for c in (plain, spoiled))
    assert torch.equal(before, after)
    half = type(episode)(**{**vars(episode), "train": episode.train[::2]})
    plain.raw(half, "weighted")
    (w1, _), (w2, _) = plain.sums.values()
    assert not torch.equal(w1, w2), "every fold learns its own"


def test_the_command(gelda, tmp_path):
    file = tmp_path / "out.json"
    arguments = ["--imbalance", "3", "--preset", "tiny", "--seeds", "1", "--fm-layer", "weighted"]
    bank = write(tmp_path / "bank.npz")
    done = gelda("compare", bank, *arguments, "--methods", "ce,gelda", "--json", file)
    assert done.returncode == 0, done.stderr
    chosen = json.loads(file.read_text())["config"]["selection"]["0"]
    assert chosen["fm_layer"] == "weighted"
    weights = chosen["scores"]["layer_weights"]
    assert list(weights) == ["a", "b", "c"] and sum(weights.values()) == pytest.approx(1)
    done = gelda("layers", bank, *arguments)
    assert done.returncode == 0 and "weighted" in done.stdout


def test_layers_of_different_widths_are_refused(gelda, tmp_path):
    with pytest.raises(UserError, match=r"different widths \(a 6, b 7\): a weighted sum needs one width"):
        check_widths({"a": 6, "b": 7})
    with pytest.raises(UserError, match="at least two encoder layers"):
        check_widths({"a": 6})
    path = tmp_path / "bank.npz"
    np.savez(path, z_a=np.ones((9, 2), "f4"), z_b=np.ones((9, 3), "f4"), y=np.arange(9) % 3,
             class_names=np.array(list("xyz")))  # fmt: skip
    done = gelda("compare", path, "--fm-layer", "weighted")
    assert done.returncode == 2 and "different widths" in done.stderr + done.stdout


def test_a_sum_of_pooled_layers_is_the_pooled_sum_of_layers():
    """SUPERB's order, frames first, against ours, for clips padded to one length; not so for deviations."""
    rng = torch.Generator().manual_seed(0)
    frames = torch.randn(3, 4, 9, 6, generator=rng)  # [layers, clips, frames, width]
    real = torch.arange(9)[None] < torch.tensor([9, 4, 1, 7])[:, None]
    weights = torch.tensor([0.2, 0.5, 0.3])
    summed = torch.einsum("m,mbtd->btd", weights, frames)
    for pooling, alike in (("mean", True), ("mean+std", False)):
        pooled = torch.stack([pool_tokens(layer, pooling, 0, real) for layer in frames])
        ours, superb = torch.einsum("m,mbd->bd", weights, pooled), pool_tokens(summed, pooling, 0, real)
        assert torch.allclose(ours, superb, atol=1e-6) == alike
        assert torch.allclose(ours[:, :6], superb[:, :6], atol=1e-6), "means are the first half"
