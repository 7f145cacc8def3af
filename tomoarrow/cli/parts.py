"""A conversion in parts: plan, partition, finalise."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

import typer

from ..errors import counted
from .errors import errors_told
from .options import (
    AllowOutside,
    InputOption,
    Json,
    MaxRejects,
    Missing,
    OnBadFile,
    OnBadValue,
    OutputOption,
    PartitionBy,
    Project,
    Threads,
    arguments,
)
from .show import leave_with, show_report

_Dataset = Annotated[
    str | None, typer.Argument(metavar="DATASET", help="The dataset to be made, as it was given to plan.")
]


def plan(
    parts: Annotated[int, typer.Option(min=1, metavar="N", help="How many parts to make, of about the same size.")],
    source: Annotated[
        str | None, typer.Argument(metavar="INPUT", help="An optimisation set or a tomogram set.")
    ] = None,
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET", help="The folder to make.")] = None,
    source_option: InputOption = None,
    dataset_option: OutputOption = None,
    project: Project = None,
    partition_by: PartitionBy = None,
    force: Annotated[bool, typer.Option("--force", help="Let finalise replace an existing dataset.")] = False,
    missing: Missing = "error",
    on_bad_value: OnBadValue = "error",
    on_bad_file: OnBadFile = "error",
    allow_outside: AllowOutside = False,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="Print a job script for Slurm that does all the rest.")
    ] = False,
    threads: Annotated[
        int, typer.Option("--threads", "--j", min=1, metavar="N", help="How many threads each part has in that script.")
    ] = 4,
    as_json: Json = False,
) -> None:
    """Cut a conversion into parts for many machines: run partition for each of them next, then finalise."""
    with errors_told(as_json=as_json):
        given = (source_option, source, dataset, dataset_option)
        path, target = arguments(("INPUT", "DATASET"), given, "tomoarrow plan INPUT DATASET --parts N")
        from .progress import compile_kernels

        compile_kernels(to_convert=True, quiet=as_json or slurm)
        from ..dataset.parts.planning import plan as run
        from ..dataset.parts.planning import slurm_script

        made = run(
            path,
            target,
            parts=parts,
            project=project,
            partition_by=partition_by,
            force=force,
            missing=missing,
            on_bad_value=on_bad_value,
            on_bad_file=on_bad_file,
            allow_outside=allow_outside,
        )
        if as_json:
            print(json.dumps(made.to_dict()))
        elif slurm:
            print(slurm_script(made, threads=threads), end="")
        else:
            largest = max(made.sizes) / 1e6
            parts_of = f"{counted(made.parts, 'part')} of {counted(made.bounds[-1], 'tomogram')}"
            print(f"{parts_of}, the largest with {largest:.1f} MB of tilt series")
            named = shlex.quote(target)
            print(f"next, for each K from 0 to {made.parts - 1}: tomoarrow partition {named} --part K")
            print(f"then: tomoarrow finalise {named}")


def partition(
    part: Annotated[int, typer.Option(metavar="K", help="Which part, counted from 0.")],
    dataset: _Dataset = None,
    dataset_option: OutputOption = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Convert one part, unless that is done already. What had to be left out is reported by finalise."""
    with errors_told(as_json=as_json):
        (target,) = arguments(("DATASET",), (dataset, dataset_option), "tomoarrow partition DATASET --part K")
        from .progress import compile_kernels, progress_bar

        compile_kernels(to_convert=True, quiet=as_json)
        from ..dataset.parts.partition import partition as run

        with progress_bar("partition", "tomograms", quiet=as_json) as progress:
            report = run(target, part, threads=threads, progress=progress)
        if as_json:
            print(json.dumps(report.to_dict()))
        else:
            rows = f"{counted(report.tomograms, 'tomogram')}, {counted(report.tilts, 'tilt')}"
            print(f"part {part}: {rows} in {report.seconds:.2f} s")
            if report.rejects:
                # No failure: a job that waits for all parts would not begin. Who finalises is told.
                print(f"rejects: {report.rejects}")


def finalise(
    dataset: _Dataset = None,
    dataset_option: OutputOption = None,
    threads: Threads = None,
    max_rejects: MaxRejects = None,
    as_json: Json = False,
) -> None:
    """Make one dataset of all parts; while some are missing, refuse and name them."""
    with errors_told(as_json=as_json):
        (target,) = arguments(("DATASET",), (dataset, dataset_option), "tomoarrow finalise DATASET")
        from .progress import compile_kernels, progress_bar

        compile_kernels(to_convert=True, quiet=as_json)
        from ..dataset.parts.assembling import finalise as run

        with progress_bar("finalise", "tomograms", quiet=as_json) as progress:
            report = run(target, threads=threads, max_rejects=max_rejects, progress=progress)
        leave_with(report, show_report, as_json=as_json)
