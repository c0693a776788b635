"""The generative model: a law, its discrepancy and a noise model with their priors, as one NumPyro program."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer.util import potential_energy

from bayes_scaling.base.programs import STORE
from bayes_scaling.laws.arithmetic import Array
from bayes_scaling.laws.parameters import Derived, Parameter, resolve
from bayes_scaling.laws.priors import as_distribution, without_constant
from bayes_scaling.model.composition import BASIS, CELL, INCREMENTS, LOG_LOSS, Composition, Priors, offset_site, sd_site
from bayes_scaling.model.discrepancy import Axis, Discrepancy
from bayes_scaling.model.geometry import Geometry
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.observations import Observations
from bayes_scaling.model.pooling import Groups, sd_name

TRACED = threading.RLock()  # NumPyro has one stack of effect handlers for all threads of a process


class _PriorsWithoutConstants(numpyro.primitives.Messenger):  # type: ignore[misc]  # NumPyro's have no types
    """Handler of effects: log densities of priors up to constants, of which a potential has no need."""

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and not msg["is_observed"]:
            msg["fn"] = without_constant(msg["fn"])


class _ToAPower(numpyro.primitives.Messenger):  # type: ignore[misc]
    """Handler of effects: the likelihood to a power, between that of the prior and that of the posterior."""

    def __init__(self, power: Array | None) -> None:
        super().__init__(None)
        self.power = power

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["name"] == LOG_LOSS:
            msg["scale"] = self.power


@dataclasses.dataclass(frozen=True)
class Formula:
    """A law as a function of columns: what all models of one law share, whatever their noise and their discrepancy.

    Attributes
    ----------
    mean : the law
    arguments : its arguments, each with the column that it reads
    names : its parameters
    """

    mean: Callable[..., Any]
    arguments: tuple[tuple[str, str], ...]
    names: tuple[str, ...]

    def log(self, theta: Mapping[str, Any], columns: Mapping[str, Any]) -> Array:
        """Return the log of the law, ``(n_row,)``; a parameter is one number, or one for each row."""
        parameters = {name: theta[name] for name in self.names}
        log_law: Array = jnp.log(self.mean(**{name: columns[column] for name, column in self.arguments}, **parameters))
        return log_law


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A composition without its table: the NumPyro program and its functions over unconstrained coordinates.

    ``u``, ``(n_coordinate,)``, holds all sampled sites on the real line (NumPyro's own bijections) in the order of
    ``sites``. A parameter that is pooled has several: one per group where groups are separate; the population's
    centre m, its standard deviation t and one offset y per group where they are partially pooled. A group's value on
    the line is m + t^(1 - c) (y - c m) with y ~ Normal(c m, t^c): c = 0 is the standardised offset, right for groups
    that say little, c = 1 the value itself, right for groups that fix it. The increments of the discrepancy are held in
    the coordinates of `Geometry`. Numbers inside priors are arguments, not constants, so that other priors need no new
    compilation.

    Attributes
    ----------
    axes : what each path of the discrepancy runs along
    pools : by parameter, the mode of pooling, the position of its column among ``cells``, and the number of groups
    """

    mean: Callable[..., Any]
    arguments: tuple[tuple[str, str], ...]
    law_names: tuple[str, ...]
    law_rows: tuple[Parameter | Derived, ...]
    noise: Noise
    discrepancy: Discrepancy
    axes: tuple[Axis, ...]
    pools: Mapping[str, tuple[str, int, int]]

    @functools.cached_property
    def formula(self) -> Formula:
        """The law alone."""
        return Formula(self.mean, self.arguments, self.law_names)

    @functools.cached_property
    def rows(self) -> tuple[Parameter | Derived, ...]:
        """Rows of the law, then of noise and discrepancy."""
        return (*self.law_rows, *self.noise.parameters, *self.discrepancy.parameters)

    @property
    def increments(self) -> int:
        """Number of increments of the discrepancy."""
        return sum(axis.most_knots for axis in self.axes)

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
        # Last: the coordinates of the increments depend on everything before them.
        return {**blocks, INCREMENTS: self.increments} if self.increments else blocks

    @functools.cached_property
    def of_groups(self) -> dict[str, int]:
        """Sites that have a number for each group, with the position of the column that names the groups."""
        rows = {row.site: row for row in self.rows if isinstance(row, Parameter) and row.name in self.pools}
        positions = {site: self.pools[row.name][1] for site, row in {**rows, **self.populations}.items()}
        return {site: positions[site] for site, count in self.blocks.items() if count and site != INCREMENTS}

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
        return self.formula.log(self._by_row({name: theta[name] for name in self.law_names}, columns), columns)

    def log_course(self, theta: Mapping[str, Any], columns: Mapping[str, Any]) -> Array:
        """Return the log of the law, with what the start of curves adds to it where that is learned, ``(n_row,)``."""
        log_law = self.log_law(theta, columns)
        start_of_curves = self.noise.start_of_curves
        if start_of_curves is None:
            return log_law
        own = self._by_row({row.name: theta[row.name] for row in start_of_curves.parameters}, columns)
        return log_law + start_of_curves.departure(own, columns)

    def log_mean(self, theta: Mapping[str, Any], columns: Mapping[str, Any]) -> Array:
        """Return the log of the expected loss: the law and its discrepancy, ``(n_row,)``."""
        log_course = self.log_course(theta, columns)
        if BASIS not in columns:
            return log_course
        ends = np.cumsum([axis.most_knots for axis in self.axes])[:-1].tolist()
        of_paths = zip(
            self.axes, jnp.split(columns[BASIS], ends, axis=1), jnp.split(theta[INCREMENTS], ends), strict=True
        )
        for axis, basis, increments in of_paths:
            log_course = log_course + theta[axis.scale] * (basis @ increments)
        return log_course

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
            centre, sd = self._where_it_lies(theta, data)
            remaining = numpyro.sample(INCREMENTS, dist.Normal(-centre / sd, 1 / sd))
            theta = {**theta, INCREMENTS: data.geometry.rotation @ (centre + sd * remaining)}
        self._observe(theta, data)

    def _observe(self, theta: Mapping[str, Any], data: Observations) -> None:
        """Observe the log losses."""
        with numpyro.handlers.mask(mask=data.weight > 0):
            numpyro.sample(LOG_LOSS, self.observation(theta, data), obs=data.log_loss)

    def _where_it_lies(self, theta: Mapping[str, Any], data: Observations) -> tuple[Array, Array]:
        """Return mean and standard deviation of the rotated increments given all else, ``(increments,)`` each.

        Near enough for coordinates: paths with scales of their own are read as if all had that of the first.
        """
        geometry = data.geometry
        relative = jnp.exp(2 * (jnp.log(geometry.sigma) - jnp.mean(jnp.log(theta["sigma"]))))
        precision = 1 + theta["tau"] ** 2 * relative * geometry.curvature
        residual = data.log_loss - self.log_course(theta, data.columns)
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
        centre, sd = self._population(site, draws, priors)
        return dist.Normal(centring[site] * centre, sd ** centring[site])

    def _population(self, site: str, draws: Mapping[str, Any], priors: Priors) -> tuple[Any, Any]:
        """Return the centre, on the line, and the standard deviation of the population of a site of offsets."""
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
                centre, sd = self._population(site, draws, priors)
                c = centring[site]
                line = centre + sd ** (1 - c) * (draws[site] - c * centre)
                of_groups = self._bijection(priors, row.site)(line)
            values[row.site] = of_groups[cells[:, column].astype(int)]
        return values

    def moved(self, u: Array, after: Geometry, data: Observations, priors: Priors) -> Array:
        """Return the coordinates of the same parameters in another geometry."""
        draws = self._sampled(u, priors)
        parts = self.unravel(u)
        before = data.geometry
        for site in self.populations:
            centre, sd = self._population(site, draws, priors)
            standard = (parts[site] - before.centring[site] * centre) / sd ** before.centring[site]
            parts[site] = after.centring[site] * centre + sd ** after.centring[site] * standard
        if self.increments:
            named = self._named(draws, data, priors)
            parts[INCREMENTS] = self._remaining(named, dataclasses.replace(data, geometry=after))
        return jnp.concatenate([jnp.ravel(value) for value in parts.values()])

    def _remaining(self, named: Mapping[str, Any], data: Observations) -> Array:
        """Return the coordinates of the increments of named parameters."""
        centre, sd = self._where_it_lies(named, data)
        remaining: Array = (data.geometry.rotation.T @ named[INCREMENTS] - centre) / sd
        return remaining

    def on_the_line(self, u: Array, centring: Mapping[str, Any], priors: Priors) -> dict[str, tuple[Array, Array]]:
        """Return, by site of offsets, values of groups on the line and the standard deviation of their population."""
        draws = self._sampled(u, priors)
        out = {}
        for site in self.populations:
            centre, sd = self._population(site, draws, priors)
            c = centring[site]
            out[site] = (centre + sd ** (1 - c) * (draws[site] - c * centre), sd)
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
        with TRACED:
            energy: Array = self._traced(u, None, data, priors)
        return energy

    def tempered(self, u: Array, power: Array, data: Observations, priors: Priors) -> Array:
        """Return minus the log of the prior times the likelihood to a power, up to a constant, at ``u``."""
        with TRACED:
            energy: Array = self._traced(u, power, data, priors)
        return energy

    @functools.cached_property
    def _traced(self) -> Callable[[Array, Array | None, Observations, Priors], Array]:
        """The potential, traced once for tables of one length; what calls it inlines what was traced."""

        def energy(u: Array, power: Array | None, data: Observations, priors: Priors) -> Any:
            with _PriorsWithoutConstants(), _ToAPower(power):
                return potential_energy(self, (data, priors), {}, self.unravel(u))

        return jax.jit(energy, inline=True)

    def constrain(self, u: Array, data: Observations, priors: Priors) -> dict[str, Array]:
        """Return the parameters under the names of the papers at ``u``; pooled ones ``(n_cell,)``."""
        return self._named(self._sampled(u, priors), data, priors)

    def in_groups(self, u: Array, new: Mapping[str, Array], data: Observations, priors: Priors) -> dict[str, Array]:
        """Return the parameters at ``u`` in the cells of ``data``.

        Parameters
        ----------
        new : by site of `of_groups`, ``(n_new,)`` draws for the groups beyond the last one, of which offsets are
            standardised
        """
        draws = {site: jnp.append(v, new[site]) if site in new else v for site, v in self._sampled(u, priors).items()}
        centring = {site: jnp.append(c, jnp.zeros_like(new[site])) for site, c in data.geometry.centring.items()}
        geometry = dataclasses.replace(data.geometry, centring=centring)
        return self._named_alone(draws, dataclasses.replace(data, geometry=geometry), priors)

    def _sampled(self, u: Array, priors: Priors) -> dict[str, Array]:
        """Return the value of every sampled site at ``u``."""
        return {
            site: value if site == INCREMENTS else self._bijection(priors, site)(value)
            for site, value in self.unravel(u).items()
        }

    def _named(self, draws: Mapping[str, Array], data: Observations, priors: Priors) -> dict[str, Array]:
        """Return the parameters, and the increments of the discrepancy, of draws of the sampled sites."""
        named = self._named_alone(draws, data, priors)
        if self.increments:
            centre, sd = self._where_it_lies(named, data)
            named[INCREMENTS] = data.geometry.rotation @ (centre + sd * draws[INCREMENTS])
        return named

    def _named_alone(self, draws: Mapping[str, Array], data: Observations, priors: Priors) -> dict[str, Array]:
        """Return the same without the increments."""
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

    def log_mean_and_scale(self, theta: Mapping[str, Any], columns: Mapping[str, Any]) -> tuple[Array, Array]:
        """Return the log mean and the scale of the scatter of single rows of log loss, ``(n_row,)`` each."""
        log_mean = self.log_mean(theta, columns)
        noise = self._by_row({row.name: theta[row.name] for row in self.noise.parameters}, columns)
        return log_mean, jnp.broadcast_to(self.noise.row_scale(noise, columns), log_mean.shape)

    def pulls(self, theta: Mapping[str, Any], data: Observations) -> Array:
        """Return how much the data pull each row's expected loss along each increment, ``(n_padded, increments)``.

        That is minus the second derivative of the log likelihood at ``theta`` times the basis, with heavy tails
        replaced by normal ones of the scale that gives each row the same pull.
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
        log_mean, row_scale = self.log_mean_and_scale(theta, data.columns)
        noise = self._by_row({row.name: theta[row.name] for row in self.noise.parameters}, data.columns)
        location, scale = self.noise.location_and_scale(log_mean, noise, data.columns, data.log_loss)
        observed = self.noise.scatter_family.distribution(location, scale, noise)
        density = jnp.where(data.weight > 0, observed.log_prob(data.log_loss), 0.0)
        return log_mean, row_scale, location, jnp.broadcast_to(scale, log_mean.shape), density


def model_of(composition: Composition, groups: Groups | None = None) -> Model:
    """Return the model of a composition; one object for laws that differ only in the numbers of their priors.

    Compiled programs are kept by model, which is what makes a second fit cheap.
    """
    groups = Groups() if groups is None else groups
    law, noise, discrepancy = composition.law, composition.noise, composition.discrepancy
    pools = {}
    for name, pool in composition.pooling.items():
        position = groups.columns.index(pool.by)
        pools[name] = (pool.mode, position, groups.counts[position])
    axes = discrepancy.used_axes(law)
    rows = tuple((row.name, row.value) for row in law.parameters)
    key = (law.mean, law.arguments, rows, noise, discrepancy, axes, (*pools.items(),))
    pieces = (law.mean, law.arguments, law.parameter_names, law.parameters)
    return STORE.model(key, lambda: Model(*pieces, noise, discrepancy, axes, pools))
