"""The result of a fit: posterior draws, what they belong to, and whether they can be trusted."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp
import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import FilePath, Seed, validated
from bayes_scaling.base.messages import equal_tails, listed
from bayes_scaling.base.scope import scope
from bayes_scaling.base.spacing import evenly
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import REMEDY, ConvergenceError, FitError, Remedy
from bayes_scaling.inference.at_rows import AtRows, at_rows, kept_draws
from bayes_scaling.inference.compiled import AT_ONCE, in_groups, log_mean_and_scale, log_priors, placed
from bayes_scaling.inference.diagnostics import Diagnostics
from bayes_scaling.inference.draws import (
    PRIOR_DRAWS,
    by_row,
    device_draws,
    new_group_draws,
    posterior_of,
    prior_draws,
)
from bayes_scaling.inference.store import save, to_datatree
from bayes_scaling.laws.law import Law
from bayes_scaling.model.composition import Composition, site_priors, spelled_out
from bayes_scaling.model.curves import CurveLayout
from bayes_scaling.model.discrepancy import Discrepancy, DiscrepancyGrid
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.observations import SIZE_MEASURES, Yardstick, curve_layout, law_table, rows_read
from bayes_scaling.model.pooling import Groups, Pooling
from bayes_scaling.model.program import Model, model_of

if TYPE_CHECKING:
    import xarray as xr


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """A posterior, the data and law it belongs to, and what its sampler said.

    Attributes
    ----------
    composition : what was fitted: law, noise, discrepancy and pooling
    runs : the table
    draws : by parameter, in the notation of the paper, (chain, draw); a parameter that varies between groups has an
        entry for each, ``alpha[c4]``, and one for the standard deviation between groups, ``alpha_sd``
    prior : by parameter, (prior draw,)
    unconstrained : (chain, draw, coordinate) coordinates that were sampled
    stats : sampler statistics by name, (chain, draw)
    diagnostics : convergence of the sampler
    manifest : everything needed to say where this came from and to make it again
    drawn : number of draws that the diagnostics judged, where only some of them are kept (see `thinned`)
    """

    composition: Composition
    runs: Runs
    draws: Mapping[str, np.ndarray]
    prior: Mapping[str, np.ndarray]
    unconstrained: np.ndarray
    stats: Mapping[str, np.ndarray]
    diagnostics: Diagnostics
    manifest: Mapping[str, Any]
    drawn: int | None = None
    EXPECTED: ClassVar[str] = "a Fit, as from fit(law, runs) or load_fit(path), or one of the fits of an Ensemble"

    def __getstate__(self) -> dict[str, Any]:
        # Without the model and what else follows from the fields: another process finds the law and builds it again.
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)
        fitted = self.manifest["law_source_sha256"]
        if self.law.source_hash != fitted:
            raise FitError(
                f"this fit was pickled with another version of {self.law.label} than is here (hash {fitted}, here "
                f"{self.law.source_hash}): fit again, or bring the law that was fitted"
            )

    @property
    def law(self) -> Law:
        """The law."""
        return self.composition.law

    @property
    def noise(self) -> Noise:
        """How runs scatter."""
        return self.composition.noise

    @property
    def discrepancy(self) -> Discrepancy:
        """How the truth may leave the law."""
        return self.composition.discrepancy

    @property
    def pooling(self) -> Pooling:
        """How parameters vary between groups of runs, by parameter; empty where all runs share everything."""
        return self.composition.pooling

    @functools.cached_property
    def model(self) -> Model:
        """The model that was sampled."""
        return model_of(self.composition, self.groups)

    @property
    def sampler_used(self) -> str:
        """How the posterior was sampled.

        ``fast NUTS``, ``NUTS`` or ``NUTS, stronger settings``, each also ``whitened by its draws``, the last also with
        ``twice the chains``; or ``Laplace``.
        """
        return str(self.manifest["sampler_used"])

    @property
    def problems(self) -> tuple[str, ...]:
        """Limits of convergence that are broken; empty for a fit that can be used."""
        return self.diagnostics.problems(self.drawn or int(np.prod(self.unconstrained.shape[:2])))

    @property
    def converged(self) -> bool:
        """Whether the sampler's diagnostics are all within limits."""
        return not self.problems

    @validated
    def require_convergence(self, unconverged: bool = False) -> None:
        """Raise `ConvergenceError` for a fit that did not converge, unless it is accepted as ``unconverged``."""
        if self.problems and not unconverged:
            raise ConvergenceError(
                f"the fit of {self.law.label} did not converge ({'; '.join(self.problems)}); "
                f"fit again with more draws or tighter priors, or use it anyway with {REMEDY}",
                Remedy("unconverged", value=True),
            )

    @validated
    def thinned(self, most: int) -> Fit:
        """Keep about so many draws, evenly from every chain, with their statistics.

        The diagnostics remain those of all draws, which is what they were judged on.

        Parameters
        ----------
        most : draws that are kept, over all chains; at least one per chain is
        """
        chains, draws = self.unconstrained.shape[:2]
        if chains * draws <= most:
            return self
        kept = evenly(draws, max(most // chains, 1))
        return dataclasses.replace(
            self,
            draws={name: values[:, kept] for name, values in self.draws.items()},
            unconstrained=self.unconstrained[:, kept],
            stats={name: values[:, kept] for name, values in self.stats.items()},
            drawn=self.drawn or chains * draws,
        )

    @property
    def counted(self) -> str:
        """How many rows the table has, and how many of them the sampler read."""
        read = len(rows_read(self.composition, self.runs))
        return self.runs.counted + (f", {read:,} of them read" if read < len(self.runs) else "")

    @functools.cached_property
    def yardstick(self) -> Yardstick:
        """What its noise model measures runs by."""
        return Yardstick.of(self.law, self.noise, self.runs)

    def flat(self) -> dict[str, np.ndarray]:
        """Return the draws of every parameter in one row, ``(chain * draw,)``."""
        return {name: values.reshape(-1) for name, values in self.draws.items()}

    @functools.cached_property
    def contraction(self) -> dict[str, float]:
        """How much the data narrowed each parameter: 1 minus posterior over prior variance, on the log scale.

        Near 0 the posterior is the prior speaking. Positive parameters are compared as logarithms.
        """
        out = {}
        for name, values in self.draws.items():
            after, before = values.reshape(-1), np.asarray(self.prior[name])
            if (before > 0).all() and (after > 0).all():
                after, before = np.log(after), np.log(before)
            out[name] = float(max(0.0, 1 - after.var() / before.var()))
        return out

    @validated
    def summary(self, probability: float = 0.9) -> pd.DataFrame:
        """Return one row per parameter: median, equal-tailed interval, contraction from the prior.

        Parameters
        ----------
        probability : content of the interval
        """
        low, high = equal_tails(probability)
        rows = {
            name: {
                "median": np.median(values),
                f"{low:.1%}": np.quantile(values, low),
                f"{high:.1%}": np.quantile(values, high),
                "learned": self.contraction[name],
            }
            for name, values in self.flat().items()
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    @functools.cached_property
    def groups(self) -> Groups:
        """The groups of the fitted table, for every column that something is pooled over."""
        return self.composition.groups(self.runs)

    @property
    def law_names(self) -> list[str]:
        """Names of the law's parameters among the draws, those of groups included."""
        names = spelled_out(self.composition, self.groups)
        return [key for name in self.law.parameter_names for key, _ in names[name]]

    @validated
    def theta(self, group: Mapping[str, str] | None = None, seed: Seed = 0) -> dict[str, np.ndarray]:
        """Return draws of every parameter of law and noise in one group, ``(chain * draw,)``.

        Parameters
        ----------
        group : name of the group in each column that something is pooled over: ``{"dataset": "c4"}``. A name that the
            table does not have is a new group, drawn from the population
        seed : of that draw
        """
        table = pd.DataFrame({column: [str(name)] for column, name in (group or {}).items()})
        stray = [column for column in table if column not in self.groups.columns]
        if stray:
            over = ", ".join(self.groups.columns) or "no column"
            raise FitError(f"the fit of {self.law.label} is pooled over {over}, not over {stray[0]}")
        missing = [column for column in self.groups.columns if column not in table]
        if missing:
            known = listed(self.groups.labels[self.groups.columns.index(missing[0])], 8)
            raise FitError(f"say which {missing[0]} is meant: {known}, or a new one")
        theta, _ = self.in_groups(table, "the group", seed)
        return {name: values.reshape(len(values), -1)[:, 0] for name, values in theta.items()}

    @validated
    def in_groups(self, table: pd.DataFrame, source: str, seed: Seed = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return draws of every parameter in the groups of a table, and the cell of each of its rows.

        Each name that the fitted table does not have is a group of its own, drawn from the population by its name: the
        same whatever else the table holds.

        Returns
        -------
        theta : by parameter, (chain * draw,), or (chain * draw, n_cell) where it varies between groups
        cell : (n_row,) integer
        """
        model = self.model
        if not self.pooling:
            flat = self.flat()
            return {name: flat[name] for name in model.names}, np.zeros(len(table), int)
        cells, cell = self.groups.place(table, source)
        u = self.unconstrained.reshape(-1, len(model.sites))
        priors, names = site_priors(self.composition), self.groups.newcomers(table, source)
        new = {
            # One at least, so that tables without new groups have the shapes of those with one.
            site: new_group_draws(site, priors[site], names[position] or ("",), len(u), seed)
            for site, position in model.of_groups.items()
        }
        with scope():
            _, data, arguments = posterior_of(self.composition, self.runs)
            # Only groups and reference point are read: rows would make programs for every size of table.
            where = dataclasses.replace(data, columns={}, log_loss=None, weight=None, cells=jnp.asarray(cells, float))
            values = in_groups(model)(jnp.asarray(u), device_draws(new), where, arguments)
        return {name: np.asarray(values[name]) for name in model.names}, cell

    @functools.cached_property
    def discrepancy_grid(self) -> DiscrepancyGrid:
        """Where the discrepancy is held."""
        return self.composition.discrepancy_grid(self.runs)

    @property
    def increments(self) -> np.ndarray:
        """Draws of the standardised increments of the discrepancy, ``(chain * draw, size)``."""
        u = self.unconstrained.reshape(-1, self.unconstrained.shape[-1])
        return u[:, u.shape[1] - self.model.increments :]

    @functools.cached_property
    def kept(self) -> np.ndarray:
        """Draws that are looked at row by row, as indices of chain * draw: all of them, unless the table is very large.

        An array of draws by rows holds at most 10 million numbers, or one draw of each chain.
        """
        return kept_draws(self)

    @functools.cached_property
    def at_rows(self) -> AtRows:
        """The draws that are `kept` at all rows."""
        return at_rows(self, self.kept)

    @property
    def log_mean(self) -> np.ndarray:
        """Log of the expected loss at the fitted rows, law and discrepancy, ``(kept, row)``."""
        return self.at_rows.log_mean

    @property
    def row_scale(self) -> np.ndarray:
        """Scale of the scatter of single rows of log loss, ``(kept, row)``."""
        return self.at_rows.row_scale

    @property
    def expected(self) -> tuple[np.ndarray, np.ndarray]:
        """Expectation and scale of the log loss of each row, ``(kept, row)`` each.

        Where rows of a run are correlated, given the rows before it; elsewhere the same as `log_mean` and `row_scale`.
        """
        return self.at_rows.expected, self.at_rows.scale

    @property
    def log_likelihood(self) -> np.ndarray:
        """Log density of each observed loss, ``(chain, kept draw, row)``, per unit of the loss."""
        per_loss = self.at_rows.log_density - np.log(self.runs.loss)
        return per_loss.reshape(len(self.unconstrained), -1, len(self.runs))

    @functools.cached_property
    def log_prior(self) -> dict[str, np.ndarray]:
        """Log prior density of every sampled site, ``(chain, draw)``."""
        with scope():
            model, _, priors = posterior_of(self.composition, self.runs)
            u = jnp.asarray(self.unconstrained.reshape(-1, len(model.sites)))
            values = log_priors(model)(u, priors)
        return {site: np.asarray(v).reshape(self.unconstrained.shape[:2]) for site, v in values.items()}

    @functools.cached_property
    def replicated(self) -> np.ndarray:
        """Losses of one new run at every fitted point (posterior predictive), ``(chain, kept draw, row)``."""
        return self.replicate(self.at_rows).reshape(len(self.unconstrained), -1, len(self.runs))

    @validated
    def replicate(self, at: AtRows) -> np.ndarray:
        """Draw losses of one new run at every fitted point, ``(n_draw, n_row)``, by some draws at all rows."""
        seed = int(self.manifest["seed"]) + int(at.draws[0])  # every block of draws has a seed of its own
        return self.noise.draw(at.log_mean, at.row_scale, at.theta, self._layout, seed)

    @property
    def _layout(self) -> CurveLayout | None:
        table = law_table(self.law, self.runs)
        return curve_layout(
            self.noise, table | {name: self.runs.column(name) for name in SIZE_MEASURES if name in self.runs}
        )

    @functools.cached_property
    def prior_predictive(self) -> np.ndarray:
        """Losses of one new run at every fitted point before any data were seen, ``(prior draw, row)``."""
        with scope():
            model, data, priors = posterior_of(self.composition, self.runs)
            sites = prior_draws(self.composition, model, int(self.manifest["seed"]))
            few = min(PRIOR_DRAWS, max(AT_ONCE // len(self.runs), 1))
            sites = {site: values[:few] for site, values in sites.items()}
            _, theta = placed(model)(sites, data, priors)
            values = log_mean_and_scale(model)(theta, data.columns)
            log_mean, scale = (np.asarray(value)[:, : len(self.runs)] for value in values)
        _, cell = self.groups.place(self.runs.table, self.runs.source)
        noise = by_row({name: np.asarray(theta[name]) for name in model.names}, cell)
        return self.noise.draw(log_mean, scale, noise, self._layout, int(self.manifest["seed"]))

    @functools.cached_property
    def idata(self) -> xr.DataTree:
        """Everything as an ArviZ-ready ``DataTree``: posterior, prior, predictive, likelihood, data, statistics."""
        return to_datatree(self)

    @validated
    def save(self, path: FilePath) -> None:
        """Write the fit as one netCDF file; an existing file is replaced only when the new one is whole."""
        save(self, Path(path))

    def __repr__(self) -> str:
        state = "converged" if self.converged else "NOT converged: " + "; ".join(self.problems)
        return f"<Fit of {self.law.label} ({self.noise.label}) to {self.counted}, {self.sampler_used}, {state}>"
