"""Values to text: how a column's values are written, for each type of Arrow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import SchemaError
from ..kernels import format as formats
from ..kernels import rows as kernels
from ..kernels.memory import SLACK

#: How a number becomes text. ``relion``: as RELION writes doubles; ``shortest``: the shortest text that reads back, as
#: Python's repr; ``short``: the same as .NET has it, ``2`` and ``1E-05``; ``word``: True or False.
Kind = Literal["relion", "fixed", "scientific", "general", "shortest", "short", "word"]

_STYLES = {
    "relion": formats.RELION,
    "fixed": formats.FIXED,
    "scientific": formats.SCIENTIFIC,
    "general": formats.GENERAL,
    "shortest": formats.SHORTEST,
    "short": formats.SHORT,
}

#: When strings are quoted: see `tomoarrow.kernels.rows`.
_WHEN = {"needed": kernels.NEEDED, "relion": kernels.RELION, "always": kernels.ALWAYS}
Quoting = Literal["needed", "relion", "always"]

#: So many decimals are a writer's choice, as RELION's and starfile's six are.
_MANY_DECIMALS = 6

#: Decimals of so many digits are all int64, too.
_INT64_DIGITS = 18

#: No rows.
NONE = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Form:
    """How the values of a column become text. What does not concern the column's type has no effect.

    Attributes
    ----------
    kind, precision
        Of numbers: `Kind`, and P of ``%.Pf`` and ``%.Pe`` or N of ``%.Ng``.
    brackets : bool
        Of vectors: whether they stand in brackets.
    quoting, mark
        Of strings: when they are quoted, and by which quote.
    null : str
        What stands for no value.
    """

    kind: Kind = "shortest"
    precision: int = 0
    brackets: bool = True
    quoting: Quoting = "needed"
    mark: str = '"'
    null: str = "<NA>"


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts one after the other.

    Attributes
    ----------
    data : uint8[bytes + SLACK or more]
    offsets : int64[n + 1]
        Where each begins and the last ends.
    refused : int64[m]
        The rows of values that have no form in STAR; their texts are empty.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    refused: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def size(self) -> int:
        """How many bytes the texts have."""
        return int(self.offsets[-1])


def texts_of(array: pa.Array, form: Form, *, firsts: NDArray[np.int64] = NONE, multiline: bool = False) -> Texts:
    """The texts of a column's values, quotes included.

    Parameters
    ----------
    array : pyarrow.Array
    form : Form
    firsts : int64[k]
        The values, ascending, that are the first of a loop: RELION would take ``_x`` there for a label.
    multiline : bool
        Strings of several lines become text fields; else they have no form.

    Raises
    ------
    SchemaError
        The type has no form in STAR.
    """
    array = as_plain(array)
    texts = _writer_of(array.type)(array, form, firsts, multiline)
    if not array.null_count:
        return texts
    rows = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))
    return splice(texts, rows, pack([form.null.encode()] * len(rows)))


def number_style(type_: pa.DataType, form: Form) -> tuple[int, int] | None:
    """How `tomoarrow.kernels.format` writes the numbers of a type, and to how many decimals, where that is fixed."""
    if pa.types.is_integer(type_):
        return formats.FIXED, 0
    if pa.types.is_floating(type_) and form.kind in ("relion", "fixed", "scientific"):
        return _STYLES[form.kind], form.precision
    return None


def stay_bare(array: pa.Array, form: Form, firsts: NDArray[np.int64] = NONE) -> bool:
    """Whether strings, none of them missing, are written without quotes; arguments are those of `texts_of`."""
    return _are_bare(_text_buffers(array), form, firsts)


def _are_bare(texts: Texts, form: Form, firsts: NDArray[np.int64]) -> bool:
    return bool(kernels.count_bare(texts.data, texts.offsets, _WHEN[form.quoting], firsts) == len(texts))


def plain_type(type_: pa.DataType) -> pa.DataType:
    """The type that values are written as: one each for numbers, text and lists, of the many that Arrow has."""
    if pa.types.is_dictionary(type_):
        return plain_type(type_.value_type)
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return pa.large_string()
    if _are_int64(type_):
        return pa.int64()
    if pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return pa.float64()
    if pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_):
        return pa.large_list(plain_type(type_.value_type))
    return type_


def _are_int64(type_: pa.DataType) -> bool:
    """Whether all values of a type are numbers that int64 holds; decimals are where they have no fractions."""
    if pa.types.is_decimal(type_):
        return bool(type_.scale == 0 and type_.precision <= _INT64_DIGITS)
    return bool(pa.types.is_integer(type_) and type_ != pa.uint64())


def as_plain(array: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """An array as its plain type."""
    if isinstance(array, pa.ChunkedArray):
        return pa.chunked_array([as_plain(chunk) for chunk in array.chunks], plain_type(array.type))
    wanted = plain_type(array.type)
    if pa.types.is_dictionary(array.type):
        return as_plain(array.dictionary).take(array.indices)
    if pa.types.is_decimal(array.type):
        # By their digits: the cast to doubles does not round to the nearest.
        array = array.cast(pa.large_string())
    return array if array.type == wanted else array.cast(wanted)


def plain_table(table: pa.Table) -> pa.Table:
    """A table whose columns have their plain types."""
    columns = [as_plain(column) for column in table.itercolumns()]
    return pa.table(columns, names=table.column_names) if columns else table


def value_array(value: Any) -> pa.Array:
    """The value of a pair as an array.

    Raises
    ------
    SchemaError
        It is nothing that a pair can have.
    """
    try:
        return as_plain(pa.array([value], pa.string() if value is None else None))
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise SchemaError(
            f"a value that has no form in STAR: {value!r}", expected="a number, a boolean, text, or a list of numbers"
        ) from error


def pack(texts: Sequence[bytes]) -> Texts:
    """Texts from a list."""
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter((len(text) for text in texts), np.int64, len(texts)), out=offsets[1:])
    return Texts(np.frombuffer(b"".join([*texts, bytes(SLACK)]), np.uint8), offsets)


def splice(texts: Texts, rows: NDArray[np.int64], others: Texts) -> Texts:
    """Texts with some rows, ascending, replaced."""
    if not len(rows):
        return texts
    out = np.empty(texts.size + others.size + SLACK, np.uint8)
    offsets = np.empty(len(texts) + 1, np.int64)
    kernels.splice(texts.data, texts.offsets, rows, others.data, others.offsets, out, offsets)
    return Texts(out, offsets, np.setdiff1d(texts.refused, rows))


def _writer_of(type_: pa.DataType) -> Callable[[pa.Array, Form, NDArray[np.int64], bool], Texts]:
    if pa.types.is_floating(type_):
        return _floats
    if pa.types.is_integer(type_):
        return _ints
    if pa.types.is_boolean(type_):
        return _bools
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return _strings
    if pa.types.is_null(type_):
        return _nulls
    if pa.types.is_large_list(type_) and _writer_of(type_.value_type) in (_floats, _ints, _nulls):
        return _vectors
    raise SchemaError(
        f"values of the type {type_} have no form in STAR",
        expected="numbers, booleans, text, or lists of numbers",
        remedy="cast the column, or leave it out",
    )


def _floats(array: pa.Array, form: Form, *_: object) -> Texts:
    kind = "shortest" if form.kind == "word" else form.kind
    values = _values(array, np.float64)
    texts = _grown(formats.format_floats, values, _STYLES[kind], form.precision)
    if kind == "fixed":
        rows = np.flatnonzero(_lost(values, form.precision))
    elif kind == "scientific" and form.precision < _MANY_DECIMALS:
        rows = np.flatnonzero(np.isfinite(values) & (_read_back(texts) != values))
    else:
        return texts
    return splice(texts, rows, _grown(formats.format_floats, values[rows], formats.SHORTEST, 0)) if len(rows) else texts


def _lost(values: NDArray[np.float64], precision: int) -> NDArray[np.bool_]:
    """The values that lose too much with some decimals: everything; or anything, where the decimals are few.

    Few decimals are those of the values that were there, no choice of a writer's.
    """
    if precision >= _MANY_DECIMALS:
        return np.asarray((np.abs(values) <= 0.5 * 10.0**-precision) & (values != 0))
    with np.errstate(all="ignore"):
        return np.asarray((np.round(values, precision) != values) & np.isfinite(values))


def _read_back(texts: Texts) -> NDArray[np.float64]:
    """The numbers that texts are."""
    buffers = [None, pa.py_buffer(texts.offsets), pa.py_buffer(texts.data)]
    strings = pa.Array.from_buffers(pa.large_string(), len(texts), buffers)
    return np.asarray(strings.cast(pa.float64()))


def _ints(array: pa.Array, form: Form, *_: object) -> Texts:
    if array.type == pa.uint64() and len(array) and (pc.max(array).as_py() or 0) > np.iinfo(np.int64).max:
        return _text_buffers(array.cast(pa.large_string()))
    return _grown(formats.format_ints, _values(array.cast(pa.int64()), np.int64))


def _grown(kernel: Callable[..., int], values: NDArray[Any], *how: int) -> Texts:
    """Run a kernel of `tomoarrow.kernels.format` with room enough."""
    offsets = np.empty(len(values) + 1, np.int64)
    capacity = 26 * len(values) + formats.LONGEST
    while True:
        out = np.empty(capacity, np.uint8)
        if kernel(values, *how, 0, out, offsets) == len(values):
            return Texts(out, offsets)
        capacity = formats.LONGEST * (len(values) + 1)


def _bools(array: pa.Array, form: Form, *_: object) -> Texts:
    words = ("True", "False") if form.kind == "word" else ("1", "0")
    return _text_buffers(pc.if_else(array, *(pa.scalar(word, pa.large_string()) for word in words)))


def _strings(array: pa.Array, form: Form, firsts: NDArray[np.int64], multiline: bool) -> Texts:
    texts = _text_buffers(array)
    if _are_bare(texts, form, firsts):
        return texts
    out = np.empty(3 * texts.size + 5 * len(texts) + SLACK, np.uint8)
    offsets = np.zeros(len(texts) + 1, np.int64)
    refused = np.empty(len(texts), np.int64)
    how = _WHEN[form.quoting], ord(form.mark), firsts, multiline
    n_refused = kernels.quote(texts.data, texts.offsets, *how, out, offsets, refused)
    return Texts(out, offsets, refused[:n_refused].copy())


def _nulls(array: pa.Array, *_: object) -> Texts:
    return Texts(np.empty(SLACK, np.uint8), np.zeros(len(array) + 1, np.int64))


def _vectors(array: pa.Array, form: Form, *_: object) -> Texts:
    elements = array.flatten()
    list_offsets = np.zeros(len(array) + 1, np.int64)
    np.cumsum(pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False), out=list_offsets[1:])
    if elements.type == pa.int64() and not elements.null_count:
        out = np.empty(2 * (len(elements) + len(array)) + SLACK, np.uint8)
        offsets = np.empty(len(array) + 1, np.int64)
        if kernels.digit_vectors(_values(elements, np.int64), list_offsets, form.brackets, out, offsets) >= 0:
            return Texts(out, offsets)
    texts = texts_of(elements, form)
    out = np.empty(texts.size + len(texts) + 2 * len(array) + SLACK, np.uint8)
    offsets = np.empty(len(array) + 1, np.int64)
    kernels.join_vectors(texts.data, texts.offsets, list_offsets, form.brackets, out, offsets)
    return Texts(out, offsets)


def _values(array: pa.Array, dtype: type) -> NDArray[Any]:
    """The values of a primitive array; anything where it is null."""
    buffer = array.buffers()[1]
    if buffer is None or not len(array):
        return np.empty(0, dtype)
    return np.frombuffer(buffer, dtype)[array.offset : array.offset + len(array)]


def _text_buffers(array: pa.Array) -> Texts:
    """The bytes and offsets of an array of strings; nulls are empty."""
    if array.null_count:
        array = pc.fill_null(array, "")
    _, offsets, data = array.buffers()
    if not len(array) or data is None:
        return Texts(np.empty(SLACK, np.uint8), np.zeros(len(array) + 1, np.int64))
    wide = np.frombuffer(offsets, np.int32 if pa.types.is_string(array.type) else np.int64)
    cut = wide[array.offset : array.offset + len(array) + 1].astype(np.int64)
    texts = np.frombuffer(data, np.uint8)[cut[0] :]
    if data.size - cut[-1] < SLACK:
        texts = np.concatenate([texts, np.zeros(SLACK, np.uint8)])
    return Texts(texts, cut - cut[0])
