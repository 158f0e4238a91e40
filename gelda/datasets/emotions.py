"""Emotions under the names that sets of recordings give them, read as one name each.

The names are those of the manifests and label maps of EmoBox (Ma et al., Interspeech 2024,
github.com/emo-box/EmoBox) and the usual short forms. Only names of one emotion are joined: "excited" stays
apart from happiness, as it is merged for IEMOCAP alone.
"""

from __future__ import annotations

import pandas as pd

FOUR = ("anger", "happiness", "neutral", "sadness")  # what most sets have
ALIASES: dict[str, tuple[str, ...]] = {
    "anger": ("angry", "ang"),
    "happiness": ("happy", "hap", "joy", "joyful"),
    "neutral": ("neu", "neutrality"),
    "sadness": ("sad",),
    "fear": ("fearful", "fea"),
    "disgust": ("disgusted", "dis"),
    "surprise": ("surprised", "sur", "pleasant surprise", "pleasant_surprise"),
    "boredom": ("bored", "bor"),
    "calm": ("calmness",),
}
_NAME_OF = {alias: name for name, aliases in ALIASES.items() for alias in (name, *aliases)}


def joined(rows: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Rows with the usual name of each emotion, in any letters' case; what was read as what is noted."""
    found = {label: _NAME_OF.get(label.casefold(), label) for label in rows["label"].unique()}
    for name in sorted(set(found.values())):
        others = sorted(label for label, of in found.items() if of == name and label != name)
        if others:
            notes.append(f"The emotion '{name}' is called {', '.join(repr(o) for o in others)} in the data.")
    return rows.assign(label=rows["label"].map(found))


def alike(labels: pd.Series) -> list[str]:
    """Pairs of names of one emotion that stand apart, as "'Happy' and 'joy'"; usual names only."""
    groups: dict[str, list[str]] = {}
    for label in sorted(labels.unique()):
        if label.casefold() in _NAME_OF:
            groups.setdefault(_NAME_OF[label.casefold()], []).append(label)
    return [" and ".join(map(repr, names)) for names in groups.values() if len(names) > 1]
