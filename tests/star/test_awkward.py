"""Hard inputs: each reads as its author meant it, or is refused; none is silently wrong."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tomoarrow import Document, StarSyntaxError, read_star

#: Files that only the general dialect can read.
STAR_ONLY = {"32_semicolon_text"}

#: What must be refused, and the line that the message names.
REFUSED = {"18_ragged_short": 11, "19_ragged_long": 11}

#: Where the expectation leaves a choice: what tomoarrow makes of it.
CHOSEN = {
    "21_dup_blocks": [("x", {"rlnA": [1], "rlnB": [2]}), ("x", {"rlnA": [3], "rlnB": [4]})],
    "42_row_starts_data_": [("x", {"rlnName": ["data_raw/b.mrc", "frames/a.mrc"], "rlnB": [4, 2]})],
    "43_row_starts_underscore": [("x", {"rlnName": ["a.mrc", "_private/b.mrc", "frames/a.mrc"], "rlnB": [1, 4, 2]})],
    "53_empty_file": [],
}

#: Files that RELION's own reader would lose something of, and the warning that says so.
WARNED = {
    "12_crlf": "crlf",
    "15_comment_between_rows": "comment-in-loop",
    "17_blank_between_rows": "blank-line-in-loop",
    "21_dup_blocks": "repeated-block",
    "25_zero_rows": "no-rows",
    "28_nan_inf": "not-finite",
    "34_none_null": "missing",
    "42_row_starts_data_": "keyword-row",
    "43_row_starts_underscore": "keyword-row",
}

#: The type of each column that is not what its text suggests at first sight.
TYPES = {
    ("28_nan_inf", "rlnA"): "double",
    ("34_none_null", "rlnA"): "double",
    ("34_none_null", "rlnB"): "int64",
    ("34_none_null", "rlnC"): "string",
    ("38_leading_zero_names", "rlnB"): "string",
    ("38_leading_zero_names", "rlnC"): "string",
    ("47_int_column_with_floats", "rlnA"): "double",
    ("55_plus_sign_D_exp", "rlnA"): "string",
    ("55_plus_sign_D_exp", "rlnB"): "int64",
    ("58_cif_null", "rlnB"): "string",
}


def expectations(shared: Path) -> dict[str, dict[str, Any]]:
    return json.loads((shared / "awkward" / "expected.json").read_text(encoding="utf-8"))


def read(shared: Path, name: str) -> Document:
    return read_star(shared / "awkward" / f"{name}.star", dialect="star" if name in STAR_ONLY else "relion")


def same(value: Any, text: str) -> bool:
    """Whether a value is what a text says."""
    if value is None:
        return text == "None"
    if isinstance(value, float):
        return math.isnan(value) == math.isnan(float(text)) and (math.isnan(value) or value == float(text))
    if isinstance(value, bool | int):
        return int(value) == int(text)
    return value == text


def test_every_case_reads_as_stated(shared: Path) -> None:
    cases = expectations(shared)
    assert len(cases) >= 41
    for name, case in cases.items():
        expected = case["expect"]
        if name in REFUSED:
            assert expected == "ERROR"
            with pytest.raises(StarSyntaxError) as refused:
                read(shared, name)
            assert refused.value.place.line == REFUSED[name], name
            continue
        document = read(shared, name)
        if name in CHOSEN:
            assert isinstance(expected, str), f"{name}: the expectation leaves no choice any more"
            assert [(b.name, b.table.to_pydict()) for b in document if b.table is not None] == CHOSEN[name], name
            continue
        assert document.names == list(expected), name
        for block, (kind, *content) in zip(document, expected.values(), strict=True):
            if kind == "list":
                assert block.table is None, name
                assert list(block.pairs) == list(content[0]), name
                assert all(same(block.pairs[label], text) for label, text in content[0].items()), name
            else:
                labels, rows = content
                assert block.table is not None, name
                assert block.table.column_names == labels, name
                read_rows = list(zip(*(block.table.column(label).to_pylist() for label in labels), strict=True))
                assert len(read_rows) == len(rows), name
                assert all(
                    same(v, t)
                    for got, want in zip(read_rows, rows, strict=True)
                    for v, t in zip(got, want, strict=True)
                ), name


@pytest.mark.parametrize(("name", "code"), WARNED.items())
def test_what_relion_would_lose_is_warned_of_and_refused_when_strict(shared: Path, name: str, code: str) -> None:
    assert code in [notice.code for notice in read(shared, name).warnings]
    with pytest.raises(StarSyntaxError, match=code):
        read_star(shared / "awkward" / f"{name}.star", strict=True)


def test_nothing_else_is_warned_of(shared: Path) -> None:
    warned = {name for name in set(expectations(shared)) - set(REFUSED) if read(shared, name).warnings}
    assert warned == set(WARNED)


def test_types(shared: Path) -> None:
    for (name, label), kind in TYPES.items():
        table = read(shared, name)[0].table
        assert table is not None
        assert str(table.schema.field(label).type) == kind, (name, label)


def test_the_text_field_is_refused_in_relions_dialect_with_a_hint(shared: Path) -> None:
    with pytest.raises(StarSyntaxError, match='dialect="star"'):
        read_star(shared / "awkward" / "32_semicolon_text.star")
