"""Settings of the last layer, its start and its rival: what they do to heads, in runs and in comparisons."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from bank_fixtures import npz_arrays, photo_items, planted_latents, ready_bank, speech_items, write_npz
from conftest import _SHIFT, PLANTED_DATASET, PLANTED_ENCODER, PlantedEncoder
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from gelda import adapting, pipeline, runs, workbench
from gelda.adapter import Adapter, HeadData
from gelda.artifacts import content_key
from gelda.augmenters import AUGMENTERS
from gelda.class_start import fresh, predicted_prototypes
from gelda.compare import Comparison, check, compare_key
from gelda.compare_config import resolve_compare
from gelda.config import resolve_config
from gelda.datasets import DATASETS
from gelda.encoders import ENCODERS
from gelda.errors import UserError
from gelda.finetune import fitting_methods
from gelda.pipeline import Pipeline
from gelda.recording import Recorder
from gelda.settings import AdapterConfig
from gelda.strict import LATER

LINEAR_ONLY = {"isda", "tau-norm", "ncm"}
DEFAULT = {  # the adapter's settings as keys and specs have held them from the first release on
    "fm_layer": "auto", "hidden": [128], "steps": 150, "tune_steps": 150, "batch_size": 128,
    "learning_rate": 0.002, "weight_decay": 0.05, "dropout": 0.2, "tau": 1.0, "validation_folds": 3,
}  # fmt: skip


# -- the map from γ to the last layer ------------------------------------------------------------


def rows(counts=(40, 7, 1, 0), dim=6, seed=0):
    """Features around class centres, and 3-d class vectors."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(len(counts)), counts)
    features = 2 * rng.normal(size=(len(counts), dim))[label] + rng.normal(size=(len(label), dim))
    return features.astype(np.float32), label, rng.normal(size=(len(counts), 3)).astype(np.float32)


def ridge(features, label, table):
    """The same by weighted least squares in γ's own dimensions: rows √n·γ against √n·mean, penalty 1."""
    counts = np.bincount(label, minlength=len(table))
    there = counts > 0
    gamma = table.astype(float) - table.mean(0)
    gamma /= np.sqrt((gamma**2).sum(1).mean())
    means = np.stack([features[label == c].mean(0) for c in np.flatnonzero(there)]).astype(float)
    means -= means.mean(0)
    root = np.sqrt(counts[there])[:, None]
    left = np.vstack([root * gamma[there], np.eye(gamma.shape[1])])
    right = np.vstack([root * means, np.zeros((gamma.shape[1], features.shape[1]))])
    made = gamma @ np.linalg.lstsq(left, right, rcond=None)[0]
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.mark.parametrize("counts", [(40, 7, 1, 0), (5, 5, 5, 5), (300, 1, 1, 1)])
def test_prototypes_are_those_of_ridge_regression(counts):
    features, label, table = rows(counts)
    made = predicted_prototypes(*map(torch.from_numpy, (features, label, table)))
    np.testing.assert_allclose(made.numpy(), ridge(features, label, table), atol=1e-4)


def test_without_relations_between_classes_they_are_the_class_means():
    """One-hot vectors tell nothing of one class by another: of many rows, each keeps its own mean."""
    features, label, _ = rows((400, 400, 400, 400))
    made = predicted_prototypes(torch.from_numpy(features), torch.from_numpy(label), torch.eye(4)).numpy()
    means = np.stack([features[label == c].mean(0) for c in range(4)])
    means -= means.mean(0)
    np.testing.assert_allclose(made, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-3)


