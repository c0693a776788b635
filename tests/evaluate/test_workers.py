"""Fits by workers: bit for bit those of this process, wherever they are made, and whoever is killed meanwhile."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.base.names import NoiseName
from bayes_scaling.base.programs import STORE
from bayes_scaling.base.progress import silent
from bayes_scaling.base.tasks import carried_out
from bayes_scaling.cli import _workers
from bayes_scaling.evaluate.candidates import Candidate
from bayes_scaling.evaluate.refits import Again, BelowCut, FitToAll, ScoredRows, ToAllRuns
from bayes_scaling.evaluate.sensitivity import FLOORS
from tests.support import run

LAWS = ["power_law:input=tokens", "delayed_power_law:input=tokens"]
QUICK = bs.Sampler("laplace", draws=200)


def curve(seed: int = 0, rows: int = 16) -> bs.Runs:
    truth = {"E": 2.0, "alpha": 0.4, "X_c": 1e10, "sigma": 0.004}
    grid = bs.grid(tokens=np.logspace(8.5, 11.5, rows))
    return bs.simulate("power_law:input=tokens", grid, truth, noise=bs.Noise("normal"), seed=seed)


def candidate(law: str = LAWS[0]) -> Candidate:
    return Candidate(law, bs.load_law(law), discrepancy="none", noise="normal", sampler=QUICK)


class Backwards(Executor):
    """Computes what it was given last first, each in a thread; a stand-in for workers that are done in any order."""

    def __init__(self) -> None:
        self.calls: list[tuple[Future[Any], Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.calls.append((future, lambda: fn(*args, **kwargs)))
        if len(self.calls) == 1:
            threading.Timer(0.5, self.work).start()
        return future

    def work(self) -> None:
        while self.calls:
            future, call = self.calls.pop()
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)


def same(one: bs.Comparison, other: bs.Comparison) -> None:
    """Check that two comparisons are the same bit for bit."""
    untimed = [table.drop(columns="seconds") for table in (one.refits, other.refits)]
    pd.testing.assert_frame_equal(*untimed, check_exact=True)
    pd.testing.assert_frame_equal(one.scores, other.scores, check_exact=True)
    assert dict(one.weights) == dict(other.weights) and dict(one.loo_notes) == dict(other.loo_notes)
    assert list(one.fits) == list(other.fits)
    for name, fit in one.fits.items():
        np.testing.assert_array_equal(fit.unconstrained, other.fits[name].unconstrained)
        np.testing.assert_array_equal(one.left_one_out[name], other.left_one_out[name])


@pytest.mark.slow
def test_a_spawned_worker_makes_the_same_fit() -> None:
    """A pool of one's own: a fit travels as its frozen parts, and the law is found again by its name."""
    tasks = [Again(candidate(), curve(seed), 16, 0, "once more") for seed in (0, 1)]
    here = carried_out(tasks, None, silent)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        there = carried_out(tasks, pool, silent)
    for a, b in zip(here, there, strict=True):
        np.testing.assert_array_equal(a.unconstrained, b.unconstrained)
        assert a.law == b.law and a.summary().equals(b.summary())
    assert there[0].unconstrained[0, 0, 0] != there[1].unconstrained[0, 0, 0]


def test_a_comparison_does_not_depend_on_the_executor(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"runs": curve(), "cuts": [bs.Cut("tokens", 3e10)], "seed": 3}
    laws = [candidate(), candidate(LAWS[1])]
    here = bs.compare(laws, **arguments)
    same(bs.compare(laws, **arguments, executor=Backwards()), here)
    with ThreadPoolExecutor(2) as threads:
        same(bs.compare(laws, **arguments, folder=tmp_path, executor=threads), here)
    same(bs.compare(laws, **arguments, folder=tmp_path), here)  # which finds what they kept


