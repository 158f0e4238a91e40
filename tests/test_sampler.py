"""The sampler: against diffusers' own loop, the analytic score of Gaussian mixtures, and guidance by hand."""

import json
import re
import sys

import numpy as np
import pytest
import torch
from scipy import stats

from gelda import schedulers
from gelda.conditions import ConditionEncoder, ConditionSpace
from gelda.denoiser import Denoiser
from gelda.diffusion import Model, TrainingData, cosine_alphas_cumprod, train
from gelda.encoders import assets
from gelda.errors import UserError
from gelda.sampler import RowNoise, guidance_branches, run_solver, sample
from gelda.schedulers import OBJECTIVES, SCHEDULERS, solver_table

ALPHAS = cosine_alphas_cumprod().double()
DIFFUSION = [name for name, spec in SCHEDULERS.items() if spec.objective == "diffusion"]


def levels(flow: bool, t):
    """α and σ at timesteps: of the cosine schedule, or of the straight path with σ = t/1000."""
    t = torch.as_tensor(t).double()
    if flow:
        return 1 - t / 1000, t / 1000
    return ALPHAS[t.round().long()].sqrt(), (1 - ALPHAS[t.round().long()]).sqrt()


def is_flow(name: str) -> bool:
    return SCHEDULERS[name].objective == "flow"


def reference_scheduler(name: str, prediction_type: str = "sample"):
    """diffusers' schedulers as our documentation describes them."""
    import diffusers

    if name == "flow-euler":
        return diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000)

    common = dict(
        num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2", prediction_type=prediction_type
    )
    if name == "ddim":
        return diffusers.DDIMScheduler(**common, timestep_spacing="trailing", clip_sample=False)
    if name == "ddpm":
        return diffusers.DDPMScheduler(**common, timestep_spacing="trailing", clip_sample=False)
    kind = {
        "dpm-solver++": diffusers.DPMSolverMultistepScheduler,
        "unipc": diffusers.UniPCMultistepScheduler,
    }[name]
    return kind(**common, timestep_spacing="linspace", solver_order=2, final_sigmas_type="zero")


# -- tables -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 10, 15, 16, 20, 50])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_table_takes_the_steps_of_diffusers_own_loop(name, steps):
    def denoise(x, t):
        return torch.tanh(x * 1.3 + 0.2) * (1 - t / 3000)

    def rng(i):
        return torch.Generator().manual_seed(100 + i)

    noise = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    scheduler, flow = reference_scheduler(name), is_flow(name)
    if flow:
        scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps))
    else:
        scheduler.set_timesteps(steps)
    x, path = noise, []
    for i, t in enumerate(scheduler.timesteps):
        clean = denoise(x, float(t))
        output = (x - clean) / (float(t) / 1000) if flow else clean
        more = {"generator": rng(i)} if name == "ddpm" else {}
        x = scheduler.step(output, t, x, **more).prev_sample.double()
        path.append(x)
    seen, table = [], solver_table(name, steps)
    got = run_solver(
        table,
        noise,
        lambda x, i: denoise(x, table.timesteps[i]),
        lambda i, latent: seen.append(latent.clone()),
        lambda i: torch.randn(noise.shape, dtype=torch.float64, generator=rng(i)),
    )
    assert table.timesteps == tuple(float(t) for t in scheduler.timesteps)
    torch.testing.assert_close(got, x, atol=2e-5, rtol=1e-5)
    assert len(seen) == steps
    for ours, theirs in zip(seen, path, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 7, 20])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_table_knows_the_noise_level_of_every_step(name, steps):
    table = solver_table(name, steps)
    signal, spread = levels(is_flow(name), table.timesteps)
    np.testing.assert_allclose(table.signal, signal, atol=1e-6)
    np.testing.assert_allclose(table.spread, spread, atol=1e-6)
    assert any(table.fresh) == (SCHEDULERS[name].stochastic and steps > 1) and table.fresh[-1] == 0


