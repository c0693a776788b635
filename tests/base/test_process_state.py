"""What we leave behind in the user's process: nothing, whatever is called and however it ends."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import matplotlib
import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling import cli, plot
from bayes_scaling.data import importers
from tests.conftest import design, fit_exact

CHINCHILLA = {"params": 7e10, "tokens": 1.4e12}


def process_state() -> dict[str, Any]:
    """Return everything that a library shares with the rest of its process."""
    loggers = [logging.getLogger(name) for name in ("", "jax", "numpyro", "matplotlib", "arviz_stats", "bayes_scaling")]
    return {
        **{f"jax {name}": value for name, value in jax.config.values.items()},
        **{f"matplotlib {name}": value for name, value in dict.items(matplotlib.rcParams)},
        **{f"variable {name}": value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        **{f"signal {number}": signal.getsignal(number) for number in signal.valid_signals()},
        **{
            f"logger {one.name}": (one.level, one.propagate, one.disabled, list(one.handlers), list(one.filters))
            for one in loggers
        },
        "logging is disabled": logging.root.manager.disable,
        "warnings": list(warnings.filters),
        "warnings are shown by": warnings.showwarning,
        "numpy errors": np.geterr(),
        "numpy prints": np.get_printoptions(),
        "numpy random": str(np.random.get_state()),  # noqa: NPY002
        "random": random.getstate(),
        "folder": Path.cwd(),
        "path": list(sys.path),
        "excepthook": sys.excepthook,
    }


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    """Check that the process is afterwards as it was before."""
    before = process_state()
    try:
        yield
    finally:
        after = process_state()
        changed = {
            name: (before.get(name), after.get(name))
            for name in before.keys() | after.keys()
            if before.get(name) != after.get(name)
        }
        assert not changed


@pytest.fixture(scope="module")
def saved(chinchilla_fit: bs.Fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chinchilla_fit.save(tmp_path_factory.mktemp("state") / "fit.nc")


@pytest.fixture(scope="module")
def comparison(chinchilla_runs: bs.Runs) -> bs.Comparison:
    with unchanged():
        return bs.compare(["power_law:input=tokens"], chinchilla_runs, cuts=[bs.Cut("flops", 1e20)])


def command(*arguments: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        cli.main(list(arguments))


type Call = Callable[[bs.Fit, Path], object]

CALLS: dict[str, Call] = {
    "read": lambda fit, folder: bs.Runs.read(written(folder)),
    "bundled table": lambda fit, folder: bs.datasets.load(),
    "importer": lambda fit, folder: importers.from_wandb(folder),
    "load_law": lambda fit, folder: bs.load_law("kaplan_joint"),
    "simulate": lambda fit, folder: bs.simulate("chinchilla", design(8), "besiroglu2024", seed=3),
    "fit": lambda fit, folder: fit_exact("chinchilla", fit.runs, seed=1),
    "summary": lambda fit, folder: fit.summary(),
    "idata": lambda fit, folder: fit.idata,
    "save": lambda fit, folder: fit.save(folder / "fit.nc"),
    "forecast": lambda fit, folder: bs.forecast(fit, **CHINCHILLA).interval(0.9),
    "compute_optimal": lambda fit, folder: bs.compute_optimal(fit, [1e23]),
    "allocate": lambda fit, folder: bs.allocate(fit, 1e23),
    "pilot": lambda fit, folder: bs.pilot(
        fit, pd.DataFrame({"params": [1e8, 1e9], "tokens": [1e10, 1e11]}), 1e21, budget=1e23
    ),
    "prior_sensitivity": lambda fit, folder: bs.evaluate.prior_sensitivity(fit),
    "find_influential": lambda fit, folder: bs.evaluate.find_influential(fit),
    "predictive_check": lambda fit, folder: bs.evaluate.predictive_check(fit),
    "identifiability": lambda fit, folder: bs.evaluate.identifiability(fit.law, fit.runs),
    "point_fit": lambda fit, folder: bs.evaluate.point_fit(fit.law, fit.runs, bootstrap=2),
    "plots": lambda fit, folder: plot.save_all(fit, folder),
    "demo's pictures": lambda fit, folder: plot.save_all(fit, folder, bs.forecast(fit, **CHINCHILLA)),
    "command": lambda fit, folder: command("laws"),
}
"""Every kind of thing that the package does, on one fit and an empty folder."""

WRONG: dict[str, Call] = {
    "read": lambda fit, folder: bs.Runs.read(folder / "none.csv"),
    "load_law": lambda fit, folder: bs.load_law("none"),
    "load_fit": lambda fit, folder: bs.load_fit(written(folder)),
    "importer": lambda fit, folder: importers.from_wandb(folder / "none"),
    "simulate": lambda fit, folder: bs.simulate("chinchilla", design(8), {"E": 1.0}),
    "fit": lambda fit, folder: bs.fit("chinchilla", fit.runs, progress=False, sampler="none"),
    "fit that is interrupted": lambda fit, folder: fit.law.mean,
    "forecast": lambda fit, folder: bs.forecast(fit, params=-1.0, tokens=1e9),
    "allocate": lambda fit, folder: bs.allocate(fit, -1.0),
    "pilot": lambda fit, folder: bs.pilot(fit, pd.DataFrame(), 1e21, budget=1e23),
    "compare": lambda fit, folder: bs.compare([], fit.runs),
    "point_fit": lambda fit, folder: bs.evaluate.point_fit(fit.law, fit.runs, loss="none"),
}
"""The same with arguments that are refused."""
