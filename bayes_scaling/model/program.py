"""The generative model: a law, its discrepancy and a noise model with their priors, as one NumPyro program."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from numpyro.infer.util import potential_energy

from bayes_scaling.base.programs import STORE
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import DataError, LawError
from bayes_scaling.laws.law import Array, Derived, Law, Parameter, ReferencePoint, resolve
from bayes_scaling.laws.names import RESERVED_PARAMETERS, check_names, refuse_illegal
from bayes_scaling.laws.priors import WrittenPrior, as_argument, as_distribution
from bayes_scaling.model.curves import Lanes, lanes_of
from bayes_scaling.model.discrepancy import Departure, Discrepancy, log_size
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

    def departure(self, runs: Runs) -> Departure:
        """Return where the discrepancy is held on a table."""
        return Departure.of(self.discrepancy, self.law, {name: runs.column(name) for name in self.law.inputs})


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


# --- the table as arrays ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Coordinates in which a posterior is sampled; they change how easily, not what is sampled.

    Groups: how far each is sampled as its own value (1) rather than as its standardised offset from the population (0).

    Discrepancy: given the parameters theta, its increments z are nearly normal, with precision 1 + tau^2 q lambda along
    the columns of ``rotation`` and mean tau q pull(residual) / (1 + tau^2 q lambda), where q = (sigma_0 / sigma)^2.
    Sampled is what remains: the distance to that mean in standard deviations. Where this is exact, the scale tau says
    nothing about what remains, and the funnel between the two is gone.

    Attributes
    ----------
    centring : (n_group,) by site of offsets
    rotation : (size, size) orthogonal
    curvature : (size,) lambda, what the table says about the increments, over prior precision
    pull : (size, n_padded) what a residual of each row moves
    sigma : scale of the scatter sigma_0 at which the two were taken
    """

    centring: Mapping[str, Any]
    rotation: Any
    curvature: Any
    pull: Any
    sigma: Any

    @classmethod
    def standard(cls, centring: Mapping[str, Any], size: int, rows: int) -> Geometry:
        """Return the coordinates in which draws are kept: offsets and increments as their priors have them."""
        nothing = jax.tree.map(jnp.zeros_like, dict(centring))
        return cls(nothing, jnp.eye(size), jnp.zeros(size), jnp.zeros((size, rows)), jnp.asarray(1.0))


jax.tree_util.register_dataclass(
    Geometry, data_fields=["centring", "rotation", "curvature", "pull", "sigma"], meta_fields=[]
)


@dataclasses.dataclass(frozen=True)
class Observations:
    """A table of runs as arrays of a fixed length, so that tables of similar size share one compiled program.

    Attributes
    ----------
    columns : (n_padded,) inputs of the law and of the noise model, the cell of groups of each row, and
        (n_padded, size) what the increments of the discrepancy add to each row
    log_loss : (n_padded,) natural logarithm of the loss
    weight : (n_padded,) 1 for a run, 0 for padding
    cells : (n_cell, n_group_column) group of each cell in each column that something is pooled over
    geometry : coordinates in which the posterior is sampled
    at : the reference point of the table
    """

    columns: Mapping[str, Any]
    log_loss: Any
    weight: Any
    cells: Any
    geometry: Geometry
    at: ReferencePoint


jax.tree_util.register_dataclass(
    Observations, data_fields=["columns", "log_loss", "weight", "cells", "geometry", "at"], meta_fields=[]
)


def reference_point(law: Law, runs: Runs) -> ReferencePoint:
    """Return the centre of a table: median loss, geometric mean of each input and feature of the law."""
    return centre_of(law, float(np.median(runs.loss)), law_table(law, runs))


def centre_of(law: Law, loss: float, table: Mapping[str, np.ndarray]) -> ReferencePoint:
    """Return the reference point of a table of the law's inputs, ``(n_row,)`` each, at a typical loss."""
    columns = {**{name: table[name] for name in law.inputs}, **law.arrays(table)}

    def centre(values: np.ndarray) -> float:
        positive = bool((values > 0).all())
        return float(np.exp(np.mean(np.log(values)))) if positive else float(np.mean(values))

    return ReferencePoint(loss, {name: centre(values) for name, values in columns.items()})


