"""The command that makes a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayes_scaling.cli._options import NOT_CONVERGED, Unconverged


def report(
    study: Annotated[Path, typer.Argument(help="Study file (.toml).", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for report.html, report.md and report.json.")] = Path("report"),
    draft: Annotated[bool, typer.Option("--draft", help="Normal approximations and few draws, in a hurry.")] = False,
    refits: Annotated[
        Path | None, typer.Option(help="Folder where refits of the comparison are kept and found again.")
    ] = None,
    unconverged: Unconverged = False,
) -> None:
    """Make one page that can be signed from one study file. Exit code 3 when a law did not converge.

    Example: bayes-scaling report study.toml --out report/
    """
    from bayes_scaling.report.render import make_report

    made = make_report(study, draft=draft, unconverged=unconverged, refits=refits)
    for path in made.save(out):
        typer.echo(path)
    levels = [str(one["level"]) for one in made.content["trust"]["verdicts"]]
    typer.echo(", ".join(f"{levels.count(level)} {level}" for level in ("green", "amber", "red")))
    if not made.content["converged"] and not draft:
        raise typer.Exit(NOT_CONVERGED)
