"""The commands."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import UsageError, counted
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
from .parts import finalise, partition, plan
from .query import query
from .show import leave_with, show_export, show_integrity, show_report, show_verification

app = typer.Typer(
    name="tomoarrow",
    help="RELION cryo-ET metadata from STAR files to Arrow and Parquet, exactly and fast.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Rich takes longer to import than all else that help needs.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 done, but something was left out or differs; 2 wrong usage; 3 wrong input or I/O; "
    "130 interrupted; 141 output closed before its end.",
)


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from .._version import __version__

        print(f"tomoarrow {__version__}")
        raise typer.Exit


@app.command()
def convert(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT... DATASET",
            help="STAR files to convert: best a set of a project, such as optimisation_set.star or tomograms.star, or "
            "one of each of several projects. Then the dataset to make. URLs of object stores work, too.",
            show_default=False,
        ),
    ] = None,
    source_option: InputOption = None,
    dataset_option: OutputOption = None,
    project: Project = None,
    partition_by: PartitionBy = None,
    threads: Threads = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing dataset.")] = False,
    update: Annotated[
        bool,
        typer.Option("--update", help="Bring an existing dataset up to date: read only the files that have changed."),
    ] = False,
    missing: Missing = "error",
    on_bad_value: OnBadValue = "error",
    on_bad_file: OnBadFile = "error",
    max_rejects: MaxRejects = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse what RELION itself would read as something else.")
    ] = False,
    name_by: Annotated[
        Literal["project", "path"],
        typer.Option(help="How to name several projects: by their directories, or by their paths."),
    ] = "project",
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Convert with the workers of the dask cluster at this address."),
    ] = None,
    local_cluster: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Convert with N processes of this machine, by dask.")
    ] = None,
    allow_outside: AllowOutside = False,
    as_json: Json = False,
) -> None:
    """Convert a STAR file of a RELION project, with all that it names, to one Parquet dataset."""
    named = [*([source_option] if source_option else []), *(paths or []), *([dataset_option] if dataset_option else [])]
    with errors_told(as_json=as_json):
        if len(named) < 2:
            raise UsageError("INPUT and DATASET are needed", expected="tomoarrow convert tomograms.star DATASET")
        *sources, dataset = named
        from .clusters import cluster_client
        from .progress import compile_kernels, progress_bar

        compile_kernels(to_convert=True, quiet=as_json)
        from ..dataset.convert import convert as run

        with (
            cluster_client(scheduler, local_cluster) as client,
            progress_bar("convert", "tomograms", quiet=as_json) as progress,
        ):
            report = run(
                sources[0] if len(sources) == 1 else sources,
                dataset,
                client=client,
                name_by=name_by,
                project=project,
                partition_by=partition_by,
                threads=threads,
                force=force,
                update=update,
                missing=missing,
                on_bad_value=on_bad_value,
                on_bad_file=on_bad_file,
                max_rejects=max_rejects,
                strict=strict,
                allow_outside=allow_outside,
                progress=progress,
            )
        leave_with(report, show_report, as_json=as_json)


@app.command()
def export(
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET", help="A dataset that convert made.")] = None,
    directory: Annotated[str | None, typer.Argument(metavar="OUT_DIR", help="A new or empty folder.")] = None,
    dataset_option: InputOption = None,
    directory_option: OutputOption = None,
    tomograms: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Write only this tomogram; may be given several times.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="EXPR", help="Write only tilts for which this is true, such as 'rlnDefocusU < 50000'."),
    ] = None,
    project: Annotated[
        str | None, typer.Option(metavar="NAME", help="Write only this one of several projects.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Write into a folder that holds other files; those at the same paths are replaced."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the STAR files of a dataset, byte for byte the same where its tables were not changed."""
    with errors_told(as_json=as_json):
        given = (dataset_option, dataset, directory, directory_option)
        source, target = arguments(("DATASET", "OUT_DIR"), given, "tomoarrow export DATASET OUT_DIR")
        from .progress import compile_kernels, progress_bar

        compile_kernels(to_write=True, quiet=as_json)
        from ..dataset.export import export as run

        with progress_bar("export", "files", quiet=as_json) as progress:
            report = run(
                source, target, tomograms=tomograms, where=where, project=project, force=force, progress=progress
            )
        leave_with(report, show_export, as_json=as_json)


@app.command()
def verify(
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET", help="A dataset that convert made.")] = None,
    dataset_option: InputOption = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Compare with the files at the same paths in this folder, such as an export."),
    ] = None,
    fast: Annotated[
        bool,
        typer.Option("--fast", help="Read no STAR file: only check that the dataset's own files have their checksums."),
    ] = False,
    allow_outside: AllowOutside = False,
    as_json: Json = False,
) -> None:
    """Read the STAR files of a dataset again and compare, value by value and byte by byte."""
    with errors_told(as_json=as_json):
        (source,) = arguments(("DATASET",), (dataset_option, dataset), "tomoarrow verify DATASET")
        if fast and against is not None:
            raise UsageError("--fast looks at the dataset alone", remedy="leave --against out")
        if fast:
            from ..dataset.versions.integrity import verify_files

            leave_with(verify_files(source), show_integrity, as_json=as_json)
        from .progress import compile_kernels, progress_bar

        compile_kernels(to_convert=True, to_write=True, quiet=as_json)
        from ..dataset.verify import verify as run

        with progress_bar("verify", "files", quiet=as_json) as progress:
            report = run(source, against=against, allow_outside=allow_outside, progress=progress)
        leave_with(report, show_verification, as_json=as_json)