def law_table(law: Law, runs: Runs) -> dict[str, np.ndarray]:
    """Return the columns that a law reads of a table, ``(n_row,)`` each, with run ids as integers where there are."""
    table = {name: runs.column(name) for name in law.inputs}
    return {**table, "run": pd.factorize(runs.table["run"])[0]} if "run" in runs else table


SIZES = ("flops", "params", "tokens", "steps")
ALONG = ("steps", "tokens", "flops")  # what grows along a training curve


def model_columns(
    law: Law, noise: Noise, table: Mapping[str, np.ndarray], size: tuple[str, float]
) -> dict[str, np.ndarray]:
    """Return the arrays that law and noise read of a table, ``(n_row,)`` each.

    Parameters
    ----------
    table : columns of runs that were measured, or of runs that are planned
    size : the column that measures the size of a run and its geometric mean over the fitted runs
    """
    columns = law.arrays(table)
    if "noise.relative_se" in noise.columns:
        # A planned run has no standard error of its own: its scatter is sigma alone.
        columns["noise.relative_se"] = (
            table["loss_se"] / table["loss"] if "loss_se" in table else np.zeros_like(table[law.inputs[0]])
        )
    if "noise.relative_size" in noise.columns:
        columns["noise.relative_size"] = table[size[0]] / size[1]
    return columns


def lanes(noise: Noise, table: Mapping[str, np.ndarray]) -> Lanes | None:
    """Return the layout of correlated rows; None where rows are independent.

    Parameters
    ----------
    table : columns of runs; rows without ``run`` are runs of their own
    """
    if not noise.correlated:
        return None
    position = next((table[name] for name in ALONG if name in table), np.ones(len(next(iter(table.values())))))
    return lanes_of(table.get("run", np.arange(len(position))), position)


def size_of(runs: Runs) -> tuple[str, float]:
    """Return the column that measures the size of these runs, FLOPs where they are known, and its geometric mean.

    A table of none of them has runs of one size: an empty name and 1.
    """
    name = next((name for name in SIZES if name in runs), "")
    return name, float(np.exp(np.mean(np.log(runs.column(name))))) if name else 1.0


def padded_length(n: int) -> int:
    """Round a number of runs up to 32, 64, 128, 192, 256, 384, 512, ... so that few shapes are ever compiled."""
    length = 32
    while length < n:
        length *= 2
    three_quarters = 3 * length // 4
    return three_quarters if length > 128 and n <= three_quarters else length


def observe(composition: Composition, runs: Runs, rows: int | None = None) -> Observations:
    """Turn a table of runs into arrays padded like those of a table of ``rows`` rows, by default its own number."""
    law, noise, pooling = composition.law, composition.noise, composition.pooling
    if "noise.relative_se" in noise.columns and "loss_se" not in runs:
        raise DataError(f"noise scale 'known' reads the column loss_se, which {runs.source} does not have")
    if "noise.relative_size" in noise.columns and not size_of(runs)[0]:
        raise DataError(f"noise scale 'growing' reads one of {', '.join(SIZES)}; {runs.source} has none of them")
    n, total = len(runs), padded_length(max(len(runs), rows or 0))
    table = law_table(law, runs)
    table |= {name: runs.column(name) for name in (*SIZES, "loss", "loss_se") if name in runs}
    groups, departure = composition.groups(runs), composition.departure(runs)
    _, cell = groups.place(runs.table, runs.source)

    def pad(values: np.ndarray, fill: Any) -> np.ndarray:
        return np.concatenate([values, np.broadcast_to(fill, (total - n, *values.shape[1:]))])

    columns = {**model_columns(law, noise, table, size_of(runs)), CELL: cell}
    if departure.size:
        columns[BASIS] = departure.basis(log_size(law, table))
    padded = {name: pad(values, values[0]) for name, values in columns.items()}
    if (layout := lanes(noise, table)) is not None:
        padded |= {"noise.lane_row": layout.row, "noise.lane_gap": layout.gap}
    centring = {
        offset_site(row): np.zeros(groups.counts[groups.columns.index(pooling[row.name].by)])
        for row in composition.sampled
        if row.name in pooling and pooling[row.name].mode == "partial"
    }
    arrays = Observations(
        columns=padded,
        log_loss=pad(np.log(runs.loss), float(np.log(runs.loss[0]))),
        weight=pad(np.ones(n), 0.0),
        cells=np.array(groups.cells).reshape(len(groups.cells), -1),
        geometry=Geometry.standard(centring, departure.size, total),
        at=reference_point(law, runs),
    )
    # Indices travel as floats, too: programs get one packed array.
    as_floats: Observations = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), arrays)
    return as_floats


