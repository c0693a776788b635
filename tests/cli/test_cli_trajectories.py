"""The command that forecasts a whole loss curve."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.inference import fit as fitting
from tests.support import run

STEPS = np.geomspace(500, 16_000, 6)
PLANNED = ("--params", "1e9", "--batch-tokens", "5e5")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Curves, and a quick fit to them."""
    folder = tmp_path_factory.mktemp("curves")
    table = bs.grid(params=[1e7, 1e8, 3e8], batch_tokens=[1e5, 2e6], steps=STEPS.tolist())
    table["run"] = [f"{n:.0f}-{b:.0f}" for n, b in zip(table["params"], table["batch_tokens"], strict=True)]
    noise = bs.Noise("normal", rows="correlated", start="none")
    truth = {**bs.load_law("kaplan_trajectory").at("kaplan2020").constants.values, "sigma": 0.001, "sigma_curve": 0.01}
    runs = bs.simulate("kaplan_trajectory", table, {**truth, "length": 1.5}, noise=noise, seed=0)
    runs.table.to_csv(folder / "curves.csv", index=False)
    sampler = bs.Sampler("laplace", draws=500)
    bs.fit("kaplan_trajectory", runs, noise=noise, discrepancy="none", sampler=sampler).save(folder / "curves.nc")
    return folder


def test_a_planned_run_is_printed_drawn_and_written(folder: Path, tmp_path: Path) -> None:
    picture, rows = tmp_path / "run.png", tmp_path / "rows.csv"
    pd.DataFrame({"steps": [1000], "loss": [3.4]}).to_csv(tmp_path / "seen.csv", index=False)
    ask = ("trajectory", folder / "curves.nc", *PLANNED, "--steps", "20000", "--target-loss", "3.2,0.5")
    code, out, err = run(*ask, "--plot", picture, "--rows", rows, "--measured", tmp_path / "seen.csv")
    assert code == 0, err
    assert "Loss curve of a run of params 1e+09, batch_tokens 500000, by kaplan_trajectory" in out
    assert "is not reached within 20000 steps in any of" in out and "critical_batch" in out
    assert out.startswith("At 20000 steps: loss ") and "90% whole curve" in out and "its departure from the law" in out
    assert picture.stat().st_size > 20_000 and "curve_whole_0.9_low" in pd.read_csv(rows)
    code, out, err = run(*ask, "--json")
    content = json.loads(out)
    assert code == 0 and [one["loss"] for one in content["targets"]] == [3.2, 0.5]
    assert content["targets"][0]["probability_reached"] > 0 and content["targets"][1]["steps"]["median"] is None


def test_a_run_under_way_is_named(folder: Path) -> None:
    code, out, err = run("trajectory", folder / "curves.nc", "--run", "300000000-2000000", "--steps", "40000")
    assert code == 0, err
    assert "Loss curve of run 300000000-2000000" in out and "own deviation" in out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((*PLANNED,), "say how long the run is: --steps S, or --tokens D"),
        ((*PLANNED, "--steps", "-5"), "expected positive numbers"),
        ((*PLANNED, "--steps", "many"), "--steps: 'many' is not a number"),
        ((*PLANNED, "--steps", "200,100"), "must grow from row to row"),
        (("--params", "1e9", "--steps", "100"), "batch_tokens is missing"),
        ((*PLANNED, "--steps", "100", "--target-loss", "-1"), "target loss is -1"),
        ((*PLANNED, "--steps", "100", "--measured", "x.csv"), "add --plot FILE.png"),
        ((*PLANNED, "--steps", "100", "--plot", "x.txt"), "ends in .txt; expected"),
        (("--run", "300000000-2000000", "--steps", "40000", "--params", "1e9"), "has 3e+08 params, not 1e+09"),
        (("--run", "nobody", "--steps", "100"), "the fitted table has no run 'nobody'"),
        (("--run", "300000000-2000000", "--steps", "100"), "is at steps 16000 already"),
    ],
)
def test_senseless_options_are_refused(folder: Path, options: tuple[str, ...], says: str) -> None:
    code, _, err = run("trajectory", folder / "curves.nc", *options)
    assert code == 2 and says in err


def test_a_table_without_batches_is_refused_before_it_is_fitted(folder: Path, tmp_path: Path) -> None:
    table = pd.read_csv(folder / "curves.csv").drop(columns=["batch_tokens", "tokens", "flops"], errors="ignore")
    table.to_csv(tmp_path / "curves.csv", index=False)
    code, _, err = run(
        "trajectory", tmp_path / "curves.csv", "--law", "kaplan_trajectory", "--params", "1e9", "--steps", "100"
    )
    assert code == 2 and "batch_tokens" in err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((*PLANNED, "--steps", "100", "--target-loss", "0"), "target loss is 0"),
        (("--params", "-1", "--batch-tokens", "5e5", "--steps", "100"), "column params: -1 is negative"),
        (("--run", "nobody", "--steps", "100"), "the fitted table has no run 'nobody'"),
    ],
)
def test_senseless_runs_are_refused_before_a_table_is_fitted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], says: str
) -> None:
    monkeypatch.setattr(fitting, "posterior_of", lambda *_, **__: pytest.fail("a fit began"))
    code, _, err = run("trajectory", folder / "curves.csv", "--law", "kaplan_trajectory", *options)
    assert code == 2 and says in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("loss\n3\n", "has no column steps; expected steps and loss"),
        ("steps,loss\n", "no rows"),
        ("steps,loss\nmany,3\n", "row 1, column steps: 'many' is not a number"),
        ("steps,loss\n100,-3\n", "row 1, column loss: -3 is negative"),
        ("", "is empty"),
    ],
)
def test_measured_rows_that_cannot_be_are_refused_and_nothing_is_written(
    folder: Path, tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "seen.csv").write_text(text)
    written = ("--plot", tmp_path / "run.png", "--rows", tmp_path / "rows.csv", "--measured", tmp_path / "seen.csv")
    code, _, err = run("trajectory", folder / "curves.nc", *PLANNED, "--steps", "100", *written)
    assert code == 2 and says in err and err.startswith("error: cannot read --measured: ")
    assert [path.name for path in tmp_path.iterdir()] == ["seen.csv"]
