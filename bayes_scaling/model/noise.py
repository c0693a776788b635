"""Noise models: how the log loss of one run scatters around its expected value.

A noise model is composed of a *family* (the shape of the scatter, `bayes_scaling.model.families`), a *scale* (how wide
it is for each run), and what *rows* of one run have in common. All of them describe residuals of the natural logarithm
of the loss, so ``sigma = 0.01`` is one percent.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from bayes_scaling.base.arguments import check_fields
from bayes_scaling.base.names import STARTS, listed_as_choice
from bayes_scaling.base.streams import DEVIATIONS, RESIDUALS, stream
from bayes_scaling.errors import LawError
from bayes_scaling.laws.parameters import Parameter
from bayes_scaling.model.curves import CurveLayout, draw_deviations, one_step_ahead, whitened
from bayes_scaling.model.families import FAMILIES, Family, Normal
from bayes_scaling.model.start import Start

ROWS_PER_CURVE = 12  # forecasts are as good as from all rows (`benchmarks/curves.py`)
LEAST_ROWS = 3
LEARNED = "learned"
LARGEST_LOG = 300.0  # of a drawn loss: very heavy tails would overflow

_SIGMA = Parameter(
    "sigma",
    dist.LogNormal(math.log(0.008), 1.0),
    unit="log loss",
    meaning="scale of the scatter of a run around the law",
    source="repeated runs and refits of public tables: 0.0006 to 0.02 of the loss",
)
_GROWTH = Parameter(
    "kappa",
    dist.HalfNormal(0.25),
    unit="per e-fold of the run's size",
    meaning="how fast the scatter grows towards small runs: sigma (size / reference)^-kappa",
    source="weakly informative",
)
_SIGMA_CURVE = Parameter(
    "sigma_curve",
    dist.LogNormal(math.log(0.008), 1.0),
    unit="log loss",
    meaning="scale of the slow deviation of a whole curve from the law",
    source="seeds, tuning and an imperfect law move whole curves by about as much as single runs",
)
_LENGTH = Parameter(
    "length",
    dist.LogNormal(0.0, 0.75),
    unit="e-folds of steps",
    meaning="distance along a curve over which its deviation is forgotten",
    source="weakly informative: 0.2 to 4 e-folds",
)


class Scale(abc.ABC):
    """How wide the scatter of each run is.

    Attributes
    ----------
    label : name, as it stands in manifests and legends
    parameters : rows of its parameters, ``sigma`` among them
    columns : what it reads of each run besides the loss
    """

    label: str
    parameters: tuple[Parameter, ...]
    columns: tuple[str, ...] = ()

    @abc.abstractmethod
    def value(self, theta: Mapping[str, Any], runs: Mapping[str, Any]) -> Any:
        """Return the scale of each row's log loss, ``(n_row,)`` or scalar, in JAX or numpy."""


@dataclasses.dataclass(frozen=True)
class Constant(Scale):
    """Every run scatters by sigma."""

    label = "constant"
    parameters = (_SIGMA,)

    def value(self, theta: Mapping[str, Any], runs: Mapping[str, Any]) -> Any:
        """Return sigma."""
        return theta["sigma"]


@dataclasses.dataclass(frozen=True)
class Known(Scale):
    """Each run's standard error adds to sigma in quadrature."""

    label = "known"
    parameters = (_SIGMA,)
    columns = ("noise.relative_se",)

    def value(self, theta: Mapping[str, Any], runs: Mapping[str, Any]) -> Any:
        """Return sqrt(sigma^2 + se^2), se the standard error over the loss."""
        return jnp.sqrt(theta["sigma"] ** 2 + runs["noise.relative_se"] ** 2)


@dataclasses.dataclass(frozen=True)
class Growing(Scale):
    """Small runs scatter more than large ones."""

    label = "growing"
    parameters = (_SIGMA, _GROWTH)
    columns = ("noise.relative_size",)

    def value(self, theta: Mapping[str, Any], runs: Mapping[str, Any]) -> Any:
        """Return sigma times a power of the size over its geometric mean."""
        return theta["sigma"] * jnp.exp(-theta["kappa"] * jnp.log(runs["noise.relative_size"]))


SCALES: Mapping[str, Scale] = {scale.label: scale for scale in (Constant(), Known(), Growing())}
ROWS: Mapping[str, tuple[Parameter, ...]] = {"independent": (), "correlated": (_SIGMA_CURVE, _LENGTH)}


