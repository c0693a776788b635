"""Assemble logged runs into a table: keys become columns, and notes name what cannot be used."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

import numpy as np
import pandas as pd

from bayes_scaling.base.messages import encodable, listed, plain, shown
from bayes_scaling.data.columns import GROWING
from bayes_scaling.data.hints import other_units
from bayes_scaling.data.importers.logged import PLANS, ByStep, LeftOut, Logged
from bayes_scaling.data.naming import NUMERIC, SPELLINGS
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.validation import number
from bayes_scaling.errors import REMEDY, DataError, Remedy

OWN_STEP = "_step"
LAST = Remedy("last", value=True)
KEEP_LAST = "the option that keeps the last row of each run"
"""`LAST` in the notes of an import, which are printed as they are."""


class _Unusable(Exception):
    """A run cannot be used; the message says why."""


class ImportOptions(TypedDict, total=False):
    """Options of every importer.

    Attributes
    ----------
    last : keep the last row of each run, not its whole curve
    groups : keys to keep as columns under their own name
    params_convention, loss_unit : as in `Runs.from_frame`
    """

    last: bool
    groups: Sequence[str]
    params_convention: str
    loss_unit: str


def assemble(
    found: Iterable[Logged | LeftOut], columns: Mapping[str, str], source: str, **options: Unpack[ImportOptions]
) -> Runs:
    """Return runs with the mapped columns, one row for every logged loss.

    Other metrics are read at the step of the loss. If they were not logged there, columns that grow along a run
    (steps, tokens, flops) are interpolated and stay constant after their last value; others take the last value before.

    Returns
    -------
    Runs
        Their notes say which runs were left out, and what else was done.
    """
    last, groups = options.get("last", False), options.get("groups", ())
    loss_unit = options.get("loss_unit", "nats/token")
    found = list(found)
    left = [one for one in found if isinstance(one, LeftOut)]
    wanted = _wanted(columns, groups, [one for one in found if isinstance(one, Logged)], left, source)
    planned = _planned(wanted, [one for one in found if isinstance(one, Logged)])
    tables, counts, unfinished = [], Counter[str](), []
    for run in (one for one in found if isinstance(one, Logged)):
        said = Counter[str]()
        try:
            table = _table(run, wanted, set(groups), last, said, planned)
            Runs.from_frame(table, source=f"run {plain(run.run)}", loss_unit=loss_unit)
        except (_Unusable, DataError) as reason:
            left.append(LeftOut(run.run, _why(reason, run.run)))
            continue
        tables.append(table)
        counts.update(said)
        unfinished += [run] if run.finished is False else []
    if not tables:
        same = len(left) > 1 and len({one.why for one in left}) == 1
        why = f": {left[0].why}" if same else f"; {'; '.join(map(str, left[:3]))}"
        raise DataError(f"no run of {source} can be used{why}", *([LAST] if REMEDY in why else []))
    notes = [note for one in found if isinstance(one, Logged) for note in one.notes]
    notes += [f"{what}: {plural(many, 'row')}" for what, many in counts.items() if many]
    if unfinished:
        words = (f"{one.run} ({one.status.lower()})" for one in unfinished)
        notes.append(f"unfinished runs, kept up to their last row: {listed(words)}")
    runs = Runs.from_frame(
        _uniform(pd.concat(tables, ignore_index=True), groups),
        source=source,
        params_convention=options.get("params_convention", "unstated"),
        loss_unit=loss_unit,
    )
    return dataclasses.replace(
        runs,
        notes=(*notes, *(str(one).replace(REMEDY, KEEP_LAST) for one in left), *runs.notes),
        warnings=(*other_units(wanted["loss"], loss_unit), *runs.warnings),
    )


def plural(many: int, what: str) -> str:
    """Return a count in words: ``1 row``, ``2 rows``."""
    return f"{many} {what}{'' if many == 1 else 's'}"


def _wanted(
    columns: Mapping[str, str], groups: Sequence[str], runs: Sequence[Logged], left: Sequence[LeftOut], source: str
) -> dict[str, str]:
    """Return the mapping from column to key of everything to read; the error lists the keys that exist."""
    if not isinstance(columns, Mapping) or any(not isinstance(key, str) for key in columns.values()):
        raise DataError(f"columns is {shown(columns)}; expected a mapping like {{'loss': 'val_loss'}}")
    if not runs:
        why = f"; {'; '.join(map(str, left[:3]))}" if left else ""
        raise DataError(f"{source} holds no runs that can be read{why}")
    keys = _keys(runs)
    have = "; ".join(f"{kind}: {listed(sorted(names))}" for kind, names in keys.items() if names)
    if "loss" not in columns or len(columns) + len(groups) < 2:
        raise DataError(f"map the loss and what a law reads, like params=n_params,loss=val_loss; {source} has {have}")
    taken = [name for name in groups if name in (*columns, *SPELLINGS)]
    if taken:
        raise DataError(f"{shown(taken[0])} cannot be a group because it is a canonical column; map it instead")
    wanted = {**columns, **{key: key for key in groups}}
    for name, key in wanted.items():
        if key != OWN_STEP and not any(_found(run, key) for run in runs):
            raise DataError(f"no run of {source} has {shown(key)}, to be read as {plain(name)}; it has {have}")
    return wanted


def _keys(runs: Sequence[Logged]) -> dict[str, set[str]]:
    keys: dict[str, set[str]] = {"metrics": set()}
    for run in runs:
        keys["metrics"].update(run.metrics)
        for kind, values in run.once.items():
            keys.setdefault(kind, set()).update(values)
    return keys


def _found(run: Logged, key: str) -> tuple[str, Any] | None:
    """Return the kind and the value of a key: points of a metric, or a value that a run has once."""
    kind, _, inner = key.partition(".")
    if kind == "metrics" and inner in run.metrics:
        return "metrics", run.metrics[inner]
    if kind in run.once and inner in run.once[kind]:
        return kind, run.once[kind][inner]
    found = [("metrics", run.metrics[key])] if key in run.metrics else []
    found += [(kind, values[key]) for kind, values in run.once.items() if key in values and _is_given(values[key])]
    if len(found) > 1 and found[0][0] == "metrics":
        found = [found[0], *(one for one in found[1:] if one[0] in PLANS)]  # a summary repeats the metrics
    if len({repr(value) for _, value in found}) > 1:
        could = " or ".join(f"{kind}.{plain(key)}" for kind, _ in found)
        raise DataError(
            f"run {plain(run.run)} has {plain(key)} as {' and as '.join(k for k, _ in found)}; write {could}"
        )
    return found[0] if found else None


def _is_given(value: Any) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


# --- one run ---


def _planned(wanted: Mapping[str, str], runs: Sequence[Logged]) -> set[str]:
    """Return columns that should grow along a run, but are one number in all rows of each run, as a plan is."""
    planned = set()
    for name in GROWING:
        key = wanted.get(name, "").removeprefix("metrics.")
        values = [[value for value in run.metrics.get(key, {}).values() if math.isfinite(value)] for run in runs]
        if any(len(inside) > 1 for inside in values) and all(len(set(inside)) < 2 for inside in values):
            planned.add(name)
    return planned


def _table(
    run: Logged, wanted: Mapping[str, str], groups: set[str], last: bool, said: Counter[str], planned: set[str]
) -> pd.DataFrame:
    """Return the rows of a run; ``said`` counts rows by what was done to them."""
    _refuse_broken_text(run.run, "name")
    found = {name: (OWN_STEP, None) if key == OWN_STEP else _found(run, key) for name, key in wanted.items()}
    missing = [wanted[name] for name, what in found.items() if what is None and name not in groups]
    if missing:
        raise _Unusable(f"it has no {listed(missing)}")
    kind, losses = _pair(found["loss"])
    points: ByStep = losses if kind == "metrics" else {0: _real(losses, wanted["loss"])}
    steps = np.array(sorted(points), dtype=np.int64)
    loss = np.array([points[step] for step in steps.tolist()])
    if not math.isfinite(loss[-1]):
        where = f" at step {steps[-1]}" if kind == "metrics" else ""
        raise _Unusable(f"diverged: its last loss ({plain(wanted['loss'])}{where}) is {loss[-1]:g}")
    _refuse_plans(run, wanted, found, len(steps) > 1 and not last, planned)
    table: dict[str, Any] = {"run": run.run}
    usable, elsewhere = np.isfinite(loss), dict[str, np.ndarray]()
    gaps = int((~usable).sum())
    for name, key in wanted.items():
        kind, value = _pair(found[name])
        if name == "loss":
            table[name] = loss
        elif kind == OWN_STEP:
            table[name] = steps.astype(float)
        elif kind == "metrics":
            table[name], elsewhere[name] = _at(steps, value, along=name in GROWING)
        else:
            table[name] = _real(value, key) if name in NUMERIC else _cell(value, key)
        if kind == "metrics" or name in GROWING:
            usable &= np.isfinite(table[name])
            usable &= (np.asarray(table[name]) > 0) | (name not in GROWING)
    frame = pd.DataFrame(table, index=range(len(steps)))
    along = [name for name in GROWING if name in frame]
    later = frame[usable].duplicated(along, keep="last") if along else pd.Series(False, index=frame.index[usable])
    frame = frame[usable][~later]
    if frame.empty:
        zero = [name for name in GROWING if name in table and (np.nan_to_num(table[name], nan=1.0) <= 0).all()]
        if zero:
            raise _Unusable(f"{zero[0]} is 0 ({plain(wanted[zero[0]])}), so training had not begun")
        raise _Unusable(f"it logged no {listed(wanted[name] for name in found if name not in groups)} by the same step")
    frame = frame.tail(1) if last else frame
    for name, apart in elsewhere.items():
        how = "interpolated between logged steps" if name in GROWING else "as last logged before the step of the loss"
        said[f"{plain(wanted[name])} {how}"] += int(apart[frame.index].sum())
    for name in (name for name, what in found.items() if what is None):
        said[f"{plain(name)} empty"] += len(frame)
    if not last:
        said["left out, the loss is not a number"] += gaps
        said["left out, training had not begun or a mapped key was not logged yet"] += int((~usable).sum()) - gaps
        said["left out, a later row has the same point of training"] += int(later.sum())
    for key in wanted.values():
        many = run.overwritten.get(key.removeprefix("metrics."), 0)
        said[f"{plain(key)} logged more than once at a step, the last value counts"] += many
    return frame


def _why(reason: Exception, run: str) -> str:
    """Return why a run cannot be used, without its name; a mapping is worded as keys, and `LAST` is left open."""
    if isinstance(reason, DataError):
        text = reason.worded(lambda remedy: REMEDY if remedy == LAST else f"{remedy.key}=KEY")
    else:
        text = str(reason)
    text = text.removeprefix(f"run {plain(run)}, ").removeprefix(f"run {plain(run)}: ")
    return f"it {text.removeprefix(has)}" if text.startswith(has := f"run {plain(run)} ") else text


def _pair(found: tuple[str, Any] | None) -> tuple[str, Any]:
    return found or ("", None)


def _refuse_plans(
    run: Logged, wanted: Mapping[str, str], found: Mapping[str, Any], curve: bool, repeated: set[str]
) -> None:
    """Refuse a planned value, such as the tokens of the whole run, where it does not describe the row.

    A plan may also be a metric that is ``repeated`` in every row.
    """
    once = {name for name in GROWING if found.get(name) and found[name][0] not in ("metrics", OWN_STEP)}
    planned = [name for name in GROWING if name in once or (name in repeated and found.get(name))]
    if curve and not any(name in wanted for name in GROWING):
        raise DataError(
            f"none of {', '.join(GROWING)} is mapped, so nothing distinguishes the rows of a curve: "
            f"add {REMEDY}, or map one",
            LAST,
        )
    if planned and curve:
        key = plain(wanted[planned[0]])
        raise DataError(
            f"{planned[0]} is one number for a whole run ({key} of {found[planned[0]][0]}), so it cannot distinguish "
            f"the rows of a curve: add {REMEDY}, or map a metric that grows along the run",
            LAST,
        )
    if planned and run.finished is False and (planned[0] in repeated or found[planned[0]][0] in PLANS):
        raise _Unusable(
            f"its status is {plain(run.status)}, so it may not have reached the {planned[0]} of its "
            f"{found[planned[0]][0]} ({plain(wanted[planned[0]])})"
        )


def _at(steps: np.ndarray, points: ByStep, along: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return a metric at the steps of the loss, and whether its value comes from another step.

    Returns
    -------
    values ``(n_row,)``, NaN before it was first logged; ``(n_row,)`` bool
    """
    logged = np.array(sorted(step for step, value in points.items() if math.isfinite(value)), dtype=np.int64)
    if not logged.size:
        return np.full(len(steps), np.nan), np.zeros(len(steps), dtype=bool)
    values = np.array([points[step] for step in logged.tolist()])
    if not along and len(set(values.tolist())) == 1:  # a size is often logged once, at any step
        return np.full(len(steps), values[0]), np.zeros(len(steps), dtype=bool)
    before = np.searchsorted(logged, steps, side="right") - 1
    at = np.interp(steps, logged, values) if along else values[np.maximum(before, 0)]
    return np.where(before < 0, np.nan, at), logged[np.maximum(before, 0)] != steps


def _real(value: Any, key: str) -> float:
    found = number(value)
    if found is None:
        raise _Unusable(f"its {plain(key)} is {shown(value, 40)}; expected a plain number like 1.4e12")
    return found


def _cell(value: Any, key: str) -> Any:
    """Return a value in a form that a cell can hold."""
    _refuse_broken_text(value, key)
    return value if isinstance(value, str | int | float | bool) or value is None else json.dumps(value, default=str)


def _refuse_broken_text(value: Any, what: str) -> None:
    """Refuse text that no file of a table can hold, or that its readers take for damage."""
    if isinstance(value, str) and ("\0" in value or not encodable(value)):
        raise _Unusable(f"its {plain(what)} is {shown(value, 40)}, which is not valid text")


def _uniform(table: pd.DataFrame, groups: Sequence[str]) -> pd.DataFrame:
    """Write group columns of mixed types as text, which every file format can hold."""
    mixed = {
        name: table[name].map(lambda cell: None if cell is None else str(cell))
        for name in groups
        if len({type(cell) for cell in table[name] if cell is not None}) > 1
    }
    return table.assign(**mixed)
