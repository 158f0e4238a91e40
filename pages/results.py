"""Results of a run: what synthetic latents did to the rare classes, with intervals."""

from app import comparison_view, results_view, state, widgets

state.begin("results")
with widgets.guarded():
    run, head, _ = widgets.run_picker()
    if run is None:
        widgets.no_run()
    elif not widgets.unfinished(run):
        (comparison_view if run.comparison else results_view).view(run, head)
