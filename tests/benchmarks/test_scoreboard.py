"""The scoreboard: metrics and readers on small tables made here, and what is kept. No public row is read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def suites() -> Iterator[Any]:
    """Import the suites as the script does, whose folder is the first on the path."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import scoreboard
        from suites import answer, cells, grids, learning_curves, losscast, metrics, tasks

        names = ("scoreboard", "answer", "cells", "grids", "learning_curves", "losscast", "metrics", "tasks")
        modules = (scoreboard, answer, cells, grids, learning_curves, losscast, metrics, tasks)
        bundle = ModuleType("bundle")
        for name, module in zip(names, modules, strict=True):
            setattr(bundle, name, module)
        yield bundle
    finally:
        sys.path.remove(str(BENCHMARKS))


def _scores(n: int = 40, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    loss = np.exp(rng.normal(1.0, 0.1, n))
    return pd.DataFrame(
        {
            **{"loss": loss, "median": loss * 1.01, "error": -0.01, "log_score": 2.0, "pit": rng.uniform(size=n)},
            **{"answer": "ours", "converged": 1.0, "seconds": 3.0, "fit": "all", "target": "loss"},
        }
    )


def test_metrics(suites: Any) -> None:
    measured = np.array([1.0, 2.0, 3.0])
    assert suites.metrics.clipped_r2(measured, measured) == 1
    assert suites.metrics.clipped_r2(measured, np.full(3, 2.0)) == 0
    assert suites.metrics.clipped_r2(measured, np.full(3, 100.0)) == -1
    assert suites.metrics.rmsle(measured, measured * np.e) == pytest.approx(1)
    even = (np.arange(10_000) + 0.5) / 10_000
    assert suites.metrics.msce(even) < 1e-7
    assert suites.metrics.msce(np.full(5, 0.5)) == pytest.approx(np.mean([(1 - p) ** 2 for p in suites.metrics.LEVELS]))


def test_a_row_counts_seconds_and_fits_once(suites: Any) -> None:
    two = pd.concat([_scores(), _scores(seed=1).assign(fit="b", converged=0.5)])
    row = suites.cells.row("suite", "task", "R2", 0.5, two, {"others": 0.4})
    assert (row.n, row.seconds, row.converged, row.log_score) == (80, 6.0, 0.75, 2.0)
    assert row.rmsle == pytest.approx(0.01) and row.inside[0] < row.inside[1] < row.inside[2]


def test_what_is_measured_is_kept_until_the_sources_change(
    suites: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = suites.cells.Cell("suite", "a task", lambda sampler: _scores().assign(answer=sampler))
    assert suites.cells.found(tmp_path, cell, "auto", stale=True) is None
    suites.cells.measured(tmp_path, cell, "auto")
    kept = suites.cells.found(tmp_path, cell, "auto", stale=False)
    assert not kept["stale"].any() and set(kept["answer"]) == {"auto"}
    assert suites.cells.found(tmp_path, cell, "laplace", stale=True) is None
    monkeypatch.setattr(suites.cells, "fingerprint", lambda suite: "changed")
    assert suites.cells.found(tmp_path, cell, "auto", stale=False) is None
    assert suites.cells.found(tmp_path, cell, "auto", stale=True)["stale"].all()
    assert not list(tmp_path.glob("*.partial"))


def test_every_task_names_laws_that_read_its_columns(suites: Any) -> None:
    columns = {
        **{f"proportion_domain_{i}": 0.2 for i in range(1, 6)},
        **{f"loss_domain_{i}": 2.0 for i in range(1, 6)},
        **dict.fromkeys(("unique_tokens", "params", "tokens", "data_size", "non_embedding_param_size"), 1e9),
        **dict.fromkeys(("lr", "bsz"), 16.0),
        **dict.fromkeys(("num_experts", "dense_parameter_count", "num_params", "parallel_size", "vocab_size"), 64.0),
        **dict.fromkeys(("non_vocab_parameters", "num_characters", "sft_data_size", "N_active", "D2"), 1e5),
        **dict.fromkeys(("NS", "DS", "LT", "N", "D", "n", "k", "log_flops"), 2.0),
        **dict.fromkeys(("loss", "lm_loss", "loss_validation", "sft_loss", "LS"), 2.5),
        **{"unigram_normalized_loss": -4.0, "brier_score": -0.3, "group": "('A/b c', 'd')"},
    }
    table = pd.DataFrame({name: [value] for name, value in columns.items()})
    for task in suites.tasks.TASKS:
        for target, laws in task.laws.items():
            fitted = suites.tasks.to_fit(task, target, table)
            assert (fitted["loss"] > 0).all()
            assert ("group" in fitted) == task.grouped
            runs = bs.Runs.from_frame(fitted.drop(columns=["group"], errors="ignore"))
            for law in laws:
                assert set(bs.load_law(law).inputs) <= set(runs.table.columns), (task.name, law)
    assert suites.tasks.plain_group("('A/b c', 'd')") == "A/b_c_d"
    assert {task.name for task in suites.tasks.TASKS} >= set(suites.tasks.SLDBENCH)


def test_a_task_is_scored_in_its_own_unit(suites: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task = next(task for task in suites.tasks.TASKS if task.name == "vocab")
    seen: dict[str, Any] = {}

    def answered(laws: Any, below: Any, above: Any, loss: np.ndarray, sampler: str, pooled: str = "") -> pd.DataFrame:
        seen.update(lowest=below["loss"].min(), pooled=pooled)
        return _scores(len(loss)).assign(loss=loss, median=loss)

    monkeypatch.setattr(suites.answer, "ours", answered)
    table = pd.DataFrame(
        {"non_vocab_parameters": 1e8, "vocab_size": 1e4, "num_characters": 1e9, "unigram_normalized_loss": [-5.0, -4.0]}
    )
    scores = suites.tasks.measure(task, table, table, "laplace")
    assert seen == {"lowest": 3.0, "pooled": ""}
    np.testing.assert_allclose(scores["loss"], [-5.0, -4.0])
    assert suites.tasks.r2(scores) == 1
    groups = pd.DataFrame({"group": ["a", "a", "b", "b"], "sft_data_size": 1e3, "sft_loss": [1.0, 1.2, 4.0, 4.4]})
    task = next(task for task in suites.tasks.TASKS if task.name == "sft")
    scores = suites.tasks.measure(task, groups, groups, "laplace")
    assert seen["pooled"] == "group" and seen["lowest"] == pytest.approx(1 / 1.1)
    np.testing.assert_allclose(scores["loss"], groups["sft_loss"])


def test_the_log_density_of_a_curve_is_that_of_its_unit(suites: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        suites.answer, "ours", lambda laws, below, above, loss, sampler: _scores(len(loss)).assign(loss=loss)
    )
    curve = pd.DataFrame({"x": [1.0, 2, 3, 4], "y": [8.0, 4, 2, 1], "split": ["train"] * 3 + ["test"]})
    stored, scaled = (suites.learning_curves.measure(suite, curve, "auto") for suite in ("IC", "DD"))
    assert stored["density"].iloc[0] == pytest.approx(2.0)
    assert scaled["density"].iloc[0] == pytest.approx(2.0 + np.log(8))


def test_runs_of_losscast_become_runs_of_the_law(suites: Any) -> None:
    runs = pd.DataFrame(
        {
            **{
                "run": ["a"],
                "params": [1.3e8],
                "layers": [12],
                "width": [768],
                "tokens": [2.6e9],
                "batch_tokens": [2.6e5],
            },
            **{"learning_rate": [4e-3], "loss": [3.3], "optimizer": ["muon"]},
        }
    )
    marin = suites.losscast.to_fit("marin", runs)
    assert marin["steps"].iloc[0] == pytest.approx(1e4) and marin["optimizer"].iloc[0] == "muon"
    assert suites.losscast.to_fit("nanochat", runs)["params"].iloc[0] == 12 * 12 * 768**2


def test_a_folder_without_files_has_only_what_is_bundled(suites: Any, tmp_path: Path) -> None:
    assert not list(suites.tasks.cells(tmp_path)) and not list(suites.learning_curves.cells(tmp_path))
    assert not list(suites.losscast.cells(tmp_path))
    assert [cell.name for cell in suites.grids.cells(tmp_path)] == ["bundled sweep"]


def test_the_table_is_markdown_and_json(
    suites: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = suites.cells.Cell("params and tokens", "a table", lambda sampler: _scores())

    def refused(sampler: str) -> pd.DataFrame:
        raise bs.BayesScalingError("no such column")

    cells = {suites.grids: [cell], suites.tasks: [suites.cells.Cell("tasks", "another", refused)]}
    for suite in suites.scoreboard.SUITES:
        monkeypatch.setattr(suite, "cells", lambda data, suite=suite: cells.get(suite, []))
    monkeypatch.setattr(sys, "argv", ["scoreboard.py", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    suites.scoreboard.main()
    text = (tmp_path / "out" / "scoreboard.md").read_text()
    assert text.splitlines()[3].startswith("| params and tokens | a table | ours | mean absolute error |")
    rows = json.loads((tmp_path / "out" / "scoreboard.json").read_text())["rows"]
    assert rows.pop(0)["note"] == "no such column" and rows[0]["value"] is not None
    assert rows[0]["n"] == 40 and rows[-1]["task"] == "mean of 1 tables"
    capsys.readouterr()
    suites.scoreboard.main()
    assert "a table: " not in capsys.readouterr().out  # kept, not measured again
