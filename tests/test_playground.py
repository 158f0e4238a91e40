"""The playground: its densities against torch's, guidance against the Gaussian that can be solved by hand."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from gelda import playground
from gelda.artifacts import read_arrays, read_json
from gelda.encoders import assets
from gelda.sampler import sample

MIX = playground.mixture()
ONE = torch.zeros(1, dtype=torch.int64)


def gaussian_pair() -> playground.Mixture:
    """Two classes of one Gaussian each, apart along one axis only, in one subdomain."""
    means = torch.tensor([[[-1.0, 0.0]], [[1.0, 0.0]]], dtype=torch.float64)
    covariances = 0.3 * torch.eye(2, dtype=torch.float64).expand(2, 1, 2, 2)
    return playground.Mixture(means, covariances, torch.full((2, 1), 0.5).double(), ("a", "b"), ("here",))


def test_the_mixture_is_about_standardised_and_its_weights_sum_to_one():
    label, subdomain = torch.arange(6000) % 6 // 2, torch.arange(6000) % 2
    noise = torch.randn(6000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points = MIX.draw(label, subdomain, noise)
    assert points.mean(0).abs().max() < 0.1 and (points.std(0) - 1).abs().max() < 0.2
    assert float(MIX.weights.sum()) == pytest.approx(1)


def test_densities_are_those_of_torch():
    points = torch.randn(20, 2, dtype=torch.float64)
    normals = [
        MultivariateNormal(m, c)
        for m, c in zip(MIX.means.flatten(0, 1), MIX.covariances.flatten(0, 1), strict=True)
    ]
    wanted = torch.stack([n.log_prob(points) for n in normals], 1)
    torch.testing.assert_close(MIX.log_cells(points), wanted)
    everything = (wanted.exp() / 6).sum(1).log()
    hidden = MIX.shares(ONE, ONE, torch.tensor([False]), torch.tensor([False]))
    torch.testing.assert_close(MIX.log_density(points, hidden), everything)


@pytest.mark.parametrize(
    ("keep_class", "keep_subdomain", "left"),
    [(1, 1, [3]), (1, 0, [2, 3]), (0, 1, [1, 3, 5]), (0, 0, range(6))],
)
def test_a_hidden_axis_leaves_every_cell_of_the_known_one(keep_class, keep_subdomain, left):
    keep = [torch.tensor([bool(k)]) for k in (keep_class, keep_subdomain)]
    shares = MIX.shares(torch.tensor([1]), torch.tensor([1]), *keep)
    assert shares[0].nonzero()[:, 0].tolist() == list(left) and float(shares.sum()) == pytest.approx(1)


def test_the_perfect_denoiser_is_tweedies_formula():
    """E[clean | noisy] = (noisy + σ² ∇ log p(noisy)) / α, with the score by autograd of torch's density."""
    shares = MIX.shares(ONE, ONE, torch.tensor([True]), torch.tensor([False]))
    alpha, sigma = 0.8, 0.6
    noisy = torch.randn(30, 2, dtype=torch.float64).requires_grad_(True)
    parts = [
        MultivariateNormal(alpha * m, alpha**2 * c + sigma**2 * torch.eye(2).double()).log_prob(noisy)
        for m, c in zip(MIX.means.flatten(0, 1), MIX.covariances.flatten(0, 1), strict=True)
    ]
    torch.logsumexp(torch.stack(parts, 1) + shares.log(), 1).sum().backward()
    wanted = (noisy + sigma**2 * noisy.grad) / alpha
    a, s = (torch.full((30,), v, dtype=torch.float64) for v in (alpha, sigma))
    torch.testing.assert_close(
        MIX.posterior_mean(noisy.detach(), shares.expand(30, -1), a, s), wanted.detach()
    )


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_tilting_one_gaussian_by_another_is_the_gaussian_of_summed_precisions(scale):
    """p(x|c)^w q(x)^(1−w): precision w/Σc + (1−w)/Σq. Here q is one wide cell that has nearly all weight."""
    narrow, wide = 0.2, 1.5
    means = torch.tensor([[[0.7, 0.2]], [[0.0, 0.0]]], dtype=torch.float64)
    covariances = torch.stack([narrow * torch.eye(2), wide * torch.eye(2)])[:, None].double()
    mix = playground.Mixture(
        means, covariances, torch.tensor([[1e-12], [1 - 1e-12]]).double(), ("c", "q"), ("here",)
    )
    mean, covariance = playground.tilted_moments(mix, 0, 0, scale, edge=7.0, step=0.05)
    precision = scale / narrow + (1 - scale) / wide
    torch.testing.assert_close(covariance, torch.eye(2).double() / precision, atol=2e-3, rtol=0)
    torch.testing.assert_close(mean, means[0, 0] * scale / narrow / precision, atol=2e-3, rtol=0)


