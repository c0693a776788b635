"""Exports of wandb: the table of runs, histories, and what the public API gives."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.base.files import write_table
from bayes_scaling.data.importers.logged import Logged
from bayes_scaling.data.importers.wandb_exports import exported
from tests.data.imported import MAP, WANDB_MAP, rows, said
from tests.support import refusal


def table_export() -> pd.DataFrame:
    """The runs table as the pages of wandb export it: names, state, config and summary side by side."""
    return pd.DataFrame(
        {
            "Name": ["a", "b", "c", "d"],
            "State": ["finished", "finished", "crashed", "finished"],
            "model.n_params": [1e6, 2e6, 3e6, 4e6],
            "tokens": [2e7, 4e7, 6e7, 8e7],
            "val/loss": ["3.5", "3.25", "3.0", "NaN"],
        }
    )


def nested_export() -> list[dict[str, object]]:
    """Runs as the documented loop over the public API gathers them."""
    config = {"model": {"n_params": 1000000}, "_wandb": {"t": 1}}
    history = [{"_step": 1, "val/loss": 3.5, "tokens": 1e6}, {"_step": 2, "val/loss": 3.25, "tokens": 2e6}]
    return [
        {"name": "a", "config": config, "summary": {"val/loss": 3.25, "tokens": 2e6}, "history": history},
        {"name": "b", "config": config, "summary": {"val/loss": math.nan, "tokens": 1e6}, "history": []},
    ]


def test_wandb_runs_table(tmp_path: Path) -> None:
    for name in ("runs.csv", "runs.parquet", "runs.jsonl"):
        path = write_table(table_export(), tmp_path / name)
        runs = bs.importers.import_wandb(path, WANDB_MAP)
        assert rows(runs) == [("a", 1e6, 2e7, 3.5), ("b", 2e6, 4e7, 3.25)], name
        assert said(runs, "left out: run c", "status is crashed") and said(runs, "left out: run d", "diverged")


@pytest.mark.parametrize("name", ["history.csv", "history.parquet"])
def test_of_a_wide_history_only_what_is_asked_for_is_read(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame(
        {"Name": ["a", "a", "b", "b"], "_step": [1, 2, 1, 2], "params": 1e6, "val/loss": [3, 2, 4, 3.0]}
    )
    frame = frame.assign(**{f"metric_{i}": 1.0 for i in range(20)}, kind="x", seed=0)
    path, asked = (
        write_table(frame, tmp_path / name),
        {"params": "params", "steps": "_step", "loss": "metrics.val/loss"},
    )
    found = exported(path, asked)
    assert [set(one.metrics) for one in found if isinstance(one, Logged)] == [{"_step", "params", "val/loss"}] * 2
    runs = bs.importers.import_wandb(path, asked, groups=["kind"])
    assert runs.table["kind"].tolist() == ["x"] * 4 and runs.loss.tolist() == [3, 2, 4, 3]
    message = refusal(lambda: bs.importers.import_wandb(path, {**asked, "loss": "val/los"}))
    assert "metric_0" in message or "val/loss" in message


def test_wandb_objects(tmp_path: Path) -> None:
    objects = tmp_path / "runs.json"
    objects.write_text(json.dumps(nested_export()))
    lines = tmp_path / "runs.jsonl"
    lines.write_text("\n".join(json.dumps(one) for one in nested_export()))
    for path in (objects, lines):
        runs = bs.importers.import_wandb(path, WANDB_MAP)
        assert rows(runs) == [("a", 1e6, 1e6, 3.5), ("a", 1e6, 2e6, 3.25)]
        assert said(runs, "left out: run b", "diverged")


def test_wandb_mappings_in_cells(tmp_path: Path) -> None:
    frame = pd.DataFrame(nested_export())[["name", "config", "summary"]]
    frame.to_csv(tmp_path / "project.csv")  # mappings as pandas writes them, with a bare nan
    frame.assign(config=frame["config"].map(lambda one: {"model": one["model"]})).to_parquet(tmp_path / "p.parquet")
    for name in ("project.csv", "p.parquet"):
        runs = bs.importers.import_wandb(tmp_path / name, WANDB_MAP)
        assert rows(runs) == [("a", 1e6, 2e6, 3.25)] and said(runs, "left out: run b"), name


def test_wandb_histories(tmp_path: Path) -> None:
    history = pd.DataFrame({"_step": [1, 2, 3], "val/loss": [3.5, None, 3.25], "tokens": [1e6, 2e6, 3e6], "n": 1e6})
    (tmp_path / "each").mkdir()
    for name in ("a", "b"):
        history.to_csv(tmp_path / "each" / f"{name}.csv", index=False)
    pd.concat([history.assign(run=name) for name in ("a", "b")]).to_csv(tmp_path / "all.csv", index=False)
    for path in (tmp_path / "each", tmp_path / "all.csv"):
        runs = bs.importers.import_wandb(path, {"params": "n", "tokens": "tokens", "loss": "val/loss"})
        assert rows(runs) == [(name, 1e6, t, loss) for name in ("a", "b") for t, loss in ((1e6, 3.5), (3e6, 3.25))]
    (tmp_path / "each" / "c.csv").write_text("_step,val/loss\n1\n")
    runs = bs.importers.import_wandb(tmp_path / "each", {"params": "n", "tokens": "tokens", "loss": "val/loss"})
    assert said(runs, "left out: run c.csv", "1 cell(s), but the header has 2")


def test_wandb_steps_are_those_of_wandb_in_any_order_of_columns(tmp_path: Path) -> None:
    points = [{"step": 10 * step, "_step": step, "val/loss": 3 + 1 / step} for step in (1, 2, 3)]
    pd.DataFrame(points).assign(n=1e6).to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "a.json").write_text(json.dumps([{"name": "a", "config": {"n": 1e6}, "history": points}]))
    for name in ("a.csv", "a.json"):
        runs = bs.importers.import_wandb(tmp_path / name, {"params": "n", "steps": "_step", "loss": "val/loss"})
        assert runs.column("steps").tolist() == [1, 2, 3], name


def test_keys_in_any_nested_cell_are_mapped_with_dots(tmp_path: Path) -> None:
    sizes = [(1e6, {"steps": 10, "of": {"seed": 1}}), (2e6, {"steps": 20, "of": {"seed": 2}})]
    lines = [json.dumps({"n": n, "train": train, "val_loss": 3.0, "curve": [[1, 2]]}) for n, train in sizes]
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    mapping = {"params": "n", "steps": "train.steps", "loss": "val_loss"}
    runs = bs.importers.import_wandb(tmp_path / "x.jsonl", mapping, groups=["train.of.seed"])
    assert runs.column("steps").tolist() == [10, 20] and runs.table["train.of.seed"].tolist() == [1, 2]
    message = refusal(lambda: bs.importers.import_wandb(tmp_path / "x.jsonl", mapping | {"steps": "train.step"}))
    assert "no run of x.jsonl has 'train.step'" in message and "train.of.seed, train.steps" in message


ITERATIONS = {"params": "params", "steps": "iter", "loss": "val_loss"}


def iterations(**columns: object) -> list[dict[str, object]]:
    """Rows of one run as a script of one's own writes them: no name of the run, and another name of the step."""
    return [{"iter": 250 * i, "val_loss": 4 - i / 2, "params": 1e6, **columns} for i in range(4)]