def test_class_vectors_that_are_all_alike_are_refused():
    features, label, _ = rows()
    with pytest.raises(UserError, match="all alike"):
        predicted_prototypes(torch.from_numpy(features), torch.from_numpy(label), torch.ones(4, 3))


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_first_logits_by_hand(head):
    z, label, table = map(torch.from_numpy, rows())
    started = HeadData(z, label, torch.ones(len(z)), class_vectors=table)
    plain = HeadData(z, label, torch.ones(len(z)))
    adapter = fresh([started, plain], (6, 5), 4, 3, head)
    usual = Adapter((6, 5), 4, 2, 3, head)
    assert all(torch.equal(a[1], b[1]) for a, b in zip(adapter.parameters(), usual.parameters(), strict=True))
    assert torch.equal(adapter.weights[0], usual.weights[0]), "hidden layers start as they always do"
    hidden = z @ usual.weights[0][0].detach()
    hidden = (hidden - hidden.mean(1, keepdim=True)) / (
        hidden.var(1, unbiased=False, keepdim=True) + 1e-5
    ).sqrt()
    features = torch.nn.functional.gelu(hidden)
    weight = torch.from_numpy(ridge(features.numpy(), label.numpy(), table.numpy())).float()
    expected = features @ weight.T
    if head == "cosine":
        expected = 25 * expected / features.norm(dim=1, keepdim=True)
    torch.testing.assert_close(adapter.run(z)[0], expected, atol=1e-3, rtol=1e-3)


def test_a_linear_probe_starts_in_the_latents_themselves_and_synthetic_rows_do_not_count():
    z, label, table = map(torch.from_numpy, rows((40, 7, 3, 2)))
    far = torch.cat([z, 100 + z])
    level = torch.arange(2).repeat_interleave(len(z))
    both = HeadData(far, label.repeat(2), torch.ones(len(far)), None, level, table)
    made = fresh([both], (6,), 4, 0).weights[0][0].T
    torch.testing.assert_close(made, predicted_prototypes(z, label, table))


# -- keys and values ------------------------------------------------------------


def test_default_settings_are_left_out_of_dumps_so_that_keys_stay():
    assert json.loads(AdapterConfig().model_dump_json()) == DEFAULT
    assert AdapterConfig().model_dump(mode="json") == DEFAULT
    assert set(LATER) >= set(AdapterConfig.model_fields) - set(DEFAULT)
    assert content_key(AdapterConfig()) == content_key(DEFAULT)
    without = AdapterConfig().model_dump(exclude={"tune_steps"})
    assert set(without) == set(DEFAULT) - {"tune_steps"}


OTHER = {"head": "cosine", "class_start": "text", "adversarial": 0.5}


@pytest.mark.parametrize("name", OTHER)
def test_other_settings_change_every_key_and_come_back_from_a_spec(name):
    bank = ready_bank(speech_items(), {"pool": planted_latents(speech_items())})
    base = {"bank": "planted", "protocol": "longtail"}
    changed = resolve_compare({**base, "adapter": {name: OTHER[name]}})
    assert changed.model_dump(mode="json")["adapter"] == {
        **resolve_compare(base).model_dump(mode="json")["adapter"], name: OTHER[name]
    }  # fmt: skip
    assert resolve_compare(json.loads(changed.model_dump_json())) == changed
    assert compare_key(changed, bank) != compare_key(resolve_compare(base), bank)
    keys = [content_key(adapting.trained_by(resolve_config(adapter=a))) for a in ({}, {name: OTHER[name]})]
    assert keys[0] != keys[1]
    assert len(changed.adapter.remarks()) == 1 and AdapterConfig().remarks() == []


def test_a_file_or_template_of_class_vectors_is_part_of_the_keys(tmp_path):
    bank = ready_bank(speech_items(), {"pool": planted_latents(speech_items())})
    file = tmp_path / "v.csv"

    def keys(start, template="{}"):
        adapter, generator = {"class_start": start}, {"text_template": template}
        values = {"adapter": adapter, "generator": generator}
        run = content_key(adapting.trained_by(resolve_config(values)))
        return run, compare_key(resolve_compare({"bank": "planted", **values}), bank)

    found = []
    for text in ("neutral,1\nanger,2\njoy,3\nfear,4\n", "neutral,1\nanger,2\njoy,3\nfear,9\n"):
        file.write_text(text)
        found.append(keys(f"file:{file}"))
    assert all(a != b for a, b in zip(*found, strict=True))
    assert all(a != b for a, b in zip(keys("text:m"), keys("text:m", "a {}"), strict=True))
    assert keys("random") == keys("random", "a {}"), "a template says nothing of a random start"


