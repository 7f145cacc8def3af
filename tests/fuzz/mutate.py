"""Real files, broken in the ways that files break, and in some that nothing but malice would."""

from __future__ import annotations

import gzip
import os
import random
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

#: Longer files are cut to so many bytes, at the end of a line.
SEED_BYTES = 3_000

#: Files that show most of the language, for where the real ones are not.
WRITTEN = (
    b"\n# version 50001\n\ndata_general\n\n_rlnTomoSubTomosAre2DStacks                       1\n\n\n"
    b"# version 50001\n\ndata_optics\n\nloop_ \n_rlnOpticsGroup #1 \n_rlnOpticsGroupName #2 \n_rlnVoltage #3 \n"
    b"           1 opticsGroup1   300.000000 \n \n"
    b"\n# version 50001\n\ndata_particles\n\nloop_ \n_rlnTomoName #1 \n_rlnCoordinateX #2 \n_rlnTomoVisibleFrames #3 \n"
    b"TS_01  1234.500000 [1,1,0] \nTS_01    -0.250000 [1,0,1] \nTS_02  1.000000e-05         [] \n \n",
    b"data_global\r\nloop_\r\n_rlnTomoName #1\r\n_rlnTomoTiltSeriesStarFile #2\r\n_rlnTomoHand #3\r\n"
    b"001 tilt_series/001.star -1.0\r\n'a b'\ttilt_series/b.star 1\r\n",
    b"data_\n_rlnVoltage 300\n_rlnNote 'two words'\n\nloop_\n_rlnOriginXAngst\n_note\n1.5 \"it's\"\n"
    b"# a comment\nnan None\n\n-2 x#y\n",
    b"data_x loop_ _a _b\n1\n;one\ntwo\n;\n? .\nsave_f _c 1 save_\n_d 'q'\nloop_ _e 1 2 3 stop_\n",
    b"data_1\nloop_\n_i\n_n\n_b\n9223372036854775807 1e308 True\n-9223372036854775808 5e-324 False\n"
    b"9223372036854775808 1e-400 x\n01 0x1 1_000\n",
)

#: What means something to one reader or another.
TOKENS = (
    b"data_", b"DATA_", b"loop_", b"save_", b"save_x", b"stop_", b"global_", b"data_x", b"_", b"_a", b"_rlnVoltage",
    b"_rlnTomoName", b"_rlnOpticsGroup", b"_rlnTomoVisibleFrames", b"#", b"# version 50001", b"#1", b"'", b'"', b";",
    b"\n;", b"\n;\n", b"\a", b"\0", b"\r", b"\r\n", b"\n", b"\n\n", b" ", b"\t", b"\v", b"\f", b"\x1a", b"\x7f",
    b"\x1b[2J", b"\xef\xbb\xbf", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc3", "é".encode(),
    "测".encode(), "\u00a0".encode(), "\u0085".encode(), "\u2028".encode(), "\U0001f600".encode(), b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd", b"1", b"-1", b"0", b"-0.0", b"01", b"1.", b".5", b"1e5", b"1e999", b"1e-999", b"nan",
    b"-inf", b"None", b"<NA>", b"?", b".", b"[]", b"[1,2]", b"[1,,2]", b"[1,2.5]", b"[nan]", b"[", b"True",
    b"9223372036854775808", b"-9223372036854775809", b"9007199254740993", b"1_000", b"0x10", b"1D5",
    b"123456789012345678901234567890.5e-20", b"../../../etc/passwd", b"/dev/zero", b"''", b'""', b"'a b'", b"it's",
    b"x" * 300, b"9" * 400, b" " * 70,
)  # fmt: skip

_PIECE = re.compile(rb"\S+")
_DIGITS = re.compile(rb"\d+")

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


@cache
def seeds() -> tuple[bytes, ...]:
    """The files written here and, where TOMOARROW_SHARED names them, the real ones: small, or their beginnings."""
    folder = os.environ.get("TOMOARROW_SHARED")
    if not folder:
        return WRITTEN
    paths = sorted(
        path
        for part in ("awkward", "corpus")
        for path in (Path(folder) / part).rglob("*")
        if path.suffix in (".star", ".cif") and path.is_file()
    )
    real = dict.fromkeys(_beginning(path) for path in paths)
    return (*WRITTEN, *real)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(SEED_BYTES)
    return data if len(data) < SEED_BYTES else data[: data.rfind(b"\n") + 1]


