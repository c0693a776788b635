"""What looks wrong in a table: sizes that contradict each other, counters that restart, columns of something else."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling import Runs
from tests.data.run_tables import table, whole_table
from tests.support import refusal


@pytest.mark.parametrize(
    ("change", "guess"),
    [
        ({"params": 1e-6}, "as if params or tokens were given in units of 1e6"),
        ({"params": 1e-9}, "as if params or tokens were given in units of 1e9"),
        ({"tokens": 1e-6}, "as if params or tokens were given in units of 1e6"),
        ({"tokens": 1e-6, "params": 1e-6}, "as if params or tokens were given in units of 1e12"),
        ({"flops": 1e-12}, "as if flops were given in units of 1e12"),
        ({"flops": 1e-18}, "as if flops were given in units of 1e18"),
        ({"flops": 1 / 8.64e19}, "as if flops were given in PF-days of 8.64e+19 FLOPs"),
        ({"flops": 30.0}, "times 6 x params x tokens (allowed: within 10x); check the units"),
        ({"flops": 1 / 30}, "times 6 x params x tokens (allowed: within 10x); check the units"),
    ],
)
def test_flops_that_contradict_6nd(change: dict[str, float], guess: str) -> None:
    params = np.array([1e10, 2e10, 4e10])
    frame = pd.DataFrame({"params": params, "tokens": 20 * params, "flops": 120 * params**2, "loss": [3.0, 2.9, 2.8]})
    whole = frame.assign(**{name: frame[name] * factor for name, factor in change.items()})
    message = refusal(lambda: Runs.from_frame(whole))
    assert message.startswith("the table, row 1, column flops: ") and guess in message
    assert "(and 2 more rows)" in message
    frame.loc[1] = whole.loc[1]  # one row of three
    message = refusal(lambda: Runs.from_frame(frame))
    assert message.startswith("the table, row 2, column flops: ") and guess in message


@pytest.mark.parametrize("factor", [0.11, 0.5, 3.0, 9.9])
def test_flops_may_differ_from_6nd_within_reason(factor: float) -> None:
    frame = table()
    assert len(Runs.from_frame(frame.assign(flops=factor * 6 * frame["params"] * frame["tokens"]))) == 4


def test_flops_are_compared_with_derived_tokens_too() -> None:
    frame = table(steps=table()["tokens"] / 1e5, batch_tokens=1e5, flops=table()["params"] * table()["tokens"])
    assert len(Runs.from_frame(frame.drop(columns="tokens"))) == 4
    millions = frame.drop(columns="tokens").assign(batch_tokens=100e-3 * 1e2)
    assert "column flops" in refusal(lambda: Runs.from_frame(millions))


def test_less_than_one_token_is_no_run() -> None:
    frame = pd.DataFrame({"params": [1e9, 2e9], "flops": [1e21, 1.3], "loss": [3.0, 2.0]})
    message = refusal(lambda: Runs.from_frame(frame))
    assert "row 2: flops / (6 x params) gives 1.08e-10 tokens" in message and "PF-day" in message


@pytest.mark.parametrize(
    ("frame", "warning"),
    [
        (
            table(params=[10.0, 20, 40, 80]),
            "2e+07 tokens per parameter: params look as if given in millions or billions",
        ),
        (table(tokens=[200.0, 400, 800, 1600]), "2e-05 tokens per parameter: tokens look as if given in millions"),
        (table(params=[1.0, 2, 4, 8], tokens=[20.0, 40, 80, 160]), "the largest flops is 7.68e+03: it looks as if"),
        (pd.DataFrame({"flops": [1e-2, 20.0], "loss": [3.0, 2.0]}), "the largest flops is 20: it looks as if"),
        (pd.DataFrame({"params": [70.0, 400.0], "loss": [3.0, 2.0]}), "the largest params is 400: it looks as if"),
        (table().assign(tokens=[70.0, 90.0, 100.0, 400.0]), "the largest tokens is 400: it looks as if"),
        (table(params=[1e7, 2e7, 40, 8e7]), "params jumps by a factor 2e+05: some rows may be in other units"),
        (table(tokens=[2e8, 4e8, 8e8, 1.6e14]), "tokens jumps by a factor 2e+05: some rows may be in other units"),
        (table(loss=[3.0, 2.9, 2.8, 60.0]), "1 loss is over five times the median (row 4: 60)"),
        (table(loss=[30.0, 29.0, 28.0, 27.0]), "is it a perplexity?"),
        (table(loss=[18.0, 17.0, 16.0, 15.0]), "every loss is a whole number"),
        (table(loss=[18.0, 17.5, 16.0, 15.0]), "is it a perplexity?"),
        (table(flops=2 * table()["params"] * table()["tokens"]), "flops is 0.333 times 6 x params x tokens in the med"),
        (
            table().rename(columns={"params": "params (M)"}),
            "no column was read as params, though 'params (M)' looks like it: rename it, or map it to params",
        ),
        (
            table(params=1e8, run=["a", "a", "b", "b"], steps=[1e4, 2e4] * 2, batch_tokens=256.0).drop(
                columns="tokens"
            ),
            "are the columns params and tokens swapped, or is batch_tokens given in sequences?",
        ),
        (table(unique_tokens=1e12), "unique_tokens is above tokens in row 1 (and 3 more rows)"),
        (table(loss_se=[0.1, 5.0, 0.1, 0.1]), "loss_se is above loss in row 2"),
        (
            table(steps=1e3, batch_tokens=table()["tokens"] / [1e3, 1e3, 5e3, 1e3]),
            "tokens is 5 times steps x batch_tokens in row 3",
        ),
        (
            table(steps=1e3, batch_tokens=table()["tokens"] / [1e3, 1e3, 2e2, 1e3]),
            "tokens is 0.2 times steps x batch_tokens in row 3",
        ),
    ],
)
def test_oddities_are_warnings(frame: pd.DataFrame, warning: str) -> None:
    said = Runs.from_frame(frame).warnings
    assert any(warning in line for line in said), said


def test_a_plausible_table_has_no_warnings() -> None:
    assert Runs.from_frame(whole_table(6)).warnings == ()
    assert Runs.from_frame(table(params=[1e7, 2e7, 500, 8e7])).warnings == ()
    assert Runs.from_frame(table(loss=[30.0, 29, 28, 27]), loss_unit="% error").warnings == ()


def test_a_run_keeps_its_size() -> None:
    frame = table(params=[1e7, 2e7, 1e7, 3e7], run=["a", "b", "a", "b"])
    message = refusal(lambda: Runs.from_frame(frame))
    assert "row 4, column params: run 'b' has 30000000 parameters here and 20000000 in an earlier row" in message
    assert "one run, one size" in message


def curve_of(steps: list[float]) -> pd.DataFrame:
    counted = np.array(steps, float)
    return pd.DataFrame({"run": "a", "params": 1e8, "steps": counted, "loss": 2 + (2e3 / counted) ** 0.7})


def test_a_counter_that_is_reset_is_a_warning() -> None:
    whole = curve_of([100, 200, 400, 800, 1600, 1900, 2500, 4300, 6600])
    assert Runs.from_frame(whole).warnings == ()
    reset = whole.assign(steps=[100, 200, 400, 800, 1600, 300, 900, 2700, 5000.0])
    (said,) = Runs.from_frame(reset).warnings
    assert said.startswith("steps of run 'a' falls from 1600 in row 5 to 300 in row 6, and its loss goes on: was the")
    other = reset.assign(run="b", loss=reset["loss"] * 1.01)
    by_turns = pd.concat([reset, other]).sort_index(kind="stable")
    assert any("was the counter reset" in line for line in Runs.from_frame(by_turns).warnings)


def test_rows_of_curves_in_any_order_are_read_in_time_that_grows_with_their_number() -> None:
    runs, rows = 100, 400
    steps = np.tile(np.arange(1, rows + 1) * 100.0, runs)
    run = np.repeat(np.arange(runs), rows)
    frame = pd.DataFrame({"run": run, "params": 1e8 + run, "steps": steps, "loss": 2 + (2e3 / steps) ** 0.7})
    began = time.process_time()
    assert len(Runs.from_frame(frame.iloc[::-1])) == len(frame)
    assert time.process_time() - began < 1.5  # a check of each row against all before it takes over 2 s


def test_a_run_that_was_restarted_keeps_its_later_rows() -> None:
    again = curve_of([100, 200, 400, 800, 1600, 800, 1600, 2400])
    again["loss"] *= [1, 1, 1, 1, 1, 1.002, 1.001, 1]
    message = refusal(lambda: Runs.from_frame(again))
    assert message.startswith("the table, row 6 has loss 3.90") and "where row 4, the same run at the same" in message
    assert "(and 1 more row): if the run was restarted, keep the later rows; otherwise give repeated runs" in message
    copied = refusal(lambda: Runs.from_frame(curve_of([100, 200, 400, 800, 400])))
    assert "row 5 repeats row 3" in copied and "drop the copies" in copied
    reset = curve_of([100, 200, 400, 800, 1600, 1900, 2500, 4300])
    reset["steps"] = [100, 200, 400, 800, 1600, 200, 800, 2600]
    message = refusal(lambda: Runs.from_frame(reset))
    assert message.startswith("the table: steps of run 'a' falls from 1600 in row 5 to 200 in row 6, and its loss goes")
    assert message.endswith("It should go on, too, so that no point of training comes twice")


@pytest.mark.parametrize(
    "steps",
    [
        [1000, 10000, 2000, 3000, 4000, 5000],  # names of checkpoints in the order of text
        [1000, 2000, 3000, 4000, 5000, 6000, 100, 200, 300],  # evaluated again, more finely
        [6000, 1000, 2000, 3000, 4000],
        [6000, 5000, 4000, 3000, 2000, 1000],
        [1000, 2000, 3000, 4000, 6000, 5000, 7000],
    ],
)
def test_rows_in_another_order_were_not_reset(steps: list[float]) -> None:
    assert Runs.from_frame(curve_of(steps)).warnings == ()


@pytest.mark.parametrize(
    ("size", "column"),
    [
        ("params", "active parameter"),
        ("tokens", "throughput/all_tokens"),
        ("flops", "throughput/total_gflops"),
        ("flops", "compute spent"),
        ("steps", "all_iterations"),
    ],
)
def test_a_column_that_looks_like_an_unread_size_is_named(size: str, column: str) -> None:
    frame = pd.DataFrame({"depth": [4, 8, 12], "loss": [4.0, 3.5, 3.2], column: [1e9, 2e9, 4e9]})
    (said,) = Runs.from_frame(frame).warnings
    assert said.startswith(f"no column was read as {size}, though '{column}' looks like it")
    for other in (f"{column}_per_second", f"{column}_optimal"):
        assert Runs.from_frame(frame.rename(columns={column: other})).warnings == ()


def test_a_column_that_looks_like_a_derived_size_is_named() -> None:
    frame = table()
    flops = 6 * frame["params"] * frame["tokens"]
    counted = frame.assign(**{"total gflops": flops * [0.7e-9, 1e-9, 1.3e-9, 0.8e-9]})
    (said,) = Runs.from_frame(counted).warnings
    assert said.startswith("flops are derived from other columns, though 'total gflops' looks like them")
    for other in (frame.assign(gflops=3.0), frame.assign(gflops=[5.0, 1.0, 7.0, 2.0]), frame.assign(gflops=flops)):
        assert Runs.from_frame(other).warnings == ()


@pytest.mark.parametrize(
    "column",
    [
        {"tokenizer": "gpt2"},
        {"batch_tokens": 5e5},
        {"unique_tokens": 1e9},
        {"max_tokens_generated": 5},
        {"bytes_per_token": 4.2},
        {"parametrization": "mup"},
        {"compute_optimal": 1},
        {"compute_dtype": 16},
        {"compute_class": "A"},
        {"total_compute": None},
    ],
)
def test_columns_of_something_else_are_no_sizes(column: dict[str, object]) -> None:
    for sizes in (["params"], ["tokens"], ["params", "tokens"]):
        frame = table(position=range(1, 5)).drop(columns=sizes).assign(**column)  # type: ignore[arg-type]
        assert not any("looks like it" in line for line in Runs.from_frame(frame).warnings)


def test_copies_of_runs_under_other_ids_are_a_warning() -> None:
    rows = table(run=[f"a{i}" for i in range(4)])
    twice = pd.concat([rows, rows.assign(run=[f"b{i}" for i in range(4)])], ignore_index=True)
    (said,) = [line for line in Runs.from_frame(twice).warnings if "under other ids" in line]
    assert said.startswith("row 5 has every number of a run before it (and 3 more rows)")
    seeds = twice.assign(loss=twice["loss"] * np.where(np.arange(8) < 4, 1.0, 1.001))
    few = pd.concat([rows, seeds.iloc[4:], seeds.assign(run=[f"c{i}" for i in range(8)], params=3e7)[:4]])
    for other in (rows, seeds, few):
        assert not any("under other ids" in line for line in Runs.from_frame(other).warnings)


def test_flops_of_what_is_not_tokens_can_be_left_out() -> None:
    """Jets of a hundred particles each: FLOPs are a hundred times 6ND in every run, and right."""
    frame = pd.DataFrame({"params": [1e5, 1e6, 1e7], "tokens": 1e7, "C": [6e14, 6e15, 6e16], "loss": [0.4, 0.3, 0.2]})
    with pytest.raises(bs.errors.DataError, match=r"100 times 6 x params x tokens.*columns=\{'flops': ''\}"):
        bs.Runs.from_frame(frame)
    runs = bs.Runs.from_frame(frame, columns={"flops": ""})
    np.testing.assert_allclose(runs.column("flops"), 6 * frame["params"] * 1e7)
    assert "no column is read as flops, as was asked" in runs.notes and "C" in runs.table
    named = bs.Runs.from_frame(frame.rename(columns={"C": "flops"}), columns={"flops": ""})
    assert named.content_hash == runs.content_hash


def test_few_tokens_are_odd_beside_params_alone() -> None:
    rows = pd.DataFrame({"params": [1e6, 2e6, 4e6], "tokens": [10.0, 20.0, 40.0], "loss": [3.0, 2.9, 2.8]})
    assert any("not raw tokens" in said for said in bs.Runs.from_frame(rows).warnings)
    assert not any("raw" in said for said in bs.Runs.from_frame(rows.drop(columns="params")).warnings)


def test_flops_that_are_missing_in_new_rows_can_be_left_out() -> None:
    rows = table().assign(flops=6 * table()["params"] * table()["tokens"])
    rows.loc[2, "flops"] = np.nan
    message = refusal(lambda: Runs.from_frame(rows))
    assert "row 3, column flops: the value is missing" in message and "follows from params and tokens" in message
    assert "columns={'flops': ''}" in message
    assert Runs.from_frame(rows, columns={"flops": ""}).content_hash == Runs.from_frame(table()).content_hash
