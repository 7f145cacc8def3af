"""Kernels compile where nothing can be cached, say so once, and are cached where something can."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tomoarrow
from tomoarrow.example import Example

READ_TWICE = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="LOG %(message)s")
import tomoarrow
from tomoarrow.example import Example
table = tomoarrow.read_table(b"data_x\\nloop_\\n_rlnVoltage\\n300.0\\n")
assert table.column("rlnVoltage").to_pylist() == [300.0]
assert tomoarrow.read_table(b"data_x\\nloop_\\n_rlnTomoName\\n01\\n").num_rows == 1
print("FROM", tomoarrow.__file__)
"""


def copy_of_the_package(folder: Path) -> Path:
    """The package as an installation would have it, in a folder of its own."""
    package = Path(tomoarrow.__file__).parent
    shutil.copytree(package, folder / "tomoarrow", ignore=shutil.ignore_patterns("__pycache__"))
    if not (folder / "tomoarrow" / "star" / "star.lark").exists():
        shutil.copy(package.parent / "grammar" / "star.lark", folder / "tomoarrow" / "star")
    return folder / "tomoarrow"


def run(folder: Path, **changes: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    environment |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **changes}
    done = subprocess.run(
        [sys.executable, "-c", READ_TWICE], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"FROM {folder}" in done.stdout
    return done.stdout


@pytest.mark.timeout(600)
def test_no_writable_folder_anywhere(tmp_path: Path) -> None:
    package = copy_of_the_package(tmp_path)
    # A file where the cache folder would be: no one can write there, not even root.
    (package / "kernels" / "__pycache__").write_text("")
    output = run(tmp_path, HOME="/dev/null")
    assert output.count("no writable folder for compiled kernels") == 1


@pytest.mark.timeout(600)
def test_kernels_are_cached_beside_the_package_or_where_told(tmp_path: Path) -> None:
    package = copy_of_the_package(tmp_path)
    cache = tmp_path / "cache"
    assert "no writable folder" not in run(tmp_path, NUMBA_CACHE_DIR=str(cache))
    assert list(cache.rglob("tokenize.tokenize_relion*.nbc"))
    shutil.copytree(next(cache.iterdir()), package / "kernels" / "__pycache__", dirs_exist_ok=True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "helper", ["sys.executable", "'/nowhere'", pytest.param("'/bin/false'", marks=pytest.mark.slow)]
)
def test_kernels_are_compiled_whether_or_not_a_second_process_helps(tmp_path: Path, helper: str) -> None:
    code = f"import sys; import tomoarrow.kernels.warmup as w; sys.executable = {helper}; print(w.prepare('write'))"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # In the cache, whoever compiled them.
    assert len({path.name.split("-")[0] for path in tmp_path.rglob("*.nbc")}) == int(done.stdout)


@pytest.mark.timeout(600)
def test_a_numba_newer_than_those_tried_compiles_in_its_own_way(tmp_path: Path) -> None:
    code = f"import sys, numba; numba.__version__ = '0.69.0'\n{READ_TWICE}"
    code += "assert 'tomoarrow.kernels.compiler' not in sys.modules"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_kernel_loads_from_the_cache_into_a_new_process() -> None:
    """Loaded code that lacks what it calls ends the process."""
    code = """
from tomoarrow.kernels import warmup
kernels = warmup.kernels_for("all")
print([kernel.__name__ for kernel in kernels if not kernel.prepare().stats.cache_hits])
"""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("prepare", "work"),
    [
        ("convert", "tomoarrow.convert(sys.argv[1], sys.argv[2] + '/a')"),
        ("write", "tomoarrow.write_star({'x': pa.table({'rlnVoltage': [1.0], 'a': ['b']})}, io.BytesIO())"),
    ],
)
def test_what_is_prepared_is_all_that_is_needed(
    small_project: Example, tmp_path: Path, prepare: str, work: str
) -> None:
    """Else the line that says why nothing happens would not stand there while something compiles."""
    code = f"""
import io, sys
import pyarrow as pa
import tomoarrow
from tomoarrow.example import Example
from tomoarrow.kernels import jit, warmup
warmup.prepare("{prepare}")
def refuse(*_): raise AssertionError("compiled when it was needed")
jit._compile = refuse
{work}
"""
    command = [sys.executable, "-c", code, str(small_project.tomograms_star), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
