"""GeLDA: semantics-aware generative latent data augmentation for low-resource domains."""

__version__ = "0.6.1"
