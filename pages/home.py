"""Home: what this is, one finished run, and the runs of this workspace."""

from app import home_view, state, widgets

state.begin("home")
with widgets.guarded():
    home_view.view()
