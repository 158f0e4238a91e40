"""One thread, a workspace of its own for every test, and small planted data that the tests share."""

# ruff: noqa: E402 - the environment is set before torch, numpy and numba are imported
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from gelda import cli
from gelda.augmenters.base import Task
from gelda.datasets import DatasetSpec
from gelda.encoders import EncoderSpec
from gelda.manifest import Manifest

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def gelda_home(tmp_path, monkeypatch):
    """The workspace of a test. A module that shares one overrides this fixture by the same name."""
    home = tmp_path / "home"
    for name in [name for name in os.environ if name.startswith("GELDA_")]:  # what the shell has set
        monkeypatch.delenv(name)
    monkeypatch.setenv("GELDA_HOME", str(home))
    return home


@pytest.fixture
def gelda(gelda_home, tmp_path, monkeypatch):
    """Run the command line in this process: a finished one with .returncode, .stdout, .stderr.

    What `main` does not turn into an exit code is raised here, as it would be a traceback there.
    """

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patched, redirect_stdout(out), redirect_stderr(err):
            patched.chdir(tmp_path)
            patched.setenv("COLUMNS", "200")
            patched.setattr(sys, "argv", ["gelda", *map(str, arguments)])
            try:
                cli.main()
                code = 0
            except SystemExit as exit:
                code = exit.code or 0
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def gelda_process(gelda_home, tmp_path):
    """The same as a process of its own, in another folder."""

    def call(
        *arguments: object, timeout: float = 300, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gelda", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=tmp_path,
            env={**os.environ, "GELDA_HOME": str(gelda_home), "COLUMNS": "200", **environment},
        )

    return call


# -- planted clusters: classes are well apart, conditions shift them, items scatter around ---------------

CLASSES, CONDITIONS, ORIGINALS, SIDE = 6, ("plain", "shifted", "scaled"), 48, 4
_CENTRES = 1.5 * np.random.default_rng(7).normal(size=(CLASSES, SIDE * SIDE))
_SHIFT = np.random.default_rng(8).normal(size=SIDE * SIDE)


def planted_manifest(originals: int = ORIGINALS) -> Manifest:
    """CLASSES × originals, each under every condition; the group is the original."""
    rows = [
        {
            "id": f"{c}-{i:03d}-{name}",
            "uri": f"planted:{c}/{i}/{s}",
            "label": c,
            "subdomain": s,
            "group": f"{c}-{i:03d}",
        }
        for c in range(CLASSES)
        for i in range(originals)
        for s, name in enumerate(CONDITIONS)
    ]
    return Manifest(pd.DataFrame(rows), tuple("abcdef"), CONDITIONS, "planted")


def planted_read(uris: list[str]) -> np.ndarray:
    """float32 [N, 1, 4, 4]; an original has one scatter under all conditions."""
    images = []
    for uri in uris:
        c, i, s = (int(v) for v in uri.removeprefix("planted:").split("/"))
        z = _CENTRES[c] + 0.6 * np.random.default_rng([c, i]).normal(size=SIDE * SIDE)
        images.append([z, z + 1.5 * _SHIFT, 1.4 * z][s])
    return np.asarray(images, np.float32).reshape(-1, 1, SIDE, SIDE)


class PlantedEncoder:
    """Stands in for a downloaded encoder: `blind` sees one pixel's noise, `deep` a view of all of them."""

    media, even, pooling = "image", False, "mean"
    layers = {"blind": 5, "deep": 12}
    prepare = staticmethod(np.asarray)

    def __init__(self) -> None:
        rng = np.random.default_rng(9)
        self.deep = torch.from_numpy(rng.normal(size=(SIDE * SIDE, 12)).astype(np.float32)) / SIDE
        self.blind = torch.from_numpy(rng.normal(size=(1, 5)).astype(np.float32))

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> PlantedEncoder:
        self.deep, self.blind = self.deep.to(device), self.blind.to(device)
        return self

    def encode(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        flat = images.flatten(1)
        return {"blind": torch.sin(40 * flat[:, :1]) * self.blind, "deep": torch.tanh(flat @ self.deep)}


PLANTED_DATASET = DatasetSpec(
    title="Planted clusters",
    note="Made up, for tests.",
    caveat="Planted clusters are no real data.",
    licence="none: made up",
    manifest=planted_manifest,
    read=planted_read,
    class_attributes=lambda: _CENTRES[:, :4].astype(np.float32),
    subdomain_attributes=lambda: np.eye(3, dtype=np.float32),
)
PLANTED_ENCODER = EncoderSpec("Planted encoder", "Linear views.", PlantedEncoder, lambda: "planted-1")


def planted_task(
    counts: np.ndarray | None = None, allocation: np.ndarray | None = None, dim: int = 6, seed: int = 0
) -> Task:
    """A training task with `counts` [C, S] rows per cell; classes are 4 apart, within-class variance is 1."""
    counts = np.array([[20, 10], [8, 4], [3, 0]]) if counts is None else np.asarray(counts)
    allocation = np.array([[0, 5], [6, 7], [8, 9]]) if allocation is None else np.asarray(allocation)
    rng = np.random.default_rng([11, seed])
    label = np.repeat(np.arange(counts.shape[0]), counts.sum(1))
    subdomain = np.concatenate([np.repeat(np.arange(counts.shape[1]), row) for row in counts])
    centres = 4 * np.random.default_rng(12).normal(size=(counts.shape[0], dim))
    z = centres[label] + subdomain[:, None] + rng.normal(size=(len(label), dim))
    return Task(
        latents=torch.from_numpy(z.astype(np.float32)),
        label=torch.from_numpy(label),
        subdomain=torch.from_numpy(subdomain),
        classes=counts.shape[0],
        subdomains=counts.shape[1],
        allocation=allocation,
        seed=seed,
        class_attributes=torch.from_numpy(centres[:, :2].astype(np.float32)),
        subdomain_attributes=torch.eye(counts.shape[1]),
    )


def text_model(folder: Path, kind: str = "bert") -> Path:
    """An untrained text model in `folder`, as transformers saves one; words are the letters they hold."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import (
        BertConfig,
        BertModel,
        CLIPConfig,
        CLIPModel,
        PreTrainedTokenizerFast,
        T5Config,
        T5Model,
    )

    letters = "abcdefghijklmnopqrstuvwxyz0123456789 ."
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<unk>", "</s>", *letters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    torch.manual_seed(0)
    small = {"vocab_size": len(vocabulary), "hidden_size": 16, "intermediate_size": 24}
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2}
    if kind == "bert":
        network = BertModel(BertConfig(**small, **layers, max_position_embeddings=40))
    elif kind == "clip":
        text = {**small, **layers, "max_position_embeddings": 40, "eos_token_id": 2}
        image = {"hidden_size": 16, "intermediate_size": 24, **layers, "image_size": 8, "patch_size": 4}
        network = CLIPModel(CLIPConfig(text_config=text, vision_config=image, projection_dim=12))
    else:
        network = T5Model(
            T5Config(vocab_size=len(vocabulary), d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2)
        )
    network.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty workspace in which nothing ships, and no page may start a job."""
    from gelda import runs

    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    monkeypatch.delenv("GELDA_READONLY", raising=False)
    monkeypatch.setattr(runs, "shipped_runs", lambda: [])
    monkeypatch.setattr("gelda.jobs.spawn", lambda *_: pytest.fail("a page started a job by itself"))
    return tmp_path
