"""The model card of ``mini-speech`` in prose, written from its ``card.json`` alone."""

from __future__ import annotations

from pathlib import Path

from gelda.artifacts import atomic, read_json

REBUILD = "python -m gelda.pretrain mini-speech"
README = """# mini-speech

A miniature speech foundation model: {card[architecture][network]}, {card[architecture][parameters]:,}
parameters. It stands in for a large encoder where there is no network: the speech demo takes its frozen
latents. **It learned from synthetic speech only (espeak-ng {card[versions][espeak-ng]}), without emotion
labels**, and has never heard a person. This page is generated from `card.json`.

- **Input**: {card[architecture][input]};
  longer sounds are cut into such windows, shorter ones padded.
- **Layers**, pooled over the frames that hold sound: {layers}.
- **Weights**: `{card[weights][file]}`, {megabytes:.1f} MB, {card[weights][dtype]},
  sha256 `{card[weights][sha256]}`.
- **Rebuild**: `{rebuild}` ({training[seconds][processor]} s of one core,
  {training[seconds][wall]} s by the clock with other programs running; then the probes). It needs
  espeak-ng. The same seed gives the same weights on the same machine and versions only.

## Data

{data[utterances]:,} utterances, each made for one step, in {languages} languages ({names}) and
{voices} of espeak-ng's voices.
{data[text]}
Distortion: {data[distortion]}

- Held out, only probed: {held_out}.
- Never spoken here, as the speech demo's voices or akin to them: {never}.
- {data[licence]}

## Training

Targets, all read from the last layer, with the weights of their losses:

- `masked` {training[losses][masked]}: the log-mel values of masked stretches (about {masked:.0f} % of the
  positions, {training[masked][positions]} or more together);
- `heard` {training[losses][heard]}: the log-mel values of the other positions;
- `phoneme` {training[losses][phoneme]}: which of {phonemes} phonemes or silence espeak-ng speaks at each
  position, masked or not;
- `voice` {training[losses][voice]} and `language` {training[losses][language]}: of the utterance.

No emotion is a target, and neither are rate, pitch, range and loudness, which are drawn at random.
{training[optimiser]}, {training[precision]} products. {training[steps]} steps of {training[batch]}, seed
{training[seed]}. Losses and right phonemes (%) at the end, stretches masked: {seen}.
Versions: {versions}.

## What it was chosen by

{card[validation][choice]}

Phonemes at the positions of new utterances, right in %, nothing masked: {check}.

## Probes

Numbers from zero to nine in six languages by the six voices held out, {clips} clips of one word. Accuracy in
%: the *word* (of ten; by two voices where the probe was fitted on four, *by one*: by five where it was fitted
on one), the *voice* (of six; other words), the *language* (of six; other voices and words). R² in %: the
*rate* and the *pitch* that were set. Linear probes, by layer and pooling; log-mel statistics are the mean and
deviation over time of what the encoder reads.

{table}"""


def write_readme(folder: Path) -> None:
    """Write `README.md` from the `card.json` in `folder`."""
    card = read_json(folder / "card.json")
    data, training, rows = card["data"], card["training"], card["probe"]["rows"]
    columns = [name for name in rows[0] if name not in ("arm", "layer", "pooling")]
    table = f"| latents | layer | pooling | {' | '.join(columns)} |\n|---|---|---|{'---|' * len(columns)}\n"
    for row in rows:
        values = " | ".join(f"{row[name]:.1f}" for name in columns)
        table += f"| {row['arm']} | {row['layer']} | {row['pooling']} | {values} |\n"
    text = README.format(
        card=card, data=data, training=training, table=table, rebuild=REBUILD,
        layers=", ".join(f"`{name}` {width}" for name, width in card["architecture"]["layers"].items()),
        megabytes=card["weights"]["bytes"] / 1e6, languages=len(data["languages"]),
        voices=len(data["voices"]), names=" ".join(data["languages"]),
        held_out=", ".join(data["voices_held_out"]),
        never=", ".join(data["voices_never_used"]), masked=100 * training["masked"]["share"],
        phonemes=len(data["phonemes"]) - 1, clips=card["probe"]["clips"],
        seen=", ".join(f"{name} {value}" for name, value in training["seen"].items()),
        check=", ".join(f"{name} {value}" for name, value in card["validation"]["phonemes"].items()),
        versions=", ".join(f"{name} {number}" for name, number in card["versions"].items()),
    )  # fmt: skip
    with atomic(folder / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
