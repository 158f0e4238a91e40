"""Comparisons at adapter layers: the space is the adapter's, heads go on after it, auto is one for all."""

import json

import numpy as np
import pytest
import torch

from gelda import augmenters
from gelda.adapter import Adapter, HeadData, HeadPlan
from gelda.artifacts import content_key, read_json
from gelda.compare import VOTERS, Comparison, compare_key, grid_of
from gelda.compare_check import arm_key
from gelda.compare_config import resolve_compare
from gelda.heads import fit
from gelda.latents import Standardizer
from gelda.ready import open_bank
from gelda.recording import Recorder
from gelda.runs import create_run, home
from gelda.settings import AdapterConfig
from gelda.spaces import Space, heads_from, train_adapter

CLASSES, SUBDOMAINS, ITEMS = 4, 2, 24


@pytest.fixture
def bank(tmp_path):
    """An .npz of 4 classes under 2 subdomains: 7-d `deep`, of which `flat` sees two dimensions."""
    rng = np.random.default_rng(0)
    centres, shift = 2 * rng.normal(size=(CLASSES, 7)), rng.normal(size=(SUBDOMAINS, 7))
    label = np.repeat(np.arange(CLASSES), SUBDOMAINS * ITEMS)
    subdomain = np.tile(np.repeat(np.arange(SUBDOMAINS), ITEMS), CLASSES)
    z = (centres[label] + shift[subdomain] + rng.normal(size=(len(label), 7))).astype(np.float32)
    path = tmp_path / "planted.npz"
    np.savez(
        path,
        z_deep=z,
        z_flat=z[:, :2] + 3 * rng.normal(size=(len(label), 2)).astype(np.float32),
        y=label,
        subdomain=subdomain,
        class_names=np.array(list("abcd")),
        subdomain_names=np.array(["one", "two"]),
    )
    return path


def comparison(bank, **values):
    values = {"bank": str(bank), "imbalance": 6.0, "seeds": 1, "methods": ("ce", "smote", "gelda"), **values}
    config = resolve_compare(values, "tiny")
    state = create_run(config.model_dump(mode="json"), "test", "compare", f"t-{content_key(values)}")
    return Comparison(config, open_bank(bank), state, Recorder(state))


def adapter_and_rows():
    rng = torch.Generator().manual_seed(0)
    raw = 3 + 2 * torch.randn(80, 7, generator=rng)
    label = torch.arange(80) % 3
    raw[label == 1, 0] += 4
    base = Standardizer.fit(raw)
    config = AdapterConfig(hidden=(6, 5), steps=30)
    plan = HeadPlan("logit-adjustment", 1.0)
    cpu, data = torch.device("cpu"), HeadData(base.apply(raw), label, torch.ones(80))
    return raw, label, base, train_adapter(data, 3, config, plan, 1, cpu)


