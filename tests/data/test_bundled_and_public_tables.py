"""Tables that people use load: the bundled sweep, public ones, and long ones."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_scaling import Runs
from tests.support import public_table, refusal

SWEEP = Path(__file__).parents[2] / "bayes_scaling" / "data" / "datasets" / "stdlib_sweep.csv"


def test_a_repeat_in_a_hundred_thousand_rows_is_found(tmp_path: Path) -> None:
    n = 100_000
    frame = pd.DataFrame(
        {
            "run": np.repeat([f"run {i}" for i in range(n // 10)], 10),
            "params": np.repeat(np.linspace(1e7, 1e9, n // 10), 10),
            "tokens": np.linspace(1e9, 2e11, n),
            "loss": np.linspace(4, 2, n),
            "lr": 3e-4,
            "tag": "some text",
        }
    )
    frame.to_csv(tmp_path / "runs.csv", index=False)
    assert Runs.from_frame(frame).content_hash == Runs.read(tmp_path / "runs.csv").content_hash
    message = refusal(lambda: Runs.from_frame(pd.concat([frame, frame.tail(1)]).drop(columns="run")))
    assert "row 100001 repeats row 100000" in message


def test_the_bundled_sweep_loads() -> None:
    runs = Runs.read(SWEEP, loss_unit="nats/byte")
    assert len(runs) == len(SWEEP.read_text().splitlines()) - 1
    assert len(set(runs.labels)) == len(runs) and runs.notes == () and runs.warnings == ()


def test_the_public_chinchilla_table_loads() -> None:
    runs = Runs.read(public_table("chinchilla_svg.csv"))
    assert len(runs) == 245 and runs.notes == () and runs.warnings == ()


def test_the_public_overtraining_table_needs_to_know_its_loss() -> None:
    path = public_table("gadre_overtraining.csv")
    message = refusal(lambda: Runs.read(path))
    assert message.startswith("gadre_overtraining.csv has no loss column (it has run, train_dataset, params")
    assert "loss_c4_val" in message and "columns={'loss': ...}" in message
    runs = Runs.read(path, columns={"loss": "loss_c4_val"})
    assert len(runs) == 104 and runs.warnings == () and runs.notes == ("flops derived as 6 params x tokens",)
    assert runs.labels[0].startswith("c4_original")


def test_the_public_repeated_data_table_loads() -> None:
    runs = Runs.read(public_table("datablations_final.csv"))
    assert len(runs) == 307 and runs.warnings == () and "unique_tokens" in runs
    assert all(label and set(label) <= set(string.printable) for label in runs.labels)


def test_a_public_table_of_examples_seen_has_no_size_that_a_law_can_read() -> None:
    (note,) = Runs.read(public_table("alabdulmohsin_lang.csv")).notes
    assert "no column is read as params, tokens, flops or steps" in note and "seen_examples" in note


def test_a_public_table_of_curves_loads() -> None:
    runs = Runs.read(public_table("multipowerlaw_curves.csv"))
    assert len(runs) == 6265 and runs.notes == ("column 'step' read as steps",)
    assert "row 1, column schedule: " in refusal(lambda: runs.column("schedule"))
