"""Generate: train a generator on scarce classes, and compare what its latents do."""

from app import generate_view, state, widgets

state.begin("generate")
with widgets.guarded():
    generate_view.view()
