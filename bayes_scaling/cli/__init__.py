"""The command line: reads options, calls the package, prints. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from bayes_scaling.cli import comparing, deciding, fitting, forecasting, importing, laws, piloting, reporting, tables
from bayes_scaling.cli._commands import Command, Group
from bayes_scaling.cli._remedies import as_option
from bayes_scaling.errors import BayesScalingError

app = typer.Typer(
    cls=Group,
    help="Bayesian scaling laws: forecast a big training run, and decide what to train.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
laws_app = typer.Typer(cls=Group, invoke_without_command=True, rich_markup_mode=None)
app.add_typer(laws_app, name="laws")
laws_app.callback()(laws.laws)
laws_app.command("show", cls=Command)(laws.laws_show)
for command in (
    tables.check,
    fitting.fit,
    forecasting.forecast,
    comparing.compare,
    comparing.backtest,
    deciding.allocate,
    piloting.pilot,
    piloting.midrun,
    piloting.preregister,
    piloting.score,
    reporting.report,
    forecasting.quantity,
    fitting.plot,
    tables.simulate,
    forecasting.demo,
):
    app.command(cls=Command)(command)
app.command("import", cls=Command)(importing.import_runs)


def main() -> None:
    """Run the command line; every error made on purpose becomes one line and exit code 2."""
    try:
        code = app(standalone_mode=False)
    except BayesScalingError as error:
        _fail(error.worded(as_option))
    except typer.TyperException as error:
        if len(sys.argv) == 1:  # no command: the message is the help
            typer.echo(error.format_message())
            sys.exit(2)
        _fail(error.format_message())
    sys.exit(code)


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(2)
