"""Priors of laws from public tables: what they are, and whether those learned from other tables forecast better.

    uv run python benchmarks/population.py --data FOLDER [--out FOLDER]

Every table and cut of ``weights.py`` is fitted by the default laws under priors that say little (`WIDE`). The draws of
one table, weighted by a new prior over that one, give the likelihood of the new prior; its numbers are those that are
most likely over all tables, where the wide prior counts as `PSEUDO` further tables. Of each table the fits to its
widest cut are read. Tables of one source count as one, and so do the members of an ensemble that share a parameter.

Then the same with one source left out, whose held-out runs are forecast with what was learned from the others: the
draws of its fits are chosen again by their new weights. The weights of laws are those under the wide priors. The first
table shows what was learned from all sources, the second what the priors of some parameters would gain, by the mean
over tables and in standard errors over them.

Fits are kept in ``--out`` and found there again: about an hour on two cores, then ten minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pandas as pd
import scipy.optimize
import scipy.special
from weights import everything, mixed, splits, with_witnesses

import bayes_scaling as bs
from bayes_scaling.base.scope import scope
from bayes_scaling.evaluate.defaults import default_laws
from bayes_scaling.evaluate.fitting import members
from bayes_scaling.evaluate.weights import WITNESSES
from bayes_scaling.inference.draws import posterior_of
from bayes_scaling.inference.result import Fit
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.parameters import Parameter
from bayes_scaling.laws.priors import describe_prior, prior_from_spec, prior_quantile, prior_to_spec
from bayes_scaling.predict.predictive import Predictive

PSEUDO = 2.0  # tables that the wide prior counts as, so that a population of few sources does not become too narrow
KEPT = 500  # draws of a fit that learning reads
FORECAST = 2000  # draws of a fit that forecasts rest on
WIDE: Mapping[str, Mapping[str, dist.Distribution]] = {
    "chinchilla": {"E": dist.Beta(1.5, 1.5), "A": dist.Beta(1.5, 1.5)},
    "kaplan_joint": {"N_c": dist.Beta(1.5, 1.5)},
    "nesting": {"E": dist.Beta(1.5, 1.5)},
}
"""Priors that say little, in place of those that this script has found; others are as they stand in the laws."""
SHARED = ("L_0", "E", "sigma", "nu", "kappa", "tau")
"""Parameters that are the same quantity in every law; farseer's E is another one, and has no prior."""
SOURCES = {
    "over-training c4_original": "Gadre et al.",
    "over-training rpj": "Gadre et al.",
    "over-training rw_original": "Gadre et al.",
    "learning rates": "Step Law",
    "LossCast steplaw": "Step Law",
}
"""Tables that are not a source of their own."""
EXPONENTS = ("chinchilla alpha", "chinchilla beta", "kaplan_joint alpha_N", "kaplan_joint alpha_D",
             "nesting alpha", "nesting beta")  # fmt: skip
SHARES = ("chinchilla A", "kaplan_joint N_c")
BOTTLENECK = ("nesting q", "nesting x")
GROUPS: Mapping[str, Callable[[str], bool]] = {
    "E": lambda name: name == "E",
    "A, N_c": lambda name: name in SHARES,
    "E, A, N_c": lambda name: name == "E" or name in SHARES,
    "E, A, N_c, q, x": lambda name: name == "E" or name in (*SHARES, *BOTTLENECK),
    "exponents": lambda name: name in EXPONENTS,
    "farseer": lambda name: name.startswith("farseer"),
    "all of the laws": lambda name: name not in ("sigma", "nu", "kappa", "tau"),
    "nu": lambda name: name == "nu",
    "sigma, kappa": lambda name: name in ("sigma", "kappa"),
    "tau": lambda name: name == "tau",
    "all": lambda name: True,
}
"""Whose priors are learned together."""


