"""What is fitted to a table: law, noise, discrepancy and pooling, with the names and priors of what is sampled."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import LawError
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.names import RESERVED_PARAMETERS, check_names, refuse_illegal
from bayes_scaling.laws.parameters import Derived, Parameter
from bayes_scaling.laws.priors import WrittenPrior, as_argument
from bayes_scaling.model.discrepancy import Discrepancy, DiscrepancyGrid
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.pooling import Groups, Pooling, sd_name, sd_prior, varies_over

type Priors = Mapping[str, WrittenPrior | dist.Distribution]


# Sites and columns of the program itself. Names of users are identifiers, so none of theirs can meet these.
CELL = "groups.cell"  # column: the cell of groups of each row
INCREMENTS = "discrepancy.increments"  # site of the increments of the law's discrepancy
BASIS = "discrepancy.basis"  # column: what each increment adds to each row
LOG_LOSS = "log.loss"  # site of the observed log losses


@dataclasses.dataclass(frozen=True, eq=False)
class Composition:
    """What is fitted to a table: a law, how the truth may leave it, how runs scatter, what groups share.

    Attributes
    ----------
    law, noise, discrepancy : the pieces
    pooling : by parameter; empty where all runs share everything
    """

    law: Law
    noise: Noise
    discrepancy: Discrepancy
    pooling: Pooling

    def __post_init__(self) -> None:
        check_names(self.law)
        _refuse_doubles(self)

    @property
    def rows(self) -> tuple[Parameter | Derived, ...]:
        """Rows of the parameters of law, noise and discrepancy."""
        return (*self.law.parameters, *self.noise.parameters, *self.discrepancy.parameters)

    @property
    def sampled(self) -> tuple[Parameter, ...]:
        """Rows that have a prior."""
        return tuple(row for row in self.rows if isinstance(row, Parameter))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in the notation of the papers."""
        others = (*self.noise.parameters, *self.discrepancy.parameters)
        return (*self.law.parameter_names, *(row.name for row in others))

    def groups(self, runs: Runs) -> Groups:
        """Return the groups of a table."""
        return Groups.of(self.pooling, runs.table, runs.source)

    def discrepancy_grid(self, runs: Runs) -> DiscrepancyGrid:
        """Return where the discrepancy is held on a table."""
        return DiscrepancyGrid.of(self.discrepancy, self.law, {name: runs.column(name) for name in self.law.inputs})


def _refuse_doubles(composition: Composition) -> None:
    """Refuse parameters of two pieces that have one name."""
    law, noise, pooling = composition.law, composition.noise, composition.pooling
    pooled = [sd_name(name) for name, pool in pooling.items() if pool.mode == "partial"]
    pieces: tuple[tuple[str, Sequence[str], str], ...] = (
        (f"law {law.label}", [row.name for row in law.parameters], ""),
        (f"{noise.label} noise", [row.name for row in noise.parameters], "take another noise model"),
        ("the discrepancy", [row.name for row in composition.discrepancy.parameters], "fit with discrepancy='none'"),
        ("pooling, for a standard deviation between groups,", pooled, "do not pool partially"),
    )
    owners: dict[str, str] = {}
    for owner, names, instead in pieces:
        for name in names:
            refuse_illegal(owner, "parameter", name, RESERVED_PARAMETERS)
            if name in owners:
                raise LawError(
                    f"{owners[name]} and {owner} both have a parameter {name}; rename that of the law, or {instead}"
                )
            owners[name] = owner


def sd_site(row: Parameter) -> str:
    """Name the site of the standard deviation between groups of a partially pooled parameter."""
    return f"{row.name}.sd"


def offset_site(row: Parameter) -> str:
    """Name the site of the standardised offsets of its groups."""
    return f"{row.name}.offset"


def priors_of(composition: Composition) -> dict[str, WrittenPrior | dist.Distribution]:
    """Return the prior of every sampled site, with float64 leaves."""
    return {
        site: jax.tree.map(lambda leaf: jnp.asarray(leaf, float), as_argument(prior))
        for site, prior in site_priors(composition).items()
    }


def site_priors(composition: Composition) -> dict[str, dist.Distribution]:
    """Return the prior of every sampled site that has one of its own, in the order of `Model.blocks`."""
    priors: dict[str, dist.Distribution] = {}
    for row in composition.sampled:
        priors[row.site] = row.prior
        if row.name in composition.pooling and composition.pooling[row.name].mode == "partial":
            priors |= {sd_site(row): sd_prior(row), offset_site(row): dist.Normal(0.0, 1.0)}
    return priors


def spelled_out(composition: Composition, groups: Groups) -> dict[str, list[tuple[str, int]]]:
    """Return for every parameter the names under which its draws are kept, each with a cell that has them."""
    over = varies_over(composition.rows, composition.pooling)
    between = [sd_name(name) for name, pool in composition.pooling.items() if pool.mode == "partial"]
    kept = {name: groups.named(name, over[name]) if over[name] else [(name, 0)] for name in composition.names}
    return {**kept, **{name: [(name, 0)] for name in between}}
