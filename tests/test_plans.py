"""PLANS: every entry's settings can be run, a dry run says what is missing and fetches nothing."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pytest
from media_fixtures import recording, tone
from PIL import Image

from gelda import encoders, plan_jobs, plan_outlook, runs
from gelda.compare_config import PROTOCOLS
from gelda.config import PRESETS
from gelda.datasets import READERS
from gelda.encoders import FAMILIES
from gelda.errors import UserError
from gelda.finetune import fitting_methods
from gelda.media import KINDS
from gelda.plan_jobs import job, text_start
from gelda.plans import PLANS, WEIGHTS

# Every stage at its smallest
SMALL = {
    "device": "cpu",
    "precision": "fp32",
    "seeds": 2,
    "taus": [1.0],
    "validation_folds": 2,
    "selection_seeds": 1,
    "most_synthetic": 10,
    "methods": ["ce", "logit-adjustment", "gelda"],
    "adapter": {"steps": 5, "tune_steps": 5, "batch_size": 16, "hidden": [8]},
    "generator": {"steps": 5, "batch_size": 16, "size": "custom", "width": 8, "depth": 1, "condition_dim": 8},
    "sampling": {"num_inference_steps": 4},
}
SETS = [
    part
    for key, value in SMALL.items()
    for pair in (
        [f"{key}.{k}={json.dumps(v)}" for k, v in value.items()]
        if isinstance(value, dict)
        else [f"{key}={json.dumps(value)}"]
    )
    for part in ("--set", pair)
]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*a, **k):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("HF_HOME", "/nonexistent")


def files_below(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")} if folder.exists() else set()


# -- every entry -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLANS)
def test_the_settings_of_every_plan_can_be_run(name, tmp_path):
    plan, made = PLANS[name], job(name, tmp_path)
    assert name not in PRESETS, "one list of names"
    assert plan.title and plan.note.endswith(".") and plan.media in KINDS
    assert plan.items and all(count > 0 for _, count in plan.items) and plan.classes > 1
    assert made.extract.source.reader in READERS and made.extract.path == str(tmp_path)
    assert made.extract.encoder == plan.encoder and made.extract.layers == plan.layers
    for place in (*plan.places, WEIGHTS[plan.encoder], *([WEIGHTS[plan.text]] if plan.text else [])):
        assert place.what and place.terms and place.url.startswith(("https://", "http://"))
    for values in made.comparisons:
        config = plan_jobs.config(values, made.bank, "any")
        assert config.protocol in PROTOCOLS and config.bank == str(made.bank)
        assert fitting_methods(config.methods, config.adapter.head) == list(config.methods)
        assert config.seeds >= 5, "fewer claim nothing"
        if config.cut == "given":
            assert "test" in dict(plan.items), "a cut of the data's own needs a split of their own"
    assert any(family.media == plan.media for family in FAMILIES.values())


@pytest.mark.parametrize("name", PLANS)
def test_a_dry_run_names_what_is_missing_and_fetches_nothing(name, tmp_path, gelda, gelda_home, monkeypatch):
    monkeypatch.setattr(plan_outlook, "_steps", lambda *a: (0.001, 0.001))
    plan, folder = PLANS[name], tmp_path / "data"
    folder.mkdir()
    done = gelda(
        "run", "--preset", name, "--data", folder, "--dry-run", "--set", "device=cpu", "--json", "out.json"
    )
    assert done.returncode == 0, done.stderr
    for pattern, what in plan.needs.items():
        assert f"missing  {pattern}: {what}" in done.stdout
    for place in (*plan.places, WEIGHTS[plan.encoder]):
        assert f"{place.what}: {place.url} ({place.terms})" in done.stdout
    assert "(published counts)" in done.stdout and f"{plan.classes} classes" in done.stdout
    assert f"Encode {sum(n for _, n in plan.items)} items with {plan.encoder}" in done.stdout
    assert "rough: parameters × tokens" in done.stdout and "free." in done.stdout
    assert done.stdout.endswith("Nothing was started, and nothing was fetched.\nWritten to out.json.\n")
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["items"]["known"] == "published" and len(found["stages"]) == 1 + len(plan.compare)
    assert found["stages"][0]["bytes"] == 2 * sum(plan.known.widths.values()) * found["items"]["total"]
    assert not files_below(gelda_home) and not files_below(folder)


@pytest.mark.parametrize("name", PLANS)
def test_without_its_data_a_plan_is_refused_with_the_place_to_get_them(name, tmp_path, gelda, gelda_home):
    folder = tmp_path / "data"
    folder.mkdir()
    done = gelda("run", "--preset", name, "--data", folder)
    assert done.returncode == 2 and PLANS[name].places[0].url in done.stderr
    assert next(iter(PLANS[name].needs)) in done.stderr and not files_below(gelda_home)


# -- mistakes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, words", [
    (["--preset", "imagenet"], ["no preset called 'imagenet'", "mean 'imagenet-lt'", "digits", "tiny"]),
    (["--preset", "pacs"], ["'pacs' needs --data DIR"]),
    (["--preset", "pacs", "--data", "nowhere"], ["There is no folder", "--data"]),
    (["--data", "."], ["--data and --encoder belong to a plan", "imagenet-lt"]),
    (["spec.json", "--preset", "pacs", "--data", "."], ["not a spec: leave spec.json out"]),
    (["--preset", "pacs", "--data", ".", "--encoder", "mini-imag"], ["no encoder called 'mini-imag'"]),
    (["--preset", "pacs", "--data", ".", "--encoder", "./none"], ["There is no folder ./none"]),
    (["--preset", "pacs", "--data", ".", "--set", "source=3"], ["'source'"]),
    (["--preset", "pacs", "--data", ".", "--set", "source.layot=class"], ["'source.layot'", "'layout'"]),
    (["--preset", "pacs", "--data", ".", "--set", "extract.layer=all"], ["'layer'", "'layers'"]),
    (["--preset", "pacs", "--data", ".", "--set", "seedz=3"], ["'seedz'", "'seeds'"]),
])  # fmt: skip
def test_mistakes_are_one_sentence(arguments, words, gelda, gelda_home):
    done = gelda("run", *arguments, "--dry-run")
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stdout + done.stderr
    for word in words:
        assert word in done.stderr.replace("\n", " "), done.stderr
    assert not files_below(gelda_home)


# -- settings ----------------------------------------------------------------------------------------------


def test_settings_go_to_the_comparisons_that_read_them(tmp_path):
    made = job("pacs", tmp_path, "mini-image", {"seeds": 2, "imbalance": 7, "shots": 3, "device": "cpu"})
    first, second = made.comparisons
    assert (first["imbalance"], second["shots"]) == (7, 3) and "shots" not in first
    assert "imbalance" not in second and first["seeds"] == second["seeds"] == 2
    assert made.extract.encoder == "mini-image" and made.extract.layers == "last4"
    assert made.extract.device == "cpu"
    other = job("pacs", tmp_path, "mini-image", {"source": {"test_share": 0.5}, "extract": {"layers": "all"}})
    assert other.extract.source.test_share == 0.5 and other.extract.source.layout == "domain/class"
    assert other.extract.layers == "all" and other.bank != made.bank
    assert job("pacs", tmp_path, "mini-image", {"seeds": 9}).bank == made.bank, "no part of what is encoded"


def test_several_manifests_are_one_source(tmp_path):
    """Folders of their own, other names for the four emotions, and one emotion more."""
    sets = {
        "one/emodb": ("german", "anger joy neutral sadness fear"),
        "two/nemo": ("polish", "Ang hap neu Sad"),
    }
    files = []
    for name, (language, emotions) in sets.items():
        rows = []
        for k, emotion in enumerate(emotions.split()):
            recording(tmp_path / name / f"wav/{k}.wav", tone(0.1))
            row = {"key": str(k), "dataset": name[4:], "wav": f"wav/{k}.wav", "type": "raw", "emo": emotion}
            rows.append({**row, "speaker": "1", "language": language})
        files.append(tmp_path / name / f"{name[4:]}.jsonl")
        files[-1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = job("emobox", files, "random-whisper")
    assert plan_jobs.missing(made) == []
    source = plan_jobs.open_source(made)
    assert source.manifest.class_names == ("anger", "happiness", "neutral", "sadness")
    assert source.manifest.subdomain_names == ("german", "polish") and len(source.manifest) == 8
    assert source.name == "emodb + nemo" and source.grouped and not source.problems
    assert source.manifest.table["id"].is_unique and source.manifest.table["group"].nunique() == 2
    assert any("'happiness' is called 'hap', 'joy'" in note for note in source.notes), source.notes
    for place in files:
        assert source.decode(next(u for u in source.manifest.table["uri"] if place.parent.name in u))
    with pytest.raises(UserError, match="give --data once"):
        job("pacs", [tmp_path / "one", tmp_path / "two"])


def test_emobox_as_its_repository_has_it(tmp_path):
    """data/<set> holds manifests and label maps, downloads/<set> the recordings; sets know their language."""
    sets = {"emodb": "NAHS", "urdu": "NAHSNAHS", "aesdd": "AHS"}  # the Greek set has no neutral speech
    names = {"N": "Neutral", "A": "Angry", "H": "Happy", "S": "Sad"}
    for name, labels in sets.items():
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        rows = []
        for k, raw in enumerate(labels):
            wav = f"downloads/{name}/{k}.wav"
            recording(tmp_path / wav, tone(0.1))
            rows.append({"key": f"{name}-{k}", "dataset": name, "wav": wav, "type": "raw", "emo": raw})
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "label_map.json").write_text(json.dumps(names))
    made = job("emobox", tmp_path, "random-whisper")
    assert plan_jobs.missing(made) == [] and made.extract.path == str(tmp_path / "data")
    source = plan_jobs.open_source(made)
    assert source.manifest.subdomain_names == ("german", "urdu") and len(source.manifest) == 12
    assert source.manifest.class_names == ("anger", "happiness", "neutral", "sadness")
    assert any("lack one of the classes: greek" in note for note in source.notes)


def test_heads_start_from_the_best_text_vectors_there_are(tmp_path, monkeypatch):
    made = job("imagenet-lt", tmp_path)

    def start(one):
        return one.comparisons[0]["adapter"]["class_start"]

    def told(*names):
        return text_start(made, tuple(names) or None)

    monkeypatch.setattr(plan_jobs, "weights", lambda name: tmp_path)
    one, words = told("tench", "goldfish")
    assert one == made and "openai/clip-vit-base-patch16" in words
    monkeypatch.setattr(plan_jobs, "weights", lambda name: None)
    for names in ((), ("tench", "goldfish")):
        one, words = told(*names)
        assert start(one) == "text" and "that ship" in words and "are not here" in words
        assert one.comparisons[0]["adapter"]["head"] == "cosine", "nothing else is changed"
    one, words = told("tench", "zzz")
    assert start(one) == "random" and "zzz" in words
    own = job("imagenet-lt", tmp_path, settings={"adapter": {"class_start": "one-hot"}})
    assert text_start(own, ("tench", "zzz")) == (own, "")


def test_weights_are_looked_for_and_never_fetched(tmp_path):
    assert plan_jobs.weights("openai/whisper-large-v3") is None
    assert plan_jobs.has_weights("mini-image")
    with pytest.raises(UserError, match=r"config|weights"):
        plan_jobs.weights(str(tmp_path))


# -- a plan to its end -------------------------------------------------------------------------------------

COUNTS = (12, 8, 6, 4, 3, 2)
FOLDERS = ("n01440764", "n01443537", "n01484850", "n01491361", "n01494475", "n01496331")


@pytest.fixture
def imagenet(tmp_path) -> Path:
    """ImageNet-LT's layout: lists, names of classes, and pictures of six of its classes."""
    rng, folder = np.random.default_rng(0), tmp_path / "imagenet"
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for label, (name, count) in enumerate(zip(FOLDERS, COUNTS, strict=True)):
        for split, where, number in (("train", "train", count), ("test", "val", 3)):
            (folder / where / name).mkdir(parents=True, exist_ok=True)
            for k in range(number):
                pixels = np.clip(40 * label + rng.integers(0, 60, (32, 32, 3)), 0, 255).astype(np.uint8)
                file = f"{where}/{name}/{name}_{k}.JPEG"
                Image.fromarray(pixels).save(folder / file, "jpeg")
                lists[split].append(f"{file} {label}")
    for split, rows in lists.items():
        (folder / f"ImageNet_LT_{split}.txt").write_text("\n".join(rows) + "\n")
    names = ("tench", "goldfish", "great white shark", "tiger shark", "hammerhead", "electric ray")
    rows = [f"{a} {b}" for a, b in zip(FOLDERS, names, strict=True)]
    (folder / "classnames.txt").write_text("\n".join(rows) + "\n")
    return folder


