"""Explore a run: the map of its latents, layer by layer."""

from app import explore_view, state, widgets

state.begin("explore")
with widgets.guarded():
    run, head, _ = widgets.run_picker(maps=True)
    if run is None:
        widgets.no_run()
    elif widgets.unfinished(run):
        pass
    elif not run.mapped:
        widgets.no_map(run, head)
    else:
        explore_view.view(run, head)
