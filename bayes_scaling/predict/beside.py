"""Quantities of laws along the curve of a run, each computed when it is first asked for."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from bayes_scaling.base.messages import listed, shown
from bayes_scaling.data.columns import derive_missing
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.at_rows import BLOCK, few_of, with_few_draws
from bayes_scaling.inference.result import Fit
from bayes_scaling.predict.ensemble import Source, shares_of
from bayes_scaling.predict.forecast import Forecast
from bayes_scaling.predict.quantities import QuantityDraws, quantity

COMPUTE_SHARE = "run_compute_share"  # quantity of laws that count C_min, the compute of a run at a very small batch


@dataclasses.dataclass(frozen=True, eq=False)
class Beside(Mapping[str, QuantityDraws]):
    """Every quantity of the laws whose inputs are known along a run, at its median losses.

    Of many rows, draws are left out as in the forecast of these rows.

    Attributes
    ----------
    source : the laws
    group : of the run, where a fit is pooled
    known : inputs along the run, ``(n_row,)`` each
    needs : the inputs of each quantity
    unconverged : accept fits that did not converge
    """

    source: Source
    group: Mapping[str, str] | None
    known: Mapping[str, np.ndarray]
    needs: Mapping[str, list[str]]
    unconverged: bool
    found: dict[str, QuantityDraws] = dataclasses.field(default_factory=dict, init=False)

    def __iter__(self) -> Iterator[str]:
        return (name for name, names in self.needs.items() if names and set(names) <= set(self.known))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, name: str) -> QuantityDraws:
        if name not in list(self):
            raise KeyError(name)
        if name not in self.found:
            self.found[name] = self._quantity(name, self.inputs if "flops" in self.needs[name] else self.known)
        return self.found[name]

    @functools.cached_property
    def inputs(self) -> Mapping[str, np.ndarray]:
        """What is known along the run, with the compute that a law counts where it is not that of the run."""
        names = self.needs.get(COMPUTE_SHARE, ["?"])
        if not set(names) <= set(self.known):
            return self.known
        share = self._quantity(COMPUTE_SHARE, self.known)
        return {**self.known, "flops": self.known["flops"] * share.median()}

    def _quantity(self, name: str, known: Mapping[str, np.ndarray]) -> QuantityDraws:
        """Compute a quantity in blocks of rows, with as few draws as a forecast of them has."""
        rows = len(known["loss"])
        source = with_few_draws(self.source, rows) if isinstance(self.source, Fit) else self.source
        shares = shares_of(source, 0, self.unconverged).values()
        size = max(BLOCK // max(share.fit.unconstrained[..., 0].size for share in shares), 1)
        parts = []
        for start in range(0, rows, size):
            here = {one: known[one][start : start + size].tolist() for one in self.needs[name]}
            part = quantity(source, name, group=self.group, unconverged=self.unconverged, **here)
            parts.append(dataclasses.replace(part, draws=part.draws[few_of(np.arange(len(part.draws)), rows)]))
        points = pd.concat([part.points for part in parts], ignore_index=True)
        return dataclasses.replace(parts[0], points=points, draws=np.concatenate([one.draws for one in parts], axis=1))


def beside(source: Source, found: Forecast, given: Mapping[str, np.ndarray], unconverged: bool) -> Beside:
    """Return the quantities of the laws along the run of a forecast.

    Parameters
    ----------
    source : the laws
    found : of rows along one run
    given : further inputs of quantities, a number or one per row
    """
    fits = [share.fit for share in shares_of(source, 0, unconverged).values()]
    group = {column: str(found.points[column].iloc[0]) for fit in fits for column in fit.groups.columns} or None
    numbers = {str(name): found.points[name].to_numpy(float) for name in found.points if name not in (group or {})}
    known = {**derive_missing(numbers)[0], "loss": np.median(found.curve, axis=0)}
    for name, further in given.items():
        if further.shape not in ((), known["loss"].shape) or not (np.isfinite(further) & (further > 0)).all():
            raise ForecastError(
                f"{name} beside the curve is {shown(further.tolist())}, expected a positive number, or one per row"
            )
        known[name] = np.broadcast_to(further, known["loss"].shape)
    needs = _shared_quantities(fits)
    if unread := [name for name in given if not any(name in names for names in needs.values())]:
        raise ForecastError(f"no quantity of the laws reads {listed(unread)}")
    return Beside(source, group, known, needs, unconverged)


def _shared_quantities(fits: Sequence[Fit]) -> dict[str, list[str]]:
    """Return the inputs of each quantity of the laws, but for those of one name that differ between laws."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for fit in fits:
        for row in fit.law.quantities:
            inputs = [name for name in row.needs if name not in fit.law.parameter_names]
            found.setdefault(row.name, set()).add((row.unit, *sorted(inputs)))
    return {name: list(next(iter(kinds))[1:]) for name, kinds in found.items() if len(kinds) == 1}
