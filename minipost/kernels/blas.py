"""Matrix products: NumPy's own OpenBLAS, also from inside compiled kernels, at one thread.

NumPy's wheels carry an OpenBLAS. Its `cblas_sgemm` can be called from compiled code by address, which saves SciPy
(143 MB) and lets a kernel such as attention be a loop over small matrix products. The address is registered with the
compiler under a name of our own, `minipost_sgemm`, so that cached machine code finds it in the next process; where
NumPy was built against another library the same name stands for plain loops.

Why one thread: the package runs one Python thread for each core, each on its share of the batch. A BLAS that starts its
own threads on top of that costs up to 10x.
"""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
from numba import carray, cfunc, types
from numba.extending import overload

from minipost.kernels.jit import INLINED, inlined, kernel

NO_TRANSPOSE, TRANSPOSE, ROW_MAJOR = 111, 112, 101  # cblas's own numbers
_PREFIXES = ("scipy_cblas_{}gemm64_", "cblas_{}gemm64_")


def _signature(real: Any) -> Any:
    """cblas_?gemm(order, transA, transB, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc), pointers as integers."""
    i32, i64, ptr = types.int32, types.int64, types.uintp
    return types.void(i32, i32, i32, i64, i64, i64, real, ptr, i64, ptr, i64, real, ptr, i64)


def _open_numpy_blas() -> ctypes.CDLL | None:
    """The OpenBLAS inside NumPy's wheel, or None where NumPy brings another one."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for file in sorted(folder.glob("*openblas64*")):
            with contextlib.suppress(OSError):
                return ctypes.CDLL(str(file))
    return None


def set_blas_threads(count: int) -> None:
    """How many threads one NumPy matrix product may use (nothing happens if NumPy's BLAS is not its OpenBLAS)."""
    function = getattr(_library, "scipy_openblas_set_num_threads64_", None)
    if function is not None:
        function(ctypes.c_int(count))


def _unpacked_limit() -> int:
    """The largest m * n * k that OpenBLAS multiplies without packing its operands; 0 where it always packs them.

    Only its code for AVX-512 has products without packing.
    """
    name = getattr(_library, "scipy_openblas_get_corename64_", None)
    if name is None:
        return 0
    name.restype = ctypes.c_char_p
    return 1_000_000 if name() in (b"SkylakeX", b"Cooperlake", b"SapphireRapids") else 0


def _loops(real: Any, dtype: Any) -> Any:
    """The same function as plain loops, for machines whose NumPy has another BLAS."""

    def gemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):  # type: ignore[no-untyped-def]
        A = carray(_as_pointer(a), (m if ta == NO_TRANSPOSE else k) * lda, dtype)
        B = carray(_as_pointer(b), (k if tb == NO_TRANSPOSE else n) * ldb, dtype)
        C = carray(_as_pointer(c), m * ldc, dtype)
        for i in range(m):
            for j in range(n):
                total = 0.0
                for p in range(k):
                    x = A[i * lda + p] if ta == NO_TRANSPOSE else A[p * lda + i]
                    y = B[p * ldb + j] if tb == NO_TRANSPOSE else B[j * ldb + p]
                    total += x * y
                C[i * ldc + j] = alpha * total + (beta * C[i * ldc + j] if beta != 0 else 0.0)

    return cfunc(_signature(real))(gemm)


def _as_pointer(address: int) -> Any:
    raise NotImplementedError("only inside compiled code")


@overload(_as_pointer)
def _as_pointer_in_kernels(address):  # type: ignore[no-untyped-def]
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def cast(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], cgutils.voidptr_t)

        return types.voidptr(types.uintp), generate

    return lambda address: cast(address)


def _provide(letter: str, real: Any, dtype: Any) -> Any:
    """Register `minipost_{letter}gemm` and return it as a function that kernels can call."""
    name = f"minipost_{letter}gemm"
    names = [p.format(letter) for p in _PREFIXES if hasattr(_library, p.format(letter))]
    if names:
        address = ctypes.cast(getattr(_library, names[0]), ctypes.c_void_p).value
    else:
        _kept_alive.append(_loops(real, dtype))
        address = _kept_alive[-1].address
    llvmlite.binding.add_symbol(name, address)
    return types.ExternalFunction(name, _signature(real))


