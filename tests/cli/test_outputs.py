"""What commands write: no input, no other output, nothing of another kind; refused before the work, without a trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bayes_scaling as bs
from tests.support import filled, run

RUNS = "params,tokens,loss\n1e8,2e9,3.1\n3e8,6e9,2.8\n"
BASIS = {
    "laws": [{"law": "chinchilla", "weight": 1.0, "converged": True, "problems": [], "discrepancy": "brownian"}],
    "data": {"rows": 2},
}
STUDY = '[data]\nfile = "{}"\n[laws]\nnames = ["chinchilla"]\n[budget]\namount = 1e21\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one file of each kind, in which commands are run."""
    monkeypatch.chdir(tmp_path)
    for name in ("runs.csv", "runs.jsonl", "exports/one.csv", "folder.nc/x", "report/report.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(RUNS)
    (tmp_path / "fit.nc").write_text("not opened")
    (tmp_path / "forecast.json").write_text("{}")
    (tmp_path / "link.nc").symlink_to("runs.csv")
    (tmp_path / "hard.csv").hardlink_to(tmp_path / "runs.csv")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "fit.png").symlink_to("../fit.nc")
    (tmp_path / "study.toml").write_text(STUDY.format("runs.csv"))
    (tmp_path / "odd.toml").write_text(STUDY.format("report/report.json"))
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("fit runs.csv --out runs.csv", "--out would overwrite runs.csv, which is the table of runs"),
        ("fit runs.csv --out ./exports/../runs.csv", "which is the table of runs"),
        ("fit runs.csv --out link.nc", "--out would overwrite runs.csv, which is the table of runs"),
        ("fit hard.csv --out runs.csv", "--out would overwrite hard.csv"),
        ("fit runs.csv --priors fit.nc --out fit.nc", "which is the file of priors"),
        ("fit runs.csv --out other.csv", "--out other.csv ends in .csv; expected .nc"),
        ("fit runs.csv --out other", "--out other ends in nothing; expected .nc"),
        ("fit runs.csv --out folder.nc", "is a folder; give the name of a file"),
        ("fit runs.csv --out runs.csv/fit.nc", "cannot write runs.csv/fit.nc"),
        ("fit runs.csv --out /dev/null", "--out /dev/null ends in nothing; expected .nc"),
        ("plot fit.nc --out pictures", "--out would overwrite fit.nc, which is the fit"),
        ("plot fit.nc --out runs.csv", "--out runs.csv is a file; give the name of a folder"),
        ("simulate chinchilla --out x.nc", "--out x.nc ends in .nc; expected .csv"),
        ("simulate chinchilla --out runs.csv/x.csv", "cannot write"),
        ("demo --out runs.csv", "--out runs.csv is a file"),
        ("compare runs.csv --out runs.csv", "--out runs.csv is a file"),
        ("backtest exports --out runs.csv", "--out runs.csv is a file"),
        ("import wandb exports --out exports/one.csv", "which is a file of the folder"),
        ("import wandb runs.csv --out hard.csv", "which is what is imported"),
        ("import mlflow exports --out x.nc", "--out x.nc ends in .nc; expected .csv, .parquet or .jsonl"),
        ("preregister fit.nc --out x.nc", "--out x.nc ends in .nc; expected .json"),
        ("preregister fit.nc --out forecast.json", "never overwritten"),
        ("score forecast.json --loss 2 --record forecast.json", "which is the registered forecast"),
        ("score forecast.json --runs runs.jsonl --record runs.jsonl", "which is --runs"),
        ("score forecast.json --loss 2 --record runs.csv", "--record runs.csv ends in .csv; expected .jsonl"),
        ("report odd.toml --out report", "which is a file of the study"),
        ("report study.toml --out runs.csv", "--out runs.csv is a file"),
        ("report study.toml --out new --refits runs.csv", "--refits runs.csv is a file"),
    ],
)
def test_an_output_that_would_do_harm_is_refused_first(here: Path, arguments: str, says: str) -> None:
    before = contents(here)
    code, out, err = run(*arguments.split())
    assert code in (1, 2) and says in err and len(err.strip().splitlines()) == 1 and out == ""
    assert contents(here) == before


def test_a_full_disk_is_found_before_the_work(here: Path, small_disk: Path) -> None:
    """Nothing is fitted: the table could not be."""
    filled(small_disk)
    for arguments in (
        "fit runs.csv --out {}/fit.nc",
        "compare runs.csv --out {}/new",
        "report study.toml --out {}/new",
    ):
        code, out, err = run(*arguments.format(small_disk).split())
        assert code == 1 and "No space left on device" in err and out == ""
    assert [path.name for path in small_disk.iterdir()] == ["filled"]


def test_score_names_lines_of_the_record_that_are_none(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = {f"{p:g}": loss for p, loss in zip((0.05, 0.25, 0.5, 0.75, 0.95), (2.0, 2.1, 2.2, 2.3, 2.4), strict=True)}
    content = {
        "format": "bayes-scaling registered forecast, 1", "registered": "2026-01-02T03:04:05+00:00", "name": "",
        "note": "", "law": "chinchilla", "loss_unit": "nats/token", "contains": "", "rests_on": BASIS,
        "caveats": [], "runs": [{"inputs": {"params": 1e9}, "quantiles": levels}],
    }  # fmt: skip
    bs.Registered(content).save(here / "registered.json")
    (here / "record.jsonl").write_text("half a li")
    code, out, _ = run("score", "registered.json", "--loss", "2.15", "--record", "record.jsonl")
    assert code == 0 and "warning: record.jsonl, line 1: it is not JSON" in " ".join(out.split())
    first, second = (here / "record.jsonl").read_text().splitlines()
    assert first == "half a li" and json.loads(second)["loss"] == 2.15
