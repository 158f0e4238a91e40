"""The generator that a run keeps: the pipeline's own numbers, whatever is asked of it, or one sentence."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import planted_task

from gelda import generator_kit, projection
from gelda.adapter import Adapter
from gelda.artifacts import FORMAT, write_json
from gelda.augmenters.diffusion import FORMS, Gelda
from gelda.encoders import assets
from gelda.errors import UserError
from gelda.finetune import predict
from gelda.latents import Standardizer
from gelda.settings import GeneratorConfig, SamplingConfig

OPTIONS = GeneratorConfig(steps=30, width=16, depth=1, condition_dim=8, batch_size=32)
SAMPLING = SamplingConfig(num_inference_steps=10, guidance_class=2.0)
ARMS = {
    **{form: {"form": form} for form in FORMS},
    "guided": {"form": "plain", "guidance": 3.0},
    "curriculum": {"form": "plain", "recipe": "curriculum"},
    "composed": {"form": "plain", "conditions": ("a in shifted = b in plain + shifted",)},
}


def left(path, name):
    """A run's folder with the kit of one arm, trained on the planted task; the arm's own latents and head."""
    own = dict(ARMS[name])
    sampling = SAMPLING.model_copy(update={k: own.pop(k) for k in ("recipe", "conditions") if k in own})
    task = replace(planted_task(), class_names=("a", "b", "c"), subdomain_names=("plain", "shifted"))
    arm = Gelda(OPTIONS, None, sampling, **own)
    arm.train(task)
    head = Adapter((task.latents.shape[1], 12), task.classes, seed=3)
    scale = Standardizer(task.latents.mean(0) + 0.5, task.latents.std(0) + 0.1)
    write_json(path / "points.json", {"format": FORMAT, "key": "abc", "layers": []})
    generator_kit.write(path, arm, task, head, 0, scale, "abc")
    return task, arm, head, scale


@pytest.fixture(scope="module", params=ARMS)
def kept(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param)
    task, arm, head, scale = left(path, request.param)
    return generator_kit.load(path), task, arm, head, scale


def cell(made, c, s):
    return made.latents[(made.label == c) & (made.subdomain == s)]


def test_a_cell_is_drawn_as_the_run_drew_it(kept):
    kit, task, arm, *_ = kept
    made = arm.synthesise(task)
    cells = np.argwhere(task.allocation > 0)
    assert len(cells) > 2
    for c, s in cells:
        again = kit.sample(int(c), int(s), int(task.allocation[c, s]))
        torch.testing.assert_close(again.latents, cell(made, c, s), rtol=0, atol=2e-5)
        assert (again.label == c).all() and (again.subdomain == s).all()


def test_a_latent_does_not_depend_on_how_many_are_asked_for(kept):
    kit = kept[0]
    few, many = kit.sample(0, 1, 3, seed=5), kit.sample(0, 1, 9, seed=5)
    sets = 1 if many.level is None else int(many.level.max())
    for of_few, of_many in zip(few.latents.chunk(sets), many.latents.chunk(sets), strict=True):
        torch.testing.assert_close(of_few, of_many[:3], rtol=0, atol=2e-5)
    assert not torch.allclose(few.latents, kit.sample(0, 1, 3, seed=6).latents, atol=1e-2)


def test_a_trajectory_ends_in_the_sample_and_begins_in_noise(kept):
    kit, task, arm, *_ = kept
    way = kit.trajectory(1, 0, 4, guidance_class=1.5, num_inference_steps=15)
    steps = len(way.denoised)
    assert way.latents.shape == (steps + 1, 4, task.latents.shape[1]) and len(way.spread) == steps + 1
    assert way.spread[-1] == 0 and list(way.spread) == sorted(way.spread, reverse=True)
    assert steps == (15 - round(15 * (1 - OPTIONS.translate_noise)) if arm.form == "translate" else 15)
    if not arm.sampling.recipe == "curriculum":  # whose latents do not begin in noise alone
        end = kit.sample(1, 0, 4, guidance_class=1.5, num_inference_steps=15).latents
        assert torch.equal(way.latents[-1], end)
    # the last step leaves the clean estimate itself (of DDIM: but for its last noise level)
    torch.testing.assert_close(way.latents[-1], way.denoised[-1], rtol=0, atol=5e-3)


def test_an_interpolation_has_the_cells_own_samples_at_its_ends(kept):
    kit, _, arm, *_ = kept
    if arm.sampling.recipe == "curriculum":
        pytest.skip("its latents do not begin in noise alone")
    made = kit.interpolate((0, 1), (2, 0), (0, 0.5, 1), 4)
    torch.testing.assert_close(made[0], kit.sample(0, 1, 4).latents, rtol=0, atol=2e-5)
    assert not torch.allclose(made[0], made[1], atol=1e-3) and not torch.allclose(made[1], made[2], atol=1e-3)
    back = kit.interpolate((0, 1), (0, 1), (0, 0.3, 1), 4)
    torch.testing.assert_close(back[0], back[1], rtol=0, atol=2e-5)
    torch.testing.assert_close(back[0], back[2], rtol=0, atol=2e-5)


def test_the_far_end_is_the_other_cell_under_the_same_noise(tmp_path):
    task, arm, *_ = left(tmp_path, "plain")
    kit = generator_kit.load(tmp_path)
    line = "a in shifted = c in plain"
    composed = Gelda(OPTIONS, arm.model, SAMPLING.model_copy(update={"conditions": (line,)}))
    wanted = np.zeros_like(task.allocation)
    wanted[0, 1] = 4
    own = composed.synthesise(replace(task, allocation=wanted)).latents
    torch.testing.assert_close(kit.interpolate((0, 1), (2, 0), (0.5, 1), 4)[1], own, rtol=0, atol=2e-5)


def test_the_head_says_what_it_said_in_the_run(kept):
    kit, task, arm, head, scale = kept
    said = kit.head(task.latents[:20], task.subdomain[:20])
    wanted = predict(
        head, task.latents[:20], 0, restore=scale.invert, subdomain=task.subdomain[:20],
        transforms=[arm.transform(task)],
    )[0]  # fmt: skip
    np.testing.assert_allclose(said, wanted, atol=1e-6)


def test_what_cannot_be_asked_is_a_sentence(tmp_path):
    left(tmp_path, "plain")
    kit = generator_kit.load(tmp_path)
    with pytest.raises(UserError, match="no subdomain number 7; they go from 0 to 1"):
        kit.sample(0, 7, 3)
    with pytest.raises(UserError, match="at least one"):
        kit.sample(0, 0, 0)
    with pytest.raises(UserError, match="guidance_class"):
        kit.sample(0, 0, 3, guidance_class=-1.0)
    with pytest.raises(UserError, match="between 0 and 1"):
        kit.interpolate((0, 0), (1, 0), (0, 1.5), 3)


@pytest.mark.parametrize("harm, words", [
    (lambda run: (run / "generator.json").unlink(), "keeps no generator: resume it"),
    (lambda run: (run / "generator.safetensors").write_bytes(b"x" * 50), "cannot be read as safetensors"),
    (lambda run: write_json(run / "points.json", {"key": "other"}), "that of other points"),
    (lambda run: edit(run, "dim", 9), "is damaged"),
    (lambda run: edit(run, "seed", None), "is damaged"),
    (lambda run: edit(run, "generator", {"width": 8192, "depth": 24}), "is damaged"),
    (lambda run: edit(run, "format", FORMAT + 1), "upgrade GeLDA"),
])  # fmt: skip
def test_a_kit_that_cannot_be_used_is_a_sentence(harm, words, tmp_path):
    left(tmp_path, "plain")
    harm(tmp_path)
    with pytest.raises(UserError, match=words):
        generator_kit.load(tmp_path)


def edit(run, name, value):
    about = json.loads((run / "generator.json").read_text())
    write_json(run / "generator.json", {**about, name: value})


def test_the_shipped_run_draws_its_own_synthetic_latents():
    run = assets() / "runs" / "digits"
    kit, points = generator_kit.load(run), projection.load_points(run)
    drawn = projection.load_latents(run, projection.generation_layer(run))
    for (c, s), rows in list(points[points["origin"] == "synthetic"].groupby(["label", "subdomain"]))[::5]:
        made = kit.sample(c, s, len(rows)).latents
        np.testing.assert_allclose(made, drawn[rows.index], atol=4e-3)  # they ship in half precision
        said = kit.head(made, torch.full((len(rows),), s))
        assert (said.argmax(1) == c).mean() > 0.8
