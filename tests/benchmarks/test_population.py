"""Populations of parameters over tables: numbers made here are found again. No public row is read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pytest

from bayes_scaling.base.scope import scope
from bayes_scaling.predict.predictive import Predictive, Residuals

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
WIDE = {"tau": dist.LogNormal(0.0, 2.0)}


@pytest.fixture
def population() -> Iterator[Any]:
    """Import the script as it is run, whose folder is the first on the path."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import population

        yield population
    finally:
        sys.path.remove(str(BENCHMARKS))


def _draws(population: Any, centre: float, rng: np.random.Generator) -> Any:
    """Draw what a fit would say of tau that measures its log to 0.2, and forecasts that are its log."""
    prior, error = 2.0**-2, 0.2**-2
    line = rng.normal(centre * error / (error + prior), (error + prior) ** -0.5, 500)
    wide = -0.5 * (line / 2.0) ** 2 - np.log(2.0) - 0.5 * np.log(2 * np.pi) - line
    predictive = Predictive.of(line[:, None], np.full((1, 1), 0.1), Residuals.normal(len(line)))
    return population.Draws({"tau": np.exp(line)}, {"tau": wide}, predictive)


def _fits(population: Any) -> dict[Any, Any]:
    rng = np.random.default_rng(0)
    return {
        (f"table {i}", 3.0): {"law": _draws(population, rng.normal(-1.5, 0.4) + rng.normal(0, 0.2), rng)}
        for i in range(40)
    }


def test_a_population_is_found(population: Any) -> None:
    fits = _fits(population)
    found = population.learned(fits, WIDE, ["tau"], "none of them")["tau"]
    assert found.numbers[0] == pytest.approx(-1.5, abs=0.25)
    assert 0.3 < np.exp(found.numbers[1]) < 0.9  # two of 42 tables are the wide prior


def test_a_source_that_is_left_out_is_not_read(population: Any) -> None:
    fits = _fits(population)
    everything = population.learned(fits, WIDE, ["tau"], "none of them")["tau"]
    fits["table 3", 3.0] = {"law": _draws(population, 6.0, np.random.default_rng(1))}
    moved = population.learned(fits, WIDE, ["tau"], "none of them")["tau"]
    without = population.learned(fits, WIDE, ["tau"], "table 3")["tau"]
    assert moved.numbers[1] > everything.numbers[1] + 0.1
    assert without.numbers == pytest.approx(everything.numbers, abs=0.1)


def test_forecasts_follow_the_new_prior(population: Any) -> None:
    draws = _draws(population, 0.0, np.random.default_rng(0))
    moved, effective = population.reweighted(draws, {"tau": population.Prior.of(dist.LogNormal(0.3, 0.2))})
    assert moved.location.mean() == pytest.approx(0.15, abs=0.03)  # half way: both say log tau to 0.2
    assert 50 < effective < len(draws)
    assert population.reweighted(draws, {})[0] is draws.predictive


@pytest.mark.parametrize(
    "prior",
    [dist.Beta(2.0, 3.0), dist.Gamma(2.0, 0.5), dist.LogNormal(-1.0, 0.5), dist.Normal(0.3, 0.2), dist.HalfNormal(0.5)],
)
def test_densities_are_those_of_the_distributions(population: Any, prior: dist.Distribution) -> None:
    x, learned = np.array([0.1, 0.4, 0.9]), population.Prior.of(prior)
    with scope():
        assert learned.log_density(x) == pytest.approx(np.asarray(prior.log_prob(x)), rel=1e-5)
        assert np.asarray(learned.distribution.log_prob(x)) == pytest.approx(np.asarray(prior.log_prob(x)), rel=1e-5)
