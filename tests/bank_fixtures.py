"""Small made-up banks of ready latents: classes, subdomains, speakers and splits of every kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from gelda.ready import Items, ReadyBank

CLASSES = ("neutral", "anger", "joy", "fear")
SUBDOMAINS = ("german", "polish", "english")
SPEAKERS, TAKES = 4, 3


def speech_items(
    speakers: int = SPEAKERS, takes: int = TAKES, subdomains: tuple[str, ...] = SUBDOMAINS
) -> Items:
    """Every speaker has one language and says every class `takes` times: groups hold several classes."""
    rows = [
        (c, s, s * speakers + g)
        for s in range(len(subdomains))
        for g in range(speakers)
        for c in range(len(CLASSES))
        for _ in range(takes)
    ]
    label, subdomain, group = (np.array(column) for column in zip(*rows, strict=True))
    return Items(label, subdomain, group, np.full(len(label), ""), CLASSES, subdomains)


def photo_items(split: bool = True, a_cell: int = 12) -> Items:
    """Every item is its own group; with a split of its own (two thirds train) or none."""
    items = speech_items(1, a_cell)
    which = np.where(np.arange(len(items)) % 3 == 2, "test", "train")
    return replace(
        items, group=np.arange(len(items)), grouped=False, split=which if split else np.full(len(items), "")
    )


def bilingual_items() -> Items:
    """As speech_items, but speaker 0 of German is also speaker 0 of Polish, and 1 of Polish 1 of English."""
    items = speech_items()
    group = items.group.copy()
    group[group == SPEAKERS] = 0
    group[group == 2 * SPEAKERS + 1] = SPEAKERS + 1
    return replace(items, group=group)


def leaky_split_items() -> Items:
    """The bank's own split tests some of the speakers that it trains on."""
    items = speech_items()
    which = np.where(items.group % SPEAKERS == 3, "test", "train")
    which[np.flatnonzero(items.group == 0)[::2]] = "test"
    return replace(items, split=which)


ITEMS = {
    "speakers": speech_items,
    "photos": photo_items,
    "photos without a split": lambda: photo_items(split=False),
    "bilingual": bilingual_items,
    "a leaky split": leaky_split_items,
}


def planted_latents(items: Items, dim: int = 6, seed: int = 0) -> torch.Tensor:
    """Classes 3 apart, subdomains shifted, unit scatter: fp32 [N, D]."""
    rng = np.random.default_rng([seed, dim])
    centres, shifts = 3 * rng.normal(size=(items.cells[0], dim)), 2 * rng.normal(size=(items.cells[1], dim))
    z = centres[items.label] + shifts[items.subdomain] + rng.normal(size=(len(items), dim))
    return torch.from_numpy(z.astype(np.float32))


def ready_bank(items: Items, latents: dict[str, torch.Tensor], name: str = "planted") -> ReadyBank:
    """A bank in memory, as `open_bank` gives one."""
    return ReadyBank(
        name,
        "0" * 16,
        items,
        np.arange(len(items)).astype(str),
        {layer: z.shape[1] for layer, z in latents.items()},
        latents.__getitem__,
    )


def npz_arrays(items: Items, **layers: torch.Tensor) -> dict[str, np.ndarray]:
    """The arrays of an .npz (method §7) of these items; layer `pool` where none is given."""
    layers = layers or {"pool": planted_latents(items)}
    arrays = {f"z_{name}": z.numpy() for name, z in layers.items()}
    arrays |= {"y": items.label, "class_names": np.array(items.class_names)}
    arrays |= {"subdomain": items.subdomain, "subdomain_names": np.array(items.subdomain_names)}
    if (items.split != "").any():
        arrays["split"] = items.split
    if items.grouped:
        arrays["speaker"] = items.group
    return arrays


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez(path, **arrays)
    return path
