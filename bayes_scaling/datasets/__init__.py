"""Tables of runs that this project measured itself."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pandas as pd

from bayes_scaling._errors import DataError
from bayes_scaling._runs import Runs

TABLES = {"stdlib_sweep": "54 byte-level transformers on the Python standard library, over N and D"}


def load(name: str = "stdlib_sweep", params: str = "non_embedding") -> Runs:
    """Load a bundled table; ``stdlib_sweep.md`` beside it is its card.

    Parameters
    ----------
    name : one of ``TABLES``
    params : which count fills the column ``params``: ``non_embedding`` or ``total``
    """
    if name not in TABLES:
        raise DataError(f"no bundled table is called {name!r}; there is {', '.join(TABLES)}")
    if params not in ("non_embedding", "total"):
        raise DataError(f"params is {params!r}; choose non_embedding or total")
    with (files(__package__) / f"{name}.csv").open(encoding="utf-8") as file:
        frame = pd.read_csv(file)
    if params == "total":
        frame = frame.drop(columns="params").rename(columns={"params_total": "params"})
    return Runs.from_frame(frame, params_convention=params, loss_unit="nats/byte", source=f"{name}.csv")


def card(name: str = "stdlib_sweep") -> str:
    """Return the card of a bundled table: how it was measured, units, counting rules, noise."""
    if name not in TABLES:
        raise DataError(f"no bundled table is called {name!r}; there is {', '.join(TABLES)}")
    return Path(str(files(__package__) / f"{name}.md")).read_text(encoding="utf-8")
