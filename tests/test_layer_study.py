"""The layer study: figures of validation alone, comparable over layers of different width."""

import json

import numpy as np
import pytest
import torch

from gelda import metrics, protocols
from gelda.compare_config import resolve_compare
from gelda.diffusion import Model
from gelda.held_out import held_out_loss
from gelda.layer_study import ARMS, UnitGaussian, _NoCondition, study
from gelda.ready import open_bank

CLASSES, ITEMS = 4, 40
SETTINGS = {"imbalance": 4.0, "seeds": 1, "validation_folds": 2}


def write_bank(path, spoil: bool = False):
    """`flat`: a 12-d layer of two directions; `noise`: 5 dimensions that say nothing; a fixed test split."""
    rng = np.random.default_rng(1)
    label = np.repeat(np.arange(CLASSES), 2 * ITEMS)
    subdomain = np.tile(np.repeat(np.arange(2), ITEMS), CLASSES)
    inner = 3 * rng.normal(size=(CLASSES, 2))[label] + 0.3 * rng.normal(size=(len(label), 2))
    flat = inner @ rng.normal(size=(2, 12)) + 0.05 * rng.normal(size=(len(label), 12))
    noise = rng.normal(size=(len(label), 5))
    split = np.where(np.arange(len(label)) % 4 == 3, "test", "train")
    if spoil:
        flat[split == "test"] = 1e4
        label[split == "test"] = rng.permutation(label[split == "test"])
    arrays = {"z_flat": flat.astype(np.float32), "z_noise": noise.astype(np.float32)}
    names = {"class_names": np.array(list("abcd")), "subdomain_names": np.array(["one", "two"])}
    np.savez(path, y=label, subdomain=subdomain, split=split, **arrays, **names)
    return path


def run(path, **values):
    return study(resolve_compare({"bank": str(path), **SETTINGS, **values}, "tiny"), open_bank(path))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_bank(tmp_path_factory.mktemp("bank") / "planted.npz")


@pytest.fixture(scope="module")
def found(path):
    generator = {"steps": 150, "width": 48, "learning_rate": 5e-3}
    return run(path, generator=generator)


def test_every_layer_has_a_row(found):
    named = [(r["fm_layer"], r["adapter_layer"], r["width"]) for r in found["rows"]]
    assert named == [("flat", 0, 12), ("flat", 1, 16), ("noise", 0, 5), ("noise", 1, 16)]
    assert "classes" not in found["setting"] and "imbalance 4" in found["setting"]


def test_figures_tell_structure_from_noise(found):
    rows = {(r["fm_layer"], r["adapter_layer"]): r for r in found["rows"]}
    flat, noise = rows["flat", 0], rows["noise", 0]
    assert flat["separability"]["uar"] > 0.8 and noise["separability"]["uar"] < 0.5
    assert flat["separability"]["fisher"] > 1 > noise["separability"]["fisher"] + 0.5
    # two directions in 12: much is known of a latent from its noisy self; of white noise nothing is
    assert flat["denoising"]["ratio"] < 0.6 and 0.95 < noise["denoising"]["ratio"] < 1.6
    for row in found["rows"]:
        d = row["denoising"]
        assert d["ratio"] == pytest.approx(d["loss"] / d["gaussian"])
    assert noise["denoising"]["gaussian"] == pytest.approx(1, abs=0.1), "v of white noise is unit white noise"


def test_effects_are_differences_of_the_two_arms(found):
    for row in found["rows"]:
        for key in ("tail", "uar", "log_loss"):
            a, b = (row["arms"][arm][key] for arm in ARMS)
            assert row["effect"][key] == pytest.approx(b - a)
        assert all(0 <= row["arms"][arm]["uar"] <= 100 for arm in ARMS)
    assert {k: v for k, v in found["rows"][0]["seeds"]["0"].items() if k != "seeds"}.keys() == {
        k for k in found["rows"][0] if k != "seeds"
    }


def test_logit_adjustment_is_scored_as_the_comparison_scores_it(path):
    """At z^(0) the study's log-loss of logit adjustment is what `compare` chose the layer by."""
    from gelda.compare import Comparison
    from gelda.recording import Recorder
    from gelda.runs import create_run

    result = run(path)
    config = resolve_compare({"bank": str(path), **SETTINGS}, "tiny")
    state = create_run({}, "test", "compare", "t")
    one = Comparison(config, open_bank(path), state, Recorder(state))
    inner = protocols.validation(one.items, one.episodes(0)[0], 2)
    _, _, scores, _ = one._select_layer(0, inner, lambda share, text: None)
    for row in result["rows"]:
        if row["adapter_layer"] == 0:
            expected = min(scores[row["fm_layer"]].values())
            assert row["arms"]["logit-adjustment"]["log_loss"] == pytest.approx(expected, rel=1e-4)


