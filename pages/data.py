"""Data: the items a person has, counted, shown and checked."""

from app import data_view, state, widgets

state.begin("data")
with widgets.guarded():
    data_view.view()
