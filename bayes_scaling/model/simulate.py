"""Simulated tables of runs, for tests, notebooks and planning."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.names import FamilyName
from bayes_scaling.base.scope import scope
from bayes_scaling.base.streams import DESIGNS, SIMULATED_PATHS, stream
from bayes_scaling.data.columns import GROWING, derive_missing
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.validation import Origin, numeric
from bayes_scaling.errors import LawError
from bayes_scaling.laws.catalogue import load_law
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.parameters import Parameter, ReferencePoint, resolve
from bayes_scaling.laws.priors import span
from bayes_scaling.model.choices import DiscrepancyChoice, chosen_discrepancy
from bayes_scaling.model.composition import Composition
from bayes_scaling.model.discrepancy import Discrepancy, DiscrepancyGrid
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.observations import Yardstick, centre_of, curve_layout, model_columns
from bayes_scaling.model.start import StartOfTable


@validated
def grid(**inputs: Sequence[float]) -> pd.DataFrame:
    """Return every combination of the given values, one row each: ``grid(params=[1e8, 1e9], tokens=[1e9, 1e10])``."""
    return pd.DataFrame(itertools.product(*inputs.values()), columns=list(inputs), dtype=float)


def typical_design(law: Law, rows: int = 48, seed: int = 0) -> pd.DataFrame:
    """Scatter runs over the usual span of whatever a law takes.

    Parameters
    ----------
    law : a law; one that reads learning rates gets whole curves under four schedules
    rows : number of runs, or of rows of all curves together
    seed : the same seed gives the same design

    Returns
    -------
    pandas.DataFrame
        The law's inputs in raw units, one row per run: sizes over two decades, 3 to 300 tokens per parameter.
    """
    if "learning_rate" in law.inputs:
        return _typical_curves(law, rows)
    rng = np.random.default_rng(seed)
    params = np.exp(rng.uniform(np.log(6e7), np.log(6e9), rows))
    table = pd.DataFrame({"params": params, "tokens": params * np.exp(rng.uniform(np.log(3), np.log(300), rows))})
    table["flops"] = 6 * table["params"] * table["tokens"]
    rng = stream(seed, DESIGNS)
    table["unique_tokens"] = table["tokens"] / np.exp(rng.uniform(0, np.log(30), rows))
    for name in law.inputs:
        if name not in table:
            column = law.column(name)
            shares = rng.uniform(size=rows)
            table[name] = column.low * (column.high / column.low) ** shares if column.low > 0 else shares * column.high
    return pd.DataFrame(table[list(law.inputs)])


SCHEDULES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "constant": np.ones_like,
    "cosine": lambda done: 0.55 + 0.45 * np.cos(np.pi * done),
    "linear": lambda done: np.clip((1 - done) / 0.3, 0.05, 1),
    "step": lambda done: np.where(done < 0.5, 1.0, 0.3),
}
"""Learning rate over its peak, by the share of the steps after warm-up that is done."""


def _typical_curves(law: Law, rows: int, steps: int = 20_000, peak: float = 3e-4) -> pd.DataFrame:
    """Return rows after the warm-up of one run under each schedule; of several sizes for a law that reads size."""
    warmup = 1_000
    scales = [1.0] if "params" not in law.inputs else [1.0, 4.0]
    curves = []
    for schedule, scale in itertools.product(SCHEDULES, scales):
        step = np.linspace(warmup, steps, max(rows // (len(SCHEDULES) * len(scales)), 2))
        rate = peak / scale**0.5 * SCHEDULES[schedule]((step - warmup) / (steps - warmup))
        batch = 2.5e5 * scale ** (0.5 if schedule in ("constant", "linear") else 0.0)
        run = schedule if len(scales) == 1 else f"{schedule}-{scale:g}"
        curve = {"run": run, "steps": step, "learning_rate": rate, "params": 1e8 * scale, "batch_tokens": batch}
        curves.append(pd.DataFrame({**curve, "tokens": step * batch}))
    table: pd.DataFrame = pd.concat(curves, ignore_index=True)[["run", *law.inputs]]
    return table


def draw_truth(law: Law, noise: Noise, discrepancy: Discrepancy, at: ReferencePoint, seed: int) -> dict[str, float]:
    """Draw one set of parameters from their priors around a reference point."""
    others = (*noise.parameters, *discrepancy.parameters)
    rows = (*law.parameters, *others)
    with scope():
        sampled = (*law.sampled, *others)
        keys = jax.random.split(jax.random.key(seed), len(sampled))
        draws = {row.site: row.prior.sample(key) for row, key in zip(sampled, keys, strict=True)}
        values = resolve(rows, draws, at)
    names = (*law.parameter_names, *(row.name for row in others))
    return {name: float(values[name]) for name in names}


@validated
def simulate(
    law: Law | str,
    design: pd.DataFrame | Runs,
    constants: str | Mapping[str, float] | None = None,
    *,
    noise: FamilyName | Noise = "student_t",
    discrepancy: DiscrepancyChoice = "none",
    seed: Seed = 0,
    typical_loss: float = 3.0,
    loss_unit: str = "nats/token",
) -> Runs:
    """Simulate the losses of a design.

    Parameters
    ----------
    law : a law, or what ``load_law`` takes
    design : one row per run, the law's inputs in raw units (see `grid`); other columns are kept
    constants : name of a published set, or values by parameter; what is left out of law or noise is drawn from the
        prior, everything when None
    noise : scatter of log loss: ``student_t``, ``normal`` or a `Noise`; its parameters (``sigma``, ``nu``) may stand in
        ``constants``
    discrepancy : how the truth leaves the law: ``none``, ``brownian`` or a `Discrepancy`; its ``tau`` may stand in
        ``constants``
    seed : of the prior draw and of the scatter
    typical_loss : loss at the centre of the design, around which prior draws are made
    loss_unit : label

    Returns
    -------
    Runs
        The design with a ``loss`` column; ``notes`` holds the true values.

    Raises
    ------
    LawError
        When the design lacks an input of the law, a constant is unknown or outside its support, or a loss is not
        positive.
    DataError
        When an input of the design is what a table of runs refuses.
    """
    law = load_law(law) if isinstance(law, str) else law
    noise = noise if isinstance(noise, Noise) else Noise(noise)
    table = (design.table if isinstance(design, Runs) else design).reset_index(drop=True)
    columns = _columns_of(law, table)
    at = centre_of(law, typical_loss, columns)
    given = _given(law, constants)
    discrepancy = chosen_discrepancy(discrepancy)
    composition = Composition(law, noise, discrepancy, {})
    known = composition.names
    unknown = [name for name in given if name not in known]
    if unknown:
        raise LawError(f"constants name {', '.join(unknown)}; law and noise have {', '.join(sorted(known))}")
    _refuse_outside((*noise.parameters, *discrepancy.parameters), given)
    theta = {**draw_truth(law, noise, discrepancy, at, seed), **given}
    loss = law.evaluate(theta, **{name: columns[name] for name in (*law.inputs, "run") if name in columns})
    if not (np.isfinite(loss) & (loss > 0)).all():
        _refuse_outside(law.sampled, given)
        raise LawError(
            f"these constants give no positive loss of law {law.label} everywhere in the design; change them"
        )
    frame = table.assign(loss=_scattered(composition, theta, columns, loss, seed))
    if "run" not in frame:
        frame["run"] = [f"sim-{i + 1}" for i in range(len(frame))]
    truth = ", ".join(f"{name}={float(value):.6g}" for name, value in theta.items())
    runs = Runs.from_frame(frame, loss_unit=loss_unit, source=f"simulated {law.label}")
    return Runs(
        runs.table,
        runs.params_convention,
        loss_unit,
        runs.source,
        (*runs.notes, f"truth: {truth}; seed {seed}"),
        runs.warnings,
    )


def _refuse_outside(rows: Iterable[Parameter], given: Mapping[str, float]) -> None:
    """Refuse constants below the support of their priors, or of what a prior describes in their place."""
    for row in rows:
        least = span(row.prior)[0]
        if row.name in given and given[row.name] < least:
            raise LawError(f"constant {row.name} is {given[row.name]:g}, expected a number from {least:g} on")


def _columns_of(law: Law, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return what a law and its noise read of a design, with what follows from it; refuse what is no design."""
    missing = [name for name in law.inputs if name not in table]
    if missing:
        raise LawError(f"the design lacks {', '.join(missing)}, which law {law.label} takes")
    if not len(table):
        raise LawError("the design has no rows; expected one row for each run to simulate")
    taken = [str(name) for name in table if name in (*law.inputs, *GROWING, "loss_se")]
    counted = numeric(table, taken, Origin("the design", {}), law.may_be_zero)
    columns = {name: counted[name].to_numpy(float) for name in taken}
    if "run" in table:
        columns["run"] = pd.factorize(table["run"])[0]
    return derive_missing(columns)[0]