BAD = {
    "head": ({"head": "cosin"}, "'adapter.head' is 'cosin'"),
    "a negative strength": ({"adversarial": -1}, "'adapter.adversarial' is -1"),
    "no number": ({"adversarial": float("nan")}, "'adapter.adversarial' is nan"),
    "nothing to train": ({"adversarial": 1, "hidden": []}, "adapter.adversarial trains hidden features"),
    "an unknown source": ({"class_start": "onehot"}, "'onehot': There is no semantic source.*'one-hot'"),
    "a text model without a folder": ({"class_start": "text:"}, "needs a MODEL_FOLDER"),
    "a folder that is not there": ({"class_start": "text:./gone"}, "no folder ./gone"),
    "a file that is not there": ({"class_start": "file:gone.csv"}, "gone.csv"),
    "names without vectors": ({"class_start": "text"}, "class_start 'text': .*adapter.class_start file:PATH"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_values_are_refused_before_anything_is_computed(case, planted, gelda, gelda_home, tmp_path):
    import re

    adapter, words = BAD[case]
    with pytest.raises(UserError, match=words):
        prepared(adapter=adapter)
    items = photo_items()
    named = npz_arrays(items) | {"class_names": np.array(["p", "q", "r", "s"])}
    write_npz(tmp_path / "planted.npz", named)
    flags = [f for k, v in adapter.items() for f in ("--set", f"adapter.{k}={json.dumps(v)}")]
    done = gelda("compare", "planted.npz", "--preset", "tiny", *flags)
    assert done.returncode == 2 and not done.stdout and done.stderr.count("\n") == 1
    assert re.search(words, done.stderr), done.stderr
    assert not (gelda_home / "runs").exists()


def test_vectors_and_rivals_that_a_bank_does_not_have():
    items = speech_items(subdomains=("all",))
    bank = ready_bank(items, {"pool": planted_latents(items)})
    for adapter, words in (
        ({"class_start": "given"}, "class_start 'given': .*without class_semantics"),
        ({"adversarial": 1.0}, "has one subdomain: adapter.adversarial needs at least two"),
    ):
        with pytest.raises(UserError, match=words):
            check(resolve_compare({"bank": "planted", "adapter": adapter}, "tiny"), bank)


# -- methods without a cosine ------------------------------------------------------------


def test_methods_for_linear_layers_alone():
    assert set(AUGMENTERS) - set(fitting_methods(AUGMENTERS, "cosine", named=False)) == LINEAR_ONLY
    assert fitting_methods(AUGMENTERS, "linear") == list(AUGMENTERS)
    with pytest.raises(UserError, match="^isda, ncm can only be had with a linear last layer: leave them"):
        fitting_methods(["ce", "isda", "ncm"], "cosine")


def test_a_comparison_of_all_methods_leaves_them_out_and_says_so(gelda, tmp_path):
    items = photo_items()
    write_npz(tmp_path / "planted.npz", npz_arrays(items))
    base = ("compare", "planted.npz", "--preset", "tiny", "--seeds", "1", "--imbalance", "4")
    cosine = ("--set", "adapter.head=cosine", "--set", "adapter.class_start=text")
    refused = gelda(*base, *cosine, "--methods", "ce,tau-norm")
    assert refused.returncode == 2 and "tau-norm can only be had with a linear last layer" in refused.stderr
    done = gelda(*base, *cosine, "--json", "out.json")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out.json").read_text())
    assert set(report["methods"]) == set(AUGMENTERS) - LINEAR_ONLY
    assert "Left out, since they need a linear last layer: isda, ncm, tau-norm." in report["notes"]
    assert (
        "Adapter and every method's head: a cosine last layer, class weights started from semantic vectors "
        "(text)." in report["notes"]
    )
    again = gelda(*base, *cosine, "--methods", "ce,smote", "--json", "named.json")
    assert again.returncode == 0 and not any(
        "Left out" in note for note in json.loads((tmp_path / "named.json").read_text())["notes"]
    )


def test_a_run_refuses_them(planted):
    with pytest.raises(UserError, match="isda can only be had with a linear last layer: leave it out"):
        prepared(adapter={"head": "cosine"}, methods=["ce", "isda"])


# -- both ways ------------------------------------------------------------

USUAL = {"steps": 150, "tune_steps": 150, "batch_size": 128, "dropout": 0.0}


@pytest.fixture
def planted(monkeypatch):
    monkeypatch.setitem(DATASETS, "planted", PLANTED_DATASET)
    monkeypatch.setitem(ENCODERS, "planted", PLANTED_ENCODER)


def prepared(**changes):
    """A pipeline on the planted images, before its first stage; no class is scarce, no cell empty."""
    data = {"empty_subdomains": [], "imbalance": 1, "one_subdomain_a_group": False}
    values = {
        "device": "cpu",
        "precision": "fp32",
        "data": {"dataset": "planted", **data},
        "encoder": {"name": "planted"},
        "methods": ["ce", "logit-adjustment", "smote"],
    }
    settings = resolve_config({**values, **changes}, "tiny")
    state = runs.RunState("r", "n", "planted", runs.home() / "runs" / "r")
    state.stages = [runs.StageState(name, title) for name, title in runs.STAGES.items()]
    return Pipeline(settings, state, Recorder(state))


def run_heads(monkeypatch, **changes):
    """The adapter of seed 0, its arms' trained heads, what they start as, and z^(l) with its subdomains."""
    seen = {}
    one, tick = prepared(**changes), lambda share, text: None
    one.state.path.mkdir(parents=True)
    trained, start = pipeline.finetune, adapting.fresh

    def finetune(adapter, *rest, **named):
        seen["heads"] = trained(adapter, *rest, **named)
        return seen["heads"]

    def first(*rest):
        seen.setdefault("start", start(*rest))
        return start(*rest)

    monkeypatch.setattr(pipeline, "finetune", finetune)
    monkeypatch.setattr(adapting, "fresh", first)
    one._stage("extract", 1, one._extract)
    adapted = one._adapt(0, tick)
    one._finetune(0, adapted, one._sample(0, adapted, None, tick), tick)
    rows = adapted.cut.rows("train")
    z = adapted.standardizer.apply(one.exp.latents[adapted.fm_layer][rows])
    again = one._adapt(0, tick)
    assert all(map(torch.equal, again.adapter.parameters(), adapted.adapter.parameters()))
    torch.testing.assert_close(again.adapter.run(z), adapted.adapter.run(z), msg="read back from disk")
    return seen["start"], adapted.adapter, seen["heads"], z, one.exp.label[rows], one.exp.subdomain[rows]


def compare_heads(monkeypatch, at=0, **adapter):
    """The same of a comparison."""
    items = photo_items(a_cell=24)
    z, subdomain = planted_latents(items, 6), torch.from_numpy(items.subdomain)
    z = z - torch.stack([z[subdomain == s].mean(0) for s in range(3)])[subdomain]
    bank = ready_bank(items, {"pool": torch.cat([z, 3.0 * subdomain[:, None]], 1)})
    values = {"bank": "planted", "imbalance": 1, "seeds": 1, "device": "cpu", "adapter": adapter}
    config = resolve_compare({**values, "methods": ["ce", "smote"]}, "tiny")
    state = runs.create_run(config.model_dump(mode="json"), "t", "compare", "t")
    found = Comparison(config, bank, state, Recorder(state))
    episode, seen, trained, start = found.episodes(0)[0], {}, workbench.fit, workbench.heads_from

    def fit(heads, *rest, **named):
        seen["heads"] = trained(heads, *rest, **named)
        return seen["heads"]

    def first(*rest):
        seen["start"] = start(*rest)[0].gather([0])
        return start(*rest)

    monkeypatch.setattr(workbench, "fit", fit)
    monkeypatch.setattr(workbench, "heads_from", first)
    candidates = list(found._candidates(episode, "pool", 1.0, [("ce", {}), ("smote", {})], at))
    found._fit(candidates, 0)
    space = found.space(episode, "pool", 1.0, 1)
    task = found.task(episode, "pool")
    z = task.latents
    rows = episode.train
    return seen["start"], space.adapter, seen["heads"], z, items.label[rows], items.subdomain[rows]


WAYS = {
    "run": lambda patch, **adapter: run_heads(patch, adapter=adapter),
    "compare": compare_heads,
}


@pytest.mark.parametrize("way", WAYS)
def test_cosine_logits_are_bounded_in_every_head(way, planted, monkeypatch):
    for head in ("cosine", "linear"):
        with monkeypatch.context() as patch:
            patch.setenv("GELDA_HOME", str(runs.home() / head))
            _, adapter, heads, z, *_ = WAYS[way](patch, head=head, hidden=[16])
        for one in (adapter, heads):
            assert one.head == head
            largest = float(one.run(1e4 * z).abs().max())
            assert largest <= 25.001
            # a linear layer has no such bound: its weights may grow, and its bias adds to them
            grown = one.gather([0])
            with torch.no_grad():
                grown.weights[-1].mul_(1e3)
            assert (float(grown.run(z).abs().max()) <= 25.001) == (head == "cosine")


def test_heads_after_a_hidden_layer_go_on_with_the_adapter_s_cosines(monkeypatch):
    _, adapter, heads, z, *_ = compare_heads(monkeypatch, at=1, head="cosine", hidden=[16], adversarial=1.0)
    assert heads.head == "cosine" and torch.equal(heads.weights[0][0], adapter.weights[0][0])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("source", ["one-hot", "file"])
def test_the_class_weights_start_where_the_source_says(way, source, planted, monkeypatch, tmp_path):
    names = "abcdef" if way == "run" else ("neutral", "anger", "joy", "fear")
    table = np.eye(len(names))
    if source == "file":
        table = np.random.default_rng(5).normal(size=(len(names), 3))
        lines = [
            ",".join([name, *map(repr, map(float, row))]) for name, row in zip(names, table, strict=True)
        ]
        (tmp_path / "v.csv").write_text("\n".join(lines) + "\n")
    setting = source if source == "one-hot" else f"file:{tmp_path / 'v.csv'}"
    start, _, _, z, label, _ = WAYS[way](monkeypatch, class_start=setting, hidden=[], fm_layer="auto")
    expected = ridge(z.numpy(), label, table.astype(np.float32))
    np.testing.assert_allclose(start.weights[-1][0].detach().T.numpy(), expected, atol=2e-3)


class OpenEncoder(PlantedEncoder):
    """The images, with the planted shift in a dimension of its own and nowhere else."""

    layers = {"deep": 17}

    def encode(self, images):
        flat, shift = images.flatten(1), torch.from_numpy(_SHIFT / np.linalg.norm(_SHIFT)).float()
        along = (flat @ shift)[:, None]
        return {"deep": torch.cat([flat - along * shift, 3 * along], 1)}


def told(features, subdomain) -> float:
    """How well a linear probe finds subdomain 1 in features [N, D], over those of a guess (0.5)."""
    there = subdomain == 1
    probe = LogisticRegression(max_iter=2000, class_weight="balanced").fit(features, there)
    return balanced_accuracy_score(there, probe.predict(features))


@pytest.mark.parametrize("way, width", [("run", 16), ("compare", 64)])
def test_adversarial_training_hides_the_subdomain_in_every_head(way, width, planted, monkeypatch):
    """A subdomain in one dimension, apart from the classes; in others it can fail (gelda.domains)."""
    monkeypatch.setitem(ENCODERS, "planted", replace(PLANTED_ENCODER, load=OpenEncoder))
    found = {}
    for strength in (0.0, 3.0):
        with monkeypatch.context() as patch:
            patch.setenv("GELDA_HOME", str(runs.home() / str(strength)))
            _, adapter, heads, z, label, subdomain = WAYS[way](
                patch, adversarial=strength, hidden=[width], **USUAL
            )
        last = (adapter.activate(one.run(z, 0, 1), 1)[0].numpy() for one in (adapter, heads))
        found[strength] = [told(features, subdomain) for features in last]
        assert float((adapter.run(z)[0].argmax(-1).numpy() == label).mean()) > 0.8
    for without, hidden in zip(found[0.0], found[3.0], strict=True):
        assert hidden < without - 0.04, found