_library = _open_numpy_blas()
_kept_alive: list[Any] = []
_sgemm = _provide("s", types.float32, np.float32)
_dgemm = _provide("d", types.float64, np.float64)
SMALL = _unpacked_limit()
TILE, DEEP = 64, 256  # columns of a tile, and how many terms of a sum are added at a time
set_blas_threads(1)


def gemm(a: Any, b: Any, c: Any, transpose_a: bool, transpose_b: bool, alpha: float, beta: float) -> None:
    """`c = alpha op(a) op(b) + beta c` inside kernels, for matrices with contiguous last axes; rows may be strided."""
    A, B = (a.T if transpose_a else a), (b.T if transpose_b else b)
    c[...] = alpha * (A @ B) + (beta * c if beta != 0 else 0)


@inlined
def row_stride(x: Any) -> int:
    """From one row to the next, in numbers. NumPy says anything of a single row; BLAS wants at least its length."""
    return max(x.strides[0] // x.itemsize, x.shape[1])


@overload(gemm, jit_options=INLINED)
def _gemm_in_kernels(a, b, c, transpose_a, transpose_b, alpha, beta):  # type: ignore[no-untyped-def]
    function = _sgemm if a.dtype == types.float32 else _dgemm
    real = np.float32 if a.dtype == types.float32 else np.float64

    def call(a, b, c, transpose_a, transpose_b, alpha, beta):  # type: ignore[no-untyped-def]
        ta = TRANSPOSE if transpose_a else NO_TRANSPOSE
        tb = TRANSPOSE if transpose_b else NO_TRANSPOSE
        m, n = c.shape
        k = a.shape[0] if transpose_a else a.shape[1]
        function(
            np.int32(ROW_MAJOR),
            np.int32(ta),
            np.int32(tb),
            m,
            n,
            k,
            real(alpha),
            a.ctypes.data,
            row_stride(a),
            b.ctypes.data,
            row_stride(b),
            real(beta),
            c.ctypes.data,
            row_stride(c),
        )

    return call


@kernel
def matmul_into(a: Any, b: Any, c: Any, transpose_a: bool, transpose_b: bool, alpha: float, beta: float) -> None:
    """`gemm` for callers in Python."""
    gemm(a, b, c, transpose_a, transpose_b, alpha, beta)


@inlined
def rows_together(rows: int, columns: int, inner: int) -> int:
    """How many of `rows` to multiply by `[inner, columns]` at a time, so that nothing is packed, or all."""
    fit = SMALL // (columns * inner) // 8 * 8
    return fit if fit >= 8 else rows


@kernel
def product(a: Any, b: Any, c: Any) -> None:
    """c[m, n] = a[m, k] @ b[k, n], tile by tile.

    OpenBLAS copies the operands of a large product into a layout of its own, and those of a small one not: in tiles a
    product of 1024 rows by 128 channels runs at 110 GFLOP/s, in one piece at 97.
    """
    (m, k), n = a.shape, b.shape[1]
    together = rows_together(m, TILE, min(k, DEEP))
    columns, deep = (TILE, DEEP) if together < m else (n, k)
    for i in range(0, m, together):
        for p in range(0, k, deep):
            left = a[i : i + together, p : p + deep]
            for j in range(0, n, columns):
                tile = c[i : i + together, j : j + columns]
                gemm(left, b[p : p + deep, j : j + columns], tile, False, False, 1.0, 0.0 if p == 0 else 1.0)


@kernel
def product_of_transposed(a: Any, b: Any, c: Any, beta: float) -> None:
    """c[m, n] = a[k, m].T @ b[k, n] + beta c, tile by tile: see `product`."""
    (k, m), n = a.shape, b.shape[1]
    together = rows_together(k, TILE, 2 * TILE)
    rows, columns = (2 * TILE, TILE) if together < k else (m, n)
    for p in range(0, k, together):
        for i in range(0, m, rows):
            for j in range(0, n, columns):
                tile = c[i : i + rows, j : j + columns]
                left, right = a[p : p + together, i : i + rows], b[p : p + together, j : j + columns]
                gemm(left, right, tile, True, False, 1.0, beta if p == 0 else 1.0)