@pytest.mark.parametrize("layer", [1, 2])
def test_a_space_is_the_standardised_layer_and_back(layer):
    raw, _, base, adapter = adapter_and_rows()
    space = Space.at(layer, base, adapter, raw)
    z = space.apply(raw)
    torch.testing.assert_close(z.mean(0), torch.zeros(z.shape[1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.var(0, unbiased=False), torch.ones(z.shape[1]), atol=1e-3, rtol=0)
    hidden = base.apply(raw) @ adapter.weights[0][0] + adapter.biases[0][0]
    if layer == 2:
        norm = (hidden - hidden.mean(1, keepdim=True)) / hidden.std(1, unbiased=False, keepdim=True)
        hidden = torch.nn.functional.gelu(norm) @ adapter.weights[1][0] + adapter.biases[1][0]
    torch.testing.assert_close(space.restore(z), hidden.detach(), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(adapter.run(space.restore(z), layer), adapter.run(base.apply(raw)))


def test_layer_0_is_the_standardised_latent_and_nothing_else():
    raw, _, base, _ = adapter_and_rows()
    space = Space(0, base)
    z = space.apply(raw)
    assert torch.equal(z, base.apply(raw)) and space.restore(z) is z


def test_heads_start_fresh_at_layer_0_and_go_on_from_their_adapter_after():
    raw, label, base, adapter = adapter_and_rows()
    plain = [HeadData(base.apply(raw), label, torch.ones(80))] * 2
    heads, at = heads_from([None, Space(0, base)], plain, (7, 6, 5), 3, 4)
    fresh = Adapter((7, 6, 5), 3, 2, 4)
    assert at == 0 and all(map(torch.equal, heads.parameters(), fresh.parameters()))
    other = Adapter((7, 6, 5), 3, 1, 9)
    spaces = [Space.at(1, base, one, raw) for one in (adapter, other)]
    heads, at = heads_from(spaces, plain, (6, 6, 5), 3, 4)
    assert at == 1
    for k, one in enumerate((adapter, other)):
        assert all(torch.equal(a[k], b[0]) for a, b in zip(heads.parameters(), one.parameters(), strict=True))
    data = [HeadData(s.restore(s.apply(raw)), label, torch.ones(80)) for s in spaces]
    frozen = [heads.weights[0].detach().clone(), heads.biases[0].detach().clone()]
    moved = heads.weights[1].detach().clone()
    fit(heads, data, [HeadPlan("ce")] * 2, start=at, steps=5, batch_size=16)
    assert torch.equal(heads.weights[0], frozen[0]) and torch.equal(heads.biases[0], frozen[1])
    assert not torch.equal(heads.weights[1], moved)
    with pytest.raises(ValueError, match="must be at one layer"):
        heads_from([spaces[0], Space(0, base)], plain, (6, 6, 5), 3, 4)


def test_all_arms_of_a_comparison_are_at_the_layer(bank):
    found = comparison(bank, adapter_layer=1, adapter={"hidden": [16, 5]})
    episode = found.episodes(0)[0]
    pairs = [(m, dict(grid_of(m)[0])) for m in ("ce", "smote", "gelda", "subdomain-norm")]
    candidates = list(found._candidates(episode, "deep", 1.0, pairs, 2))
    adapter = candidates[0].space.adapter
    raw = found.z("deep")
    base = Standardizer.fit(raw[torch.from_numpy(episode.train)])
    for candidate in candidates:
        assert candidate.space.layer == 2 and candidate.space.adapter is adapter, "one adapter an episode"
        assert candidate.data.latents.shape[1] == candidate.test.shape[1] == 5
        assert (len(candidate.made) > 0) == (candidate.arm in ("smote", "gelda"))
    ce = candidates[0]
    for rows, got in ((episode.train, ce.data.latents), (episode.test, ce.test)):
        expected = adapter.run(base.apply(raw[torch.from_numpy(rows)]), 0, 2)[0]
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    norm = candidates[3]
    assert not torch.allclose(norm.test, ce.test, atol=1e-2)
    # synthetic latents lie where real ones do, in what the layers after l take
    made = candidates[1].data.latents[len(episode.train) :]
    assert made.min() >= ce.data.latents.min() - 1e-4 and made.max() <= ce.data.latents.max() + 1e-4


def test_the_adapter_sees_training_rows_alone(bank):
    found = comparison(bank, adapter_layer=1)
    episode = found.episodes(0)[0]
    before = [p.detach().clone() for p in found.space(episode, "deep", 1.0, 1).adapter.parameters()]
    spoiled = comparison(bank, adapter_layer=1, name="spoiled")
    latents = found.z("deep").clone()
    latents[torch.from_numpy(episode.test)] = 1e3
    spoiled.latents["deep"] = latents
    spoiled.items.label[episode.test] = 0
    after = spoiled.space(episode, "deep", 1.0, 1).adapter.parameters()
    assert all(map(torch.equal, before, after))


@pytest.mark.parametrize("protocol", ["longtail", "zero-shot"])
def test_the_command_at_a_layer_and_at_auto(gelda, bank, tmp_path, protocol):
    base = ["compare", bank, "--protocol", protocol, "--preset", "tiny", "--seeds", "1"]
    base += ["--imbalance", "6"] if protocol == "longtail" else ["--target", "two", "--keep", "a"]
    reports = {}
    for layer in ("0", "1", "auto"):
        file = tmp_path / f"{layer}.json"
        methods = "ce,logit-adjustment,subdomain-norm,gelda" + (",smote" if layer == "auto" else "")
        done = gelda(*base, "--methods", methods, "--adapter-layer", layer, "--json", file)
        assert done.returncode == 0, done.stderr
        reports[layer] = json.loads(file.read_text())
    chosen = {layer: r["config"]["selection"]["0"] for layer, r in reports.items()}
    assert chosen["0"]["adapter_layer"] == 0 and chosen["1"]["adapter_layer"] == 1
    assert len({r["run"] for r in reports.values()}) == 3, "layers do not share a run"
    differing = [m for m, found in reports["0"]["methods"].items() if found != reports["1"]["methods"][m]]
    assert differing, "heads after another layer are other heads"
    assert "adapter layer 1" in " ".join(reports["1"]["notes"])
    assert "adapter layer" not in " ".join(reports["0"]["notes"])
    scores = chosen["auto"]["scores"]["adapter_layer"]
    assert set(scores) == {"0", "1"} and "adapter_layer" not in chosen["0"]["scores"]
    assert chosen["auto"]["adapter_layer"] == int(min(scores, key=scores.get))
    # the mean over one arm a family, named or not
    folder = home() / "runs" / reports["auto"]["run"] / "stages" / "select-0"
    for at in ("0", "1"):
        (file,) = folder.glob(f"adapter-layer-{at}-*.json")
        votes = read_json(file)["scores"]
        assert set(votes) == set(VOTERS) and scores[at] == pytest.approx(np.mean(list(votes.values())))
    same = reports[str(chosen["auto"]["adapter_layer"])]
    for arm in ("ce", "logit-adjustment", "gelda"):
        assert reports["auto"]["methods"][arm] == same["methods"][arm]
    assert reports["1"]["generator"].keys() == reports["0"]["generator"].keys()
    if protocol == "longtail":  # in z^(1), of held-out items: not the figure of z^(0)
        ratios = [reports[at]["generator"]["variance_ratio"] for at in ("0", "1")]
        assert all(0 < r < 20 for r in ratios) and ratios[0] != ratios[1]


@pytest.mark.parametrize("layer, words", [
    ("2", "--adapter-layer is 2, but the adapter has 1 hidden layer"),
    ("deep", "it must be a number from 0 on, or auto"),
    ("-1", "it must be a number from 0 on, or auto"),
])  # fmt: skip
def test_wrong_layers_are_sentences(gelda, bank, layer, words):
    done = gelda("compare", bank, "--preset", "tiny", "--adapter-layer", layer)
    assert done.returncode == 2 and words in done.stderr + done.stdout


def test_keys_of_the_default_are_those_of_before(bank):
    """Arms computed before recipes and layers were there are found again: their keys, written out."""
    found = comparison(bank)
    g, sampling = found.config.generator, found.config.sampling.model_dump()
    del sampling["recipe"], sampling["recipe_strength"]
    made_by = [g, sampling, [None, None, None]]
    if augmenters.get("gelda").generative:
        from gelda import semantics

        texts = (g.class_semantics, g.subdomain_semantics, g.text_template)
        made_by[2] = [semantics.fingerprint(text) for text in texts]
    for method, made in (("smote", None), ("gelda", made_by)):
        key = content_key(method, "deep", 1.0, list(grid_of(method)), made)
        assert arm_key(found.config, method, "deep", 1.0) == key
        assert arm_key(found.config, method, "deep", 1.0, at=1) != key
        other = comparison(bank, sampling={"recipe": "real-last"})
        assert arm_key(other.config, method, "deep", 1.0) != key
    keys = {compare_key(comparison(bank, adapter_layer=at).config, found.bank) for at in (0, 1, "auto")}
    assert len(keys) == 3


@pytest.mark.parametrize("recipe", ["synthetic-first", "curriculum", "real-last"])
def test_a_comparison_by_a_recipe(gelda, bank, tmp_path, recipe):
    base = ["compare", bank, "--preset", "tiny", "--seeds", "1", "--imbalance", "6"]
    base += ["--methods", "ce,smote,gelda"]
    reports = []
    for name in ("joint", recipe):
        file = tmp_path / f"{name}.json"
        done = gelda(*base, "--set", f"sampling.recipe={name}", "--json", file)
        assert done.returncode == 0, done.stderr
        reports.append(json.loads(file.read_text()))
    joint, other = reports
    assert other["config"]["sampling"]["recipe"] == recipe
    assert joint["methods"]["ce"] == other["methods"]["ce"], "without synthetic latents nothing changes"
    for arm in ("smote", "gelda"):
        a, b = (r["config"]["selection"]["0"]["scores"][arm] for r in (joint, other))
        assert a.keys() == b.keys() and all(a[k] != b[k] for k in a)
