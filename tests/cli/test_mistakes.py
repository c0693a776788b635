"""Mistakes on the command line: values of the wrong kind, size and sign for every option of every command."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

import bayes_scaling as bs
from bayes_scaling.base import executors
from bayes_scaling.cli import _workers
from bayes_scaling.cli.commands import app, run
from bayes_scaling.decide import decision
from bayes_scaling.decide.problem import CheckedDecision
from bayes_scaling.evaluate import backtesting
from bayes_scaling.inference import fit as fitting
from bayes_scaling.inference import loading
from bayes_scaling.plot import gallery
from tests.recipes import World

WRONG = ("0", "1e400", "nan", "1" * 5000, "x=", ",", "../../etc/passwd", "\ud800", "a\nb")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("world"))
    made_first = (
        made.csv,
        made.saved,
        made.study_file,
        made.registered,
        made.saved_link,
        made.saved_curves,
        made.csv_of_recipes,
    )
    assert all(made_first)  # before sampling is stopped
    return made


@pytest.fixture
def no_long_work(monkeypatch: pytest.MonkeyPatch, world: World) -> Iterator[None]:
    """Stop where fits, a search or pictures would start; read the valid fit once."""

    def stop(*_: Any, **__: Any) -> Any:
        raise bs.BayesScalingError("long work would start here, with arguments that were read")

    read, saved = loading.load_fit, loading.load_fit(world.saved)
    monkeypatch.setattr(
        loading, "load_fit", lambda path, *a, **k: saved if path == world.saved else read(path, *a, **k)
    )
    monkeypatch.setattr(fitting, "posterior_of", stop)
    monkeypatch.setattr(executors, "Processes", stop)
    monkeypatch.setattr(_workers, "connected", stop)
    monkeypatch.setattr(CheckedDecision, "best_place", stop)
    monkeypatch.setattr(decision, "choose_pilots", stop)
    monkeypatch.setattr(gallery, "save_pictures", stop)
    monkeypatch.setattr(backtesting, "attempted", stop)
    yield


def valid(world: World) -> Mapping[str, Sequence[str]]:
    """Return valid arguments of every command, short work each."""
    csv, fit, study = str(world.csv), str(world.saved), str(world.study_file)
    at = ["--params", "1e10", "--tokens", "2e11"]
    plan = world.folder / "registered-for-commands.json"
    if not plan.exists():
        world.registered.save(plan)
    tables = world.folder / "tables"
    tables.mkdir(exist_ok=True)
    (tables / "one.csv").write_bytes(world.csv.read_bytes())
    offers = ["--between", "params=1e8:1e9", "--between", "tokens=1e9:1e10"]
    tracker = ["mlflow", str(world.folder), "--out", "imported.csv"]
    return {
        "check": [csv],
        "fit": [csv],
        "forecast": [fit, *at],
        "compare": [csv, "--law", "chinchilla"],
        "backtest": [str(tables), "--law", "chinchilla"],
        "allocate": [fit, "--budget", "1e22"],
        "pilot": [fit, "--budget", "1e22", "--pilot-budget", "1e20", *offers],
        "trajectory": [fit, "--params", "1e10", "--tokens", "2e11"],
        "recipes": [str(world.csv_of_recipes), "--budget", "1e22", "--law", "chinchilla"],
        "chain": [fit, str(world.saved_link), *at, "--target", "0.5", "--unconverged"],
        "midrun": [str(world.saved_curves), "--run", "r3", "--until", "4e9"],
        "preregister": [fit, *at, "--out", "new.json"],
        "score": [str(plan), "--loss", "2.0"],
        "report": [study, "--draft"],
        "quantity": [fit, "params_opt", "--at", "flops=1e21"],
        "tune": [csv, *at],
        "plot": [fit],
        "simulate": ["chinchilla", "--out", "simulated.csv"],
        "demo": [],
        "import": tracker,
        "laws": [],
        "laws show": ["chinchilla"],
    }


@functools.cache
def commands() -> dict[str, Any]:
    """Return every command of the application, those of groups by both words."""
    found: dict[str, Any] = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        found[name] = command
        found |= {f"{name} {key}": one for key, one in getattr(command, "commands", {}).items()}
    return found


def replaced(arguments: Sequence[str], parameter: Any, place: int, value: str) -> list[str]:
    """Return arguments with one option, or the argument at a place, replaced by a value."""
    if parameter.param_type_name == "argument":
        return [*arguments[:place], value, *arguments[place + 1 :]]
    option = max(parameter.opts, key=len)
    out, skip = [], False
    for one in arguments:
        if skip or one in parameter.opts:
            skip = not skip
            continue
        out.append(one)
    return [*out, option] if parameter.is_flag else [*out, option, value]


def outcome(
    arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str | None:
    """Run the command line; return what is wrong with how it ended, None where nothing is."""
    monkeypatch.setattr(sys, "argv", ["bayes-scaling", *arguments])
    try:
        code: Any = run()
    except SystemExit as end:
        code = end.code or 0
    except Exception as error:
        capsys.readouterr()
        return f"{type(error).__name__}: {str(error)[:200]}"
    said = capsys.readouterr().err
    if code == 2 and (not said.startswith("error: ") or said.count("\n") != 1 or len(said) > 1500):
        return f"said {said[:400]!r}"
    return None if code in (0, 2, 3) else f"exit code {code}: {said[:200]!r}"


def wrong_ends(
    name: str,
    values: Sequence[str],
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> list[str]:
    """Give every parameter of a command every value; return what did not end in one line, or in an answer."""
    arguments, found, place = valid(world)[name], [], 0
    for parameter in commands()[name].params:
        if parameter.name == "help":
            continue
        for value in values[:1] if getattr(parameter, "is_flag", False) else values:
            wrong = outcome([*name.split(), *replaced(arguments, parameter, place, value)], monkeypatch, capsys)
            if wrong:
                found.append(f"{parameter.name} {value[:40]!r}: {wrong}")
        place += parameter.param_type_name == "argument"
    return found


QUICK = sorted(set(commands()) - {"allocate", "backtest", "compare", "fit", "midrun", "pilot"})
"""Commands of which even two values for each option are quick; the slow test has them all."""


@pytest.mark.usefixtures("no_long_work")
@pytest.mark.parametrize("name", QUICK)
def test_a_wrong_value_of_an_option_is_one_line(
    name: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = wrong_ends(name, ("x", "-1"), world, monkeypatch, capsys)
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.usefixtures("no_long_work")
@pytest.mark.parametrize("name", sorted(commands()))
def test_no_value_of_an_option_is_a_traceback(
    name: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = wrong_ends(name, WRONG, world, monkeypatch, capsys)
    assert not found, "\n".join(found)
