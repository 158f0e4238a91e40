"""The denoiser: it starts at zero, everything learns, and modulations can be computed once a cell."""

import math

import numpy as np
import pytest
import torch

from gelda.config import resolve_config
from gelda.denoiser import Denoiser, time_features
from gelda.settings import SIZES

SHAPES = [(5, 4, 8, 1), (16, 12, 32, 3)]


def trained(dim, condition, width, depth, steps=4) -> Denoiser:
    """A few plain gradient steps: gates and output are zero before."""
    torch.manual_seed(0)
    model = Denoiser(dim, condition, width=width, depth=depth)
    rng = torch.Generator().manual_seed(1)
    for _ in range(steps):
        inputs = torch.randn(32, dim, generator=rng), torch.randint(1000, (32,), generator=rng)
        loss = (
            model(*inputs, torch.randn(32, condition, generator=rng)) - torch.randn(32, dim, generator=rng)
        ).square()
        model.zero_grad()
        loss.mean().backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.3 * p.grad
    return model


@pytest.mark.parametrize("shape", SHAPES)
def test_the_untrained_output_is_zero(shape):
    model = Denoiser(shape[0], shape[1], width=shape[2], depth=shape[3])
    out = model(torch.randn(7, shape[0]), torch.arange(7), torch.randn(7, shape[1]))
    assert out.shape == (7, shape[0]) and not out.any()


@pytest.mark.parametrize("shape", SHAPES)
def test_after_a_few_steps_a_gradient_reaches_every_parameter(shape):
    model = trained(*shape, steps=3)
    for name, p in model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all() and bool(p.grad.any()), name


@pytest.mark.parametrize("shape", SHAPES)
def test_gathered_modulations_equal_the_forward_pass(shape):
    model = trained(*shape)
    conditions, cell = torch.randn(3, shape[1]), torch.tensor([0, 2, 1, 1, 0, 2, 2])
    noisy = torch.randn(7, shape[0])
    with torch.no_grad():
        table = model.modulation(torch.full((3,), 500), conditions)
        gathered, looked_up = model.denoise(noisy, table[cell]), model.denoise(noisy, table, cell)
        direct = model(noisy, torch.full((7,), 500), conditions[cell])
        one = model.denoise(noisy, table[:1], torch.zeros(7, dtype=torch.int64))
        same = model(noisy, torch.full((7,), 500), conditions[:1].expand(7, -1))
    assert direct.abs().max() > 0.05
    torch.testing.assert_close(gathered, direct, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(looked_up, direct, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one, same, atol=1e-5, rtol=1e-5)


def layer_norm(x):
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)


def silu(x):
    return x / (1 + np.exp(-x))


def test_the_forward_pass_is_adaln_zero_without_attention():
    """Written again in numpy from DiT's formulas (arXiv 2212.09748, figure 3)."""
    model = trained(5, 4, 8, 2)
    p = {name: value.detach().numpy().astype(np.float64) for name, value in model.named_parameters()}
    noisy, condition, t = (
        np.random.default_rng(0).normal(size=(6, 5)),
        np.random.default_rng(1).normal(size=(6, 4)),
        321,
    )

    def linear(x, name):
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    angle = t * 10_000.0 ** (-np.arange(32) / 32)
    features = np.tile(np.r_[np.cos(angle), np.sin(angle)], (6, 1))
    embedding = condition + linear(silu(linear(features, "time.0")), "time_out")
    parts = linear(silu(embedding), "modulate").reshape(6, 8, 8)
    hidden = linear(noisy, "input")
    for i in range(2):
        shift, scale, gate = parts[:, 3 * i], parts[:, 3 * i + 1], parts[:, 3 * i + 2]
        inner = layer_norm(hidden) * (1 + scale) + shift
        hidden = hidden + gate * linear(silu(linear(inner, f"blocks.{i}.0")), f"blocks.{i}.2")
    expected = linear(layer_norm(hidden) * (1 + parts[:, 7]) + parts[:, 6], "output")
    with torch.no_grad():
        got = model(torch.tensor(noisy).float(), torch.full((6,), t), torch.tensor(condition).float())
    np.testing.assert_allclose(got.numpy(), expected, atol=2e-5)


def test_time_features_tell_all_steps_apart():
    features = time_features(torch.arange(1000))
    assert features.shape == (1000, 64)
    distance = torch.cdist(features.double(), features.double()) + 9 * torch.eye(1000)
    assert float(distance.min()) > 0.1
    assert float(features[7, 0]) == pytest.approx(math.cos(7), abs=1e-5)


def test_rows_do_not_see_each_other():
    model = trained(5, 4, 8, 2)
    noisy, t, condition = torch.randn(6, 5), torch.arange(6) * 100, torch.randn(6, 4)
    with torch.no_grad():
        whole = model(noisy, t, condition)
        alone = torch.cat([model(noisy[i : i + 1], t[i : i + 1], condition[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(whole, alone, atol=1e-6, rtol=1e-5)


def test_dropout_acts_in_training_alone():
    model = trained(5, 4, 8, 2)
    inputs = torch.randn(6, 5), torch.arange(6) * 100, torch.randn(6, 4)
    plain = model(*inputs)
    model.dropout = 0.5
    assert not torch.allclose(model(*inputs), plain)
    assert torch.equal(model.eval()(*inputs), plain)


def test_named_sizes_set_width_depth_and_condition():
    """The reference has 21 M parameters at D = 512 (method.md), counted here by hand."""

    def count(dim, width, depth, condition_dim):
        def linear(a, b):
            return a * b + b

        return (
            linear(64, condition_dim) + linear(condition_dim, condition_dim)
            + linear(dim, width) + linear(width, dim)
            + depth * 2 * linear(width, width) + linear(condition_dim, (3 * depth + 2) * width)
        )  # fmt: skip

    for name, size in SIZES.items():
        options = resolve_config(generator={"size": name}).generator
        assert (options.width, options.depth, options.condition_dim) == tuple(size.values())
        model = Denoiser(512, options.condition_dim, width=options.width, depth=options.depth)
        assert sum(p.numel() for p in model.parameters()) == count(512, **size)
    assert count(512, **SIZES["reference"]) == 21_111_808
    assert count(512, 1024, 3, 768) == 16_650_240, "depth 3 would be a fifth smaller"
    sizes = [count(512, **size) for size in SIZES.values()]
    assert sizes == sorted(sizes)
    default = resolve_config().generator
    assert {k: getattr(default, k) for k in SIZES["demo"]} == SIZES["demo"] and default.size == "custom"


def test_save_load_same_output(tmp_path):
    from gelda.artifacts import read_tensors, write_tensors

    model = trained(5, 4, 8, 2)
    write_tensors(tmp_path / "m.safetensors", model.state_dict())
    torch.manual_seed(9)
    again = Denoiser(5, 4, width=8, depth=2)
    again.load_state_dict(read_tensors(tmp_path / "m.safetensors"))
    inputs = torch.randn(6, 5), torch.arange(6) * 100, torch.randn(6, 4)
    assert torch.equal(model(*inputs), again(*inputs))
