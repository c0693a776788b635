"""Curves of runs that end at different steps: whether a run at its end is where a longer run is at the same step."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayes_scaling.data.columns import GROWING

ENDS = 5  # of runs, at least, that have a longer run to compare with
FURTHER = 2.0  # times as far, so that the rate of the longer run has hardly fallen yet
GAP = 0.02  # of the loss
CURVE = 3  # rows of a run


def odd_ends(table: pd.DataFrame) -> tuple[str, ...]:
    """Return a warning where runs end well below the curves of longer runs of the same size and batch.

    A learning rate that falls until the end of each run does that: how long a run was to be then says as much of its
    loss as how far it is, and no law knows it that does not read the rate.
    """
    along = next((name for name in GROWING if name in table), "")
    if not along or "run" not in table or (table["loss"] <= 0).any() or table["run"].value_counts().max() < CURVE:
        return ()
    like = [name for name in ("params", "batch_tokens") if name in table]
    ordered = table.sort_values(along)
    last = ordered.drop_duplicates("run", keep="last")
    if like:
        last = last[last.duplicated(like, keep=False)]
    if len(last) <= ENDS:
        return ()
    ordered = ordered[ordered["run"].isin(last["run"])]
    groups = [rows for _, rows in last.groupby(like)] if like else [last]
    curves = ordered.groupby("run", sort=False).indices
    position, log_loss = np.log(ordered[along].to_numpy(float)), np.log(ordered["loss"].to_numpy(float))
    gaps: list[np.ndarray] = []
    for ends in groups:
        longest = curves[ends["run"].iloc[-1]]  # in order of how far they go
        at = np.log(ends[along].to_numpy(float))
        passed = (at >= position[longest[0]]) & (at <= position[longest[-1]] - np.log(FURTHER))
        there = np.interp(at[passed], position[longest], log_loss[longest])
        gaps.append(there - np.log(ends["loss"].to_numpy(float)[passed]))
    gap = np.concatenate(gaps)
    if len(gap) < ENDS or np.median(gap) < GAP:
        return ()
    return (
        f"{len(gap)} runs end {np.median(gap):.1%} (median) below where a longer run of the same "
        f"{' and '.join(like) or 'table'} is at the same {along}: the learning rate seems to fall until the end of "
        "each run. A law that does not read it cannot describe the middle and the end of such runs together: fit "
        "nesting_schedule, with the rate of each row in a column learning_rate, the last rows alone, or runs of one "
        "length",
    )
