"""Valleys around the best learning rate and the best batch size, for laws of runs that are not all tuned."""

from math import log

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import Array, Parameter, power


def valley(z: Array, w: Array, s: Array) -> Array:
    """Return w (exp(s z) - 1 - s z) / s^2, by its series where s z is small."""
    u = s * z
    near = jnp.abs(u) < 0.01
    far = jnp.where(near, 1.0, u)
    return w * z**2 * jnp.where(near, 0.5 + u / 6 + u**2 / 24, (jnp.exp(far) - 1 - far) / far**2)


def best_batch(params: Array, tokens: Array, c_B: Array, d: Array, e: Array) -> Array:
    """B_best = c_B N^-e D^d."""
    return c_B * power(params, -e) * power(tokens, d)


def best_rate(params: Array, tokens: Array, batch_tokens: Array, c_r: Array, a: Array, b: Array, c: Array) -> Array:
    """r_best = c_r N^-a D^b B^c."""
    return c_r * power(params, -a) * power(tokens, b) * power(batch_tokens, c)


def row(name: str, prior: dist.Distribution, meaning: str, source: str) -> Parameter:
    """Return a parameter without a unit."""
    return Parameter(name, prior, unit="1", meaning=meaning, source=source)


WIDTH = dist.LogNormal(log(0.05), 1.0)
COSTS = "weakly informative: a factor of e from the best costs 0.4 to 15 % of the reducible loss"
STEPS = "weakly informative: within a factor of 6 of the runs' own"
VALLEYS = (
    row("a", dist.Normal(0.5, 0.3), "how fast the best rate falls with N", "StepLaw: 0.71"),
    row("b", dist.Normal(0.1, 0.2), "how fast the best rate grows with D at one batch", "StepLaw: 0.31 along B_best"),
    row("c", dist.Normal(0.4, 0.2), "how fast the best rate grows with B", "between no rule and the linear one"),
    row("d", dist.Normal(0.57, 0.15), "how fast the best batch grows with D", "StepLaw: 0.571; Schaipp 2026: 0.566"),
    row("e", dist.Normal(0.0, 0.2), "how fast the best batch falls with N", "StepLaw: it does not depend on N"),
    Parameter(
        "c_r",
        dist.LogNormal(0.0, 0.9),
        unit="rate params^a tokens^(-b - c)",
        meaning="coefficient of the best rate",
        role="coefficient",
        source=STEPS,
        quantity="r_best / r at the centre of the data",
        value=lambda draw, at, a, b, c: (
            draw / best_rate(at.params, at.steps * at.batch_tokens, at.batch_tokens, 1 / at.peak_learning_rate, a, b, c)
        ),
    ),
    Parameter(
        "c_B",
        dist.LogNormal(0.0, 0.9),
        unit="tokens^(1 - d) params^e",
        meaning="coefficient of the best batch",
        role="coefficient",
        source=STEPS,
        quantity="B_best / B at the centre of the data",
        value=lambda draw, at, d, e: (
            draw / best_batch(at.params, at.steps * at.batch_tokens, 1 / at.batch_tokens, d, e)
        ),
    ),
    row("w_r", WIDTH, "curvature of the valley of the rate", COSTS),
    row("w_B", WIDTH, "curvature of the valley of the batch", COSTS),
    row(
        "s_r",
        dist.Normal(0.5, 0.3),
        "asymmetry of the valley of the rate",
        "runs nearly diverge above the best rate",
    ),
    row("s_B", dist.Normal(0.0, 0.3), "asymmetry of the valley of the batch", "weakly informative"),
)
"""Rows of the parameters of both valleys, for a law that reads steps, batch_tokens and peak_learning_rate."""
