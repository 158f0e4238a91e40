"""How long Explore and Results take in Chromium: the run that ships, and a made-up one of a thousand classes.

    OMP_NUM_THREADS=1 python benchmarks/pages.py                     # both, about 5 minutes and 1 GB of disk
    OMP_NUM_THREADS=1 python benchmarks/pages.py --only demo --repeats 5

The large run is made up (116 000 real and 60 000 synthetic points of width 768, 1 000 classes under 6
subdomains, long-tailed; latents, neighbours, scores, map and predictions are random draws and say nothing):
it is written into a temporary workspace by the engine's own writers. Each figure is from the person's click
until the page shows what was asked for: the map has drawn it, or the heading says it. Bytes are what the map
was sent last. Drop to delta, on the shipped run alone: from the click to the figures of ten heads that a job
trained meanwhile, without and with the latents. Needs playwright and a Chromium on the PATH; the software
renderer draws, so a machine with a GPU is faster. Prints a table in Markdown and asserts nothing.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from gelda import projection, report, runs
from gelda.artifacts import FORMAT, write_json, write_table, write_tensors
from gelda.config import resolve_config
from gelda.points import head_scores, memorisation
from gelda.runs import STAGES

ROOT = Path(__file__).resolve().parent.parent
REAL, DEV, MADE, WIDTH = 116_000, 16_000, 60_000, 768
CLASSES, SUBDOMAINS = 1_000, 6
TESTED = 20_000
METHODS = {"ce": 0.61, "logit-adjustment": 0.64, "smote": 0.63, "gelda": 0.65}
NAME = "made-up-thousand"


def made_up(rng: np.random.Generator) -> Path:
    """The large run, in the workspace that GELDA_HOME names."""
    config = resolve_config(preset="tiny").model_dump(mode="json")
    state = runs.create_run(config, "Made-up: a thousand classes", "digits", NAME)
    share = 1 / np.arange(1, CLASSES + 1) ** 0.7
    real = np.sort(rng.choice(CLASSES, REAL, p=share / share.sum()))
    made = np.sort(rng.choice(CLASSES, MADE, p=share[::-1] / share.sum()))
    label = np.r_[real, made]
    split = np.repeat(["train", ""], [REAL, MADE]).astype(object)
    split[rng.choice(REAL, DEV, replace=False)] = "dev"
    points = pd.DataFrame(
        {
            "id": [f"item-{k:06d}" for k in range(REAL)] + [f"gelda-{k:05d}" for k in range(MADE)],
            "uri": "",
            "label": label,
            "subdomain": rng.choice(SUBDOMAINS, len(label), p=[0.4, 0.25, 0.15, 0.1, 0.06, 0.04]),
            "group": np.r_[rng.integers(0, 3000, REAL).astype(str), [""] * MADE],
            "split": split,
            "origin": np.repeat(["real", "synthetic"], [REAL, MADE]),
            "method": np.repeat(["", "gelda"], [REAL, MADE]),
            "kept": rng.random(len(label)) > 0.05,
        }
    )
    rows = np.flatnonzero(split == "train")
    first = np.searchsorted(label[rows], label).clip(0, len(rows) - 8)
    near = rows[first[:, None] + np.arange(8)].astype(np.int32)
    distance = np.sort(rng.gamma(20, 0.5, (len(label), 8)).astype(np.float32), axis=1)
    said = np.full((len(label), 2), 0.5)  # two classes stand for a thousand: only the columns' form counts
    said[:, 0] = rng.beta(4, 1, len(label))
    said[:, 1] = 1 - said[:, 0]
    scores = head_scores(said, np.zeros(len(label), int))
    scores["predicted"] = np.where(scores["predicted"] == 0, label, (label + 1) % CLASSES).astype(np.int32)
    points = points.assign(**scores, memorisation=memorisation(points, distance[:, 0]))
    centre = rng.normal(size=(CLASSES, 2)) * 20
    xy = (centre[label] + rng.normal(size=(len(label), 2))).astype(np.float32)
    z = np.concatenate(
        [rng.normal(size=(11_000, WIDTH)).astype(np.float16) for _ in range(len(label) // 11_000)]
    )
    path = state.path
    layer = projection.LayerInfo("block.11", "Encoder block.11", WIDTH, True, True)
    write_tensors(path / "points" / "block.11.safetensors", {"z": torch.from_numpy(z)})
    write_tensors(path / "neighbours.safetensors", {"index": near, "distance": distance})
    write_table(path / "points.parquet", points)
    write_json(
        path / "points.json",
        {"format": FORMAT, "key": "made-up", "layers": [layer.__dict__], "scored_by": "gelda"},
    )
    write_tensors(path / "maps" / "all.safetensors", {"xy": xy})
    projection.write_map_info(
        projection.MapInfo(
            key="all", layer="block.11", layer_title=layer.title, scope_kind="all", scope_name="",
            trustworthiness=None, n_neighbors=15, min_dist=0.5, seed=0, fitted=REAL, shown=len(points),
            has_synthetic=True, state="done", message="", path=path / "maps" / "all.json", points="made-up",
        )
    )  # fmt: skip
    _documents(state, points, rng)
    return path


def _documents(state: runs.RunState, points: pd.DataFrame, rng: np.random.Generator) -> None:
    counts = {}
    for name, own in (("real", points["split"] == "train"), ("synthetic", points["origin"] == "synthetic")):
        counts[name] = np.zeros((CLASSES, SUBDOMAINS), int)
        np.add.at(counts[name], (points["label"][own], points["subdomain"][own]), 1)
    order = np.argsort(-counts["real"].sum(1))
    parts = dict(zip(("head", "medium", "tail"), np.split(order, [200, 600]), strict=True))
    groups = {name: sorted(part.tolist()) for name, part in parts.items()}
    names = {
        "class_names": [f"class {k:03d}" for k in range(CLASSES)],
        "subdomain_names": [f"domain {k}" for k in range(SUBDOMAINS)],
    }
    write_json(
        state.path / "meta.json",
        {
            "format": FORMAT, **names, **counts, "dataset": "made-up", "groups": groups,
            "empty_cells": np.argwhere(counts["real"] == 0), "fm_layer": "block.11", "adapter_layer": 0,
            "layer_scores": {"block.11": 1.0}, "layer_reason": "Made up.", "display_seed": 0, "media": "",
            "root": "", "notes": ["Made-up points: they say nothing."],
        },
    )  # fmt: skip
    label = np.arange(TESTED) % CLASSES
    results = []
    for seed in range(3):
        predicted = {
            m: np.where(rng.random(TESTED) < p, label, rng.integers(0, CLASSES, TESTED))
            for m, p in METHODS.items()
        }
        subdomain = rng.integers(0, SUBDOMAINS, TESTED)
        group = np.char.add("g", (np.arange(TESTED) // 4).astype(str))
        empty = [tuple(cell) for cell in np.argwhere(counts["real"] == 0)]
        results.append(
            report.SeedResult(seed, label, subdomain, group, predicted, counts["real"], groups, empty)
        )
    result = report.build(
        results, class_names=names["class_names"], subdomain_names=names["subdomain_names"], health=[],
        notes=["Made up: these figures say nothing."], config=runs.read_spec(state.path),
        seconds=dict.fromkeys(STAGES, 1.0), run=state.id, name=state.name, demo="digits",
        setting="Made-up figures of 1 000 classes under 6 subdomains; 3 seeds.",
    )  # fmt: skip
    write_json(state.path / "report.json", result)
    state.status, state.headline = "done", result["headline"]
    runs.save_state(state)


class Server:
    """The app on a free port, with its own workspace."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://localhost:{port}"
        command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app" / "main.py")]
        env = {**os.environ, "GELDA_HOME": str(home), "PYTHONPATH": str(ROOT)}
        with open(home / "server.log", "w") as log:
            self.process = subprocess.Popen(
                [*command, "--server.port", str(port)], cwd=home, env=env, stdout=log, stderr=log
            )
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2).close()
                return
            except OSError:
                time.sleep(0.25)
        raise RuntimeError((home / "server.log").read_text())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