@dataclasses.dataclass(frozen=True)
class Noise:
    """Scatter of log loss around its expected value.

    Attributes
    ----------
    family : ``student_t`` (learns how heavy the tails are), ``normal``, or a `Family` of one's own
    scale : ``constant``; ``known``, where each run's ``loss_se`` adds to sigma in quadrature; or ``growing``,
        where sigma grows towards small runs
    rows : ``independent``; or ``correlated``, where rows of one run share a slow deviation from the law (see
        `bayes_scaling.model.curves`)
    rows_per_curve : how many correlated rows of one run the sampler reads at most, evenly along the logarithm of steps,
        the first and the last always; None for all of them. Neighbours say much the same of a law, and cost time
    start : how the start of curves departs from the law, where rows are correlated: ``learned`` beside a law that reads
        params, and the batch or the learning rate, and none beside another; ``none``, the law holds from the first row
        on; or a `Start`
    """

    family: str | Family = "student_t"
    scale: str = "constant"
    rows: str = "independent"
    rows_per_curve: int | None = ROWS_PER_CURVE
    start: str | Start = LEARNED

    def __post_init__(self) -> None:
        check_fields(self)
        most = self.rows_per_curve
        if most is not None and most < LEAST_ROWS:
            raise LawError(
                f"rows_per_curve is {most}; a curve needs at least {LEAST_ROWS} rows, or give None to read all of them"
            )
        if not self.correlated and most != ROWS_PER_CURVE:
            raise LawError(f"rows_per_curve is {most}, but independent rows are all read: take rows='correlated'")
        if not isinstance(self.start, Start) and self.start not in STARTS:
            raise LawError(f"start is {self.start!r}; expected {', '.join(STARTS)}, or a bayes_scaling.Start")
        if not self.correlated and self.start != LEARNED:
            raise LawError("start is about training curves, but rows are independent: take rows='correlated'")
        known: Mapping[str, Mapping[str, Any]] = {"family": FAMILIES, "scale": SCALES, "rows": ROWS}
        for kind, table in known.items():
            chosen = getattr(self, kind)
            if not isinstance(chosen, Family) and chosen not in table:
                raise LawError(f"noise {kind} is {chosen!r}; expected {listed_as_choice(table)}")

    @property
    def scatter_family(self) -> Family:
        """The family, found by its name where it was named."""
        return self.family if isinstance(self.family, Family) else FAMILIES[self.family]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Rows of the parameters of this noise model."""
        of_start = self.start_of_curves.parameters if self.start_of_curves else ()
        return (*SCALES[self.scale].parameters, *self.scatter_family.parameters, *ROWS[self.rows], *of_start)

    @property
    def correlated(self) -> bool:
        """Whether rows of one run share a slow deviation."""
        return self.rows == "correlated"

    @property
    def start_of_curves(self) -> Start | None:
        """How the start of curves departs from the law; None where it does not, or where no law is known yet."""
        return self.start if isinstance(self.start, Start) else None

    @property
    def columns(self) -> tuple[str, ...]:
        """What this noise model reads of each run besides its loss."""
        of_rows = ("noise.layout_row", "noise.layout_gap") if self.correlated else ()
        return (*SCALES[self.scale].columns, *of_rows, *(self.start_of_curves.columns if self.start_of_curves else ()))

    @property
    def label(self) -> str:
        """Short name, for manifests and legends."""
        scale = "" if self.scale == "constant" else f", {self.scale} scale"
        if not self.correlated:
            return f"{self.scatter_family.label}{scale}"
        read = "" if self.rows_per_curve is None else f", at most {self.rows_per_curve} read of each run"
        begins = f", start of curves learned (first {self.start_of_curves.share:.0%})" if self.start_of_curves else ""
        return f"{self.scatter_family.label}{scale}, correlated rows{read}{begins}"

    def as_dict(self) -> dict[str, Any]:
        """Return family, scale and rows by name, rows per curve, and the start if it is learned, for manifests."""
        said: dict[str, Any] = {
            "family": self.scatter_family.label,
            "scale": self.scale,
            "rows": self.rows,
            "rows_per_curve": self.rows_per_curve,
        }
        if isinstance(self.start, Start):
            return {**said, "start": dataclasses.asdict(self.start) | {"by": list(self.start.by)}}
        return said if self.start == LEARNED else {**said, "start": self.start}

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Noise:
        """Return the noise model that `as_dict` describes."""
        begins = said.get("start", LEARNED)
        if isinstance(begins, Mapping):
            begins = Start(begins["along"], tuple(begins["by"]), begins["share"])
        return cls(**{**said, "start": begins})

    # --- in the program ---

    def row_scale(self, theta: Mapping[str, Any], runs: Mapping[str, Any]) -> Any:
        """Return the scale of the scatter of each row's log loss, ``(n_row,)`` or scalar.

        Parameters
        ----------
        theta : noise parameters
        runs : `columns` of this noise model
        """
        scale = SCALES[self.scale].value(theta, runs)
        return jnp.hypot(scale, self.start_of_curves.scatter(theta, runs)) if self.start_of_curves else scale

    def location_and_scale(
        self, log_mean: Any, theta: Mapping[str, Any], runs: Mapping[str, Any], log_loss: Any
    ) -> tuple[Any, Any]:
        """Return expectation and scale of each row's log loss, given the law and the rows of its run before it.

        Parameters
        ----------
        log_mean : (n_row,) log of the expected loss
        theta : noise parameters, scalar or (n_row,)
        runs : `columns` of this noise model
        log_loss : (n_row,) what was observed, which correlated rows look back on
        """
        scale = self.row_scale(theta, runs)
        if not self.correlated:
            return log_mean, scale
        expected, scale = one_step_ahead(log_loss - log_mean, scale, theta, runs, self.scatter_family)
        return log_mean + expected, scale

    def distribution(
        self, log_mean: Any, theta: Mapping[str, Any], runs: Mapping[str, Any], log_loss: Any
    ) -> dist.Distribution:
        """Return the distribution of each row's log loss; arguments as of `location_and_scale`."""
        return self.scatter_family.distribution(*self.location_and_scale(log_mean, theta, runs, log_loss), theta)

    def weight(self, log_mean: Any, theta: Mapping[str, Any], runs: Mapping[str, Any], log_loss: Any) -> Any:
        """Return how much each row counts, ``(n_row,)``: 1, and less the further it lies out where tails are heavy."""
        return self.scatter_family.weight(self.squares(log_mean, theta, runs, log_loss), theta)

    def squares(self, log_mean: Any, theta: Mapping[str, Any], runs: Mapping[str, Any], log_loss: Any) -> Any:
        """Return the squared standardised residual of each row, given the rows of its run before it, ``(n_row,)``.

        As if the scatter were normal: no row counts less for lying far out.
        """
        normal = dataclasses.replace(self, family=Normal())
        observed = normal.distribution(log_mean, theta, runs, log_loss)
        return ((log_loss - observed.loc) / observed.scale) ** 2

    @property
    def jointly_normal(self) -> bool:
        """Whether the log losses of a table are jointly normal, given the parameters."""
        return type(self.scatter_family) is Normal

    def whitened(
        self, residual: Any, others: Sequence[Any], theta: Mapping[str, Any], runs: Mapping[str, Any], weight: Any
    ) -> tuple[Any, Any]:
        """Turn residuals that scatter like a table of normal noise into independent ones of unit scale.

        Parameters
        ----------
        residual : (n_row,) of log loss
        others : several of (n_row, n_other), what else is to be seen through the same linear map
        theta, runs : as of `location_and_scale`
        weight : (n_row,) 1 for a row that counts, 0 for padding

        Returns
        -------
        (n, 1 + all n_other) residual and others, in some order of rows, and (n,) the logarithm of what each row was
        divided by
        """
        scale = self.row_scale(theta, runs)
        if self.correlated:
            return whitened(residual, others, scale, theta, runs, weight)
        series = jnp.concatenate([residual[:, None], *others], axis=1)
        return (weight / scale)[:, None] * series, weight * jnp.log(scale)

    # --- draws ---

    def with_deviations(
        self, log_mean: np.ndarray, theta: Mapping[str, np.ndarray], layout: CurveLayout | None, seed: int
    ) -> np.ndarray:
        """Add the slow deviations of whole curves, drawn anew, to the log of expected losses, ``(n_draw, n_row)``."""
        if layout is None:
            return log_mean
        return np.asarray(log_mean + draw_deviations(theta, layout, log_mean.shape[1], stream(seed, DEVIATIONS)))

    def draw(
        self,
        log_mean: np.ndarray,
        scale: np.ndarray,
        theta: Mapping[str, np.ndarray],
        layout: CurveLayout | None,
        seed: int,
    ) -> np.ndarray:
        """Draw losses around their means, ``(n_draw, n_row)``.

        Parameters
        ----------
        log_mean, scale : (n_draw, n_row), of the expected loss and of the scatter of single rows
        theta : noise parameters, (n_draw,) or (n_draw, n_row)
        layout : the layout of correlated rows; None where rows are independent
        """
        location = self.with_deviations(log_mean, theta, layout, seed)
        return losses(location, scale, self.scatter_family.draw(theta, location.shape, residual_rng(seed)))


def residual_rng(seed: int) -> np.random.Generator:
    """Return the generator of the residuals of single rows."""
    return stream(seed, RESIDUALS)


def losses(location: np.ndarray, scale: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Return losses of standardised residuals; those beyond e^300 or below e^-300 are held there, for finite means."""
    return np.asarray(np.exp(np.clip(location + scale * residual, -LARGEST_LOG, LARGEST_LOG)))
