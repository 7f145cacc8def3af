"""With NUMBA_BOUNDSCHECK=1 an index beside an array is an IndexError, in kernels and in copies of bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRATCH = """
import numpy as np
from tomoarrow.kernels import jit
from tomoarrow.kernels.memory import SLACK, copy_bytes, put_blanks, same_bytes

@jit.subkernel
def get(data, i):
    return data[i]

@jit.inlined
def put(out, i):
    out[i] = 1

@jit.kernel(jit.i8, jit.BYTES, jit.i8)
def read(data, i):
    return get(data, i)

@jit.kernel(jit.void, jit.OUT_U1, jit.i8)
def write(out, i):
    put(out, i)

@jit.kernel(jit.void, jit.OUT_U1, jit.i8, jit.i8)
def copy(out, at, n):
    copy_bytes(out, at, out, 0, n)

@jit.kernel(jit.void, jit.OUT_U1, jit.i8, jit.i8)
def copy_from_behind(out, begin, n):
    copy_bytes(out, 0, out, begin, n)

@jit.kernel(jit.void, jit.OUT_U1, jit.i8, jit.i8)
def blank(out, at, n):
    put_blanks(out, at, n)

@jit.kernel(jit.types.boolean, jit.OUT_U1, jit.i8, jit.i8)
def same(out, at, n):
    return same_bytes(out, at, out, 0, n)

LENGTH = 40
for function, inside, beside in [
    (read, [(0,), (LENGTH - 1,)], [(LENGTH,), (-LENGTH - 1,)]),
    (write, [(0,), (LENGTH - 1,)], [(LENGTH,), (-LENGTH - 1,)]),
    (copy, [(0, 40), (LENGTH - SLACK, 1), (20, 20)], [(LENGTH - SLACK + 1, 1), (20, 21), (-1, 1)]),
    (copy_from_behind, [(LENGTH - SLACK, 1), (20, 20)], [(LENGTH - SLACK + 1, 1), (20, 21), (-1, 1)]),
    (blank, [(0, 40), (LENGTH - SLACK, 1), (20, 20)], [(LENGTH - SLACK + 1, 1), (20, 21), (-1, 1)]),
    (same, [(0, 40), (39, 1), (20, 20), (40, 0)], [(40, 1), (20, 21), (-1, 1)]),
]:
    for arguments in inside:
        function(np.zeros(LENGTH, np.uint8), *arguments)
    for arguments in beside:
        try:
            function(np.zeros(LENGTH, np.uint8), *arguments)
        except IndexError:
            continue
        raise AssertionError(f"{function.__name__}{arguments} went unnoticed")
print("checked")
"""


@pytest.mark.timeout(600)
def test_an_index_beside_an_array_is_an_error_when_bounds_are_checked(tmp_path: Path) -> None:
    (tmp_path / "scratch.py").write_text(SCRATCH)
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, str(tmp_path / "scratch.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "checked\n"), done.stderr
