"""What the output of a sampler says about itself."""

from __future__ import annotations

import dataclasses

import numpy as np

from bayes_scaling.inference.chains import Chains
from bayes_scaling.inference.weights import MOST_K


@dataclasses.dataclass(frozen=True)
class Diagnostics:
    """What the sampler's output says about itself.

    Attributes
    ----------
    rhat : worst rank-normalised split R-hat over parameters
    ess_bulk, ess_tail : smallest effective sample sizes
    divergences : number of divergent draws
    bfmi : smallest Bayesian fraction of missing information over chains
    k_hat : Pareto shape of the importance weights (normal approximation only)
    worst : parameter with the largest R-hat
    """

    rhat: float
    ess_bulk: float
    ess_tail: float
    divergences: int
    bfmi: float
    worst: str = ""
    k_hat: float = float("nan")

    def problems(self, draws: int) -> tuple[str, ...]:
        """Say which limits are broken: R-hat 1.01, ESS 400, divergences 0.1 % of ``draws``, BFMI 0.3, k-hat 0.7."""
        checks = (
            (not self.rhat < 1.01, f"R-hat {self.rhat:.3f} of {self.worst} is above 1.01"),
            (not self.ess_bulk >= 400, f"bulk ESS {self.ess_bulk:.0f} is below 400"),
            (not self.ess_tail >= 400, f"tail ESS {self.ess_tail:.0f} is below 400"),
            (self.divergences > draws / 1000, f"{self.divergences} of {draws} draws diverged"),
            (self.bfmi < 0.3, f"BFMI {self.bfmi:.2f} is below 0.3"),
            (self.k_hat > MOST_K, f"Pareto k-hat {self.k_hat:.2f} is above {MOST_K}"),
        )
        return tuple(text for broken, text in checks if broken)

    def nearly(self, draws: int) -> bool:
        """Say whether nothing is wrong but that there are up to half too few chains."""
        longer = dataclasses.replace(
            self, rhat=1 + (self.rhat - 1) / 2, ess_bulk=2 * self.ess_bulk, ess_tail=2 * self.ess_tail
        )
        return not longer.problems(draws)


def diagnose(chains: Chains, names: tuple[str, ...]) -> Diagnostics:
    """Compute the diagnostics of MCMC chains over all unconstrained coordinates, named by ``names``."""
    from arviz_stats.base import array_stats

    u = np.moveaxis(chains.u, -1, 0)
    with np.errstate(all="ignore"):
        rhat = np.array([float(array_stats.rhat(x, chain_axis=0, draw_axis=1, method="rank")) for x in u])
        bulk = [float(array_stats.ess(x, chain_axis=0, draw_axis=1, method="bulk")) for x in u]
        tail = [float(array_stats.ess(x, chain_axis=0, draw_axis=1, method="tail", prob=0.9)) for x in u]
        energy = chains.stats["energy"]
        bfmi = np.mean(np.diff(energy, axis=1) ** 2, axis=1) / np.var(energy, axis=1)
    worst = int(np.nanargmax(rhat)) if np.any(np.isfinite(rhat)) else 0
    return Diagnostics(
        rhat=float(np.max(rhat)),
        ess_bulk=float(np.min(bulk)),
        ess_tail=float(np.min(tail)),
        divergences=int(chains.stats["diverging"].sum()),
        bfmi=float(np.min(bfmi)),
        worst=names[worst],
    )
