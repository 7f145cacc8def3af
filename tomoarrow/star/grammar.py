"""``grammar/star.lark`` to canonical LALR tables, and Lark's own word on what it expected.

Lark numbers states and rules by the order of Python sets, so its tables differ with PYTHONHASHSEED. Here
states are numbered breadth first from the start, symbols in the order of their names: one grammar, one table.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from lark import Lark, Token
from lark.exceptions import UnexpectedToken
from lark.grammar import Rule
from lark.lexer import TerminalDef
from numpy.typing import NDArray

START = "star_file"

#: Lark's names of the terminals, at the place of their kind of token (`tomoarrow.kernels.tokenize`).
TERMINALS = ("$END", "DATA_HEADING", "SAVE_HEADING", "SAVE_END", "LOOP", "STOP", "TAG", "VALUE")

#: Rules whose reductions make a node, at the place of the node's kind.
NODES = (None, "data_block", "save_frame", "loop", "empty_loop", "pair")

#: Terminals in words, for messages.
IN_WORDS = {
    "$END": "the end of the file",
    "DATA_HEADING": "a block (data_name)",
    "SAVE_HEADING": "a save frame (save_name)",
    "SAVE_END": "save_",
    "LOOP": "loop_",
    "STOP": "stop_",
    "TAG": "a label (_name)",
    "VALUE": "a value",
}


@dataclass(frozen=True, slots=True)
class Tables:
    """LALR tables, flat, as `tomoarrow.kernels.lalr.parse` takes them (see there)."""

    action: NDArray[np.int64]
    goto: NDArray[np.int64]
    rules: NDArray[np.int64]
    shape: NDArray[np.int64]


@functools.cache
def load_grammar() -> Lark:
    """The grammar, read by Lark, with Lark's own lexer for the `star` dialect."""
    return Lark(_grammar_text(), parser="lalr", lexer="basic", start=START)


@functools.cache
def tables() -> Tables:
    """The canonical tables of the grammar."""
    data, memo = load_grammar().memo_serialize([TerminalDef, Rule])
    table = data["parser"]["parser"]
    symbols: dict[int, str] = {int(k): v for k, v in table["tokens"].items()}
    states: dict[int, dict[str, tuple[int, Any]]] = {
        int(state): {symbols[int(symbol)]: (int(do[0]), do[1]) for symbol, do in row.items()}
        for state, row in table["states"].items()
    }
    start, end = int(table["start_states"][START]), int(table["end_states"][START])
    order = _breadth_first(states, start)

    rule_of = {key: _rule(memo[key]) for key in {do[1]["@"] for row in states.values() for do in row.values() if do[0]}}
    rules = sorted(set(rule_of.values()))
    nonterminals = sorted({origin for origin, _ in rules} | {s for row in states.values() for s in row if s.islower()})

    action = np.zeros((len(order), len(TERMINALS)), np.int64)
    goto = np.full((len(order), len(nonterminals)), -1, np.int64)
    accept = len(order) + 1
    for state, number in order.items():
        for symbol, (is_reduce, target) in states[state].items():
            if symbol in nonterminals:
                goto[number, nonterminals.index(symbol)] = order[target]
            elif is_reduce:
                action[number, TERMINALS.index(symbol)] = -1 - rules.index(rule_of[target["@"]])
            else:
                action[number, TERMINALS.index(symbol)] = 1 + order[target]
    action[order[end], 0] = accept
    shapes = [
        (len(expansion), nonterminals.index(origin), NODES.index(origin) if origin in NODES else 0)
        for origin, expansion in rules
    ]
    return Tables(
        action.ravel(),
        goto.ravel(),
        np.array(shapes, np.int64).ravel(),
        np.array([len(TERMINALS), len(nonterminals), order[start], accept], np.int64),
    )


def expected_after(kinds: Iterable[int]) -> list[str]:
    """What Lark would accept after these kinds of token, in words, in the order of `TERMINALS`."""
    parser = load_grammar().parse_interactive("")
    for kind in kinds:
        try:
            parser.feed_token(Token(TERMINALS[kind], ""))
        except UnexpectedToken:
            break
    accepted: set[str] = parser.accepts()  # type: ignore[no-untyped-call]
    return [IN_WORDS[name] for name in TERMINALS if name in accepted]


def _grammar_text() -> str:
    """The grammar: in the package where it is installed, beside it in a checkout."""
    installed = resources.files("tomoarrow") / "star" / "star.lark"
    if installed.is_file():
        return installed.read_text(encoding="utf-8")
    checkout = Path(__file__).parents[2] / "grammar" / "star.lark"
    return checkout.read_text(encoding="utf-8")


def _breadth_first(states: dict[int, dict[str, tuple[int, Any]]], start: int) -> dict[int, int]:
    order = {start: 0}
    queue = [start]
    for state in queue:
        for _, (is_reduce, target) in sorted(states[state].items()):
            if not is_reduce and target not in order:
                order[target] = len(order)
                queue.append(target)
    return order


def _rule(serialized: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    return serialized["origin"]["name"], tuple(symbol["name"] for symbol in serialized["expansion"])
