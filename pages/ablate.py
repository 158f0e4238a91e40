"""Ablate: which setting matters, by how much, and how sure that is; studies run as jobs."""

from app import ablate_view, state, widgets

state.begin("ablate")
with widgets.guarded():
    ablate_view.view()
