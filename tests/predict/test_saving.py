"""Ensembles in one file: the same draws to the bit after a round trip, one line for everything that is not one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.predict.saving import holds_ensemble
from tests.support import LAW_FILE

POINT: dict[str, Any] = {"params": [7e9, 7e10], "tokens": 1.4e12}


@pytest.fixture(scope="module")
def saved(ensemble: bs.Ensemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ensembles") / "ensemble.nc"
    ensemble.save(path)
    return path


def test_round_trip_gives_the_same_draws_to_the_bit(ensemble: bs.Ensemble, saved: Path) -> None:
    again = bs.Ensemble.load(saved)
    before, after = (one.new_run(one.points(**POINT)).losses(4) for one in (ensemble, again))
    np.testing.assert_array_equal(before, after)
    before, after = (bs.forecast(one, **POINT, seed=4).new_run for one in (ensemble, again))
    np.testing.assert_array_equal(before, after)
    assert again.weights == ensemble.weights and again.seed == 3 and len(again) == len(ensemble)
    assert again.evidence is not None and again.evidence.why == "scored on the 12 runs above"
    assert again.to_frame().drop(columns="why").equals(ensemble.to_frame().drop(columns="why"))
    assert repr(again) == repr(ensemble)


def test_some_draws_and_one_law_are_saved_as_they_are(ensemble: bs.Ensemble, tmp_path: Path) -> None:
    for one in (ensemble.take([5, 3, 3990, 3]), ensemble.only("chinchilla, law alone").take([7, 1])):
        one.save(tmp_path / "some.nc")
        again = bs.Ensemble.load(tmp_path / "some.nc")
        before, after = (which.new_run(which.points(**POINT)).losses(0) for which in (one, again))
        np.testing.assert_array_equal(before, after)
        before, after = (bs.forecast(which, **POINT).new_run for which in (one, again))
        np.testing.assert_array_equal(before, after)
        assert len(after) == len(one)


def test_each_kind_of_file_says_how_it_is_read(
    ensemble: bs.Ensemble, chinchilla_fit: bs.Fit, saved: Path, tmp_path: Path
) -> None:
    chinchilla_fit.save(tmp_path / "fit.nc")
    assert holds_ensemble(saved) and not holds_ensemble(tmp_path / "fit.nc") and not holds_ensemble(tmp_path)
    with pytest.raises(bs.errors.FitError, match=r"ensemble\.nc holds an ensemble: read it with Ensemble\.load"):
        bs.load_fit(saved)
    with pytest.raises(bs.errors.FitError, match=r"fit\.nc holds a fit: read it with load_fit"):
        bs.Ensemble.load(tmp_path / "fit.nc")
    with pytest.raises(bs.errors.FitError, match="is no name for an ensemble; give one that ends in"):
        ensemble.save(tmp_path / "ensemble.csv")
    with pytest.raises(bs.errors.FitError, match="is a folder"):
        ensemble.save(tmp_path)


def test_a_file_that_says_it_was_created_by_numbers_holds_no_ensemble(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "odd.nc", "w") as file:
        file.attrs["created_by"] = np.arange(3)
    assert not holds_ensemble(tmp_path / "odd.nc")


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused(saved: Path, tmp_path: Path, keep: float) -> None:
    whole = saved.read_bytes()
    (tmp_path / "cut.nc").write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(bs.errors.FitError, match=r"cut\.nc is not a whole ensemble file"):
        bs.Ensemble.load(tmp_path / "cut.nc")
    with pytest.raises(bs.errors.FitError, match="is not a file; expected an ensemble"):
        bs.Ensemble.load(tmp_path / "absent.nc")


def weigh_more(file: h5py.File) -> None:
    said = json.loads(file.attrs["ensemble"])
    file.attrs["ensemble"] = json.dumps({**said, "weights": [0.99, 0.01]})


def draw_others(file: h5py.File) -> None:
    file["draws_0"]["draws"][0] = 3999


def move_draws(file: h5py.File) -> None:
    file["member_1"]["posterior"]["alpha"][0, 0] *= 1.001


@pytest.mark.parametrize("change", [weigh_more, draw_others, move_draws])
def test_a_changed_file_is_refused(saved: Path, tmp_path: Path, change: Callable[[h5py.File], None]) -> None:
    path = tmp_path / "changed.nc"
    path.write_bytes(saved.read_bytes())
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(bs.errors.FitError, match=r"changed\.nc was changed since it was saved, or is damaged"):
        bs.Ensemble.load(path)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"weights": [0.75, 0.75]}, "its weights are not shares of one"),
        ({"weights": [0.75]}, "has the laws chinchilla, chinchilla, law alone with 1 weights"),
        ({"seed": -1}, "seed of its ensemble is -1, expected a whole number"),
        ({"evidence": {"why": "because"}}, "its evidence lacks cuts"),
        ({"more": 1}, "its ensemble has 'more', which no fit writes"),
    ],
)
def test_what_no_ensemble_writes_is_refused_with_its_digest(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], words: str
) -> None:
    path = tmp_path / "odd.nc"
    path.write_bytes(saved.read_bytes())
    with h5py.File(path, "a") as file:
        file.attrs["ensemble"] = json.dumps({**json.loads(file.attrs["ensemble"]), **said})
    monkeypatch.setattr("bayes_scaling.predict.saving.refuse_changed", lambda *_: None)
    with pytest.raises(bs.errors.FitError, match=r"odd\.nc is not as a fit leaves it") as caught:
        bs.Ensemble.load(path)
    assert words in str(caught.value)


def test_laws_of_ones_own_are_given_again(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(LAW_FILE)
    own = bs.load_law(tmp_path / "mine.py")
    runs = bs.simulate(own, bs.grid(params=np.geomspace(1e7, 1e10, 12)), {"E": 1.0, "alpha": 0.3, "A": 200.0}, seed=0)
    fit = bs.fit(own, runs, noise="normal", discrepancy="none", sampler=bs.Sampler("laplace", draws=100))
    bs.Ensemble.of(fit, unconverged=True).save(tmp_path / "own.nc")
    with pytest.raises(bs.errors.FitError, match=r"a saved fit runs no code: give the law again with laws=\.\.\."):
        bs.Ensemble.load(tmp_path / "own.nc")
    assert bs.Ensemble.load(tmp_path / "own.nc", [own]).leading.law is own
