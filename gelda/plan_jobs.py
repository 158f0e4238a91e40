"""A plan over one folder: what of it is missing, its source, its bank, its comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from gelda import class_start, datasets, encoders, extraction_runs, paths
from gelda.class_start import RANDOM, TEXT
from gelda.compare_config import FITTING, CompareConfig, resolve_compare
from gelda.config import merged
from gelda.datasets import Source
from gelda.encoders import folders, timm_image
from gelda.errors import UserError, unknown
from gelda.extract_config import ExtractConfig, resolve_extract
from gelda.plans import PLANS, Plan
from gelda.semantics import SemanticInputs


@dataclass(frozen=True)
class Job:
    """extract: the extraction, with full paths. comparisons: CompareConfig's values, without a bank; the
    target `each` stands for every subdomain."""

    name: str
    plan: Plan
    data: Path
    extract: ExtractConfig
    comparisons: tuple[Mapping[str, Any], ...]

    @property
    def bank(self) -> Path:
        return Path(self.extract.out)


def job(
    name: str, data: Path | Sequence[Path], encoder: str = "", settings: Mapping[str, Any] | None = None
) -> Job:
    """The plan of that name over a folder, with settings laid over it, checked as far as goes without data.

    data: also a manifest, or several manifests and folders, where the plan's reader takes such.
    settings: CompareConfig's, for every comparison whose protocol reads them; `source.…` the reader's;
    `extract.…` ExtractConfig's. An encoder that is not the plan's own is read at its last four layers.
    """
    if name not in PLANS:
        raise unknown("preset", name, PLANS)
    plan, given = PLANS[name], dict(settings or {})
    places = [paths.permitted(one) for one in ([data] if isinstance(data, Path | str) else data)]
    reader = datasets.READERS[str(plan.options["reader"])]
    several = "beside" in reader.own
    for place in places:
        if not (place.is_dir() or several and place.is_file()):
            manifest = " or manifest" if several else ""
            raise UserError(f"There is no folder{manifest} {place}: give the data with --data.")
    if len(places) > 1 and not several:
        raise UserError(f"The preset '{name}' reads one folder: give --data once.")
    data, *beside = places
    read, encoding = given.pop("source", {}), given.pop("extract", {})
    options = {**plan.options, **({"beside": tuple(map(str, beside))} if beside else {})}
    whole = data / plan.source if data.is_dir() and not beside else data
    own = encoder in ("", plan.encoder)
    values = {
        "path": str(whole if whole.exists() else data),
        "source": merged({"source": options}, {"source": read})["source"],
        "encoder": encoder or plan.encoder,
        "layers": plan.layers if own else "last4",
        "dtype": "float16",
        **{key: given[key] for key in ("device", "precision") if key in given},
        **(encoding if isinstance(encoding, dict) else {"extract": encoding}),
    }
    made = Job(
        name,
        plan,
        data,
        extraction_runs.resolved(resolve_extract(values)),
        tuple(_fitting(values, given) for values in plan.compare),
    )
    for one in made.comparisons:
        config(one, made.bank, "any")
    return made


def _fitting(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison's values with those settings laid over them that its protocol reads."""
    protocol = given.get("protocol", values["protocol"])
    return merged(dict(values), {k: v for k, v in given.items() if protocol in FITTING.get(k, (protocol,))})


def config(values: Mapping[str, Any], bank: Path, target: str = "") -> CompareConfig:
    """A comparison's settings on a bank, with this target in the place of `each`."""
    own = {**values, "bank": str(bank)}
    return resolve_compare({**own, "target": target} if values.get("target") == "each" else own)


def missing(made: Job) -> list[str]:
    """What of the data is not there, one line each; of manifests that are named, the reader says it."""
    if not made.data.is_dir() or made.extract.source.beside:
        return []
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
    return datasets.open_source(made.extract.path, made.extract.source)


def weights(name: str) -> Path | None:
    """The folder of a model's weights on this machine, None where there are none; nothing is fetched."""
    folder = folders.local(name)
    if folder is not None:
        folders.weight_files(folder)  # a local folder has weights, or is refused
        return folder
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    if name.startswith("timm/"):
        name = timm_image.hub_name(name)
    fetched = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model") / "snapshots"
    for snapshot in sorted(fetched.glob("*"), key=lambda p: -p.stat().st_mtime):
        with suppress(UserError):
            folders.weight_files(snapshot)
            return snapshot
    return None


def has_weights(encoder: str) -> bool:
    """Whether an encoder's weights are on this machine; a name that cannot be one is refused."""
    if "/" not in encoder and not Path(encoder).is_dir():
        return encoders.get(encoder).revision() != "missing"
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
            count = len(names)
            inputs = SemanticInputs(torch.eye(count), torch.arange(count), count, names=names)
            class_start.check(TEXT, inputs)
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
