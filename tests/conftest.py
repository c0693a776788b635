"""Shared tables and fits; every fit that several tests read is made once."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import typer.testing
from hypothesis import settings

import bayes_scaling as bs
from bayes_scaling.model.simulate import grid, simulate
from bayes_scaling.predict.evidence import Evidence, EvidenceOfLaw
from tests.support import design, fit_exact

# Tests start a hundred processes, and each would compile the package again where no bytecode is kept.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

settings.register_profile("tests", deadline=None)  # a busy machine is no failure
settings.load_profile("tests")


@pytest.fixture(scope="session", autouse=True)
def commands_built_once() -> Iterator[None]:
    """Build the command line once for all calls in this process: that takes longer than most refusals."""
    build = functools.cache(typer.main.get_command)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", build)
        patch.setattr(typer.testing, "_get_command", build)
        yield


@pytest.fixture(scope="session")
def chinchilla_runs() -> bs.Runs:
    """Forty-eight runs around the published Chinchilla curve, half a percent of scatter."""
    truth = dict(bs.load_law("chinchilla").at("besiroglu2024").constants.values)
    return simulate("chinchilla", design(), truth | {"sigma": 0.005, "nu": 30.0}, seed=1)


@pytest.fixture(scope="session")
def chinchilla_fit(chinchilla_runs: bs.Runs) -> bs.Fit:
    """A fit to them that takes the law to be right."""
    return fit_exact("chinchilla", chinchilla_runs, seed=0)


@pytest.fixture(scope="session")
def wandering_fit(chinchilla_runs: bs.Runs) -> bs.Fit:
    """The default fit to them, with a discrepancy of the law."""
    return bs.fit("chinchilla", chinchilla_runs, seed=0)


@dataclasses.dataclass(frozen=True)
class Weighted:
    """Several fits with weights, as far as forecasts read them."""

    fits: Mapping[str, bs.Fit]
    weights: Mapping[str, float]
    runs: bs.Runs
    evidence: Evidence


@pytest.fixture(scope="session")
def ensemble(chinchilla_fit: bs.Fit, wandering_fit: bs.Fit, chinchilla_runs: bs.Runs) -> bs.Ensemble:
    """One law, with its discrepancy and without one, as `fit` puts them together."""
    fits = {"chinchilla": wandering_fit, "chinchilla, law alone": chinchilla_fit}
    said = [
        EvidenceOfLaw("chinchilla", "chinchilla", 2.5, 0.01, 0.9, 3, 0, "it would have forecast best"),
        EvidenceOfLaw("chinchilla, law alone", "chinchilla", why="left out of the refits"),
    ]
    evidence = Evidence(("flops <= 1e+20",), 12, "scored on the 12 runs above", tuple(said))
    weights = {"chinchilla": 0.75, "chinchilla, law alone": 0.25}
    return bs.Ensemble.of(Weighted(fits, weights, chinchilla_runs, evidence), seed=3)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB; only root may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a disk that can be filled needs the right to mount one")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def grid_runs() -> bs.Runs:
    """A small grid in one input, for laws of compute."""
    return simulate("power_law:input=flops,form=pure", grid(flops=np.logspace(17, 22, 24)), "kaplan2020_naive", seed=2)
