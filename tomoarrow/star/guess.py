"""The rules that some rows of a loop suggest: how its values become text, what stands between them, its header."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .forms import Form, Quoting, texts_of
from .style import Gap, Header

#: Words that stand for no value.
_MISSING = ("<NA>", "None", "N/A", "NA", "null", "?", ".")

#: More decimals than the kernels write belong to no form.
_MOST_DECIMALS = 17


def learn_header(behind: Sequence[str]) -> Header:
    """The rule for what stands behind labels."""
    each = behind[0].replace("#1", "#{n}", 1)
    for header in (Header(each), Header(each, behind[-1].replace(f"#{len(behind)}", "#{n}", 1))):
        if header.behind_each(len(behind)) == tuple(behind):
            return header
    return Header(each, each=tuple(behind))


def guess_forms(values: pa.Array, texts: Sequence[bytes], *, aligned: bool) -> Iterator[Form]:
    """The forms that give some values their texts, the likeliest first; last, those that do for most of them."""
    nulls = [texts[row].decode() for row in np.flatnonzero(np.asarray(values.is_null())).tolist()]
    null = next((text for text in nulls if text in _MISSING), "<NA>")
    partial = []
    for candidate in _candidates(values.type, texts, aligned=aligned):
        form = replace(candidate, null=null)
        written = texts_of(values, form, multiline=True)
        data, ends = written.data.tobytes(), written.offsets.tolist()
        fit = sum(data[begin:end] == text for (begin, end), text in zip(pairwise(ends), texts, strict=True))
        if fit == len(texts):
            yield form
        else:
            partial.append((fit, form))
    most = max((fit for fit, _ in partial), default=0)
    yield from [form for fit, form in partial if fit == most][:2]


def is_text(type_: pa.DataType) -> bool:
    """Whether a column is of strings, and of no dictionary of them."""
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def usual_form(type_: pa.DataType, *, aligned: bool) -> Form | None:
    """The first of the candidates for a column without missing values, where that does not depend on its texts."""
    if pa.types.is_floating(type_):
        return Form("relion") if aligned else None
    return Form() if is_text(type_) or pa.types.is_integer(type_) else None


def _candidates(type_: pa.DataType, texts: Sequence[bytes], *, aligned: bool) -> Iterator[Form]:
    if pa.types.is_floating(type_):
        if aligned:
            yield Form("relion")
        yield from _fixed(texts)
        yield Form("relion")
        yield from _GENERAL
    elif pa.types.is_boolean(type_):
        yield from (Form(), Form("word"))
    elif pa.types.is_list(type_):
        for brackets in (True, False):
            if pa.types.is_floating(type_.value_type):
                kinds = [Form("general", 12), *_fixed(texts), *_GENERAL]
                yield from [replace(form, brackets=brackets) for form in kinds]
            else:
                yield Form(brackets=brackets)
    elif pa.types.is_string(type_) or pa.types.is_dictionary(type_):
        yield from [Form(quoting=quoting, mark=mark) for mark in "\"'" for quoting in get_args(Quoting)]
    else:
        yield Form()


_GENERAL = [Form("general", 6), Form("shortest"), Form("short"), *(Form("general", n) for n in (7, 12, 15, 17))]


def _fixed(texts: Sequence[bytes]) -> list[Form]:
    """Forms of fixed precision, with as many decimals as the texts have, the most frequent first."""
    found: Counter[Form] = Counter()
    for text in texts:
        number, _, exponent = text.lower().partition(b"e")
        decimals = len(number.partition(b".")[2].partition(b",")[0].rstrip(b"]"))
        if decimals <= _MOST_DECIMALS:
            found[Form("scientific" if exponent else "fixed", decimals)] += 1
    return [form for form, _ in found.most_common(4)]


def guess_gap(
    texts: Sequence[bytes], fronts: NDArray[np.int64], behinds: NDArray[np.int64], *, leads: bool, ends: bool
) -> Gap:
    """The rule that explains most of some gaps, given how long the values in front of them and behind them are.

    `leads` and `ends`: whether they stand before the first value of a row, or behind the last.
    """
    if not texts:
        return Gap()
    blanks = np.array([len(text) - len(text.lstrip(b" ")) for text in texts])
    rests = [text.lstrip(b" ") for text in texts]
    if ends and not any(b"\n" in text for text in texts):
        # Rows that share a line, or the one row of a file without an end of line: no rule to go on.
        return Gap("\n")
    rest = Counter(rests).most_common(1)[0][0]
    fitting = np.array([text == rest for text in rests])
    n, front, behind = blanks[fitting], fronts[fitting], behinds[fitting]
    text = rest.decode()
    usual = int(Counter(n.tolist()).most_common(1)[0][0])
    guesses = [Gap(text, usual)]
    inside = not leads and not ends
    for left, right in [(False, True)] * (not ends) + [(True, False)] * (not leads) + [(True, True)] * inside:
        filled = n + left * front + right * behind
        fill = int(filled.max())
        overflowing = n[filled != fill]
        least = int(overflowing.min()) if len(overflowing) else int(inside and not text)
        guesses.append(Gap(text, least, fill, left, right))
    if usual > inside and not ends:
        # Where all values are equally long, blanks are more likely to be the work of alignment.
        guesses.insert(0, guesses.pop(1))
    return max(guesses, key=lambda gap: _explained(gap, n, front, behind))


def _explained(gap: Gap, n: NDArray[np.int64], front: NDArray[np.int64], behind: NDArray[np.int64]) -> int:
    return int((np.maximum(gap.least, gap.fill - gap.left * front - gap.right * behind) == n).sum())
