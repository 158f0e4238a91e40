"""The command `semantics`: how alike names are by a source of semantic vectors."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from gelda.cli_options import JsonFile, check_writable, source_of


def semantics(
    names: Annotated[str, typer.Argument(help="An .npz of latents, a bank folder, or names: happy,sad.")],
    axis: Annotated[str, typer.Option(help="class or subdomain.")] = "class",
    source: Annotated[str, typer.Option(help="A source's name, or a CSV or npz file.")] = "auto",
    template: Annotated[
        str, typer.Option(help='Texts for text:MODEL, "a photo of a {} | a sketch of a {}", or descriptions.')
    ] = "{}",
    fm_layer: Annotated[str, typer.Option(help="Layer that means are read from; the last by default.")] = "",
    json_file: JsonFile = None,
) -> None:
    """Print the cosine similarity of a source's vectors, as a generator would be given them."""
    from gelda import semantic_preview, terminal
    from gelda.ready import open_bank

    if json_file:
        check_writable(json_file)
    if "," in names and not os.path.exists(names):  # False too for what is too long to be a path
        listed = [name.strip() for name in names.split(",") if name.strip()]
        inputs = semantic_preview.of_names(listed, axis, template)
    else:
        inputs = semantic_preview.of_bank(open_bank(names), axis, fm_layer, template)
    used, table = semantic_preview.preview(source_of(source), inputs)
    terminal.print_similarity(
        f"Cosine similarity of {axis} names by '{used}'", list(table.columns), table.to_numpy().tolist()
    )
    if json_file:
        from gelda.artifacts import FORMAT, write_json

        result = {"axis": axis, "source": used, "names": list(table.columns)}
        write_json(json_file, {"format": FORMAT, **result, "similarity": table.to_numpy()})
        typer.echo(f"Similarity written to {json_file}.")
