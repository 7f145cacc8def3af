"""Fuzzing by mutation: real files, broken at random, through all readers.

By hand: ``python -m tests.fuzz.run --seconds 1800``. What does not hold is printed and, with ``--keep``, kept.
"""

from __future__ import annotations

import argparse
import faulthandler
import itertools
import random
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tomoarrow.kernels import warmup

from ..memory import fill_what_is_empty
from . import agree, mutate

#: A process that is busy with one input for so long is ended.
HANGS_AFTER_SECONDS = 120


@dataclass
class Run:
    """How many inputs were checked, how many times they were read, and what did not hold, by input."""

    inputs: int = 0
    reads: int = 0
    findings: list[tuple[bytes, str]] = field(default_factory=list)


def inputs(seed: int) -> Iterator[bytes]:
    """Inputs without end, the same ones for the same seed and files."""
    files = mutate.seeds()
    for i in itertools.count():
        yield mutate.mutated(random.Random(f"{seed} {i}"), files)


def run(
    seed: int, n: int, *, seconds: float = float("inf"), keep: Path | None = None, first: Iterable[bytes] = ()
) -> Run:
    """Check so many inputs, or for so long.

    Parameters
    ----------
    seed : int
    n : int
    seconds : float
    keep : Path, optional
        A folder for inputs of which something does not hold, and for the one that is being checked: should it end the
        process, it is there.
    first : iterable of bytes
        Inputs to check before all others.
    """
    fill_what_is_empty()
    warmup.prepare("all")
    done = Run()
    started = time.monotonic()
    for data in itertools.chain(first, itertools.islice(inputs(seed), n)):
        if time.monotonic() - started > seconds:
            break
        if keep:
            (keep / f"current-{seed}").write_bytes(data)
        faulthandler.dump_traceback_later(HANGS_AFTER_SECONDS, exit=True)
        try:
            done.reads += agree.check(data)
        except Exception as error:
            done.findings.append((data, "".join(traceback.format_exception(error, limit=-3))))
            print(f"input {done.inputs} of seed {seed}, {len(data)} bytes: {done.findings[-1][1]}", flush=True)
            if keep:
                (keep / f"found-{seed}-{done.inputs}").write_bytes(data)
        finally:
            faulthandler.cancel_dump_traceback_later()
        done.inputs += 1
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inputs", type=int, default=1 << 62)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--keep", type=Path, help="a folder for inputs of which something does not hold")
    parser.add_argument("--also", type=Path, help="a folder of inputs to check before the others")
    arguments = parser.parse_args()
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    first = [path.read_bytes() for path in sorted(arguments.also.iterdir())] if arguments.also else []
    done = run(arguments.seed, arguments.inputs, seconds=arguments.seconds, keep=arguments.keep, first=first)
    print(
        f"seed {arguments.seed}: {done.inputs:,} inputs, {done.reads:,} reads in {time.monotonic() - started:,.0f} s, "
        f"{len(done.findings)} findings"
    )
    raise SystemExit(bool(done.findings))


if __name__ == "__main__":
    main()
