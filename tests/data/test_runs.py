"""The run table: what it accepts, derives and says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_scaling import Runs
from bayes_scaling.base.names import CONVENTIONS
from bayes_scaling.data.naming import HASHED, NUMERIC
from bayes_scaling.data.scores import score_runs
from tests.data.run_tables import table, whole_table
from tests.support import refusal

# --- tables ---


@pytest.mark.parametrize("what", [None, [1, 2], {"loss": [1]}, table()["loss"], table().to_numpy(), "runs.csv"])
def test_only_frames_are_tables(what: Any) -> None:
    assert f"expected a pandas DataFrame with one row per run, got {type(what).__name__}" in refusal(
        lambda: Runs.from_frame(what)
    )


def test_tables_without_rows_or_columns() -> None:
    assert "has no rows" in refusal(lambda: Runs.from_frame(table().iloc[:0]))
    assert "has no rows" in refusal(lambda: Runs.from_frame(pd.DataFrame()))
    assert "no loss column (it has no columns)" in refusal(lambda: Runs.from_frame(pd.DataFrame(index=range(3))))


@pytest.mark.parametrize("convention", [*CONVENTIONS])
def test_conventions(convention: str) -> None:
    assert Runs.from_frame(table(), params_convention=convention).params_convention == convention


def test_options_that_do_not_exist() -> None:
    message = refusal(lambda: Runs.from_frame(table(), params_convention="embedding"))
    assert message == "params_convention is 'embedding'; choose one of total, non_embedding, unstated"
    for unit in ("", " ", None, 3):
        assert "loss_unit is" in refusal(lambda unit=unit: Runs.from_frame(table(), loss_unit=unit))  # type: ignore[misc]


def test_named_levels_of_the_index_are_columns() -> None:
    runs = Runs.from_frame(table().set_index(["params", "tokens"]))
    assert runs.column("params").tolist() == table()["params"].tolist()
    assert runs.notes[:2] == ("index 'params' read as a column", "index 'tokens' read as a column")
    kept = Runs.from_frame(table().set_index(pd.Index([9.0] * 4, name="loss")))
    assert kept.loss.tolist() == table()["loss"].tolist()


def test_a_stranger_keeps_its_values_and_its_place_after_the_canonical_columns() -> None:
    frame = table(tag=["a", None, "c", "d"], seed=[3, 2, 1, 0])[["tag", "loss", "seed", "tokens", "params"]]
    runs = Runs.from_frame(frame)
    assert list(runs.table) == ["params", "tokens", "flops", "loss", "tag", "seed"]
    assert runs.table["seed"].tolist() == [3, 2, 1, 0] and pd.isna(runs.table["tag"][1])


@settings(deadline=None, max_examples=40)
@given(order=st.permutations(range(6)))
def test_rows_may_come_in_any_order(order: list[int]) -> None:
    straight, mixed = Runs.from_frame(whole_table(6)), Runs.from_frame(whole_table(6).iloc[order])
    for name in NUMERIC:
        assert mixed.column(name).tolist() == straight.column(name)[order].tolist()
    assert mixed.labels == [straight.labels[i] for i in order]
    assert list(mixed.table.index) == list(range(6))


def test_the_input_may_change_afterwards() -> None:
    values = np.array([[1e7, 2e8, 3.0], [2e7, 4e8, 2.0]])
    frame = pd.DataFrame(values, columns=["params", "tokens", "loss"], copy=False)
    runs = Runs.from_frame(frame.assign(tag=["a", "b"]))
    plain = Runs.from_frame(frame)
    before = runs.content_hash
    values[:] = 7.0
    frame["loss"] = 9.0
    for each in (runs, plain):
        assert each.content_hash == before and each.loss.tolist() == [3.0, 2.0]
    runs.loss[:] = 5.0  # a copy
    assert runs.loss.tolist() == [3.0, 2.0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        runs.source = "other"  # type: ignore[misc]


# --- what is derived ---


def test_flops_and_tokens_are_derived_and_it_is_said() -> None:
    runs = Runs.from_frame(table())
    assert runs.column("flops").tolist() == (6 * table()["params"] * table()["tokens"]).tolist()
    assert runs.notes == ("flops derived as 6 params x tokens",)
    given_flops = table(flops=6 * table()["params"] * table()["tokens"])
    runs = Runs.from_frame(given_flops.drop(columns="tokens"))
    assert runs.notes == ("tokens derived as flops / (6 params)",)
    np.testing.assert_allclose(runs.column("tokens"), table()["tokens"], rtol=1e-14)
    assert Runs.from_frame(given_flops).notes == ()
    steps = table(steps=table()["tokens"] / 1e5, batch_tokens=1e5).drop(columns="tokens")
    runs = Runs.from_frame(steps)
    assert runs.notes == ("tokens derived as steps x batch_tokens", "flops derived as 6 params x tokens")
    np.testing.assert_allclose(runs.column("tokens"), table()["tokens"], rtol=1e-14)
    assert "flops" not in Runs.from_frame(steps.drop(columns="params"))


# --- rows that are runs of their own, and rows that are not ---


def test_a_text_that_tells_rows_of_one_run_apart_makes_them_no_copies() -> None:
    frame = table(run=["a", "a", "b", "b"], params=1e7, tokens=1e9, loss=3.0, task=["x", "y", "x", "y"])
    assert len(Runs.from_frame(frame)) == 4
    message = refusal(lambda: Runs.from_frame(frame.assign(task="x")))
    assert "row 2 repeats row 1 (the same run at the same point of training) (and 1 more row)" in message
    message = refusal(lambda: Runs.from_frame(frame.assign(task=["p", "q", "r", "s"])))  # a label of each row
    assert "row 2 repeats row 1 (the same run at the same point of training)" in message


def test_scores_of_a_model_are_one_row_per_task() -> None:
    frame = pd.DataFrame({"name": ["m1", "m1", "m2", "m2"], "task": ["x", "y"] * 2, "score": [0.3, 0.4, 0.5, 0.6]})
    frame["loss"] = [3.0, 3.0, 2.8, 2.8]
    assert score_runs(frame).labels == ["m1", "m1", "m2", "m2"]
    sizes = frame.assign(params=1e7, tokens=1e9)
    assert len(score_runs(sizes)) == 4
    message = refusal(lambda: score_runs(frame.drop(columns="task")))
    assert "run 'm1' has several rows, and no column says how far along each is" in message


def test_trajectories_are_welcome() -> None:
    frame = table(params=1e7, run=["a", "a", "b", "b"], tokens=[1e8, 2e8, 1e8, 2e8])
    assert Runs.from_frame(frame).labels == ["a", "a", "b", "b"]


def test_repeated_rows() -> None:
    frame = pd.concat([table(tag=["x", "y", "z", None]), table(tag=["x", "y", "z", None]).iloc[[2, 3]]])
    message = refusal(lambda: Runs.from_frame(frame))
    assert "row 5 repeats row 3 (the same values in every column) (and 1 more row): drop the copies" in message
    assert len(Runs.from_frame(frame.assign(seed=range(6)))) == 6
    assert len(Runs.from_frame(frame.assign(run=range(6)))) == 6
    lists = pd.DataFrame({"params": [1e7, 1e7], "loss": 3.0, "config": [{"lr": [1]}, {"lr": [2]}]})
    assert len(Runs.from_frame(lists)) == 2
    lists["config"] = [{"lr": [1]}, {"lr": [1]}]
    assert "row 2 repeats row 1" in refusal(lambda: Runs.from_frame(lists))


def test_a_run_is_once_at_every_point_of_training() -> None:
    frame = table(params=1e7, run=["a", "b", "a", "b"], tokens=[1e8, 1e8, 1e8, 2e8], loss=3.0)
    message = refusal(lambda: Runs.from_frame(frame))
    assert "row 3 repeats row 1 (the same run at the same point of training)" in message
    assert (
        "row 2: run '1' has several rows, and no column says how far along each is; map one with columns="
        in refusal(lambda: Runs.from_frame(pd.DataFrame({"params": [1e7, 1e7], "loss": [3.0, 2.0], "run": [1, 1]})))
    )


@pytest.mark.parametrize("name", ["_step", "global_step", "iteration", "Global Step"])
def test_steps_by_the_names_that_trackers_give_them(name: str) -> None:
    frame = table(params=1e7, run=["a", "a", "b", "b"]).drop(columns="tokens").assign(**{name: [1e3, 2e3, 1e3, 2e3]})
    runs = Runs.from_frame(frame)
    assert runs.column("steps").tolist() == [1e3, 2e3, 1e3, 2e3]


def test_a_letter_is_no_loss_beside_a_column_of_losses() -> None:
    frame = table().rename(columns={"loss": "val/bpb"}).assign(L=[12, 16, 24, 32])
    assert "'L' and 'val/bpb' could both be loss; say which" in refusal(lambda: Runs.from_frame(frame))
    assert Runs.from_frame(frame, columns={"loss": "val/bpb"}).loss.tolist() == table()["loss"].tolist()
    assert Runs.from_frame(table().rename(columns={"loss": "L"})).loss.tolist() == table()["loss"].tolist()


@pytest.mark.parametrize(
    "ids",
    [
        ["0", "1", "2", "3"],
        [0, 1, 2, 3],
        [0.0, 1.0, 2.0, 3.0],
        [0, "1", 2.0, np.int64(3)],
        pd.Series([0, 1, 2, 3], dtype="Int64"),
        pd.Series(["0", "1", "2", "3"], dtype="category"),
        pd.Series(["0", "1", "2", "3"], dtype="string[pyarrow]"),
    ],
    ids=lambda ids: str(getattr(ids, "dtype", ids)),
)
def test_run_ids_are_text(ids: Any) -> None:
    runs = Runs.from_frame(table(run=ids))
    assert runs.labels == ["0", "1", "2", "3"]
    assert runs.content_hash == Runs.from_frame(table(run=["0", "1", "2", "3"])).content_hash


@pytest.mark.parametrize("cell", [None, np.nan, pd.NA, "", "  "])
def test_missing_run_ids(cell: Any) -> None:
    message = refusal(lambda: Runs.from_frame(table(run=pd.Series(["a", cell, "c", "d"], dtype=object))))
    assert message == "the table, row 2, column run: the run id is missing: fill the cell or drop the column"


@pytest.mark.parametrize("cell", [True, 1.5, float("inf"), 1j, [1], "\ud800", pd.Timestamp("2025-01-01")], ids=ascii)
def test_what_is_no_run_id(cell: Any) -> None:
    message = refusal(lambda: Runs.from_frame(table(run=pd.Series(["a", cell, "c", "d"], dtype=object))))
    assert "row 2, column run: " in message and "is not a run id: expected text or an integer" in message


def test_run_ids_of_a_csv_stay_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    ids = ["007", "1e5", "100000", "7", "NA"]
    for title, columns in (("run", None), ("Run ID", None), ("trial", {"run": "trial"})):
        path.write_text(f"{title},params,loss\n" + "".join(f"{run},1e7,3\n" for run in ids))
        assert Runs.read(path, columns=columns).labels == ids


# --- reading a table of runs ---


def test_labels_are_row_numbers_where_no_run_is_named() -> None:
    assert Runs.from_frame(table()).labels == ["1", "2", "3", "4"]


def test_columns_that_cannot_be_read() -> None:
    runs = Runs.from_frame(table(tag=["a", "b", "c", "d"], lr=[0.1, np.nan, 0.1, 0.1], seed=range(4)), source="mine")
    message = refusal(lambda: runs.column("loss_se"))
    assert message.startswith("mine has no column 'loss_se' (it has params, tokens, flops, loss, tag, lr, seed)")
    assert "columns={'loss_se': ...}" in message
    assert "columns=" not in refusal(lambda: runs.column("epochs"))
    assert "no column ['loss']" in refusal(lambda: runs.column(["loss"]))  # type: ignore[arg-type]
    assert "mine, row 1, column tag: 'a' is not a number" in refusal(lambda: runs.column("tag"))
    assert "mine, row 2, column lr: the value is missing" in refusal(lambda: runs.column("lr"))
    assert runs.column("seed").tolist() == [0.0, 1.0, 2.0, 3.0]
    assert "loss" in runs and "loss_se" not in runs


def test_where() -> None:
    runs = Runs.from_frame(table(loss=[3.0, 2.9, 2.8, 60.0], run=["a", "b", "c", "d"]), columns={}, source="mine")
    kept = runs.where(runs.loss < 10)
    assert kept.labels == ["a", "b", "c"] and list(kept.table.index) == [0, 1, 2]
    assert runs.warnings and not kept.warnings  # they speak of the rows that are there
    assert (kept.source, kept.notes, len(runs)) == ("mine", runs.notes, 4)
    for keep in ([True, False, True, False], pd.Series([True, False, True, False], index=[9, 8, 7, 6])):
        assert runs.where(keep).labels == ["a", "c"]
    assert runs.where(pd.Series([True, False, True, False], dtype="boolean")).labels == ["a", "c"]
    assert "no row of mine is left" in refusal(lambda: runs.where([False] * 4))
    bad: list[Any] = [[0, 2], [1, 0, 1, 0], ["a", "", "c", ""], [True], True, [], pd.array([True, None, True, True])]
    for keep in bad:
        assert "expected True or False for each of the 4 rows of mine" in refusal(lambda keep=keep: runs.where(keep))  # type: ignore[misc]


@settings(deadline=None, max_examples=50)
@given(at=st.floats(1e7, 8e7, exclude_max=True))
def test_cut_parts_the_rows(at: float) -> None:
    runs = Runs.from_frame(table())
    small, large = runs.cut("params", at)
    assert small.column("params").max() <= at < large.column("params").min()
    assert sorted([*small.loss, *large.loss]) == sorted(runs.loss)


def test_cuts_that_part_nothing() -> None:
    runs = Runs.from_frame(table(tag="x"))
    assert "no run has params at or below 1000; it ranges from 1e+07 to 8e+07" in refusal(
        lambda: runs.cut("params", 1e3)
    )
    assert "no run has params above 80000000" in refusal(lambda: runs.cut("params", 8e7))
    for at in (float("nan"), "much", None, True, [1]):
        assert "expected a number" in refusal(lambda at=at: runs.cut("params", at))  # type: ignore[misc]
    assert "no run has params above inf" in refusal(lambda: runs.cut("params", 10**400))
    assert "no column 'steps'" in refusal(lambda: runs.cut("steps", 1.0))
    assert "'x' is not a number" in refusal(lambda: runs.cut("tag", 1.0))


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_the_hash_is_that_of_the_values(data: st.DataObject) -> None:
    frame = whole_table(5)
    before = Runs.from_frame(frame).content_hash
    index = data.draw(st.lists(st.text(max_size=3), min_size=5, max_size=5))
    columns = data.draw(st.permutations(list(frame)))
    assert Runs.from_frame(frame[columns].set_axis(index, axis="index").assign(tag=1)).content_hash == before
    hashed = [name for name in HASHED if name != "run"]
    row, name = data.draw(st.integers(0, 4)), data.draw(st.sampled_from(hashed))
    frame.loc[row, name] = np.nextafter(frame.loc[row, name], np.inf)  # the smallest change there is
    assert Runs.from_frame(frame).content_hash != before


# --- training curves ---


def curves() -> Runs:
    steps = np.tile([100.0, 1_000.0, 5_000.0, 10_000.0], 2)
    frame = pd.DataFrame({"run": ["a"] * 4 + ["b"] * 4, "steps": steps, "loss": np.linspace(5, 3, 8), "params": 1e6})
    frame.loc[4:, "steps"] *= 2
    alone = pd.DataFrame({"run": ["c"], "steps": [500.0], "loss": [4.0], "params": [1e6]})
    return Runs.from_frame(pd.concat([frame, alone], ignore_index=True))


def test_warm_up_is_left_out_by_rule() -> None:
    kept = curves().after_warmup(0.1)
    assert kept.table.groupby("run")["steps"].min().to_dict() == {"a": 5_000, "b": 10_000, "c": 500}
    assert kept.notes[-1] == "warm-up: 4 of 9 rows left out (the first 10% of its steps of each run)"
    assert curves().after_warmup(steps=1_500).table.groupby("run")["steps"].min().to_dict()["b"] == 2_000
    assert len(curves().after_warmup(0.0)) == 9


def test_ends_of_runs() -> None:
    ends = curves().ends()
    assert list(ends.table["steps"]) == [10_000, 20_000, 500]
    assert ends.notes[-1] == "ends of runs: 6 of 9 rows left out"


def test_curves_need_run_ids_and_an_order() -> None:
    assert "has no column run, which says which rows form one curve" in refusal(lambda: Runs.from_frame(table()).ends())
    frame = pd.DataFrame({"run": ["a", "b"], "params": [1e6, 2e6], "loss": [3.0, 2.9]})
    assert "ordered by one of steps, tokens, flops; got none" in refusal(lambda: Runs.from_frame(frame).ends())
    assert "got steps, tokens" in refusal(lambda: curves().after_warmup(steps=1, tokens=2))
    assert "fraction is 10, expected a fraction" in refusal(lambda: curves().after_warmup(10))
