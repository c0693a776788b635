"""Saved fits: the same forecasts after a round trip, and one line for everything that is not a whole fit."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.inference import store as _store
from tests.support import fit_exact


@pytest.fixture(scope="module")
def saved(chinchilla_fit: bs.Fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fits") / "fit.nc"
    chinchilla_fit.save(path)
    return path


def test_round_trip_gives_the_same_forecasts_bit_for_bit(chinchilla_fit: bs.Fit, saved: Path) -> None:
    again = bs.load_fit(saved)
    before, after = (bs.forecast(fit, params=[7e9, 7e10], tokens=1.4e12, seed=4) for fit in (chinchilla_fit, again))
    np.testing.assert_array_equal(before.new_run, after.new_run)
    np.testing.assert_array_equal(before.mean, after.mean)
    np.testing.assert_array_equal(chinchilla_fit.log_likelihood, again.log_likelihood)
    assert again.runs.content_hash == chinchilla_fit.runs.content_hash
    assert again.manifest == chinchilla_fit.manifest and again.diagnostics.rhat == chinchilla_fit.diagnostics.rhat
    assert again.converged and again.sampler_used == chinchilla_fit.sampler_used


def test_curves_of_which_some_rows_were_read_survive_bit_for_bit(tmp_path: Path) -> None:
    tokens = np.tile(np.geomspace(1e8, 1e10, 15), 4)
    loss = (1.8 + (2e9 / tokens) ** 0.3) * np.exp(0.01 * np.random.default_rng(0).standard_normal(len(tokens)))
    table = pd.DataFrame({"run": np.repeat(["a", "b", "c", "d"], 15), "tokens": tokens, "loss": loss})
    noise = bs.Noise("normal", rows="correlated", rows_per_curve=5)
    sampler = bs.Sampler("laplace", draws=100)
    fit = fit_exact("power_law:input=tokens", bs.Runs.from_frame(table), noise=noise, sampler=sampler)
    fit.save(tmp_path / "curves.nc")
    again = bs.load_fit(tmp_path / "curves.nc")
    assert repr(again) == repr(fit) and again.noise == noise and "20 of them read" in repr(again)
    np.testing.assert_array_equal(again.unconstrained, fit.unconstrained)
    ahead = pd.DataFrame({"run": ["a", "new"], "tokens": [2e10, 2e10]})
    before, after = (bs.forecast(one, ahead, seed=1, unconverged=True) for one in (fit, again))
    np.testing.assert_array_equal(before.new_run, after.new_run)


def test_noise_that_reads_columns_survives(chinchilla_runs: bs.Runs, tmp_path: Path) -> None:
    fit = fit_exact("chinchilla", chinchilla_runs, noise=bs.Noise("normal", "growing"), sampler="laplace")
    fit.save(tmp_path / "fit.nc")
    again = bs.load_fit(tmp_path / "fit.nc")
    point = {"params": 7e10, "tokens": 1.4e12}
    np.testing.assert_array_equal(bs.forecast(fit, **point).new_run, bs.forecast(again, **point).new_run)


def test_other_priors_survive(chinchilla_runs: bs.Runs, tmp_path: Path) -> None:
    import numpyro.distributions as dist

    law, path = bs.load_law("chinchilla", priors={"alpha": dist.LogNormal(-1.0, 0.1)}), tmp_path / "fit.nc"
    fit_exact(law, chinchilla_runs, sampler="laplace").save(path)
    again = bs.load_fit(path).law
    assert bs.load_fit(path, law=bs.load_law("chinchilla")).law.overridden == ("alpha",)
    other = bs.load_law("chinchilla", priors={"alpha": dist.LogNormal(-2.0, 0.1)})
    with pytest.raises(bs.errors.FitError, match=r"prior LogNormal\(loc=-1, scale=0.1\) of alpha, which here is Log"):
        bs.load_fit(path, law=other)
    assert again.overridden == ("alpha",)
    assert float({row.name: row.prior for row in again.sampled}["alpha"].scale) == 0.1


def test_nothing_else_is_left_in_the_folder(saved: Path) -> None:
    assert [path.name for path in saved.parent.iterdir()] == ["fit.nc"]


def test_an_interrupted_save_keeps_the_old_file(
    chinchilla_fit: bs.Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fit.nc"
    path.write_bytes(b"the old file")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_store.Path, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        chinchilla_fit.save(path)
    assert path.read_bytes() == b"the old file"
    assert [p.name for p in tmp_path.iterdir()] == ["fit.nc"]


@pytest.mark.slow
def test_a_killed_save_keeps_the_old_file(saved: Path, tmp_path: Path) -> None:
    import os
    import signal
    import subprocess
    import sys

    target = tmp_path / "fit.nc"
    target.write_bytes(b"the old file")
    script = (
        "import sys, os, signal, bayes_scaling as bs; "
        "from bayes_scaling.inference import store as _store; fit = bs.load_fit(sys.argv[1]);"
        "_store.Path.replace = lambda *a: os.kill(os.getpid(), signal.SIGKILL); fit.save(sys.argv[2])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(saved), str(target)], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert target.read_bytes() == b"the old file"


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(saved: Path, tmp_path: Path, keep: float) -> None:
    whole = saved.read_bytes()
    (tmp_path / "cut.nc").write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(bs.errors.FitError) as caught:
        bs.load_fit(tmp_path / "cut.nc")
    assert "cut.nc is not a whole fit file" in str(caught.value) and "\n" not in str(caught.value)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    text, netcdf = tmp_path / "text.nc", tmp_path / "other.nc"
    text.write_text("not netcdf")
    with h5py.File(netcdf, "w") as file:
        file["x"] = [1.0]
    with pytest.raises(bs.errors.FitError, match="text.nc is not a whole fit file"):
        bs.load_fit(text)
    with pytest.raises(bs.errors.FitError, match="other.nc is netCDF but not a fit"):
        bs.load_fit(netcdf)
    with pytest.raises(bs.errors.FitError, match="is not a file"):
        bs.load_fit(tmp_path / "absent.nc")
    with pytest.raises(bs.errors.FitError, match="is not a file"):
        bs.load_fit(tmp_path)


def test_a_newer_format_is_refused(saved: Path, tmp_path: Path) -> None:
    copy = tmp_path / "new.nc"
    copy.write_bytes(saved.read_bytes())
    with h5py.File(copy, "a") as file:
        file.attrs["format"] = 99
    with pytest.raises(bs.errors.FitError, match="format 99, newer than 4"):
        bs.load_fit(copy)
    with h5py.File(copy, "a") as file:
        file.attrs["format"] = 2
    with pytest.raises(bs.errors.FitError, match="format 2, older than 4; fit again"):
        bs.load_fit(copy)


def test_saving_to_impossible_places_is_one_line(chinchilla_fit: bs.Fit, tmp_path: Path) -> None:
    with pytest.raises(bs.errors.FitError, match="is a folder"):
        chinchilla_fit.save(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(bs.errors.WriteError, match="cannot write"):
        chinchilla_fit.save(tmp_path / "file" / "fit.nc")


def test_a_full_disk_says_where_the_fit_went(
    chinchilla_fit: bs.Fit, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small_disk / "fit.nc").write_text("the old file")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with pytest.raises(bs.errors.WriteError, match=r"No space left on device; the fit was put into .*\.nc instead"):
        chinchilla_fit.save(small_disk / "fit.nc")
    (instead,) = (tmp_path / "temporary").iterdir()
    np.testing.assert_array_equal(bs.load_fit(instead).unconstrained, chinchilla_fit.unconstrained)
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    with pytest.raises(bs.errors.WriteError, match="No space left on device; the draws were not kept"):
        chinchilla_fit.save(small_disk / "fit.nc")
    assert [path.read_text() for path in small_disk.iterdir()] == ["the old file"]


def test_only_the_name_of_a_fit_is_taken(chinchilla_fit: bs.Fit, tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("params,tokens,loss\n")
    with pytest.raises(bs.errors.FitError, match=r"runs\.csv is no name for a fit; give one that ends in \.nc"):
        chinchilla_fit.save(tmp_path / "runs.csv")
    assert (tmp_path / "runs.csv").read_text() == "params,tokens,loss\n"


def test_the_manifest_says_where_it_came_from(chinchilla_fit: bs.Fit) -> None:
    manifest = chinchilla_fit.manifest
    assert manifest["law"] == "chinchilla" and manifest["seed"] == 0 and manifest["sampler_used"] == "fast NUTS"
    assert manifest["runs"]["sha256"] == chinchilla_fit.runs.content_hash
    assert manifest["priors"]["alpha"] == "LogNormal(loc=-1.386, scale=0.5)"
    assert set(manifest["versions"]) == {"jax", "numpyro", "numpy", "bayes-scaling"}
    json.dumps(manifest)
