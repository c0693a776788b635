# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own law
#
# A law is one file: a formula in JAX, parameters with priors, a source. Here is one that people argue about: is the
# floor a constant, or does the loss fall for ever, ever more slowly? We write $L = E + A/N^\alpha + B/D^\beta$ with
# $\alpha = \beta$ and see whether the runs mind.

# %%
import os
import tempfile
from pathlib import Path

import numpy as np

import bayes_scaling as bs

FAST = bool(os.environ.get("NOTEBOOK_FAST"))
folder = Path(tempfile.mkdtemp())
(folder / "tied.py").write_text(
    '''"""Chinchilla's law with one exponent.

    L = E + (A / N + B / D)^gamma
"""

import numpyro.distributions as dist

from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Derived, Law, Parameter, power


def mean(params: Array, tokens: Array, E: Array, A: Array, B: Array, gamma: Array) -> Array:
    """L = E + (A / N + B / D)^gamma."""
    return E + power(A / params + B / tokens, gamma)


def at_centre(draw, L_0, E, gamma):
    """What stands in the bracket at the centre of the data, times the share of one term."""
    return draw * power(L_0 - E, 1 / gamma)


LAW = Law(
    name="tied",
    title="one exponent for both terms",
    formula="L = E + (A / N + B / D)^gamma",
    mean=mean,
    decreasing_in=("params", "tokens"),
    parameters=(
        LOSS_AT_CENTRE,
        Parameter("E", dist.Beta(1.5, 1.5), "loss", "irreducible loss", "weakly informative", quantity="E / L_0",
                  value=lambda draw, L_0: draw * L_0),
        Parameter("gamma", dist.LogNormal(np.log(0.3), 0.5), "1", "exponent of both", "published: 0.2 to 0.5"),
        Parameter("A", dist.Beta(2, 2), "params", "scale of N", "either term may dominate", quantity="share of N",
                  value=lambda draw, at, L_0, E, gamma: at_centre(draw, L_0, E, gamma) * at.params),
        Derived("B", "tokens", "scale of D",
                lambda at, L_0, E, gamma, A: (power(L_0 - E, 1 / gamma) - A / at.params) * at.tokens),
    ),
    holds="here", fails="who knows", references=("This notebook",),
)
'''.replace("import numpyro", "import numpy as np\nimport numpyro")
)
law = bs.load_law(folder / "tied.py")
law

# %% [markdown]
# ## Check it before any run is looked at
#
# Simulated from its own prior, does a fit find what was put in?

# %%
design = bs.grid(params=np.geomspace(1e7, 1e9, 5), tokens=np.geomspace(1e9, 1e11, 5))
truth = {"E": 1.7, "A": 3e5, "B": 8e6, "gamma": 0.3, "sigma": 0.004}
made = bs.simulate(law, design, truth, noise="normal", seed=0)
fit = bs.fit(law, made, discrepancy="none", seed=0)
low, high = np.quantile(fit.flat()["gamma"], [0.05, 0.95])
assert low < 0.3 < high
fit.summary()

# %% [markdown]
# ## Fit it to measured runs, and let it compete

# %%
runs = bs.datasets.load("stdlib_sweep")
cuts = [bs.Cut("flops", float(runs.column("flops").max()) / 30)]
rivals = [law, "chinchilla"] if FAST else [law, "chinchilla", "kaplan_joint"]
comparison = bs.compare(rivals, runs, cuts=cuts, alongside=(), loo=False, seed=0)
print(comparison.verdict)
assert set(comparison.weights) >= {"tied", "chinchilla"}
comparison.to_frame()
