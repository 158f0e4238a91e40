"""Extractions as runs: their ids, starting one or finding it again, and doing its work."""

from __future__ import annotations

import os
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gelda import device as devices
from gelda import encoders, runs
from gelda.artifacts import content_key
from gelda.datasets import DATASETS, Source, open_source
from gelda.decoding import decoded
from gelda.encoders import Encoder, EncoderSpec
from gelda.errors import UserError
from gelda.extract_config import ExtractConfig
from gelda.extraction import extract
from gelda.latents import LatentBank, check_folder
from gelda.paths import permitted
from gelda.recording import Recorder, stages, tracked
from gelda.runs import RunState, StageState

SHARD = (1024, 128)  # items; a large model takes a second a clip, and a kill costs a shard
STAGES = {"open": "List the items and load the encoder", "extract": "Encode every item"}
TRIED = 8  # items whose decoding is timed
WORTH = 10.0  # seconds of decoding that workers are started for: each takes some to import torch
MOST_WORKERS = 16


def opened(config: ExtractConfig) -> tuple[Source, EncoderSpec]:
    """Source and encoder, checked against each other; nothing is decoded and no weights are loaded.

    `config` is a resolved one: its bank's folder is looked at, too.
    """
    check_folder(Path(config.out))
    devices.resolve_precision(config.precision, devices.resolve(config.device))
    spec = encoders.get(config.encoder)
    if config.pooling not in ("auto", *spec.poolings):
        raise UserError(
            f"{config.encoder} cannot pool by '{config.pooling}': choose from auto, "
            f"{', '.join(spec.poolings)}."
        )
    source = open_source(config.path, config.source)
    if source.media != spec.media:
        raise UserError(
            f"{config.path} holds items of the kind {source.media}, and {config.encoder} takes {spec.media}: "
            "choose another encoder."
        )
    return source, spec


def resolved(config: ExtractConfig) -> ExtractConfig:
    """With full paths and a bank folder, so that a run means the same from anywhere."""
    path, encoder = Path(config.path).expanduser(), Path(config.encoder).expanduser()
    beside = tuple(str(Path(one).expanduser().resolve()) for one in config.source.beside)
    full = config.model_copy(
        update={
            "path": str(path.resolve()) if path.exists() else config.path,
            "source": config.source.model_copy(update={"beside": beside}),
            "encoder": str(encoder.resolve()) if encoder.is_dir() else config.encoder,
        }
    )
    folder = Path(full.out).expanduser() if full.out else runs.home() / "banks" / _words(full)
    return full.model_copy(update={"out": str(permitted(folder))})


def _words(config: ExtractConfig) -> str:
    """ "pacs-vit_tiny-1a2b3c4d": data, encoder, and a key over what the bank's content depends on."""
    said = re.sub(r"[^\w.-]+", "-", "-".join([*_stems(config), Path(config.encoder).name]))
    own = config.model_dump(
        mode="json",
        include={"path", "source", "encoder", "layers", "pooling", "dtype", "precision", "shard_size"},
    )
    return f"{said[:120]}-{content_key('extract', own)[:8]}"


def _stems(config: ExtractConfig) -> list[str]:
    return [Path(path).stem for path in (config.path, *config.source.beside)]


def run_id(config: ExtractConfig) -> str:
    """The run of an extraction: the same command finds the same run again."""
    part = f"-{config.shard.replace('/', '-of-')}" if config.part[1] > 1 else ""
    return f"extract-{_words(config)}-{content_key(config.out)[:4]}{part}"


def prepared(config: ExtractConfig) -> RunState:
    """The extraction's run, new or found again; `config` is a resolved one.

    Workers, batch size, device and the share that may be skipped are no part of a run's id: a run that is
    found takes those that are asked for now. One that is going elsewhere is refused.
    """
    path = runs.home() / "runs" / run_id(config)
    if not path.is_dir():
        what = DATASETS[config.path].title if config.path in DATASETS else " + ".join(_stems(config))
        name = f"{what} through {config.encoder}"
        return runs.create_run(config.model_dump(mode="json"), name[:120], runs.EXTRACTION, path.name)
    state = runs.read_state(path)
    if state.status in runs.ALIVE and not runs.is_mine(state):
        raise UserError(f"The run '{state.id}' is already going.")
    if state.status == "broken":
        raise UserError(state.error)
    runs.write_spec(path, config.model_dump(mode="json"))
    return state