def mutated(chance: random.Random, files: Sequence[bytes]) -> bytes:
    """One of some files, changed in one to six ways; one in forty is packed, and half of those are damaged then."""
    data = chance.choice(files)
    for _ in range(chance.choice((1, 1, 2, 2, 3, 4, 6))):
        data = chance.choice(MUTATIONS)(chance, data, files)
    if chance.random() < 1 / 40:
        data = gzip.compress(data, 1, mtime=0)
        data = data if chance.random() < 0.5 else flip_bytes(chance, data, files)
    return data[: 4 * SEED_BYTES]


def flip_bytes(chance: random.Random, data: bytes, files: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8)) if data else 0):
        changed[chance.randrange(len(changed))] = chance.choice(
            (chance.randrange(256), chance.choice(b" \n\r\t'\"#;_0"))
        )
    return bytes(changed)


def put_token(chance: random.Random, data: bytes, files: Sequence[bytes]) -> bytes:
    at = chance.randint(0, len(data))
    token = chance.choice(TOKENS)
    return data[:at] + token + data[at + chance.choice((0, 0, 1, len(token))) :]


def replace_token(chance: random.Random, data: bytes, files: Sequence[bytes]) -> bytes:
    """A word gives way to one of another file, or to one that means something."""
    words = list(_PIECE.finditer(data))
    if not words:
        return data + chance.choice(TOKENS)
    others = _PIECE.findall(chance.choice(files)) if chance.random() < 0.5 else []
    word = chance.choice(words)
    return data[: word.start()] + chance.choice(others or TOKENS) + data[word.end() :]


def change_lines(chance: random.Random, data: bytes, files: Sequence[bytes]) -> bytes:
    """Lines are left out, doubled, swapped, or come from another file."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    at, to = chance.randrange(len(lines)), chance.randrange(len(lines))
    how = chance.randrange(5)
    if how == 0:
        del lines[at : at + chance.choice((1, 1, 3))]
    elif how == 1:
        lines[at:at] = lines[at : at + chance.choice((1, 2, 5))] * chance.choice((1, 1, 2, 20))
    elif how == 2:
        lines[at], lines[to] = lines[to], lines[at]
    elif how == 3:
        others = chance.choice(files).splitlines(keepends=True)
        start = chance.randint(0, len(others))
        lines[at:at] = others[start : start + chance.choice((1, 3, 10))]
    else:
        lines[at] = (
            lines[at].strip() + chance.choice((b"", b" ", b" # c", b"\r")) + chance.choice((b"", b"\n", b"\n\n"))
        )
    return b"".join(lines)


def splice(chance: random.Random, data: bytes, files: Sequence[bytes]) -> bytes:
    other = chance.choice(files)
    return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]


def truncate(chance: random.Random, data: bytes, files: Sequence[bytes]) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] if chance.random() < 0.7 else data[at:]


def change_digits(chance: random.Random, data: bytes, files: Sequence[bytes]) -> bytes:
    numbers = list(_DIGITS.finditer(data))
    if not numbers:
        return data
    number = chance.choice(numbers)
    digits = chance.choice((b"", b"0", b"9" * chance.randint(1, 25), str(chance.getrandbits(70)).encode()))
    return data[: number.start()] + digits + data[number.end() :]


def end_lines_otherwise(chance: random.Random, data: bytes, files: Sequence[bytes]) -> bytes:
    end = chance.choice((b"\r\n", b"\r", b"\n\n", b" \n", b"\n\r", b"\r\r\n"))
    at = chance.randint(0, len(data)) if chance.random() < 0.5 else 0
    return data[:at] + data[at:].replace(b"\n", end)


def put_in_front(chance: random.Random, data: bytes, files: Sequence[bytes]) -> bytes:
    return chance.choice((b"\xef\xbb\xbf", b"\n", b"#", b" ", b"\0", b"\xff\xfe", b"text\n")) + data


def end_without_line_feed(chance: random.Random, data: bytes, files: Sequence[bytes]) -> bytes:
    return data.rstrip() + chance.choice((b"", b" ", b"\r", b"\x1a", b"#", b"'", b"\n;", b"\xc3"))


MUTATIONS: tuple[Mutation, ...] = (
    flip_bytes, flip_bytes, put_token, put_token, replace_token, replace_token, change_lines, change_lines,
    splice, truncate, change_digits, end_lines_otherwise, put_in_front, end_without_line_feed,
)  # fmt: skip