def _scattered(
    composition: Composition,
    theta: Mapping[str, Any],
    columns: Mapping[str, np.ndarray],
    loss: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Draw one loss of each run around the law, ``(n_row,)``: discrepancy, start of curves and noise.

    Parameters
    ----------
    theta : the true parameters
    loss : (n_row,) of the law
    """
    law, noise = composition.law, composition.noise
    size = next((name for name in ("flops", *law.inputs) if name in columns), law.inputs[0])
    reference = float(np.exp(np.log(columns[size]).mean()))
    start_of_curves = noise.start_of_curves
    yardstick = Yardstick(
        size, reference, None if start_of_curves is None else StartOfTable.of(start_of_curves, columns)
    )
    read = model_columns(law, noise, {**columns, "loss": loss}, yardstick)
    width = np.asarray(noise.row_scale(theta, read))
    drawn = {name: np.array([theta[name]]) for name in composition.names if name in theta}
    layout = curve_layout(noise, columns)
    departure = 0.0 if start_of_curves is None else np.asarray(start_of_curves.departure(theta, read))
    from_law = _drawn_discrepancy(law, composition.discrepancy, theta, columns, seed)
    log_mean = (np.log(loss) + departure)[None] + from_law
    return np.asarray(noise.draw(log_mean, np.broadcast_to(width, (1, len(loss))), drawn, layout, seed)[0])


def _drawn_discrepancy(
    law: Law, discrepancy: Discrepancy, theta: Mapping[str, float], columns: Mapping[str, np.ndarray], seed: int
) -> Any:
    """Draw how far the truth lies from the law, ``(1, n_row)``; 0 for a law that is right."""
    grid = DiscrepancyGrid.of(discrepancy, law, columns)
    if not grid.size:
        return 0.0
    rng, places = stream(seed, SIMULATED_PATHS), discrepancy.places(law, columns)
    increments = grid.increments_of(rng.standard_normal(grid.size))
    return sum(
        theta[path.axis.scale] * (path.basis(where) @ own + path.unresolved(where, 1, rng))
        for path, own, where in zip(grid.paths, increments, places.T, strict=True)
    )


def _given(law: Law, constants: str | Mapping[str, float] | None) -> dict[str, Any]:
    if constants is None:
        return {}
    if isinstance(constants, str):
        return dict(law.at(constants).constants.values)
    return dict(constants)
