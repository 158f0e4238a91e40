"""Extraction's throughput beside a plain transformers loop, at the same latents; its memory over many items.

    python benchmarks/extraction.py --images DIR --sounds DIR      # all items of both, three repeats
    python benchmarks/extraction.py --items 64 --repeats 1         # a quick look, at items made for it
    python benchmarks/extraction.py --device cuda --model small --batch 64
    python benchmarks/extraction.py --memory 100000                # small pictures; 2 GiB are allowed

The plain loop is what a first version does, in one process: decode 32 items, run the model's own processor,
run the model with all hidden states, take means, keep everything in a list. Ours reads the same folder, keeps
the same layers and writes the bank. Weights are random: speed does not depend on them. Both run in turn, the
order alternating; ratios are taken within a repeat and their median is printed. On CUDA ours multiplies in
bf16 as it does by default, the plain loop in fp32 as it does by default.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gelda import device as devices
from gelda import encoders
from gelda.datasets import Source, open_source
from gelda.extraction import extract
from gelda.latents import LatentBank
from gelda.manifest import Manifest
from gelda.media import load_clip, segment_of
from gelda.paths import inside

PLAIN_BATCH = 32
RATE = 16_000
SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12)}  # a ViT's width, depth, heads
LIMIT = 2.0  # GiB


# -- items and models ------------------------------------------------------------------------------------


def made_pictures(folder: Path, count: int, size: int, suffix: str) -> Path:
    """Smooth pictures of two classes."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
    coarse = [Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for _ in range(256)]
    smooth = [image.resize((size, size), Image.Resampling.BICUBIC) for image in coarse]
    for i in range(count):
        smooth[i % 256].save(folder / ("one", "two")[i % 2] / f"{i:06d}{suffix}")
    return folder


def made_sounds(folder: Path, count: int) -> Path:
    """Noise of 1 to 6 seconds, two classes."""
    import soundfile

    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
    for i in range(count):
        samples = 0.1 * rng.normal(size=int(24_000 * rng.uniform(1, 6)))
        soundfile.write(folder / ("one", "two")[i % 2] / f"{i:06d}.wav", samples, 24_000)
    return folder


def first(source: Source, count: int) -> Source:
    """A source's items, evenly spread, at most `count`."""
    table = source.manifest.table
    rows = np.linspace(0, len(table) - 1, min(count, len(table))).astype(int)
    part = Manifest(
        table.iloc[rows].reset_index(drop=True),
        source.manifest.class_names,
        source.manifest.subdomain_names,
        source.manifest.dataset,
    )
    return Source(source.name, source.media, part, source.root, source.decode, grouped=source.grouped)


def image_model(folder: Path, size: str) -> Path:
    """An untrained ViT with its processor, as transformers saves them."""
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    width, depth, heads = SIZES[size]
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=width, num_hidden_layers=depth, num_attention_heads=heads, intermediate_size=4 * width
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    ViTImageProcessor(size={"height": 224, "width": 224}).save_pretrained(folder)
    return folder


