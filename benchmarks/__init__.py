"""How fast, how far from what this machine can do, and against whom: `python -m benchmarks --help`.

Every figure is a median of times taken in turns with the peers', in one run, on one machine, after the results were
found to agree. What one may conclude from a figure is a ratio within its run; absolute figures belong to their machine.
"""

import os

# NumPy's products, where a benchmark times them, run on one thread at a time; a BLAS reads this when it is loaded
for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(name, "1")
