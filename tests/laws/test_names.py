"""Names: whatever a law calls its parameters and columns, it is fitted as its formula says, or refused."""

from __future__ import annotations

import dataclasses
import keyword
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.base.scope import scope
from bayes_scaling.errors import BayesScalingError, LawError
from bayes_scaling.inference.draws import posterior_of
from bayes_scaling.laws import Column, Derived, Law, Parameter, Published, power
from bayes_scaling.model.composition import Composition

NAMES = ("E", "A", "alpha", "x", "z")
"""Ordinary names: a level, a coefficient that follows from it, an exponent, and two columns."""


def law_of(names: tuple[str, ...]) -> Law:
    """Return one law, E + A x^-alpha + z / 10, under other names."""
    level, coefficient, exponent, first, second = names
    source = f"lambda {first}, {second}, {level}, {coefficient}, {exponent}: formula({', '.join((first, second))}, " + (
        f"{level}, {coefficient}, {exponent})"
    )
    mean = eval(source, {"formula": lambda x, z, E, A, a: E + A * power(x, -a) + z / 10})
    value = eval(f"lambda at, {exponent}: power(at.{first}, {exponent})", {"power": power})
    return Law(
        name="mine",
        title="a law",
        formula="E + A x^-alpha + z / 10",
        mean=mean,
        references=("nobody",),
        columns={first: Column("first", 1e2, 1e6), second: Column("second", 0.0, 1.0)},
        parameters=(
            Parameter(level, dist.LogNormal(0.0, 0.5), unit="loss", meaning="level", source="guess"),
            Parameter(
                exponent,
                dist.LogNormal(-1.0, 0.3),
                unit="1",
                meaning="exponent",
                source="guess",
                quantity="twice it",
                value=lambda draw: 0.5 * draw * 2,
            ),
            Derived(coefficient, unit="loss", meaning="coefficient", value=value),
        ),
        published=(Published("nobody", dict.fromkeys((level, coefficient, exponent), 1.0), source="nobody"),),
    )


def runs_of(names: tuple[str, ...]) -> bs.Runs:
    first, second = names[3:]
    x, z = np.geomspace(1e2, 1e5, 12), np.tile([0.1, 0.5, 0.9], 4)
    loss = (1.5 + (x / x[5]) ** -0.3 + z / 10) * np.exp(0.01 * np.cos(np.arange(12) * 2.4))
    table = {first: x, second: z, "loss": loss, "loss_se": 0.01 * loss, "run": [f"r{i}" for i in range(12)]}
    return bs.Runs.from_frame(pd.DataFrame(table))


def fit(names: tuple[str, ...], **options: Any) -> bs.Fit:
    sampler = bs.Sampler("laplace", chains=2, draws=100)
    return bs.fit(law_of(names), runs_of(names), sampler=sampler, progress=False, **options)


def renamed(**new: str) -> tuple[str, ...]:
    return tuple(new.get(name, name) for name in NAMES)


@pytest.fixture(scope="module")
def ordinary() -> bs.Fit:
    return fit(NAMES)


INTERNAL = (
    *(
        "tau",
        "sigma",
        "nu",
        "kappa",
        "length",
        "sigma_curve",
        "path",
        "cell",
        "layout_row",
        "layout_gap",
        "relative_se",
    ),
    *(
        "relative_size",
        "increments",
        "basis",
        "E_quantity",
        "alpha_quantity",
        "alpha_offset",
        "alpha_sd",
        "nu_quantity",
    ),
    *("at", "draw", "chain", "row", "site", "run", "loss", "loss_se", "log_loss", "inputs", "data", "priors", "u"),
    *(
        "params",
        "tokens",
        "flops",
        "steps",
        "batch_tokens",
        "unique_tokens",
        "theta",
        "columns",
        "self",
        "mean",
        "seed",
    ),
    *("group", "points", "L_0", "weight", "geometry", "discrepancy", "noise", "law", "value", "x", "alpha", "a", "b"),
)
"""Names that mean something somewhere in the package."""

MEANT = {"params", "tokens", "flops", "steps", "batch_tokens", "learning_rate", "loss_se"}
"""Columns that discrepancy and noise read as well, so that another model is meant with them."""

LEGAL = st.one_of(
    st.sampled_from(INTERNAL),
    st.from_regex(r"[a-zA-Zα-ω][a-zA-Z0-9_α-ω]{0,8}", fullmatch=True).filter(
        lambda name: name.isidentifier() and not keyword.iskeyword(name)
    ),
)


