"""Emotions in real speech of two languages, each left out in turn: EmoDB (German) and nEMO (Polish).

    OMP_NUM_THREADS=1 python benchmarks/real_speech.py --data ../shared/data/audio

The four common emotions of both manifests as one source, through `mini-speech` (mean and deviation over time)
and through the same network with random weights; the language left out keeps neutral speech. The layer by
validation, and as a learned sum of all (SUPERB's head). Five seeds at the small budgets of `gelda demo
speech`. With one source language no other can play the target, so validation holds out the source's own
speakers and knows nothing of a shift between languages; the reports say so. Each part is an ordinary run: it
is found again, or goes on where it stopped. The bank of three languages has rows of `quality.py` instead.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from gelda import cli_compare, extraction_runs, recording, runs, speech_demo, terminal
from gelda.compare_config import CompareConfig
from gelda.extract_config import resolve_extract
from gelda.ready import ReadyBank, open_bank
from gelda.report import METHOD_TITLES
from gelda.report_folds import FIGURES, across
from gelda.report_text import interval_text

MANIFESTS = ("emodb/emodb.jsonl", "nemo/nemo.jsonl")
METHODS = (*speech_demo.METHODS, "gelda-uncond", "gelda-shuffled")
# title → bank and encoder layer
TRIALS = {
    "mini-speech, layer by validation": ("real", "auto"),
    "mini-speech, weighted sum of layers": ("real", "weighted"),
    "random weights, layer by validation": ("random", "auto"),
}


def bank(name: str, data: Path, banks: Path) -> ReadyBank:
    """The clips through the pre-trained or the random encoder, encoded where they are not yet."""
    encoder = "mini-speech"
    if name == "random":
        encoder = str(banks / "random-mini-speech")
        if not Path(encoder).is_dir():
            script = Path(__file__).with_name("mini_speech.py")
            subprocess.run([sys.executable, str(script), "--random", encoder], check=True)
    first, *beside = [str(data / manifest) for manifest in MANIFESTS]
    values = {"path": first, "source": {"beside": beside, "emotions": "four"}, "encoder": encoder}
    config = extraction_runs.resolved(
        resolve_extract({**values, "pooling": "mean+std", "out": str(banks / name)})
    )
    state = extraction_runs.prepared(config)
    recording.forget_cancel(state.path)
    with terminal.progress(state) as listener:
        extraction_runs.execute(config, state, listener)
    return open_bank(config.out)


def asked(opened: ReadyBank, path: Path, layer: str) -> dict[str, CompareConfig]:
    values = {"bank": str(path), "protocol": "zero-shot", "target": "each", "keep": "neutral"}
    values |= {"methods": METHODS, "seeds": 5, "map": False, "adapter": {"fm_layer": layer}}
    return cli_compare.by_target(values, "speech", opened)


def main() -> None:
    parser = argparse.ArgumentParser(description="German and Polish, each left out in turn")
    parser.add_argument("--data", type=Path, required=True, help="folder of emodb/ and nemo/")
    parser.add_argument("--banks", type=Path, help="folder for the latents; the workspace's by default")
    options = parser.parse_args()
    banks = (options.banks or runs.home() / "banks" / "real-speech").resolve()
    banks.mkdir(parents=True, exist_ok=True)
    opened = {name: bank(name, options.data, banks) for name in ("real", "random")}
    found = {
        title: {
            target: cli_compare.one(config, opened[name], False)
            for target, config in asked(opened[name], banks / name, layer).items()
        }
        for title, (name, layer) in TRIALS.items()
    }
    for title, reports in found.items():
        table = across(reports)
        names = [*reports, "mean"]
        head = [f"{title}: {' / '.join(FIGURES.values())}", *names]
        print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for method in METHODS:
            cells = [" / ".join(f"{table[f][method][name]:.1f}" for f in FIGURES) for name in names]
            print(f"| {METHOD_TITLES[method]} | {' | '.join(cells)} |")
        for target, report in reports.items():
            chosen = next(iter(report["config"]["selection"].values()))
            weights = chosen["scores"].get("layer_weights")
            layer = ", ".join(f"{k} {v:.2f}" for k, v in weights.items()) if weights else chosen["fm_layer"]
            ahead = {m: interval_text(report["paired"][m]["uar"], signed=True) for m in ("mean-shift", "ce")}
            print(f"- {target}: layer {layer}; GeLDA − mean shift {ahead['mean-shift']}, − CE {ahead['ce']}")


if __name__ == "__main__":
    main()