@pytest.mark.parametrize("steps", [10, 50])
def test_ancestral_steps_are_those_of_the_posterior(steps):
    """Mean and variance of q(x_prev | x_t, x_0) (arXiv 2006.11239, eq. 7) between the kept timesteps."""
    table = solver_table("ddpm", steps)
    bars = [float(ALPHAS[int(t)]) for t in table.timesteps] + [1.0]
    for i, (bar, before) in enumerate(zip(bars, bars[1:], strict=False)):
        alpha = bar / before
        variance = (1 - before) / (1 - bar) * (1 - alpha)
        assert table.fresh[i] == pytest.approx(variance**0.5, abs=1e-5)
        assert table.denoised[i][i] == pytest.approx(before**0.5 * (1 - alpha) / (1 - bar), abs=1e-5)
        assert table.state[i].get(i, 0) == pytest.approx(alpha**0.5 * (1 - before) / (1 - bar), abs=1e-5)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_pure_noise_is_the_start_and_no_clipping_happens(name):
    table = solver_table(name, 20)
    assert table.timesteps[0] == (1000 if is_flow(name) else 999) and len(table.timesteps) == 20
    assert all(a > b for a, b in zip(table.timesteps, table.timesteps[1:], strict=False))
    far = torch.full((2, 3), 40.0)
    torch.testing.assert_close(
        run_solver(table, torch.zeros(2, 3), lambda x, i: far), far, atol=1e-3, rtol=1e-4
    )


def test_the_shipped_tables_are_the_rebuilt_ones():
    shipped = json.loads((assets() / "schedulers.json").read_text())
    numbers = {name: {10, 15, 20, 25, 50} | ({100} if name == "ddpm" else set()) for name in SCHEDULERS}
    assert set(shipped) == {f"{name}/{steps}" for name in SCHEDULERS for steps in numbers[name]}
    for key, entry in shipped.items():
        name, steps = key.split("/")
        ours, built = schedulers._from_json(name, entry), schedulers.build_table(name, int(steps))
        assert ours == solver_table(name, int(steps))
        for part in ("timesteps", "signal", "spread", "fresh"):
            np.testing.assert_allclose(getattr(ours, part), getattr(built, part), rtol=1e-6, atol=1e-9)
        for a, b in ((ours.state, built.state), (ours.denoised, built.denoised)):
            assert [set(row) for row in a] == [set(row) for row in b]
            for row_a, row_b in zip(a, b, strict=True):
                np.testing.assert_allclose(
                    list(row_a.values()), [row_b[k] for k in row_a], rtol=1e-6, atol=1e-9
                )


def test_wrong_schedulers_and_step_numbers_are_sentences(monkeypatch):
    with pytest.raises(UserError, match="no scheduler called 'dpm-solver'. Did you mean 'dpm-solver\\+\\+'"):
        solver_table("dpm-solver", 20)
    for steps in (0, 1001, -3):
        with pytest.raises(
            UserError, match=f"num_inference_steps is {steps}; it must lie between 1 and 1000"
        ):
            solver_table("ddim", steps)
    monkeypatch.setitem(sys.modules, "diffusers", None)  # as if it were not installed
    schedulers.solver_table.cache_clear()
    assert len(solver_table("ddpm", 100).timesteps) == 100
    with pytest.raises(
        UserError, match="'ddim' with 13 .*shipped ones: install diffusers, or use 10, 15, 20, 25 or 50"
    ):
        solver_table("ddim", 13)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("kind", OBJECTIVES)
def test_a_scheduler_must_fit_what_the_denoiser_predicts(name, kind, network):
    def draw():
        return sample(network, LABEL, SUBDOMAIN, NOISE, scheduler=name, prediction_type=kind)

    if is_flow(name) == (kind == "flow"):
        assert torch.isfinite(draw()).all()
        return
    use = "flow-euler" if kind == "flow" else "dpm-solver"
    words = f"scheduler '{re.escape(name)}' does not fit the prediction_type '{kind}': use {use}"
    with pytest.raises(UserError, match=words):
        draw()


