"""Fuzzing by coverage, by hand.

``pip install atheris``, then ``python -m tests.fuzz.coverage FOLDER -max_total_time=600 -rss_limit_mb=8000``: Atheris
itself keeps some 2 MB for each input.

Atheris sees what Python code does, not what compiled code does. The kernels that take a text apart are therefore run
twice: as they are, and as the plain Python that they are written in. So inputs are found that reach each branch of
them, and what is compiled is held against what is written. The inputs that were found are kept in FOLDER: check them
with ``python -m tests.fuzz.run --inputs 0 --also FOLDER``.
"""

from __future__ import annotations

import importlib.util
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import atheris
import numpy as np

# Before Atheris looks at imports: what it adds to a function cannot be compiled.
from tomoarrow.kernels import compare, digits, format, gather, numbers, rows, warmup  # noqa: F401

with atheris.instrument_imports(include=["tomoarrow.star", "tomoarrow.relion"]):
    import tomoarrow as ta
    from tomoarrow.star import grammar, structure
    from tomoarrow.star.buffers import Text
    from tomoarrow.star.source import lay_out

from . import agree, mutate

#: One input in so many goes through all readers.
CHECKED = 50


def _plain_kernels(*names: str) -> list[ModuleType]:
    """Modules of kernels as plain Python."""
    jit, masks = ModuleType("plain.jit"), ModuleType("plain.masks")
    unchanged: Callable[[Any], Any] = lambda function: function  # noqa: E731
    for name in ("BYTES", "INTS", "OUT_I8", "OUT_U1", "void"):
        setattr(jit, name, None)
    vars(jit).update(kernel=lambda *_: unchanged, subkernel=unchanged, inlined=unchanged)
    vars(masks).update(WINDOW=64, kinds_of_bytes=_kinds_of_bytes, lowest_bit=_lowest_bit)
    sys.modules |= {"plain": ModuleType("plain"), "plain.jit": jit, "plain.masks": masks}
    modules = []
    for name in names:
        path = Path(structure.__file__).parents[1] / "kernels" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"plain.{name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        for function in vars(module).values():
            if isinstance(function, FunctionType) and function.__module__ == spec.name:
                atheris.instrument_func(function)
        modules.append(module)
    return modules


def _kinds_of_bytes(buf: Sequence[int], at: int) -> tuple[np.uint64, np.uint64, np.uint64]:
    words = breaks = odd = 0
    for i, c in enumerate(buf[at : at + 64]):
        words |= (c > 32) << i
        breaks |= (c == 10) << i
        odd |= (c in (34, 35, 39) or (c < 32 and c not in (9, 10))) << i
    return np.uint64(words), np.uint64(breaks), np.uint64(odd)


def _lowest_bit(word: np.uint64) -> int:
    return (int(word) & -int(word)).bit_length() - 1 if word else 64


tokenize, lalr = _plain_kernels("tokenize", "lalr")


def _check_tokens(text: Text, dialect: str) -> None:
    """Compiled and plain kernels make the same tokens, faults and notices of a text, and the same nodes of these."""
    n, n_files = len(text.buffer) // 2 + 2 * len(text.names) + 2, len(text.names)
    kinds, counts, firsts, spans = ([0] * n for _ in range(4))
    faults, notices, state = [0] * (4 * n_files), [0] * (2 * tokenize.N_NOTICES * n_files), [0] * 4
    run = tokenize.tokenize_star if dialect == "star" else tokenize.tokenize_relion
    run(
        text.buffer.tolist(),
        text.begins.tolist(),
        text.ends.tolist(),
        kinds,
        counts,
        firsts,
        spans,
        faults,
        notices,
        state,
    )
    n_tokens, n_spans, escapes, _ = state
    tokens = structure.split(text, dialect)  # type: ignore[arg-type]
    assert tokens.kinds.tolist() == kinds[:n_tokens]
    assert tokens.counts.tolist() == counts[:n_tokens]
    assert tokens.firsts.tolist() == firsts[:n_tokens]
    assert tokens.spans.tolist() == spans[:n_spans]
    assert tokens.escapes == bool(escapes)
    assert tokens.faults.tolist() == faults
    assert tokens.notices.tolist() == notices
    tables = grammar.tables()
    given = [each.tolist() for each in (tables.action, tables.goto, tables.rules, tables.shape)]
    stack, starts, nodes = ([0] * (3 * n_tokens + 8) for _ in range(3))
    parser_faults, n_nodes = [-1] * (2 * n_files), [0]
    lalr.parse(kinds[:n_tokens], counts, *given, stack, starts, nodes, parser_faults, n_nodes)
    compiled, compiled_faults = structure._parse(tokens, n_files)
    assert compiled.ravel().tolist() == nodes[: 3 * n_nodes[0]]
    assert compiled_faults.tolist() == parser_faults


def one_input(data: bytes) -> None:
    text, errors = lay_out([("a", data), ("b", b"data_b\nloop_\n_b\n1\n"), ("c", data)])
    for dialect in agree.DIALECTS:
        if not errors:
            _check_tokens(text, dialect)
        document = agree.outcome(lambda dialect=dialect: ta.read_star(data, dialect=dialect))
        if isinstance(document, ta.Document):
            agree.check_written(data, document)
    if zlib.crc32(data) % CHECKED == 0:
        agree.check(data)


def main() -> None:
    warmup.prepare("all")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        for i, data in enumerate(seed for seed in mutate.seeds() if len(seed) < 1000):
            (folder / f"seed-{i}").write_bytes(data)
    tokens = folder.parent / f"{folder.name}.tokens"
    tokens.write_text("".join(f'"{_escaped(token)}"\n' for token in mutate.TOKENS if len(token) < 20))
    atheris.Setup([sys.argv[0], *sys.argv[1:], "-max_len=600", f"-dict={tokens}"], one_input)
    atheris.Fuzz()


def _escaped(token: bytes) -> str:
    """A token as libFuzzer's dictionaries have it."""
    return "".join(f"\\x{byte:02x}" for byte in token)


if __name__ == "__main__":
    main()
