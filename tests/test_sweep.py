"""The sweep that measured the bundled tables: its parts, and one row of it run again."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayes_scaling.data import datasets

SWEEP = Path(__file__).parents[1] / "sweep"
NOISE = 0.01  # standard deviation of one run's log loss over seeds, as the cards say


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a file of the sweep as its scripts do."""
    monkeypatch.syspath_prepend(str(SWEEP))
    for file in SWEEP.glob("*.py"):  # a benchmark may have the same name
        monkeypatch.delitem(sys.modules, file.stem, raising=False)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(SWEEP)):
            del sys.modules[name]


def script(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SWEEP / arguments[0], *arguments[1:]]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_one_command_measures_a_row_again_within_seed_noise(tmp_path: Path) -> None:
    table = datasets.load().table
    was = table.loc[table["flops"].idxmin()]
    out = tmp_path / "again.csv"
    done = script("train.py", "--only", was["run"], "--out", out)
    assert done.returncode == 0, done.stderr
    row = pd.read_csv(out).squeeze()
    assert row["run"] == was["run"] and row["flops"] == was["flops"]
    # Another standard library is another text: then only about the same loss can be asked for.
    tolerance = 3 * NOISE if row["corpus_sha256"] == was["corpus_sha256"] else 0.15
    assert abs(np.log(row["loss"] / was["loss"])) < tolerance
    assert row["loss"] < row["loss_prose"] < np.log(256), "nothing trains on prose"

    again = script("train.py", "--only", was["run"], "--out", out)
    assert again.returncode == 0 and "nats/byte" not in again.stdout, "a finished run is skipped"
    out.write_text(out.read_text().replace(row["corpus_sha256"], "0123456789abcdef"))
    other = script("train.py", "--only", was["run"], "--out", out)
    assert other.returncode != 0 and "was measured on another corpus" in other.stderr


def test_names_in_the_tables_are_cells_of_the_design(module: Any) -> None:
    train, curves = module("train"), module("curves")
    assert set(datasets.load().table["run"]) <= set(train.design())
    for table in {table for table, _ in curves.DESIGNS.values()}:
        cells = {cell.name: cell for t, design in curves.DESIGNS.values() if t == table for cell in design()}
        frame = datasets.load(f"stdlib_{table}").table
        assert set(frame["run"]) <= set(cells)
        for run, rows in frame.groupby("run"):
            assert rows["steps"].tolist() == list(cells[run].stops or [cells[run].plan.steps])
            assert rows["flops"].iloc[-1] == cells[run].plan.flops


@pytest.mark.slow
def test_gradients_of_pieces_add_up(module: Any) -> None:
    import jax

    network, training = module("network"), module("training")
    shape = network.Transformer(2, 12, 2)
    params = shape.initial(jax.random.key(0))
    batch = np.random.default_rng(0).integers(0, 256, (4 * training.PIECE, 65)).astype(np.int32)
    pieces = training.mean_gradient(shape, params, batch)
    whole = jax.grad(network.next_byte_loss, argnums=1)(shape, params, batch)
    for name, gradient in whole.items():
        np.testing.assert_allclose(pieces[name], gradient, atol=1e-5 * float(np.abs(gradient).max()))


def test_windows_are_visited_once_an_epoch(module: Any) -> None:
    corpus, network, training = module("corpus"), module("network"), module("training")
    text = np.zeros(64 * 100 + 1, np.uint8)
    fresh = plan(training, network, steps=25, batch=4)
    starts = fresh.order(text)
    assert starts.shape == (25, 4) and len(np.unique(starts)) == 100 and (starts % corpus.CONTEXT == 0).all()
    repeated = plan(training, network, steps=25, batch=4, unique_tokens=64 * 20).order(text).reshape(5, 20)
    assert all((np.sort(epoch) == np.sort(repeated[0])).all() for epoch in repeated)
    assert not (repeated[1] == repeated[0]).all(), "each epoch has an order of its own"
    with pytest.raises(SystemExit, match="needs 104 windows but the corpus has 100"):
        plan(training, network, steps=26, batch=4).order(text)


def test_schedules_rise_and_fall_where_they_say(module: Any) -> None:
    network, training = module("network"), module("training")
    rates = {
        schedule: plan(training, network, steps=1000, batch=4, schedule=schedule).learning_rates()
        for schedule in ("constant", "cooldown", "cosine")
    }
    for rate in rates.values():
        assert float(rate(0)) == 0
        assert float(rate(50)) == pytest.approx(0.01)
    assert float(rates["constant"](999)) == pytest.approx(0.01)
    assert float(rates["cooldown"](800)) == pytest.approx(0.01)
    assert float(rates["cooldown"](900)) == pytest.approx(0.005)
    assert float(rates["cooldown"](1000)) == pytest.approx(0) and float(rates["cosine"](1000)) == pytest.approx(0)


def test_parameters_are_counted_as_they_are_drawn(module: Any) -> None:
    import jax

    network = module("network")
    for shape in (*network.SHAPES, network.LARGEST, network.LSTM(2, 16)):
        drawn = jax.eval_shape(shape.initial, jax.random.key(0))
        assert sum(leaf.size for leaf in drawn.values()) == shape.params_total


def plan(training: ModuleType, network: ModuleType, **options: Any) -> Any:
    return training.Plan(network.Transformer(1, 8, 1), seed=0, rate=0.01, **options)