# -- the analytic score of a Gaussian mixture ----------------------------------------------------------


def posterior_mean(x, level, weights, means, sds):
    """E[clean | noisy] of a mixture of isotropic Gaussians: x [N, D], means [K, D], sds [K]."""
    a, s = level
    variance = (a * sds) ** 2 + s**2
    log = torch.log(weights) - x.shape[1] / 2 * variance.log()
    log = log - ((x[:, None] - a * means) ** 2).sum(-1) / (2 * variance)
    share = torch.softmax(log, 1)
    inner = means + (a * sds**2 / variance)[:, None] * (x[:, None] - a * means)
    return (share[..., None] * inner).sum(1)


WEIGHTS = torch.tensor([0.3, 0.7], dtype=torch.float64)
MEANS = torch.tensor([[-2.0], [1.0]], dtype=torch.float64)
SDS = torch.tensor([0.3, 0.6], dtype=torch.float64)
# Largest error after 20 steps: Wasserstein-1, mean, variance relative to the truth. DDIM, Euler and DDPM are
# of first order.
TOLERANCE = {
    "dpm-solver++": (0.04, 0.03, 0.05),
    "unipc": (0.04, 0.03, 0.05),
    "ddim": (0.12, 0.08, 0.10),
    "ddpm": (0.12, 0.08, 0.15),
    "flow-euler": (0.12, 0.08, 0.10),
}


def noise_1d(n):
    """Quantiles of the normal distribution in place of draws: no sampling error."""
    return torch.from_numpy(stats.norm.ppf((np.arange(n) + 0.5) / n))[:, None]


def true_quantiles(n):
    grid = np.linspace(-5, 5, 40_001)
    cdf = sum(
        float(w) * stats.norm.cdf(grid, float(m), float(s))
        for w, m, s in zip(WEIGHTS, MEANS[:, 0], SDS, strict=True)
    )
    return np.interp((np.arange(n) + 0.5) / n, cdf, grid)


def mixture_errors(name, steps):
    n = 40_000 if SCHEDULERS[name].stochastic else 2000  # fresh noise is drawn, so there is a sampling error
    table = solver_table(name, steps)

    def denoise(x, i):
        return posterior_mean(x, levels(is_flow(name), table.timesteps[i]), WEIGHTS, MEANS, SDS)

    got, truth = np.sort(run_solver(table, noise_1d(n), denoise)[:, 0].numpy()), true_quantiles(n)
    return np.abs(got - truth).mean(), abs(got.mean() - truth.mean()), abs(got.var() / truth.var() - 1)


def test_every_scheduler_has_a_stated_tolerance():
    assert set(TOLERANCE) == set(SCHEDULERS)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_mixture_in_one_dimension_is_met(name):
    for found, allowed in zip(mixture_errors(name, 20), TOLERANCE[name], strict=True):
        assert found < allowed


@pytest.mark.parametrize("name", SCHEDULERS)
def test_more_steps_come_nearer(name):
    coarse, fine = mixture_errors(name, 5)[0], mixture_errors(name, 100)[0]
    assert fine < 0.5 * coarse and fine < 0.03


CELL_MEANS = torch.tensor([[[3.0, 0.0], [3.0, 2.0]], [[-1.0, -1.0], [-1.0, 1.0]]])  # [class, subdomain, 2]
CELL_SDS = torch.tensor([[0.5, 1.0], [0.3, 0.7]])