def sampled(mix, scale, steps=25, count=1500):
    noise = torch.randn(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    cells = torch.zeros(count, dtype=torch.int64)
    return sample(
        playground.ExactModel(mix), cells, cells, noise, num_inference_steps=steps, prediction_type="sample",
        guidance_class=scale, guidance_subdomain=scale,
    )  # fmt: skip


def test_the_sampler_with_the_perfect_denoiser_draws_the_true_cell_and_overshoots_when_guided():
    points = sampled(MIX, 1.0)
    found = playground.figures(MIX, 0, 0, points)
    assert found["shift"] < 0.1 and found["variance_ratio"] == pytest.approx(1, abs=0.1)
    guided = playground.figures(MIX, 0, 0, sampled(MIX, 3.0))
    tilted = playground._moved(MIX, 0, 0, *playground.tilted_moments(MIX, 0, 0, 3.0, step=0.05))
    assert guided["recognised"] > found["recognised"]
    assert guided["shift"] > 3 * tilted["shift"] and guided["variance_ratio"] < 0.7 * tilted["variance_ratio"]
    # it is no error of the solver: twice the steps give the same
    finer = playground.figures(MIX, 0, 0, sampled(MIX, 3.0, steps=50))
    assert finer["shift"] == pytest.approx(guided["shift"], abs=0.05)


def test_guidance_moves_a_gaussian_along_what_tells_it_apart_only():
    mix = gaussian_pair()
    plain, guided = sampled(mix, 1.0), sampled(mix, 3.0)
    assert float(guided[:, 0].mean()) < float(plain[:, 0].mean()) - 0.2
    torch.testing.assert_close(guided[:, 1], plain[:, 1], atol=1e-6, rtol=0)


def test_the_lesson_has_every_cell_scale_and_model():
    arrays, record = playground.lesson(samples=64, shown=16, scales=(0.0, 1.0, 2.0), steps=3, batch_size=32)
    assert arrays["exact"].shape == arrays["trained"].shape == (6, 3, 16, 2)
    for model in ("exact", "trained", "tilted"):
        for name, rows in record["figures"][model].items():
            assert len(rows) == 6 and all(len(row) == 3 for row in rows), name
            assert all(math.isfinite(v) for row in rows for v in row)
    assert record["training"]["steps"] == 3


def test_the_shipped_lesson_is_what_this_code_makes():
    """The exact half is computed again at two scales; a change of mixture, sampler or noise would show."""
    record = read_json(assets() / "lessons" / "guidance.json")
    shipped = read_arrays(assets() / "lessons" / "guidance.safetensors")
    assert record["means"] == MIX.means.tolist() and tuple(record["scales"]) == playground.SCALES
    count = 50
    noise = playground.row_noise(record["seed"], ("lesson",), count, 2).double()
    for scale in (1.0, 4.0):
        label = torch.full((count,), 2)
        points = sample(
            playground.ExactModel(MIX), label, label - 1, noise, num_inference_steps=record["steps"],
            prediction_type="sample", guidance_class=scale, guidance_subdomain=scale,
        )  # fmt: skip
        there = torch.from_numpy(shipped["exact"][5, record["scales"].index(scale), :count]).double()
        torch.testing.assert_close(points, there, atol=5e-3, rtol=0)
