"""What a plan would do, before anything is started or fetched: sizes, disk, time, and what is missing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gelda import augmenters, compare_costs, device, encoders, extraction_runs, spaces
from gelda.adapter import HeadPlan
from gelda.arms import build
from gelda.augmenters.base import Task
from gelda.compare_config import CompareConfig
from gelda.datasets import Source
from gelda.errors import UserError
from gelda.finetune import real_data
from gelda.media import Clip
from gelda.plan_jobs import Job, config, has_weights, missing, open_source, text_start, weights
from gelda.plans import WEIGHTS, Place

BYTES = {"float16": 2, "float32": 4}
PROBE = 8  # items of a measured probe of an encoder
ROWS = 2048  # random latents that heads and generators are tried on
ROUGH_SHARE = 0.3  # of a device's rate of matrix products that an encoder reaches


@dataclass(frozen=True)
class Size:
    """Items by split and how they are known: `found` (read), `listed` (lines of lists) or `published`."""

    items: Mapping[str, int]
    known: str
    classes: int
    subdomains: tuple[str, ...]

    @property
    def total(self) -> int:
        return sum(self.items.values())


def outlook(made: Job) -> dict[str, Any]:
    """Everything that a dry run says, as one JSON document; nothing is fetched and nothing is written.

    seconds are None where nothing is known of the encoder; `how` says what they rest on.
    """
    source, problem = None, ""
    if not (lacks := missing(made)):
        try:
            source = open_source(made)
        except UserError as error:
            problem = str(error)
    made, started_from = text_start(made, source.manifest.class_names if source else None)
    size = _size(made, source)
    first = config(made.comparisons[0], made.bank, size.subdomains[0])
    where = device.resolve(first.device)
    dtype = device.resolve_precision(first.precision, where)
    here = has_weights(made.extract.encoder)
    encoding = _encoding(made, source, size, where, here)
    comparisons = [
        _comparison(made, values, size, encoding["layers"], where, dtype) for values in made.comparisons
    ]
    parent = next(p for p in (made.bank, *made.bank.parents) if p.exists())
    return {
        "preset": made.name,
        "title": made.plan.title,
        "note": made.plan.note,
        "data": " and ".join([str(made.data), *made.extract.source.beside]),
        "missing": lacks,
        "problem": problem,
        "places": [vars(place) for place in made.plan.places] if lacks or problem else [],
        "items": {"by_split": dict(size.items), "total": size.total, "known": size.known},
        "classes": size.classes,
        "subdomains": len(size.subdomains),
        "encoder": {"name": made.extract.encoder, "here": here, "caution": _caution(made.extract.encoder)},
        "weights": _absent(made, here),
        "start": started_from,
        "device": f"{where}, {str(dtype).removeprefix('torch.')}",
        "bank": str(made.bank),
        "free_bytes": shutil.disk_usage(parent).free,
        "stages": [encoding, *comparisons],
    }


def _caution(encoder: str) -> str:
    return encoders.ENCODERS[encoder].caution if encoder in encoders.ENCODERS else ""


def _absent(made: Job, here: bool) -> list[dict[str, str]]:
    """Where the weights are got that are not on this machine."""
    name, text = made.extract.encoder, made.plan.text
    found = [] if here else [WEIGHTS.get(name, Place(name, f"https://huggingface.co/{name}", "see there"))]
    return [vars(place) for place in [*found, *([WEIGHTS[text]] if text and weights(text) is None else [])]]


def _size(made: Job, source: Source | None) -> Size:
    plan = made.plan
    if source is not None:
        table = source.manifest.table
        split = table["split"] if "split" in table else np.full(len(table), "")
        names, counts = np.unique(np.asarray(split, str), return_counts=True)
        found = dict(zip(names.tolist(), counts.tolist(), strict=True))
        found = {name: found[name] for name in ("train", "valid", "test", "") if name in found}
        manifest = source.manifest
        return Size(found, "found", len(manifest.class_names), tuple(manifest.subdomain_names))
    subdomains = tuple(f"subdomain {n}" for n in range(plan.subdomains))
    lines = sum(
        sum(1 for line in open(file, "rb") if line.strip())
        for pattern in plan.lists
        for file in sorted(made.data.glob(pattern))
    )
    if lines:
        return Size({"": lines}, "listed", plan.classes, subdomains)
    return Size(dict(plan.items), "published", plan.classes, subdomains)


# -- encoding ----------------------------------------------------------------------------------------------


def _encoding(
    made: Job, source: Source | None, size: Size, where: torch.device, here: bool
) -> dict[str, Any]:
    dtype = extraction_runs.dtype_of(made.extract.precision, where)
    own = made.extract.encoder == made.plan.encoder
    seconds: float | None = None
    how = "unknown until its weights are here"
    if here:
        widths, each = _probe(made, source, where, dtype)
        seconds, how = size.total * each, f"measured on {PROBE} items, without decode workers"
    elif own:
        widths = dict(made.plan.known.widths)
        rate = 1e9 * device.speed(where, dtype) * ROUGH_SHARE
        seconds = size.total * made.plan.known.flop / rate
        how = f"rough: parameters × tokens at {100 * ROUGH_SHARE:.0f} % of this device's matrix products"
    else:
        widths = {}
    number = BYTES[made.extract.dtype]
    return {
        "stage": "encode",
        "what": f"{size.total} items with {made.extract.encoder}",
        "layers": widths,
        "bytes": size.total * sum(widths.values()) * number if widths else None,
        "seconds": seconds,
        "how": how,
    }


def _probe(
    made: Job, source: Source | None, where: torch.device, dtype: torch.dtype
) -> tuple[dict[str, int], float]:
    """Widths of the chosen layers and seconds an item, by a few items of the source, or of noise."""
    name = made.extract.encoder
    encoder = encoders.get(name if name in encoders.ENCODERS else str(weights(name))).load()
    layers = encoders.choose_layers(encoder.layers, made.extract.layers)
    encoder = encoder.select(layers, made.extract.pooling).to(where, dtype)
    started = time.perf_counter()
    batch = [encoder.prepare(item) for item in _items(source, encoder.media)]
    prepared = time.perf_counter() - started
    inputs: Any = torch.from_numpy(np.stack(batch)).to(where) if encoder.media == "image" else batch
    times = []
    for _ in range(3):
        started = time.perf_counter()
        latents = encoder.encode(inputs)
        next(iter(latents.values())).cpu()  # waits for the device
        times.append(time.perf_counter() - started)
    return dict(encoder.layers), (prepared + min(times)) / len(batch)


def _items(source: Source | None, media: str) -> list[Any]:
    if source is not None:
        rows = np.linspace(0, len(source.manifest) - 1, PROBE).astype(int)
        found = []
        for uri in source.manifest.table["uri"].iloc[rows]:
            try:
                found.append(source.decode(uri))
            except UserError:  # extraction lists what cannot be read
                continue
        if found:
            return found
    rng = np.random.default_rng(0)
    if media == "audio":
        return [Clip(rng.normal(0, 0.1, 4 * 16_000).astype(np.float32), 16_000) for _ in range(PROBE)]
    if media == "text":
        return ["a sentence of some length to be encoded"] * PROBE
    from PIL import Image

    return [Image.fromarray(rng.integers(0, 255, (375, 500, 3), np.uint8)) for _ in range(PROBE)]


# -- comparisons -------------------------------------------------------------------------------------------


def _comparison(
    made: Job,
    values: Mapping[str, Any],
    size: Size,
    layers: Mapping[str, int],
    where: torch.device,
    dtype: torch.dtype,
) -> dict[str, Any]:
    """Heads and generators that a comparison trains, and their time: on a CPU as `compare_costs` has it, on
    another device by a few steps of each on noise."""
    each = values.get("target") == "each"
    settings = config(values, made.bank, size.subdomains[0])
    targets = len(size.subdomains) if each else 1
    parts = compare_costs.trainings(settings, len(size.subdomains), max(1, len(layers))).values()
    heads, generators = (targets * sum(part[k] for part in parts) for k in (0, 1))
    seconds, how = None, "unknown until the encoder's weights are here"
    if layers and where.type == "cpu":
        found = compare_costs.estimate(settings, len(size.subdomains), layers)
        seconds = targets * found.seconds
        how = f"scaled from {found.name} on this machine" if found.run else "as on one core of a server"
    elif layers:
        width, cells = max(layers.values()), (size.classes, len(size.subdomains))
        a_head, a_generator = _steps(settings, width, *cells, where, dtype)
        seconds = heads * a_head * settings.adapter.tune_steps
        seconds += generators * a_generator * settings.generator.steps
        how = "rough: a few steps of one head and one generator on noise; heads side by side take less"
    what = settings.protocol + (f", {targets} targets in turn" if each else f", cut {settings.cut}")
    return {
        "stage": "compare",
        "what": f"{what}, {settings.seeds} seeds",
        "heads": heads,
        "generators": generators,
        "seconds": seconds,
        "how": how,
    }


def _steps(
    settings: CompareConfig,
    width: int,
    classes: int,
    subdomains: int,
    where: torch.device,
    dtype: torch.dtype,
) -> tuple[float, float]:
    """Seconds that a step of a head and a step of a generator take, on noise of the right shapes."""
    rows = max(ROWS, 2 * classes)
    generator = torch.Generator().manual_seed(0)
    task = Task(
        latents=torch.randn(rows, width, generator=generator),
        label=torch.arange(rows) % classes,
        subdomain=torch.arange(rows) % subdomains,
        classes=classes,
        subdomains=subdomains,
        allocation=np.zeros((classes, subdomains), np.int64),
        seed=0,
        device=where,
        dtype=dtype,
    )

    def head(steps: int) -> None:
        own = settings.adapter.model_copy(update={"steps": steps})
        spaces.train_adapter(real_data(task), classes, own, HeadPlan().resolved("ce", 1.0), 0, where)

    def maker(steps: int) -> None:
        own = {"steps": steps, "class_semantics": "mean", "subdomain_semantics": "mean"}
        g = settings.generator.model_copy(update=own)
        arm = build("gelda", {"form": "plain", "weight": 0.3}, settings.model_copy(update={"generator": g}))
        arm.train(task)  # type: ignore[attr-defined]

    return _each(head, 4), _each(maker, 4) if any(
        augmenters.AUGMENTERS[m].generative for m in settings.methods or augmenters.AUGMENTERS
    ) else 0.0


def _each(work: Callable[[int], None], steps: int) -> float:
    """Seconds a step: what `steps` more of them take."""
    work(1)
    times = []
    for count in (1, 1 + steps):
        started = time.perf_counter()
        work(count)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return max(times[1] - times[0], 1e-5) / steps
