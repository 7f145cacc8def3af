"""Numbers are read exactly: bit for bit what Python's `float` and `int` make of the same text."""

import math
import random
import struct

import numpy as np
import pyarrow as pa
import pytest

from tomoarrow.errors import SchemaError
from tomoarrow.star.columns import Label, LabelType
from tomoarrow.star.scan import read_table


def column(values: list[str], kind: LabelType | None = None) -> pa.ChunkedArray:
    """Values of one label, read as a type or as what they are inferred to be."""
    text = "data_\nloop_\n_x\n" + "\n".join(values) + "\n"
    labels = {"x": Label("x", kind)} if kind else {}
    return read_table(text.encode(), labels=labels).column("x")


def bits(values: list[float]) -> list[int]:
    return np.array(values, np.float64).view(np.int64).tolist()


def random_doubles(n: int, seed: int) -> list[float]:
    dice = random.Random(seed)
    doubles = []
    while len(doubles) < n:
        if dice.random() < 0.5:
            value = struct.unpack("<d", dice.randbytes(8))[0]
        else:
            value = dice.gauss(0, 1) * 10 ** dice.randrange(-8, 9)
        if math.isfinite(value):
            doubles.append(value)
    return doubles


@pytest.mark.parametrize("style", ["repr", "%.17g", "%12.6f", "%12.6e", "%.3g", "%.25e", "%.60f"])
def test_100_000_random_doubles_are_read_exactly(style: str) -> None:
    doubles = random_doubles(100_000, seed=7)
    texts = [repr(value) if style == "repr" else (style % value).strip() for value in doubles]
    read = column(texts, "float64").to_numpy()
    expected = np.array([float(text) for text in texts])
    assert np.array_equal(read.view(np.int64), expected.view(np.int64))


HARD = [
    "0", "-0", "-0.0", "+0.0", "1", "+1.5", ".5", "5.", "-.5e1", "1E5", "1e+05", "1e-5", "00.5", "007",
    "9007199254740993", "9007199254740992.5", "9007199254740993.0000000000000000000000001",
    "1.79769313486231580799999e308", "1.7976931348623158079e308",
    "4.9406564584124654e-324", "2.4703282292062327e-324", "2.4703282292062328e-324", "2.2250738585072014e-308",
    "2.2250738585072011e-308", "1.7976931348623157e308", "1.7976931348623158e308", "1e-400", "1e308", "1e22", "1e23",
    "8.5e22", "123456789012345678901234567890", "0.1000000000000000055511151231257827021181583404541015625",
    "0.10000000000000000555111512312578270211815834045410156249999999999999999999", "1" + "0" * 300,
    "0." + "0" * 300 + "1", "6.631236846766476e-316", "1090544144181609348835077142190",
    "3.2378839133029012895883524125015321748630094985581e-319",
    "179769313486231570814527423731704356798070567525844996598917476803157260780028538760589558632766878171540458953514"
    "382464234321326889464182768467546703537516986049910576551282076245490090389328944075868508455133942304583236903222"
    "948165808559332123347747979e-1",
]  # fmt: skip


@pytest.mark.parametrize("text", HARD, ids=lambda text: text[:30])
def test_hard_decimals_are_read_exactly(text: str) -> None:
    if math.isinf(float(text)):  # A finite number is never read as infinity.
        with pytest.raises(SchemaError, match="out of range"):
            column([text], "float64")
    else:
        assert bits(column([text], "float64").to_pylist()) == bits([float(text)])


