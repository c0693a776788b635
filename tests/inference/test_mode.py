"""The mode of a posterior: what is refused where there is none."""

from __future__ import annotations

import pytest

import bayes_scaling as bs
from bayes_scaling.model.simulate import typical_design

SLOW = [pytest.param(law, marks=pytest.mark.slow) for law in ("nesting_schedule", "multi_power")]


@pytest.mark.parametrize("rows", ["all", "first"])
@pytest.mark.parametrize("law", ["annealing", *SLOW])
def test_rows_up_to_which_nothing_was_learned_are_refused_in_one_sentence(law: str, rows: str) -> None:
    runs = bs.simulate(law, typical_design(bs.load_law(law)), seed=0)
    table = runs.table
    still = table["run"] == table["run"].iloc[0]
    table.loc[still if rows == "all" else still & ~table["run"].duplicated(), "learning_rate"] = 0.0
    words = r"no finite density of these runs .* rows .* up to which the learning rate is 0 all along"
    with pytest.raises(bs.errors.FitError, match=words):
        bs.fit(law, bs.Runs.from_frame(table), sampler="laplace", progress=False)
