"""Mistakes: values of the wrong kind, size and sign, given to every public function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.base import executors
from bayes_scaling.errors import BayesScalingWarning
from bayes_scaling.inference import fit as fitting
from tests.recipes import World, public, recipes

type Recipes = Mapping[str, tuple[Callable[..., Any], Mapping[str, Any]]]

WRONG: Mapping[str, Any] = {
    "None": None,
    "empty text": "",
    "text": "x",
    "minus one": -1,
    "zero": 0,
    "infinity": float("1e400"),
    "not a number": float("nan"),
    "a large integer": 2**70,
    "a huge integer": 10**400,
    "a list": [],
    "a dict": {},
    "an object": object(),
    "True": True,
    "an empty array": np.array([]),
    "an array of text": np.array(["a", "b"]),
    "a table": pd.DataFrame({"params": [1e9], "x": ["y"]}),
    "no table": pd.DataFrame(),
    "a path": Path("there") / "is" / "nothing.csv",
    "text of many letters": "x" * 5000,
    "bytes": b"bytes",
    "a mixed list": [1, "x", None],
    "nested lists": [[1.0], [2.0, 3.0]],
    "a dict of lists": {"x": [1.0], "params": "y"},
    "a zero byte": "a\0b",
    "half a character": "\ud800",
    "complex": 1j,
    "a path above": "../../etc/passwd",
}


LONG = ("pilot", "DecisionProblem.pilot", "plot.save_all", "evaluate.sbc")
"""Functions that several of these values set to work."""


class Stopped(bs.BayesScalingError):
    """Stands for the long work that a valid value would start."""


class Named(dict[str, Any]):
    """Recipes that are shown by their number: written out they are megabytes, and Hypothesis warns of that."""

    def __repr__(self) -> str:
        return f"<{len(self)} recipes>"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Recipes:
    return Named(recipes(World(tmp_path_factory.mktemp("world"))))


@pytest.fixture
def no_sampling(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def stop(*_: Any) -> Any:
        raise Stopped("a fit would start here")

    monkeypatch.setattr(fitting, "posterior_of", stop)
    monkeypatch.setattr(executors, "Processes", stop)
    yield


def test_every_public_function_has_a_recipe(made: Recipes) -> None:
    found = public()
    assert set(found) == set(made)
    for name, (_, valid) in made.items():
        fixed = [one for one in found[name].parameters if one not in ("inputs", "fixed", "limit", "options")]
        missing = set(fixed) - set(valid)
        assert not missing or name in ("Study", "laws.load_law"), f"the recipe of {name} lacks {missing}"


def mistakes(
    call: Callable[..., Any], valid: Mapping[str, Any], values: Mapping[str, Any], only: str = ""
) -> list[str]:
    """Call with one argument replaced at a time; return what came out that was no error made on purpose."""
    out = []
    for argument in [only] if only else valid:
        for name, value in values.items():
            try:
                call(**{**valid, argument: value})
            except (bs.BayesScalingError, BayesScalingWarning) as error:  # a caution is an answer too
                if not str(error).isprintable() or not 10 < len(str(error)) < 900:
                    out.append(f"{argument}={name}: message {str(error)[:300]!r}")
            except Exception as error:
                out.append(f"{argument}={name}: {type(error).__name__}: {str(error)[:200]}")
    return out


@pytest.mark.parametrize("name", ["plot.forecast", "plot.laws", "plot.trajectory"])
@pytest.mark.parametrize("target", [3.9e293, 1e-300, -1.0])
def test_a_picture_marks_no_loss_that_no_run_could_have(made: Recipes, name: str, target: float) -> None:
    call, valid = made[name]
    with pytest.raises(bs.errors.ForecastError, match="target loss is .*expected a positive number"):
        call(**{**valid, "target": target})


@pytest.mark.slow
@pytest.mark.usefixtures("no_sampling")
@settings(max_examples=1500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([one for one in sorted(public()) if one not in LONG]),
    choice=st.integers(0, 100),
    value=st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        st.binary(max_size=5),
        st.lists(st.one_of(st.integers(), st.floats(), st.text(max_size=5), st.none()), max_size=4),
        st.dictionaries(st.text(max_size=5), st.one_of(st.floats(), st.text(max_size=5)), max_size=3),
    ),
)
def test_any_value_is_taken_or_refused(
    made: Recipes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, choice: int, value: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    call, valid = made[name]
    argument = list(valid)[choice % len(valid)]
    found = mistakes(call, {**valid}, {repr(value): value}, only=argument)
    assert not found, f"{name}: {found}"


@pytest.mark.usefixtures("no_sampling")
@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=pytest.mark.slow if one in LONG else ()) for one in sorted(public())]
)
def test_a_value_of_the_wrong_kind_is_refused_in_one_sentence(
    name: str, made: Recipes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call, valid = made[name]
    found = mistakes(call, valid, WRONG)
    assert not found, "\n".join(found)
