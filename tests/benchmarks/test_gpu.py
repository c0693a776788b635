"""The benchmark of accelerators, small and on the CPU: every part, the comparison, what is said of failures."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import bayes_scaling as bs

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, imported as it is run: its folder is the first on the path."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gpu")


def test_many_tables_agree_with_themselves_and_are_one_row(gpu: ModuleType) -> None:
    found = gpu.measure("tables", "cpu", gpu.Sizes(tables=2, rows=24))
    assert found["posteriors"] == 2 and len(found["seconds"]) == 2 and found["memory"] > 0.1
    assert all(found["converged"]) and np.array(found["mean"]).shape == (2, 8)
    np.testing.assert_array_equal(gpu.apart(found, found), 0.0)
    shifted = {**found, "mean": (np.array(found["mean"]) + np.array(found["error"])).tolist()}
    row = gpu.row_of("tables", "gpu", shifted, found)
    assert row.startswith("| tables | gpu | 2 | ") and "| 0.0% | 100.0% | 0.71, 0.7 |" in row
    assert row.count("|") == gpu.HEAD.count("|")


def test_lanes_are_timed(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "LANES", (1, 2))
    found = gpu.measure("lanes", "cpu", gpu.Sizes(tables=2, rows=24))
    assert list(found["lanes"]) == [1, 2] and min(found["lanes"].values()) > 0
    row = gpu.row_of("lanes", "cpu", found, None)
    assert "2: " in row and row.count("|") == gpu.HEAD.count("|")


@pytest.mark.slow
@pytest.mark.parametrize("part", ["long", "curves"])
def test_one_large_table_is_one_row(gpu: ModuleType, part: str) -> None:
    found = gpu.measure(part, "cpu", gpu.Sizes(long=64, curves=60))
    assert found["how"] and "| cpu | 1 | " in gpu.row_of(part, "cpu", found, None)


def test_the_script_says_that_there_is_no_gpu_and_goes_on() -> None:
    command = [
        sys.executable,
        str(BENCHMARKS / "gpu.py"),
        "--devices",
        "gpu",
        "--parts",
        "tables",
        "--tables",
        "1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = [line for line in done.stdout.splitlines() if "no gpu is visible to JAX; it sees cpu" in line]
    assert len(said) == 1, done.stdout + done.stderr


def test_parts_that_do_not_get_done_are_rows(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    found = gpu.in_its_own_process("tables", "cpu", gpu.Sizes(tables=1), limit=0.01)
    assert found == {"failed": "not done within 0 s"}
    assert gpu.row_of("tables", "cpu", found, None).count("|") == gpu.HEAD.count("|")
    with pytest.raises(bs.errors.FitError, match="no gpu is visible"):
        gpu.measure("long", "gpu", gpu.Sizes(long=10))
