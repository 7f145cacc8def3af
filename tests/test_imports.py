"""Data flows one way: cli, ml -> dataset -> relion -> star -> kernels. No import points back up."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tomoarrow

PACKAGE = Path(tomoarrow.__file__).parent
ROOMS = ("kernels", "star", "relion", "dataset", "ml", "cli")
#: What each room may import from, besides itself.
BELOW = {
    "kernels": set(),
    "star": {"kernels", "errors", "_version"},
    "relion": {"star", "errors"},
    "dataset": {"relion", "star", "errors", "_version"},
    "ml": {"dataset", "relion", "star", "errors"},
    "cli": {"dataset", "relion", "star", "kernels", "errors", "example", "_version"},
}
#: The same for the rooms of dataset/: any of them may import the modules that all speak of.
SPOKEN_OF = {"layout", "paths", "report", "asked"}
BELOW_IN_DATASET = {
    "stores": set(),
    "versions": {"stores"},
    "reading": {"stores", "versions"},
    "tables": {"versions"},
    "text": {"stores", "versions", "reading", "tables"},
    "images": {"reading"},
    "updating": {"versions", "tables"},
    "parts": {"stores", "versions", "tables", "updating"},
    "pictures": {"dataset", "projects", "reading"},
}
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The names, from the package's top, of what a module imports of the package; and of numba."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("tomoarrow.") for alias in node.names if "tomoarrow" in alias.name}
            found |= {"numba" for alias in node.names if alias.name.split(".")[0] in ("numba", "llvmlite")}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                base = path.parent.parts[: len(path.parent.parts) - node.level + 1]
                whole = [*base, *module.split(".")] if module else [*base]
                found |= {".".join(whole)} if module else {".".join([*base, alias.name]) for alias in node.names}
            elif module.split(".")[0] == "tomoarrow":
                found.add(module.removeprefix("tomoarrow."))
            elif module.split(".")[0] in ("numba", "llvmlite"):
                found.add("numba")
    return found


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_down(path: Path) -> None:
    if path.parts[0] not in ROOMS:
        assert "numba" not in imported(path)
        return
    room = path.parts[0]
    for name in imported(path):
        if name == "numba":
            assert room == "kernels", f"{path} imports numba"
        elif name.split(".")[0] != room:
            assert name.split(".")[0] in BELOW[room], f"{path} imports {name}"


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[0] == "dataset"], ids=str)
def test_imports_point_down_in_dataset_too(path: Path) -> None:
    found = {name.split(".")[1] for name in imported(path) if name.startswith("dataset.")}
    if len(path.parts) == 2:
        assert path.stem not in SPOKEN_OF or found <= SPOKEN_OF
    else:
        assert found - {path.parts[1]} <= BELOW_IN_DATASET[path.parts[1]] | SPOKEN_OF


def test_the_check_sees_an_import_that_points_up() -> None:
    assert "star.columns" in imported(Path("relion/labels.py"))
    assert "numba" in imported(Path("kernels/jit.py"))
    assert "dataset.versions.manifest" in imported(Path("dataset/updating/update.py"))
    assert "relion" not in BELOW["star"]


def test_only_two_rooms_open_files_for_data() -> None:
    opening = {"open", "read_bytes", "read_text", "memory_map", "input_stream"}
    for path in MODULES:
        if path.parts[0] in ("kernels", "relion") or (
            path.parts[0] == "star" and path.name not in ("source.py", "sink.py")
        ):
            calls = [
                node.func for node in ast.walk(ast.parse((PACKAGE / path).read_text())) if isinstance(node, ast.Call)
            ]
            names = {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}
            if path.as_posix() in ("relion/labels.py", "star/grammar.py", "kernels/jit.py"):
                continue  # They read the package's own tables and sources.
            if "star.source" in imported(path):
                names.discard("read_text")  # The function of star/source.
            assert not names & opening, path


HEAVY = ("numba", "polars", "pyarrow", "lark", "torch", "numpy")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["convert", "--help"]], ids=" ".join)
def test_the_command_line_without_work_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from tomoarrow.cli import main; sys.argv = ['tomoarrow', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit as e: assert not e.code\n"
        f"print(sorted(set(sys.modules) & set({HEAVY})), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import sys, tomoarrow; assert not set(sys.modules) & set({HEAVY})"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(tomoarrow.__all__) <= set(dir(tomoarrow))
    assert all(getattr(tomoarrow, name) is not None for name in tomoarrow.__all__)
