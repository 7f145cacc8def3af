"""Hostile input: whatever the bytes, no reader crashes, hangs or reads other than the others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import agree
from .found import FOUND
from .run import run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("data", FOUND.values(), ids=FOUND)
def test_what_was_found_once(data: bytes) -> None:
    agree.check(data, converts=True, piece_bytes=range(1, 80, 3))


def test_mutated_files() -> None:
    done = run(seed=20261127, n=30)
    assert done.findings == []
    assert done.reads > 20 * done.inputs


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_mutated_files_at_length(capsys: pytest.CaptureFixture[str]) -> None:
    """TOMOARROW_FUZZ says how many inputs."""
    done = run(seed=1, n=int(os.environ.get("TOMOARROW_FUZZ", "20000")))
    with capsys.disabled():
        print(f"\n{done.inputs:,} inputs, {done.reads:,} reads")
    assert done.findings == []


@pytest.mark.timeout(600)
def test_no_kernel_reads_or_writes_beside_an_array() -> None:
    """An IndexError is no TomoarrowError: it would be a finding."""
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1"}
    command = [sys.executable, "-m", "tests.fuzz.run", "--seed", "2", "--inputs", "20"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 inputs" in done.stdout
