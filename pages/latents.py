"""Latents: from items to the layers of a frozen encoder, and which layer to take."""

from app import latents_view, state, widgets

state.begin("latents")
with widgets.guarded():
    latents_view.view()
