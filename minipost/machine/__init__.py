"""The machine under a run: what it is, how fast it is, and what about it slows training."""
