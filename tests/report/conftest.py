"""One report that several files of tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

import bayes_scaling as bs
from bayes_scaling.report.render import Report
from tests.report.hostile_study import EVIL, STUDY


@pytest.fixture(scope="session")
def folder(chinchilla_runs: bs.Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study beside its table, every run of which has a name that wants to be markup."""
    folder = tmp_path_factory.mktemp("report")
    names = [f"{EVIL} {i}" for i in range(len(chinchilla_runs))]
    chinchilla_runs.table.drop(columns="flops").assign(run=names).to_csv(folder / "runs.csv", index=False)
    (folder / "study.toml").write_text(STUDY)
    return folder


@pytest.fixture(scope="session")
def report(folder: Path) -> Report:
    return bs.make_report(folder / "study.toml", draft=True, progress=False)
