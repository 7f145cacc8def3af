"""Run-length tokens to the items of a file, by the LALR tables made from ``grammar/star.lark``.

The classic shift-reduce loop (Aho, Sethi, Ullman: Compilers, section 4.7) over flat tables. A run of equal
tokens is not replayed: once a token has left the stack as the token before it did, the rest of its run
changes nothing, because the lists of the grammar are left-recursive.
"""

from __future__ import annotations

from .jit import BYTES as KINDS
from .jit import INTS, OUT_I8, kernel, void
from .tokenize import END, FAULT

# Where the counts stand in `state`.
N_NODES = 0


@kernel(void, KINDS, INTS, INTS, INTS, INTS, INTS, OUT_I8, OUT_I8, OUT_I8, OUT_I8, OUT_I8)
def parse(kinds, counts, action, goto, rules, shape, stack, starts, nodes, faults, state):
    """Parse the tokens of one or more files.

    Parameters
    ----------
    kinds, counts : uint8[n_tokens], int64[n_tokens]
        Tokens; each file ends with END or FAULT. A run of none is there all the same: rows that are not in the text.
    action : int64[n_states * n_terminals]
        0: error; ``s + 1``: shift and go to state s; ``-(r + 1)``: reduce by rule r; `accept` in `shape`.
    goto : int64[n_states * n_nonterminals]
    rules : int64[3 * n_rules]
        For each rule: its length, its nonterminal, and the kind of node it makes (0 for none).
    shape : int64[4]
        Number of terminals, number of nonterminals, start state, the value of `action` that accepts.
    stack, starts : int64[2 * n_tokens + 8]
        Scratch: states, and the token at which each symbol of the stack begins.
    nodes : int64[3 * n_tokens]
        Filled with (kind, first token, past last token), in the order in which the nodes end.
    faults : int64[2 * n_files], filled with -1 beforehand
        Filled with the token, and the place within its run, at which a file stops making sense.
    state : int64[1]
        Filled with the number of nodes.
    """
    n_terminals = shape[0]
    n_nonterminals = shape[1]
    accept = shape[3]
    n_nodes = 0
    f = 0
    depth = 0
    stack[0] = shape[2]
    starts[0] = 0
    skip = False
    for t in range(len(kinds)):
        kind = kinds[t]
        repeat = 0
        while not skip and kind != FAULT and repeat < max(counts[t], 1):
            depth_before = depth
            changed = False
            while True:
                do = action[stack[depth] * n_terminals + kind]
                if do == 0:
                    faults[2 * f] = t
                    faults[2 * f + 1] = repeat
                    skip = True
                    break
                if do == accept:
                    break
                if do > 0:
                    depth += 1
                    changed |= stack[depth] != do - 1
                    stack[depth] = do - 1
                    starts[depth] = t
                    break
                rule = 3 * (-do - 1)
                length = rules[rule]
                nonterminal = rules[rule + 1]
                if length > 0:
                    depth -= length
                    start = starts[depth + 1]
                else:
                    start = t
                if rules[rule + 2] != 0:
                    nodes[3 * n_nodes] = rules[rule + 2]
                    nodes[3 * n_nodes + 1] = start
                    nodes[3 * n_nodes + 2] = t
                    n_nodes += 1
                    changed = True
                target = goto[stack[depth] * n_nonterminals + nonterminal]
                depth += 1
                changed |= stack[depth] != target
                stack[depth] = target
                starts[depth] = start
            repeat += 1
            if depth == depth_before and not changed:
                break
        if kind == END or kind == FAULT:
            f += 1
            depth = 0
            skip = False
    state[N_NODES] = n_nodes
