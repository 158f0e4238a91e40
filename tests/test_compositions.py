"""Composed conditions: one line a cell, what it samples, and what is said of it."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from bank_fixtures import npz_arrays, speech_items, write_npz
from conftest import planted_task
from test_registries import FORMED, GENERATIVE, GENERATOR

from gelda import augmenters, compositions
from gelda.augmenters.base import Synthetic
from gelda.augmenters.composing import composed
from gelda.augmenters.conditioning import build_model, cell_noise
from gelda.compositions import parse, parsed, remarks
from gelda.config import resolve_config
from gelda.diffusion import Model
from gelda.errors import UserError
from gelda.pipeline import Pipeline
from gelda.sampler import sample
from gelda.settings import SamplingConfig
from gelda.strict import LATER

CLASSES, SUBDOMAINS = ("a", "b c", "7"), ("x", "y")


@pytest.mark.parametrize("text, cell, classes, subdomains", [
    ("anger in Polish = anger in German", ("anger", "Polish"), {"anger": 1}, {"German": 1}),
    ("anger in Polish = fear in 0.25 German + 0.75 English", ("anger", "Polish"), {"fear": 1},
     {"German": 0.25, "English": 0.75}),
    ("anger in Polish = 0.5 sad in German + 0.5 sad in English", ("anger", "Polish"), {"sad": 1},
     {"German": 0.5, "English": 0.5}),
    ("a in b = 0.25 x in s + 0.75 y in t", ("a", "b"), {"x": 0.25, "y": 0.75}, {"s": 0.25, "t": 0.75}),
    ("a in b = x + y in s + t + u + v", ("a", "b"), {"x": 0.5, "y": 0.5}, dict.fromkeys("stuv", 0.25)),
    ("great white shark in art painting = dog in sketch", ("great white shark", "art painting"),
     {"dog": 1}, {"sketch": 1}),
    ('"man in suit" in "x = y" = 0.5 "1 + 1" + 0.5 "2 dogs" in "a  \\"b\\""', ("man in suit", "x = y"),
     {"1 + 1": 0.5, "2 dogs": 0.5}, {'a  "b"': 1}),
    ('7 in x+y = 7 in a=b', ("7", "x+y"), {"7": 1}, {"a=b": 1}),
])  # fmt: skip
def test_a_line_is_read(text, cell, classes, subdomains):
    made = parse(text)
    assert made.cell == cell and dict(made.classes) == classes and dict(made.subdomains) == subdomains


@pytest.mark.parametrize("text, words", [
    ("anger", 'write "CLASS in SUBDOMAIN = '),
    ("a in b", 'write "CLASS in SUBDOMAIN = '),
    ("a in b in c = d in e", "stands in double quotes"),
    ("a in b = c", 'write "CLASS in SUBDOMAIN = '),
    ("a in b = c in d in e", 'write "CLASS in SUBDOMAIN = '),
    ("a in b = c in d = e in f", 'write "CLASS in SUBDOMAIN = '),
    (" in b = c in d", "'' is not one name"),
    ('a in b = "c" d in e', "'\"c\" d' is not one name"),
    ('a in b = "c in e', "is not one name"),
    ('"\\q" in b = c in d', r"not a name in double quotes"),
    ("a in b = c + in d", "'' is not one name"),
    ("a + z in b = c in d", "'a \\+ z' is not one name"),
    ("a in b = 0.5 c + d in e", "'d' has no weight: give all parts one, or none"),
    ("a in b = 0.5 c + 0.6 d in e", r"the weights 0.5 \+ 0.6 must be above 0 and sum to 1"),
    ("a in b = 1.5 c + -0.5 d in e", r"the weights 1.5 \+ -0.5 must"),
    ("a in b = 2 dogs in e", "a name that begins with a number stands in double quotes"),
])  # fmt: skip
def test_what_cannot_be_read_is_one_sentence(text, words):
    with pytest.raises(UserError, match=words) as raised:
        parse(text)
    said = str(raised.value)
    assert said.startswith(f"sampling.conditions '{text}': ") and said.endswith(".") and "\n" not in said
    with pytest.raises(UserError, match=words):
        SamplingConfig(conditions=[text])


def test_a_cell_has_one_condition():
    with pytest.raises(UserError, match="the cell has the condition 'a in x = a in y' already: keep one"):
        parsed(["a in x = a in y", "a in x = 7 in x"])


@pytest.mark.parametrize("text, words", [
    ("a in x = a in z", "there is no subdomain called 'z'. Valid names: x, y."),
    ("aa in x = a in y", "there is no class called 'aa'. Did you mean 'a'"),
    ("a in x = 0.5 a + 0.5 b d in y", "there is no class called 'b d'. Did you mean 'b c'"),
])  # fmt: skip
def test_a_name_that_is_not_there_is_told_with_the_nearest(text, words):
    with pytest.raises(UserError, match=words):
        compositions.check([text], CLASSES, SUBDOMAINS)
    compositions.check(["b c in y = 7 in x"], CLASSES, SUBDOMAINS)


def test_a_setting_is_a_list_or_lines_and_without_it_nothing_changes():
    both = ["a in x = a in y", "b in x = b in y"]
    given = SamplingConfig(conditions="\n".join([*both, ""]))
    assert given.conditions == tuple(both) == SamplingConfig(conditions=both).conditions
    assert "conditions" in LATER and "conditions" not in SamplingConfig().model_dump()
    config = resolve_config(sampling={"conditions": both})
    assert resolve_config(json.loads(config.model_dump_json())) == config
    with pytest.raises(UserError, match="'sampling.conditions' is 3: it must be a list"):
        resolve_config(sampling={"conditions": 3})


# -- what is sampled --------------------------------------------------------------------------------------


def named_task(**changes):
    return replace(planted_task(), class_names=CLASSES, subdomain_names=SUBDOMAINS, **changes)


def trained(task):
    """A denoiser that listens to its condition, with learned residuals."""
    model = build_model(GENERATOR, task)
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=rng))
    return model.eval()


def arm(name: str, model, *lines: str):
    method, _, form = name.partition("/")
    sampling = SamplingConfig(num_inference_steps=5, conditions=lines)
    setting = {"form": form} if form else {}
    return augmenters.get(method).build(GENERATOR, model=model, sampling=sampling, **setting)


@pytest.mark.parametrize("name", GENERATIVE + FORMED)
def test_a_mixture_of_one_is_the_cell_itself_bit_for_bit(name):
    task = named_task()
    model = arm(name, None).train(task)
    plain = arm(name, model).synthesise(task)
    made = arm(name, model, "a in y = a in y", "7 in x = 1.0 7 in 1.0 x").synthesise(task)
    assert torch.equal(made.latents, plain.latents)
    assert torch.equal(made.label, plain.label) and torch.equal(made.subdomain, plain.subdomain)


def test_a_composed_cell_is_sampled_under_the_other_one_s_condition():
    task = named_task()
    model = trained(task)
    made = arm("gelda", model, "b c in y = 7 in x").synthesise(task)
    label, subdomain, noise = cell_noise(task)
    rows = (label == 1) & (subdomain == 1)
    assert torch.equal(made.label, label), "what is made of a cell stays that cell's"
    label[rows], subdomain[rows] = 2, 0
    settings = {"num_inference_steps": 5, "prediction_type": GENERATOR.prediction_type}
    assert torch.equal(made.latents, sample(model, label, subdomain, noise, **settings))
    plain = arm("gelda", model).synthesise(task)
    torch.testing.assert_close(made.latents[~rows], plain.latents[~rows], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(made.latents[rows], plain.latents[rows], atol=1e-2)


def test_a_mixture_is_the_mixture_of_the_conditions():
    task = named_task()
    conditions = trained(task).conditions
    line = parse("b c in y = 0.25 a + 0.75 7 in 0.5 x + 0.5 y")
    label, subdomain = torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1])
    mixed, c, s = composed(conditions, [line], task, label, subdomain)
    assert c.tolist() == [0, 1, 3] and s.tolist() == [0, 0, 2] and label.tolist() == [0, 1, 1]
    got = mixed(c, s)
    torch.testing.assert_close(got[:2], conditions(label[:2], subdomain[:2]))
    at = lambda c, s: conditions(torch.tensor([c]), torch.tensor([s]))  # noqa: E731
    expected = sum(w * 0.5 * at(c, s) for c, w in ((0, 0.25), (2, 0.75)) for s in (0, 1))
    torch.testing.assert_close(got[2:], expected)
    assert torch.isfinite(sample(Model(trained(task).denoiser, mixed), c, s, torch.zeros(3, 6))).all()


def test_a_line_of_a_name_out_of_play_is_left_out_and_names_are_needed():
    task = named_task()
    label = torch.tensor([0])
    out = [parse("a in y = a in z"), parse("gone in x = a in y")]
    conditions, c, s = composed("as it is", out, task, label, label)
    assert conditions == "as it is" and c.tolist() == s.tolist() == [0]
    with pytest.raises(UserError, match="came without names"):
        composed("as it is", out, planted_task(), label, label)


def test_arms_with_other_conditions_share_the_model_and_not_the_latents():
    one, other = arm("gelda", None), arm("gelda", None, "a in y = a in x")
    assert one.shares == other.shares and one.same_latents != other.same_latents


# -- what is said -----------------------------------------------------------------------------------------


def test_remarks_count_the_seeds_and_name_what_was_not_used():
    lines = ["a in x = a in y", "7 in y = a in x"]
    said = "latents of these cells were drawn under composed conditions"
    assert remarks(lines, [{("a", "x"), ("7", "y")}] * 2) == [f"GeLDA's {said}: {'; '.join(lines)}."]
    assert remarks(lines, [{("a", "x")}, set()], "X") == [
        f"X's {said}: a in x = a in y (in 1 of 2 seeds).",
        "X made no latents of 7 in y for these figures.",
    ]
    assert remarks([], [set()]) == []


def test_a_run_says_which_cells_were_composed():
    config = resolve_config(
        sampling={"conditions": ["a in x = a in y"]}, paper_sampling={"conditions": ["7 in y = a in y"]}
    )
    manifest = SimpleNamespace(class_names=CLASSES, subdomain_names=SUBDOMAINS)
    zero = torch.zeros(2, dtype=torch.int64)
    made = Synthetic(torch.zeros(2, 1), zero, zero)
    notes = Pipeline._composed(
        SimpleNamespace(config=config, manifest=manifest),
        [{"gelda": (None, made, None), "gelda-paper": (None, made, None)}],
    )
    assert any("GeLDA's latents" in note and "a in x = a in y" in note for note in notes)
    assert any("made no latents of 7 in y" in note for note in notes)


def test_a_comparison_composes_and_says_so(gelda, tmp_path):
    bank = write_npz(tmp_path / "b.npz", npz_arrays(speech_items()))
    command = ["compare", bank, "--protocol", "zero-shot", "--target", "polish", "--keep", "neutral",
               "--preset", "tiny", "--methods", "ce,gelda", "--json", "out.json", "--set"]  # fmt: skip
    done = gelda(*command, 'sampling.conditions=["anger in polish = angr in german"]')
    assert done.returncode == 2 and "no class called 'angr'. Did you mean 'anger'" in done.stderr
    assert gelda(*command[:-1]).returncode == 0
    plain = json.loads((tmp_path / "out.json").read_text())
    lines = ["anger in polish = anger in german", "joy in english = joy in german"]
    done = gelda(*command, f"sampling.conditions={json.dumps(lines)}")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out.json").read_text())
    assert any(f"composed conditions: {lines[0]}." in note for note in report["notes"])
    assert any("made no latents of joy in english" in note for note in report["notes"])
    assert report["config"]["sampling"]["conditions"] == lines
    assert report["run"] == plain["run"], "what does not depend on it is found again"
    assert report["methods"]["ce"] == plain["methods"]["ce"]
    assert not np.isclose(report["generator"]["frechet"], plain["generator"]["frechet"], rtol=1e-6)
