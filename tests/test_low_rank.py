"""Low-rank updates inside an encoder: what they change, what they read, how a run keeps them."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from bank_fixtures import npz_arrays, speech_items, write_npz
from conftest import CLASSES, PLANTED_DATASET, planted_manifest, planted_read
from torch import nn

from gelda import adapting, encoders, low_rank, pipeline, recording, report, runs
from gelda.artifacts import read_tensors
from gelda.config import resolve_config
from gelda.datasets import DATASETS
from gelda.encoders import ENCODERS, EncoderSpec
from gelda.errors import UserError
from gelda.pipeline import execute
from gelda.settings import AdapterConfig

CPU = torch.device("cpu")


class Network(nn.Module):
    """Every kind of layer that updates meet: convolutions, one of them depthwise; attention; linear."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.norm = nn.BatchNorm2d(6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.block = nn.Sequential(nn.Linear(6, 10), nn.GELU(), nn.Linear(10, 8))
        self.last = nn.Linear(8, 7)

    def forward(self, images):
        maps = self.norm(self.depthwise(torch.relu(self.stem(images))))
        tokens = maps.flatten(2).transpose(1, 2)
        middle = (tokens + self.attention(tokens, tokens, tokens)[0]).mean(1)
        deep = self.block(middle)
        return {"middle": middle, "deep": deep, "last": self.last(torch.tanh(deep))}


class Encoder:
    """A frozen encoder around it for the planted images."""

    media, even, pooling = "image", False, "mean"
    prepare = staticmethod(np.asarray)
    layers = {"middle": 6, "deep": 8, "last": 7}

    def __init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = Network().eval().requires_grad_(False)

    def to(self, device, dtype=torch.float32):
        self.network.to(device)
        return self

    def pooled(self, images):
        return self.network(images)

    @torch.no_grad()
    def encode(self, images):
        return self.pooled(images)


CONFIG = AdapterConfig(low_rank=2, low_rank_steps=30, low_rank_learning_rate=0.01, batch_size=32, steps=40)
TABLE = planted_manifest(8).table
INPUTS = planted_read(list(TABLE["uri"]))
LABEL = torch.tensor(TABLE["label"].tolist())


def trained(seed=0, config=CONFIG, layer="deep", encoder=None):
    encoder = encoder or Encoder()
    frozen = encoder.encode(torch.from_numpy(INPUTS))[layer]
    updates = low_rank.train(
        encoder, layer, lambda places: INPUTS[places], frozen, LABEL, CLASSES, config, seed=seed, device=CPU
    )
    return encoder, updates


def outputs(encoder):
    return encoder.encode(torch.from_numpy(INPUTS))


# -- injection ------------------------------------------------------------


def test_what_is_updated():
    assert low_rank.targets(Network()) == ["stem", "block.0", "block.2", "last"]
    shipped = encoders.get("mini-image").load().network
    names = low_rank.targets(shipped)
    assert names and all(isinstance(shipped.get_submodule(n), nn.Conv2d) for n in names), "it has no other"


def test_injected_updates_change_nothing_until_they_are_trained():
    encoder, before = Encoder(), outputs(Encoder())
    own = low_rank.inject(encoder.network, 3, 0)
    after = outputs(encoder)
    assert all(torch.equal(before[k], after[k]) for k in before)
    sizes = {name: p.numel() for name, p in own.items()}
    expected = 3 * ((9 + 6) + (6 + 10) + (10 + 8) + (8 + 7))  # rank × (inputs + outputs), 3 × 3 pixels in
    assert sum(sizes.values()) == expected
    assert all(".lora_A." in name or ".lora_B." in name for name in own)
    assert not encoder.network.training


def test_a_network_without_targets_is_refused():
    with pytest.raises(UserError, match="no linear layer or convolution"):
        low_rank.inject(nn.Sequential(nn.ReLU()), 2, 0)


