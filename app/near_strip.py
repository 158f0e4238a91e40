"""What both halves of the neighbours panel share: the strip of what lies near, and the layer it lies in."""

from __future__ import annotations

from app import items, state, widgets, words
from app.explored import Explored
from gelda.nearby import Near

MOST = {"audio": 16}  # shown at once of a kind that takes room
ACROSS = 4  # players in a row


def layer(explored: Explored, synthetic: bool, made: bool = False) -> tuple[str, str]:
    """The layer in view, or the generation layer where synthetic latents are asked for and it has none.

    made: those that edits made are asked for, which the generation layer alone has.
    """
    layers = {layer.name: layer for layer in explored.layers}
    shown = layers[state.value("layer")]
    if not shown.generation_layer and (made or (synthetic and not shown.has_synthetic)):
        own = next(layer for layer in explored.layers if layer.generation_layer)
        what = "synthetic latents" if not shown.has_synthetic else "latents that edits made"
        return (
            own.name,
            f"{words.safe(shown.title)} holds no {what}: measured in {words.safe(own.title)}. ",
        )
    return shown.name, ""


def cell_name(explored: Explored, row: int) -> str:
    """Class and subdomain of a point, in words."""
    return words.cell(explored.points.iloc[row], explored.classes, explored.subdomains)


def strip(explored: Explored, own: list[tuple[int, str, bool]], near: Near) -> None:
    """Neighbours to see or hear; a synthetic one is stood in for by its own nearest training item."""
    if not items.kind(explored.meta):
        return
    stand_in = explored.neighbours[0][:, 0]
    most = MOST.get(items.kind(explored.meta), len(near.rows))
    figures = list(own)
    for row, far in list(zip(near.rows, near.distance, strict=True))[:most]:
        held = "" if explored.points["split"].iloc[row] in ("train", "") else ", held-out"
        caption = f"{cell_name(explored, row)}{held}, at {far:.1f}"
        if not explored.synthetic[row]:
            figures.append((int(row), caption, False))
        elif stand_in[row] >= 0:
            figures.append((int(stand_in[row]), f"near a latent for {caption}", True))
    uris = explored.points["uri"]
    items.draw([(items.shown(explored.meta, uris.iloc[r]), said, made) for r, said, made in figures],
               explored.meta, ACROSS)  # fmt: skip
    if len(near.rows) > most:
        widgets.note(f"The first {most}; the table holds all {len(near.rows)}.")