SETTLED = """() => {
  const app = document.querySelector("[data-testid=stApp]");
  return app?.dataset.testScriptState === "notRunning" && !document.querySelector("[data-testid=stSkeleton]");
}"""
MAP = """(() => {  // it lies in a shadow root
  for (const element of document.querySelectorAll("*")) {
    const map = element.shadowRoot?.querySelector(".map");
    if (map) return map.dataset;
  }
  return {};
})()"""
DRAWN = f"before => Number({MAP}.turn ?? 0) > before && {MAP}.drawn"
UNSAID = "text => !document.body.innerText.includes(text)"


class Visit:
    """One tab; each step is timed until the page shows what was asked for."""

    def __init__(self, browser: Any, url: str, run: str) -> None:
        self.tab = browser.new_page(viewport={"width": 1280, "height": 900})
        self.tab.set_default_timeout(120_000)
        self.url, self.run = url, run
        self.seconds: dict[str, float] = {}
        self.bytes: dict[str, int] = {}

    def turn(self) -> int:
        return int(self.tab.evaluate(f"Number({MAP}.turn ?? 0)"))

    def step(self, name: str, act: Callable[[], Any], seen: Callable[[], Any], settle: bool = True) -> None:
        start = time.perf_counter()
        act()
        seen()
        self.seconds[name] = time.perf_counter() - start
        print(f"{name}: {self.seconds[name]:.2f} s", file=sys.stderr, flush=True)
        self.bytes[name] = int(self.tab.evaluate(f"{MAP}.bytes") or 0)
        if settle:
            self.tab.wait_for_function(SETTLED)
            self.tab.wait_for_timeout(400)

    def on_map(self, name: str, act: Callable[[], Any]) -> None:
        """A step that ends when the map has drawn the server's answer."""
        before = self.turn()
        self.step(name, act, lambda: self.tab.wait_for_function(DRAWN, arg=before, polling="raf"))

    def lasso(self) -> None:
        """Draws a circle, all but the last movement."""
        self.tab.locator(".map button", has_text="Lasso").click()
        box = self.tab.locator(".map").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        r = 0.25 * box["height"]
        self.tab.mouse.move(x + r, y)
        self.tab.mouse.down()
        for k in range(1, 41):
            self.tab.mouse.move(x + r * math.cos(k * math.pi / 20), y + r * math.sin(k * math.pi / 20))

    def drop(self) -> None:
        """Suggested latents are dropped, and the heads trained again."""
        tab = self.tab
        tab.get_by_role("button", name="among other classes").first.click()
        drop, told = (tab.locator(f".st-key-loop_{key} button").first for key in ("drop", "figures"))
        drop.wait_for()
        tab.wait_for_function(SETTLED)
        self.step("drop to delta", drop.click, told.wait_for)

    def all_steps(self) -> None:
        tab, at = self.tab, f"?run={self.run}"

        def drawn() -> None:
            tab.wait_for_function(DRAWN, arg=0, polling="raf")

        self.step("Explore, first load", lambda: tab.goto(f"{self.url}/explore{at}"), drawn)
        tab.wait_for_timeout(1500)  # pictures are made meanwhile
        made = tab.get_by_role("button", name="Synthetic", exact=True).first
        self.on_map("filter: real points only", made.click)
        self.on_map("filter off", made.click)
        for name in ("Source", "Distance to real", "Class"):
            option = tab.get_by_role("option", name=name, exact=True)
            for _ in range(5):  # a late drawing of the page closes the list
                tab.get_by_role("combobox", name="Colour by").click()
                tab.wait_for_timeout(1000)
                if tab.get_by_role("option").count():
                    break
            if option.count():
                self.on_map(f"recolour: {name.lower()}", option.click)
            else:
                tab.keyboard.press("Escape")
        heading = tab.get_by_text("selected:").first
        self.lasso()
        self.step("lasso", tab.mouse.up, heading.wait_for)
        said = heading.inner_text()
        clear = tab.locator(".map")
        self.step(
            "clear the selection",
            lambda: clear.press("Escape"),
            lambda: tab.wait_for_function(UNSAID, arg=said),
        )
        results = tab.get_by_role("heading", name="Every method").first
        if self.run == "digits":
            self.drop()
        to = {name: tab.get_by_role("link", name=name).first for name in ("Results", "Explore")}
        self.step("Explore to Results", to["Results"].click, results.wait_for)
        tab.wait_for_timeout(1000)
        self.step("Results to Explore", to["Explore"].click, drawn)
        self.step("Results, first load", lambda: tab.goto(f"{self.url}/results{at}"), results.wait_for)
        tab.close()


