"""The joint density of held-out runs under a fit: one witness for each path, not one for each row.

Whatever a law gets wrong, it gets wrong for all runs above a cut together: a row more says less than the first one did.
The joint density counts them so. Given a draw of the parameters, log losses are normal, with the covariance of the path
of the discrepancy beyond the fitted runs, of the slow deviations of curves, and the scatter of single rows.
"""

from __future__ import annotations

import numpy as np
import scipy.special

from bayes_scaling.base.arguments import validated
from bayes_scaling.data.runs import Runs
from bayes_scaling.inference.draws import by_row
from bayes_scaling.inference.result import Fit
from bayes_scaling.model.discrepancy import log_size
from bayes_scaling.model.observations import curve_layout, law_table, size_of
from bayes_scaling.predict.ensemble import law_and_scale

MOST_ROWS = 200  # more are left out evenly, by size
ENOUGH = 400  # draws


@validated
def joint_log_density(fit: Fit, held_out: Runs) -> float:
    """Return the log density of the log losses of held-out runs together, under everything that a fit says.

    Parameters
    ----------
    fit : to the runs below a cut
    held_out : the runs above it; more than 200 are left out evenly, and the density taken to the power of the share
        that is kept would be that of all, were they independent: it is that of the kept ones

    Notes
    -----
    Student-t scatter is taken as normal with the same central half-width, so that paths integrate in closed form.
    """
    sizes = log_size(fit.law, {name: held_out.column(name) for name in fit.law.inputs})
    order = np.argsort(sizes, kind="stable")
    kept = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), MOST_ROWS)).round().astype(int))]
    rows = held_out.where(np.isin(np.arange(len(held_out)), kept))
    fit = fit.thinned(-(-ENOUGH // len(fit.unconstrained)) * len(fit.unconstrained))
    table = law_table(fit.law, rows)
    table |= {name: rows.column(name) for name in ("loss", "loss_se", size_of(fit.runs)[0]) if name in rows}
    theta, cell = fit.in_groups(rows.table, rows.source)
    location, scale = law_and_scale(fit, theta, table, cell)
    own = by_row(theta, cell)
    scale = scale * fit.noise.shape.central_half_width(own)
    places, grid = log_size(fit.law, table), fit.discrepancy_grid
    tau, shared = np.zeros(len(location)), np.zeros((len(places), len(places)))
    if grid.size:
        tau = fit.flat()["tau"]
        location = location + tau[:, None] * (fit.increments @ grid.basis(places).T)
        shared = grid.unresolved_covariance(places)
    residual = np.log(rows.loss) - location
    densities = [
        _normal(residual[draw], tau[draw] ** 2 * shared + np.diag(scale[draw] ** 2)) for draw in range(len(location))
    ]
    return float(scipy.special.logsumexp(densities) - np.log(len(densities)))


def _normal(residual: np.ndarray, covariance: np.ndarray) -> float:
    """Return the log density of a centred normal."""
    factor = np.linalg.cholesky(covariance)
    white = scipy.linalg.solve_triangular(factor, residual, lower=True)
    return float(-0.5 * white @ white - np.log(np.diag(factor)).sum() - 0.5 * len(residual) * np.log(2 * np.pi))
