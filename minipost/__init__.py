"""minipost: the whole post-training stack of a language model, from scratch, on a laptop's CPU."""

__version__ = "0.1.0"
