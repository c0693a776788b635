"""The bundled measured table obeys its own rules, and the demo does its job on it."""

from __future__ import annotations

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.cli.demo import CUT
from bayes_scaling.data import datasets
from tests.support import run


@pytest.fixture(scope="module")
def table() -> bs.Runs:
    return datasets.load()


def test_the_design_is_what_the_card_says(table: bs.Runs) -> None:
    frame = table.table
    assert table.params_convention == "non_embedding" and table.loss_unit == "nats/byte"
    assert not table.warnings and not table.notes and not frame.duplicated("run").any()
    assert frame["corpus_sha256"].nunique() == 1 and frame["device"].unique().tolist() == ["cpu"]
    seeds = frame[frame["tokens"] < 1e7].groupby(["params", "tokens"])["seed"].nunique().unstack()
    assert frame["flops"].max() / frame["flops"].min() > 10**3.5
    assert seeds.shape == (8, 6) and seeds.notna().all(axis=None), "eight sizes by six lengths, none left out"
    assert (seeds >= 3).sum(axis=None) >= 16, "three seeds in a third of the cells"
    largest = frame.loc[frame["flops"].idxmax()]
    assert largest["flops"] > 80 * CUT, "the hold-out of the demo"
    assert largest["params"] > frame.loc[frame["tokens"] < 1e7, "params"].max(), "a size that no other run has"
    assert (frame["loss_prose"].dropna() > frame["loss"][frame["loss_prose"].notna()]).all()


def test_counts_follow_from_shapes(table: bs.Runs) -> None:
    frame = table.table
    np.testing.assert_array_equal(frame["params"], 12 * frame["layers"] * frame["width"] ** 2)
    extra = (2 * frame["layers"] + 1) * frame["width"] + 256 * frame["width"]
    np.testing.assert_array_equal(frame["params_total"], frame["params"] + extra)
    per_token = 3 * (2 * frame["params"] + 2 * frame["layers"] * 64 * frame["width"] + 2 * 256 * frame["width"])
    np.testing.assert_array_equal(frame["flops"], per_token * frame["tokens"])
    np.testing.assert_array_equal(frame["tokens"], frame["steps"] * frame["batch_tokens"])


def test_losses_are_plausible_and_fall_with_scale(table: bs.Runs) -> None:
    frame = table.table[table.table["seed"] == 0]
    assert frame["loss"].between(0.5, np.log(256)).all()
    grid = frame.pivot(index="params", columns="tokens", values="loss")
    assert (np.diff(grid.to_numpy(), axis=1)[~np.isnan(np.diff(grid.to_numpy(), axis=1))] < 0).all()
    column = grid[8388608].dropna().to_numpy()
    assert (np.diff(column) < 0).all()


def test_total_parameters_can_be_asked_for(table: bs.Runs) -> None:
    total = datasets.load(params="total")
    assert total.params_convention == "total" and (total.column("params") > table.column("params")).all()
    with pytest.raises(bs.errors.DataError, match="choose non_embedding or total"):
        datasets.load(params="active")
    with pytest.raises(bs.errors.DataError, match="there is no bundled table 'c4'"):
        datasets.load("c4")


@pytest.mark.parametrize("name", [name for name in datasets.TABLES if name != "stdlib_sweep"])
def test_further_tables_obey_their_rules(name: str) -> None:
    runs = datasets.load(name)
    frame = runs.table
    assert runs.warnings == () and runs.loss_unit == "nats/byte" and set(frame["device"]) == {"cpu"}
    per_layer = frame["architecture"].map({"transformer": 12, "lstm": 8})
    np.testing.assert_array_equal(frame["params"], per_layer * frame["layers"] * frame["width"] ** 2)
    np.testing.assert_array_equal(frame["tokens"], frame["steps"] * frame["batch_tokens"])
    assert (frame["unique_tokens"] <= frame["tokens"]).all()
    assert (frame["unique_tokens"] < frame["tokens"]).any() == (name == "stdlib_repeated")
    # Chance is ln 256; on prose a few steps on code can make a network worse than that, later ones never.
    assert frame["loss"].between(0.5, np.log(300)).all() and frame["loss_prose"].between(0.5, np.log(1024)).all()
    assert frame.loc[frame["steps"] > 20, "loss_prose"].max() < np.log(512)
    assert frame.loc[frame["steps"] > 100, "loss_prose"].max() < np.log(256)
    assert set(frame["corpus_sha256"]) == set(datasets.load().table["corpus_sha256"])
    assert frame["prose_sha256"].nunique() == 1
    assert name in datasets.card(name) and frame["prose_sha256"][0] in datasets.card(name)


def test_curves_cover_sizes_and_batches() -> None:
    runs = datasets.load("stdlib_curves").after_warmup(steps=50)
    ends = runs.ends().table.query("seed == 0")
    assert runs.counted.endswith("runs") and " rows of " in runs.counted
    assert ends["params"].nunique() >= 4 and ends["batch_tokens"].nunique() == 5
    per_run = runs.table.groupby("run").size()
    assert per_run.between(15, 70).all()
    # At equal steps a larger batch is better, up to the scatter of single evaluations.
    early = runs.table.query("seed == 0 and 250 <= steps <= 300").groupby(["params", "batch_tokens"])["loss"].mean()
    for _, losses in early.groupby("params"):
        assert (np.diff(losses.to_numpy()) < 0.05).all()


def test_the_card_is_there(table: bs.Runs) -> None:
    card = datasets.card()
    for word in ("nats per byte", "non-embedding", "FLOP", "seed", str(table.table["corpus_sha256"][0])):
        assert word in card


@pytest.mark.slow
def test_the_demo_forecasts_what_was_measured(tmp_path: object) -> None:
    code, out, _ = run("demo", "--out", tmp_path)
    assert code == 0
    for part in ("held out", "weight", "measured", "inside", "90% band", "law alone", "ensemble.nc", "forecast.png"):
        assert part in out
    ensemble = bs.Ensemble.load(f"{tmp_path}/ensemble.nc")
    assert len(ensemble.fits) > 1 and ensemble.runs.column("flops").max() <= 2.5e12
