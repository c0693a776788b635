"""The command that makes a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayes_scaling.cli._options import NOT_CONVERGED, Unconverged
from bayes_scaling.cli._outputs import Output, check_outputs
from bayes_scaling.cli._workers import DaskAddress, Workers, executor_of


def report(
    study: Annotated[Path, typer.Argument(help="Study file (.toml).", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for report.html, report.md and report.json.")] = Path("report"),
    draft: Annotated[
        bool, typer.Option("--draft", help="Make a quick draft from normal approximations and few draws.")
    ] = False,
    refits: Annotated[
        Path | None, typer.Option(help="Folder to keep refits of the comparison in; a later report reuses them.")
    ] = None,
    run_law_files: Annotated[
        bool,
        typer.Option("--run-law-files", help="Run the law files that the study names: they are code, and so trusted."),
    ] = False,
    workers: Workers = None,
    dask: DaskAddress = "",
    unconverged: Unconverged = False,
) -> None:
    """Make a report from a study file.

    Exits with code 3 if no law converged and --unconverged was given.

    Example: bayes-scaling report study.toml --out report/
    """
    from bayes_scaling.report.render import make_report
    from bayes_scaling.report.study import Study

    asked = Study.read(study)
    check_outputs(
        [
            Output("--out", out, holds=("report.html", "report.md", "report.json")),
            Output("--refits", refits, refits=True),
        ],
        {"the study": study, "a file of the study": asked.files},
    )
    with executor_of(workers, dask) as executor:
        made = make_report(
            asked,
            draft=draft,
            unconverged=unconverged,
            refits=refits,
            executor=executor,
            run_law_files=run_law_files,
        )
    for path in made.save(out):
        typer.echo(path)
    levels = [str(one["level"]) for one in made.content["trust"]["verdicts"]]
    typer.echo(f"\n{made.conclusion}\n")
    typer.echo(", ".join(f"{levels.count(level)} {level}" for level in ("green", "amber", "red")))
    for one in made.content["trust"]["verdicts"]:
        if one["level"] != "green":
            typer.echo(f"{one['level']}, {one['word']}: {one['name']}")
    if not made.content["converged"] and not draft:
        raise typer.Exit(NOT_CONVERGED)
