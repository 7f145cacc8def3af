"""The tables are those of the grammar, whatever the hash seed, and the kernel decides as Lark does."""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lark import Lark, Token
from lark.exceptions import UnexpectedToken
from lark.lexer import Lexer

from tomoarrow.kernels import lalr
from tomoarrow.star import grammar

DIGEST = (
    "import hashlib; from tomoarrow.star import grammar; t = grammar.tables();"
    "print(hashlib.sha256(b''.join(a.tobytes() for a in (t.action, t.goto, t.rules, t.shape))).hexdigest())"
)


def test_the_tables_do_not_depend_on_the_hash_seed() -> None:
    tables = grammar.tables()
    here = hashlib.sha256(b"".join(a.tobytes() for a in (tables.action, tables.goto, tables.rules, tables.shape)))
    for seed in ("0", "1", "2", "3", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == here.hexdigest()


def test_the_grammar_has_no_conflicts() -> None:
    # Lark settles a shift/reduce conflict without a word; its strict mode refuses one.
    text = (Path(__file__).parents[2] / "grammar" / "star.lark").read_text()
    rules = text.split("// ---- Terminals")[0] + "%declare " + " ".join(grammar.TERMINALS[1:])
    Lark(rules, parser="lalr", lexer=_NoLexer, start=grammar.START, strict=True)


class _NoLexer(Lexer):
    """Takes tokens as they are."""

    __future_interface__ = 0

    def __init__(self, _: object) -> None:
        pass

    def lex(self, tokens: list[Token]) -> list[Token]:
        return tokens


def lark_error(kinds: list[int]) -> int | None:
    """The position at which Lark refuses a string of terminals; its length stands for the end."""
    parser = grammar.load_grammar().parse_interactive("")
    for position, kind in enumerate([*kinds, 0]):
        try:
            parser.feed_token(Token(grammar.TERMINALS[kind], ""))
        except UnexpectedToken:
            return position
    return None


def kernel_error(files: list[list[int]]) -> list[int | None]:
    """The same for many strings at once, run-length encoded, by the kernel."""
    kinds, counts, owners = [], [], []
    for f, file in enumerate(files):
        begin = len(kinds)
        for kind in [*file, 0]:
            if len(kinds) > begin and kinds[-1] == kind and kind in (6, 7):
                counts[-1] += 1
            else:
                kinds.append(kind)
                counts.append(1)
                owners.append(f)
    tables = grammar.tables()
    faults = np.full(2 * len(files), -1, np.int64)
    stack, starts = np.zeros((2, 2 * len(kinds) + 8), np.int64)
    nodes, state = np.zeros(3 * len(kinds), np.int64), np.zeros(1, np.int64)
    run_lengths = np.array(counts)
    lalr.parse(
        np.array(kinds, np.uint8), run_lengths, tables.action, tables.goto, tables.rules, tables.shape,
        stack, starts, nodes, faults, state,
    )  # fmt: skip
    errors: list[int | None] = []
    for f in range(len(files)):
        token, repeat = faults[2 * f : 2 * f + 2].tolist()
        if token < 0:
            errors.append(None)
            continue
        assert owners[token] == f
        errors.append(int(run_lengths[owners.index(f) : token].sum()) + repeat)
    return errors


def random_strings(n: int, seed: int) -> list[list[int]]:
    """Strings of terminals that make sense for a while: each is likely to be followed by what may follow it."""
    dice = random.Random(seed)
    likely = {
        0: [1],
        1: [6, 4, 2, 1],
        2: [6, 4, 3],
        3: [1, 6, 4],
        4: [6],
        5: [6, 4, 1],
        6: [7, 6],
        7: [7, 6, 4, 5, 3, 1],
    }
    strings = []
    for _ in range(n):
        kinds = []
        previous = 0
        for _ in range(dice.randrange(1, 40)):
            previous = dice.choice(likely[previous]) if dice.random() < 0.95 else dice.randrange(1, 8)
            kinds.append(previous)
        strings.append(kinds)
    return strings


@pytest.mark.parametrize("seed", range(4))
def test_the_kernel_accepts_and_refuses_as_lark_does(seed: int) -> None:
    strings = random_strings(5_000, seed)
    expected = [lark_error(kinds) for kinds in strings]
    assert kernel_error(strings) == expected
    accepted = sum(error is None for error in expected)
    assert 200 < accepted < 4_800  # Both outcomes are really tried.


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ([], ["the end of the file", "a block (data_name)"]),
        ([1, 6], ["a value"]),
        ([1, 4], ["a label (_name)"]),
        ([1, 4, 6, 6, 7], ["the end of the file", "a block (data_name)", "a save frame (save_name)", "loop_", "stop_",
                           "a label (_name)", "a value"]),
        ([1, 4, 6, 4], ["a label (_name)"]),
        ([1, 2, 6, 7], ["a save frame (save_name)", "save_", "loop_", "a label (_name)"]),
    ],
    ids=["nothing", "tag", "loop_", "values", "empty loop", "frame"],
)  # fmt: skip
def test_lark_says_what_was_expected(kinds: list[int], words: list[str]) -> None:
    assert grammar.expected_after(kinds) == words