class Exact:
    """A model whose prediction is exact for one Gaussian a cell; counts the rows it was asked for."""

    def __init__(self, prediction_type):
        self.kind, self.rows, self.cells = prediction_type, [], []
        self.denoiser = self

    def conditions(self, label, subdomain, keep_class, keep_subdomain):
        assert bool(keep_class.all()) and bool(keep_subdomain.all())
        return torch.stack([label, subdomain], 1).float()

    def modulation(self, timestep, condition):
        return torch.cat([timestep[:, None].float(), condition], 1)

    def denoise(self, noisy, modulation, rows):
        self.rows.append(len(noisy))
        self.cells.append(len(modulation))
        t, label, subdomain = modulation[rows].T
        a, s = (level[:, None] for level in levels(self.kind == "flow", t))
        cell = label.long(), subdomain.long()
        mean, sd = CELL_MEANS[cell], CELL_SDS[cell][:, None]
        clean = mean + a * sd**2 / ((a * sd) ** 2 + s**2) * (noisy - a * mean)
        noise = (noisy - a * clean) / s
        v, flow = a * noise - s * clean, noise - clean
        wanted = {"sample": clean, "epsilon": noise, "v_prediction": v, "flow": flow}
        return wanted[self.kind].float()


@pytest.mark.parametrize("kind", OBJECTIVES)
@pytest.mark.parametrize("name", SCHEDULERS)
def test_conditional_gaussians_in_two_dimensions_are_met(name, kind):
    if is_flow(name) != (kind == "flow"):
        return  # refused: tested above
    n = 1500
    label, subdomain = torch.arange(4).repeat_interleave(n) // 2, torch.arange(4).repeat_interleave(n) % 2
    noise = torch.randn(4 * n, 2, generator=torch.Generator().manual_seed(0))
    model = Exact(kind)
    # Solvers of first order need more steps for a narrow cell.
    steps = {"ddim": 100, "flow-euler": 100, "ddpm": 400}.get(name, 20)
    made = sample(
        model, label, subdomain, noise, scheduler=name, prediction_type=kind, num_inference_steps=steps,
        batch_size=4096,
    )  # fmt: skip
    assert set(model.rows) == {4096, 4 * n - 4096} and len(model.rows) == 2 * steps
    assert set(model.cells) == {3, 2}, "a batch computes the conditions of its own cells, each once"
    tolerance = 0.06
    for c in range(2):
        for s in range(2):
            mine = made[(label == c) & (subdomain == s)]
            torch.testing.assert_close(mine.mean(0), CELL_MEANS[c, s], atol=tolerance, rtol=0)
            spread = mine.std(0) / CELL_SDS[c, s]
            assert float((spread - 1).abs().max()) < tolerance, (c, s, spread)


# -- the noise of stochastic steps ----------------------------------------------------------------------


def splitmix64(seed: int, count: int) -> list[int]:
    """The published generator, in Python's integers."""
    out, mask = [], (1 << 64) - 1
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        out.append(z ^ (z >> 31))
    return out


def test_splitmix_gives_its_published_first_number():
    assert splitmix64(1234567, 1) == [6457827717110365317]  # its well-known test vector


def test_row_noise_is_splitmix_through_box_and_muller():
    stream = RowNoise(torch.randn(3, 5, generator=torch.Generator().manual_seed(0)))
    for row in range(3):
        numbers = splitmix64(int(stream.key[row]) & ((1 << 64) - 1), 9)
        for step in range(3):
            mine = numbers[3 * step : 3 * step + 3]
            radius = [np.sqrt(-2 * np.log(((x >> 32) + 1) / 2**32)) for x in mine]
            angle = [2 * np.pi * (x & 0xFFFFFFFF) / 2**32 for x in mine]
            expected = [r * np.cos(a) for r, a in zip(radius, angle, strict=True)]
            expected += [r * np.sin(a) for r, a in zip(radius, angle, strict=True)]
            np.testing.assert_allclose(stream(step)[row].numpy(), expected[:5], atol=1e-5)