def execute(config: ExtractConfig, state: RunState, listener: Any = None) -> dict[str, Any]:
    """Run or resume an extraction to its end; what came of it: bank, rows, layers, skipped, rate …"""
    devices.set_threads()
    state.stages = stages(state, STAGES)
    with Recorder(state, listener) as recorder, tracked(state):
        with recorder.stage("open", 1):
            source, spec = opened(config)
            encoder = spec.load()
            encoder.select(encoders.choose_layers(encoder.layers, config.layers), config.pooling)
        with recorder.stage("extract", len(source.manifest)) as stage:
            counted = _Counted(recorder, stage)
            device = devices.resolve(config.device)
            bank = extract(
                source,
                encoder,
                Path(config.out),
                encoder_name=config.encoder,
                revision=spec.revision(),
                caution=spec.caution,
                device=device,
                dtype=dtype_of(config.precision, device),
                store=config.dtype,
                batch_size=config.batch_size,
                shard_size=config.shard_size or SHARD[source.media == "audio"],
                workers=workers_for(config.workers, source, encoder, device),
                max_skipped=config.max_skipped,
                part=config.part,
                progress=counted,
            )
        result: dict[str, Any] = {
            "bank": config.out,
            "rows": None if bank is None else len(bank),
            "skipped": [] if bank is None else bank.info["skipped"],
            "problems": [asdict(problem) for problem in source.problems],
            "notes": list(source.notes),
            "caution": spec.caution,
            "encoded": counted.encoded,
            "seconds": stage.seconds - stage.earlier,
        }
        state.headline = result["headline"] = _said(config, bank)
    return result


def _said(config: ExtractConfig, bank: LatentBank | None) -> str:
    """What an extraction made, in a sentence."""
    if bank is None:
        return f"Part {config.shard} is done; the part that ends last writes the bank {config.out}."
    left_out = len(bank.info["skipped"])
    skipped = f"; {left_out} could not be used" if left_out else ""
    layers = f"{len(bank.layers)} layer{'s' * (len(bank.layers) != 1)}"
    return f"{len(bank)} items in {layers} at {config.out}{skipped}."


class _Counted:
    """Progress of `extract` as a stage's: rate and remaining time are of what this process does."""

    def __init__(self, recorder: Recorder, stage: StageState) -> None:
        self.recorder, self.stage = recorder, stage
        self.started, self.before, self.encoded = time.perf_counter(), -1, 0

    def __call__(self, done: int, total: int) -> None:
        if self.before < 0:  # the first report: what earlier processes had finished
            self.stage.total, self.before = total, done
            self.stage.message = "reused" if done == total else ""
        self.encoded = done - self.before
        rate = self.encoded / (time.perf_counter() - self.started)
        self.recorder.advance(self.stage, done, f"{rate:.3g} a second" if self.encoded else "", self.before)


def dtype_of(precision: str, device: torch.device) -> torch.dtype:
    """`auto` is bf16 on CUDA alone: elsewhere latents are worth their full precision."""
    name = "fp32" if precision == "auto" and device.type != "cuda" else precision
    return devices.resolve_precision(name, device)


def workers_for(asked: int | None, source: Source, encoder: Encoder, device: torch.device) -> int:
    """Decode workers: those asked for, else as many as fit, or none where a few items say that decoding all
    takes no longer than starting them. Where the CPU runs the encoder, too, it keeps half of the cores."""
    if asked is not None:
        return asked
    uris = source.manifest.table["uri"]
    tried = uris.iloc[np.linspace(0, len(uris) - 1, TRIED + 1).astype(int)].tolist()
    stream = decoded(source.decode, encoder.prepare, tried, 0)
    next(stream)  # the first one imports what decodes
    started = time.perf_counter()
    for _ in stream:
        pass
    if (time.perf_counter() - started) / TRIED * len(uris) < WORTH:
        return 0
    cores = os.cpu_count() or 1
    return min(MOST_WORKERS, max(1, cores // 2 if device.type == "cpu" else cores))
