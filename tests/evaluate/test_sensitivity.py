"""Prior sensitivity: what was learned, what the prior says, what the irreducible loss does to a long extrapolation."""

from __future__ import annotations

import math

import numpyro.distributions as dist
import pytest

import bayes_scaling as bs
from bayes_scaling.evaluate.sensitivity import floor_panel, floor_parameter, prior_sensitivity
from tests.support import design


def test_the_table_speaks_where_there_is_much_of_it(chinchilla_fit: bs.Fit) -> None:
    table = prior_sensitivity(chinchilla_fit).set_index("parameter")
    assert {"E", "alpha", "beta", "sigma"} <= set(table.index)
    assert table.loc["alpha", "learned"] > 0.9
    assert table.loc["alpha", "data_pull"] > table.loc["alpha", "prior_pull"]


def test_the_prior_speaks_where_there_is_little() -> None:
    runs = bs.simulate("chinchilla", design(5), "besiroglu2024", seed=0)
    law = bs.load_law("chinchilla", priors={"alpha": dist.LogNormal(-1.4, 0.05)})
    table = prior_sensitivity(bs.fit(law, runs, sampler="laplace", seed=0)).set_index("parameter")
    assert table.loc["alpha", "learned"] < 0.5
    assert "prior dominates" in table.loc["alpha", "says"]


def test_a_prior_that_contradicts_the_table_is_said(chinchilla_runs: bs.Runs) -> None:
    law = bs.load_law("chinchilla", priors={"alpha": dist.LogNormal(math.log(0.55), 0.06)})
    table = prior_sensitivity(bs.fit(law, chinchilla_runs, discrepancy="none", sampler="laplace", seed=0))
    assert table.set_index("parameter").loc["alpha", "says"] == "prior and table disagree"


@pytest.mark.slow
def test_the_floor_moves_long_extrapolations(chinchilla_runs: bs.Runs) -> None:
    runs = chinchilla_runs.where(chinchilla_runs.column("flops") < 1e21)
    fit = bs.fit("chinchilla", runs, seed=0)
    floors = {"low": dist.Beta(1.5, 30.0), "high": dist.Beta(30.0, 10.0)}
    panel = floor_panel(fit, params=[1e9, 1e13], tokens=[2e10, 2e15], floors=floors)
    wide = panel.pivot(index="point", columns="prior", values="median")
    assert wide.loc[2, "low"] < wide.loc[2, "high"]
    assert wide.loc[2, "high"] - wide.loc[2, "low"] > 3 * abs(wide.loc[1, "high"] - wide.loc[1, "low"])
    assert (panel["low"] < panel["median"]).all() and (panel["median"] < panel["high"]).all()


def test_laws_without_a_floor_are_refused() -> None:
    assert floor_parameter(bs.load_law("max_form")) == "L_inf"
    with pytest.raises(bs.errors.ForecastError, match="kaplan_joint has no irreducible loss"):
        floor_parameter(bs.load_law("kaplan_joint"))