def test_a_backtest_by_workers_lists_the_same_failures() -> None:
    tables = {"good": curve(), "small": curve().where(curve().column("tokens") < 2e10), "other": curve(1)}
    tables["no tokens"] = bs.Runs.from_frame(pd.DataFrame({"params": [1e8, 1e9, 1e10], "loss": [3.0, 2.5, 2.2]}))
    arguments: dict[str, Any] = {"laws": [candidate()], "cuts": [bs.Cut("tokens", 3e10)], "loo": False}
    here, there = (bs.backtest(tables, **arguments, executor=executor) for executor in (None, Backwards()))
    assert list(here.comparisons) == ["good", "other"] and dict(here.failures) == dict(there.failures)
    assert set(here.failures) == {"small", "no tokens"} and "no run has tokens above" in here.failures["small"]
    pd.testing.assert_frame_equal(here.scores, there.scores, check_exact=True)


def test_what_workers_without_the_folder_made_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Task by task, in the form in which it is found again."""
    runs, folder = curve(), tmp_path / "kept"
    below = BelowCut(candidate(), bs.Cut("tokens", 3e10), ScoredRows.of(runs), 0)
    tasks = [below, ToAllRuns(candidate(), runs, 0, loo=True)]
    made = [task.measure() for task in tasks]
    kept = [dataclasses.replace(task, folder=folder) for task in tasks]
    assert [task.found() for task in kept] == [None, None]
    for task, one in zip(kept, made, strict=True):
        task.keep(one)
    assert len(list((folder / "refits").iterdir())) == 3
    monkeypatch.setattr("bayes_scaling.evaluate.refits.fit_law", lambda *_, **__: pytest.fail("fitted again"))
    assert kept[0].found() == made[0] == kept[0].measure()
    found = kept[1].found()
    assert found is not None and found.left_out == made[1].left_out
    np.testing.assert_array_equal(found.fit.unconstrained, made[1].fit.unconstrained)


@pytest.mark.parametrize("noise", ["student_t", "normal"])
def test_what_a_fit_samples_with_is_compiled_ahead_of_it(
    noise: NoiseName, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    # A table says little of a path, so that the fast path takes its usual steps.
    member = dataclasses.replace(candidate(), sampler="auto", discrepancy="brownian", noise=noise)
    task = ToAllRuns(member, curve(), 0)
    STORE.drop_programs()

    def compiled_by(work: Callable[[], object]) -> set[str]:
        caplog.clear()
        with jax.log_compiles():
            work()
        return {name for name in ("advance", "packed_value_and_gradient") if f"jit({name})" in caplog.text}

    assert compiled_by(task.prepare) == {"advance", "packed_value_and_gradient"}
    made: list[FitToAll] = []
    assert compiled_by(lambda: made.append(task.measure())) == set()
    assert made[0].fit.sampler_used == "fast NUTS"
    STORE.drop_programs()
    kept = dataclasses.replace(task, folder=tmp_path)
    kept.keep(made[0])
    assert compiled_by(kept.prepare) == set()  # it will be found
    with_laplace = dataclasses.replace(task, candidate=dataclasses.replace(member, sampler="laplace"))
    assert compiled_by(with_laplace.prepare) == set()  # which runs no chains


def test_one_law_has_nothing_to_share_out(tmp_path: Path) -> None:
    with pytest.raises(bs.errors.ArgumentError, match="executor shares out the fits of several laws; one law is one"):
        bs.fit(LAWS[0], curve(), executor=2)  # type: ignore[call-overload]
    for wrong, words in ((0, "0 .int."), (True, "True .bool."), ("x", "'x' .str."), (513, "513 .int.")):
        with pytest.raises(
            bs.errors.ArgumentError, match=f"executor is {words}; expected a number of processes from 1"
        ):
            bs.compare(LAWS, curve(), executor=wrong)  # type: ignore[arg-type]
    curve().table.to_csv(tmp_path / "runs.csv", index=False)
    for options, words in (
        (
            ("fit", "--law", LAWS[0], "--workers", 2),
            "--workers shares out the fits of several laws, and one law is one",
        ),
        (("fit", "--workers", 2, "--dask", "x"), "--workers starts processes here and --dask uses those of a cluster"),
        (("forecast", "--law", LAWS[0], "--dask", "x", "--tokens", "1e12"), "--dask shares out the fits"),
        (("fit", "--workers", 0), "--workers"),
    ):
        command, *rest = options
        code, _, said = run(command, tmp_path / "runs.csv", *rest)
        assert code == 2 and words in said, said


def test_without_dask_the_option_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    curve().table.to_csv(tmp_path / "runs.csv", index=False)
    code, _, said = run("fit", tmp_path / "runs.csv", "--dask", "tcp://127.0.0.1:1")
    assert code == 2 and "--dask needs Dask: pip install 'bayes-scaling[dask]'" in said


def test_where_no_scheduler_answers_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="Dask is an optional extra: bayes-scaling[dask]")
    monkeypatch.setattr(_workers, "SECONDS", 0.2)
    curve().table.to_csv(tmp_path / "runs.csv", index=False)
    code, _, said = run("fit", tmp_path / "runs.csv", "--dask", "tcp://127.0.0.1:1")
    assert code == 1 and said.startswith("error: no Dask scheduler answers at tcp://127.0.0.1:1 ("), said
    code, _, said = run("fit", tmp_path / "runs.csv", "--dask", "nowhere")
    assert code == 2 and "--dask nowhere is no address of a Dask scheduler" in said


@pytest.mark.slow
def test_processes_and_the_command_line_give_the_same(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"seed": 1, "alongside": ["huber"]}
    here = bs.compare(LAWS, curve(), **arguments)
    same(bs.compare(LAWS, curve(), **arguments, executor=2), here)
    curve().table.to_csv(tmp_path / "runs.csv", index=False)
    options = ["--law", ",".join(LAWS), "--alongside", "huber", "--seed", 1, "--workers", 2]
    code, _, said = run("compare", tmp_path / "runs.csv", *options, "--out", tmp_path / "c")
    assert code == 0, said
    same(bs.compare(LAWS, curve(), **arguments, folder=tmp_path / "c"), here)


@pytest.mark.slow
def test_a_report_and_priors_of_the_floor_by_workers_say_the_same(chinchilla_runs: bs.Runs) -> None:
    study = bs.Study.of(
        {"data": {"bundled": "stdlib_sweep"}, "laws": {"names": ["chinchilla"]}, "budget": {"amount": 1e22}}
    )
    reports = [bs.make_report(study, chinchilla_runs, draft=True, executor=one) for one in (None, Backwards())]
    here, there = ({name: part for name, part in one.content.items() if name != "made"} for one in reports)
    assert [row["change"] for row in here["changes"]] == [row["change"] for row in there["changes"]]
    assert here == there and any("prior of" in row["change"] for row in here["changes"])
    fit = bs.fit("chinchilla", chinchilla_runs, discrepancy="none", noise="normal", sampler=QUICK)
    floors = {name: FLOORS[name] for name in ("low", "flat")}
    panels = [
        bs.evaluate.floor_panel(fit, floors=floors, params=1e10, tokens=2e11, executor=one)
        for one in (None, Backwards())
    ]
    pd.testing.assert_frame_equal(*panels, check_exact=True)


@pytest.mark.slow
def test_a_killed_worker_of_dask_changes_nothing(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is an optional extra: bayes-scaling[dask]")
    arguments: dict[str, Any] = {"discrepancy": "none", "noise": "normal", "seed": 2}
    here = bs.fit(LAWS, curve(), **arguments)
    killed: list[int] = []

    def kill(numbers: list[int]) -> None:
        while not list(tmp_path.glob("refits/*.json")):
            time.sleep(0.02)
        os.kill(numbers[0], signal.SIGKILL)
        killed.append(numbers[0])

    with (
        distributed.LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        before = list(client.run(os.getpid).values())
        threading.Thread(target=kill, args=(before,), daemon=True).start()
        there = bs.fit(LAWS, curve(), **arguments, folder=tmp_path, executor=client.get_executor())
        assert killed
        client.wait_for_workers(2, timeout=60)
        after = list(client.run(os.getpid).values())
    assert killed[0] not in after and before[1] in after
    assert there.weights == here.weights
    for name, fit in here.fits.items():
        np.testing.assert_array_equal(fit.unconstrained, there.fits[name].unconstrained)