def test_without_peft_one_sentence_says_what_to_install(monkeypatch, gelda, gelda_home):
    monkeypatch.setitem(sys.modules, "peft", None)
    done = gelda("demo", "--no-open", "--preset", "tiny", "--set", "adapter.low_rank=2")
    assert done.returncode == 2 and 'pip install "gelda[lora]"' in done.stderr
    assert done.stderr.count("\n") == 1 and not (gelda_home / "runs").exists()


# -- training ------------------------------------------------------------


def test_training_separates_classes_better_and_moves_nothing_but_the_updates():
    plain = Encoder()
    before = {k: v.clone() for k, v in plain.network.state_dict().items()}
    encoder, updates = trained(config=CONFIG.model_copy(update={"low_rank_steps": 150}))
    after = encoder.network.state_dict()
    for name, value in before.items():
        here = name if name in after else ".base_layer.".join(name.rsplit(".", 1))
        assert torch.equal(after[here], value), name
    assert any(bool(t.any()) for name, t in updates.items() if ".lora_B." in name)

    def fisher(z):
        means = torch.stack([z[LABEL == c].mean(0) for c in range(CLASSES)])
        return float(means.var(0).sum() / (z - means[LABEL]).var(0).sum())

    assert fisher(outputs(encoder)["deep"]) > 1.5 * fisher(outputs(plain)["deep"])


def test_layers_past_the_chosen_one_stay_as_they_were():
    _, updates = trained(layer="middle")
    moved = {name.split(".lora_")[0] for name, t in updates.items() if ".lora_B." in name and t.any()}
    assert moved == {"stem"}


def test_a_seed_decides_everything():
    made = []
    for noise, seed in ((1, 0), (2, 0), (3, 1)):
        torch.manual_seed(noise)
        np.random.seed(noise)
        made.append(trained(seed)[1])
    first, again, other = made
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert all(not torch.equal(first[k], other[k]) for k in first if not k.startswith("last."))


def test_saved_and_loaded_they_give_the_same_output(tmp_path):
    from gelda.artifacts import write_tensors

    encoder, updates = trained()
    write_tensors(tmp_path / "u.safetensors", updates)
    fresh, plain = Encoder(), outputs(Encoder())
    low_rank.load(fresh.network, read_tensors(tmp_path / "u.safetensors"))
    mine, theirs = outputs(encoder), outputs(fresh)
    assert all(torch.equal(mine[k], theirs[k]) for k in mine)
    assert not torch.allclose(mine["deep"], plain["deep"], atol=1e-3)


def test_updates_of_another_encoder_are_refused():
    _, updates = trained()
    other = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(UserError, match="of another encoder"):
        low_rank.load(other, updates)


def test_a_learning_rate_that_explodes_is_a_sentence():
    with pytest.raises(UserError, match="lower adapter.low_rank_learning_rate"):
        # AdamW's steps are bounded by its rate: inputs without a bound do it
        encoder = Encoder()
        frozen = outputs(encoder)["deep"]
        huge = np.full_like(INPUTS, np.inf)
        low_rank.train(
            encoder, "deep", lambda at: huge[at], frozen, LABEL, CLASSES, CONFIG, seed=0, device=CPU
        )


# -- in a run ------------------------------------------------------------

SETTINGS = {
    "device": "cpu",
    "precision": "fp32",
    "seeds": 1,
    "data": {"dataset": "planted", "empty_subdomains": ["shifted"], "imbalance": 6},
    "encoder": {"name": "planted"},
    "methods": ["ce", "logit-adjustment"],
    "adapter": {"steps": 40, "tune_steps": 40, "low_rank": 2, "low_rank_steps": 12, "fm_layer": "auto"},
}