def test_lists_are_counted_where_the_pictures_are_not_here(imagenet, tmp_path, monkeypatch):
    monkeypatch.setattr(plan_outlook, "_steps", lambda *a: (0.001, 0.001))
    for where in ("train", "val"):
        (imagenet / where).rename(tmp_path / where)
    found = plan_outlook.outlook(job("imagenet-lt", imagenet, settings={"device": "cpu"}))
    assert found["items"] == {
        "by_split": {"": sum(COUNTS) + 18},
        "total": sum(COUNTS) + 18,
        "known": "listed",
    }
    assert [line.split(":")[0] for line in found["missing"]] == ["train/*", "val/*"]


def test_a_plan_from_pictures_to_its_report_and_again(imagenet, gelda, gelda_home, tmp_path):
    call = ["run", "--preset", "imagenet-lt", "--data", imagenet, "--encoder", "mini-image", *SETS]
    dry = gelda(*call, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert f"Items: {sum(COUNTS)} train, 18 test, 6 classes, 1 subdomain" in dry.stdout
    assert "whose weights are here" in dry.stdout and f"measured on {plan_outlook.PROBE} items" in dry.stdout
    assert "missing" not in dry.stdout and not files_below(gelda_home)

    done = gelda(*call, "--json", "out.json")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["setting"].split(": ")[1].startswith("long tail as the data's own split has it")
    counts = {row["class"]: row["count"] for row in result["per_class"]}
    assert counts == dict(enumerate(COUNTS)) and "hammerhead" in result["class_names"]
    assert result["config"]["adapter"]["class_start"] == "text" and "MiniLM" in done.stdout
    kinds = sorted(state.demo for state in runs.list_runs())
    assert kinds == sorted([runs.COMPARISON, runs.EXTRACTION]), "each an ordinary run"
    assert all(state.status == "done" for state in runs.list_runs())

    again = gelda(*call)
    assert again.returncode == 0 and "(reused)" in again.stdout and "was finished before" in again.stdout


def test_a_plan_that_was_stopped_goes_on_where_it_was(imagenet, gelda, gelda_home, monkeypatch):
    from gelda import compare

    call = ["run", "--preset", "imagenet-lt", "--data", imagenet, "--encoder", "mini-image", *SETS]

    def stop(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(compare.Comparison, "run", stop)
        assert gelda(*call).returncode == 130
    (bank,) = (gelda_home / "banks").iterdir()
    before = {p: p.stat().st_mtime_ns for p in bank.rglob("*.safetensors")}
    assert before and {s.status for s in runs.list_runs()} == {"done", "cancelled"}
    done = gelda(*call)
    assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime_ns for p in bank.rglob("*.safetensors")} == before, "nothing encoded again"
    assert {s.status for s in runs.list_runs()} == {"done"}


def test_an_encoder_of_random_weights_says_so(imagenet, gelda):
    call = ["run", "--preset", "imagenet-lt", "--data", imagenet, "--encoder", "random-vit", *SETS]
    done = gelda(*call, "--dry-run")
    assert encoders.ENCODERS["random-vit"].caution in done.stdout
