"""What we leave behind in the user's process: nothing, whatever is called and however it ends."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling import plot
from bayes_scaling.base.programs import STORE
from bayes_scaling.data import importers
from tests.base.process_state import unchanged
from tests.support import design, fit_exact

CHINCHILLA = {"params": 7e10, "tokens": 1.4e12}


@pytest.fixture(scope="module")
def saved(chinchilla_fit: bs.Fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("state") / "fit.nc"
    chinchilla_fit.save(path)
    return path


@pytest.fixture(scope="module")
def comparison(chinchilla_runs: bs.Runs) -> bs.Comparison:
    with unchanged():
        return bs.compare(["power_law:input=tokens"], chinchilla_runs, cuts=[bs.Cut("flops", 1e20)])


type Call = Callable[[bs.Fit, Path], object]

CALLS: dict[str, Call] = {
    "read": lambda fit, folder: bs.Runs.read(written(folder)),
    "bundled table": lambda fit, folder: bs.datasets.load(),
    "importer": lambda fit, folder: importers.import_wandb(exported(folder), EXPORTED),
    "load_law": lambda fit, folder: bs.load_law("kaplan_joint"),
    "simulate": lambda fit, folder: bs.simulate("chinchilla", design(8), "besiroglu2024", seed=3),
    "fit": lambda fit, folder: fit_exact("chinchilla", fit.runs, seed=1),
    "summary": lambda fit, folder: fit.summary(),
    "idata": lambda fit, folder: fit.idata,
    "save": lambda fit, folder: fit.save(folder / "fit.nc"),
    "forecast": lambda fit, folder: bs.forecast(fit, **CHINCHILLA).interval(0.9),
    "compute_optimal": lambda fit, folder: bs.compute_optimal(fit, 1e23),
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
}
"""Every kind of thing that the package does, on one fit and an empty folder."""

WRONG: dict[str, Call] = {
    "read": lambda fit, folder: bs.Runs.read(folder / "none.csv"),
    "load_law": lambda fit, folder: bs.load_law("none"),
    "load_fit": lambda fit, folder: bs.load_fit(written(folder)),
    "importer": lambda fit, folder: importers.import_wandb(folder / "none", EXPORTED),
    "simulate": lambda fit, folder: bs.simulate("chinchilla", design(8), "none"),
    "fit": lambda fit, folder: bs.fit("chinchilla", fit.runs, progress=False, sampler="none"),
    "fit of a law that fails": lambda fit, folder: fit_exact(broken(fit.law), fit.runs),
    "forecast": lambda fit, folder: bs.forecast(fit, params=-1.0, tokens=1e9),
    "allocate": lambda fit, folder: bs.allocate(fit, -1.0),
    "pilot": lambda fit, folder: bs.pilot(fit, pd.DataFrame(), 1e21, budget=1e23),
    "compare": lambda fit, folder: bs.compare([], fit.runs),
    "point_fit": lambda fit, folder: bs.evaluate.point_fit(fit.law, fit.runs, loss="none"),
}
"""The same with arguments that are refused."""


def written(folder: Path) -> Path:
    """Write a small table of runs."""
    design(12).assign(loss=3.0).to_csv(folder / "runs.csv", index=False)
    return folder / "runs.csv"


EXPORTED = {"loss": "summary.loss", "params": "config.n", "tokens": "config.d"}


def exported(folder: Path) -> Path:
    """Write what a tracker exports of a run."""
    run = {"id": "a", "state": "finished", "config": {"n": 1e8, "d": 2e9}, "summary": {"loss": 3.1}}
    (folder / "runs.json").write_text(json.dumps([run]))
    return folder


def broken(law: bs.laws.Law) -> bs.laws.Law:
    """Return a law with a mistake of its author."""

    @functools.wraps(law.mean)
    def mean(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError

    return dataclasses.replace(law, mean=mean)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_leaves_the_process_as_it_was(name: str, chinchilla_fit: bs.Fit, tmp_path: Path) -> None:
    with unchanged():
        CALLS[name](chinchilla_fit, tmp_path)


@pytest.mark.parametrize("name", WRONG)
def test_a_call_that_raises_leaves_the_process_as_it_was(name: str, chinchilla_fit: bs.Fit, tmp_path: Path) -> None:
    with unchanged(), pytest.raises((bs.BayesScalingError, ZeroDivisionError)):
        WRONG[name](chinchilla_fit, tmp_path)


def test_loading_leaves_the_process_as_it_was(saved: Path) -> None:
    with unchanged():
        assert bs.load_fit(saved).converged


@pytest.mark.slow
def test_comparing_leaves_the_process_as_it_was(comparison: bs.Comparison) -> None:
    with unchanged():
        comparison.forecast(**CHINCHILLA)
        bs.Ensemble.of(comparison, unconverged=True)
        plot.ranking(comparison)


def compiled_by(call: Callable[[], object], caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what JAX says about everything that it compiles for a call, in any thread."""
    caplog.clear()
    jax.config.update("jax_log_compiles", True)
    try:
        call()
    finally:
        jax.config.update("jax_log_compiles", False)
    return [record.getMessage() for record in caplog.records if "Compiling" in record.getMessage()]


