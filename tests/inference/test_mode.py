"""The mode of a posterior: what is refused where there is none."""

from __future__ import annotations

import pytest

import bayes_scaling as bs
from bayes_scaling.model.simulate import typical_design

SLOW = [pytest.param(law, marks=pytest.mark.slow) for law in ("nesting_schedule", "multi_power")]


@pytest.mark.parametrize("law", ["annealing", *SLOW])
def test_a_run_that_never_learned_is_refused_in_one_sentence(law: str) -> None:
    runs = bs.simulate(law, typical_design(bs.load_law(law)), seed=0)
    table = runs.table
    table.loc[table["run"] == table["run"].iloc[0], "learning_rate"] = 0.0
    with pytest.raises(bs.errors.FitError, match=r"no finite density of these runs .* learning rate is 0 all along"):
        bs.fit(law, bs.Runs.from_frame(table), sampler="laplace", progress=False)
