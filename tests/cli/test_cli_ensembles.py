"""Several laws on the command line: one command from a table to a forecast, and files that hold them all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import bayes_scaling as bs
from bayes_scaling.evaluate import fitting
from tests.support import run

QUESTION = ("--params", "7e10", "--tokens", "1.4e12")


@pytest.fixture(scope="module")
def folder(ensemble: bs.Ensemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ensembles")
    ensemble.save(folder / "ensemble.nc")
    ensemble.runs.table.to_csv(folder / "runs.csv", index=False)
    return folder


@pytest.fixture
def quick(ensemble: bs.Ensemble, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let every fit give the same ensemble, or its first law; return what was asked for."""
    asked: list[Any] = []

    def fit(*arguments: Any, **options: Any) -> Any:
        asked.append((arguments, options))
        return ensemble.leading if isinstance(arguments[0], str) else ensemble

    monkeypatch.setattr(fitting, "fit", fit)
    return asked


def test_one_command_forecasts_from_a_table(folder: Path, quick: list[Any]) -> None:
    code, out, err = run("forecast", folder / "runs.csv", *QUESTION, "--target", "1.9", "--out", folder / "kept.nc")
    assert code == 0, err
    text = " ".join(out.split())
    said = [
        "Forecast by chinchilla",
        "P(loss <= 1.9)",
        "on the mean curve takes",
        "What each law says by itself",
        "75%",
    ]
    for part in (*said, "it would have forecast best", "Weights: scored on the 12 runs above"):
        assert part in text
    assert isinstance(quick[0][0][0], bs.Runs)
    assert bs.Ensemble.load(folder / "kept.nc").weights == {"chinchilla": 0.75, "chinchilla, law alone": 0.25}
    code, out, _ = run("forecast", folder / "runs.csv", *QUESTION, "--json")
    content = json.loads(out)
    assert [one["law"] for one in content["ensemble"]["at_largest"]] == ["chinchilla", "chinchilla, law alone"]
    assert content["ensemble"]["laws"][0]["why"] == "it would have forecast best"


def test_the_start_of_curves_and_paths_of_the_discrepancy_can_be_named(tmp_path: Path, quick: list[Any]) -> None:
    bs.datasets.load("stdlib_curves").table.to_csv(tmp_path / "curves.csv", index=False)
    for options in ((), ("--noise-start", "none", "--discrepancy-along", "params")):
        code, _, err = run("fit", tmp_path / "curves.csv", *options)
        assert code == 0, err
    said = [(one.noise.rows, one.noise.start, one.discrepancy.along) for ((one, *_), _), _ in quick]
    assert said == [("correlated", "learned", "auto"), ("correlated", "none", "params")]


def test_laws_can_be_named(folder: Path, quick: list[Any]) -> None:
    both = ["chinchilla", "nesting:terms=ndc"]
    for law, expected in (("chinchilla", "chinchilla"), (",".join(both), both)):
        code, _, err = run("forecast", folder / "runs.csv", *QUESTION, "--law", law)
        assert code == 0, err
        assert quick.pop()[0][0] == expected


def test_what_was_saved_forecasts_the_same(folder: Path, ensemble: bs.Ensemble) -> None:
    code, out, err = run("forecast", folder / "ensemble.nc", *QUESTION, "--json")
    assert code == 0, err
    median = json.loads(out)["points"][0]["new_run_median"]
    assert median == bs.forecast(ensemble, params=7e10, tokens=1.4e12).median()[0]
    for alone in ("chinchilla", "chinchilla, law alone"):
        code, out, err = run("forecast", folder / "ensemble.nc", *QUESTION, "--law", alone)
        assert code == 0 and "What each law says" not in out, err
    code, _, err = run("forecast", folder / "ensemble.nc", *QUESTION, "--law", "chinchilla,nesting")
    assert code == 2 and "--law names 2 of the saved laws; give one" in err


def test_a_table_is_not_fitted_for_nothing(folder: Path, quick: list[Any]) -> None:
    code, _, err = run("forecast", folder / "runs.csv")
    assert code == 2 and "say which runs to forecast, like --params 70e9 --tokens 1.4e12" in err and not quick
    code, _, err = run("forecast", folder / "ensemble.nc", *QUESTION, "--out", folder / "more.nc")
    assert code == 2 and "these are saved already; leave it out" in err


def test_fit_saves_several_laws_in_one_file(folder: Path, quick: list[Any]) -> None:
    code, out, err = run("fit", folder / "runs.csv", "--out", folder / "fit.nc", "--refits", folder / "kept")
    assert code == 0, err
    assert "1 law fitted together to 48 runs" in out and "saved to" in out
    assert quick[0][1]["folder"] == folder / "kept"
    code, out, _ = run("fit", folder / "runs.csv", "--law", "chinchilla,nesting", "--json")
    assert code == 0 and json.loads(out)["laws"][0]["member"] == "chinchilla"
    for option in (("--pool", "alpha=partial:lab"), ("--priors", folder / "runs.csv")):
        code, _, err = run("fit", folder / "runs.csv", *option)
        assert code == 2 and f"{option[0]} is about the parameters of one law; name it" in err
    code, _, err = run("fit", folder / "runs.csv", "--law", "chinchilla", "--refits", folder / "kept")
    assert code == 2 and "which one law does not need; leave it out" in err


def test_commands_on_fits_take_several(folder: Path, tmp_path: Path) -> None:
    saved = folder / "ensemble.nc"
    code, out, err = run("quantity", saved, "params_opt", "--at", "flops=1e22")
    assert code == 0 and "Of the laws that define it: chinchilla 75%" in out, err
    code, out, err = run("allocate", saved, "--budget", "1e22", "--json")
    assert code == 0 and json.loads(out)["plan"]["law"] == "chinchilla", err
    code, _, err = run("preregister", saved, *QUESTION, "--out", tmp_path / "forecast.json")
    assert code == 0, err
    code, _, err = run("midrun", saved, "--run", "a", "--until", "1e5")
    assert code == 2 and "ensemble.nc holds several laws, and the curve of a run is continued by one: choose it" in err


def test_pictures_of_several_laws(folder: Path, tmp_path: Path) -> None:
    code, _, err = run("plot", folder / "ensemble.nc", "--out", tmp_path, *QUESTION, "--target", "1.9")
    assert code == 0, err
    assert {"fit.png", "forecast.png", "laws.png", "traces.png"} <= {path.name for path in tmp_path.iterdir()}
