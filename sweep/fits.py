"""Fit laws of the catalogue to the bundled tables and print, as a table for their card, what the runs say about each.

    uv run python sweep/fits.py

Every line is one fit: medians and 90 % intervals of its parameters, beside what the law's paper found on other data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

import bayes_scaling as bs

EXACT = bs.Discrepancy("none")  # curves already have a slow deviation; groups and shapes are near each other
AFTER = 2 * 50  # steps: twice the warm-up of the curves
ROWS_PER_CURVE = 10
BATCH = 2048  # bytes per step, of the schedules
LARGE = 248_832  # parameters of the largest size with all batches at both lengths
LOSS = 1.6  # nats per byte, at which a critical batch is stated: most sizes reach it
SEARCHED = ["architecture", "layers", "width", "tokens"]  # one cell of the tables that keep several rates


@dataclasses.dataclass(frozen=True)
class Estimate:
    """One number that a fit gives, ``draws`` of any length, and what was published for it."""

    name: str
    draws: np.ndarray
    published: str = ""

    def __str__(self) -> str:
        low, middle, high = np.quantile(self.draws, [0.05, 0.5, 0.95])
        beside = f" [{self.published}]" if self.published else ""
        return f"{self.name} {middle:.3g} ({low:.3g} to {high:.3g}){beside}"


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of the table: which law, on which rows, and what came out."""

    question: str
    law: str
    runs: bs.Runs
    estimates: list[Estimate]

    def __str__(self) -> str:
        said = "; ".join(map(str, self.estimates))
        return f"| {self.question} | `{self.law}` | {self.runs.counted} | {said} |"


def table(name: str) -> pd.DataFrame:
    """Return a bundled table."""
    return bs.datasets.load(name).table


def runs_of(frame: pd.DataFrame, *columns: str) -> bs.Runs:
    """Keep the loss and these columns."""
    return bs.Runs.from_frame(frame[[*columns, "loss"]].reset_index(drop=True), loss_unit="nats/byte")


def converged(law: str, runs: bs.Runs, **options: Any) -> bs.Fit:
    """Fit a law; a fit that did not converge stops the program."""
    fit = bs.fit(law, runs, seed=0, **options)
    if not fit.converged:
        raise SystemExit(f"{law} did not converge: {fit.diagnostics}")
    return fit


def best_of_rates(name: str) -> pd.DataFrame:
    """Keep each cell's best learning rate."""
    frame = table(name)
    return frame.loc[frame.groupby(SEARCHED)["loss"].idxmin()]


# --- curves -----------------------------------------------------------------------------------------------------


def settled() -> pd.DataFrame:
    """Return rows of the curves after the warm-up."""
    return bs.datasets.load("stdlib_curves").after_warmup(steps=AFTER).table


