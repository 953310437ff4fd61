"""Numba kernels: arrays in, arrays out, forward beside backward, a plain NumPy reference beside each.

Nothing here knows of tensors, models or losses, and nothing above this floor imports Numba.
"""

from minipost.kernels import memory as _memory  # noqa: F401  (takes effect at import)