# --- the program ------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A composition without its table: the NumPyro program and its functions over unconstrained coordinates.

    ``u``, ``(n_coordinate,)``, holds all sampled sites on the real line (NumPyro's own bijections) in the order of
    ``sites``. A parameter that is pooled has several: one per group where groups are separate; the population's
    centre m, its spread t and one offset y per group where they are partially pooled. A group's value on the line is
    m + t^(1 - c) (y - c m) with y ~ Normal(c m, t^c): c = 0 is the standardised offset, right for groups that say
    little, c = 1 the value itself, right for groups that fix it. The increments of the discrepancy are held in the
    coordinates of `Geometry`. Numbers inside priors are arguments, not constants, so that other priors need no new
    compilation.

    Attributes
    ----------
    increments : number of increments of the discrepancy
    pools : by parameter, the mode of pooling, the position of its column among ``cells``, and the number of groups
    """

    mean: Callable[..., Any]
    arguments: tuple[tuple[str, str], ...]
    law_names: tuple[str, ...]
    law_rows: tuple[Parameter | Derived, ...]
    noise: Noise
    discrepancy: Discrepancy
    increments: int
    pools: Mapping[str, tuple[str, int, int]]

    @functools.cached_property
    def rows(self) -> tuple[Parameter | Derived, ...]:
        """Rows of the law, then of noise and discrepancy."""
        return (*self.law_rows, *self.noise.parameters, *self.discrepancy.parameters)

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters of law, noise and discrepancy, in the notation of the papers."""
        others = (*self.noise.parameters, *self.discrepancy.parameters)
        return (*self.law_names, *(row.name for row in others))

    @functools.cached_property
    def blocks(self) -> dict[str, int | None]:
        """Sampled sites with their number of groups; None for a single number."""
        blocks: dict[str, int | None] = {}
        for row in self.rows:
            if isinstance(row, Parameter):
                mode, _, count = self.pools.get(row.name, ("shared", 0, 0))
                blocks[row.site] = count if mode == "separate" else None
                if mode == "partial":
                    blocks |= {sd_site(row): None, offset_site(row): count}
        # Last: where the increments are thought to lie depends on everything before them.
        return {**blocks, INCREMENTS: self.increments} if self.increments else blocks

    @functools.cached_property
    def sites(self) -> tuple[str, ...]:
        """Names of the coordinates of the unconstrained vector."""
        return tuple(
            site if count is None else f"{site}[{i}]" for site, count in self.blocks.items() for i in range(count or 1)
        )

    def _by_row(self, theta: Mapping[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
        """Give each row of the table the parameters of its cell."""
        return {name: value[columns[CELL].astype(int)] if jnp.ndim(value) else value for name, value in theta.items()}

    def log_law(self, theta: Mapping[str, Any], columns: Mapping[str, Any]) -> Array:
        """Return the log of the law, ``(n_row,)``."""
        law = self._by_row({name: theta[name] for name in self.law_names}, columns)
        log_law: Array = jnp.log(self.mean(**{name: columns[column] for name, column in self.arguments}, **law))
        return log_law

    def log_mean(self, theta: Mapping[str, Any], columns: Mapping[str, Any]) -> Array:
        """Return the log of the expected loss: the law and its discrepancy, ``(n_row,)``."""
        log_law = self.log_law(theta, columns)
        if BASIS not in columns:
            return log_law
        log_mean: Array = log_law + theta["tau"] * (columns[BASIS] @ theta[INCREMENTS])
        return log_mean

    def observation(self, theta: Mapping[str, Any], data: Observations) -> dist.Distribution:
        """Return the distribution of the log loss of each row, ``(n_padded,)``."""
        log_mean = self.log_mean(theta, data.columns)
        noise = self._by_row({row.name: theta[row.name] for row in self.noise.parameters}, data.columns)
        return self.noise.distribution(log_mean, noise, data.columns, data.log_loss)

    def __call__(self, data: Observations, priors: Priors) -> None:
        """Sample the rows, derive the papers' constants, observe the log losses: the NumPyro program."""
        draws: dict[str, Any] = {}
        for site, count in self.blocks.items():
            if site != INCREMENTS:
                prior = self._prior(site, draws, priors, data.geometry.centring)
                draws[site] = numpyro.sample(site, prior if count is None else prior.expand([count]))
        theta = resolve(self.rows, self._in_cells(draws, data.cells, data.geometry.centring, priors), data.at)
        for name, value in theta.items():
            if name not in self.blocks:
                numpyro.deterministic(name, value)
        if self.increments:
            centre, width = self._where_it_lies(theta, data)
            remaining = numpyro.sample(INCREMENTS, dist.Normal(-centre / width, 1 / width))
            theta = {**theta, INCREMENTS: data.geometry.rotation @ (centre + width * remaining)}
        with numpyro.handlers.mask(mask=data.weight > 0):
            numpyro.sample(LOG_LOSS, self.observation(theta, data), obs=data.log_loss)

    def _where_it_lies(self, theta: Mapping[str, Any], data: Observations) -> tuple[Array, Array]:
        """Return mean and standard deviation of the rotated increments given all else, ``(increments,)`` each."""
        geometry = data.geometry
        relative = jnp.exp(2 * (jnp.log(geometry.sigma) - jnp.mean(jnp.log(theta["sigma"]))))
        precision = 1 + theta["tau"] ** 2 * relative * geometry.curvature
        residual = data.log_loss - self.log_law(theta, data.columns)
        return theta["tau"] * relative * (geometry.pull @ residual) / precision, 1 / jnp.sqrt(precision)

    @functools.cached_property
    def populations(self) -> dict[str, Parameter]:
        """Rows that are partially pooled, by the site of their offsets."""
        rows = (row for row in self.rows if isinstance(row, Parameter))
        return {offset_site(row): row for row in rows if self.pools.get(row.name, ("",))[0] == "partial"}

    def _prior(
        self, site: str, draws: Mapping[str, Any], priors: Priors, centring: Mapping[str, Any]
    ) -> dist.Distribution:
        """Return the prior of a site, given the draws of the sites before it."""
        if site not in self.populations:
            return as_distribution(priors[site])
        centre, spread = self._population(site, draws, priors)
        return dist.Normal(centring[site] * centre, spread ** centring[site])

    def _population(self, site: str, draws: Mapping[str, Any], priors: Priors) -> tuple[Any, Any]:
        """Return the centre, on the line, and the spread of the population of a site of offsets."""
        row = self.populations[site]
        return self._bijection(priors, row.site).inv(draws[row.site]), draws[sd_site(row)]

    def _in_cells(
        self, draws: Mapping[str, Any], cells: Any, centring: Mapping[str, Any], priors: Priors
    ) -> dict[str, Any]:
        """Return the value of every row's site: a number, or one per cell where it is pooled."""
        values = {row.site: draws[row.site] for row in self.rows if isinstance(row, Parameter)}
        for row in self.rows:
            if row.name not in self.pools or not isinstance(row, Parameter):
                continue
            mode, column, _ = self.pools[row.name]
            of_groups = values[row.site]
            if mode == "partial":
                site = offset_site(row)
                centre, spread = self._population(site, draws, priors)
                c = centring[site]
                line = centre + spread ** (1 - c) * (draws[site] - c * centre)
                of_groups = self._bijection(priors, row.site)(line)
            values[row.site] = of_groups[cells[:, column].astype(int)]
        return values

    def moved(self, u: Array, after: Geometry, data: Observations, priors: Priors) -> Array:
        """Return the coordinates of the same parameters in another geometry."""
        draws = self._sampled(u, priors)
        parts = self.unravel(u)
        before = data.geometry
        for site in self.populations:
            centre, spread = self._population(site, draws, priors)
            standard = (parts[site] - before.centring[site] * centre) / spread ** before.centring[site]
            parts[site] = after.centring[site] * centre + spread ** after.centring[site] * standard
        if self.increments:
            named = self._named(draws, data, priors)
            parts[INCREMENTS] = self._remaining(named, dataclasses.replace(data, geometry=after))
        return jnp.concatenate([jnp.ravel(value) for value in parts.values()])

    def _remaining(self, named: Mapping[str, Any], data: Observations) -> Array:
        """Return the coordinates of the increments of named parameters."""
        centre, width = self._where_it_lies(named, data)
        remaining: Array = (data.geometry.rotation.T @ named[INCREMENTS] - centre) / width
        return remaining

    def on_the_line(self, u: Array, centring: Mapping[str, Any], priors: Priors) -> dict[str, tuple[Array, Array]]:
        """Return, for each site of offsets, the groups' values on the line and the spread of their population."""
        draws = self._sampled(u, priors)
        out = {}
        for site in self.populations:
            centre, spread = self._population(site, draws, priors)
            c = centring[site]
            out[site] = (centre + spread ** (1 - c) * (draws[site] - c * centre), spread)
        return out

    def unravel(self, u: Array) -> dict[str, Array]:
        """Split the unconstrained vector by site."""
        parts, start = {}, 0
        for site, count in self.blocks.items():
            parts[site] = u[start] if count is None else u[start : start + count]
            start += count or 1
        return parts

    def potential(self, u: Array, data: Observations, priors: Priors) -> Array:
        """Return minus the log posterior density, up to a constant, at ``u``."""
        energy: Array = potential_energy(self, (data, priors), {}, self.unravel(u))
        return energy

    def constrain(self, u: Array, data: Observations, priors: Priors) -> dict[str, Array]:
        """Return the parameters under the names of the papers at ``u``; pooled ones ``(n_cell,)``."""
        return self._named(self._sampled(u, priors), data, priors)

    def in_groups(self, u: Array, fresh: Mapping[str, Array], data: Observations, priors: Priors) -> dict[str, Array]:
        """Return the parameters at ``u`` in the cells of ``data``; groups beyond the last one take ``fresh`` draws."""
        draws = {
            site: jnp.append(v, fresh[site]) if site in fresh else v for site, v in self._sampled(u, priors).items()
        }
        centring = {site: jnp.append(values, 0.0) for site, values in data.geometry.centring.items()}
        geometry = dataclasses.replace(data.geometry, centring=centring)
        return self._named_alone(draws, dataclasses.replace(data, geometry=geometry), priors)

    def _sampled(self, u: Array, priors: Priors) -> dict[str, Array]:
        return {
            site: value if site == INCREMENTS else self._bijection(priors, site)(value)
            for site, value in self.unravel(u).items()
        }

    def _named(self, draws: Mapping[str, Array], data: Observations, priors: Priors) -> dict[str, Array]:
        named = self._named_alone(draws, data, priors)
        if self.increments:
            centre, width = self._where_it_lies(named, data)
            named[INCREMENTS] = data.geometry.rotation @ (centre + width * draws[INCREMENTS])
        return named

    def _named_alone(self, draws: Mapping[str, Array], data: Observations, priors: Priors) -> dict[str, Array]:
        values = resolve(self.rows, self._in_cells(draws, data.cells, data.geometry.centring, priors), data.at)
        between = {sd_name(row.name): draws[sd_site(row)] for row in self.populations.values()}
        return {**{name: values[name] for name in self.names}, **between}

    def place(self, draws: Mapping[str, Array], data: Observations, priors: Priors) -> tuple[Array, dict[str, Array]]:
        """Return the unconstrained vector and the parameters of draws of the sampled sites; inverts `constrain`."""
        named = self._named_alone(draws, data, priors)
        line = {site: self._bijection(priors, site).inv(draws[site]) for site in self.blocks if site != INCREMENTS}
        if self.increments:
            named[INCREMENTS] = draws[INCREMENTS]
            line[INCREMENTS] = self._remaining(named, data)
        return jnp.concatenate([jnp.ravel(value) for value in line.values()]), named

    def log_prior(self, u: Array, priors: Priors) -> dict[str, Array]:
        """Return the log prior density of every sampled site at ``u``, in its own scale."""
        return {
            site: jnp.sum(as_distribution(priors[site]).log_prob(value))
            for site, value in self._sampled(u, priors).items()
            if site != INCREMENTS
        }

    def _bijection(self, priors: Priors, site: str) -> dist.transforms.Transform:
        return dist.biject_to(as_distribution(priors[site]).support)

    def location_and_width(self, theta: Mapping[str, Any], columns: Mapping[str, Any]) -> tuple[Array, Array]:
        """Return the log mean and the scale of the scatter of single rows of log loss, ``(n_row,)`` each."""
        log_mean = self.log_mean(theta, columns)
        noise = self._by_row({row.name: theta[row.name] for row in self.noise.parameters}, columns)
        return log_mean, jnp.broadcast_to(self.noise.row_scale(noise, columns), log_mean.shape)

    def pulls(self, theta: Mapping[str, Any], data: Observations) -> Array:
        """Return how much the data pull each row's expected loss along each increment, ``(n_padded, increments)``.

        That is minus the second derivative of the log likelihood at ``theta`` times the basis, with heavy tails
        replaced by normal ones of the width that gives each row the same pull.
        """
        noise = self._by_row({row.name: theta[row.name] for row in self.noise.parameters}, data.columns)
        log_mean = self.log_mean(theta, data.columns)
        weight = self.noise.weight(log_mean, noise, data.columns, data.log_loss) * data.weight

        def force(shift: Array) -> Array:
            def half_squares(shift: Array) -> Array:
                squares = self.noise.squares(log_mean + shift, noise, data.columns, data.log_loss)
                return 0.5 * jnp.sum(weight * squares)

            gradient: Array = jax.grad(half_squares)(shift)
            return gradient

        def along(direction: Array) -> Array:
            pull: Array = jax.jvp(force, (jnp.zeros_like(log_mean),), (direction,))[1]
            return pull

        pulls: Array = jax.lax.map(along, data.columns[BASIS].T)
        return pulls.T

    def at_rows(self, theta: Mapping[str, Any], data: Observations) -> tuple[Array, ...]:
        """Return log mean, scale of the scatter, and expectation, scale and log density of each row, ``(n_padded,)``.

        The last three are given the rows of the same run before it, where rows are correlated.
        """
        log_mean, width = self.location_and_width(theta, data.columns)
        noise = self._by_row({row.name: theta[row.name] for row in self.noise.parameters}, data.columns)
        location, scale = self.noise.location_and_scale(log_mean, noise, data.columns, data.log_loss)
        observed = self.noise.shape.distribution(location, scale, noise)
        density = jnp.where(data.weight > 0, observed.log_prob(data.log_loss), 0.0)
        return log_mean, width, location, jnp.broadcast_to(scale, log_mean.shape), density


def sd_site(row: Parameter) -> str:
    """Name the site of the standard deviation between groups of a partially pooled parameter."""
    return f"{row.name}.sd"


def offset_site(row: Parameter) -> str:
    """Name the site of the standardised offsets of its groups."""
    return f"{row.name}.offset"


def model_of(composition: Composition, groups: Groups | None = None) -> Model:
    """Return the model of a composition; one object for laws that differ only in the numbers of their priors.

    Compiled programs hang on the model, so this is what makes a second fit cheap.
    """
    groups = Groups() if groups is None else groups
    law, noise, discrepancy = composition.law, composition.noise, composition.discrepancy
    pools = {}
    for name, pool in composition.pooling.items():
        position = groups.columns.index(pool.by)
        pools[name] = (pool.mode, position, groups.counts[position])
    increments = discrepancy.knots(law)
    rows = tuple((row.name, row.value) for row in law.parameters)
    key = (law.mean, law.arguments, rows, noise, discrepancy, increments, (*pools.items(),))
    pieces = (law.mean, law.arguments, law.parameter_names, law.parameters)
    return STORE.model(key, lambda: Model(*pieces, noise, discrepancy, increments, pools))


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
