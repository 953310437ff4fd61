"""How fast, how far from what this machine can do, and against whom: `python -m benchmarks --help`.

Every figure is a median of times taken in turns with the peers', in one run, on one machine, after the results were
found to agree. What one may conclude from a figure is a ratio within its run; absolute figures belong to their machine.
"""