@pytest.mark.parametrize(
    ("text", "sign"), [("nan", 1), ("-nan", -1), ("NaN", 1), ("inf", 1), ("-inf", -1), ("+Inf", 1), ("infinity", 1)]
)
def test_what_is_not_finite_stays_a_float_with_its_sign(text: str, sign: int) -> None:
    value = column([text], "float64")[0].as_py()
    assert math.isnan(value) == ("an" in text.lower())
    assert math.copysign(1, value) == sign


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2", "+3"], "int64"),
        (["1", "2.5"], "double"),
        (["1", "2.0"], "double"),
        (["1", "1e3"], "double"),
        (["nan", "1"], "double"),
        (["-0", "1"], "double"),
        (["None", "1"], "int64"),
        (["<NA>", "1.5"], "double"),
        (["None", "N/A"], "string"),
        (["01", "02"], "string"),
        (["-01", "2"], "string"),
        (["1_000", "2"], "string"),
        (["1", "x"], "string"),
        (["1"] * 1000 + ["x"], "string"),
        (["1"] * 1000 + ["1.5"], "double"),
        (["1.5D+02", "+1.5"], "string"),
        (["0x10", "1"], "string"),
        (["1.2.3", "1"], "string"),
        (["1e", "1"], "string"),
        (["-", "1"], "string"),
        (["'1'", "2"], "string"),
        (['""', "2"], "string"),
        (["9223372036854775807", "-9223372036854775808"], "int64"),
        (["9223372036854775808", "1"], "string"),
        (["-9223372036854775809", "1"], "string"),
        (["9007199254740993", "0.5"], "string"),
        (["1e400", "1"], "string"),
        (["[1,2]", "[3]"], "string"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else value,
)
def test_unknown_labels_are_inferred_from_all_values(values: list[str], kind: str) -> None:
    read = column(values)
    assert str(read.type) == kind
    if kind == "string":
        assert read.to_pylist() == [value.strip("'\"") for value in values]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int64", "12", 12),
        ("int64", "-12", -12),
        ("int64", "+7", 7),
        ("int64", "2.000000", 2),
        ("int64", "1e3", 1000),
        ("int64", "007", 7),
        ("int64", "None", None),
        ("int64", "<NA>", None),
        ("int64", "9223372036854775807", 2**63 - 1),
        ("int64", "-9223372036854775808", -(2**63)),
        ("float64", "N/A", None),
        ("float64", "NA", None),
        ("float64", "null", None),
        ("float64", "12", 12.0),
        ("bool", "0", False),
        ("bool", "1", True),
        ("bool", "-1", True),
        ("bool", "True", True),
        ("bool", "False", False),
        ("bool", "None", None),
        ("string", "None", "None"),
        ("string", "001", "001"),
        ("string", "nan", "nan"),
        ("name", "01", "01"),
        ("path", "a/b.mrc", "a/b.mrc"),
        ("list<int64>", "[1,0,1]", [1, 0, 1]),
        ("list<int64>", "[1,0,]", [1, 0]),
        ("list<int64>", "1,0", [1, 0]),
        ("list<int64>", "[]", []),
        ("list<int64>", '"[1, 0]"', [1, 0]),
        ("list<int64>", "None", None),
        ("list<int64>", "[1,None]", [1, None]),
        ("list<int64>", "[1.0,2]", [1, 2]),
        ("list<float64>", "[0.1,1e-07,123456789.123]", [0.1, 1e-07, 123456789.123]),
        ("list<float64>", "[1]", [1.0]),
    ],
)
def test_a_known_label_has_its_type(kind: LabelType, text: str, value: object) -> None:
    assert column([text], kind).to_pylist() == [value]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int64", "x"),
        ("int64", "1.5x"),
        ("int64", "9223372036854775808"),
        ("int64", "1e300"),
        ("float64", "x"),
        ("float64", "1.5D+02"),
        ("float64", "1e400"),
        ("float64", '""'),
        ("float64", "1 ".strip() + "e"),
        ("bool", "yes"),
        ("bool", "0.5"),
        ("list<int64>", "[1,x]"),
        ("list<int64>", "[1,2"),
        ("list<float64>", "1]"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_place(kind: LabelType, text: str) -> None:
    good = {"int64": "1", "float64": "1.5", "bool": "1", "list<int64>": "[1]", "list<float64>": "[1.5]"}[kind]
    with pytest.raises(SchemaError) as refused:
        column([good, text, good], kind)
    place = refused.value.place
    assert (place.line, place.block, place.label) == (5, "", "x")
    assert text.strip('"') in str(refused.value)


def test_an_int_label_with_a_fraction_becomes_float() -> None:
    assert column(["1", "2.5", "None"], "int64").to_pylist() == [1.0, 2.5, None]
    assert column(["[1,2]", "[2.5]"], "list<int64>").to_pylist() == [[1.0, 2.0], [2.5]]


def test_integers_that_a_double_cannot_hold_are_not_rounded_when_a_column_becomes_float() -> None:
    with pytest.raises(SchemaError, match="9007199254740993"):
        column(["9007199254740993", "0.5"], "int64")


def test_nulls_of_the_star_dialect_are_null_in_numeric_columns_only() -> None:
    table = read_table(b"data_x loop_ _a _b _c 1 ? . 2 5 ? . '.' '?' ", dialect="star")
    assert table.to_pydict() == {"a": [1, 2, None], "b": ["?", "5", "."], "c": [".", "?", "?"]}
    table = read_table(b"data_x loop_ _a _b 1 ? . 2.5 ? . ", dialect="star")
    assert table.to_pydict() == {"a": [1, None, None], "b": [None, 2.5, None]}
