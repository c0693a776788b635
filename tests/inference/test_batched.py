"""Many posteriors at once: those of NUTS, the same draws whatever is beside them, and failures said."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.base.scope import scope
from bayes_scaling.inference import batched
from bayes_scaling.inference.batched import BATCHED, sample_many, with_good_geometries, with_modes
from bayes_scaling.inference.chains import Settings
from bayes_scaling.inference.coordinates import with_good_geometry
from bayes_scaling.inference.fit import AskedPosterior, ask, composed
from bayes_scaling.inference.many import fit_many
from bayes_scaling.inference.mode import find_mode
from bayes_scaling.inference.sampler import Sampler
from bayes_scaling.inference.side_by_side import Machine, SideBySide
from bayes_scaling.model.simulate import grid, simulate, typical_design
from tests.support import MOST_APART, errors_apart

LAW = bs.load_law("power_law:input=tokens,form=pure")
DESIGN = grid(tokens=np.logspace(8, 11, 24))
EXACT = functools.partial(fit_many, LAW, noise="normal", discrepancy="none", progress=False)


def table(seed: int, law: bs.laws.Law = LAW, design: object = DESIGN, **how: object) -> bs.Runs:
    return simulate(law, design, noise=bs.Noise("normal"), seed=seed, **how)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tables() -> list[bs.Runs]:
    return [table(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def fits(tables: list[bs.Runs]) -> list[bs.Fit]:
    return EXACT(tables)


def test_each_fit_is_that_of_its_table_alone_to_the_bit(tables: list[bs.Runs], fits: list[bs.Fit]) -> None:
    assert all(fit.sampler_used == BATCHED and fit.converged for fit in fits)
    turned = EXACT([tables[2], tables[0]])
    alone = bs.fit(LAW, tables[2], noise="normal", discrepancy="none", sampler="batched", progress=False)
    for other in (turned[0], alone):
        np.testing.assert_array_equal(other.unconstrained, fits[2].unconstrained)
        assert other.draws.keys() == fits[2].draws.keys()
        assert all(np.array_equal(other.draws[name], fits[2].draws[name]) for name in other.draws)
    np.testing.assert_array_equal(turned[1].unconstrained, fits[0].unconstrained)
    assert other.manifest["sampler"] == "batched" and other.diagnostics == fits[2].diagnostics


def test_another_seed_gives_other_draws_of_the_same_posterior(tables: list[bs.Runs], fits: list[bs.Fit]) -> None:
    (again,) = EXACT(tables[:1], seed=1)
    assert not np.array_equal(again.unconstrained, fits[0].unconstrained)
    assert np.abs(errors_apart(again.unconstrained, fits[0].unconstrained)).max() < MOST_APART


def test_other_samplers_fit_one_by_one(tables: list[bs.Runs]) -> None:
    made = EXACT(tables[:2], sampler=Sampler("laplace", draws=200))
    for runs, found in zip(tables, made, strict=False):
        one = bs.fit(
            LAW, runs, noise="normal", discrepancy="none", sampler=Sampler("laplace", draws=200), progress=False
        )
        np.testing.assert_array_equal(found.unconstrained, one.unconstrained)
    assert EXACT([]) == []


def test_draws_are_those_of_nuts() -> None:
    agree("power_law:input=tokens", "brownian")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kaplan_joint", "nesting", "farseer"])
def test_draws_are_those_of_nuts_for_default_laws(name: str) -> None:
    """With heavy tails of the noise; tests of every law compare both samplers under normal noise."""
    agree(name, "none")


def agree(name: str, discrepancy: bs.DiscrepancyChoice) -> None:
    """Fit a table by NUTS and by the batched sampler alone; means and spreads must agree, if both converged."""
    law = bs.load_law(name)
    runs = simulate(law, typical_design(law, 32), seed=5)
    one, other = (
        bs.fit(law, runs, discrepancy=discrepancy, sampler=sampler, seed=2, progress=False)
        for sampler in ("batched", "nuts")
    )
    assert one.converged or not other.converged, one.problems
    if one.converged and other.converged:
        assert np.abs(errors_apart(one.unconstrained, other.unconstrained)).max() < MOST_APART


def asked(runs: bs.Runs, discrepancy: bs.DiscrepancyChoice = "none", **changes: object) -> AskedPosterior:
    found = ask(composed(LAW, runs, "normal", discrepancy, None), runs, Sampler(), 0, lambda stage, share: None)
    return dataclasses.replace(found, problem=dataclasses.replace(found.problem, **changes))  # type: ignore[arg-type]


def test_modes_and_coordinates_are_those_of_one_problem(tables: list[bs.Runs]) -> None:
    with scope():
        problems = [asked(runs, "brownian").problem for runs in tables[:2]]
        for alone, found in zip(map(with_good_geometry, problems), with_good_geometries(problems), strict=True):
            sd = np.sqrt(np.diag(alone.mode.covariance))
            assert np.all(np.abs(found.mode.u - alone.mode.u) < 0.01 * sd)
            np.testing.assert_allclose(found.mode.covariance, alone.mode.covariance, rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(found.data.geometry.curvature, alone.data.geometry.curvature, rtol=1e-3)


def test_a_climb_that_ends_nowhere_is_done_again_by_find_mode(
    tables: list[bs.Runs], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scope():
        problems = [asked(runs).problem for runs in tables[:2]]
        right = with_modes(problems)
        calls = []

        def watched(*given: object) -> object:
            calls.append(given)
            return find_mode(*given)  # type: ignore[arg-type]

        monkeypatch.setattr("bayes_scaling.inference.problem.find_mode", watched)
        monkeypatch.setattr(batched, "UPHILL", 0.0)
        for alone, found in zip(with_modes(problems), right, strict=True):
            np.testing.assert_allclose(alone.mode.u, found.mode.u, atol=1e-3)
        assert len(calls) == 2


def test_what_fails_beside_others_is_sampled_alone(tables: list[bs.Runs], monkeypatch: pytest.MonkeyPatch) -> None:
    real = batched.diagnose
    judged = itertools.count(1)

    def second_is_bad(*given: object) -> object:
        return dataclasses.replace(real(*given), rhat=2.0 if next(judged) == 2 else 1.0)  # type: ignore[arg-type]

    monkeypatch.setattr(batched, "diagnose", second_is_bad)
    with scope():
        found = sample_many(with_good_geometries([asked(runs).problem for runs in tables[:3]]))
    assert sorted(one.how for one in found) == ["NUTS", BATCHED, BATCHED]


def test_problems_of_several_models_and_lengths_come_back_in_order(tables: list[bs.Runs]) -> None:
    short = [simulate(LAW, grid(tokens=np.logspace(8, 11, 40)), noise="normal", seed=1), tables[0]]
    with scope():
        problems = [asked(runs).problem for runs in (*short, *short)]
        problems[3] = dataclasses.replace(problems[3], settings=Settings(chains=3))
        found = sample_many(with_good_geometries(problems))
    assert [one.chains.u.shape[:2] for one in found] == [(4, 1000)] * 3 + [(3, 1000)]
    np.testing.assert_array_equal(found[0].chains.u, found[2].chains.u)
    assert not np.array_equal(found[0].chains.u, found[1].chains.u)


def test_populations_are_left_to_nuts() -> None:
    runs = bs.Runs.from_frame(
        table(0).table.assign(family=["a", "b", "c", "d"] * 6),
    )
    how = {"noise": "normal", "discrepancy": "none", "pooling": {"alpha": bs.partial("family")}, "progress": False}
    (fit,) = fit_many(LAW, [runs], sampler=Sampler("batched", draws=200), **how)  # type: ignore[arg-type]
    assert fit.sampler_used.startswith("NUTS")


def test_a_device_that_is_not_there_is_said(tables: list[bs.Runs]) -> None:
    with pytest.raises(bs.errors.FitError, match="no gpu is visible to JAX; it sees cpu"):
        EXACT(tables, sampler=Sampler("batched", device="gpu"))


# --- side by side, and over devices ------------------------------------------------------------------------------


def test_lanes_do_not_change_a_posterior() -> None:
    """On one device, one after the other and all in step, with a last batch that is not full."""
    with scope():
        problems = with_good_geometries([asked(table(seed)).problem for seed in range(3)])
        machine = Machine.of(3, 1)
        found = []
        for lanes in (1, 2):
            sampler = batched.sampler_of(
                problems[0].model, batched.HmcSettings(1000), Machine(machine.devices[:1], lanes)
            )
            found.append(sampler([batched.to_sample(one) for one in problems], lambda i, result: result[0]))
    for one, other in zip(*found, strict=True):
        # Rounding differs, and grows along a chain: the draws are others, of the same posterior.
        assert one.shape == (4, 1000, len(problems[0].coordinates))
        assert np.abs(errors_apart(one, other)).max() < MOST_APART


def test_a_batch_is_computed_on_every_lane() -> None:
    with scope():
        machine = Machine(Machine.of(1, 1).devices[:1], 4)
        squares = SideBySide(lambda x: x**2, machine)
        assert squares([(np.asarray(float(i)),) for i in range(6)], lambda i, x: (i, float(x))) == [
            (i, float(i**2)) for i in range(6)
        ]
        assert machine.at_once == 4 and squares([], lambda i, x: x) == []


SHARDED = """
import json, sys, jax, numpy as np
import bayes_scaling as bs
from bayes_scaling.inference.many import fit_many
from bayes_scaling.model.simulate import grid, simulate
law = bs.load_law("power_law:input=tokens,form=pure")
tables = [simulate(law, grid(tokens=np.logspace(8, 11, 24)), noise="normal", seed=seed) for seed in range(5)]
fits = fit_many(law, tables, noise="normal", discrepancy="none", progress=False)
np.save(sys.argv[1], np.stack([fit.unconstrained for fit in fits]))
print(json.dumps([len(jax.devices()), [fit.sampler_used for fit in fits]]))
"""


@pytest.mark.slow
def test_devices_share_the_batch(tmp_path: Path, tables: list[bs.Runs], fits: list[bs.Fit]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHARDED, str(tmp_path / "draws.npy")],
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [4, [BATCHED] * 5]
    draws = np.load(tmp_path / "draws.npy")
    for one, other in zip(draws, fits, strict=False):
        assert np.abs(errors_apart(one, other.unconstrained)).max() < MOST_APART
