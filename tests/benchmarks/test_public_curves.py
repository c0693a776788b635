"""Public tables of whole curves: which rows are fitted and which are forecast, on small tables made here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def scripts() -> Iterator[Any]:
    """Import the scripts as they are run, their folder first on the path."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import curves
        import public_curves

        yield SimpleNamespace(curves=curves, public=public_curves)
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sizes at two lengths that differ a little by batch, two batches and two rates; the first rate is the best."""
    runs, rows = [], []
    for source, layers, split in (("steplaw", 8, "train"), ("steplaw", 16, "val"), ("nanochat", 8, "train")):
        for batch, rate in ((1000, 1e-3), (1000, 2e-3), (2000, 1e-3), (2000, 2e-3)):
            for length in (1_000_000, 4_000_000):
                name, steps = f"{source} {layers} {batch} {rate} {length}", (length + batch) // batch
                loss = 3.0 + rate / layers
                shape = {"params": np.nan if source == "nanochat" else 1e6 * layers, "layers": layers, "width": 100}
                how = {"batch_tokens": batch, "learning_rate": rate, "tokens": length + batch, "steps": steps}
                how |= {"schedule": "cosine", "warmup_steps": 5, "final_lr_ratio": 0.1}
                runs.append({"run": name, "source": source, "split": split, **shape, **how, "loss": loss})
                rows += [{"run": name, "step": step, "loss": loss + 1 / (1 + step)} for step in (0, 10, steps)]
    pd.DataFrame(runs).to_csv(tmp_path / "losscast_runs.csv.gz", index=False)
    pd.DataFrame(rows).to_csv(tmp_path / "losscast_curves.csv.gz", index=False)
    rates = [
        {"model_size_label": size, "schedule": schedule, "step": step, "lr": 3e-4, "loss": 4.0 - step / 1e5}
        for size in ("25M", "400M")
        for schedule in ("constant_24000", "cosine_24000", "wsdcon_3")
        for step in (2000, 9000, 24000)
    ]
    pd.DataFrame(rates).to_csv(tmp_path / "multipowerlaw_curves.csv", index=False)
    return tmp_path


def test_the_best_rate_of_each_cell_is_used(scripts: Any, folder: Path) -> None:
    fitted, ahead = scripts.public.split(folder, "steplaw", "tuned")
    assert set(fitted.table["params"]) == {8e6} and set(ahead.table["params"]) == {16e6}
    for runs in (fitted, ahead):
        assert set(runs.table["peak_learning_rate"]) == {1e-3}
        assert runs.table["run"].nunique() == 4  # two batches at two lengths
        assert (runs.table["steps"] > 0).all()
        np.testing.assert_allclose(runs.table["tokens"], runs.table["steps"] * runs.table["batch_tokens"])
        ends = runs.table["steps"] == runs.table.groupby("run")["steps"].transform("max")
        np.testing.assert_allclose(runs.table["learning_rate"][ends], 1e-4)
        assert (runs.table["learning_rate"][~ends] > 9e-4).all()


def test_only_last_rows_are_used(scripts: Any, folder: Path) -> None:
    fitted, _ = scripts.public.split(folder, "steplaw", "ends")
    assert len(fitted) == fitted.table["run"].nunique() == 4
    assert fitted.table["steps"].min() > 10


def test_runs_of_any_rate_are_thinned(scripts: Any, folder: Path) -> None:
    fitted, ahead = scripts.public.split(folder, "steplaw", "any")
    assert (fitted.table["run"].nunique(), ahead.table["run"].nunique()) == (1, 2)


def test_sizes_that_are_not_on_record_come_from_the_shape(scripts: Any, folder: Path) -> None:
    runs = pd.read_csv(folder / "losscast_runs.csv.gz")
    frame = scripts.public.losscast(
        runs[runs["source"] == "nanochat"], pd.read_csv(folder / "losscast_curves.csv.gz"), "tuned"
    )
    assert set(frame["params"]) == {12 * 8 * 100**2}
    assert set(frame["peak_learning_rate"]) == {1e-3, 2e-3}  # the best of each rate


def test_schedules_of_the_paper_are_fitted(scripts: Any, folder: Path) -> None:
    fitted, ahead = scripts.public.split(folder, "multipower-25M", "schedules")
    assert set(fitted.table["run"]) == {"25M constant_24000", "25M cosine_24000"}
    assert set(ahead.table["run"]) == {"25M wsdcon_3"} and "learning_rate" in ahead
    fitted, ahead = scripts.public.split(folder, "multipower", "largest")
    assert (fitted.table["params"] < 400e6).all() and (ahead.table["params"] == 400e6).all()


def test_every_law_reads_its_table(scripts: Any, folder: Path) -> None:
    tasks = scripts.public.tasks(folder, [])
    assert {table for _, table, _ in tasks} == set(scripts.public.TABLES)
    runs = pd.read_csv(folder / "losscast_runs.csv.gz").assign(split="train")  # nanochat has nothing to forecast here
    runs.loc[runs["source"].eq("nanochat") & runs["learning_rate"].eq(2e-3), "split"] = "val"
    runs.to_csv(folder / "losscast_runs.csv.gz", index=False)
    for law, table, part in (task for task in tasks if task[1] != "steplaw"):
        if table != "multipower-100M":  # not in this small table
            fitted, _ = scripts.public.split(folder, table, part)
            assert set(bs.load_law(law).inputs) - {"run"} <= set(fitted.table.columns), (law, table)


def test_parts_are_asked_for_by_table_part_or_law(scripts: Any, folder: Path, tmp_path_factory: Any) -> None:
    tasks = scripts.public.tasks
    assert tasks(folder, ["steplaw-any"]) == [("tuning", "steplaw", "any")]
    assert {law for law, _, _ in tasks(folder, ["multi_power"])} == {"multi_power"}
    assert {table for _, table, _ in tasks(folder, ["ends"])} == {"steplaw", "nanochat"}
    assert tasks(tmp_path_factory.mktemp("empty"), []) == []
    assert "NCPL 0.0199" in scripts.public.published("steplaw") and scripts.public.published("stdlib_curves") == ""


def test_forecasts_are_judged_along_the_curve_and_at_its_end(scripts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame(
        {"run": ["a"] * 3 + ["b"] * 3, "tokens": [200.0, 400, 800] * 2, "params": 1e6, "loss": [4.0, 3, 2] * 2}
    )
    ahead = bs.Runs.from_frame(table)
    off = np.array([0.0, 0, 0.1, 0, 0, -0.3])
    draws = np.exp(np.log(ahead.loss) + off + np.random.default_rng(0).normal(0, 0.05, (4000, 6)))
    monkeypatch.setattr(scripts.curves.bs, "forecast", lambda fit, runs, **_: SimpleNamespace(new_run=draws))
    found = scripts.curves.judged(None, ahead)
    assert found["last"] == pytest.approx(np.sqrt((0.1**2 + 0.3**2) / 2), rel=0.05)
    assert found["last_bias"] == pytest.approx(-0.1, abs=0.01)
    assert found["last_mae"] == pytest.approx(2 * ((np.exp(0.1) - 1) + (1 - np.exp(-0.3))) / 2, rel=0.05)
    assert found["mae"] == pytest.approx(found["last_mae"] / 3, rel=0.2)
    assert found["together"] == 0.5 and found["inside_90"] == pytest.approx(4 / 6, abs=0.17)