def sound_model(folder: Path) -> Path:
    """An untrained Whisper-tiny with its feature extractor."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536, decoder_layers=1
    )
    WhisperModel(config).save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    return folder


# -- the plain loop --------------------------------------------------------------------------------------


def plain_images(source: Source, model: Path, device: torch.device) -> Callable[[], list[torch.Tensor]]:
    """Means over the patches of every hidden state."""
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel

    processor = AutoImageProcessor.from_pretrained(model)
    network = AutoModel.from_pretrained(model, add_pooling_layer=False).eval().to(device)
    uris = list(source.manifest.table["uri"])

    @torch.no_grad()
    def run() -> list[torch.Tensor]:
        kept = []
        for start in range(0, len(uris), PLAIN_BATCH):
            images = [
                Image.open(inside(source.root, uri)).convert("RGB")
                for uri in uris[start : start + PLAIN_BATCH]
            ]
            inputs = processor(images=images, return_tensors="pt").to(device)
            hidden = network(**inputs, output_hidden_states=True).hidden_states
            kept.append([h[:, 1:].mean(1).cpu() for h in hidden[1:]])
        return [torch.cat(layer) for layer in zip(*kept, strict=True)]

    return run


def plain_sounds(source: Source, model: Path, device: torch.device) -> Callable[[], list[torch.Tensor]]:
    """Means over real frames of every block's output."""
    import soxr
    from transformers import AutoFeatureExtractor, WhisperModel

    extractor = AutoFeatureExtractor.from_pretrained(model)
    network = WhisperModel.from_pretrained(model).get_encoder().eval().to(device)
    uris = list(source.manifest.table["uri"])

    def read(uri: str) -> np.ndarray:
        path, start, end = segment_of(uri)
        clip = load_clip(inside(source.root, path), start, end)
        return soxr.resample(clip.samples, clip.rate, RATE)

    @torch.no_grad()
    def run() -> list[torch.Tensor]:
        kept = []
        for start in range(0, len(uris), PLAIN_BATCH):
            sounds = [read(uri) for uri in uris[start : start + PLAIN_BATCH]]
            inputs = extractor(sounds, sampling_rate=RATE, return_tensors="pt").to(device)
            hidden = network(**inputs, output_hidden_states=True).hidden_states
            frames = [-(-len(sound) // 320) for sound in sounds]
            # the last block's output is kept before the final norm by ours only: compared are the others
            kept.append(
                [torch.stack([h[i, :n].mean(0) for i, n in enumerate(frames)]).cpu() for h in hidden[1:-1]]
            )
        return [torch.cat(layer) for layer in zip(*kept, strict=True)]

    return run


# -- ours ------------------------------------------------------------------------------------------------


def ours(
    source: Source, model: Path, options: argparse.Namespace, workers: int
) -> Callable[[], list[torch.Tensor]]:
    spec = encoders.get(str(model))
    encoder = spec.load()
    encoder.select([name for name in encoder.layers if name.startswith("block")], "mean")
    device = devices.resolve(options.device)
    dtype = devices.resolve_precision("auto", device) if device.type == "cuda" else torch.float32

    def run() -> list[torch.Tensor]:
        with tempfile.TemporaryDirectory() as folder:
            bank = extract(
                source,
                encoder,
                Path(folder) / "bank",
                encoder_name="random",
                revision="random",
                device=device,
                dtype=dtype,
                batch_size=options.batch,
                workers=workers,
            )
            assert bank is not None
            return [bank.load(layer) for layer in bank.layers]

    return run


def timed(run: Callable[[], list[torch.Tensor]]) -> tuple[float, list[torch.Tensor]]:
    start = time.perf_counter()
    latents = run()
    return time.perf_counter() - start, latents


def compare(
    what: str, source: Source, model: Path, plain: Callable, options: argparse.Namespace
) -> dict[str, Any]:
    """Items a second of both, in turn, and the median ratio for every number of workers."""
    device, count = devices.resolve(options.device), len(source.manifest)
    runs = {"plain": plain(source, model, device)}
    runs |= {f"{w} workers": ours(source, model, options, w) for w in options.workers}
    timed(runs["plain"])  # warm: files in memory, kernels chosen
    rates: dict[str, list[float]] = {name: [] for name in runs}
    latents: dict[str, list[torch.Tensor]] = {}
    for repeat in range(options.repeats):
        for name in list(runs) if repeat % 2 == 0 else reversed(runs):
            seconds, latents[name] = timed(runs[name])
            rates[name].append(count / seconds)
            print(f"{what}: {name} {count / seconds:.1f} a second", flush=True)
    result: dict[str, Any] = {"items": count, "plain": statistics.median(rates["plain"])}
    for name in runs:
        if name == "plain":
            continue
        both = list(zip(latents["plain"], latents[name], strict=False))
        scale = max(float(a.abs().max()) for a, _ in both)
        difference = max(float((a - b).abs().max()) for a, b in both) / scale
        ratio = statistics.median(a / b for a, b in zip(rates[name], rates["plain"], strict=True))
        result[name] = {"rate": statistics.median(rates[name]), "ratio": ratio, "difference": difference}
        print(
            f"{what}, {count} items, {name}: {ratio:.2f} times the plain loop "
            f"(largest difference {difference:.1e} of the largest value)"
        )
    return result


# -- memory ----------------------------------------------------------------------------------------------


def resident() -> tuple[float, float]:
    """GiB that this process and its children hold (shared pages count in each)."""

    def pages(pid: str) -> int:
        try:
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:  # it ended meanwhile
            return 0

    children = [p for task in Path("/proc/self/task").glob("*/children") for p in task.read_text().split()]
    own, theirs = pages("self"), sum(map(pages, children))
    return own * 4096 / 2**30, theirs * 4096 / 2**30


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Peak growth over an extraction of many small pictures from files, listing them included."""
    encoder = encoders.get("mini-image").load()
    with tempfile.TemporaryDirectory() as folder:
        pictures = made_pictures(Path(folder) / "pictures", options.memory, 48, ".png")
        before, _ = resident()
        peak, workers = before, 0.0
        done = threading.Event()

        def watch() -> None:
            nonlocal peak, workers
            while not done.wait(0.2):
                own, theirs = resident()
                peak, workers = max(peak, own), max(workers, theirs)

        watcher = threading.Thread(target=watch)
        watcher.start()
        start = time.perf_counter()
        bank: LatentBank | None = extract(
            open_source(pictures),
            encoder,
            Path(folder) / "bank",
            encoder_name="mini-image",
            revision="1",
            device=torch.device("cpu"),
            workers=max(options.workers),
        )
        seconds = time.perf_counter() - start
        done.set()
        watcher.join()
        assert bank is not None and len(bank) == options.memory
    growth, rate = peak - before, options.memory / seconds
    said = "under" if growth < LIMIT else "NOT under"
    print(
        f"{options.memory} small pictures: {growth:.2f} GiB of growth, {said} {LIMIT:g}, {workers:.2f} GiB "
        f"in {max(options.workers)} workers; {rate:.0f} a second"
    )
    return {"items": options.memory, "growth_gib": growth, "workers_gib": workers, "rate": rate}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", help="a folder of pictures; else some are made")
    parser.add_argument("--sounds", help="a folder or list of recordings; else some are made")
    parser.add_argument("--items", type=int, default=100_000, help="of each at most")
    parser.add_argument("--only", choices=("images", "sounds"))
    parser.add_argument("--model", choices=SIZES, default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, default=0, help="measure the growth over so many, nothing else")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    devices.set_threads()
    result: dict[str, Any] = {"options": {k: str(v) for k, v in vars(options).items()}}
    if options.memory:
        result["memory"] = memory(options)
    else:
        kinds = [options.only] if options.only else ["images", "sounds"]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if "images" in kinds:
                made = min(options.items, 512)
                path = options.images or made_pictures(folder / "pictures", made, 227, ".jpg")
                model = image_model(folder / "vit", options.model)
                source = first(open_source(path), options.items)
                result["images"] = compare("images", source, model, plain_images, options)
            if "sounds" in kinds:
                path = options.sounds or made_sounds(folder / "sounds", min(options.items, 128))
                model = sound_model(folder / "whisper")
                source = first(open_source(path), options.items)
                result["sounds"] = compare("sounds", source, model, plain_sounds, options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