def test_row_noise_is_standard_normal_and_independent():
    start = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    drawn = torch.cat([start] + [RowNoise(start)(i) for i in range(4)], 1).numpy()  # [4000, 15]
    for column in drawn[:, 3:].T:
        assert stats.kstest(column, "norm").pvalue > 1e-4
    assert np.abs(np.corrcoef(drawn.T) - np.eye(15)).max() < 5 / 4000**0.5
    assert np.abs(np.corrcoef((drawn**2).T) - np.eye(15)).max() < 5 / 4000**0.5
    neighbours = np.corrcoef(drawn[:-1, 3:].ravel(), drawn[1:, 3:].ravel())[0, 1]
    assert abs(neighbours) < 5 / drawn[1:, 3:].size ** 0.5


def test_row_noise_knows_its_row_alone():
    start = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    whole = RowNoise(start)(7)
    assert torch.equal(RowNoise(start[[4, 1]])(7), whole[[4, 1]])
    assert len({tuple(row.tolist()) for row in whole}) == 6 and not torch.equal(RowNoise(start)(8), whole)
    other = start.clone()
    other[0, 3] = torch.nextafter(other[0, 3], torch.tensor(9.0))  # the smallest change of one number
    assert not torch.isclose(RowNoise(other)(7)[0], whole[0]).any()
    swapped = start[:, [1, 0, 2, 3]]
    assert not torch.isclose(RowNoise(swapped)(7), whole).all(1).any()


# -- guidance, on a network with random weights -----------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> Model:
    torch.manual_seed(0)
    space = ConditionSpace.build(torch.randn(4, 3), torch.randn(3, 2))
    model = Model(Denoiser(5, 8, width=16, depth=2), ConditionEncoder(space, 8)).eval().requires_grad_(False)
    for p in model.parameters():
        p.normal_(std=0.3)
    return model


LABEL, SUBDOMAIN = torch.tensor([0, 3, 1, 1, 2, 0, 3]), torch.tensor([2, 0, 1, 1, 0, 1, 0])
NOISE = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
SCALES = [(1.0, 1.0), (2.0, 2.0), (3.0, 1.0), (1.0, 2.5), (0.0, 1.0), (1.5, 0.5), (0.0, 0.0)]


@pytest.mark.parametrize("scales", SCALES)
def test_branch_weights_sum_to_one(scales):
    branches = guidance_branches(*scales)
    assert sum(weight for weight, _, _ in branches) == pytest.approx(1)
    assert all(weight != 0 for weight, _, _ in branches)
    assert (False, True) not in {(s, c) for _, c, s in branches}, (
        "there is no branch of class without subdomain"
    )


@pytest.mark.parametrize("scales, passes", zip(SCALES, [1, 2, 2, 3, 1, 3, 1], strict=True))
def test_only_branches_with_weight_are_evaluated(scales, passes, network, monkeypatch):
    rows, denoise = [], Denoiser.denoise
    monkeypatch.setattr(Denoiser, "denoise", lambda self, x, *m: rows.append(len(x)) or denoise(self, x, *m))
    sample(
        network,
        LABEL,
        SUBDOMAIN,
        NOISE,
        num_inference_steps=4,
        guidance_class=scales[0],
        guidance_subdomain=scales[1],
    )
    assert rows == [7 * passes] * 4


