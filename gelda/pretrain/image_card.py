"""The model card of ``mini-image`` in prose, written from its ``card.json`` alone."""

from __future__ import annotations

from pathlib import Path

from gelda.artifacts import atomic, read_json
from gelda.encoders import mini_image

README = """# mini-image

A miniature image foundation model: {card[architecture][network]}, {card[architecture][parameters]:,}
parameters, trained to tell {data[classes_trained]} letters apart. It stands in for a large encoder where
there is no network: the digits demo takes its frozen latents. This page is generated from `card.json`.

- **Input**: {card[architecture][input]}.
- **Layers**, globally averaged: {layers}.
- **Weights**: `{card[weights][file]}`, {megabytes:.1f} MB, {card[weights][dtype]},
  sha256 `{card[weights][sha256]}`.
- **Rebuild**: `{rebuild}` ({training[seconds]} s on {training[threads]} CPU threads{note}, then
  the probes). The same seed gives the same weights on the same machine and versions only.

## Data: letters, no digits

{data[glyphs_trained]:,} drawings of {data[classes_trained]} letters (of {data[classes_total]}; letters
drawn alike, as A and Alpha, are one class) in {scripts} scripts, from the fonts that matplotlib ships.
Left out: every Unicode number, every character that decomposes, and {left_out} letters that look like a
digit: those judged so by eye, and those whose drawing correlates above {limit} with a digit in any pair
of faces. All are listed in `card.json`, and a test derives the rule again.

Distortion: {data[distortion]}
The distortions grow over the first {ramp:.0f} % of the steps.

{licences}
## Training

{training[loss]}. {training[optimiser]}. {training[steps]} steps of {training[batch]}, seed {training[seed]}.
Accuracy on distorted training letters at the end: {training[accuracy]:.1f} %. Versions: {versions}.

## What it was chosen by

{check[choice]}

Known letters in faces never trained on ({faces}): {check[new_faces]:.1f} %. Letters never trained on, linear
probe fitted on upright drawings in regular faces and tested on bold ones, accuracy in %:

| | {conditions} |
|---|---|---|---|---|---|
{letters}

## Digits (reported, not chosen by)

Logistic regression on standardised latents, fitted on the upright images of one half of the 1 797
originals and tested on the other half in each condition; `few` is upright again, fitted on {probe[few]}
labelled digits. Accuracy in %, mean over {probe[splits]} splits.

{table}"""


def write_readme(folder: Path) -> None:
    """Write ``README.md`` from the ``card.json`` in ``folder``."""
    card = read_json(folder / mini_image.CARD)
    data, training, check, digits_probe = (card[key] for key in ("data", "training", "validation", "probe"))
    columns = (*check["new_letters"], "few")
    head = f"| latents | layer | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}\n"
    table = head + "".join(
        f"| {arm} | {layer} | {' | '.join(f'{row[column]:.1f}' for column in columns)} |\n"
        for arm, layers in digits_probe["accuracy"].items()
        for layer, row in layers.items()
        if arm != "random weights" or layer in ("stage0.1", "stage2.1", "stage3.1")
    )
    letters = "\n".join(
        f"| {name} | {' | '.join(f'{value:.1f}' for value in check[key].values())} |"
        for name, key in (("pre-trained", "new_letters"), ("random weights", "random_weights"))
    )
    left_out = sum(len(part) for key in ("judged", "measured") for part in data["excluded"][key].values())
    faces = " and ".join(data["faces_held_out"])
    licences = "".join(f"- {family}: {text}\n" for family, text in data["licences"].items())
    text = README.format(
        card=card, data=data, training=training, check=check, probe=digits_probe, left_out=left_out,
        table=table, letters=letters, conditions=" | ".join(check["new_letters"]), faces=faces,
        licences=licences, note=", " + training["note"] if "note" in training else "",
        scripts=len(data["scripts"]), ramp=100 * training["ramp"],
        megabytes=card["weights"]["bytes"] / 1e6, rebuild=mini_image.REBUILD,
        limit=data["excluded"]["likeness_limit"],
        layers=", ".join(f"`{name}` {width}" for name, width in card["architecture"]["layers"].items()),
        versions=", ".join(f"{name} {number}" for name, number in card["versions"].items()),
    )  # fmt: skip
    with atomic(folder / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