def test_a_program_of_the_user_is_not_compiled_again(chinchilla_fit: bs.Fit, caplog: pytest.LogCaptureFixture) -> None:
    traced = []

    @jax.jit
    def theirs(x: jax.Array) -> jax.Array:
        traced.append(x.dtype)
        return jnp.sin(x) + 1

    values = jnp.ones(5)
    assert compiled_by(lambda: theirs(values), caplog)
    fit_exact("chinchilla", chinchilla_fit.runs, seed=2)
    STORE.drop_programs()
    bs.forecast(chinchilla_fit, **CHINCHILLA)
    assert not compiled_by(lambda: theirs(values), caplog)
    assert len(traced) == 1


def test_a_second_fit_compiles_nothing(chinchilla_fit: bs.Fit, caplog: pytest.LogCaptureFixture) -> None:
    fit_exact("chinchilla", chinchilla_fit.runs, seed=3)
    assert not compiled_by(lambda: fit_exact("chinchilla", chinchilla_fit.runs, seed=4), caplog)


FRESH = """
    import sys
    from pathlib import Path
    import jax, matplotlib, numpyro
    import bayes_scaling as bs
    from tests.base.process_state import unchanged
    with unchanged():
        fit = bs.load_fit(sys.argv[1])
        bs.forecast(fit, params=7e10, tokens=1.4e12)
        fit.idata
        bs.evaluate.prior_sensitivity(fit)
        bs.evaluate.find_influential(fit)
        bs.allocate(fit, 1e23)
        bs.plot.save_all(fit, Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_fresh_process_is_left_as_it_was(saved: Path, tmp_path: Path) -> None:
    """What we import only when it is needed, like ArviZ, leaves nothing behind either."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FRESH), str(saved), str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout and not done.stderr


def fresh(script: str, *arguments: str, **environment: str) -> str:
    """Return what a script prints in a fresh process; it must end well and complain of nothing."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


EVERY_NAME = """
    import os
    import types
    import bayes_scaling as bs
    from bayes_scaling.base.scope import jax_runs
    for name in bs.__all__:
        value = getattr(bs, name)
        if isinstance(value, types.ModuleType) and name != "laws":
            [getattr(value, one) for one in getattr(value, "__all__", ())]
    assert not jax_runs()
"""


def test_importing_every_name_does_not_start_jax() -> None:
    """A user may still say where JAX runs; of all names, only two of ``laws`` are arrays."""
    fresh(EVERY_NAME + "    bs.load_law('chinchilla')\n    assert jax_runs()\n")
    assert fresh(EVERY_NAME + "    print('imported')\n", JAX_PLATFORMS="abacus") == "imported\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_of_a_process_in_which_jax_does_not_run_computes() -> None:
    in_a_child = """
    import warnings
    warnings.simplefilter("ignore")  # of any fork: libraries of matrices have threads too, which survive it
    child = os.fork()
    if not child:
        law = bs.load_law("chinchilla")
        bs.simulate(law, bs.grid(params=[1e8, 1e9], tokens=[1e9, 1e10]), "besiroglu2024", seed=0)
        print("computed", flush=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """
    assert fresh(EVERY_NAME + in_a_child) == "computed\n"


STRANGE = {
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_TRANSFER_GUARD": "disallow",
}


def test_settings_of_jax_change_no_digit(tmp_path: Path) -> None:
    priors = tmp_path / "priors.toml"
    priors.write_text('[priors]\nE = {distribution = "Beta", concentration1 = 2, concentration0 = 3}\n')
    answer = """
    import sys
    import bayes_scaling as bs
    design = bs.grid(params=[1e8, 1e9, 1e10], tokens=[1e10, 1e11, 1e12])
    runs = bs.simulate("chinchilla", design, "besiroglu2024", seed=0)
    fit = bs.fit("chinchilla", runs, seed=0, progress=False)
    bs.laws.read_priors(sys.argv[1])
    bs.load_law("critical_batch")  # has options, and so is built after its file is read
    print(runs.loss.tolist(), bs.forecast(fit, params=7e10, tokens=1.4e12).interval(0.9).tolist())
    """
    assert fresh(answer, str(priors), **STRANGE) == fresh(answer, str(priors))


def test_a_computation_leaves_no_thread_and_no_variable() -> None:
    fresh("""
    import os, threading
    import jax, numpyro
    before = dict(os.environ)
    import bayes_scaling as bs
    bs.simulate("chinchilla", bs.grid(params=[1e8, 1e9], tokens=[1e9, 1e10]), "besiroglu2024", seed=0)
    assert dict(os.environ) == before
    assert threading.enumerate() == [threading.main_thread()]
    """)