@app.command()
def validate(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="INPUT", help="A STAR file of a project; best an optimisation set, with all that it names."
        ),
    ] = None,
    source_option: InputOption = None,
    project: Project = None,
    files: Annotated[bool, typer.Option("--files", help="Also look for the images that the sets name.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    form: Annotated[
        Literal["table", "json", "sarif", "lines"],
        typer.Option(
            "--format", help="A table for people; or JSON, SARIF 2.1.0, or path:line:column lines for programs."
        ),
    ] = "table",
    allow_outside: AllowOutside = False,
    listed: Annotated[bool, typer.Option("--list", help="List the checks, and run none.")] = False,
    as_json: Json = False,
) -> None:
    """Check a project for what RELION would stop at or misread, and for what looks mixed up."""
    form = "json" if as_json else form
    with errors_told(as_json=form == "json"):
        from ..relion.checks import CHECKS
        from .findings import show_checks, show_findings

        report = None
        if not listed:
            (path,) = arguments(("INPUT",), (source_option, source), "tomoarrow validate optimisation_set.star")
            from .progress import compile_kernels

            compile_kernels(to_convert=True, quiet=form != "table")
            from ..dataset.stores.urls import folder_of
            from ..relion.validation import validate as run

            home = None if project is None else folder_of(project, "validate")
            report = run(
                folder_of(path, "validate"), project=home, files=files, strict=strict, allow_outside=allow_outside
            )
        if report is None:
            show_checks(CHECKS, form)
        else:
            show_findings(report, form, CHECKS)
            raise typer.Exit(report.exit_code)


@app.command()
def inspect(
    path: Annotated[
        str | None, typer.Argument(metavar="PATH", help="A STAR file, a project directory, or a dataset.")
    ] = None,
    path_option: InputOption = None,
    dialect: Annotated[
        Literal["relion", "star"], typer.Option(help="How to read a STAR file: as RELION's, or as STAR in general.")
    ] = "relion",
    allow_outside: AllowOutside = False,
    as_json: Json = False,
) -> None:
    """Show what a STAR file, a project or a dataset holds: sets and what they refer to, blocks, columns, rows."""
    with errors_told(as_json=as_json):
        (what,) = arguments(("PATH",), (path_option, path), "tomoarrow inspect tomograms.star")
        from .describe import describe
        from .tables import show_description

        description = describe(what, dialect, allow_outside=allow_outside)
        if as_json:
            print(json.dumps(description, allow_nan=False))
        else:
            show_description(description)


app.command()(query)
app.command()(plan)
app.command()(partition)
app.command()(finalise)


@app.command()
def report(
    dataset: Annotated[
        str | None, typer.Argument(metavar="DATASET", help="A dataset that convert made, or its URL.")
    ] = None,
    dataset_option: InputOption = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", "--o", metavar="FILE", help="The page to write; an existing one is replaced.")
    ] = Path("report.html"),
    checked: Annotated[
        bool, typer.Option("--validate", help="Also check the STAR files, and list what validate finds.")
    ] = False,
) -> None:
    """Write a page for the browser: overview, distributions, curves of each tomogram, outliers, findings."""
    with errors_told():
        (source,) = arguments(("DATASET",), (dataset_option, dataset), "tomoarrow report DATASET -o report.html")
        if checked:
            from .progress import compile_kernels

            compile_kernels(to_convert=True)
        from ..dataset.pictures import write_page

        path = write_page(source, out, checked=checked)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, opens in any browser, without network")


@app.command()
def example(
    directory: Annotated[Path, typer.Argument(metavar="DIR", readable=False, help="A new or empty folder.")],
    tomograms: Annotated[int, typer.Option(min=1, help="How many tomograms.")] = 5,
    tilts: Annotated[int, typer.Option(min=0, help="How many tilt images in each.")] = 41,
    particles: Annotated[int, typer.Option(min=0, help="How many particles in each, with trajectories.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same project.")] = 1,
) -> None:
    """Write a made-up but realistic RELION project."""
    with errors_told():
        from .progress import compile_kernels

        compile_kernels(to_write=True)
        from ..example import make_project

        made = make_project(directory, tomograms=tomograms, tilts=tilts, particles=particles, seed=seed)
        counts = f"{counted(made.tomograms, 'tomogram')}, {counted(made.tilts, 'tilt')}"
        if made.optimisation_set_star is None:
            print(f"{counts}: {made.tomograms_star}")
        else:
            print(f"{counts}, {counted(made.particles, 'particle')}: {made.optimisation_set_star}")


@app.command()
def demo() -> None:
    """Make an example project, convert it, and ask one question: what to run first."""
    with errors_told():
        from .progress import compile_kernels, progress_bar

        compile_kernels(to_convert=True, to_write=True)
        from ..dataset.convert import convert as run
        from ..example import make_project
        from .tables import show_demo_query

        home = Path(tempfile.mkdtemp(prefix="tomoarrow-demo-"))
        made = make_project(home / "project", tomograms=40)
        print(f"$ tomoarrow example {made.directory} --tomograms 40")
        print(f"$ tomoarrow convert {made.tomograms_star} {home / 'dataset'}")
        with progress_bar("convert", "tomograms") as progress:
            report = run(made.tomograms_star, home / "dataset", progress=progress)
        show_report(report)
        show_demo_query(home / "dataset")


@app.command()
def warmup(
    cache_dir: Annotated[
        Path | None,
        typer.Option(
            help="Keep the compiled kernels in this folder; later runs find them if NUMBA_CACHE_DIR names it."
        ),
    ] = None,
) -> None:
    """Compile the kernels ahead of time, for container images and job prologues."""
    if cache_dir is not None:
        os.environ["NUMBA_CACHE_DIR"] = str(cache_dir)
    with errors_told():
        import time

        started = time.perf_counter()
        from ..kernels.warmup import prepare

        print(f"{prepare('all')} kernels ready in {time.perf_counter() - started:.1f} s")