@dataclasses.dataclass(frozen=True, eq=False)
class Draws:
    """Draws of one fit, as far as priors are concerned.

    Attributes
    ----------
    values : (n_draw,) of each quantity that has a prior, by the name of its parameter
    wide : (n_draw,) log density of each under the prior that it was fitted with
    predictive : of the held-out runs
    """

    values: Mapping[str, np.ndarray]
    wide: Mapping[str, np.ndarray]
    predictive: Predictive

    @classmethod
    def of(cls, fit: Fit, above: pd.DataFrame) -> Draws:
        """Read a fit."""
        with scope():
            sites = list(posterior_of(fit.composition, fit.runs)[0].sites)
        flat = fit.unconstrained.reshape(-1, len(sites))
        every = slice(None, None, max(len(flat) // FORECAST, 1))
        values, wide = {}, {}
        for row in fit.composition.sampled:
            name = _name(fit.law, row)
            line = flat[:, sites.index(row.site)]
            values[name] = _onto_support(row.prior, line)[every]
            wide[name] = np.asarray(fit.log_prior[row.site]).reshape(-1)[every]
        predictive = bs.forecast(fit, above, unconverged=True).predictive
        return cls(values, wide, predictive.take(np.arange(len(flat))[every]))

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def log_weight(self, theta: Mapping[str, Prior], step: int = 1) -> np.ndarray:
        """Return the log weight of every ``step``-th draw under other priors, ``(n_draw,)``."""
        out = np.zeros(len(range(0, len(self), step)))
        for name, prior in theta.items():
            if name in self.values:
                out += prior.log_density(self.values[name][::step]) - self.wide[name][::step]
        return out


def _name(law: Law, row: Parameter) -> str:
    return row.name if row.name in SHARED else f"{law.name} {row.name}"


def _onto_support(prior: dist.Distribution, line: np.ndarray) -> np.ndarray:
    with scope():
        return np.asarray(dist.biject_to(prior.support)(line))


@dataclasses.dataclass(frozen=True)
class Prior:
    """A prior by numbers on the whole line, over which they are learned: positive ones as their logarithm."""

    family: str
    numbers: tuple[float, ...]

    @classmethod
    def of(cls, prior: dist.Distribution) -> Prior:
        """Take the numbers of a distribution."""
        spec = prior_to_spec(prior)
        family = spec.pop("distribution")
        return cls(family, tuple(v if name == "loc" else float(np.log(v)) for name, v in spec.items()))

    @property
    def distribution(self) -> dist.Distribution:
        """The distribution."""
        names = {"Beta": ("concentration1", "concentration0"), "Gamma": ("concentration", "rate")}
        of = names.get(self.family, ("scale",) if self.family == "HalfNormal" else ("loc", "scale"))
        numbers = [v if name == "loc" else float(np.exp(v)) for name, v in zip(of, self.numbers, strict=True)]
        return prior_from_spec("it", {"distribution": self.family, **dict(zip(of, numbers, strict=True))})

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return the log density; NumPyro's would take most of the time of learning."""
        first, second = self.numbers[0], self.numbers[-1]
        a, b = np.exp(first), np.exp(second)
        if self.family == "Beta":
            return (a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - scipy.special.betaln(a, b)
        if self.family == "Gamma":
            return a * second - scipy.special.gammaln(a) + (a - 1) * np.log(x) - b * x
        if self.family == "LogNormal":
            return _normal(np.log(x), first, second) - np.log(x)
        if self.family == "HalfNormal":
            return np.log(2) + _normal(x, 0.0, second)
        return _normal(x, first, second)


def _normal(x: np.ndarray, centre: float, log_scale: float) -> np.ndarray:
    return -0.5 * ((x - centre) * np.exp(-log_scale)) ** 2 - log_scale - 0.5 * np.log(2 * np.pi)


type Fits = Mapping[tuple[str, float], Mapping[str, Draws]]  # by table and cut, by member


def learned(fits: Fits, wide: Mapping[str, dist.Distribution], names: Sequence[str], left_out: str) -> dict[str, Prior]:
    """Return the most likely priors of some parameters over the sources that are not left out.

    Parameters of one law are learned together, those that laws share before them, twice in turn.
    """
    widest: dict[str, list[Mapping[str, Draws]]] = {}
    for table in dict.fromkeys(table for table, _ in fits):
        source = SOURCES.get(table, table)
        if source != left_out:
            widest.setdefault(source, []).append(fits[table, min(ratio for one, ratio in fits if one == table)])
    found = {name: Prior.of(wide[name]) for name in names}
    shared = [[name] for name in names if name in SHARED]
    own = [[name for name in names if name.startswith(f"{law} ")] for law in dict.fromkeys(n.split()[0] for n in names)]
    for block in 2 * [*shared, *filter(None, own)]:
        found |= _most_likely(block, found, widest, wide)
    return found


def _most_likely(
    block: Sequence[str],
    found: Mapping[str, Prior],
    sources: Mapping[str, Sequence[Mapping[str, Draws]]],
    wide: Mapping[str, dist.Distribution],
) -> dict[str, Prior]:
    """Return the most likely priors of a few parameters, given those of the others."""
    others = {name: prior for name, prior in found.items() if name not in block}
    reading: list[tuple[float, Draws, int, np.ndarray]] = []
    for tables in sources.values():
        for table in tables:
            ours = [draws for draws in table.values() if block[0] in draws.values]
            for draws in ours:
                step = max(len(draws) // KEPT, 1)
                reading.append((1 / len(tables) / len(ours), draws, step, draws.log_weight(others, step)))
    levels = (np.arange(KEPT) + 0.5) / KEPT
    quantiles = {name: np.array([prior_quantile(wide[name], level) for level in levels]) for name in block}
    lengths = np.cumsum([len(found[name].numbers) for name in block])[:-1]

    def priors(numbers: np.ndarray) -> dict[str, Prior]:
        pieces = np.split(numbers, lengths)
        return {name: Prior(found[name].family, tuple(p)) for name, p in zip(block, pieces, strict=True)}

    def loss(numbers: np.ndarray) -> float:
        new, total = priors(numbers), 0.0
        for weight, draws, step, rest in reading:
            total += weight * scipy.special.logsumexp(rest + draws.log_weight(new, step))
        return -total - PSEUDO * sum(float(new[name].log_density(x).mean()) for name, x in quantiles.items())

    start = np.concatenate([found[name].numbers for name in block])
    return priors(scipy.optimize.minimize(loss, start, method="L-BFGS-B", options={"maxiter": 25}).x)


def reweighted(draws: Draws, theta: Mapping[str, Prior]) -> tuple[Predictive, float]:
    """Return what a fit would predict under other priors, and the number of draws that this rests on."""
    if not theta:
        return draws.predictive, float(len(draws.predictive))
    log_weight = draws.log_weight(theta)
    weight = np.exp(log_weight - scipy.special.logsumexp(log_weight))
    weight = np.minimum(weight, len(weight) ** -0.5)  # truncated importance sampling (Ionides 2008)
    weight /= weight.sum()
    places = (np.arange(len(weight)) + 0.5) / len(weight)
    index = np.minimum(np.searchsorted(np.cumsum(weight), places), len(weight) - 1)
    return draws.predictive.take(index), float(1 / np.sum(weight**2))


def _said(predictive: Predictive, loss: np.ndarray) -> dict[str, np.ndarray]:
    error = np.log(loss) - np.median(predictive.location, axis=0)
    log_score = predictive.log_density(loss) + np.log(loss)  # of the log loss
    return {"log_score": log_score, "pit": predictive.probability_below(loss), "error": error}


def scores(fits: Fits, cases: Mapping[Any, Any], theta: Callable[[str], Mapping[str, Prior]]) -> pd.DataFrame:
    """Score the members, and all of them together, under other priors: means over the cuts of each table."""
    rows = []
    for (table, ratio), by_member in fits.items():
        case, least = cases[table, ratio], np.inf
        told = {}
        for label, draws in by_member.items():
            predictive, effective = reweighted(draws, theta(SOURCES.get(table, table)))
            told[label], least = _said(predictive, case["loss"]), min(least, effective)
        new = {**case, "said": told}
        for label, weights in {**{label: {label: 1.0} for label in told}, "ensemble": case["weights"]}.items():
            rows.append({"member": label, "table": table, "draws": least, **mixed(new, weights)})
    return pd.DataFrame(rows).groupby(["member", "table"], sort=False).mean()


def summary(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return one row per member: what it gains in log score, with its standard error, and means over tables."""
    gain = (after["log_score"] - before["log_score"]).groupby(level="member", sort=False)
    by_member = after.groupby(level="member", sort=False)
    return pd.DataFrame(
        {
            "gain": gain.mean(),
            "se": gain.sem(),
            "tables up": (gain.agg(lambda change: (change > 0).sum())),
            "worst": by_member["log_score"].min(),
            **by_member.mean().drop(columns="draws"),
            "fewest draws": by_member["draws"].min().round(),
        }
    ).round(4)


def fitted(data: Path, out: Path) -> tuple[dict[Any, Any], dict[Any, Any], dict[str, dist.Distribution]]:
    """Fit every cut under the wide priors: draws, cases as of ``weights.py``, wide priors by name."""
    fits, cases = {}, {}
    wide: dict[str, dist.Distribution] = {}
    for table, rows in everything(data):
        for ratio, below in splits(rows):
            runs = bs.Runs.from_frame(rows[below].reset_index(drop=True))
            laws = [bs.load_law(name).with_priors(WIDE.get(name, {})) for name in default_laws(runs)]
            compared = bs.compare(
                members(laws, "auto", "brownian", "auto", runs),
                runs,
                alongside=(),
                loo=False,
                folder=out,
                progress=False,
            )
            above = rows.loc[~below, ["params", "tokens"]].reset_index(drop=True)
            fits[table, ratio] = {label: Draws.of(fit, above) for label, fit in compared.fits.items()}
            case: dict[str, Any] = {
                "scores": compared.scores[["candidate", "cut", "row", "run", "log_score"]],
                "laws": {one.label: one.law.label for one in compared.candidates},
                "cuts": [[cut.column, cut.at] for cut in compared.cuts],
                "loss": rows.loc[~below, "loss"].to_numpy(),
            }
            cases[table, ratio] = {**case, "weights": with_witnesses(case, WITNESSES)}
            for fit in compared.fits.values():
                names = [
                    (r.name if r.name in SHARED else f"{fit.law.name} {r.name}", r) for r in fit.composition.sampled
                ]
                wide |= {name: row.prior for name, row in names}
            print(f"{table}, below 1/{ratio:g}", flush=True)
    return fits, cases, wide


def main() -> None:
    """Fit, learn from all, and evaluate with each source left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of public tables")
    parser.add_argument("--out", type=Path, default=Path("population"), help="where fits are kept")
    parser.add_argument("--groups", help=f"parts of the second table, with ; between them; of {'; '.join(GROUPS)}")
    arguments = parser.parse_args()
    fits, cases, wide = fitted(arguments.data, arguments.out)
    sources = sorted({SOURCES.get(table, table) for table, _ in fits})
    print(f"{len(fits)} cuts of {len({table for table, _ in fits})} tables from {len(sources)} sources\n")
    before = scores(fits, cases, lambda _: {})
    print(summary(before, before).to_string())
    for group in arguments.groups.split(";") if arguments.groups else GROUPS:
        names = [name for name in wide if GROUPS[group.strip()](name)]
        everywhere = learned(fits, wide, names, "")
        told = "\n".join(f"    {name}: {describe_prior(prior.distribution)}" for name, prior in everywhere.items())
        without = {source: learned(fits, wide, names, source) for source in sources}
        after = scores(fits, cases, without.__getitem__)
        print(f"\n{group}\n{told}\n{summary(before, after).to_string()}", flush=True)


if __name__ == "__main__":
    main()
