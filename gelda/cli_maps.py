"""The command `project`: make maps of a finished run."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import ValidationError

from gelda.errors import UserError


def project(
    run_id: Annotated[str, typer.Argument(help="A run's id; `digits` is the one that ships.")],
    layers: Annotated[list[str] | None, typer.Argument(help="Layers; every one where none is named.")] = None,
    scope: Annotated[
        str, typer.Option(help="all, class:NAME, subdomain:NAME, or each-class, each-subdomain.")
    ] = "all",
    name: Annotated[str, typer.Option(help="What to call the maps.")] = "",
    n_neighbors: Annotated[int | None, typer.Option(help="Size of a neighbourhood.")] = None,
    min_dist: Annotated[float | None, typer.Option(help="How close points may come, 0 to 1.")] = None,
    metric: Annotated[str | None, typer.Option(help="euclidean or cosine.")] = None,
    fit_on: Annotated[int | None, typer.Option(help="Real latents the map is fitted on at most.")] = None,
    pca: Annotated[int | None, typer.Option(help="Principal components reduced to first.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed draws another picture.")] = None,
    aligned: Annotated[
        bool, typer.Option("--aligned", help="All layers of everything laid out together.")
    ] = False,
) -> None:
    """Make maps of a finished run; settings that are not given are the run's own."""
    from gelda import aligned_maps, layer_maps, map_jobs, projection, runs
    from gelda.artifacts import read_json
    from gelda.config import explain
    from gelda.settings import ProjectionConfig

    path = runs.find_run(run_id)
    given = {"n_neighbors": n_neighbors, "min_dist": min_dist, "metric": metric, "fit_on": fit_on, "pca": pca}
    chosen = {key: value for key, value in {**given, "seed": seed}.items() if value is not None}
    try:
        config = ProjectionConfig(**{**map_jobs.projection_config(path).model_dump(), **chosen})
    except ValidationError as error:
        raise UserError(explain(error, ProjectionConfig)) from error
    meta, workspace = read_json(path / "meta.json"), map_jobs.map_workspace(path)

    def tell(made: projection.MapInfo) -> None:
        said = f"{made.layer_title}, {made.scope_name or 'everything'}"
        typer.echo(f"{said}: trustworthiness {made.trustworthiness:.3f} ({made.key})")

    if aligned:
        if layers or scope != "all":
            raise UserError("--aligned lays out all layers of everything: leave out the layers and --scope.")
        for made in aligned_maps.project(path, config, workspace, name):
            tell(made)
        layer_maps.write_change(path, workspace)
        return
    names = {"each-class": meta["class_names"], "each-subdomain": meta["subdomain_names"]}
    kind, _, one = scope.partition(":")
    scopes = [(kind.removeprefix("each-"), each) for each in names.get(kind, ())] or [(kind, one)]
    for layer in layers or [info.name for info in projection.layers(path)]:
        for kind, one in scopes:
            tell(projection.project(path, layer, kind, one, config, workspace, name))
    layer_maps.write_change(path, workspace)


def project_stored(run_id: str, keys: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """What a background job does: make the maps whose documents were written."""
    from gelda.map_jobs import make_projections

    if make_projections(run_id, keys or []):
        raise typer.Exit(1)
