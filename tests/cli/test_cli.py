"""The command line as a user meets it: what it prints, how it fails, what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import get_args

import h5py
import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling import cli
from bayes_scaling.base import names
from bayes_scaling.evaluate.candidates import BASELINES, EXACT, TOGETHER
from bayes_scaling.inference import fit as fitting
from bayes_scaling.inference import loading
from bayes_scaling.inference.sampler import METHODS
from bayes_scaling.inference.store import digest_of
from bayes_scaling.model.discrepancy import AXES
from bayes_scaling.model.families import FAMILIES
from bayes_scaling.model.noise import ROWS, SCALES
from tests.support import LAW_FILE, run

COMMANDS = (
    "check", "fit", "forecast", "quantity", "tune", "plot", "simulate", "demo", "laws", "allocate", "pilot", "midrun",
    "preregister", "score", "report",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(chinchilla_runs: bs.Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    chinchilla_runs.table.drop(columns="flops").rename(columns={"params": "N", "tokens": "D"}).to_csv(
        folder / "runs.csv", index=False
    )
    code, out, _ = run(
        "fit", folder / "runs.csv", "--law", "chinchilla", "--out", folder / "fit.nc", "--sampler", "laplace", "--json"
    )
    assert code == 0 and json.loads(out)["converged"] is True
    return folder


def test_every_command_has_help_with_an_example() -> None:
    for command in COMMANDS:
        code, out, _ = run(command, "--help")
        assert code == 0 and f"Example: bayes-scaling {command}" in " ".join(out.split())


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from bayes_scaling import cli; import bayes_scaling;"
        "heavy = {'jax', 'numpyro', 'pandas', 'numpy', 'arviz', 'matplotlib', 'xarray', 'scipy'} & set(sys.modules);"
        "print(sorted(heavy))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_import_changes_nothing() -> None:
    script = (
        "import os; before = dict(os.environ); import bayes_scaling as bs; bs.fit; bs.load_fit; bs.forecast;"
        "import jax, jax.numpy as jnp; assert jnp.asarray(1.0).dtype == 'float32' and dict(os.environ) == before;"
        "assert jax.config.jax_compilation_cache_dir is None; print('as before')"
    )
    out = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "as before"


def test_laws_lists_the_catalogue() -> None:
    code, out, _ = run("laws")
    assert code == 0 and all(name in out for name in bs.available_laws())
    _, out, _ = run("laws", "--json")
    assert {row["law"] for row in json.loads(out)} == set(bs.available_laws())


def test_laws_show_prints_what_a_reader_needs() -> None:
    _, out, _ = run("laws", "show", "chinchilla")
    text = " ".join(out.split())
    for part in (
        "L(N, D) = E + A / N^alpha + B / D^beta",
        "LogNormal(loc=-1.386, scale=0.5)",
        "hoffmann2022",
        "holds",
        "fails",
        "2203.15556",
    ):
        assert part in text
    _, out, _ = run("laws", "show", "downstream")
    assert "the column holds the error rate" in " ".join(out.split())
    _, out, _ = run("laws", "show", "power_law:input=tokens,form=pure", "--json")
    shown = json.loads(out)
    assert shown["published"][0]["values"]["alpha"] == 0.095 and shown["inputs"] == ["tokens"]
    assert [row["name"] for row in shown["noise"]] == ["sigma", "nu"] and "training tokens" in shown["meanings"][
        "tokens"
    ]


def test_check_reads_maps_and_warns(folder: Path, tmp_path: Path) -> None:
    code, out, _ = run("check", folder / "runs.csv", "--columns", "params=N,tokens=D")
    assert code == 0 and "48 rows" in out and "flops derived as 6 params x tokens" in out
    assert "every parameter can be learned in principle" in out
    one_size = tmp_path / "one.csv"
    one_size.write_text("params,tokens,loss\n1e9,1e9,3.1\n1e9,1e10,2.8\n1e9,1e11,2.5\n")
    _, out, _ = run("check", one_size)
    assert "alpha cannot be learned" in out and "3 distinct runs for 5 parameters" in out
    _, out, _ = run("check", one_size, "--json")
    found = json.loads(out)
    assert any("alpha" in text for text in found["identifiability"])
    assert found["ranges"][0] == {
        "column": "params", "smallest": 1e9, "median": 1e9, "largest": 1e9, "decades": 0.0, "distinct": 1
    }  # fmt: skip


def test_json_says_what_the_text_of_a_fit_says(tmp_path: Path) -> None:
    runs = bs.simulate("chinchilla", bs.grid(params=[1e9], tokens=np.geomspace(1e9, 1e11, 9)), "besiroglu2024", seed=1)
    table = runs.table.assign(loss=np.where(np.arange(9) == 4, 1.3, 1.0) * runs.loss)
    table.drop(columns="flops").to_csv(tmp_path / "runs.csv", index=False)
    ask = ("fit", tmp_path / "runs.csv", "--law", "chinchilla", "--sampler", "laplace")
    found, text = json.loads(run(*ask, "--json")[1]), " ".join(run(*ask)[1].split())
    for sentence in found["identifiability"]:
        assert f"warning: {sentence}" in text
    assert found["identifiability"] and [one["run"] for one in found["outliers"]] == [table["run"][4]]
    assert f"1 row lies outside the bulk of the scatter: {table['run'][4]}" in text
    assert found["influential"] and "influential" in text


def test_fit_prints_the_posterior(folder: Path) -> None:
    code, out, _ = run("fit", folder / "runs.csv", "--law", "chinchilla", "--sampler", "laplace")
    assert code == 0
    for part in ("alpha", "median", "learned", "Pareto k-hat", "the posterior is just the prior"):
        assert part in out


def test_forecast_prints_bands_and_odds(folder: Path) -> None:
    arguments = ("forecast", folder / "fit.nc", "--params", "7e9,70e9", "--tokens", "1.4e12", "--target", "2.05")
    code, out, _ = run(*arguments, "--prob", "0.5,0.9")
    assert (
        code == 0 and out.startswith("The largest of 2 runs: loss ") and " with probability 90%; reaches 2.05 " in out
    )
    assert "90% one new run" in out and "P(loss <= 2.05)" in out and "takes" in out
    code, out, _ = run(*arguments, "--prob", "0.8", "--json")
    content = json.loads(out)
    fit = bs.load_fit(folder / "fit.nc")
    expected = bs.forecast(fit, params=[7e9, 7e10], tokens=1.4e12).interval(0.8)
    assert content["points"][1]["new_run_0.8_low"] == expected[1, 0]
    assert content["required"]["of"] == "flops" and content["required"]["low"] < content["required"]["median"]


def test_forecast_of_a_table(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.csv").write_text("params,tokens\n7e10,1.4e12\n")
    code, out, _ = run("forecast", folder / "fit.nc", "--table", tmp_path / "plan.csv", "--json")
    assert code == 0 and json.loads(out)["points"][0]["params"] == 7e10


def test_columns_are_named_in_planned_runs_as_in_fitted_ones(folder: Path, tmp_path: Path) -> None:
    point = ("forecast", folder / "fit.nc", "--json")
    _, expected, _ = run(*point, "--params", "7e10", "--tokens", "1.4e12")
    (tmp_path / "plan.csv").write_text("N,seen\n7e10,1.4e12\n")
    code, out, _ = run(*point, "--table", tmp_path / "plan.csv", "--columns", "tokens=seen,loss=not here")
    assert code == 0 and json.loads(out) == json.loads(expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot read --table"),
        ("params,tokens\n", "the planned runs has no rows"),
        ("params,tokens\n1e9,many\n", "'many' is not a number"),
        ("params\n1e9\n", "tokens is missing"),
    ],
)
def test_planned_runs_that_cannot_be_are_refused_before_a_table_is_fitted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, says: str
) -> None:
    monkeypatch.setattr(fitting, "posterior_of", lambda *_, **__: pytest.fail("a fit began"))
    if text is not None:
        (tmp_path / "plan.csv").write_text(text)
    ask = ("forecast", folder / "runs.csv", "--law", "chinchilla", "--table", tmp_path / "plan.csv")
    code, _, err = run(*ask)
    assert code == 2 and says in err
    code, _, err = run(*ask, "--params", "1e9")
    assert code == 2 and (says in err or "either as a table or by name" in err)


def test_a_table_that_looks_wrong_is_said_to_before_the_answer(tmp_path: Path, chinchilla_runs: bs.Runs) -> None:
    """Whoever only asks for the answer reads the warnings, too; they leave JSON as it is."""
    table = chinchilla_runs.table[["tokens", "loss"]].assign(**{"params (M)": chinchilla_runs.column("params") / 1e6})
    table.to_csv(tmp_path / "runs.csv", index=False)
    law, said = ("--law", "power_law:input=tokens"), "no column was read as params, though 'params .M.' looks like it"
    with pytest.warns(bs.errors.BayesScalingWarning, match=said):
        code, out, _ = run("forecast", tmp_path / "runs.csv", *law, "--tokens", "1e12", "--params", "7e9", "--json")
    assert code == 0
    assert json.loads(out)["cautions"][0].startswith("the forecast does not depend on params 7e+09: no column")
    with pytest.warns(bs.errors.BayesScalingWarning, match=said):
        code, _, _ = run("fit", tmp_path / "runs.csv", *law, "--sampler", "laplace", "--json")
    assert code in (0, 3)


def test_a_number_with_separators_is_not_a_list(folder: Path) -> None:
    code, _, err = run("forecast", folder / "fit.nc", "--params", "7,000,000,000", "--tokens", "1e12")
    assert code == 2 and "--params: '7,000,000,000' seems to be one number with separators; write 7e9" in err


@pytest.mark.parametrize(
    "option", [("--columns", "params=N"), ("--loss-unit", "bits"), ("--params-convention", "total")]
)
def test_what_says_how_a_table_is_read_is_refused_of_a_fit(folder: Path, option: tuple[str, str]) -> None:
    code, _, err = run("forecast", folder / "fit.nc", "--params", "7e10", "--tokens", "1e12", *option)
    assert code == 2 and f"{option[0]} says how a table is read, and fit.nc holds one that was read already" in err


def test_an_unreachable_target_is_said(folder: Path) -> None:
    _, out, _ = run("forecast", folder / "fit.nc", "--params", "7e10", "--tokens", "1e12", "--target", "0.4")
    assert "0.0%" in out and "loss 0.4 nats/token on the mean curve is out of reach" in out and "inf " not in out
    assert "the probability that it can be reached at all is" in out


def test_a_target_that_is_no_loss_names_its_option(folder: Path) -> None:
    code, _, err = run("forecast", folder / "fit.nc", "--params", "7e10", "--tokens", "1e12", "--target", "nan")
    assert code == 2 and "--target: target loss is nan, expected a positive number" in err


def test_the_compute_of_a_target_goes_by_the_seed(folder: Path) -> None:
    point = ("forecast", folder / "drift.nc", "--params", "7e10", "--tokens", "1e12", "--target", "2.1", "--json")
    run("fit", folder / "runs.csv", "--law", "chinchilla", "--out", folder / "drift.nc", "--sampler", "laplace",
        "--discrepancy", "brownian")  # fmt: skip
    found = [json.loads(run(*point, "--seed", seed, "--unconverged")[1])["required"] for seed in (1, 2)]
    assert found[0] != found[1]
    needed = bs.required(bs.load_fit(folder / "drift.nc"), 2.1, seed=2, unconverged=True)
    assert found[1]["median"] == needed.quantile(0.5)


def test_probabilities_of_bands_are_written_as_asked(folder: Path) -> None:
    bands = ("--prob", "0.975,0.995,0.9999")
    _, out, _ = run("forecast", folder / "fit.nc", "--params", "7e10", "--tokens", "1e12", *bands)
    assert all(band in out for band in ("97.5%", "99.5%", "99.99%")) and "100%" not in out
    _, out, _ = run("forecast", folder / "fit.nc", "--params", "7e10", "--tokens", "1e12", "--target", "0.4", "--json")
    assert json.loads(out)["required"]["median"] is None and json.loads(out)["required"]["probability_reachable"] == 0


def test_priors_from_toml(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "priors.toml").write_text('[priors]\nalpha = {distribution = "LogNormal", loc = -0.5, scale = 0.001}\n')
    _, out, _ = run(
        "fit",
        folder / "runs.csv",
        "--law",
        "chinchilla",
        "--priors",
        tmp_path / "priors.toml",
        "--sampler",
        "laplace",
        "--json",
        "--chains",
        4,
    )
    content = json.loads(out)
    assert content["posterior"]["alpha"]["median"] == pytest.approx(np.exp(-0.5), rel=0.01)
    assert content["manifest"]["priors_given"]["alpha"]["scale"] == 0.001


def test_simulate_writes_a_table_that_fits(tmp_path: Path) -> None:
    out = tmp_path / "simulated.csv"
    code, text, _ = run("simulate", "chinchilla", "--constants", "besiroglu2024", "--out", out, "--seed", 3)
    assert code == 0 and "16 runs written" in text and "E=1.8172" in text
    assert len(bs.Runs.from_csv(out)) == 16


def test_plot_writes_pictures(folder: Path) -> None:
    code, out, _ = run(
        "plot",
        folder / "fit.nc",
        "--out",
        folder / "plots",
        "--params",
        "7e10",
        "--tokens",
        "1.4e12",
        "--target",
        "2.0",
    )
    files = [Path(line) for line in out.split()]
    assert code == 0 and len(files) >= 6 and all(file.stat().st_size > 5000 for file in files)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("fit", "{folder}/absent.csv"), "absent.csv"),
        (("fit", "{folder}/runs.csv", "--law", "chinchila"), "no law is called 'chinchila'"),
        (("fit", "{folder}/runs.csv", "--columns", "params"), "expected params=N,tokens=D"),
        (("fit", "{folder}/runs.csv", "--below", "flops=1e3"), "no row"),
        (("fit", "{folder}/runs.csv", "--below", "flops=big"), "'big' is not a number"),
        (("fit", "{folder}/runs.csv", "--out", "{folder}"), "is a folder"),
        (("fit", "{folder}/runs.csv", "--noise", "cauchy"), "noise family is 'cauchy'; expected normal or student_t"),
        (("fit", "{folder}/runs.csv", "--sampler", "magic"), "sampler is 'magic'"),
        (("fit", "{folder}/runs.csv", "--law", "chinchilla", "--priors", "{folder}/runs.csv"), "is not TOML"),
        (
            ("forecast", "{folder}/runs.csv", "--params", "1e9"),
            "law chinchilla needs params, tokens of each future run; tokens is missing",
        ),
        (("forecast", "{folder}/fit.nc"), "--params N and --tokens D"),
        (("forecast", "{folder}/fit.nc", "--params", "70B", "--tokens", "1e12"), "'70B' is not a number"),
        (
            ("forecast", "{folder}/fit.nc", "--params", "1e9", "--tokens", "1e12", "--prob", "90"),
            "write 0.9 for 90 percent",
        ),
        (("forecast", "{folder}/fit.nc", "--params", "1e9", "--tokens", "1e12", "--target", "-2"), "target loss is -2"),
        (("simulate", "chinchilla", "--out", "{folder}/x.csv", "--sigma", "0"), "--sigma is 0"),
        (
            ("fit", "{folder}/runs.csv", "--discrepancy", "half"),
            "discrepancy is 'half'; expected brownian, trend or none",
        ),
        (("fit", "{folder}/runs.csv", "--device", "tpu"), "device is 'tpu'; expected auto, cpu or gpu"),
        (("fit", "{folder}/runs.csv", "--below", "flops"), "cannot read --below 'flops'; expected flops=1e21"),
        (("fit", "{folder}/runs.csv", "--params-convention", "all"), "choose one of total, non_embedding, unstated"),
        (("compare", "{folder}/runs.csv", "--alongside", "magic"), "alongside has 'magic'; expected any of exact"),
        (("compare", "{folder}/runs.csv", "--cut", "flops"), "cannot read --cut 'flops'; expected flops=1e20,1e21"),
        (("import", "comet", "{folder}", "--out", "{folder}/x.csv"), "tracker is 'comet'; expected wandb, mlflow or"),
        (("plot", "{folder}/fit.nc", "--target", "2.0"), "--target needs a forecast"),
        (("laws", "show", "nothing"), "no law is called 'nothing'"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_two(folder: Path, arguments: tuple[str, ...], says: str) -> None:
    code, out, err = run(*(argument.format(folder=folder) for argument in arguments))
    assert code == 2 and says in err and len(err.strip().splitlines()) == 1 and out == ""


def test_the_program_itself_prints_one_line_and_no_traceback(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("params,tokens,loss\n1e9,2e10,oops\n")
    program = [sys.executable, "-m", "bayes_scaling.cli", "check", str(bad)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: bad.csv, row 1, column loss: 'oops'") and done.stderr.count("\n") == 1


def test_a_platform_that_jax_cannot_start_is_one_line() -> None:
    program = [sys.executable, "-m", "bayes_scaling.cli", "laws", "show", "chinchilla"]
    environment = {**os.environ, "JAX_PLATFORMS": "abacus"}
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: JAX cannot start on 'abacus', which JAX_PLATFORMS asks for")
    assert done.stderr.endswith("; set JAX_PLATFORMS=cpu, or unset it\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fitt"], "No such command 'fitt'"),
        (["fit"], "Missing argument"),
        (["fit", "runs.csv", "--magic"], "No such option"),
        (["fit", "runs.csv", "--chains", "many"], "Invalid value for '--chains'"),
        (["allocate", "runs.csv"], "Missing option '--budget'"),
        (["fit", "runs.csv", "--seed", "-1"], "Invalid value for '--seed'"),
        (["simulate", "chinchilla", "--out", "absent/x.csv", "--params", "-1"], "the grid of params is [-1.0]"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bayes-scaling", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert ended.value.code == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1 and says in err


def test_every_word_of_an_option_has_something_behind_it() -> None:
    """The words that help lists, the types of Python, and the objects behind them are the same."""
    assert set(names.FAMILIES) == set(FAMILIES) and set(names.SCALES) == set(SCALES) and set(names.ROWS) == set(ROWS)
    assert list(names.SAMPLERS) == list(METHODS)
    assert list(names.ALONG) == ["auto", "size", *AXES]
    assert set(names.ALONGSIDE) == {EXACT, *BASELINES, TOGETHER} == {*names.USUALLY_ALONGSIDE, TOGETHER}
    assert all(hasattr(bs.importers, f"import_{name}") for name in names.TRACKERS)
    for kind, table in {
        names.FamilyName: names.FAMILIES,
        names.NoiseName: names.NOISES,
        names.ScaleName: names.SCALES,
        names.RowsName: names.ROWS,
        names.RowsChoice: names.ROWS_CHOICES,
        names.StartName: names.STARTS,
        names.DiscrepancyName: names.DISCREPANCIES,
        names.AlongName: names.ALONG,
        names.SamplerName: names.SAMPLERS,
        names.AlongsideName: names.ALONGSIDE,
    }.items():
        assert set(get_args(kind.__value__)) == set(table)


def test_messages_speak_the_language_of_the_command_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("params,tokens\n1e9,2e10\n")
    program = [sys.executable, "-m", "bayes_scaling.cli", "check", str(bad)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--columns loss=NAME" in done.stderr and "columns={" not in done.stderr


def test_an_unconverged_fit_has_its_own_exit_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bayes_scaling.inference import diagnostics as _diagnostics

    monkeypatch.setattr(_diagnostics.Diagnostics, "problems", lambda self, draws: ("R-hat 1.5 of alpha is above 1.01",))
    code, out, _ = run("fit", folder / "runs.csv", "--law", "chinchilla", "--sampler", "laplace")
    assert code == 3 and "NOT CONVERGED" in out
    code, _, err = run("forecast", folder / "fit.nc", "--params", "1e9", "--tokens", "1e10")
    assert code == 2 and "did not converge" in err


def test_text_from_data_is_not_markup(tmp_path: Path) -> None:
    rows = "".join(
        f"[bold]r{i}[/bold],{n:g},{d:g},{3 + i / 100}\n"
        for i, (n, d) in enumerate([(1e8, 2e9), (2e8, 9e9), (4e8, 3e9)])
    )
    (tmp_path / "[red]runs.csv").write_text("run,params,tokens,loss\n" + rows)
    code, out, _ = run("check", tmp_path / "[red]runs.csv")
    assert code == 0 and "[red]runs.csv" in out


# --- simulate, laws, warnings ---


def test_simulate_takes_any_input(tmp_path: Path) -> None:
    out = tmp_path / "runs.csv"
    code, _, err = run("simulate", "kaplan_trajectory", "--at", "batch_tokens=1e5,1e6", "--out", str(out))
    assert code == 0, err
    assert sorted(pd.read_csv(out)["batch_tokens"].unique()) == [1e5, 1e6]
    code, _, err = run("simulate", "repeated_data", "--at", "unique_tokens=1e9,1e10", "--out", str(out))
    repeated = pd.read_csv(out)
    assert code == 0 and (repeated["unique_tokens"] <= repeated["tokens"]).all() and bs.Runs.from_frame(repeated)
    assert set(repeated["unique_tokens"]) == {1e9, 2e9, 6e9, 1e10}
    code, _, err = run("simulate", "annealing", "--out", str(out))
    assert code == 2 and "reads whole runs, not a grid" in err


@pytest.mark.parametrize(
    "command",
    [
        ("forecast",),
        ("quantity", "params_opt"),
        ("plot",),
        ("allocate", "--budget", "1e23"),
        ("pilot", "--pilot-budget", "1e21", "--between", "params=1e8:1e9"),
        ("midrun", "--run", "big", "--until", "1e5"),
        ("preregister", "--params", "1e9"),
    ],
    ids=lambda command: command[0],
)
def test_every_command_on_a_fit_takes_the_law_it_was_made_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    (folder / "mine.py").write_text(LAW_FILE)
    monkeypatch.chdir(folder)

    def given(_: Path, law: bs.laws.Law | None = None) -> None:
        raise bs.errors.FitError(f"the law is {law and law.label}")

    monkeypatch.setattr(loading, "load_fit", given)
    name, *options = command
    fit = folder / "fit.nc"
    assert run(name, fit, *options)[2] == "error: the law is None"
    assert run(name, fit, *options, "--law", "mine.py")[2] == "error: the law is mine"
    assert (
        "a law file is Python code, and its name ends with .py" in run(name, fit, *options, "--law", "/etc/passwd")[2]
    )


def test_a_fit_of_a_law_file_asks_for_the_file(folder: Path, tmp_path: Path) -> None:
    fit = tmp_path / "fit.nc"
    fit.write_bytes((folder / "fit.nc").read_bytes())
    with h5py.File(fit, "a") as file:
        file.attrs["manifest"] = json.dumps({**json.loads(file.attrs["manifest"]), "law": "mine.py"})
    whole = loading._read(fit)
    with h5py.File(fit, "a") as file:
        file.attrs["sha256"] = digest_of(whole.arrays, whole.said)
    code, _, err = run("forecast", fit, "--params", "7e10", "--tokens", "1.4e12")
    assert code == 2 and "a saved fit runs no code" in err and err.endswith("give the law again with --law FILE")


def test_a_warning_is_said_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def warn(standalone_mode: bool) -> None:
        for said in ("a law was left out", "a law was left out", "another thing"):
            warnings.warn(said, bs.errors.BayesScalingWarning, stacklevel=1)

    monkeypatch.setattr(cli.commands, "app", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert [cli.commands.run(), cli.commands.run()] == [0, 0]
    lines = ["warning: a law was left out", "warning: another thing"]
    assert capsys.readouterr().err.splitlines() == lines * 2


def test_the_package_runs_as_a_module_and_says_its_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bayes_scaling", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"bayes-scaling {bs.__version__}\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one encoding of paths")
def test_a_name_of_a_file_that_the_locale_cannot_spell(tmp_path: Path) -> None:
    path = tmp_path / "läufe.csv"
    program = [sys.executable, "-m", "bayes_scaling", "simulate", "chinchilla", "--constants", "besiroglu2024"]
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([*program, "--out", str(path)], capture_output=True, check=False, env=environment)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert path.exists()
