"""Every cell of the corpus against gemmi, a reader of the same language that shares no code with this one."""

from __future__ import annotations

import csv
import functools
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from gemmi import cif

import tomoarrow as ta

SHARED = os.environ.get("TOMOARROW_SHARED")
CORPUS = Path(SHARED or "") / "corpus"
needs_corpus = pytest.mark.skipif(SHARED is None, reason="TOMOARROW_SHARED is not set: no corpus to read")

#: Kinds of files that are written in the general language, not in RELION's.
STAR_KINDS = {"cif", "nmr-star"}

#: Words that stand for no value where numbers are expected.
MISSING = {"None", "<NA>", "N/A", "NA", "null"}

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE | re.ASCII)
PADDED = re.compile(r"[+-]?0\d", re.ASCII)
INTEGER = re.compile(r"[+-]?\d+", re.ASCII)

KINDS = {
    "double": "float64",
    "int": "int64",
    "bool": "bool",
    "string": "string",
    "vector<double>": "list<float64>",
    "vector<int>": "list<int64>",
}

#: Labels of programs around RELION, which its own dictionary does not have.
MORE_LABELS = {"rlnSphereRadius": "float64", "rlnTomoReconstructedTomogramDenoised": "string"}

ARROW_TYPES = {
    "float64": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "list<float64>": pa.list_(pa.float64()),
    "list<int64>": pa.list_(pa.int64()),
}

#: What gemmi cannot read although RELION or the STAR language has it: the reason, the shortest text that shows
#: it, and how to take it out of gemmi's way without touching what is said.
MENDS: list[tuple[str, bytes, Callable[[bytes], bytes]]] = [
    ("a byte order mark", b"\xef\xbb\xbfdata_x\n", lambda text: text.removeprefix(b"\xef\xbb\xbf")),
    ("text before the first block", b"(null)\ndata_x\n", lambda text: re.sub(rb"\A\(null\)\s+", b"", text)),
    ("the end-of-file character of DOS", b"data_x\n\x1a\n", lambda text: re.sub(rb"\x1a\s*\Z", b"", text)),
    ("a vertical tab between words", b"data_x\n_a \x0b 1\n", lambda text: text.replace(b"\x0b", b" ")),
    ("a value that begins with $", b"data_x\n_a $b\n", lambda text: re.sub(rb"(?<=[ \t])(\$\S*)", rb"'\1'", text)),
    (
        "letters beyond ASCII",
        "data_x\n_a \u00e9\n".encode(),
        lambda text: text.decode().encode("ascii", "xmlcharrefreplace"),
    ),
]

#: What gemmi refuses all the same, with the shortest text that shows why.
REFUSED_BY_GEMMI = {
    # A save frame in a save frame.
    "COMCIFS__cif_api/test-data/nested.cif": b"data_x\nsave_a\nsave_b\n_c 1\nsave_\nsave_\n",
}


@dataclass(slots=True)
class Outcome:
    """What came of one file; `refused_by` says who would not read it, where it could not be compared."""

    refused_by: str = ""
    cells: int = 0
    differences: list[str] = field(default_factory=list)


@functools.cache
def corpus() -> dict[str, str]:
    """The dialect of each file."""
    if SHARED is None:
        return {}
    with (CORPUS / "PROVENANCE.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: "star" if row["kind"] in STAR_KINDS else "relion" for row in csv.DictReader(file)}


@functools.cache
def known_kinds() -> dict[str, str]:
    """The kind of each label that RELION knows, from a list that is not the package's own."""
    kinds = dict(MORE_LABELS)
    for name, label in (("relion_labels.csv", "label"), ("relion_label_aliases.csv", "old_label")):
        with (CORPUS.parent / "reference" / name).open(encoding="utf-8", newline="") as file:
            kinds |= {row[label]: KINDS[row["type"]] for row in csv.DictReader(file) if row["type"] in KINDS}
    return kinds


def parse_with_gemmi(data: bytes) -> cif.Document | None:
    try:
        return cif.read_string(data)
    except (ValueError, RuntimeError):
        return None


def read_with_gemmi(data: bytes) -> cif.Document | None:
    """The document, if need be from a text without what gemmi cannot read."""
    document = parse_with_gemmi(data)
    if document is None:
        for _, _, mend in MENDS:
            data = mend(data)
        document = parse_with_gemmi(data)
    return document


def mended(text: str) -> str:
    """Names and values with the letters that were kept from gemmi."""
    return re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), text)


