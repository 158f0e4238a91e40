"""SEMANTICS: where the semantic vectors γ (class) and κ (subdomain) come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from gelda import semantic_moments, semantic_tables
from gelda.artifacts import file_sha256
from gelda.errors import UserError, unknown
from gelda.semantic_files import (
    DESCRIPTIONS,
    check_template,
    read_lang2vec,
    read_vad,
    read_vectors,
    texts_of,
)
from gelda.texts import check_folder, embed

AUTO = "auto"


@dataclass(frozen=True)
class SemanticInputs:
    """What a source may look at: training rows only, and what is known of the names.

    latents [N, D] standardised training latents; ids [N] of the axis in question (class or
    subdomain); count = number of ids; attributes [count, k] the dataset's own table; given [count, k]
    the vectors that came with the latents; kept bool [N]: the rows that alone may place a subdomain
    (the kept class, neutral-only setting); unlabelled ([M, D], ids [M]): the target's latents without
    labels (transductive setting only); template: texts around a name, or a file of descriptions.
    """

    latents: torch.Tensor
    ids: torch.Tensor
    count: int
    attributes: torch.Tensor | None = None
    names: tuple[str, ...] | None = None
    axis: str = "class"  # or "subdomain"
    given: torch.Tensor | None = None
    kept: torch.Tensor | None = None
    unlabelled: tuple[torch.Tensor, torch.Tensor] | None = None
    template: str = "{}"

    @property
    def flag(self) -> str:
        """The setting that takes a file of vectors for this axis."""
        return f"--{self.axis}-semantics"

    def rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents [R, D] and ids [R] that the setting lets a source of means read."""
        if self.unlabelled is not None:
            latents, ids = self.unlabelled
            return torch.cat([self.latents, latents]), torch.cat([self.ids, ids])
        if self.kept is not None:
            return self.latents[self.kept], self.ids[self.kept]
        return self.latents, self.ids

    def known_names(self) -> tuple[str, ...]:
        """The names, or an error for latents that came without any."""
        if self.names is None:
            raise UserError(
                f"The {self.axis} names are unknown: choose 'mean' or 'one-hot', or add them to the manifest."
            )
        return self.names


@dataclass(frozen=True)
class SemanticSource:
    """vectors(inputs, argument) -> [count, d]; `argument` says what stands after the colon, if anything.

    optional: it may be left out. lookup: the vectors depend on the names alone and come at once, so they
    are tried before a run.
    """

    title: str
    note: str
    vectors: Callable[[SemanticInputs, str], torch.Tensor]
    argument: str = ""
    lookup: bool = False
    optional: bool = False


def _one_hot(inputs: SemanticInputs, argument: str) -> torch.Tensor:
    return torch.eye(inputs.count)


def _attributes(inputs: SemanticInputs, argument: str) -> torch.Tensor:
    if inputs.attributes is None:
        raise UserError("This dataset has no attribute table: choose 'one-hot' or 'mean' as semantic source.")
    return _fitting(inputs.attributes, inputs, "attribute table")


def _given(inputs: SemanticInputs, argument: str) -> torch.Tensor:
    if inputs.given is None:
        raise UserError(
            f"These latents came without {inputs.axis}_semantics: choose another semantic source or add the "
            "array to the file of latents."
        )
    return _fitting(inputs.given, inputs, f"{inputs.axis}_semantics table")


def _fitting(table: torch.Tensor, inputs: SemanticInputs, what: str) -> torch.Tensor:
    if len(table) != inputs.count:
        raise UserError(f"The {what} has {len(table)} rows where there are {inputs.count} names.")
    return table.float()


def _shipped(inputs: SemanticInputs, argument: str) -> torch.Tensor:
    return semantic_tables.text_vectors(inputs.known_names(), inputs.flag, argument or None)


def _vad(inputs: SemanticInputs, argument: str) -> torch.Tensor:
    if argument:
        return read_vad(argument, inputs.known_names())
    return semantic_tables.vad(inputs.known_names(), inputs.flag)


def _typology(inputs: SemanticInputs, argument: str) -> torch.Tensor:
    return semantic_tables.typology(inputs.known_names(), inputs.flag)


def _lang2vec(inputs: SemanticInputs, argument: str) -> torch.Tensor:
    return read_lang2vec(argument, inputs.known_names(), inputs.flag)


def _text(inputs: SemanticInputs, argument: str) -> torch.Tensor:
    """Unit vectors; of several texts a name the mean, at unit length (CLIP's ensemble, arXiv 2103.00020)."""
    texts = texts_of(inputs.template, inputs.known_names())
    parts = embed([text for own in texts for text in own], argument).split([len(own) for own in texts])
    means = [part[0] if len(part) == 1 else nn.functional.normalize(part.mean(0), dim=0) for part in parts]
    return torch.stack(means)


def _file(inputs: SemanticInputs, argument: str) -> torch.Tensor:
    return read_vectors(argument, inputs.known_names())


def _mean(inputs: SemanticInputs, argument: str) -> torch.Tensor:
    """Mean latent of each id; an id without any row gets the overall mean."""
    if len(inputs.latents) == 0:
        raise UserError(
            "Means are read from latents, and there are none here: give a bank, or another source."
        )
    latents, ids = inputs.rows()
    overall = (latents if len(latents) else inputs.latents).mean(0)
    rows = [latents[ids == i] for i in range(inputs.count)]
    return torch.stack([r.mean(0) if len(r) else overall for r in rows])


def _moments(inputs: SemanticInputs, argument: str) -> torch.Tensor:
    return semantic_moments.moments(*inputs.rows(), _mean(inputs, argument))