def test_no_test_item_is_read(path, tmp_path):
    spoiled = write_bank(tmp_path / "planted.npz", spoil=True)
    before, after = (run(p)["rows"] for p in (path, spoiled))
    assert json.dumps(before) == json.dumps(after)


@pytest.mark.parametrize("kind", ["v_prediction", "epsilon", "sample", "flow"])
def test_the_gaussian_predictor_is_the_best_there_is_for_white_noise(kind):
    z = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    ids = torch.zeros(4000, dtype=torch.int64)
    loss = held_out_loss(Model(UnitGaussian(kind), _NoCondition()), z, ids, ids, seed=1, prediction_type=kind)
    # the variance of what is asked for, given the noisy latent, over uniform times
    if kind == "flow":
        t = np.linspace(0, 1, 2001)
        expected = np.mean(1 / (t**2 + (1 - t) ** 2))
    else:
        u = (np.arange(1000) + 1) / 1000
        bar = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
        expected = {"v_prediction": 1.0, "epsilon": bar.mean(), "sample": (1 - bar).mean()}[kind]
    assert float(loss.mean()) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("protocol", [
    [],
    ["--protocol", "zero-shot", "--target", "two", "--keep", "a"],
    ["--cut", "cell", "--fm-layer", "flat"],
])  # fmt: skip
def test_the_command(gelda, path, tmp_path, protocol):
    file = tmp_path / "layers.json"
    done = gelda("layers", path, *protocol, "--preset", "tiny", "--seeds", "1", "--json", file)
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())
    assert len(result["rows"]) == (2 if "--fm-layer" in protocol else 4)
    for row in result["rows"]:
        assert f"{row['denoising']['ratio']:.3f}" in done.stdout
    assert "no test label" in done.stdout and result["kind"] == "layers"


def test_a_table_for_every_subdomain(gelda, path, tmp_path):
    base = ["layers", path, "--protocol", "zero-shot", "--keep", "a", "--preset", "tiny", "--seeds", "1"]
    base += ["--fm-layer", "flat"]
    files = {target: tmp_path / f"{target}.json" for target in ("each", "one", "two")}
    for target, file in files.items():
        done = gelda(*base, "--target", target, "--json", file)
        assert done.returncode == 0, done.stderr
        shown = [f"{name} keeps a only" in done.stdout for name in ("one", "two")]
        assert shown == [target in ("each", name) for name in ("one", "two")]
    both = json.loads(files["each"].read_text())
    assert list(both) == ["targets"] and list(both["targets"]) == ["one", "two"]
    for name, result in both["targets"].items():
        alone = json.loads(files[name].read_text())
        assert {**result, "seconds": 0} == {**alone, "seconds": 0}
    assert both["targets"]["one"]["rows"] != both["targets"]["two"]["rows"]


def test_two_seeds_are_averaged(path):
    both = run(path, seeds=2)["rows"][0]
    ones = list(both["seeds"].values())
    assert len(ones) == 2
    assert both["separability"]["uar"] == pytest.approx(np.mean([s["separability"]["uar"] for s in ones]))
    assert both["effect"]["log_loss"] == pytest.approx(np.mean([s["effect"]["log_loss"] for s in ones]))


@pytest.mark.parametrize("arguments, words", [
    (["--protocol", "zero-shot", "--target", "each"], "zero-shot needs --keep, one of: a, b, c, d"),
    (["--protocol", "zeroshot"], "no protocol called 'zeroshot'. Did you mean 'zero-shot'"),
    (["--fm-layer", "falt"], "no layer called 'falt'. Did you mean 'flat'"),
])  # fmt: skip
def test_wrong_calls_are_sentences(gelda, path, arguments, words):
    done = gelda("layers", path, "--preset", "tiny", *arguments)
    assert done.returncode == 2 and words in done.stderr + done.stdout


def test_separability_is_that_of_held_out_items(path, monkeypatch):
    """The probe is never given a row that the adapter of its space was trained on."""
    seen = []
    plain = metrics.separability
    monkeypatch.setattr(
        metrics, "separability", lambda z, y, g=None, **k: seen.append(len(y)) or plain(z, y, g, **k)
    )
    run(path)
    config = resolve_compare({"bank": str(path), **SETTINGS}, "tiny")
    bank = open_bank(path)
    episode = protocols.long_tail(bank.items, 0, imbalance=config.imbalance)
    parts = protocols.validation(bank.items, episode, 2)
    assert seen == 4 * [len(p.test) for p in parts]
    assert not set(parts[0].train) & set(parts[0].test)
