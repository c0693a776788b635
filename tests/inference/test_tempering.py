"""Parallel tempering: modes are visited as often as their share of the posterior says."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.scipy.stats import norm

import bayes_scaling as bs
from bayes_scaling.base.scope import scope
from bayes_scaling.inference.chains import Settings
from bayes_scaling.inference.fit import ask, composed
from bayes_scaling.inference.mode import Mode
from bayes_scaling.inference.problem import Problem
from bayes_scaling.inference.sampler import Sampler
from bayes_scaling.inference.tempering import RUNGS, Ladder, Round, sample_tempered
from bayes_scaling.laws import Law

SETTINGS = Settings(chains=4, draws=1000)


@dataclasses.dataclass(frozen=True)
class TwoPlaces:
    """A wide normal prior and a likelihood with two narrow places, of which one is three times as likely."""

    sites: tuple[str, ...] = ("x", "y")
    apart: float = 8.0
    wide: float = 5.0
    narrow: float = 0.1
    edge: float = jnp.inf

    def potential(self, u: Any, data: Any, priors: Any) -> Any:
        return self.tempered(u, 1.0, data, priors)

    def tempered(self, u: Any, power: Any, data: Any, priors: Any) -> Any:
        prior = jnp.where(jnp.abs(u[0]) < self.edge, jnp.sum(norm.logpdf(u, 0.0, self.wide)), jnp.nan)
        here, there = (
            jnp.log(share) + jnp.sum(norm.logpdf(u, jnp.array([place, 0.0]), self.narrow))
            for share, place in ((0.25, -self.apart / 2), (0.75, self.apart / 2))
        )
        return -(prior + power * jnp.logaddexp(here, there))


class Rows(NamedTuple):
    """What tempering asks of a table."""

    log_loss: np.ndarray


def problem_of(model: TwoPlaces, seed: int, said: list[float] | None = None) -> Problem:
    """Return a problem whose only known mode is the lesser one."""
    prior_u = model.wide * np.random.default_rng(0).standard_normal((2000, 2))
    mode = Mode(np.array([-model.apart / 2, 0.0]), model.narrow**2 * np.eye(2), np.empty((0, 2)))
    told = said if said is not None else []
    pieces: Any = {"model": model, "data": Rows(np.zeros(10)), "priors": None}
    return Problem(
        **pieces, prior_u=prior_u, settings=SETTINGS, seed=seed, progress=lambda _, done: told.append(done),
        known_mode=mode,
    )  # fmt: skip


@pytest.mark.parametrize("edge", [jnp.inf, 9.0])
def test_a_mode_that_nobody_knew_of_gets_its_share(edge: float) -> None:
    """Also where there is no density, and no number, beyond an edge that one start in fifteen is beyond."""
    said: list[float] = []
    with scope():
        found = sample_tempered(problem_of(TwoPlaces(edge=edge), 0, said))
    assert not found.diagnostics.problems(4000), found.diagnostics
    x, y = found.chains.u.reshape(-1, 2).T
    assert np.mean(x > 0) == pytest.approx(0.75, abs=0.05)
    assert x[x > 0].std() == pytest.approx(0.1, abs=0.01) and y.std() == pytest.approx(0.1, abs=0.01)
    assert said == sorted(said) and said[0] > 0 and said[-1] <= 1


def test_the_same_seed_gives_the_same_draws_on_any_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    with scope():
        one = sample_tempered(problem_of(TwoPlaces(), 1))
        monkeypatch.setattr("bayes_scaling.inference.chains.cores", lambda: 1)
        again, other = (sample_tempered(problem_of(TwoPlaces(), seed)) for seed in (1, 2))
    np.testing.assert_array_equal(one.chains.u, again.chains.u)
    assert not np.array_equal(one.chains.u, other.chains.u)


def test_a_table_that_would_take_hours_is_refused() -> None:
    law, truth = "power_law:input=tokens", {"E": 1.8, "alpha": 0.3, "sigma": 0.01}
    runs = bs.simulate(law, bs.grid(tokens=np.logspace(8, 11, 1500)), truth, seed=0)
    with pytest.raises(
        bs.errors.FitError, match=r"coordinates and the work of 1,5\d\d rows, expected at most 60 and 1,000"
    ):
        bs.fit(law, runs, discrepancy="none", noise="student_t", sampler="tempered", progress=False)


def test_powers_go_from_the_prior_to_the_posterior(chinchilla_runs: bs.Runs) -> None:
    with scope():
        problem = asked(bs.load_law("chinchilla"), chinchilla_runs)
        model, data, priors = problem.posterior
        no_rows = dataclasses.replace(data, weight=np.zeros_like(np.asarray(data.weight)))
        one, other = problem.prior_u[:2]

        def rise(power: float, data: Any = data) -> float:
            return float(model.tempered(one, power, data, priors) - model.tempered(other, power, data, priors))

        whole = float(model.potential(one, data, priors) - model.potential(other, data, priors))
        assert rise(1.0) == pytest.approx(whole, rel=1e-9)
        assert rise(0.0) == pytest.approx(rise(1.0, no_rows), rel=1e-9)
        assert rise(0.5) == pytest.approx((rise(0.0) + rise(1.0)) / 2, rel=1e-9)


def asked(law: Law, runs: bs.Runs) -> Problem:
    """Return the posterior of a law without a discrepancy."""
    composition = composed(law, runs, "normal", "none", None)
    return ask(composition, runs, Sampler(), 0, lambda stage, done: None).problem


@given(st.lists(st.floats(0, 1), min_size=RUNGS - 1, max_size=RUNGS - 1), st.integers(0, 100))
def test_powers_are_spread_where_swaps_are_refused(refused: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    prior_u = 3 * rng.standard_normal((200, 2))
    ladder = Ladder.between(prior_u, Mode(np.ones(2), 0.01 * np.eye(2), np.empty((0, 2))))
    seen = Round(
        leaps=8,
        copies=np.zeros((4, RUNGS, 2)),
        log_step=np.zeros((4, RUNGS)),
        count=200,
        mean=np.zeros((RUNGS, 2)),
        covariance=ladder.covariance,
        refused=np.array(refused),
        posterior=np.zeros((4, 50, 2)),
        stats={},
    )
    after = ladder.learned(seen)
    assert after.powers[0] == 0 and after.powers[-1] == 1 and np.all(np.diff(after.powers) >= 0)
    # The refusals that lie between two powers are the same all along.
    total = np.concatenate([[0.0], np.cumsum(np.array(refused) + 1e-6)])
    between = np.diff(np.interp(after.powers, ladder.powers, total))
    np.testing.assert_allclose(between, total[-1] / (RUNGS - 1), rtol=1e-6)
    assert np.isfinite(after.rungs.inverse).all()


def test_a_first_ladder_leads_from_the_prior_to_the_mode() -> None:
    prior_u = np.random.default_rng(0).standard_normal((5000, 2)) * [1.0, 10.0] + [3.0, 0.0]
    mode = Mode(np.array([1.0, 2.0]), np.diag([1e-4, 25.0]), np.empty((0, 2)))
    ladder = Ladder.between(prior_u, mode)
    np.testing.assert_allclose(ladder.location[[0, -1]], [prior_u.mean(0), mode.u], atol=1e-9)
    np.testing.assert_allclose(ladder.covariance[0], np.cov(prior_u.T), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ladder.covariance[-1], mode.covariance, rtol=1e-6, atol=1e-6)
