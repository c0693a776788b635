"""Tables of runs measured by this project."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pandas as pd

from bayes_scaling.base.arguments import validated
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import DataError

TABLES = {
    "stdlib_sweep": "byte-level transformers on the Python standard library, over N, D and seed",
    "stdlib_curves": "whole training curves of such transformers, over N, batch size and seed",
    "stdlib_schedules": "whole curves on three learning-rate schedules, over N and batch size",
    "stdlib_rates": "search for the learning rate of the curves",
    "stdlib_repeated": "final losses over N, distinct text and epochs",
    "stdlib_shape": "final losses at one N over depth and width",
    "stdlib_lstm": "final losses of LSTMs over N and D",
}
CARDS = {name: "stdlib_sweep" if name == "stdlib_sweep" else "stdlib_curves" for name in TABLES}


@validated
def load(name: str = "stdlib_sweep", params: str = "non_embedding") -> Runs:
    """Load a bundled table; `card` says how it was measured.

    Parameters
    ----------
    name : one of ``TABLES``
    params : which count fills the column ``params``: ``non_embedding`` or ``total``
    """
    _refuse_unknown(name)
    if params not in ("non_embedding", "total"):
        raise DataError(f"params is {params!r}; choose non_embedding or total")
    with (files(__package__) / f"{name}.csv").open(encoding="utf-8") as file:
        frame = pd.read_csv(file)
    if params == "total":
        frame = frame.drop(columns="params").rename(columns={"params_total": "params"})
    return Runs.from_frame(frame, params_convention=params, loss_unit="nats/byte", source=f"{name}.csv")


@validated
def card(name: str = "stdlib_sweep") -> str:
    """Return the card of a bundled table: how it was measured, units, counting rules, noise."""
    _refuse_unknown(name)
    return Path(str(files(__package__) / f"{CARDS[name]}.md")).read_text(encoding="utf-8")


def _refuse_unknown(name: str) -> None:
    if name not in TABLES:
        raise DataError(f"there is no bundled table {name!r}; choose one of {', '.join(TABLES)}")
