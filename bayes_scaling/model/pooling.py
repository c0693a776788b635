"""Groups of runs: which parameters they share, which each has for itself, and which come from a common population."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpyro.distributions as dist
import pandas as pd
from numpyro.distributions import biject_to

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.messages import listed, shown
from bayes_scaling.base.names import POOLING, listed_as_choice
from bayes_scaling.errors import DataError, LawError
from bayes_scaling.laws.parameters import Derived, Parameter
from bayes_scaling.laws.priors import prior_quantile

BETWEEN = 0.3  # prior median of the standard deviation between groups, in prior standard deviations of the parameter
BETWEEN_SCALE = 0.6  # of its logarithm: 90 % between 0.11 and 0.8 prior standard deviations

type Rows = tuple[Parameter | Derived, ...]


@dataclasses.dataclass(frozen=True)
class Pool:
    """How one parameter varies between groups of runs; made by `partial` and `separate`.

    Attributes
    ----------
    by : column of the table that names the groups
    mode : ``partial`` or ``separate``
    """

    by: str
    mode: str

    def __post_init__(self) -> None:
        if self.by in ("loss", "loss_se"):
            raise LawError(f"a parameter cannot differ by {self.by}, which it explains; name a column of groups")
        if self.mode not in POOLING:
            raise LawError(
                f"pooling is {shown(self.mode)}; expected {listed_as_choice(POOLING)}, or no pooling for a shared value"
            )


type Pooling = Mapping[str, Pool]
"""By parameter, as its prior is named; what is not named is shared by all runs."""


@validated
def partial(by: str) -> Pool:
    """Draw a parameter's value in each group from a population whose centre and standard deviation are learned.

    On the scale on which the parameter is sampled (the logarithm of an exponent, the log odds of a share) values of
    groups are normal around the population. Their standard deviation, ``alpha_sd`` for ``alpha``, has a log-normal
    prior around 0.3 prior standard deviations of the parameter (90 %: 0.11 to 0.8): groups of one table differ less
    than the literature does. Groups that do not differ at all are another model: the one that shares the parameter.

    What varies is the quantity that the prior describes (``bayes-scaling laws show`` lists it): of a coefficient that
    is the share of its term at the centre of all data. Where groups differ in an exponent, their shares differ as well.

    Parameters
    ----------
    by : column of the table that names the groups
    """
    return Pool(by, "partial")


@validated
def separate(by: str) -> Pool:
    """Give each group a value of its own, under the same prior, that says nothing about other groups.

    Parameters
    ----------
    by : column of the table that names the groups
    """
    return Pool(by, "separate")


def checked_pooling(pooling: Pooling, rows: Rows) -> dict[str, Pool]:
    """Return the pooling of a model's rows, or say which name is none of them."""
    names = [row.name for row in rows if isinstance(row, Parameter)]
    for name, pool in pooling.items():
        if name not in names:
            follows = any(row.name == name for row in rows)
            why = "follows from the others" if follows else "is no parameter of this law and noise"
            raise LawError(f"{shown(name)} cannot be pooled: it {why}; those with a prior are {', '.join(names)}")
        if not isinstance(pool, Pool):
            raise LawError(f"the pooling of {name} is {shown(pool)}; expected partial('column') or separate('column')")
    return {name: pooling[name] for name in names if name in pooling}


def sd_name(name: str) -> str:
    """Name the draws of the standard deviation between groups of a partially pooled parameter."""
    return f"{name}_sd"


def shared_first(names: Iterable[str]) -> list[str]:
    """Order names of draws: parameters that all groups share, and spreads between groups, before those of groups."""
    return sorted(names, key=lambda name: "[" in name)


def sd_prior(row: Parameter) -> dist.Distribution:
    """Return the prior of the standard deviation between groups, on the scale on which a parameter is sampled."""
    to_line = biject_to(row.prior.support).inv
    low, high = (float(to_line(prior_quantile(row.prior, q))) for q in (0.16, 0.84))
    return dist.LogNormal(math.log(BETWEEN * abs(high - low) / 2), BETWEEN_SCALE)


