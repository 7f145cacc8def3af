"""The kernel decorator: one explicit signature, compiled at the first call, cached where that works.

Numba keeps compiled code where ``NUMBA_CACHE_DIR`` says, else beside the module, else in the user's cache
directory. In a read-only container without a home directory it refuses to
decorate at all (numba issues 4032, 4908, 5566). A kernel then compiles without a cache, and says so once.

Numba notices edits in a kernel's own file only, but kernels share constants. The name under which a kernel is
kept therefore holds a digest of all kernel sources: the cache of another version is never used by mistake. Nor is that
of kernels whose indices are checked (NUMBA_BOUNDSCHECK=1), which Numba does not tell from the others.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba import types

logger = logging.getLogger("tomoarrow")

u1 = types.uint8
i8 = types.int64
f8 = types.float64
void = types.void

if tuple(map(int, numba.__version__.split(".")[:2])) <= (0, 68):
    from .compiler import Draft, compile_kernel

    _draft, _kernel = Draft, compile_kernel
else:
    # These go by Numba's insides, so one that is newer than those they were tried with compiles in its own way: to the
    # same results, several times slower.
    def _draft(function: Callable[..., Any], **options: Any) -> Any:
        return numba.njit(**options)(function)

    def _kernel(function: Callable[..., Any], signature: Any, **options: Any) -> Any:
        return numba.njit(signature, **options)(function)


_OPTIONS = {"nogil": True, "error_model": "numpy"}
#: Bytes that are only read: writable and read-only arrays both fit.
BYTES = types.Array(types.uint8, 1, "C", readonly=True)
#: Integers that are only read.
INTS = types.Array(types.int64, 1, "C", readonly=True)
#: Arrays that a kernel fills.
OUT_U1 = types.uint8[::1]
OUT_I4 = types.int32[::1]
OUT_I8 = types.int64[::1]
OUT_F8 = types.float64[::1]


def kernel(returns: Any, *arguments: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function a kernel of one signature, compiled when it is first called.

    Parameters
    ----------
    returns, *arguments
        Numba types. Declare inputs with the read-only types above.

    Returns
    -------
    A decorator. The decorated function has an attribute ``prepare``, which compiles it (or loads it from
    the cache) and returns the compiled function.
    """
    signature = returns(*arguments)

    def decorate(python_function: Callable[..., Any]) -> Callable[..., Any]:
        lock = threading.Lock()

        @functools.cache
        def compiled_once() -> Callable[..., Any]:
            return _compile(signature, python_function)

        def compiled() -> Callable[..., Any]:
            # Without the lock, threads that start together would each compile.
            with lock:
                return compiled_once()

        @functools.wraps(python_function)
        def call(*args: Any) -> Any:
            return compiled()(*args)

        call.prepare = compiled  # type: ignore[attr-defined]
        return call

    return decorate


def subkernel(function: Callable[..., Any]) -> Any:
    """Make a function one that kernels of the same file can call.

    Without Numba's reference counting, which costs more than what they do (a number to text: 130 ns with it, 50
    without), and which only functions that make arrays need.
    """
    return _draft(function, **_OPTIONS, inline="never", _nrt=False)


def inlined(function: Callable[..., Any]) -> Any:
    """Make a function a subkernel for innermost loops: to hand its arrays over would take 14 words each."""
    return _draft(function, **_OPTIONS, inline="never", _nrt=False, forceinline=True)


def _compile(signature: Any, python_function: Callable[..., Any]) -> Callable[..., Any]:
    options = _OPTIONS | {"no_cfunc_wrapper": True}
    python_function.__qualname__ = f"{python_function.__name__}_{_digest()}"
    with _no_garbage_collection():
        try:
            return _kernel(python_function, signature, cache=True, **options)
        except (RuntimeError, OSError) as error:
            if "locator" not in str(error) and not isinstance(error, OSError):
                raise
            _say_uncached()
            return _kernel(python_function, signature, cache=False, **options)


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """To look for garbage in all that Numba makes takes an eighth of the time, and there is little."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@functools.cache
def _digest() -> str:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    checks = b"checked" if numba.config.BOUNDSCHECK else b""
    return hashlib.sha256(b"".join([*(path.read_bytes() for path in sources), checks])).hexdigest()[:12]


@functools.cache
def _say_uncached() -> None:
    logger.warning(
        "no writable folder for compiled kernels: they are compiled anew in each process (a few seconds). "
        "Set NUMBA_CACHE_DIR to a writable folder to keep them."
    )