def thinned(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep some rows of each curve, evenly spaced in their order."""
    return frame.groupby("run", group_keys=False)[list(frame)].apply(
        lambda rows: rows.iloc[np.unique(np.linspace(0, len(rows) - 1, ROWS_PER_CURVE).round().astype(int))]
    )


def steps_to_loss(curve: pd.DataFrame, loss: float) -> float:
    """Return the steps at which a smooth curve through the rows reaches a loss; NaN where it does not."""
    smooth = np.polynomial.Polynomial.fit(np.log(curve["steps"]), np.log(curve["loss"]), 3)
    crossings = (smooth - np.log(loss)).roots()
    real = np.exp(crossings[np.isreal(crossings)].real)
    inside = real[(real >= curve["steps"].min()) & (real <= curve["steps"].max())]
    return float(inside.min()) if inside.size else float("nan")


def lowest_loss_of_all_batches(curves: pd.DataFrame) -> float:
    """Return the lowest loss that some run of every batch comes down to."""
    ends = curves.groupby(["batch_tokens", "run"])["loss"].apply(lambda losses: losses.tail(8).mean())
    return float(ends.groupby("batch_tokens").min().max())


def steps_by_batch(curves: pd.DataFrame, loss: float) -> pd.DataFrame:
    """Return each run's steps to a loss, in the response's column; runs that never come down to it are left out."""
    names = ["run", "params", "batch_tokens"]
    steps = [dict(zip(names, key, strict=True), loss=steps_to_loss(rows, loss)) for key, rows in curves.groupby(names)]
    return pd.DataFrame(steps).dropna()


# --- lines ------------------------------------------------------------------------------------------------------


def constant(fit: bs.Fit, name: str, published: str = "") -> Estimate:
    """Read a parameter of a fit."""
    return Estimate(name, fit.flat()[name], published)


def answer(label: str, fit: bs.Fit, quantity: str, **inputs: float) -> Estimate:
    """Ask a fit what else its law says."""
    return Estimate(label, bs.quantity(fit, quantity, **inputs).draws)


def size_and_data() -> Line:
    """Fit L(N, D) with a floor."""
    runs = runs_of(table("stdlib_sweep"), "params", "tokens")
    fit = converged("chinchilla", runs)
    draws = fit.flat()
    share = Estimate("exponent of N* in C", draws["beta"] / (draws["alpha"] + draws["beta"]), "0.51")
    estimates = [constant(fit, "E"), constant(fit, "alpha", "0.35"), constant(fit, "beta", "0.37"), share]
    return Line("Size and data", "chinchilla", runs, estimates)


def size_and_data_without_floor() -> Line:
    """Fit L(N, D) of Kaplan et al."""
    runs = runs_of(table("stdlib_sweep"), "params", "tokens")
    fit = converged("kaplan_joint", runs)
    estimates = [constant(fit, "alpha_N", "0.076"), constant(fit, "alpha_D", "0.103")]
    return Line("The same without a floor", "kaplan_joint", runs, estimates)


def whole_curves() -> Line:
    """Fit L(N, S, B) of Kaplan et al. and Su et al."""
    runs = runs_of(thinned(settled()), "run", "params", "steps", "batch_tokens")
    fit = converged("kaplan_trajectory", runs, discrepancy=EXACT)
    published = {"alpha_N": "0.077", "alpha_S": "0.76", "alpha_B": "0.21"}
    estimates = [constant(fit, name, value) for name, value in published.items()]
    estimates.append(answer(f"B_crit at {LOSS} nats", fit, "critical_batch", loss=LOSS))
    return Line("Size, steps and batch along curves", "kaplan_trajectory", runs, estimates)


def critical_batch() -> Line:
    """Fit steps to a loss by batch, for each size at the lowest loss that all of its batches reach."""
    by_size = settled().groupby("params")
    parts = [steps_by_batch(curves, lowest_loss_of_all_batches(curves)) for _, curves in by_size]
    runs = runs_of(pd.concat(parts), "params", "batch_tokens")
    fit = converged("critical_batch:form=by_size", runs, discrepancy=EXACT)
    estimates = [constant(fit, "p", "0.47 in Zhang et al. 2024")]
    for size in (runs.column("params").min(), runs.column("params").max()):
        estimates.append(answer(f"B_crit at N = {size:.0f}", fit, "critical_batch", params=size))
    return Line("Steps to a loss by batch and size", "critical_batch:form=by_size", runs, estimates)


def critical_batch_of_one_size() -> Line:
    """Fit steps by batch at two losses of the largest size that has all batches."""
    curves = settled()
    curves = curves[curves["params"] == LARGE]
    lowest = lowest_loss_of_all_batches(curves)
    estimates = []
    for loss in (1.1 * lowest, lowest):
        runs = runs_of(steps_by_batch(curves, loss), "batch_tokens")
        draws = converged("critical_batch", runs, discrepancy=EXACT).flat()
        estimates.append(Estimate(f"B_crit at {loss:.2f} nats", draws["B_crit"]))
    return Line(f"The same at N = {LARGE:.0f}, at two losses", "critical_batch", runs, estimates)


def repeated_data() -> Line:
    """Fit what further epochs are worth."""
    repeated = table("stdlib_repeated")
    fresh = table("stdlib_sweep").assign(unique_tokens=lambda frame: frame["tokens"])
    both = pd.concat([repeated, fresh[fresh["params"].isin(repeated["params"])]])
    both = both.drop_duplicates(["params", "tokens", "unique_tokens", "seed"])  # one epoch is a run of the sweep
    runs = runs_of(both, "params", "tokens", "unique_tokens")
    fit = converged("repeated_data", runs)
    return Line("Repeated data", "repeated_data", runs, [constant(fit, "R_D", "15.4"), constant(fit, "R_N", "5.3")])


def transfer() -> Line:
    """Fit the loss on prose by that on code, at the end of runs on a cosine schedule."""
    ends = pd.concat([table("stdlib_repeated"), best_of_rates("stdlib_shape"), best_of_rates("stdlib_lstm")])
    ends = ends.rename(columns={"loss": "source_loss", "loss_prose": "loss"})
    runs = runs_of(ends, "source_loss")
    fit = converged("transfer:form=growing", runs, discrepancy=EXACT)
    estimates = [answer(f"offset at {loss}", fit, "offset", source_loss=loss) for loss in (2.2, 1.5)]
    estimates.append(constant(fit, "g", "very slow growth"))
    return Line("Transfer to prose", "transfer:form=growing", runs, estimates)


def shapes() -> Line:
    """Fit deep and wide models of one size."""
    both = pd.concat([table("stdlib_sweep"), best_of_rates("stdlib_shape")])
    runs = runs_of(both, "layers", "width", "tokens")
    fit = converged("shape", runs, discrepancy=EXACT)
    best = Estimate("best width / layers", fit.flat()["aspect_0"], "30 to 130")
    return Line("Depth against width", "shape", runs, [constant(fit, "s", "about 0.01"), best])


def architectures() -> Line:
    """Fit transformers and LSTMs together, each with its own level and exponent of size."""
    transformers = table("stdlib_sweep").assign(architecture="transformer")
    lstms = best_of_rates("stdlib_lstm")
    both = pd.concat([transformers[transformers["tokens"].isin(lstms["tokens"])], lstms])
    runs = runs_of(both, "architecture", "params", "tokens")
    pooling = {name: bs.separate("architecture") for name in ("L_0", "alpha")}
    fit = converged("chinchilla", runs, pooling=pooling, discrepancy=EXACT)
    kinds = ("lstm", "transformer")
    estimates = [Estimate(f"alpha {kind}", fit.flat()[f"alpha[{kind}]"]) for kind in kinds]
    for size in (4e3, 1e5):
        points = pd.DataFrame({"architecture": kinds, "params": size, "tokens": 2.0**20})
        lstm, transformer = bs.forecast(fit, points).draws("fitted").T
        estimates.append(Estimate(f"LSTM / transformer at N = {size:.0f}", lstm / transformer))
    return Line("LSTM against transformer", "chinchilla", runs, estimates)


def schedules() -> Line:
    """Fit the largest size's constant and cooldown runs, and forecast the end of its cosine run."""
    frame = table("stdlib_schedules")
    cell = frame[(frame["params"] == frame["params"].max()) & (frame["batch_tokens"] == BATCH)]
    cell = cell[cell["steps"] > AFTER]
    cosine = cell[cell["schedule"] == "cosine"]
    runs = runs_of(cell.drop(cosine.index), "run", "steps", "learning_rate")
    fit = converged("multi_power", runs, discrepancy=EXACT)
    ahead = bs.forecast(fit, cosine[["run", "steps", "learning_rate"]].reset_index(drop=True))
    end = ahead.draws()[:, -1] / cosine["loss"].iloc[-1]
    estimates = [constant(fit, "beta", "0.58 to 0.60"), constant(fit, "gamma", "0.64 to 0.66")]
    estimates.append(Estimate("forecast / measured end of a cosine run", end))
    return Line("Constant and cooldown, to forecast cosine", "multi_power", runs, estimates)


LINES: tuple[Callable[[], Line], ...] = (
    size_and_data,
    size_and_data_without_floor,
    whole_curves,
    critical_batch,
    critical_batch_of_one_size,
    repeated_data,
    transfer,
    shapes,
    architectures,
    schedules,
)


def printed() -> Iterator[str]:
    """Yield the table, line by line."""
    yield "| question | law | rows | median (90 %) [published, on other data] |"
    yield "|---|---|---|---|"
    for line in LINES:
        yield str(line())


def main() -> None:
    """Print the table."""
    for text in printed():
        print(text, flush=True)


if __name__ == "__main__":
    main()
