"""What a comparison leaves for the explorer: items and synthetic latents of its first episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from gelda import columns, generator_kit
from gelda.artifacts import FORMAT, require_space, write_json
from gelda.augmenters.base import Synthetic
from gelda.augmenters.diffusion import Gelda
from gelda.choices import Choice
from gelda.compare_report import class_groups
from gelda.points import head_scores, layer_stack, point_table, write_points
from gelda.projection import thinned
from gelda.protocols import Episode
from gelda.seeds import numpy_generator
from gelda.settings import WEIGHTED
from gelda.workbench import Candidate, Workbench, protocol_seed

DRAWN = ("gelda", "gelda-paper")  # arms whose synthetic latents are drawn
# points of a kind (of an arm) at most: placing one on a map costs 4 ms at width 1280
LIMITS = {"train": 8_000, "test": 2_000, "synthetic": 4_000}
NUMBERS = 400_000_000  # of all layers' latents together (fp16: 0.8 GB); with more, the limits shrink
FLOOR = 1_000  # but not below
KINDS = {"train": "training items", "test": "held-out items", "synthetic": "synthetic latents"}


def write(
    run: Path,
    bench: Workbench,
    episode: Episode,
    choice: Choice,
    made: Mapping[str, Synthetic],
    said: Mapping[str, NDArray[np.floating]],
    key: str,
    tested: NDArray[np.int64],
) -> dict[str, NDArray[np.int64]]:
    """Points, latents per layer, neighbours and meta.json of one episode; `key` names their content.

    Real: the episode's training items, and those of its test items that may be seen (`tested`) as split
    "test". made: by arm, in the space of
    `choice`. said: by arm, what its own head says of the training items and then of its synthetic latents,
    probabilities [N + M, C']; training items are scored by the first arm's, test items by none.
    Classes and subdomains are numbered by those in play. Returns what is drawn: rows of the bank by kind
    ("train", "test"), and rows of the synthetic latents of each arm whose latents are its own.
    """
    bank, items = bench.bank, bench.items
    widths = sum(bank.layers.values()) + bank.layers.get(choice.layer, max(bank.layers.values()))
    room = min(1.0, NUMBERS / (sum(LIMITS.values()) * widths))
    limits = {kind: max(FLOOR, int(room * most)) for kind, most in LIMITS.items()}
    classes, played = np.array(episode.classes), bench.subdomains(episode)
    label = np.searchsorted(classes, items.label)
    subdomain = np.searchsorted(played, items.subdomain)
    rng = numpy_generator(protocol_seed(episode), "points")
    notes, parts, scores = [], {}, []
    for kind, rows in (("train", episode.train), ("test", tested)):
        few = thinned(label[rows] * len(played) + subdomain[rows], limits[kind], rng)
        parts[kind] = rows[few]
        notes += _note(kind, len(few), len(rows))
        asked = kind == "train" and len(said) > 0
        scores.append(said[next(iter(said))][few] if asked else np.full((len(few), len(classes)), np.nan))
    if len(tested) < len(episode.test):
        notes.append("Of the held-out items the dev half is drawn: the other half is for Confirm alone.")
    drawn, some = [], {}
    for method, synthetic in _distinct(made).items():
        cell = (synthetic.label * len(played) + synthetic.subdomain).numpy()
        few = some[method] = thinned(cell, limits["synthetic"], rng)
        notes += _note("synthetic", len(few), len(synthetic), method)
        drawn.append((method, synthetic.select(torch.from_numpy(few)), np.ones(len(few), bool)))
        scores.append(said[method][len(episode.train) :][few])
    rows = np.concatenate([parts["train"], parts["test"]])
    require_space(run, 2 * (len(rows) + sum(len(s) for _, s, _ in drawn)) * widths)
    real = pd.DataFrame(
        {
            "id": bank.ids[rows],
            "uri": bank.uris[rows] if bank.uris is not None else "",
            "label": label[rows],
            "subdomain": subdomain[rows],
            "group": items.group[rows].astype(str),
            "split": np.repeat(list(parts), [len(part) for part in parts.values()]),
        }
    )
    real = columns.joined(real, None if bank.columns is None else bank.columns.iloc[rows])
    space = bench.space(episode, choice.layer, choice.tau, choice.adapter_layer)
    raw = bench.raw(episode, choice.layer)[torch.from_numpy(rows)]
    generated_at = torch.cat([space.apply(raw), *(synthetic.latents for _, synthetic, _ in drawn)])
    names = [*bank.layers, *([WEIGHTED] * (choice.layer not in bank.layers))]
    encoder = ((name, bench.raw(episode, name)) for name in names)
    counts = items.counts(episode.train)[np.ix_(classes, played)]
    write_json(
        run / "meta.json", {"format": FORMAT, **_meta(bench, episode, choice, counts, made, notes, played)}
    )
    layers = layer_stack(encoder, choice.layer, space, episode.train, rows, generated_at)
    points = point_table(real, drawn)
    if said:
        points = points.assign(**head_scores(np.concatenate(scores), points["label"].to_numpy()))
    write_points(run, points, layers, generated_at, key, next(iter(said), ""))
    return {**parts, **some}


def write_generator(
    run: Path, bench: Workbench, episode: Episode, choice: Choice, drawn: Candidate, key: str
) -> None:
    """Keep the arm that made an episode's latents, and its head, as `gelda run` does."""
    space, maker, head = drawn.space, drawn.maker, drawn.head
    assert space is not None and isinstance(maker, Gelda) and head is not None
    task = bench.task(episode, choice.layer, space=space)
    generator_kit.write(run, maker, task, head, choice.adapter_layer, space.scale, key)


def _distinct(made: Mapping[str, Synthetic]) -> dict[str, Synthetic]:
    """Arms without those whose latents are the very latents of an arm before: they would lie under them."""
    found: dict[str, Synthetic] = {}
    for method, synthetic in made.items():
        if not any(synthetic is other for other in found.values()):
            found[method] = synthetic
    return found


def _note(kind: str, drawn: int, total: int, method: str = "") -> list[str]:
    what = f"{KINDS[kind]} of {method}" if method else KINDS[kind]
    if drawn == total:
        return []
    return [f"{drawn} of {total} {what} are drawn: only the largest cells lose any."]


def _meta(
    bench: Workbench,
    episode: Episode,
    choice: Choice,
    counts: NDArray[np.int64],
    made: Mapping[str, Synthetic],
    notes: Sequence[str],
    played: NDArray[np.int64],
) -> dict[str, Any]:
    """Names, counts and groups for pages, in the form that `gelda run` has, and where the items lie."""
    items, bank = bench.items, bench.bank
    synthetic = np.zeros_like(counts)
    shown = next(iter(made.values()), None)
    if shown is not None:
        np.add.at(synthetic, (shown.label.numpy(), shown.subdomain.numpy()), 1)
    groups = {
        name: [episode.classes.index(c) for c in members] for name, members in class_groups(episode).items()
    }
    why = "chosen by validation" if bench.config.adapter.fm_layer == "auto" else "as set"
    aligned = choice.settings.get("gelda", {}).get("form") == "aligned"
    told = [
        f"Seed {episode.seed}" + (", first rotation." if episode.target is not None else "."),
        *notes,
        *(["GeLDA's heads see these latents after subdomain normalisation."] if aligned and made else []),
        *(
            ["The paper's form makes the very same latents: they are drawn once."]
            if len(_distinct(made)) < len(made)
            else []
        ),
    ]
    return {
        "class_names": [items.class_names[c] for c in episode.classes],
        "subdomain_names": [items.subdomain_names[s] for s in played],
        "axes": bank.axes,
        "dataset": bank.name,
        "real": counts,
        "synthetic": synthetic,
        "groups": groups,
        "empty_cells": np.argwhere(counts == 0),
        "display_seed": episode.seed,
        "fm_layer": choice.layer,
        "adapter_layer": choice.adapter_layer,
        "layer_reason": f"Encoder layer {choice.layer}, {why}.",
        "layer_scores": choice.scores["layer"],
        "media": bank.media,
        "root": bank.root,
        "notes": told,
        "caution": bank.note,
        "columns": bank.columns_key,
    }
