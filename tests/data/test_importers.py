"""Importers: files that the real libraries wrote become the runs that were logged, and nothing is left out unsaid."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.base.files import write_table
from bayes_scaling.data.importers.assembling import assemble
from bayes_scaling.data.importers.logged import LeftOut, Logged, Series
from bayes_scaling.data.importers.protobuf import fields
from tests.data import tracker_files
from tests.support import refusal, run

MAP = {"params": "n_params", "tokens": "tokens", "loss": "val/loss"}
WANDB_MAP = {**MAP, "params": "model.n_params"}


def written(tracker: str, factory: pytest.TempPathFactory) -> Path:
    folder = factory.mktemp(tracker)
    command = [sys.executable, tracker_files.__file__, tracker, str(folder)]
    # Nothing is sent, and nothing is left in the folders of whoever runs the tests.
    quiet = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_ERROR_REPORTING": "false"}
    environment = {**os.environ, **quiet, "HOME": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def wandb_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written("wandb", tmp_path_factory)


@pytest.fixture(scope="module")
def mlflow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written("mlflow", tmp_path_factory)


@pytest.fixture(scope="module")
def tensorboard_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written("tensorboard", tmp_path_factory)


def expected(last: bool = False) -> list[tuple[str, float, float, float]]:
    """The runs that can be used, as they were given to the libraries."""
    rows = [
        (one.name, one.params, tokens, loss)
        for one in tracker_files.RUNS
        if one.params and math.isfinite(one.losses[-1])
        for _, tokens, loss in (one.points[-1:] if last else one.points)
    ]
    return sorted(rows)


def rows(runs: bs.Runs) -> list[tuple[str, float, float, float]]:
    return sorted(runs.table[["run", "params", "tokens", "loss"]].itertuples(index=False, name=None))


def said(runs: bs.Runs, *words: str) -> bool:
    return any(all(word in note for word in words) for note in runs.notes)


# --- what the real libraries wrote ---


@pytest.mark.parametrize("last", [False, True])
def test_wandb_offline_runs(wandb_folder: Path, last: bool) -> None:
    runs = bs.importers.import_wandb(wandb_folder, WANDB_MAP, last=last, groups=["data", "model.width"])
    assert rows(runs) == expected(last)
    assert set(runs.table["data"]) == {"c4"} and set(runs.table["model.width"]) == {64}
    assert said(runs, "left out: run diverged", "val/loss at step 20", "nan")
    assert said(runs, "left out: run unsized", "it has no model.n_params")
    assert said(runs, "unfinished runs", "stopped (failed with exit code 1)")


def test_wandb_nested_metrics_summary_and_steps(wandb_folder: Path) -> None:
    one = next(wandb_folder.rglob("run-small.wandb"))
    runs = bs.importers.import_wandb(
        wandb_folder, {**WANDB_MAP, "loss": "nested.loss", "steps": "_step"}, groups=["summary.best"]
    )
    assert rows(runs) == expected()
    assert all(runs.column("steps") * 1e5 == runs.column("tokens"))
    table = runs.table.groupby("run")
    assert (table["summary.best"].first() == table["loss"].min()).all()
    folder = bs.importers.import_wandb(wandb_folder / "wandb", WANDB_MAP)
    assert rows(folder) == expected()
    assert len(bs.importers.import_wandb(one.parent, {"loss": "val/loss", "tokens": "tokens"}, last=True)) == 1


def test_wandb_values_of_every_kind(wandb_folder: Path) -> None:
    typed = wandb_folder / "typed.wandb"
    runs = bs.importers.import_wandb(typed, {"tokens": "tokens", "loss": "loss", "steps": "_step"}, groups=["shift"])
    assert runs.table[["tokens", "loss", "steps", "shift"]].to_numpy().tolist() == [
        [1e6, 3.5, 1, -3],
        [2e6, 3.25, 2, -3],
    ]
    assert said(runs, "unfinished runs", "typed (running or killed)")  # there is no exit in it


@pytest.mark.parametrize("store", ["mlruns", "mlflow.db"])
def test_mlflow_stores(mlflow_folder: Path, store: str) -> None:
    runs = bs.importers.import_mlflow(mlflow_folder / store, MAP, groups=["data", "model.width", "run.experiment"])
    assert rows(runs) == expected()
    assert set(runs.table["data"]) == {"c4"} and set(runs.table["run.experiment"]) == {"sizes and data"}
    assert said(runs, "left out: run diverged", "val/loss at step 20", "nan")
    assert said(runs, "left out: run unsized", "it has no n_params") and said(runs, "stopped (failed)")
    assert not said(runs, "gone")  # deleted
    assert rows(bs.importers.import_mlflow(mlflow_folder / store, MAP, last=True)) == expected(last=True)
    message = refusal(lambda: bs.importers.import_mlflow(mlflow_folder / store, {**MAP, "loss": "worst"}))
    assert "worst at step 0) is inf" in message


def test_mlflow_one_experiment_and_damage(mlflow_folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "mlruns"
    shutil.copytree(mlflow_folder / "mlruns", store)
    file = next(path for path in store.rglob("metrics/val/loss") if path.read_text().count("\n") == 3)
    (experiment,) = {path.parents[4] for path in store.rglob("metrics/val/loss")}
    assert rows(bs.importers.import_mlflow(experiment, MAP)) == expected()
    file.write_text("1 2.5 10\nnot a line\n")
    runs = bs.importers.import_mlflow(store, MAP)
    assert said(runs, f"left out: run {file.parents[2].name}", "metric val/loss, line 2", "damaged")
    message = refusal(lambda: bs.importers.import_mlflow(mlflow_folder, MAP))
    assert "not an MLflow tracking folder" in message and "mlflow.db" in message


@pytest.mark.parametrize("cell", ["value = 'diverged'", "step = 'last'", "value = x'00ff'"])
def test_mlflow_metrics_that_are_no_numbers_leave_their_run_out(mlflow_folder: Path, tmp_path: Path, cell: str) -> None:
    store = tmp_path / "mlflow.db"
    shutil.copy(mlflow_folder / "mlflow.db", store)
    with contextlib.closing(sqlite3.connect(store)) as database, database:
        (run,) = database.execute("SELECT run_uuid FROM metrics WHERE key = 'val/loss' AND step = 10").fetchone()
        database.execute(f"UPDATE metrics SET {cell} WHERE key = 'val/loss' AND step = 10 AND run_uuid = ?", (run,))
    runs = bs.importers.import_mlflow(store, MAP)
    assert said(runs, "left out: run", "metric val/loss", "is damaged, expected numbers")
    assert 0 < len(runs) < len(expected())


@pytest.mark.parametrize("loss", ["val/loss", "tensor/1", "tensor/2"])
def test_tensorboard_folder(tensorboard_folder: Path, loss: str) -> None:
    runs = bs.importers.import_tensorboard(tensorboard_folder, {**MAP, "loss": loss}, groups=["data", "tied"])
    # One run was resumed at step 30, which undoes what was logged from there on.
    again = [("large", 4e6, 3e6, 2.5)] if loss == "val/loss" else []
    assert rows(runs) == sorted([row for row in expected() if row[:3] != ("large", 4e6, 3e6)] + again)
    assert set(runs.table["data"]) == {"c4"} and set(runs.table["tied"]) == {True}
    assert said(runs, "left out: run diverged", "step 20", "nan") and said(runs, "left out: run unsized", "no n_params")


def test_tensorboard_one_run_and_lightning(tensorboard_folder: Path, tmp_path: Path) -> None:
    assert len(bs.importers.import_tensorboard(tensorboard_folder / "small", MAP)) == 3
    version = tmp_path / "version_0"
    shutil.copytree(tensorboard_folder / "unsized", version)
    (version / "hparams.yaml").write_text("model:\n  n_params: 5000000\n")
    runs = bs.importers.import_tensorboard(tmp_path, {**MAP, "params": "model.n_params"})
    assert rows(runs) == [("version_0", 5e6, 1e6, 3.5), ("version_0", 5e6, 2e6, 3.0)]
    (version / "hparams.yaml").write_text("model: !!python/object:torch.nn.Linear {}\n")
    assert "hparams.yaml is not plain YAML" in refusal(lambda: bs.importers.import_tensorboard(tmp_path, MAP))


# --- damage ---


@settings(max_examples=40, deadline=None)
@given(cut=st.floats(0.0, 1.0), flip=st.booleans())
@pytest.mark.parametrize("tracker", ["wandb", "tensorboard"])
def test_damaged_files_are_said(tracker: str, cut: float, flip: bool, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(f"{tracker}_folder")
    read: Callable[..., bs.Runs] = getattr(bs.importers, f"import_{tracker}")
    file = next(path for path in folder.rglob("*") if path.name == "run-small.wandb" or path.match("small/*tfevents*"))
    content = bytearray(file.read_bytes())
    at = min(int(cut * len(content)), len(content) - 1)
    damaged = folder.parent / f"{tracker}-damaged" / file.name
    damaged.parent.mkdir(exist_ok=True)
    if flip:
        content[at] ^= 0xFF
    damaged.write_bytes(content if flip else content[:at])
    try:
        runs = read(damaged, {"loss": "val/loss", "tokens": "tokens"})
    except bs.BayesScalingError as error:
        assert str(error).isprintable()
    else:  # what is left is a part of what was logged; that something is missing is said, or is nothing that was mapped
        whole = read(file, {"loss": "val/loss", "tokens": "tokens"})
        assert set(runs.column("tokens")) <= set(whole.column("tokens"))
        assert set(runs.loss) <= set(whole.loss)
        assert len(runs) == len(whole) or said(runs, "ends within a record") or not flip


def test_tensorboard_folders_of_one_run_are_said(tmp_path: Path) -> None:
    for name in ("train", "validation", "other"):
        tracker_files.scalars(tmp_path / "a" / name, [(10, 3.0), (20, 2.5)])
    runs = bs.importers.import_tensorboard(tmp_path, {"steps": "_step", "loss": "loss"})
    assert set(runs.labels) == {"a/train", "a/validation", "a/other"}
    assert [note for note in runs.notes if "separate runs" in note] == [
        "a/train and a/validation are read as separate runs: if they are parts of one run, as of Keras, import one of "
        "the folders"
    ]


@pytest.mark.parametrize(("first", "mixed"), [(15, True), (30, False), (40, False)])
def test_tensorboard_files_of_a_resumed_run_that_overlap_are_said(tmp_path: Path, first: int, mixed: bool) -> None:
    tracker_files.scalars(tmp_path / "a", [(10, 3.0), (20, 2.75), (30, 2.5)])
    tracker_files.scalars(tmp_path / "a", [(first, 2.9), (50, 2.25)], ".2")
    runs = bs.importers.import_tensorboard(tmp_path, {"steps": "_step", "loss": "loss"})
    assert said(runs, ".2 of run a begins before the last step of the files before it in loss") == mixed


def test_a_cut_file_keeps_its_beginning(tensorboard_folder: Path, wandb_folder: Path, tmp_path: Path) -> None:
    for read, file in (
        (bs.importers.import_wandb, next(wandb_folder.rglob("run-small.wandb"))),
        (bs.importers.import_tensorboard, next((tensorboard_folder / "small").glob("*tfevents*"))),
    ):
        part = tmp_path / file.name
        part.write_bytes(file.read_bytes()[:-3])
        assert said(read(part, {"loss": "val/loss", "tokens": "tokens"}), "ends within a record")


def test_a_damaged_run_does_not_take_others_with_it(tensorboard_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tensorboard_folder, tmp_path / "logs")
    file = next((tmp_path / "logs" / "small").glob("*tfevents*"))
    content = bytearray(file.read_bytes())
    content[60] ^= 0xFF  # in the first scalar
    file.write_bytes(content)
    runs = bs.importers.import_tensorboard(tmp_path / "logs", MAP)
    assert set(runs.table["run"]) == {"large", "stopped"} and said(runs, "left out: run small", "is damaged")


@given(st.binary(max_size=64))
def test_bytes_that_are_no_message_are_refused(content: bytes) -> None:
    try:
        found = list(fields(content))
    except ValueError:
        return
    assert all(isinstance(value, int | bytes) for _, value in found)


# --- exports of wandb ---


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
        ("x.csv", "Step,a - loss,a - loss__MIN\n1,2,2\n", "export of one panel"),
        ("x.csv", "run,loss,tokens\na,3,1e6\na,2,2e6\n", "several rows of one run and no _step"),
        ("x.csv", "run,_step,loss\na,1,3\na,1,2\n", "repeats a _step of one run"),
        ("x.json", "[1, 2]", "holds 1; expected objects"),
        ("x.json", "{", "x.json is not JSON"),
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


# --- from what was logged to a table ---


def logged(name: str = "a", status: str = "", config: dict[str, object] | None = None, **metrics: object) -> Logged:
    series = Series()
    for key, points in metrics.items():
        for step, value in points:  # type: ignore[attr-defined]
            series.add(key, step, value)
    once = {"config": {"n": 1e6} if config is None else config}
    return Logged(name, name, series.metrics, once, status, series.overwritten)


def assembled(*found: Logged | LeftOut, last: bool = False, groups: tuple[str, ...] = (), **columns: str) -> bs.Runs:
    mapping = {"params": "n", "tokens": "tokens", "loss": "loss"} | columns
    return assemble(found, mapping, "here", last, groups, "unstated", "nats/token")


def test_tokens_between_logged_steps_are_interpolated() -> None:
    run = logged(tokens=[(0, 0.0), (10, 1e6), (30, 3e6)], loss=[(0, 9.0), (5, 4.0), (10, 3.5), (20, 3.0), (31, 2.5)])
    runs = assembled(run)
    assert rows(runs) == [("a", 1e6, 0.5e6, 4.0), ("a", 1e6, 1e6, 3.5), ("a", 1e6, 2e6, 3.0), ("a", 1e6, 3e6, 2.5)]
    assert said(runs, "tokens interpolated", "3 rows") and said(runs, "training had not begun", "1 row")
    assert rows(assembled(run, last=True)) == [("a", 1e6, 3e6, 2.5)]


@given(
    st.dictionaries(st.integers(1, 200), st.floats(1.0, 9.0), min_size=1, max_size=20),
    st.sets(st.integers(1, 200), min_size=1, max_size=20),
)
def test_interpolation_is_exact_where_tokens_grow_evenly(losses: dict[int, float], steps: set[int]) -> None:
    run = logged(loss=list(losses.items()), tokens=[(step, 1e3 * step) for step in steps], rate=[(1, 2.0), (300, 3.0)])
    usable = {step: loss for step, loss in losses.items() if step >= min(steps)}
    if not usable:
        assert "logged no" in refusal(lambda: assembled(run))
        return
    runs = assembled(run, groups=("rate",))
    inside = {1e3 * step: loss for step, loss in usable.items() if step < max(steps)}
    after = [loss for step, loss in sorted(usable.items()) if step >= max(steps)]
    want = inside | ({1e3 * max(steps): after[-1]} if after else {})
    assert dict(zip(runs.column("tokens"), runs.loss, strict=True)) == pytest.approx(want)
    assert set(runs.table["rate"]) == {2.0}  # as last logged, not in between


def test_what_was_planned_is_not_taken_for_what_was_reached() -> None:
    plan = {"n": 1e6, "budget": 1e9}
    curve = [(1, 3.0), (2, 2.5)]
    run, stopped = (logged(name, status, plan, loss=curve) for name, status in (("a", "finished"), ("b", "killed")))
    message = refusal(lambda: assembled(run, tokens="budget"))
    assert "one number for a whole run (budget of config)" in message and "last=True" in message
    runs = assembled(run, stopped, tokens="budget", last=True)
    assert rows(runs) == [("a", 1e6, 1e9, 2.5)] and said(runs, "left out: run b", "status is killed")
    message = refusal(lambda: assemble([run], {"params": "n", "loss": "loss"}, "here", False, (), "total", "nats"))
    assert "none of tokens, steps, flops is mapped" in message and "last=True" in message


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


def test_a_key_that_means_two_things_is_asked_about() -> None:
    run = logged(config={"n": 1e6, "loss": "cross_entropy"}, tokens=[(1, 1e6)], loss=[(1, 3.0)])
    assert "write metrics.loss or config.loss" in refusal(lambda: assembled(run))
    assert len(assembled(run, loss="metrics.loss")) == 1
    assert assembled(run, loss="metrics.loss", groups=("config.loss",)).table["config.loss"][0] == "cross_entropy"


def test_runs_that_fail_the_check_are_named() -> None:
    good = logged("good", tokens=[(1, 1e6)], loss=[(1, 3.0)])
    bad = logged("bad", config={"n": "70B"}, tokens=[(1, 1e6)], loss=[(1, 3.0)])
    millions = logged("millions", config={"n": 0.5}, tokens=[(1, 1e6)], loss=[(1, 3.0)])
    runs = assembled(LeftOut("torn", "its file is torn"), good, bad, millions)
    assert set(runs.table["run"]) == {"good"}
    assert said(runs, "run bad: its n is '70B'") and said(runs, "run millions: row 1, column params: 0.5 is below one")
    assert said(runs, "run torn: its file is torn")
    message = refusal(lambda: assembled(bad, millions))
    assert message.startswith("no run of here can be used; left out: run bad")


def test_repeated_steps_gaps_and_mixed_groups_are_said() -> None:
    run = logged(
        "a", config={"n": 1e6, "seed": 1, "layers": [1, 2]}, tokens=[(1, 1e6), (3, 3e6)],
        loss=[(1, 4.0), (1, 3.5), (2, math.nan), (3, 3.0)],
    )  # fmt: skip
    other = logged("b", config={"n": 1e6, "seed": "one"}, tokens=[(1, 1e6)], loss=[(1, 3.0)])
    runs = assembled(run, other, groups=("seed", "layers"))
    assert said(runs, "loss logged more than once at a step", "1 row") and said(runs, "loss is not a number", "1 row")
    assert list(runs.table["seed"]) == ["1", "1", "one"] and said(runs, "layers empty: 1 row")
    assert list(runs.table["layers"])[:2] == ["[1, 2]"] * 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": "los"}, "no run of here has 'los', to be read as loss; it has metrics: loss, tokens; config: n"),
        ({"groups": ("params",)}, "'params' cannot be a group"),
    ],
)
def test_mapping_mistakes(change: dict[str, object], words: str) -> None:
    run = logged(tokens=[(1, 1e6)], loss=[(1, 3.0)])
    assert words in refusal(lambda: assembled(run, **change))  # type: ignore[arg-type]


def test_without_a_mapping_the_keys_are_listed(tensorboard_folder: Path) -> None:
    message = refusal(lambda: bs.importers.import_tensorboard(tensorboard_folder, {}))
    assert "map the loss" in message and "val/loss" in message and "hparams: data, n_params, tied" in message


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (bs.importers.import_wandb, "holds neither run-*.wandb files nor exports"),
        (bs.importers.import_mlflow, "is not an MLflow tracking folder"),
        (bs.importers.import_tensorboard, "holds no TensorBoard event files"),
    ],
)
def test_places_that_hold_nothing(read: Callable[..., bs.Runs], words: str, tmp_path: Path) -> None:
    assert "does not exist" in refusal(lambda: read(tmp_path / "absent", MAP))
    assert words in refusal(lambda: read(tmp_path, MAP))
    assert "is an address" in refusal(lambda: read("https://tracker.example/runs", MAP))
    (tmp_path / "file").write_bytes(b"nothing of the kind" * 10)
    assert "file" in refusal(lambda: read(tmp_path / "file", MAP))


# --- the command ---


def test_the_command_writes_what_can_be_read_again(tensorboard_folder: Path, tmp_path: Path) -> None:
    command = ("import", "tensorboard", tensorboard_folder, "--map", "params=n_params,tokens=tokens,loss=val/loss")
    for ending in ("csv", "parquet", "jsonl"):
        out = tmp_path / f"runs.{ending}"
        code, text, err = run(*command, "--group", "data", "--out", out)
        assert code == 0, err
        assert "8 rows of 3 runs written" in text and "left out: run unsized" in text
        again = bs.Runs.read(out)
        assert list(again.table) == ["params", "tokens", "flops", "loss", "run", "data"]
        assert "flops derived as 6 params x tokens" in again.notes
        assert rows(again) == rows(bs.importers.import_tensorboard(tensorboard_folder, MAP))
    code, text, _ = run(*command, "--last", "--out", tmp_path / "last.csv")
    assert code == 0 and "3 runs written" in text
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--map", "loss", "--out", "x.csv"), "expected params=n_params,loss=val/loss"),
        (("--map", "loss=a,loss=b", "--out", "x.csv"), "each column once"),
        (("--out", "x.xlsx"), "expected .csv, .parquet or .jsonl"),
        (("--out", "x.csv"), "map the loss"),
    ],
)
def test_mistakes_of_the_command(
    tensorboard_folder: Path, tmp_path: Path, options: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run("import", "tensorboard", tensorboard_folder, *options)
    assert code == 2 and words in err and out == "" and not list(tmp_path.iterdir())


def test_the_command_has_help_with_an_example() -> None:
    code, out, _ = run("import", "--help")
    assert code == 0 and "Example: bayes-scaling import mlflow" in " ".join(out.split())


def test_json_lines_hold_numbers_exactly(tmp_path: Path) -> None:
    frame = pd.DataFrame({"params": [0.1 + 0.2, np.nan], "n": np.array([1, 2]), "data": ["c4", None]})
    path = write_table(frame, tmp_path / "x.jsonl")
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"params": 0.1 + 0.2, "n": 1, "data": "c4"},
        {"params": None, "n": 2, "data": None},
    ]
