"""Published rules for learning rate and batch, and what a table shows of tuning."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.data.tuning import PUBLISHED_TUNING, expected_best, tuning_of


def test_published_rules_give_their_papers_numbers() -> None:
    steplaw, deepseek = PUBLISHED_TUNING["steplaw2025"], PUBLISHED_TUNING["deepseek2024"]
    kaplan, schaipp = PUBLISHED_TUNING["kaplan2020"], PUBLISHED_TUNING["schaipp2026"]
    assert steplaw.rate is not None and steplaw.batch_tokens is not None
    assert deepseek.rate is not None and deepseek.batch_tokens is not None
    assert kaplan.rate is not None and schaipp.batch_tokens is not None
    assert deepseek.rate(1e9, 1e20 / 6e9) == pytest.approx(9.860e-4, rel=1e-3)
    assert deepseek.batch_tokens(1e9, 1e20 / 6e9) == pytest.approx(1.017e6, rel=1e-3)
    assert steplaw.rate(1e9, 1e10) == pytest.approx(8.05e-4, rel=1e-3)
    assert steplaw.batch_tokens(1e9, 1e10) == pytest.approx(2.98e5, rel=0.01)
    assert schaipp.batch_tokens(1e9, 1e11) == pytest.approx(1.12e6, rel=0.01)
    assert kaplan.rate(1.5e9, 1e10) == pytest.approx(0.003239 - 0.0001395 * math.log(1.5e9))
    assert kaplan.rate(1.3e10, 1e10) == 0.0
    assert not deepseek.verified and not schaipp.verified


@given(st.lists(st.floats(0, 10), min_size=1, max_size=7), st.data())
def test_the_best_of_several_is_the_mean_over_all_choices(values: list[float], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(values)))
    ordered = np.sort(values)
    every = [min(chosen) for chosen in itertools.combinations(values, k)]
    assert expected_best(ordered, k) == pytest.approx(np.mean(every), abs=1e-9)


def _table() -> pd.DataFrame:
    cell = pd.DataFrame({"params": 1e8, "tokens": 2e9, "batch_tokens": 1e5, "peak_lr": [1e-3, 2e-3, 4e-3]})
    other = pd.DataFrame({"params": [2e8], "tokens": [4e9], "batch_tokens": [1e5], "peak_lr": [1e-3]})
    return pd.concat([cell, other]).assign(loss=[3.0, 3.3, 3.6, 2.5])


def test_a_table_with_several_rates_per_size_says_so() -> None:
    runs = bs.Runs.from_frame(_table())
    assert "column 'peak_lr' read as peak_learning_rate" in runs.notes
    (warning,) = runs.warnings
    assert warning.startswith("1 of 2 cells of params and tokens have runs with several learning rates (median 3")
    assert "one run by 10.00%, the best of 2 by 3.33%" in warning and "fit 'tuning'" in warning
    found = tuning_of(runs.table)
    assert found is not None and found.best_of == pytest.approx({1: 0.1, 2: 0.1 / 3})


def test_runs_of_one_length_in_whole_steps_are_one_cell() -> None:
    table = _table().assign(tokens=[1.9998e9, 2e9, 2.0004e9, 4e9])
    found = tuning_of(table.rename(columns={"peak_lr": "peak_learning_rate"}))
    assert found is not None and (found.cells, found.several, found.settings) == (2, 1, 3)


def test_tuned_tables_and_tables_without_settings_say_nothing() -> None:
    best = _table().iloc[[0, 3]]
    assert bs.Runs.from_frame(best).warnings == ()
    assert tuning_of(bs.Runs.from_frame(best).table) is None
    assert tuning_of(_table()[["params", "tokens", "loss"]]) is None


def test_batches_alone_are_no_warning_but_are_found() -> None:
    table = _table().drop(columns="peak_lr").assign(batch_tokens=[1e5, 2e5, 4e5, 1e5])
    runs = bs.Runs.from_frame(table)
    found = tuning_of(runs.table)
    assert runs.warnings == () and found is not None and found.varied == ("batch_tokens",)
    assert "several batch sizes" in found.words


def test_hashes_of_tables_without_the_column_in_question_do_not_see_it() -> None:
    with_rates = bs.Runs.from_frame(_table())
    without = bs.Runs.from_frame(_table().drop(columns="peak_lr"))
    assert with_rates.content_hash == without.content_hash
    assert with_rates.hash_of(["peak_learning_rate"]) != without.content_hash
