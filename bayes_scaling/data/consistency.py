"""Checks of a table of runs: rows that contradict themselves or each other, and rows that only look wrong."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from bayes_scaling.base.messages import shown
from bayes_scaling.data.columns import ordering
from bayes_scaling.data.hints import filled, words
from bayes_scaling.data.horizons import odd_ends
from bayes_scaling.data.losses import odd_losses
from bayes_scaling.data.tuning import RATE, tuning_of
from bayes_scaling.data.units import FLOPS_PER_PARAM_TOKEN
from bayes_scaling.data.validation import PF_DAY, Origin, others
from bayes_scaling.errors import REMEDY, DataError, Remedy

FLOPS_FACTOR = 10.0
"""C may differ from 6ND by at most this factor (attention, embeddings, counting rules)."""
FLOPS_OTHERWISE = 2.5  # median factor between C and 6ND from which they are counted otherwise; tiny models have 1.9
ALONG = 0.3  # standard deviations of a log size, up to which a column that is one in some unit scatters around it
SAME = 0.01  # share of a size up to which two columns are the same
TWINS = 0.1  # share of rows that repeat another run from which they are told
CURVE = 3  # rows before a counter falls that say what the loss was at each count
FELL = 0.01  # of log loss over them, so that the loss says which count is meant
AS_READ = Origin("the table", {})  # whose rows all count
LIKE_SIZES = {
    "params": {"param", "params", "parameter", "parameters"},
    "tokens": {"token", "tokens"},
    "flops": {"flop", "flops", "gflops", "compute"},
    "steps": {"iterations"},
}
"""Words in names of columns that look like those of a size."""
CANONICAL = ("batch_tokens", "unique_tokens", "loss", "loss_se", "steps", "peak_learning_rate")
OF_SOMETHING_ELSE = frozenset((
    "batch", "unique", "max", "min", "per", "vocab", "vocabulary", "context", "sequence", "seq", "length", "embedding",
    "generated", "second", "day", "eval", "val", "ratio", "share", "fraction", "lr", "rate", "optimal", "dtype",
    "time", "hours", "seconds", "cost", "multiplier", "utilization", "warmup", "interval",
))  # fmt: skip
"""Words in names of columns of tokens, parameters, FLOPs or steps that are not those of a run."""


def refuse_impossible(table: pd.DataFrame, origin: Origin) -> None:
    """Refuse rows that contradict themselves, measured or planned; columns are already validated and derived."""
    if (
        "tokens" in table and (table["tokens"] < 1).any()
    ):  # tokens from the user are at least one, so these were derived
        row = int(np.flatnonzero(table["tokens"] < 1)[0])
        raise DataError(
            f"{origin.source}, {origin.row(row)}: flops / (6 x params) gives {table['tokens'].iloc[row]:.3g} tokens: "
            f"check the units of flops (a PF-day is {PF_DAY:g} FLOPs) and params"
        )
    if {"params", "tokens", "flops"} <= set(table):
        _refuse_wrong_flops(table, origin)


def refuse_contradictions(table: pd.DataFrame, origin: Origin) -> None:
    """Refuse rows that contradict themselves or each other; canonical columns are already validated and derived."""
    refuse_impossible(table, origin)
    if "run" in table:
        _refuse_changed_size(table, origin)
        moving = ordering(table)
        keys, what = table[["run", *moving]], "the same run at the same point of training"
        if keys.duplicated().any():  # rows of one model may be scores of several tasks
            texts = {str(name): table[name].astype(str) for name in table if name != "run" and _holds_text(table[name])}
            keys = keys.assign(**{name: text for name, text in texts.items() if 2 * text.nunique() <= len(table)})
        if not moving and keys.duplicated().any():
            row = int(np.flatnonzero(keys.duplicated().to_numpy())[0])
            raise DataError(
                f"{origin.source}, {origin.row(row)}: run {shown(table['run'].iloc[row])} has several rows, and no "
                f"column says how far along each is; map one with {REMEDY}, or give each run its own id",
                Remedy("columns", "steps", "name"),
            )
    else:
        # Cells of other columns may be lists or objects, which pandas cannot compare, so their text is compared.
        kinds = pd.api.types
        keys = pd.DataFrame(
            {c: v if kinds.is_numeric_dtype(v.dtype) else v.astype(object).map(repr) for c, v in table.items()}
        )
        what = "the same values in every column"
    same = keys.duplicated().to_numpy()
    if same.any():
        row = int(np.flatnonzero(same)[0])
        group = keys.groupby(list(keys), sort=False, dropna=False).ngroup().to_numpy()
        first = int(np.flatnonzero(group == group[row])[0])
        if "run" in table and "loss" in table:
            _refuse_restarts(table, group, origin)
        raise DataError(
            f"{origin.source}, {origin.row(row)} repeats {origin.row(first)} ({what}){others(same)}: drop the copies, "
            "or give repeated runs their own id in a column 'run'"
        )


def _refuse_restarts(table: pd.DataFrame, group: np.ndarray, origin: Origin) -> None:
    """Refuse rows of one run at the same point of training that have other losses, as those before a restart have.

    Parameters
    ----------
    group : (n_row,) which rows are at the same point
    """
    for said in _restarts(table, origin):
        raise DataError(f"{origin.source}: {said}, so that no point of training comes twice")
    loss = table["loss"].to_numpy()
    earlier = np.unique(group, return_index=True)[1][group]
    differ = loss != loss[earlier]
    if differ.any():
        row = int(np.flatnonzero(differ)[0])
        raise DataError(
            f"{origin.source}, {origin.row(row)} has loss {loss[row]:.6g} where {origin.row(earlier[row])}, the same "
            f"run at the same point of training, has {loss[earlier[row]]:.6g}{others(differ)}: if the run was "
            "restarted, keep the later rows; otherwise give repeated runs their own id in a column 'run'"
        )


def _holds_text(cells: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(cells.dtype) and all(isinstance(cell, str) for cell in cells.dropna())


def _refuse_wrong_flops(table: pd.DataFrame, origin: Origin) -> None:
    power = np.log10(table["flops"].to_numpy() / FLOPS_PER_PARAM_TOKEN) - np.log10(
        (table["params"] * table["tokens"]).to_numpy()
    )
    bad = np.abs(power) > np.log10(FLOPS_FACTOR)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{origin.cell(row, 'flops')}: {table['flops'].iloc[row]:.3g} is {10 ** power[row]:.3g} times 6 x params x "
            f"tokens (allowed: within {FLOPS_FACTOR:g}x){_unit_guess(power[row])}; check the units of these "
            f"three columns{others(bad)}; where tokens count something else, as images, leave flops out: {REMEDY}",
            Remedy("columns", "flops", ""),
        )


def _unit_guess(power: float) -> str:
    """Return which unit would explain FLOPs that are ``10 ** power`` times 6ND."""
    if abs(power + np.log10(PF_DAY)) < 0.35:
        return f", as if flops were given in PF-days of {PF_DAY:g} FLOPs"
    for digits in (3, 6, 9, 12, 15, 18, 21):
        if abs(abs(power) - digits) < 0.7:
            side = "params or tokens were" if power > 0 else "flops were"
            return f", as if {side} given in units of 1e{digits}"
    return ""


def _refuse_changed_size(table: pd.DataFrame, origin: Origin) -> None:
    if "params" not in table:
        return
    first = table.groupby("run", sort=False)["params"].transform("first").to_numpy()
    bad = table["params"].to_numpy() != first
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{origin.cell(row, 'params')}: run {shown(table['run'].iloc[row])} has {shown(table['params'].iloc[row])} "
            f"parameters here and {shown(first[row])} in an earlier row{others(bad)}: one run, one size"
        )


def odd_rows(table: pd.DataFrame) -> list[str]:
    """Return warnings for rows, measured or planned, whose own columns hardly fit each other."""
    odd = []
    for small, large, why in (
        ("unique_tokens", "tokens", "a run cannot see more distinct tokens than it processes"),
        ("loss_se", "loss", "a standard error above the loss itself is no information"),
    ):
        if {small, large} <= set(table) and (bad := (table[small] > 1.01 * table[large]).to_numpy()).any():
            odd.append(f"{small} is above {large} in row {int(np.flatnonzero(bad)[0]) + 1}{others(bad)}: {why}")
    if {"steps", "batch_tokens", "tokens"} <= set(table):
        ratio = (table["tokens"] / (table["steps"] * table["batch_tokens"])).to_numpy()
        if (bad := (ratio > 2) | (ratio < 0.5)).any():
            row = int(np.flatnonzero(bad)[0])
            odd.append(f"tokens is {ratio[row]:.3g} times steps x batch_tokens in row {row + 1}{others(bad)}")
    return odd


def _twins(table: pd.DataFrame) -> list[str]:
    """Return a warning where runs of other ids repeat sizes and loss of runs before them, to the last digit."""
    sizes = [name for name in ("params", "tokens", "flops", "steps") if name in table]
    if "run" not in table or not sizes:
        return []
    same = table.duplicated([*table.select_dtypes("number").columns]).to_numpy()
    if same.sum() < TWINS * len(table):
        return []
    row = int(np.flatnonzero(same)[0])
    return [
        f"row {row + 1} has every number of a run before it{others(same)}: are runs in the table twice, under other "
        "ids? Copies make a fit too sure, and may keep it from converging"
    ]


def _odd_flops(table: pd.DataFrame) -> list[str]:
    """Return a warning where FLOPs are counted by another rule than those of planned runs."""
    if not {"params", "tokens", "flops"} <= set(table):
        return []
    ratio = float(np.median(table["flops"] / (FLOPS_PER_PARAM_TOKEN * table["params"] * table["tokens"])))
    if 1 / FLOPS_OTHERWISE < ratio < FLOPS_OTHERWISE:
        return []
    rule = f"{FLOPS_PER_PARAM_TOKEN:g} x params x tokens"
    return [
        f"flops is {ratio:.3g} times {rule} in the median run, and planned runs are counted as {rule}: for a law of "
        "flops give their flops too, or drop the column"
    ]


def _restarts(table: pd.DataFrame, origin: Origin) -> list[str]:
    """Return a warning where a counter falls along the rows of a run, and the loss goes on as if it had not."""
    along = next((name for name in ("steps", "tokens") if name in table), "")
    if not along or "run" not in table:
        return []
    run, at, loss = pd.factorize(table["run"])[0], table[along].to_numpy(), np.log(table["loss"].to_numpy())
    order = np.argsort(run, kind="stable")
    run, at, loss = run[order], at[order], loss[order]
    fell = np.flatnonzero((np.diff(run) == 0) & (np.diff(at) < 0)) + 1
    fell = fell[np.unique(run[fell], return_index=True)[1]]  # rows before a later fall do not grow
    begins = np.searchsorted(run, run[fell])
    bad = [end for start, end in zip(begins, fell, strict=True) if _goes_on(at, loss, int(start), int(end))]
    if not bad:
        return []
    row, last = int(order[bad[0]]), int(order[bad[0] - 1])
    more = others(np.ones(len(bad), bool))
    return [
        f"{along} of run {shown(table['run'].iloc[row])} falls from {at[bad[0] - 1]:g} in {origin.row(last)} to "
        f"{at[bad[0]]:g} in {origin.row(row)}{more}, and its loss goes on: was the counter reset after a restart? "
        "It should go on, too"
    ]


def _goes_on(at: np.ndarray, log_loss: np.ndarray, start: int, fall: int) -> bool:
    """Return whether the loss where a counter falls is nearer to the last one than to what it was at that count.

    Rows that are only in another order have the loss that belongs to their count.
    """
    before = slice(start, fall)
    if fall - start < CURVE or (np.diff(at[before]) <= 0).any() or at[fall] < at[start]:
        return False
    there, last = float(np.interp(np.log(at[fall]), np.log(at[before]), log_loss[before])), float(log_loss[fall - 1])
    return there - last > FELL and log_loss[fall] < (there + last) / 2


def unread_sizes(table: pd.DataFrame, derived: Collection[str] = ()) -> list[str]:
    """Return a warning for each size that no column was read as, though the name of one looks like it.

    Parameters
    ----------
    derived : sizes that follow from others, and that a column may hold as they were counted
    """
    odd = []
    numbers = [str(name) for name, cells in table.select_dtypes("number").items() if filled(cells, with_numbers=True)]
    named = {name: words(name) for name in numbers if name not in CANONICAL}
    for size, spelled in LIKE_SIZES.items():
        like = [name for name, of in named.items() if of & spelled and not of & OF_SOMETHING_ELSE]
        if size in derived:
            counted = [name for name in like if name != size and _goes_along(table[size], table[name])]
            odd += [
                f"{size} are derived from other columns, though {shown(name)} looks like them: if it holds them, map "
                f"it to {size}, in raw units"
                for name in counted[:1]
            ]
        elif size not in table and like:
            odd.append(
                f"no column was read as {size}, though {shown(like[0])} looks like it: rename it, or map it to {size}, "
                "in raw units"
            )
    return odd


def _goes_along(size: pd.Series, other: pd.Series) -> bool:
    """Say whether a column is a size in some unit, as near as counting rules differ, and does not repeat it."""
    values = other.to_numpy(float)
    if not (np.isfinite(values) & (values > 0)).all() or np.allclose(values, size.to_numpy(float), rtol=SAME):
        return False
    sizes = np.log(size.to_numpy(float))
    ratio = np.log(values) - sizes
    return bool(np.ptp(sizes) > 0 and np.ptp(ratio) < np.log(FLOPS_FACTOR) and ratio.std() < ALONG * sizes.std())


def oddities(table: pd.DataFrame, loss_unit: str, derived: Collection[str] = ()) -> tuple[str, ...]:
    """Return warnings for what looks wrong in a validated table but is possible.

    Parameters
    ----------
    derived : columns that follow from others
    """
    odd = []
    if {"params", "tokens"} <= set(table):
        per_param = float(np.median(table["tokens"] / table["params"]))
        for name, wrong in (("params", per_param > 1e5), ("tokens", per_param < 1e-2)):
            if wrong:
                odd.append(
                    f"{per_param:.3g} tokens per parameter: {name} look as if given in millions or billions; "
                    "every column is read in raw units"
                )
        batch = ", or is batch_tokens given in sequences" if "batch_tokens" in table else ""
        if per_param >= 1e-2 and len(table) > 1 and (table["tokens"] < table["params"]).all():
            odd.append(
                f"every run has fewer tokens than parameters (at most {(table['tokens'] / table['params']).max():.2g} "
                f"per parameter): are the columns params and tokens swapped{batch}?"
            )
    # Smaller than any training run of a second: with few columns, only this reveals a wrong unit.
    for name, least in (("flops", 1e9), ("params", 1e3), ("tokens", 1e4)):
        # Alone, what is called tokens may count images, cells or crystals.
        there = name in table and (name != "tokens" or "params" in table)
        if there and (largest := float(table[name].max())) < least:
            odd.append(
                f"the largest {name} is {largest:.3g}: it looks as if the unit is not raw {name}"
                + (f" (a PF-day is {PF_DAY:g} FLOPs)" if name == "flops" else "")
            )
    for name in ("params", "tokens"):
        if name in table:
            jumps = np.diff(np.sort(np.log10(table[name].to_numpy())))
            if jumps.size and jumps.max() > 4.5:
                odd.append(f"{name} jumps by a factor {10 ** jumps.max():.1g}: some rows may be in other units")
    odd += [
        *odd_rows(table),
        *_twins(table),
        *_odd_flops(table),
        *_restarts(table, AS_READ),
        *unread_sizes(table, derived),
    ]
    tuning = tuning_of(table) if RATE in table else None
    if tuning is not None:
        odd.append(tuning.words)
    return (*odd, *odd_losses(table, loss_unit), *odd_ends(table))
