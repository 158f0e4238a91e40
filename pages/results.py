"""Results of a run: what synthetic latents did to the rare classes, with intervals."""

from app import results_view, state, widgets

state.begin("results")
with widgets.guarded():
    run, head, _ = widgets.run_picker()
    if run is None:
        widgets.no_run()
    elif not widgets.unfinished(run):
        results_view.view(run, head)
