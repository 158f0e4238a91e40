"""A run's inputs and its adapt stage: encoder layer, low-rank updates, adapter; each kept by its key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from gelda import __version__, class_start, datasets, device, encoders, low_rank
from gelda.adapter import Adapter
from gelda.artifacts import (
    FORMAT,
    content_key,
    read_json,
    read_tensors,
    write_json,
    write_table,
    write_tensors,
)
from gelda.class_start import fresh
from gelda.config import RunConfig
from gelda.encoders import Encoder
from gelda.experiment import Adapted, Experiment
from gelda.experiment_check import check_names
from gelda.extraction import extract
from gelda.heads import fit
from gelda.latents import LatentBank, Standardizer
from gelda.manifest import Manifest
from gelda.recording import Recorder
from gelda.runs import RunState
from gelda.splits import Cut


class Adapting:
    """The inputs of a run, resolved once, and the adapter of each seed."""

    def __init__(self, config: RunConfig, state: RunState, recorder: Recorder) -> None:
        self.config, self.state, self.recorder = config, state, recorder
        self.dataset = datasets.get(config.data.dataset)
        self.manifest: Manifest = self.dataset.manifest()
        self.device = device.resolve(config.device)
        check_names(config, self.manifest)
        self.seconds: dict[str, float] = {}
        self.first_seed = config.first_seed
        self.exp: Experiment

    def _adapt(self, seed: int, tick: Callable[[float, str], None]) -> Adapted:
        exp, c = self.exp, self.config.adapter
        cut = exp.cut(seed)
        inside = [str(exp.dtype)] if c.low_rank else []  # the products inside the encoder are part of it
        parts = (exp.bank.path.name, self.config.data, trained_by(self.config), *inside, seed)
        key = content_key("adapt", FORMAT, *parts)
        folder = self._folder("adapt", seed, key)
        classes = len(self.manifest.class_names)
        if (folder / "done.json").is_file():
            kept = read_json(folder / "done.json")
            adapter = Adapter(exp.widths(kept["fm_layer"]), classes, 1, seed, c.head).to(self.device)
            adapter.load_state_dict(read_tensors(folder / "adapter.safetensors"))
            bank = self._low_rank(seed, cut, kept["fm_layer"], tick)
            tick(1, "reused")
            return exp.adapted(cut, kept["fm_layer"], kept["scores"], adapter, bank)
        if c.fm_layer == "auto":
            fm_layer, scores = exp.choose_layer(cut, seed, tick)
        else:
            fm_layer, scores = c.fm_layer, {}
        bank = self._low_rank(seed, cut, fm_layer, tick)
        rows = cut.rows("train")
        raw = exp.z(fm_layer, bank)[rows]
        data = exp.real_data(Standardizer.fit(raw).apply(raw), rows)
        adapter = fresh([data], exp.widths(fm_layer), classes, seed, c.head).to(self.device)
        fit(adapter, [data], [exp.adapter_plan()], seed=seed, **c.training(c.steps))
        write_tensors(folder / "adapter.safetensors", adapter.state_dict())
        write_table(
            folder / "cut.parquet", pd.DataFrame({"id": self.manifest.table["id"], "split": cut.split})
        )
        write_json(folder / "done.json", {"format": FORMAT, "fm_layer": fm_layer, "scores": scores})
        return exp.adapted(cut, fm_layer, scores, adapter, bank)

    def _low_rank(
        self, seed: int, cut: Cut, fm_layer: str, tick: Callable[[float, str], None]
    ) -> LatentBank | None:
        """The bank of an encoder with low-rank updates, trained on the cut's training inputs alone; kept."""
        c, exp, spec = self.config, self.exp, encoders.get(self.config.encoder.name)
        if not c.adapter.low_rank:
            return None
        settings = c.adapter.model_dump(include=low_rank.SETTINGS)
        parts = (exp.bank.path.name, c.data, settings, fm_layer, str(exp.dtype), seed)
        key = content_key("low-rank", FORMAT, *parts)
        folder = self._folder("low-rank", seed, key)
        if (folder / "bank" / "manifest.json").is_file():
            return LatentBank.open(folder / "bank")
        encoder: Any = spec.load()
        file, rows = folder / "updates.safetensors", cut.rows("train")
        if file.is_file():
            low_rank.load(encoder.network, read_tensors(file))
        else:
            uris = self.manifest.table["uri"].to_numpy()[rows]
            updates = low_rank.train(
                encoder,
                fm_layer,
                lambda places: self.dataset.read(list(uris[places])),
                exp.latents[fm_layer][rows],
                torch.from_numpy(exp.label[rows]),
                len(self.manifest.class_names),
                c.adapter,
                seed=seed,
                device=self.device,
                dtype=exp.dtype,
                on_step=lambda step, total: tick(0.8 * step / total, f"low-rank updates, step {step}"),
            )
            write_tensors(file, updates)
        return self._encode(
            encoder,
            folder / "bank",
            f"{spec.revision()}, low-rank {key}",
            lambda done, total: tick(0.8 + 0.15 * done / total, "encoding with low-rank updates"),
        )

    def _encode(
        self, encoder: Encoder, folder: Path, revision: str, progress: Callable[[int, int], None]
    ) -> LatentBank:
        """Every item of the data set through an encoder."""
        bank = extract(
            datasets.open_demo(self.config.data.dataset),
            encoder,
            folder,
            encoder_name=self.config.encoder.name,
            revision=revision,
            device=self.device,
            batch_size=256,
            progress=progress,
        )
        assert bank is not None  # one part is the whole
        return bank

    def _folder(self, stage: str, seed: int, key: str) -> Path:
        """The artifact folder of a stage under its content key."""
        key = content_key(key, __version__)  # a release that computes differently must not reuse
        folder = self.state.path / "stages" / f"{stage}-{seed}-{key}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def trained_by(config: RunConfig) -> dict[str, Any]:
    """The settings that the adapter itself depends on: not those of the heads after it."""
    settings = config.adapter.model_dump(exclude={"tune_steps"})
    reads = class_start.reads(config.adapter.class_start, config.generator.text_template)
    return {**settings, **({"class_start_reads": reads} if reads else {})}
