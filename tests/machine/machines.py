"""A machine on which nothing is wrong; tests change one fact of it at a time."""

from __future__ import annotations

from minipost.machine.setup import Setup
from minipost.machine.speed import Speed

FINE = Setup(
    system="Linux x86_64",
    processor="A processor with a name that is longer than most, made by a company with one, too, 3.20 GHz",
    cores=16,
    cpu_limit=None,
    load=0.3,
    threads=16,
    threads_from=None,
    threads_ignored=None,
    python="3.12.1",
    debug_build=False,
    translated=False,
    numpy="2.4.6",
    blas="scipy-openblas 0.3.31",
    blas_threads_from=None,
    numba="0.68.1",
    llvm="22.1.0",
    compiled_for="znver4",
    jit=True,
    compiler_settings=(),
    cache="/home/me/.cache/kernels",
    memory=16 << 30,
    disk=100 << 30,
)
FAST = Speed(
    instruction_set="AVX-512",
    tile="8 x 32",
    product_one=110e9,
    product_all=16 * 90e9,
    triad_one=12e9,
    triad_all=40e9,
    shape=(128, 128, 704),
    product_shape=112e9,
    numpy_shape=104e9,
)