def test_a_counter_that_is_not_called_step_makes_one_curve(tmp_path: Path) -> None:
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(iterations()))
    runs = bs.importers.import_wandb(path, ITERATIONS)
    assert runs.labels == ["tiny"] * 3 and runs.column("steps").tolist() == [250, 500, 750]
    assert said(runs, "training had not begun", "1 row")
    assert said(runs, "the rows of tiny.json are read as one run, whose steps iter counts")
    path.write_text(json.dumps([{"count": row.pop("iter"), **row} for row in iterations()]))
    assert bs.importers.import_wandb(path, ITERATIONS | {"steps": "count"}).labels == ["tiny"] * 3
    path.write_text(json.dumps([*iterations(name="a"), *iterations(name="b")]))
    assert bs.importers.import_wandb(path, ITERATIONS).labels == ["a"] * 3 + ["b"] * 3


@pytest.mark.parametrize(
    "differing",
    [
        [{"params": 1e6 * i} for i in (1, 2, 3, 4)],
        [{"iter": 1000, "seed": i} for i in range(4)],
        [{"name": name} for name in "abcd"],
    ],
)
def test_a_length_of_runs_is_no_counter(tmp_path: Path, differing: list[dict[str, object]]) -> None:
    rows_ = [
        row | {"iter": 250 * i + 250} | other
        for i, (row, other) in enumerate(zip(iterations(), differing, strict=True))
    ]
    (tmp_path / "x.json").write_text(json.dumps(rows_))
    assert len(set(bs.importers.import_wandb(tmp_path / "x.json", ITERATIONS).labels)) == 4


def test_a_run_at_step_zero_is_said_to_be_there(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(iterations()[:1]))
    message = refusal(lambda: bs.importers.import_wandb(tmp_path / "x.json", ITERATIONS))
    assert message.endswith("run x 1: steps is 0 (iter), so training had not begun")


