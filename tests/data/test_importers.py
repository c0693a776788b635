"""Importers: files that the real libraries wrote become the runs that were logged, and nothing is left out unsaid."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.base.files import write_table
from bayes_scaling.data.importers.protobuf import fields
from tests.data import tracker_files
from tests.data.imported import MAP, WANDB_MAP, expected, rows, said
from tests.support import refusal, run


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


def test_links_that_leave_an_mlflow_folder_are_not_followed(mlflow_folder: Path, tmp_path: Path) -> None:
    store, secret = tmp_path / "mlruns", tmp_path / "secret"
    shutil.copytree(mlflow_folder / "mlruns", store)
    secret.write_text("of another user")
    for params in store.rglob("params"):
        (params / "secret").symlink_to(secret)
    message = refusal(lambda: bs.importers.import_mlflow(store, MAP, groups=["secret"]))
    assert "secret" in message and "of another user" not in message


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


# --- files that are made to break an import ---

SCHEMA = """
CREATE TABLE runs (run_uuid, name, status, experiment_id, lifecycle_stage, start_time);
CREATE TABLE experiments (experiment_id, name); CREATE TABLE params (run_uuid, key, value);
CREATE TABLE tags (run_uuid, key, value); CREATE TABLE metrics (run_uuid, key, step, value, is_nan, timestamp);
INSERT INTO runs VALUES ('r', 'a', 'FINISHED', 1, 'active', 1); INSERT INTO params VALUES ('r', 'n', '1e9');
INSERT INTO metrics VALUES ('r', 'loss', 1, 3.0, 0, 1), ('r', 'tokens', 1, 1e9, 0, 1);
"""
KEYS = {"params": "n", "tokens": "tokens", "loss": "loss"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"config": {"n": 1e9, "deep": "DEEP"}}, "nested more than 100 deep"),
        ({"history": [{"_step": 10**30, "tokens": 1e9, "loss": 3.0}]}, "a step is 1e+30"),
        ({"history": [{"_step": 1e300, "tokens": 1e9, "loss": 3.0}]}, "a step is 1e+300"),
        ({"config": "{[]: 1}"}, "neither JSON nor a Python literal"),
        ({"name": "\ud800"}, "which is not valid text"),
        ({"name": "a\0b"}, "which is not valid text"),
    ],
)
def test_exports_that_no_tracker_wrote_are_refused(changed: dict[str, object], words: str, tmp_path: Path) -> None:
    one = {"name": "a", "config": {"n": 1e9}, "history": [{"_step": 1, "tokens": 1e9, "loss": 3.0}], **changed}
    text = json.dumps([one]).replace('"DEEP"', '{"a": ' * 990 + "1" + "}" * 990)
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    assert words in refusal(lambda: bs.importers.import_wandb(tmp_path / "x.json", KEYS))


@pytest.mark.parametrize("step", ["Infinity", "[1]", "null", "1" + 30 * "0"])
def test_a_run_file_with_an_impossible_step_is_damaged(step: str, tmp_path: Path) -> None:
    def field(number: int, content: bytes) -> bytes:
        size = len(content)
        tag = (number << 3 | 2).to_bytes(1) if number < 16 else bytes([number << 3 & 0x7F | 0x82, number >> 4])
        return tag + (bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])) + content

    items = b"".join(
        field(1, field(1, key.encode()) + field(16, text.encode())) for key, text in (("loss", "3.0"), ("_step", step))
    )
    record = field(2, items)
    head = struct.pack("<IHB", zlib.crc32(b"\x01" + record), len(record), 1)
    (tmp_path / "run-a.wandb").write_bytes(b":W&B\xe1\xbe\x00" + head + record)
    assert "a step is" in refusal(lambda: bs.importers.import_wandb(tmp_path, KEYS))


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ("status: [1]", "diverged"),
        ("&a {run_name: *a}", "repeats its parts"),
        ("a: " + "[" * 3000 + "]" * 3000, "not plain YAML"),
        (
            "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)),
            "repeats its parts",
        ),
    ],
)
def test_yaml_without_end_is_refused(meta: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "0" / "r" / "metrics").mkdir(parents=True)
    (tmp_path / "0" / "meta.yaml").write_text("name: sizes")
    (tmp_path / "0" / "r" / "meta.yaml").write_text(meta)
    (tmp_path / "0" / "r" / "metrics" / "loss").write_text("1 nan 1")
    (tmp_path / "0" / "r" / "metrics" / "tokens").write_text("1 1e9 1")
    assert words in refusal(lambda: bs.importers.import_mlflow(tmp_path, {"tokens": "tokens", "loss": "loss"}))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ("UPDATE metrics SET step = 9e999", "at step inf is damaged"),
        ("UPDATE metrics SET step = 1e30", "at step 1e+30 is damaged"),
        (
            "DROP TABLE tags; CREATE VIEW tags AS WITH RECURSIVE c(run_uuid, key, value) AS "
            "(SELECT 'r', 'a', 'b' UNION ALL SELECT * FROM c) SELECT * FROM c",
            "tags is no table",
        ),
    ],
)
def test_a_store_that_mlflow_did_not_write_is_refused(changed: str, words: str, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as store:
        store.executescript(SCHEMA)
        assert len(bs.importers.import_mlflow(tmp_path / "x.db", KEYS)) == 1
        store.executescript(changed)
    assert words in refusal(lambda: bs.importers.import_mlflow(tmp_path / "x.db", KEYS))


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes with names")
def test_pipes_and_links_to_themselves_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run-pipe.wandb")
    (tmp_path / "run-loop.wandb").symlink_to("run-loop.wandb")
    said = refusal(lambda: bs.importers.import_wandb(tmp_path, KEYS))
    assert "run-pipe.wandb is not a file" in said and "run-loop.wandb cannot be read" in said
    assert "is not a file" in refusal(lambda: bs.importers.import_mlflow(tmp_path / "run-pipe.wandb", KEYS))
    code, _, err = run("import", "wandb", tmp_path, "--map", "tokens=tokens,loss=loss", "--out", tmp_path / "x.csv")
    assert code == 2 and "holds no runs that can be read" in err


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


def test_names_that_a_spreadsheet_would_compute_stay_and_are_said(tmp_path: Path) -> None:
    export = tmp_path / "export.csv"
    export.write_text("Name,n,loss\n=1+1,1e8,3.1\n-small,2e8,3.0\n-1,3e8,2.9\nplain,4e8,2.8\n")
    for out, warned in ((tmp_path / "x.csv", True), (tmp_path / "x.jsonl", False)):
        code, text, err = run("import", "wandb", export, "--map", "params=n,loss=loss", "--out", out)
        assert code == 0, err
        assert bs.Runs.read(out).labels == ["=1+1", "-small", "-1", "plain"]
        assert ("warning: 2 names begin as a formula does ('=1+1'): a spreadsheet that opens x.csv" in text) == warned


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


def test_csv_holds_names_exactly(tmp_path: Path) -> None:
    names = ["a", " a", "a\rb", "a\nb", 'a"b', "a,b", "007"]
    frame = pd.DataFrame({"run": names, "params": 1e9, "tokens": 1e9, "loss": 3.0})
    assert list(bs.Runs.read(write_table(frame, tmp_path / "x.csv")).table["run"]) == names
