"""Fits of arms, the recipes of one table: laws of which each recipe has a level and an exponent of its own.

Whether recipes share the irreducible loss decides the answer far out, so both versions are fitted: one that all
recipes *share*, and one of its *own* for each. Both are absolute losses. Parameters of laws are usually stated as
shares of the level of the loss, which differs between recipes, so rows of the law are rewritten: E is a share of the
median loss of the table, and the level is what it adds to E.

Runs of several recipes with the same seed and inputs err together: the data came in the same order, and the law errs
there for all of them. Such sets of runs share a deviation, so what is common to them does not blur the difference.

The law's own error is left out as far as all recipes share it, since it moves none past another. Beyond its largest run
each recipe leaves the law on its own, on the scale of the scatter of runs and of its lead: leads change as they grow.

All laws get equal weight; their forecasts of held-out runs were not used: a law that forecasts losses best need not
forecast their differences best.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pandas as pd

from bayes_scaling.base.messages import listed, shown
from bayes_scaling.base.names import IRREDUCIBLE
from bayes_scaling.base.streams import LEAVING, stream
from bayes_scaling.base.warned import warn_caller
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import DataError, LawError
from bayes_scaling.evaluate.defaults import default_laws
from bayes_scaling.inference.fit import fit_law
from bayes_scaling.inference.result import Fit
from bayes_scaling.inference.sampler import SamplerChoice
from bayes_scaling.laws.catalogue import load_law
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.parameters import LOSS_AT_CENTRE, Parameter
from bayes_scaling.model.discrepancy import log_size
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.pooling import Pooling, group_names, partial, separate
from bayes_scaling.predict.cautions import RUN_SIZES
from bayes_scaling.predict.ensemble import Ensemble, drawn_by_weight
from bayes_scaling.predict.members import Member
from bayes_scaling.predict.paths import Paths

APART = 0.5  # scale of the path by which a recipe leaves the law on its own over one e-fold, over that of the scatter
LEAD = 0.2  # and over what it is ahead of, or behind, the mean of all recipes at its largest run
FEWEST = 2  # sizes of a recipe
NEAR = 0.25  # e-folds within which two sizes count as one scale


@dataclasses.dataclass(frozen=True, eq=False)
class Arms:
    """The recipes of a table under one reading of the irreducible loss.

    Attributes
    ----------
    by : the column that names them
    irreducible : ``shared`` or ``own``
    fits : by law, its posterior; laws count the same
    arms : by name, draws of the loss of any run of that recipe, by all laws; draw by draw they share law and parameters
    pairs : sets of runs of several recipes with the same seed and the same inputs
    """

    by: str
    irreducible: str
    fits: Mapping[str, Fit]
    arms: Mapping[str, Ensemble]
    pairs: int

    @property
    def runs(self) -> Runs:
        """The table."""
        return next(iter(self.fits.values())).runs

    @property
    def label(self) -> str:
        """Names of the laws."""
        return next(iter(self.arms.values())).label


def fitted_arms(
    laws: Sequence[Law],
    runs: Runs,
    by: str,
    irreducible: str,
    *,
    known: Arms | None = None,
    sampler: SamplerChoice = "auto",
    seed: int = 0,
    progress: bool | None = None,
    unconverged: bool = False,
) -> Arms:
    """Fit laws to the recipes of a table.

    Parameters
    ----------
    laws : that read the same inputs
    by : column that names the recipes
    irreducible : ``shared`` or ``own``
    known : the other reading, where it is there: laws without an irreducible loss are the same in both
    sampler, seed, progress : as of `fit`
    unconverged : keep fits that did not converge, which are left out with a warning where others did

    Raises
    ------
    DataError
        When there are fewer than two recipes, or one has runs of a single size.
    ConvergenceError
        When no fit converged.
    """
    names = recipes_of(runs, by)
    block = paired(runs, names, laws[0])
    noise: Any = "auto"
    if block is not None:
        runs, noise = dataclasses.replace(runs, table=runs.table.assign(run=block)), _PAIRED
    fits = {} if known is None else {name: one for name, one in known.fits.items() if one.law.irreducible is None}
    for law in laws:
        if law.label not in fits:
            floored = with_absolute_floor(law)
            if irreducible == "shared" and law.irreducible is not None and floored is law:
                warn_caller(_FOLLOWS.format(law.label))
            fits[law.label] = fit_law(
                floored,
                runs,
                noise=noise,
                discrepancy="none",
                pooling=pooling_of(floored, by, irreducible),
                sampler=sampler,
                seed=seed,
                progress=progress,
            )
    fits = _usable({law.label: fits[law.label] for law in laws}, irreducible, unconverged)
    pairs = 0 if block is None else int((pd.Series(block).value_counts() > 1).sum())
    parts = [_on_their_own(one, by, names, seed) for one in fits.values()]
    return Arms(by, irreducible, fits, _with_equal_shares(parts, seed), pairs)


_FOLLOWS = (
    "the irreducible loss of {} follows the level of the loss, which each recipe has of its own, so recipes do not "
    "share it; another law does"
)


def _usable(fits: dict[str, Fit], irreducible: str, unconverged: bool) -> dict[str, Fit]:
    """Leave out fits that did not converge, with a warning; refuse where none did."""
    left_out = [] if unconverged else [name for name, one in fits.items() if one.problems]
    if len(left_out) == len(fits):
        fits[left_out[0]].require_convergence()
    for name in left_out:
        said = f"{name} did not converge ({'; '.join(fits[name].problems)}), and has no say where irreducible is"
        warn_caller(f"{said} {irreducible}")
    return {name: one for name, one in fits.items() if name not in left_out}


def _with_equal_shares(parts: Sequence[Mapping[str, Ensemble]], seed: int) -> dict[str, Ensemble]:
    """Return the draws of each recipe by all laws, of which each has the same share, alike for all recipes."""
    if len(parts) == 1:
        return dict(parts[0])
    counts = {label: len(one) for part in parts for label, one in next(iter(part.values())).members.items()}
    weight = 1 / len(parts)
    chosen = drawn_by_weight(dict.fromkeys(counts, weight), counts, seed)
    return {
        name: dataclasses.replace(
            first,
            members={
                label: dataclasses.replace(member.take(chosen[label]), weight=weight)
                for part in parts
                for label, member in part[name].members.items()
            },
        )
        for name, first in parts[0].items()
    }


_PAIRED = Noise("normal", rows="correlated", rows_per_curve=None)


def recipes_of(runs: Runs, by: str) -> list[str]:
    """Return the recipe of each row; refuse a table that has only one, or one with a single size."""
    if by in (*RUN_SIZES, "batch_tokens", "loss", "loss_se"):
        raise DataError(f"{runs.source}: {by} is a size or a loss, expected a column that names recipes")
    names = group_names(runs.table, by, runs.source)
    counts = pd.Series(names).value_counts()
    if len(counts) < 2:
        raise DataError(
            f"{runs.source}, column {by}: every run has the recipe {shown(names[0])}; expected two recipes or more"
        )
    sized = runs.table[[name for name in RUN_SIZES if name in runs.table]].assign(recipe=names)
    sizes = sized.drop_duplicates()["recipe"].value_counts()
    alone = sorted(str(name) for name, count in sizes.items() if count < FEWEST)
    if alone:
        has = "one run" if counts[alone[0]] == 1 else f"{counts[alone[0]]} runs of one size"
        raise DataError(
            f"{runs.source}, column {by}: recipe {shown(alone[0])} has {has}, which says nothing about how it scales;"
            f" expected at least {FEWEST} sizes of each recipe: train another one, or leave its rows out"
        )
    return names


def arms_laws(law: Law | str | Sequence[Law | str] | None, runs: Runs) -> tuple[Law, ...]:
    """Return the laws that recipes are compared by: those named, or the default ones that read what the first does.

    Raises
    ------
    LawError
        When there is none, or two that are named read different inputs.
    """
    if law is None:
        return alike([load_law(name) for name in default_laws(runs)])
    given = (law,) if isinstance(law, Law | str) else law
    named = [load_law(one) if isinstance(one, str) else one for one in given]
    found = tuple({one.label: one for one in named}.values())
    if not found:
        raise LawError("no law to compare recipes by; name one or more, or leave law out")
    for other in found[1:]:
        if set(other.inputs) != set(found[0].inputs):
            raise LawError(
                f"{found[0].label} reads {listed(found[0].inputs)}, and {other.label} {listed(other.inputs)}; expected "
                "laws of the same inputs, or one"
            )
    return found


def alike(laws: Sequence[Law]) -> tuple[Law, ...]:
    """Return the laws that read the inputs of the first."""
    return tuple(one for one in laws if set(one.inputs) == set(laws[0].inputs))


def with_absolute_floor(law: Law) -> Law:
    """Return a law whose irreducible loss does not follow the level of the loss; itself where it has none.

    Only rows change that read ``E / L_0`` and ``L_0 / median loss``: the mean, and every other row, are as they were.
    """
    rows = {row.name: row for row in law.parameters}
    level = rows.get(LOSS_AT_CENTRE.name)
    floors = [row for row in law.sampled if row.role == "irreducible" and row.needs == (LOSS_AT_CENTRE.name,)]
    if not isinstance(level, Parameter) or level.value is not LOSS_AT_CENTRE.value or len(floors) != 1:
        return law
    floor = dataclasses.replace(floors[0], quantity="E / median loss of the runs", value=_share_of_median)
    raised = dataclasses.replace(
        level,
        prior=dist.LogNormal(0.0, 0.5),
        source="recipes of one table lose about the same in the middle of it",
        quantity="(L_0 - E) / (median loss - E)",
        value=_above(floor.name),
    )
    others = [row for row in law.parameters if row.name not in (level.name, floor.name)]
    return dataclasses.replace(law, parameters=(floor, raised, *others))


def _share_of_median(draw: Any, at: Any) -> Any:
    return draw * at.loss


@functools.cache
def _above(floor: str) -> Callable[..., Any]:
    """Return how the level follows from its draw and from a parameter of this name."""

    def value(draw: Any, at: Any, **row: Any) -> Any:
        return row[floor] + (at.loss - row[floor]) * draw

    named = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("draw", "at", floor)]
    value.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    return value


def pooling_of(law: Law, by: str, irreducible: str) -> Pooling:
    """Return how parameters vary between recipes: each has its level and exponent, the rest is shared.

    An irreducible loss of its own comes from a population. Exponents do not: a population of two or three recipes says
    little of its width, and sampling it takes several times as long.
    """
    if irreducible not in IRREDUCIBLE:
        raise DataError(f"irreducible is {shown(irreducible)}; expected {listed(IRREDUCIBLE)}")
    exponents = [row.name for row in law.sampled if row.role == "exponent"][:1]  # others are ratios to the first
    own = [row.name for row in law.sampled if row.role == "irreducible" and irreducible == "own"]
    levels = {row.name: separate(by) for row in law.sampled if row.role == "level"}
    return levels | {name: separate(by) for name in exponents} | {name: partial(by) for name in own}


def paired(runs: Runs, names: list[str], law: Law) -> np.ndarray | None:
    """Return which set of runs with the same seed and inputs each row is in, ``(n_row,)``; None without such sets.

    Parameters
    ----------
    names : recipe of each row
    """
    if "seed" not in runs.table:
        return None
    if "run" in runs and runs.table[["run"]].assign(recipe=names).duplicated().any():
        return None  # rows of training curves share the deviation of their own run
    by = ["seed", *law.inputs]
    keys = runs.table[by].assign(recipe=names)
    if keys.duplicated().any():  # several runs of one recipe are alike: no telling which belong together
        return None
    block = keys.groupby(by, dropna=False, sort=False).ngroup()
    if not (block.value_counts() > 1).any():
        return None
    return block.map("set {}".format).to_numpy()


def _on_their_own(fit: Fit, by: str, names: list[str], seed: int) -> dict[str, Ensemble]:
    """Return the draws of each recipe, which leaves the law on its own beyond its largest run."""
    inside = {name: np.flatnonzero(np.array(names) == name) for name in sorted(set(names))}
    arms = {name: Ensemble.of(fit, seed, group={by: name}, unconverged=True) for name in inside}
    sizes = log_size(fit.law, {column: fit.runs.column(column) for column in fit.law.inputs})
    out = {}
    for place, (name, rows) in enumerate(inside.items()):
        largest = rows[sizes[rows].argmax()]
        there = {column: fit.runs.column(column)[[largest]] for column in fit.law.inputs}
        laws = {other: arm.log_law(arm.points(**there))[:, 0] for other, arm in arms.items()}
        lead = np.abs(laws[name] - np.mean(list(laws.values()), axis=0))
        ((label, member),) = arms[name].members.items()
        scale = np.hypot(APART * member.theta["sigma"], LEAD * lead)
        left = _leaving(member, scale, float(sizes[largest]), stream(seed, LEAVING, place))
        out[name] = dataclasses.replace(arms[name], members={label: left})
    return out


def _leaving(member: Member, scale: np.ndarray, edge: float, rng: np.random.Generator) -> Member:
    """Add a path of its own, Brownian from a size on, to the discrepancy of a member.

    Parameters
    ----------
    scale : (n_draw,) over one e-fold
    edge : log size
    rng : of the path
    """
    (path,) = member.paths.along
    steps = np.diff(np.maximum(path.places, edge), prepend=max(path.places[0], edge))
    fresh = rng.standard_normal((len(member), len(steps)))
    own = scale[:, None] * np.cumsum(np.sqrt(steps) * fresh, axis=1)
    left = dataclasses.replace(path, unresolved=path.unresolved + own)
    return dataclasses.replace(member, paths=Paths((left,)))


def one_scale(runs: Runs, by: str, law: Law, sizes: np.ndarray) -> pd.DataFrame:
    """Rank recipes as is usual: by their loss at one scale, the largest at which two of them were run.

    The scale of a pair is the largest at which both have runs with the same inputs; where they have none, the largest
    at which their sizes are within a quarter of each other. Runs of one recipe there, such as seeds, are averaged.

    Parameters
    ----------
    sizes : (n_row,) of the runs

    Returns
    -------
    pandas.DataFrame
        One row per pair: ``recipe``, ``over``, ``size``, ``log_ratio`` (of the losses; below 0 where ``recipe`` is
        better). Pairs without a common scale are left out.
    """
    names = np.array(group_names(runs.table, by, runs.source))
    table = pd.DataFrame({name: runs.column(name) for name in law.inputs})
    table = table.assign(recipe=names, size=sizes, log_loss=np.log(runs.loss))
    means = table.groupby(["recipe", *law.inputs], as_index=False)[["size", "log_loss"]].mean()
    rows = []
    labels = sorted(set(names))
    for i, over in enumerate(labels):
        for recipe in labels[i + 1 :]:
            one, other = (means[means["recipe"] == name] for name in (recipe, over))
            both = one.merge(other, on=list(law.inputs), suffixes=("", "_over"))
            if not len(both):
                both = one.merge(other, how="cross", suffixes=("", "_over"))
                both = both[np.abs(np.log(both["size"] / both["size_over"])) < NEAR]
            if len(both):
                last = both.loc[both["size"].idxmax()]
                rows.append((recipe, over, float(last["size"]), float(last["log_loss"] - last["log_loss_over"])))
    return pd.DataFrame(rows, columns=["recipe", "over", "size", "log_ratio"])