def history_of(names: list[str], **columns: object) -> pd.DataFrame:
    """Three steps of every run, at other steps than those of the run before."""
    steps = np.arange(1, 3 * len(names) + 1)
    frame = pd.DataFrame({"_step": steps, "n": 1e6, "tokens": 1e6 * steps, "val/loss": 3 + 1 / steps})
    return frame.assign(run=np.repeat(names, 3), **columns)


def test_wandb_numbers_of_rows_are_not_runs(tmp_path: Path) -> None:
    history_of(["a", "b"], id=range(6)).to_csv(tmp_path / "x.csv", index=False)
    runs = bs.importers.import_wandb(tmp_path / "x.csv", {"params": "n", "tokens": "tokens", "loss": "val/loss"})
    assert runs.labels == ["a"] * 3 + ["b"] * 3
    assert said(runs, "column id differs in every row, so runs are told apart by column run")


def test_wandb_runs_that_share_a_name_are_told_apart_by_their_id(tmp_path: Path) -> None:
    mapping = {"params": "n", "tokens": "tokens", "loss": "val/loss"}
    history_of(["s", "s"], run_id=["u1"] * 3 + ["u2"] * 3).to_csv(tmp_path / "x.csv", index=False)
    runs = bs.importers.import_wandb(tmp_path / "x.csv", mapping)
    assert runs.labels == ["s (u1)"] * 3 + ["s (u2)"] * 3
    assert said(runs, "runs with the same name in column run are told apart by column run_id")
    within = history_of(["a", "b"], id=[0, 1, 2] * 2)
    within.to_csv(tmp_path / "x.csv", index=False)  # a number within a run is no run either
    assert bs.importers.import_wandb(tmp_path / "x.csv", mapping).labels == ["a"] * 3 + ["b"] * 3
    table = history_of(["s"], run_id=["x1", "x2", "x3"]).rename(columns={"run": "Name"})
    table.to_csv(tmp_path / "x.csv", index=False)  # the runs table of a sweep, with the last step of each
    runs = bs.importers.import_wandb(tmp_path / "x.csv", mapping)
    assert runs.labels == ["x1", "x2", "x3"]
    assert said(runs, "each row of x.csv is read as a run, by run_id, though some are alike in Name")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.csv", "Step,a - loss,a - loss__MIN\n1,2,2\n", "x.csv is the export of one panel"),
        ("x.csv", "run,loss,tokens\na,3,1e6\na,2,2e6\n", "several rows of one run and no _step"),
        ("x.csv", "run,_step,loss\na,1,3\na,1,2\n", "repeats a _step of one run"),
        ("x.json", "[1, 2]", "holds 1; expected objects"),
        ("x.json", "{", "x.json is not JSON"),
        ("x.json", '[{"loss": 1, "loss": 2}]', "x.json is not JSON (key 'loss' comes twice)"),
        ("x.json", "[]", "holds no rows"),
        ("x.txt", "a", "not an export of wandb"),
        ("x.wandb", "text", "does not start like a run file"),
        ("x.csv", "name,config\na,{oops\n", "no run of x.csv has 'n_params'"),
        ("x.json", '{"name": "a", "config": {}, "history": 3}', "its history is 3"),
    ],
)
def test_exports_that_cannot_be_read(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    assert words in refusal(lambda: bs.importers.import_wandb(tmp_path / name, MAP))


def test_a_plan_that_every_row_of_a_history_repeats_is_not_taken_for_what_was_reached(tmp_path: Path) -> None:
    points = [("a", "finished", 1), ("a", "finished", 2), ("b", "crashed", 1), ("b", "crashed", 2)]
    frame = pd.DataFrame(points, columns=["run", "state", "_step"]).assign(n=1e6, budget=1e9, loss=[3, 2.5, 3.25, 2.75])
    frame.to_csv(tmp_path / "all.csv", index=False)
    mapping = {"params": "n", "tokens": "budget", "loss": "loss"}
    message = refusal(lambda: bs.importers.import_wandb(tmp_path / "all.csv", mapping))
    assert "tokens is one number for a whole run (budget of metrics)" in message and "last=True" in message
    runs = bs.importers.import_wandb(tmp_path / "all.csv", mapping, last=True)
    assert rows(runs) == [("a", 1e6, 1e9, 2.5)] and said(runs, "left out: run b", "status is crashed")
    steps = {"params": "n", "steps": "_step", "loss": "loss"}
    assert said(bs.importers.import_wandb(tmp_path / "all.csv", steps), "unfinished runs", "b (crashed)")
