"""Results of a run: what synthetic latents did to the rare classes, with intervals; or two runs."""

from app import comparison_view, results_view, state, versus_view, widgets

state.begin("results")
with widgets.guarded():
    run, head, places = widgets.run_picker((0.3, 0.4))
    if run is None:
        widgets.no_run()
    elif not widgets.unfinished(run):
        other = versus_view.picker(run, places[0])
        if other is not None:
            versus_view.view(run, other, head)
        else:
            (comparison_view if run.comparison else results_view).view(run, head)