@dataclasses.dataclass(frozen=True)
class Groups:
    """The groups of a table, for every column that something is pooled over.

    Attributes
    ----------
    columns : the columns
    labels : for each column, the names of its groups, sorted
    cells : combinations of groups that occur, as indices of labels
    """

    columns: tuple[str, ...] = ()
    labels: tuple[tuple[str, ...], ...] = ()
    cells: tuple[tuple[int, ...], ...] = ((),)

    @classmethod
    def of(cls, pooling: Pooling, table: pd.DataFrame, source: str) -> Groups:
        """Find the groups of a table."""
        columns = tuple(dict.fromkeys(pool.by for pool in pooling.values()))
        labels = tuple(tuple(sorted(set(group_names(table, column, source)))) for column in columns)
        groups = cls(columns, labels)
        cells, _ = groups.place(table, source)
        return dataclasses.replace(groups, cells=cells)

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of groups of each column."""
        return tuple(len(names) for names in self.labels)

    def place(self, table: pd.DataFrame, source: str) -> tuple[tuple[tuple[int, ...], ...], np.ndarray]:
        """Return the distinct cells of a table and the cell of each row, ``(n_row,)``.

        Groups that are not among the labels have the indices after the last one, in the order of `newcomers`.
        """
        if not self.columns:
            return ((),), np.zeros(len(table), int)
        index = []
        for column, names, new in zip(self.columns, self.labels, self.newcomers(table, source), strict=True):
            known = {name: i for i, name in enumerate((*names, *new))}
            index.append([known[name] for name in group_names(table, column, source)])
        cells, cell = np.unique(np.array(index).T, axis=0, return_inverse=True)
        return tuple(tuple(int(i) for i in row) for row in cells), cell.reshape(-1)

    def newcomers(self, table: pd.DataFrame, source: str) -> tuple[tuple[str, ...], ...]:
        """Return, for each column, the groups of a table that are not among the labels, sorted."""
        return tuple(
            tuple(sorted({*group_names(table, column, source)} - {*names}))
            for column, names in zip(self.columns, self.labels, strict=True)
        )

    def named(self, name: str, columns: Sequence[str]) -> list[tuple[str, int]]:
        """Return the name of a parameter in each group, ``alpha[c4]``, with a cell that has its value.

        Parameters
        ----------
        columns : those that the parameter varies over
        """
        positions = [self.columns.index(column) for column in columns]
        found: dict[str, tuple[tuple[str, ...], int]] = {}
        for i, cell in enumerate(self.cells):
            labels = tuple(self.labels[p][cell[p]] for p in positions)
            first, _ = found.setdefault(f"{name}[{','.join(labels)}]", (labels, i))
            if first != labels:
                raise DataError(
                    f"groups {first} and {labels} of {name} would both be called {name}[{','.join(labels)}]; "
                    f"use no commas in the names of groups in {' and '.join(columns)}"
                )
        return [(key, i) for key, (_, i) in found.items()]


def group_names(table: pd.DataFrame, column: str, source: str) -> list[str]:
    """Return the group of each row as text."""
    if column not in table:
        raise DataError(
            f"{source} has no column {shown(column)} to say which group a run belongs to (it has {listed(table)})"
        )
    cells = table[column].astype(object)
    missing = cells.isna().to_numpy()
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise DataError(
            f"{source}, row {row + 1}, column {column}: the group is missing: fill the cell or drop the row"
        )
    # A whole number reads the same whether pandas took the column for integers or for floats.
    return [str(int(c)) if isinstance(c, float | np.floating) and float(c).is_integer() else str(c) for c in cells]


def varies_over(rows: Rows, pooling: Pooling) -> dict[str, tuple[str, ...]]:
    """Return the columns that the value of each row depends on, its own and those of the rows it needs."""
    found: dict[str, tuple[str, ...]] = {}
    for row in rows:
        own: Sequence[str] = (pooling[row.name].by,) if row.name in pooling else ()
        inherited = [column for need in row.needs for column in found.get(need, ())]
        found[row.name] = tuple(dict.fromkeys([*own, *inherited]))
    return found