@pytest.mark.parametrize("kind", ["v_prediction", "epsilon", "sample"])
@pytest.mark.parametrize("scales", SCALES)
def test_guidance_is_the_published_formula(scales, kind, network):
    """m(∅,∅) + w_κ·(m(∅,κ) − m(∅,∅)) + w_γ·(m(γ,κ) − m(∅,κ)), branch by branch, in diffusers' loop."""
    w_gamma, w_kappa = scales
    scheduler = reference_scheduler("ddim")
    scheduler.set_timesteps(6)
    x = NOISE.double()

    def clean(x, t, keep_class, keep_subdomain):
        keep = [torch.full((7,), k) for k in (keep_class, keep_subdomain)]
        condition = network.conditions(LABEL, SUBDOMAIN, *keep)
        out = network.denoiser(x.float(), torch.full((7,), int(t)), condition).double()
        a, s = ALPHAS[t].sqrt(), (1 - ALPHAS[t]).sqrt()
        return {"v_prediction": a * x - s * out, "epsilon": (x - s * out) / a, "sample": out}[kind]

    for t in scheduler.timesteps:
        none, kappa, both = clean(x, t, False, False), clean(x, t, False, True), clean(x, t, True, True)
        guided = none + w_kappa * (kappa - none) + w_gamma * (both - kappa)
        x = scheduler.step(guided, t, x).prev_sample.double()
    got = sample(
        network, LABEL, SUBDOMAIN, NOISE, scheduler="ddim", num_inference_steps=6,
        guidance_class=w_gamma, guidance_subdomain=w_kappa, prediction_type=kind,
    )  # fmt: skip
    scale = float(x.abs().max())
    torch.testing.assert_close(got.double() / scale, x / scale, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("scales", [(1.0, 1.0), (2.0, 1.5)])
def test_results_do_not_depend_on_the_batch_size_or_on_company(scales, name, network):
    """Stated tolerance: 1e-5, the rounding of matrix products of other shapes."""
    settings = dict(
        guidance_class=scales[0], guidance_subdomain=scales[1], num_inference_steps=10, scheduler=name,
        prediction_type="flow" if is_flow(name) else "v_prediction",
    )  # fmt: skip
    whole = sample(network, LABEL, SUBDOMAIN, NOISE, **settings)
    for size in (1, 2, 3, 7):
        torch.testing.assert_close(
            sample(network, LABEL, SUBDOMAIN, NOISE, batch_size=size, **settings), whole, atol=1e-5, rtol=1e-5
        )
    rows = torch.tensor([4, 1])
    part = sample(network, LABEL[rows], SUBDOMAIN[rows], NOISE[rows], **settings)
    torch.testing.assert_close(part, whole[rows], atol=1e-5, rtol=1e-5)


def test_the_condition_matters(network):
    a = sample(network, LABEL, SUBDOMAIN, NOISE, num_inference_steps=5)
    b = sample(network, (LABEL + 1) % 4, SUBDOMAIN, NOISE, num_inference_steps=5)
    c = sample(network, LABEL, (SUBDOMAIN + 1) % 3, NOISE, num_inference_steps=5)
    assert (a - b).abs().amax(1).min() > 1e-3 and (a - c).abs().amax(1).min() > 1e-3


class WithExtra(torch.nn.Module):
    """A stand-in for a condition encoder that takes extra features."""

    def __init__(self):
        super().__init__()
        self.inner = ConditionEncoder(ConditionSpace.build(torch.randn(4, 3), torch.randn(3, 2)), 8)
        self.project, self.seen = torch.nn.Linear(2, 8), []

    def forward(self, label, subdomain, keep_class=None, keep_subdomain=None, extra=None):
        self.seen.append(None if extra is None else extra.clone())
        out = self.inner(label, subdomain, keep_class, keep_subdomain)
        return out if extra is None else out + self.project(extra)


@pytest.mark.parametrize("batch_size", [2, 7])
@pytest.mark.parametrize("scales", [(1.0, 1.0), (2.0, 1.5)])
def test_extra_features_reach_every_row_and_equal_ones_are_embedded_once(scales, batch_size, network):
    torch.manual_seed(3)
    model = Model(network.denoiser, WithExtra()).requires_grad_(False)
    extra = torch.tensor([[0.0, 1], [2, 1], [0, 1], [0, 1], [5, 5], [0, 1], [2, 1]])
    settings = dict(guidance_class=scales[0], guidance_subdomain=scales[1], num_inference_steps=4)
    made = sample(model, LABEL, SUBDOMAIN, NOISE, extra=extra, batch_size=batch_size, **settings)
    if batch_size == 7:  # rows 2 and 3 share label, subdomain and extra, and so do 1 and 6
        assert all(len(seen) == 5 for seen in model.conditions.seen)
    for i in range(7):
        alone = sample(model, LABEL[[i]], SUBDOMAIN[[i]], NOISE[[i]], extra=extra[[i]], **settings)
        torch.testing.assert_close(made[[i]], alone, atol=1e-5, rtol=1e-5)
    without = sample(model, LABEL, SUBDOMAIN, NOISE, **settings)
    assert model.conditions.seen[-1] is None and (made - without).abs().amax(1).min() > 1e-3


def test_an_encoder_without_extra_features_is_not_handed_any(network, monkeypatch):
    handed = []
    forward = ConditionEncoder.forward
    monkeypatch.setattr(
        ConditionEncoder, "forward", lambda self, *given: handed.append(len(given)) or forward(self, *given)
    )
    sample(network, LABEL, SUBDOMAIN, NOISE, num_inference_steps=2)
    assert set(handed) == {4}


def test_bf16_is_near_fp32(network):
    exact = sample(network, LABEL, SUBDOMAIN, NOISE, num_inference_steps=10)
    rough = sample(network, LABEL, SUBDOMAIN, NOISE, num_inference_steps=10, dtype=torch.bfloat16)
    assert rough.dtype == torch.float32 and not torch.equal(rough, exact)
    assert float((rough - exact).abs().max() / exact.std()) < 0.1


def test_nothing_asked_nothing_made(network):
    none = torch.zeros(0, dtype=torch.int64)
    assert sample(network, none, none, torch.zeros(0, 5)).shape == (0, 5)


def test_memory_of_read_latents_is_given_back():
    """A multistep solver of order 2 keeps a handful of latents alive, not all of them."""
    alive, table = [], solver_table("dpm-solver++", 20)
    import weakref

    def denoise(x, i):
        out = x * 0.5
        alive.append(weakref.ref(out))
        return out

    counts = []
    run_solver(
        table, torch.randn(4, 2), denoise, lambda i, x: counts.append(sum(r() is not None for r in alive))
    )
    assert max(counts) <= 3


# -- training and sampling together ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, sampling", [("v_prediction", "uniform"), ("flow", "uniform"), ("flow", "logit-normal")]
)
def test_a_trained_model_draws_each_class_where_it_lies(kind, sampling):
    rng = torch.Generator().manual_seed(0)
    label, subdomain = torch.arange(600) % 2, (torch.arange(600) // 2) % 2
    centres = torch.tensor([[-1.2, 0.0], [1.2, 0.5]])
    clean = (
        centres[label]
        + torch.tensor([[0.0, -0.6], [0.0, 0.6]])[subdomain]
        + 0.3 * torch.randn(600, 2, generator=rng)
    )
    torch.manual_seed(0)
    space = ConditionSpace.build(torch.eye(2), torch.eye(2))
    model = Model(Denoiser(2, 16, width=48, depth=2), ConditionEncoder(space, 16))
    model = train(
        model,
        TrainingData(clean, label, subdomain, torch.ones(600)),
        steps=500,
        batch_size=128,
        learning_rate=3e-3,
        weight_decay=0.0,
        ema_decay=0.98,
        drop=0.1,
        prediction_type=kind,
        weighting="uniform",
        timestep_sampling=sampling,
        seed=0,
    )
    want, noise = torch.arange(800) % 2, torch.randn(800, 2, generator=rng)
    where = (torch.arange(800) // 2) % 2
    scheduler = "flow-euler" if kind == "flow" else "dpm-solver++"
    made = sample(model, want, where, noise, prediction_type=kind, scheduler=scheduler)
    for c in range(2):
        for s in range(2):
            mine, real = made[(want == c) & (where == s)], clean[(label == c) & (subdomain == s)]
            torch.testing.assert_close(mine.mean(0), real.mean(0), atol=0.2, rtol=0)
            ratio = float(mine.var(0).sum() / real.var(0).sum())
            assert 0.6 < ratio < 1.8, ratio


# -- starts: SDEdit ------------------------------------------------------------


def from_start(start_noise, start, scheduler="ddim", steps=50, seed=0):
    model = tiny_model(seed)
    label, subdomain = torch.zeros(len(start), dtype=torch.int64), torch.zeros(len(start), dtype=torch.int64)
    noise = torch.randn(start.shape, generator=torch.Generator().manual_seed(5))
    made = sample(
        model, label, subdomain, noise, start=start, start_noise=start_noise, scheduler=scheduler,
        num_inference_steps=steps,
    )  # fmt: skip
    return made, sample(model, label, subdomain, noise, scheduler=scheduler, num_inference_steps=steps)


def tiny_model(seed):
    from gelda.conditions import ConditionEncoder, ConditionSpace
    from gelda.denoiser import Denoiser
    from gelda.diffusion import Model

    torch.manual_seed(seed)
    space = ConditionSpace.build(torch.eye(2), torch.eye(2))
    return Model(Denoiser(4, 8, width=16, depth=1), ConditionEncoder(space, 8)).eval()


@pytest.mark.parametrize("scheduler", ["ddim", "ddpm"])
def test_a_start_with_next_to_no_noise_is_returned(scheduler):
    start = 3 * torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    distances = []
    for share in (1e-6, 0.3, 0.6, 1.0):
        made, _ = from_start(share, start, scheduler)
        distances.append(float((made - start).norm() / start.norm()))
    assert distances[0] < 0.05 and distances == sorted(distances) and distances[-1] > 0.5


def test_a_start_of_pure_noise_forgets_it():
    start = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    made, free = from_start(1.0, start)
    other, _ = from_start(1.0, start + 3)
    torch.testing.assert_close(made, free, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(made, other, atol=2e-3, rtol=2e-3)
    half, _ = from_start(0.5, start)
    moved, _ = from_start(0.5, start + 3)
    assert not torch.allclose(half, moved, atol=0.1)


@pytest.mark.parametrize("share, steps, left", [(0.5, 50, 25), (0.3, 10, 3), (1e-9, 10, 1), (1.0, 10, 10)])
def test_a_start_runs_its_share_of_the_steps(share, steps, left):
    seen = []
    start = torch.zeros(2, 4)
    label = torch.zeros(2, dtype=torch.int64)
    sample(
        tiny_model(0), label, label, torch.randn(2, 4), start=start, start_noise=share, scheduler="ddim",
        num_inference_steps=steps, on_step=lambda step, latent: seen.append(step),
    )  # fmt: skip
    assert seen == list(range(steps - left, steps))


@pytest.mark.parametrize("scheduler", ["dpm-solver++", "unipc"])
def test_a_solver_that_looks_back_cannot_start_half_way(scheduler):
    with pytest.raises(UserError, match=rf"needs 'ddim' or 'ddpm', not '{re.escape(scheduler)}'"):
        from_start(0.5, torch.zeros(2, 4), scheduler, steps=10)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_of_the_steps_lies_between_0_and_1(share):
    with pytest.raises(UserError, match="start_noise .* between 0 and 1"):
        from_start(share, torch.zeros(2, 4))


def test_a_start_of_another_shape_is_refused():
    label = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(UserError, match=r"start must be \[2, 4\], as the noise is, not \[3, 4\]"):
        sample(tiny_model(0), label, label, torch.zeros(2, 4), start=torch.zeros(3, 4), scheduler="ddim")


def test_a_flow_starts_half_way_too():
    label = torch.zeros(3, dtype=torch.int64)
    start = torch.randn(3, 4, generator=torch.Generator().manual_seed(3))
    noise = torch.randn(3, 4, generator=torch.Generator().manual_seed(4))
    seen = []
    sample(
        tiny_model(0), label, label, noise, start=start, start_noise=0.5, scheduler="flow-euler",
        prediction_type="flow", num_inference_steps=10, on_step=lambda step, latent: seen.append(step),
    )  # fmt: skip
    assert seen == [5, 6, 7, 8, 9]
