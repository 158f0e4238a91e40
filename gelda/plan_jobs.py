"""A plan over one folder: what of it is missing, its source, its bank, its comparisons."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gelda import class_start, datasets, paths
from gelda.artifacts import content_key
from gelda.class_start import RANDOM, TEXT
from gelda.compare_config import CompareConfig, resolve_compare
from gelda.config import merged
from gelda.datasets.options import SourceOptions
from gelda.datasets.source import Source
from gelda.encoders import ENCODERS, folders
from gelda.errors import UserError, unknown
from gelda.plans import PLANS, Plan
from gelda.semantics import SemanticInputs

ENCODING = ("layers", "pooling", "dtype", "batch_size", "workers", "max_skipped")  # settings beside the source's


@dataclass(frozen=True)
class Job:
    """options: the reader's. encoding: settings of ENCODING that were given or are the plan's. comparisons:
    CompareConfig's values, without a bank; `each` as target stands for every subdomain."""

    name: str
    plan: Plan
    data: Path
    options: SourceOptions
    encoder: str
    encoding: Mapping[str, Any]
    comparisons: tuple[Mapping[str, Any], ...]

    @property
    def source_path(self) -> Path:
        return self.data / self.plan.source

    @property
    def bank(self) -> Path:
        """The bank's folder, by its content: the same command finds it again."""
        made_of = [str(self.data), self.options, self.encoder, *(self.encoding.get(k) for k in ENCODING[:3])]
        words = re.sub(r"[^\w.-]+", "-", f"{self.name}-{Path(self.encoder).name}").lower()
        return paths.home() / "banks" / f"{words[:100]}-{content_key(*made_of)[:8]}"


def job(name: str, data: Path, encoder: str = "", settings: Mapping[str, Any] | None = None) -> Job:
    """The plan of that name over a folder, with settings laid over it, checked as far as they go without data.

    settings: CompareConfig's, for every comparison that has them; `source.…` the reader's; `extract.…` those
    of ENCODING.
    """
    if name not in PLANS:
        raise unknown("preset", name, PLANS)
    plan, given = PLANS[name], dict(settings or {})
    data = paths.permitted(data)
    if not data.is_dir():
        raise UserError(f"There is no folder {data}: give the folder of the data with --data.")
    read, encoding = given.pop("source", {}), given.pop("extract", {})
    for section, values in (("source", read), ("extract", encoding)):
        if not isinstance(values, dict):
            raise UserError(f"--set {section} is a group of settings: write {section}.NAME=value.")
    odd = next((key for key in encoding if key not in ENCODING), None)
    if odd:
        raise unknown("setting of extract", odd, ENCODING)
    options = dict(plan.options)
    if plan.without and next(data.glob(plan.without[0]), None) is None:
        options |= plan.without[1]
    made = Job(
        name,
        plan,
        data,
        datasets.source_options(merged(options, read)),
        encoder or plan.encoder,
        {"layers": plan.layers, "pooling": plan.pooling, "dtype": plan.dtype, **encoding},
        tuple(_fitting(values, given) for values in plan.compare),
    )
    for values in made.comparisons:
        config(values, made.bank)
    return made


def _fitting(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison's values with those settings laid over them that its protocol reads."""
    from gelda.cli_compare import FITTING

    protocol = given.get("protocol", values.get("protocol"))
    return merged(dict(values), {k: v for k, v in given.items() if protocol in FITTING.get(k, (protocol,))})


def config(values: Mapping[str, Any], bank: Path, target: str = "") -> CompareConfig:
    """A comparison's settings on a bank, with this target in the place of `each`."""
    own = {**values, "bank": str(bank)}
    return resolve_compare({**own, "target": target} if values.get("target") == "each" else own)


def missing(made: Job) -> list[str]:
    """What of the data is not there, one line each."""
    return [
        f"{pattern}: {what}"
        for pattern, what in made.plan.needs.items()
        if next(made.data.glob(pattern), None) is None
    ]


def open_source(made: Job) -> Source:
    """The plan's source; where data are missing, the sentence says what, and where people get them."""
    lacks = missing(made)
    if lacks:
        places = "; ".join(f"{p.what}: {p.url} ({p.terms})" for p in made.plan.places)
        raise UserError(f"{made.data} lacks {'; '.join(lacks)}. Where to get them: {places}.")
    return datasets.open_source(made.source_path, made.options)


def weights(name: str) -> Path | None:
    """The folder of a model's weights on this machine, None where there are none; nothing is fetched."""
    folder = folders.local(name)
    if folder is None:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            folder = Path(snapshot_download(name, local_files_only=True))
        except (LocalEntryNotFoundError, OSError, ValueError):
            return None
    try:
        folders.weight_files(folder)
    except UserError:
        return None
    return folder


def has_weights(encoder: str) -> bool:
    """Whether an encoder's weights are on this machine."""
    if encoder in ENCODERS:
        return ENCODERS[encoder].revision() != "missing"
    return weights(encoder) is not None


def text_start(made: Job, names: tuple[str, ...] | None = None) -> tuple[Job, str]:
    """The job with heads that start from the best text vectors there are, and a sentence that says which.

    The plan's text tower where its weights are here, else the shipped vectors, else (class `names` that these
    do not know) a random start. A start that somebody set is left.
    """
    own = f"text:{made.plan.text}"
    if not made.plan.text or all(_start(v) != own for v in made.comparisons):
        return made, ""
    if weights(made.plan.text) is not None:
        return made, f"Heads start from the text vectors of {made.plan.text}."
    start, said = TEXT, "the text vectors that ship (MiniLM's)"
    if names is not None:
        try:
            class_start.check(TEXT, SemanticInputs.of_names(names))
        except UserError as error:
            start, said = RANDOM, f"random weights, since {error}"
    changed = tuple(
        merged(dict(v), {"adapter": {"class_start": start}}) if _start(v) == own else v
        for v in made.comparisons
    )
    told = f"Heads start from {said}: the weights of {made.plan.text} are not here."
    return replace(made, comparisons=changed), told


def _start(values: Mapping[str, Any]) -> str:
    return str(values.get("adapter", {}).get("class_start", RANDOM))