@pytest.fixture
def planted(monkeypatch):
    """The planted images and the network above; what is read, and what is read while updates are trained."""
    seen = {"training": set(), "inside": False, "trained": 0}
    plain = low_rank.train

    def read(uris):
        if seen["inside"]:
            seen["training"] |= set(uris)
        return planted_read(uris)

    def train(*arguments, **named):
        seen["inside"], seen["trained"] = True, seen["trained"] + 1
        try:
            return plain(*arguments, **named)
        finally:
            seen["inside"] = False

    monkeypatch.setattr(low_rank, "train", train)
    monkeypatch.setitem(DATASETS, "planted", replace(PLANTED_DATASET, read=read))
    spec = EncoderSpec("Planted", "For tests.", Encoder, lambda: "1", trainable=True)
    monkeypatch.setitem(ENCODERS, "planted", spec)
    monkeypatch.setattr(pipeline.Pipeline, "_project", lambda *arguments: None)
    return seen


def started(run_id="r", **adapter):
    settings = resolve_config({**SETTINGS, "adapter": {**SETTINGS["adapter"], **adapter}}, "tiny")
    return settings, runs.create_run(settings.model_dump(mode="json"), "n", "planted", run_id)


def updates_of(state):
    (file,) = state.path.glob("stages/low-rank-0-*/updates.safetensors")
    return file


def test_training_reads_no_input_of_a_validation_or_test_row(planted):
    settings, state = started()
    one = pipeline.Pipeline(settings, state, recording.Recorder(state))
    execute(settings, state)
    assert planted["trained"] == 1
    one.recorder = recording.Recorder(state)
    state.stages = [runs.StageState(name, title) for name, title in runs.STAGES.items()]
    one._stage("extract", 1, one._extract)
    table = one.manifest.table
    rows = one.exp.cut(0).rows("train")
    allowed = set(table["uri"].to_numpy()[rows])
    assert planted["training"] and planted["training"] <= allowed
    assert len(allowed) < len(table) / 2


def test_garbage_in_the_other_rows_changes_no_update(planted, monkeypatch):
    settings, state = started()
    execute(settings, state)
    clean = read_tensors(updates_of(state))
    one = pipeline.Pipeline(settings, state, recording.Recorder(state))
    state.stages = [runs.StageState(name, title) for name, title in runs.STAGES.items()]
    one._stage("extract", 1, one._extract)
    uris = one.manifest.table["uri"].to_numpy()
    allowed = set(uris[one.exp.cut(0).rows("train")])

    def spoiled(asked):
        images = planted_read(asked)
        images[[uri not in allowed for uri in asked]] = 1e3
        return images

    monkeypatch.setenv("GELDA_HOME", str(runs.home() / "other"))
    monkeypatch.setitem(DATASETS, "planted", replace(PLANTED_DATASET, read=spoiled))
    _, again = started()
    execute(settings, again)
    dirty = read_tensors(updates_of(again))
    assert all(torch.equal(clean[k], dirty[k]) for k in clean)


def test_a_run_carries_the_updates_to_its_figures_and_reuses_them(planted):
    settings, state = started()
    result = execute(settings, state)
    assert any("low-rank updates (rank 2)" in note for note in result["notes"])
    assert report.load_report(state.path)["config"]["adapter"]["low_rank"] == 2
    files = {f: f.stat().st_mtime_ns for f in state.path.glob("stages/*/**/*") if f.is_file()}
    (bank,) = state.path.glob("stages/low-rank-0-*/bank")
    # what the run worked on is what the encoder with the updates gives
    encoder = Encoder()
    low_rank.load(encoder.network, read_tensors(updates_of(state)))
    layer = "deep"
    z = read_tensors(bank / layer / "shard-00000.safetensors")["z"]
    images = torch.from_numpy(planted_read(list(planted_manifest().table["uri"])))
    torch.testing.assert_close(encoder.encode(images)[layer], z, atol=1e-5, rtol=1e-4)
    again = execute(settings, runs.read_state(state.path))
    assert {f: f.stat().st_mtime_ns for f in files} == files and planted["trained"] == 1
    assert str(again["methods"]) == str(result["methods"])  # NaN where one seed gives no interval
    stages = {s.name: s.state for s in runs.read_state(state.path).stages}
    assert stages["adapt"] == stages["finetune"] == "reused"