def text_of(raw: str) -> str:
    """A value without its quotes; gemmi itself makes nothing of a bare `?` or `.`."""
    return raw if raw in ("?", ".") else mended(cif.as_string(raw))


def name_of(block: cif.Block) -> str:
    """The name of a block; gemmi calls one without a name " "."""
    return mended(block.name.strip())


def label_of(tag: str) -> str:
    return mended(tag[1:])


def missing_words(dialect: str) -> set[str]:
    """What stands for no value, as the file has it: in quotes `?` and `.` are text."""
    return MISSING | {"?", "."} if dialect == "star" else MISSING


def is_missing(raw: str, dialect: str) -> bool:
    return raw in missing_words(dialect) or text_of(raw) in MISSING


def is_integral(text: str) -> bool:
    return bool(INTEGER.fullmatch(text)) or float(text).is_integer()


def infer(raws: Sequence[str], dialect: str) -> str:
    """The kind of a column that no list of labels has, from all of its values."""
    # Quotes make a value of an unknown label text, whatever is in them.
    texts = [raw for raw in raws if raw not in missing_words(dialect)]
    if not texts or not all(NUMBER.fullmatch(text) and not PADDED.match(text) for text in texts):
        return "string"
    whole = [int(text) for text in texts if INTEGER.fullmatch(text)]
    if any(not -(2**63) <= value < 2**63 for value in whole):
        return "string"
    has_fractions = len(whole) < len(texts) or any(text == "-0" for text in texts)
    return "float64" if has_fractions else "int64"


def expected_kind(label: str, raws: Sequence[str], dialect: str) -> str:
    kind = known_kinds().get(label) or infer(raws, dialect)
    if kind == "int64":
        texts = [text_of(raw) for raw in raws if not is_missing(raw, dialect)]
        return kind if all(map(is_integral, texts)) else "float64"
    return kind


def number_of(text: str, kind: str) -> int | float:
    if not NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is no number")  # float() would take 1_000 and digits of any script
    if kind == "float64":
        return float(text)
    return int(text) if INTEGER.fullmatch(text) else int(float(text))


def expected_value(raw: str, kind: str, dialect: str) -> Any:
    text = text_of(raw)
    if kind == "string":
        return text
    if is_missing(raw, dialect):
        return None
    if kind == "bool":
        return {"true": True, "false": False}[text.lower()] if text.isalpha() else int(text) != 0
    if kind.startswith("list"):
        assert text[0] + text[-1] == "[]"
        return [number_of(part, kind[5:-1]) for part in re.split("[, ]+", text[1:-1].strip()) if part]
    return number_of(text, kind)


def bits_of(value: Any) -> Any:
    """The value, floats as their bits: -0.0 is not 0.0, and nan is nan."""
    if isinstance(value, list):
        return [bits_of(element) for element in value]
    return struct.pack("<d", value) if isinstance(value, float) else (type(value), value)


def same(found: Any, expected: Any) -> bool:
    return bool(bits_of(found) == bits_of(expected))


def compare_pair(found: Any, label: str, raw: str, dialect: str) -> Iterator[str]:
    expected = expected_value(raw, expected_kind(label, [raw], dialect), dialect)
    if not same(found, expected):
        yield f"_{label}: {found!r} for {raw!r}"


def compare_column(found: pa.ChunkedArray, label: str, raws: Sequence[str], dialect: str) -> Iterator[str]:
    kind = expected_kind(label, raws, dialect)
    # Names that repeat are kept once: only what they decode to matters here.
    type_ = found.type.value_type if pa.types.is_dictionary(found.type) else found.type
    if type_ != ARROW_TYPES[kind]:
        yield f"_{label}: {found.type} where {kind} was expected"
        return
    for row, (value, raw) in enumerate(zip(found.to_pylist(), raws, strict=True)):
        if not same(value, expected_value(raw, kind, dialect)):
            yield f"_{label}, row {row}: {value!r} for {raw!r}"


