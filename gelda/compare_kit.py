"""The refit kit of `gelda compare`: GeLDA's head of the first episode, whose tested items are halved here.

The halves are for editing alone: what the report says was measured on all of them, with settings that
validation chose without them, and stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from gelda import kit, projection
from gelda.choices import Choice
from gelda.compare_report import class_groups
from gelda.protocols import Episode
from gelda.run_kit import head_about, head_tensors
from gelda.seeds import numpy_generator
from gelda.workbench import Candidate, Workbench

FEWEST = 2  # groups of tested items, one in each half: figures then have no interval, and say so


def possible(bench: Workbench, episode: Episode) -> bool:
    """Whether an episode's tested items come in groups enough to be halved."""
    return len(np.unique(bench.items.group[episode.test])) >= FEWEST


def halves(label: NDArray[np.integer], group: NDArray, seed: int) -> NDArray[np.bool_]:
    """Which tested items [M] are the dev half: whole groups, dealt out class by class."""
    names, first, place = np.unique(group, return_index=True, return_inverse=True)
    rng = numpy_generator(seed, "edit-halves")
    order = np.concatenate(
        [rng.permutation(np.flatnonzero(label[first] == c)) for c in np.unique(label[first])]
    )
    dev = np.zeros(len(names), bool)
    dev[order[::2]] = True
    return dev[place]


def dev_half(bench: Workbench, episode: Episode) -> NDArray[np.bool_]:
    """Which of an episode's tested items are the dev half [M]; the others are Confirm's alone."""
    items = bench.items
    return halves(items.label[episode.test], items.group[episode.test], episode.seed)


def write(
    run: Path,
    bench: Workbench,
    episode: Episode,
    choice: Choice,
    trained: Candidate,
    drawn: Mapping[str, NDArray[np.int64]],
) -> None:
    """Write the kit over the points of the same episode.

    trained: the arm with its maker, in the space of `choice`. drawn: what `compare_points.write` drew: rows
    of the bank by kind ("train", "test"), and rows of the arm's synthetic latents by its name.
    """
    items, space, made, maker = bench.items, trained.space, trained.made, trained.maker
    assert space is not None and made is not None and maker is not None
    classes, played = np.array(episode.classes), bench.subdomains(episode)
    label = np.searchsorted(classes, items.label)
    subdomain = np.searchsorted(played, items.subdomain)
    dev = dev_half(bench, episode)
    rows = np.concatenate([episode.train, episode.test[dev]])
    at = np.full(len(items.label), -1)
    at[drawn["train"]] = np.arange(len(drawn["train"]))
    at[drawn["test"]] = len(drawn["train"]) + np.arange(len(drawn["test"]))
    points = projection.load_points(run)
    first = int(np.flatnonzero((points["method"] == trained.arm).to_numpy())[0])
    own = np.full(len(made), -1)
    own[drawn[trained.arm]] = first + np.arange(len(drawn[trained.arm]))
    real = pd.DataFrame(
        {
            "id": bench.bank.ids[rows],
            "label": label[rows],
            "subdomain": subdomain[rows],
            "group": items.group[rows].astype(str),
            "split": np.repeat(["train", "dev"], [len(episode.train), int(dev.sum())]),
            "origin": "real",
            "level": 0,
            "point": at[rows],
        }
    )
    ids = points["id"].to_numpy()
    synthetic = pd.DataFrame(
        {
            "id": [ids[p] if p >= 0 else f"{trained.arm}-more-{i:05d}" for i, p in enumerate(own)],
            "label": made.label.numpy(),
            "subdomain": made.subdomain.numpy(),
            "group": "",
            "split": "",
            "origin": "synthetic",
            "level": 1 if made.level is None else made.level.numpy(),
            "point": own,
        }
    )
    table = pd.concat([real, synthetic], ignore_index=True).assign(kept=True)
    raw = bench.raw(episode, choice.layer)
    z = torch.cat([space.apply(raw[torch.from_numpy(rows)]), made.latents])
    missing = torch.from_numpy((table["point"] < 0).to_numpy(copy=True))
    task = bench.task(episode, choice.layer, space=space)
    tensors = head_tensors(maker, task, space.adapter, choice.adapter_layer, space.scale)
    held = episode.test[~dev]
    test = {
        "z": space.apply(raw[torch.from_numpy(held)]),
        "label": label[held].astype(np.int64),
        "subdomain": subdomain[held].astype(np.int64),
        "group": np.unique(items.group[held], return_inverse=True)[1],
    }
    about = {**_about(bench, episode, choice, trained, played), "test": len(held)}
    kit.write(run, about, table, {**tensors, "z": z[missing]}, test, list(bench.bank.ids[held]))


def _about(
    bench: Workbench, episode: Episode, choice: Choice, trained: Candidate, played: NDArray[np.int64]
) -> dict[str, object]:
    items, config, space = bench.items, bench.config, trained.space
    number = {c: k for k, c in enumerate(episode.classes)}
    place = {int(s): k for k, s in enumerate(played)}
    cells = {
        name: [(number[c], place[s]) for c, s in members if c in number and s in place]
        for name, members in episode.groups.items()
    }
    assert space is not None and trained.maker is not None
    head = head_about(
        trained.maker, trained.plan, config.adapter, space.adapter, choice.adapter_layer, episode.seed
    )
    width = trained.data.latents.shape[1]
    return {
        "class_names": [items.class_names[c] for c in episode.classes],
        "subdomain_names": [items.subdomain_names[s] for s in played],
        "groups": {k: [number[c] for c in v] for k, v in class_groups(episode).items()},
        "cells": cells,
        "empty": cells.get("unseen", []),
        "by_cell": episode.by_cell,
        "main": "tail" if episode.target is None else "uar",
        **head,
        "dtype": str(bench.dtype).removeprefix("torch."),
        "arm": trained.arm,
        "widths": head["widths"] or (width, *config.adapter.hidden),
    }