@pytest.mark.parametrize("change, trains", [
    ({"low_rank": 3}, True), ({"low_rank_steps": 13}, True), ({"low_rank_learning_rate": 2e-3}, True),
    ({"tau": 1.5}, True), ({"tune_steps": 41}, False), ({"head": "cosine"}, False),
])  # fmt: skip
def test_updates_are_kept_by_what_they_depend_on(planted, change, trains):
    settings, state = started(fm_layer="deep")
    execute(settings, state)
    other, _ = started(fm_layer="deep", **change)
    execute(other, runs.read_state(state.path))
    assert planted["trained"] == 1 + trains


def test_a_run_that_stops_between_training_and_encoding_goes_on(planted, monkeypatch):
    settings, state = started()
    encode, calls = adapting.extract, []

    def stopped(*arguments, **named):
        calls.append(1)
        if len(calls) == 2:  # the first is the frozen encoder's
            raise KeyboardInterrupt
        return encode(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(adapting, "extract", stopped)
        with pytest.raises(KeyboardInterrupt):
            execute(settings, state)
    before = updates_of(state).stat().st_mtime_ns
    result = execute(settings, runs.read_state(state.path))
    assert planted["trained"] == 1 and updates_of(state).stat().st_mtime_ns == before
    whole, other = started("whole")
    assert str(execute(whole, other)["methods"]) == str(result["methods"])


def test_training_can_be_cancelled(planted):
    settings, state = started(low_rank_steps=5000)

    def listener(now):
        if "low-rank updates, step" in next(s for s in now.stages if s.name == "adapt").message:
            (now.path / "cancel").touch()

    with pytest.raises(recording.Cancelled):
        execute(settings, state, listener)
    assert runs.read_state(state.path).status == "cancelled"
    assert not list(state.path.glob("stages/low-rank-0-*/updates.safetensors"))


def test_an_encoder_that_cannot_be_trained_inside_is_refused(planted, monkeypatch):
    monkeypatch.setitem(ENCODERS, "planted", replace(ENCODERS["planted"], trainable=False))
    settings, state = started()
    with pytest.raises(UserError, match="'planted' cannot be trained inside: set adapter.low_rank to 0"):
        pipeline.Pipeline(settings, state, recording.Recorder(state))


def test_a_comparison_has_no_inputs_to_train_on(gelda, gelda_home, tmp_path):
    write_npz(tmp_path / "planted.npz", npz_arrays(speech_items()))
    for command in ("compare", "layers"):
        done = gelda(command, "planted.npz", "--preset", "tiny", "--set", "adapter.low_rank=8")
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert "planted holds ready latents without the inputs for that" in done.stderr
    assert not (gelda_home / "runs").exists()


@pytest.mark.parametrize("adapter, words", [
    ({"low_rank": -1}, "'adapter.low_rank' is -1"),
    ({"low_rank": 1000}, "'adapter.low_rank' is 1000"),
    ({"low_rank_steps": 0}, "'adapter.low_rank_steps' is 0"),
    ({"low_rank_learning_rate": 0}, "'adapter.low_rank_learning_rate' is 0"),
])  # fmt: skip
def test_bad_values(adapter, words):
    with pytest.raises(UserError, match=words):
        resolve_config(adapter=adapter)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_mixed_precision_on_a_gpu():
    encoder = Encoder()
    frozen = outputs(encoder)["deep"]
    named = {"seed": 0, "device": torch.device("cuda"), "dtype": torch.bfloat16}
    updates = low_rank.train(encoder, "deep", lambda at: INPUTS[at], frozen, LABEL, CLASSES, CONFIG, **named)
    assert all(t.dtype == torch.float32 and t.device.type == "cpu" for t in updates.values())
    assert any(bool(t.any()) for name, t in updates.items() if ".lora_B." in name)
