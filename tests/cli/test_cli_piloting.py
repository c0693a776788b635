"""Commands before, during and after a big run, as a user meets them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

import bayes_scaling as bs
from tests.support import run

BETWEEN = ("--between", "params=1e8:1e9", "--between", "tokens=1e10")


@pytest.fixture(scope="module")
def folder(chinchilla_fit: bs.Fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("piloting")
    chinchilla_fit.save(folder / "fit.nc")
    pd.DataFrame({"params": [1e8, 1e9], "tokens": [1e10, 1e10], "cost": [1.0, 2.0]}).to_csv(folder / "offers.csv")
    code, out, _ = run("allocate", folder / "fit.nc", "--budget", 1e24, "--json")
    assert code == 0
    (folder / "plan.json").write_text(out)
    return folder


def test_pilots_from_ranges_and_tables(folder: Path) -> None:
    asked = ("pilot", folder / "fit.nc", "--pilot-budget", 1e21)
    code, out, _ = run(*asked, "--budget", 1e24, *BETWEEN)
    assert code == 0
    assert out.startswith(("Buy nothing", "Buy 1 run", "Buy ")) and "on offer" in out
    code, out, _ = run(
        "pilot", folder / "fit.nc", "--pilot-budget", 2, "--offers", folder / "offers.csv", "--json",
        "--forecast-at", "params=1e11", "--forecast-at", "tokens=2e12",
    )  # fmt: skip
    content = json.loads(out)
    assert code == 0 and content["worth_now"] is None
    assert content["value"]["cost"] <= 2
    for wrong, says in (
        ((), "say which pilots to choose from"),
        ((*BETWEEN, "--limit", "nonsense"), "cannot read --limit"),
        (("--offers", folder / "none.csv"), "cannot read"),
    ):
        code, _, err = run(*asked, "--budget", 1e24, *wrong)
        assert code == 2 and says in err


def test_pilots_for_a_model_that_is_served(folder: Path) -> None:
    asked = ("pilot", folder / "fit.nc", "--pilot-budget", 1e21, "--budget", 1e24, *BETWEEN, "--cost", "lifetime")
    code, _, err = run(*asked)
    assert code == 2 and "a budget in lifetime needs --serving-tokens VALUE" in err
    code, out, _ = run(*asked, "--serving-tokens", "1e12", "--json")
    assert code == 0 and json.loads(out)["value"]["cost"] <= 1e21


def test_pilots_are_paid_for_as_the_big_run_is(folder: Path) -> None:
    paid = (
        "--cost", "money", "--peak-flops", "989e12", "--utilisation", "0.4", "--price-per-gpu-hour", "1,3",
        "--currency", "EUR", "--cost-quantile", "0.9", "--serving-tokens", "1e11", "--serving-utilisation", "0.2",
        "--serving-price", "1,3", "--budget", "3e6", "--json",
    )  # fmt: skip
    plan = json.loads(run("allocate", folder / "fit.nc", *paid)[1])["plan"]
    code, out, _ = run("pilot", folder / "fit.nc", "--pilot-budget", "3e3", *BETWEEN, *paid)
    found = json.loads(out)
    assert code == 0 and found["budget_unit"] == "EUR" and found["value"]["cost"] <= 3e3
    assert found["big_runs"][0]["params"] == plan["plan"]["params"]


def test_what_is_left_of_a_run_costs_no_serving(folder: Path) -> None:
    code, _, err = run("midrun", folder / "fit.nc", "--run", "sim-1", "--until", 1e30, "--cost", "lifetime")
    assert code == 2 and "is 'lifetime', expected one of flops, gpu_hours, money: what is still to pay" in err
    assert "serving-tokens" not in err
    code, out, _ = run("midrun", "--help")
    said = " ".join(out.replace("│", " ").split())
    assert code == 0 and "flops, gpu_hours, money." in said and "the lowest loss of all other runs" in said


def test_a_forecast_goes_on_record_and_is_scored(folder: Path, tmp_path: Path) -> None:
    on_record, record = tmp_path / "forecast.json", tmp_path / "record.jsonl"
    code, out, _ = run("preregister", folder / "plan.json", "--out", on_record, "--name", "the big run")
    assert code == 0 and out.count("digest") == 1 and "forecast.json: the big run, 1 run" in out
    assert re.search(r"params \S+, tokens \S+: Registered .*: the loss will be [\d.]+ to [\d.]+ nats/token", out)
    plan = json.loads((folder / "plan.json").read_text())["plan"]
    loss = plan["loss_quantiles"]["0.4"]
    code, out, _ = run("score", on_record, "--loss", loss, "--record", record)
    assert code == 0 and "0.40" in out and "the big run" in out and "1 of 1 measured runs" in out
    code, out, _ = run("score", on_record, "--loss", 2 * plan["loss_quantiles"]["0.5"])
    assert code == 0 and out.count("+100.00%") == 2  # in its row and in the record
    code, _, err = run("score", on_record, "--loss", loss, "--record", record)
    assert code == 2 and "scored before" in err
    assert len(record.read_text().splitlines()) == 1
    code, out, _ = run("score", on_record, "--loss", loss, "--json")
    assert json.loads(out)["scores"][0]["pit"] == pytest.approx(0.4, abs=1e-6)
    assert "1 of 1 measured runs" in json.loads(out)["verdict"]
    assert plan["verdict"].startswith("Train ") and "run noise" in plan["contains"]
    for wrong, says in (
        (("preregister", folder / "plan.json", "--out", on_record), "never overwritten"),
        (("preregister", folder / "offers.csv", "--out", tmp_path / "x.json"), "as a plan"),
        (
            ("preregister", folder / "plan.json", "--out", tmp_path / "x.json", "--params", "1e9"),
            "--params is about the forecast of a fit",
        ),
        (("score", on_record), "say what was measured"),
        (("score", on_record, "--runs", tmp_path / "none.csv"), "cannot read"),
        (("score", folder / "plan.json", "--loss", 2), "not a registered forecast"),
    ):
        code, _, err = run(*wrong)
        assert code == 2 and says in err
    fitted = ("--params", "1e11", "--tokens", "2e12", "--out", tmp_path / "fitted.json")
    code, out, _ = run("preregister", folder / "fit.nc", *fitted)
    assert code == 0
    assert bs.Registered.read(tmp_path / "fitted.json").content["rests_on"]["data"]["rows"] == 48


def test_a_caveat_does_nothing_to_a_terminal(folder: Path, tmp_path: Path) -> None:
    plan = json.loads((folder / "plan.json").read_text())
    plan["plan"]["rests_on"]["laws"][0]["problems"] = ["\x1b[31mred\u202e"]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    code, out, _ = run("preregister", tmp_path / "plan.json", "--out", tmp_path / "forecast.json")
    assert code == 0 and "did not converge: [31mred\n" in out


def test_a_run_that_is_no_curve_cannot_be_continued(folder: Path) -> None:
    code, _, err = run("midrun", folder / "fit.nc", "--run", "sim-1", "--until", 1e30)
    assert code == 2 and "has one row in the fitted table" in err
