"""Learn: one idea a lesson, with something to drag; nothing is computed here."""

from app import learn_view, state, widgets

state.begin("learn")
with widgets.guarded():
    learn_view.view()