def measured(home: Path, run: str, repeats: int) -> list[tuple[str, float, float, int]]:
    """Step, seconds the first time (a cold server), median of the others, bytes the map was sent."""
    from playwright.sync_api import sync_playwright

    executable = next(p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n)))
    flags = ["--enable-unsafe-swiftshader", "--no-sandbox"]
    server, visits = Server(home), []
    try:
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=executable, args=flags)
            for _ in range(repeats + 1):
                shutil.rmtree(home / "edits", ignore_errors=True)  # so that every visit's heads are trained
                visits.append(Visit(browser, server.url, run))
                visits[-1].all_steps()
            browser.close()
    finally:
        server.stop()
    first, others = visits[0], visits[1:]
    return [
        (
            step,
            first.seconds[step],
            statistics.median(v.seconds[step] for v in others),
            others[-1].bytes.get(step, 0),
        )
        for step in first.seconds
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("demo", "large"))
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gelda-pages-") as folder:
        os.environ["GELDA_HOME"] = folder
        for name, run in (("demo", "digits"), ("large", NAME)):
            if asked.only not in (None, name):
                continue
            if name == "large":
                made_up(np.random.default_rng(0))
            print(f"\n{name}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n", flush=True)
            print("| step | first, s | then (median), s | kB to the map |\n|---|---|---|---|")
            for step, first, then, sent in measured(Path(folder), run, asked.repeats):
                print(f"| {step} | {first:.2f} | {then:.2f} | {sent / 1000:.0f} |", flush=True)


if __name__ == "__main__":
    main()
