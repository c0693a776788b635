"""Tables on which no law can be right are said to be so; tables that a law may describe raise no alarm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling import Runs
from tests.support import design, refusal, run


def falling() -> pd.DataFrame:
    """Runs of 20 tokens per parameter and more, whose loss falls."""
    frame = design(24)
    return frame.assign(loss=1.7 + 400 / frame["params"] ** 0.34 + 400 / frame["tokens"] ** 0.28)


def by_size() -> pd.DataFrame:
    """Eight runs, each twice as large as the one before."""
    return pd.DataFrame({"params": 1e8 * 2.0 ** np.arange(8), "tokens": 2e9 * 2.0 ** np.arange(8)})


@pytest.mark.parametrize(
    ("spoiled", "says"),
    [
        (lambda t: t.assign(loss=4 - t["loss"]), "loss rises with flops (rank correlation 1.00)"),
        (lambda t: t.assign(loss=2.5), "every loss is 2.5: what does not change teaches no law"),
        (lambda t: t.assign(loss=2.5 + 1e-12 * t["loss"]), "every loss is 2.5"),
        (lambda t: t.rename(columns={"params": "tokens", "tokens": "params"}), "columns params and tokens swapped?"),
        (lambda t: t.assign(loss=1e-5 * t["loss"]), "below that of any text: is it in another unit?"),
        (lambda t: t.assign(loss=t["loss"].where(t.index != 3, 2e-4)), "loss 0.0002 in row 4 is less than a ten-thous"),
    ],
)
def test_a_table_on_which_no_law_can_be_right_is_said(spoiled: Any, says: str) -> None:
    (said,) = Runs.from_frame(spoiled(falling())).warnings
    assert says in said


@pytest.mark.parametrize(
    "table",
    [
        lambda: falling(),
        lambda: falling().assign(tokens=lambda t: 1e20 / t["params"]),  # a fixed amount of compute
        lambda: falling().head(5).assign(loss=[3, 3.1, 3.2, 3.3, 3.4]),  # too few to say
        lambda: by_size().assign(loss=[3.0, 2.9, 3.2, 3.1, 3.05, 3.3, 3.15, 3.12]),  # rank correlation 0.57, by chance
        lambda: falling().assign(loss=lambda t: 2 + np.abs(np.log(t["params"] / 6e8))),  # double descent
        lambda: pd.DataFrame({"params": [1e9, 2e9], "tokens": [2e10, 4e10], "loss": [3.0, 3.0]}),
    ],
)
def test_a_table_that_a_law_may_describe_raises_no_alarm(table: Any) -> None:
    assert Runs.from_frame(table()).warnings == ()


@pytest.mark.parametrize("loss", [5e-324, 1e-60])
def test_a_loss_that_nothing_can_have_is_refused(loss: float) -> None:
    message = refusal(lambda: Runs.from_frame(falling().assign(loss=loss)))
    assert "row 1, column loss" in message
    assert "no loss is that small" in message


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("perplexity", "its name says perplexity: take its logarithm, or give the loss unit"),
        ("val/PPL", "its name says perplexity: take its logarithm"),
        ("val_bpc", "its name says bits per character: multiply it by ln 2"),
        ("eval/bpb", "its name says bits per byte"),
        ("loss_bits_indist", "its name says bits: multiply"),
    ],
)
def test_a_name_that_says_another_unit_is_a_warning(name: str, says: str) -> None:
    frame = falling().rename(columns={"loss": name})
    runs = Runs.from_frame(frame, columns={"loss": name})
    (said,) = runs.warnings
    assert said.startswith(f"column '{name}' is read as a loss in nats per token") and says in said
    assert runs.where(np.arange(24) < 12).warnings == (said,)
    assert Runs.from_frame(frame, columns={"loss": name}, loss_unit="bits").warnings == ()
    other = frame.rename(columns={name: "habits_loss"})
    assert Runs.from_frame(other, columns={"loss": "habits_loss"}).warnings == ()


def test_a_loss_that_is_high_because_the_row_is_early_or_small_has_not_diverged() -> None:
    steps = np.arange(1.0, 41)
    curve = pd.DataFrame({"tokens": 4e4 * steps, "loss": 3 + 97 / steps})
    assert Runs.from_frame(curve).warnings == ()
    small = pd.DataFrame({"params": 1e3 * 4.0 ** np.arange(9), "loss": 1e-2 + 1.0 / 2.0 ** np.arange(9)})
    assert Runs.from_frame(small, loss_unit="error").warnings == ()
    # A large model that has seen little, beside small ones at their end.
    models = pd.DataFrame({
        "params": [1e6] * 6 + [1e9], "tokens": [1e6, 1e9, 2e9, 4e9, 8e9, 16e9, 1e6], "loss": [9.0, *[1.0] * 5, 9.5],
    })  # fmt: skip
    assert not any("diverged" in said for said in Runs.from_frame(models).warnings)


@pytest.mark.parametrize("row", [1, 5, 23])
def test_a_run_that_diverged_among_larger_ones_is_named(row: int) -> None:
    frame = falling().sort_values("tokens", ignore_index=True)
    frame = frame.assign(params=1e8 * np.arange(1, 25), tokens=1e9 * np.arange(1, 25))
    (said,) = Runs.from_frame(frame.assign(loss=frame["loss"].where(frame.index != row, 60.0))).warnings
    assert said.startswith("1 loss is over five times the median") and f"(row {row + 1}: 60): diverged runs" in said


def test_bundled_tables_raise_no_alarm() -> None:
    for name in bs.datasets.TABLES:
        assert bs.datasets.load(name).warnings == ()


@pytest.mark.parametrize(
    "command",
    ["check", pytest.param("fit --sampler laplace --discrepancy none", marks=pytest.mark.slow)],
)
def test_commands_say_so(command: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    falling().assign(loss=lambda t: 4 - t["loss"]).to_csv(path, index=False)
    name, *options = command.split()
    _, printed, _ = run(name, path, *options)
    assert "loss rises with flops" in " ".join(printed.split())


@pytest.mark.parametrize(("factor", "says"), [(1 / np.log(2), "1.44 times"), (100.0, "100 times")])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_losses_in_two_units_are_told(factor: float, says: str, share: float) -> None:
    rng = np.random.default_rng(0)
    params = np.exp(rng.uniform(np.log(1e8), np.log(1e10), 60))
    tokens = params * np.exp(rng.uniform(np.log(5), np.log(100), 60))
    loss = (1.8 + 482 / params**0.35 + 2085 / tokens**0.37) * np.exp(0.005 * rng.standard_normal(60))
    frame = pd.DataFrame({"params": params, "tokens": tokens, "loss": loss})
    assert Runs.from_frame(frame).warnings == ()
    other = rng.uniform(size=60) < share
    mixed = frame.assign(loss=np.where(other, factor * loss, loss))
    (said,) = (line for line in Runs.from_frame(mixed).warnings if "through the others" in line)
    row = int(np.flatnonzero(other)[0]) + 1
    assert said.startswith(f"{other.sum()} of 60 losses, the first in row {row}, are {says} what a curve in params and")
    assert said.endswith("Give all in one unit") and "are they" in said
    recipes = frame.assign(loss=np.where(other, 1.3 * loss, loss))
    assert not any("through the others" in line for line in Runs.from_frame(recipes).warnings)