SEMANTICS: dict[str, SemanticSource] = {
    "one-hot": SemanticSource("One-hot", "No relation between names: the control.", _one_hot),
    "given": SemanticSource("Given", "The vectors that came with the latents.", _given),
    "attributes": SemanticSource("Attribute table", "The dataset's own table of properties.", _attributes),
    "shipped": SemanticSource(
        "Shipped text vectors",
        "MiniLM vectors of known names (shipped:imagenet fixes the list); other names are an error.",
        _shipped,
        "LIST",
        lookup=True,
        optional=True,
    ),
    "vad": SemanticSource(
        "Valence, arousal, dominance",
        "Emotions by published ratings; vad:PATH reads your own table, such as the NRC VAD lexicon.",
        _vad,
        "PATH",
        lookup=True,
        optional=True,
    ),
    "typology": SemanticSource(
        "Language typology", "Languages by family, word order and sound.", _typology, lookup=True
    ),
    "lang2vec": SemanticSource(
        "lang2vec",
        "Languages by URIEL: your copy of lang2vec's feature_predictions.npz (CC BY-SA 4.0, not shipped).",
        _lang2vec,
        "PATH",
        lookup=True,
    ),
    "text": SemanticSource(
        "Text model", "Names or descriptions through any text model of transformers.", _text, "MODEL_FOLDER"
    ),
    "file": SemanticSource("Your file", "A CSV of name,v1,v2,… or an npz.", _file, "PATH", lookup=True),
    "mean": SemanticSource("Mean latent", "Prototype of a class, centre of a subdomain.", _mean),
    "moments": SemanticSource(
        "Mean and covariance",
        "Of a subdomain's rows: unlabelled ones too where the setting has them.",
        _moments,
    ),
}


def split(name: str) -> tuple[str, str]:
    """`text:folder` → (text, folder)."""
    source, _, argument = name.partition(":")
    return source, argument.strip()


def check(name: str, axis: str = "class", names: Sequence[str] | None = None, template: str = "{}") -> None:
    """Raise for a source that is not there, lacks what stands after the colon, or lacks one of `names`."""
    if name == AUTO:
        return
    source, argument = split(name)
    if source not in SEMANTICS:
        raise unknown("semantic source", name, [AUTO, *SEMANTICS])
    entry = SEMANTICS[source]
    if entry.argument and not argument and not entry.optional:
        raise UserError(
            f"The semantic source '{source}' needs a {entry.argument}: write {source}:{entry.argument}."
        )
    if argument and source == "shipped" and argument not in semantic_tables.LISTS:
        raise unknown("shipped list", argument, semantic_tables.LISTS)
    if argument and not entry.argument:
        raise UserError(f"The semantic source '{source}' takes nothing after a colon: write {source}.")
    if source == "text":
        check_folder(argument)
        check_template(template, names)
    if entry.lookup and names is not None:
        nothing = torch.zeros(0, 1)
        entry.vectors(
            SemanticInputs(nothing, nothing[:, 0].long(), len(names), names=tuple(names), axis=axis), argument
        )


def resolve(name: str, inputs: SemanticInputs) -> str:
    """The source that `name` stands for: itself, or what `auto` chooses.

    γ: given > valence-arousal-dominance > shipped text, where every name is found > attribute table > mean.
    κ: given > mean where every subdomain has a row it may be read from (measured better, method §4) >
    typology > shipped text > attribute table > mean.
    """
    check(name)
    if name != AUTO:
        return name
    if inputs.given is not None:
        return "given"
    if inputs.axis == "subdomain" and len(set(inputs.rows()[1].tolist())) == inputs.count:
        return "mean"
    names = inputs.names or ()
    table = "vad" if inputs.axis == "class" else "typology"
    if names and semantic_tables.holds(names, table):
        return table
    for listed in semantic_tables.LISTS if names else ():
        if semantic_tables.holds(names, listed):
            return f"shipped:{listed}"
    return "attributes" if inputs.attributes is not None else "mean"


def vectors(name: str, inputs: SemanticInputs) -> torch.Tensor:
    """Semantic vectors fp32 [count, d] of source `name`; `auto` chooses one (see `resolve`)."""
    source, argument = split(resolve(name, inputs))
    if inputs.names is not None and len(inputs.names) != inputs.count:
        raise UserError(f"There are {len(inputs.names)} {inputs.axis} names for {inputs.count} ids.")
    made = SEMANTICS[source].vectors(inputs, argument).float()
    if not torch.isfinite(made).all():
        raise UserError(f"The semantic vectors '{name}' hold NaN or infinity: choose another source.")
    return made


def fingerprint(setting: str) -> str:
    """A source or template with the hash of the file it reads, for content keys: a new file trains anew."""
    source, argument = split(setting)
    named = source in SEMANTICS
    path = Path(argument if named else setting).expanduser()
    reads = SEMANTICS[source].argument == "PATH" if named else setting.lower().endswith(DESCRIPTIONS)
    return f"{setting}@{file_sha256(path)[:16]}" if reads and path.is_file() else setting


def similarity(table: torch.Tensor, names: Sequence[str]) -> pd.DataFrame:
    """Cosine similarity [n, n] of a table's rows after centring, as the generator sees them.

    A row that equals the mean has no direction: 0 to all others, 1 to itself.
    """
    if len(names) != len(table):
        raise UserError(f"There are {len(names)} names for {len(table)} semantic vectors.")
    unit = torch.nn.functional.normalize(table.double() - table.double().mean(0), dim=1)
    cosine = (unit @ unit.T).clamp(-1, 1).fill_diagonal_(1)
    return pd.DataFrame(cosine.numpy(), index=list(names), columns=list(names))