def compare_loop(found: pa.Table, loop: cif.Loop, dialect: str, outcome: Outcome) -> Iterator[str]:
    labels, values = [label_of(tag) for tag in loop.tags], list(loop.values)
    rows = len(values) // len(labels)
    if (found.column_names, found.num_rows) != (labels, rows):
        yield f"a loop of {found.num_rows} rows x {found.column_names}, not {rows} x {labels}"
        return
    for i, label in enumerate(labels):
        yield from compare_column(found.column(i), label, values[i :: len(labels)], dialect)
    outcome.cells += len(values)


def compare_block(found: ta.Block, block: cif.Block, dialect: str, outcome: Outcome) -> Iterator[str]:
    items = list(block)
    pairs = {label_of(item.pair[0]): item.pair[1] for item in items if item.pair is not None}
    loops = [item.loop for item in items if item.loop is not None]
    frames = [item.frame for item in items if item.frame is not None]
    shape = (found.name, list(found.pairs), len(found.loops), len(found.frames))
    if shape != (name_of(block), list(pairs), len(loops), len(frames)):
        yield f"{shape}, not {(name_of(block), list(pairs), len(loops), len(frames))}"
        return
    for label, raw in pairs.items():
        yield from compare_pair(found.pairs[label], label, raw, dialect)
    outcome.cells += len(pairs)
    for table, loop in zip(found.loops, loops, strict=True):
        yield from compare_loop(table, loop, dialect, outcome)
    for inner, frame in zip(found.frames, frames, strict=True):
        yield from (f"{inner.name}: {difference}" for difference in compare_block(inner, frame, dialect, outcome))


def compare_documents(found: ta.Document, document: cif.Document, dialect: str, outcome: Outcome) -> Iterator[str]:
    names = [name_of(block) for block in document]
    if found.names != names:
        yield f"blocks {found.names}, not {names}"
        return
    for ours, block in zip(found, document, strict=True):
        yield from (f"data_{ours.name}: {difference}" for difference in compare_block(ours, block, dialect, outcome))


@functools.cache
def compare(name: str) -> Outcome:
    dialect = corpus()[name]
    try:
        found = ta.read_star(CORPUS / name, dialect=dialect)
    except ta.TomoarrowError:
        return Outcome("tomoarrow")
    document = read_with_gemmi((CORPUS / name).read_bytes())
    if document is None:
        return Outcome("gemmi")
    outcome = Outcome()
    outcome.differences += compare_documents(found, document, dialect, outcome)
    return outcome


@needs_corpus
@pytest.mark.parametrize("name", corpus())
def test_every_cell_is_what_gemmi_reads(name: str) -> None:
    assert compare(name).differences[:20] == []


@needs_corpus
def test_nearly_all_of_the_corpus_is_compared() -> None:
    compared = [outcome for outcome in map(compare, corpus()) if not outcome.refused_by]
    assert len(compared) >= 400
    assert sum(outcome.cells for outcome in compared) > 800_000


@needs_corpus
def test_gemmi_refuses_only_what_is_listed() -> None:
    assert {name for name in corpus() if compare(name).refused_by == "gemmi"} == set(REFUSED_BY_GEMMI)


@pytest.mark.parametrize("example", REFUSED_BY_GEMMI.values(), ids=REFUSED_BY_GEMMI)
def test_gemmi_refuses_what_is_listed(example: bytes) -> None:
    assert read_with_gemmi(example) is None
    assert ta.read_star(example, dialect="star").names == ["x"]


@pytest.mark.parametrize(("example", "mend"), [mend[1:] for mend in MENDS], ids=[mend[0] for mend in MENDS])
def test_gemmi_needs_each_mend(example: bytes, mend: Callable[[bytes], bytes]) -> None:
    assert parse_with_gemmi(example) is None
    assert parse_with_gemmi(mend(example)) is not None
