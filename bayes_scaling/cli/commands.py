"""The commands, and how one of them is run. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from typing import Annotated, Any

import typer

from bayes_scaling.base.messages import printing
from bayes_scaling.base.warned import each_warning_once
from bayes_scaling.cli import (
    comparing,
    deciding,
    fitting,
    forecasting,
    importing,
    laws,
    piloting,
    questions,
    reporting,
    tables,
    trajectories,
    tuning,
)
from bayes_scaling.cli._commands import Command, Group
from bayes_scaling.cli._remedies import as_option
from bayes_scaling.cli.stopping import STOPPED, ending
from bayes_scaling.errors import BayesScalingError, BayesScalingWarning, WorkerError, WriteError
from bayes_scaling.version import __version__

FAILED, REFUSED = 1, 2

app = typer.Typer(
    cls=Group,
    help="Bayesian scaling laws: forecast a big training run, and decide what to train.\n\n"
    "Start with: bayes-scaling forecast runs.csv --params 70e9 --tokens 1.4e12",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"bayes-scaling {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


laws_app = typer.Typer(cls=Group, invoke_without_command=True, rich_markup_mode=None)
app.add_typer(laws_app, name="laws")
laws_app.callback()(laws.laws)
laws_app.command("show", cls=Command)(laws.laws_show)
for command, summary in (
    (tables.check, "Check a table of runs."),
    (fitting.fit, "Fit laws to a table and save them."),
    (forecasting.forecast, "Forecast the loss of planned runs."),
    (trajectories.trajectory, "Forecast the whole loss curve of a run."),
    (comparing.compare, "Compare laws by held-out large runs."),
    (comparing.backtest, "Count how often forecasts of your own tables held."),
    (deciding.allocate, "Choose the best run for a budget."),
    (piloting.pilot, "Choose pilot runs to buy before a big run."),
    (questions.recipes, "Compare recipes at the scale of the big run."),
    (questions.chain, "Forecast the score of a benchmark."),
    (piloting.midrun, "Stop, finish or extend a run under way."),
    (piloting.preregister, "Register the forecast of a run before it is trained."),
    (piloting.score, "Score a registered forecast; keep a track record."),
    (reporting.report, "Make a report from a study file."),
    (forecasting.quantity, "Compute a quantity of a law, such as B_crit."),
    (tuning.tune, "Choose learning rate and batch size of a run."),
    (fitting.plot, "Draw a fit, and the forecast of a run."),
    (tables.simulate, "Simulate runs on a grid."),
    (forecasting.demo, "Fit small bundled runs, forecast the large ones."),
):
    app.command(cls=Command, short_help=summary)(command)
app.command("import", cls=Command, short_help="Import runs of W&B, MLflow or TensorBoard.")(importing.import_runs)


def run() -> int:
    """Run the command line; return the exit code.

    Errors made on purpose become one line: 2 for what was asked, 1 for a machine that does not do it.
    """
    warnings.showwarning = _show_warning
    try:
        with each_warning_once():
            code = app(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (WriteError, WorkerError) as error:
        return _say(str(error), FAILED)
    except BayesScalingError as error:
        return _say(error.worded(as_option), REFUSED)
    except typer.TyperException as error:
        if len(sys.argv) == 1:  # no command: the message is the help
            typer.echo(error.format_message())
            return REFUSED
        return _say(error.format_message(), REFUSED)
    except BrokenPipeError:  # whoever read the output has enough
        _close_output()
        return FAILED
    except OSError as error:
        _close_output()
        return _say(f"{error.filename or 'cannot write the output'}: {error.strerror or error}", FAILED)
    finally:
        warnings.showwarning = _shown_by_python
    return int(code or 0)


def _say(message: str, code: int) -> int:
    if ending():
        return STOPPED
    with contextlib.suppress(OSError):
        typer.echo(f"error: {' '.join(message.split())}", err=True)
    return code


def _close_output() -> None:
    """Point standard output to nothing, or Python would try to write the rest when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Print our own warnings as a line, others as Python does."""
    if issubclass(category, BayesScalingWarning):
        typer.echo(f"warning: {printing(str(message))}", err=True)
    else:
        _shown_by_python(message, category, *where, **more)


_shown_by_python = warnings.showwarning
