"""Rebuild the encoders that ship: `python -m gelda.pretrain mini-image` or `mini-speech`."""