def numbers(names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return what the program says at one point: density, parameters under their ordinary names, losses."""
    composition = Composition(law_of(names), bs.Noise("student_t", "known"), bs.Discrepancy(), {})
    with scope():
        model, data, priors = posterior_of(composition, runs_of(names))
        u = np.linspace(-0.5, 0.5, len(model.sites))
        theta = model.constrain(u, data, priors)
        return {
            "density": np.asarray(model.potential(u, data, priors)),
            **{old: np.asarray(theta[new]) for old, new in zip(NAMES, names[:3], strict=False)},
            "mean": np.asarray(model.log_mean(theta, data.columns)),
            "at": np.array([getattr(data.at, name) for name in names[3:]]),
        }


@pytest.fixture(scope="module")
def ordinary_numbers() -> dict[str, np.ndarray]:
    return numbers(NAMES)


@pytest.mark.filterwarnings("ignore")  # of sizes that would be odd if a column really held parameters or tokens
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(LEGAL, min_size=5, max_size=5, unique=True).filter(lambda names: not MEANT & {*names[3:]}))
def test_any_names_are_fitted_as_the_formula_says_or_refused(
    ordinary_numbers: dict[str, np.ndarray], names: list[str]
) -> None:
    try:
        found = numbers(tuple(names))
    except BayesScalingError as error:
        assert "\n" not in str(error)
        return
    for name, values in ordinary_numbers.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-9, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["path", "cell", "E_quantity"])
def test_names_that_used_to_be_the_programs_own_are_free(ordinary: bs.Fit, name: str) -> None:
    for old in ("alpha", "x"):
        np.testing.assert_allclose(
            fit(renamed(**{old: name})).unconstrained, ordinary.unconstrained, rtol=1e-6, atol=1e-8
        )


@pytest.mark.parametrize(
    ("names", "options", "says"),
    [
        (
            {"alpha": "tau"},
            {},
            "law mine and the discrepancy both have a parameter tau; rename that of",
        ),
        (
            {"alpha": "sigma"},
            {},
            "law mine and student_t noise both have a parameter sigma; rename that of",
        ),
        ({"E": "nu"}, {}, "law mine and student_t noise both have a parameter nu"),
        (
            {"E": "alpha_sd"},
            {"pooling": {"alpha": bs.partial("run")}},
            "law mine and pooling, for a standard deviation between groups, both have a parameter alpha_sd",
        ),
        ({"E": "at"}, {}, "law mine: a parameter cannot be called at, which is the reference point; rename it"),
        ({"E": "draw"}, {}, "a parameter cannot be called draw, which is a dimension of posterior draws"),
        ({"x": "loss"}, {}, "a column cannot be called loss, which is what the law predicts"),
        ({"x": "run"}, {}, "a column cannot be called run, which is the id of a run"),
        ({"x": "_hidden"}, {}, "'_hidden' cannot name a column; take letters, digits and underscores"),
    ],
)
def test_a_name_of_two_owners_is_refused(names: dict[str, str], options: dict[str, Any], says: str) -> None:
    with pytest.raises(LawError) as caught:
        bs.fit(law_of(renamed(**names)), runs_of(NAMES), progress=False, **options)
    assert says in str(caught.value)


def test_what_does_not_meet_is_no_matter(ordinary: bs.Fit) -> None:
    """A scale of the discrepancy or of tails that is not in the model frees its name."""
    plain = fit(NAMES, discrepancy="none", noise="normal")
    for place, name in ((2, "tau"), (0, "nu")):
        other = fit(
            tuple(name if i == place else old for i, old in enumerate(NAMES)), discrepancy="none", noise="normal"
        )
        np.testing.assert_allclose(other.unconstrained, plain.unconstrained, rtol=1e-6, atol=1e-8)


def test_a_parameter_and_a_column_of_one_name_are_refused() -> None:
    law = law_of(NAMES)
    both = dataclasses.replace(law, reads={"x": "alpha"}, columns={**law.columns, "alpha": law.columns["x"]})
    with pytest.raises(LawError, match="law mine calls a parameter and a column alpha: rename the parameter"):
        bs.fit(both, runs_of(renamed(x="y")), progress=False)


def test_simulating_refuses_the_same_names() -> None:
    design = runs_of(NAMES).table[["x", "z"]]
    with pytest.raises(LawError, match="both have a parameter sigma"):
        bs.simulate(law_of(renamed(alpha="sigma")), design)


def test_a_fit_with_odd_names_is_saved(ordinary: bs.Fit, tmp_path: Any) -> None:
    found = fit(("row", "site", "log_loss", "path", "cell"))
    tree = found.idata
    assert {"row", "site", "log_loss"} <= set(tree["posterior"].data_vars)
    assert "site.quantity" not in tree["posterior"].data_vars and "log_loss.quantity" in tree["log_prior"].data_vars
