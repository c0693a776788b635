"""Power terms that saturate at the loss of an uninformed model, and that can over-fit.

    L = E + (L_u - E) h / (1 + h),  h = a / N^alpha + b / T^beta + c N^gamma / D^delta

N parameters, T training tokens processed, D distinct tokens among them, L loss. However small a run, its loss stays
below L_u, that of a model that has learned nothing. The last term is over-fitting: it grows with the model and falls
with distinct data, so that more epochs help less and a larger model may lose.

Bryant and Liu 2026 (arXiv 2605.09189), who write L_0 for L_u; read in a summary of the paper.
"""

from math import log

import numpyro.distributions as dist

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Derived, Law, Parameter, power


def mean(
    params: Array,
    tokens: Array,
    unique_tokens: Array,
    E: Array,
    L_u: Array,
    a: Array,
    b: Array,
    c: Array,
    alpha: Array,
    beta: Array,
    gamma: Array,
    delta: Array,
) -> Array:
    """L = E + (L_u - E) h / (1 + h),  h = a / N^alpha + b / T^beta + c N^gamma / D^delta."""
    over_fit = c * power(params, gamma) * power(unique_tokens, -delta)
    h = a * power(params, -alpha) + b * power(tokens, -beta) + over_fit
    return E + (L_u - E) * h / (1 + h)


def exponent(name: str, prior: dist.Distribution, meaning: str, source: str) -> Parameter:
    """Return the row of an exponent."""
    return Parameter(name, prior, unit="1", meaning=meaning, role="exponent", source=source)


LAW = Law(
    name="saturating",
    title="parameters, tokens and distinct tokens, between the loss of no learning and the irreducible loss",
    formula="L = E + (L_u - E) h / (1 + h),  h = a / N^alpha + b / T^beta + c N^gamma / D^delta",
    mean=mean,
    decreasing_in=("tokens", "unique_tokens"),
    parameters=(
        LOSS_AT_CENTRE,
        IRREDUCIBLE,
        Parameter(
            "L_u",
            dist.LogNormal(log(2.0), 0.6),
            unit="loss",
            meaning="loss of a model that has learned nothing",
            source="the logarithm of a vocabulary, 10 to 12 nats per token, over losses of 2 to 5",
            quantity="L_u / L_0 - 1",
            value=lambda draw, L_0: (1 + draw) * L_0,
        ),
        Derived(
            "h_0",
            unit="1",
            meaning="h at the centre of the data",
            value=lambda L_0, E, L_u: (L_0 - E) / (L_u - L_0),
        ),
        exponent("alpha", dist.LogNormal(log(0.3), 0.5), "exponent of parameters", "published: 0.25, log-sd 0.44"),
        exponent("beta", dist.LogNormal(log(0.3), 0.5), "exponent of tokens processed", "as that of parameters"),
        exponent(
            "gamma",
            dist.LogNormal(log(0.4), 0.5),
            "exponent of parameters in over-fitting",
            "weakly informative: 0.2 to 0.8",
        ),
        exponent(
            "delta",
            dist.LogNormal(log(0.5), 0.5),
            "exponent of distinct tokens in over-fitting",
            "weakly informative: 0.25 to 1",
        ),
        Parameter(
            "c",
            dist.Beta(1.0, 6.0),
            unit="tokens^delta params^-gamma",
            meaning="coefficient of over-fitting",
            role="coefficient",
            source="most runs over-fit little: 2 to 32 % of h (80 %)",
            quantity="(c N^gamma / D^delta) / h at the centre of the data",
            value=lambda draw, at, h_0, gamma, delta: (
                draw * h_0 * power(at.unique_tokens, delta) * power(at.params, -gamma)
            ),
        ),
        Parameter(
            "a",
            dist.Beta(2.0, 2.0),
            unit="params^alpha",
            meaning="coefficient of parameters",
            role="coefficient",
            source="weakly informative: one of two terms",
            quantity="(a / N^alpha) / (h - c N^gamma / D^delta) at the centre of the data",
            value=lambda draw, at, h_0, c, gamma, delta, alpha: (
                draw * (h_0 - c * power(at.params, gamma) * power(at.unique_tokens, -delta)) * power(at.params, alpha)
            ),
        ),
        Derived(
            "b",
            unit="tokens^beta",
            meaning="coefficient of tokens processed",
            role="coefficient",
            value=lambda at, h_0, a, c, alpha, beta, gamma, delta: (
                (h_0 - a * power(at.params, -alpha) - c * power(at.params, gamma) * power(at.unique_tokens, -delta))
                * power(at.tokens, beta)
            ),
        ),
    ),
    weakly_identified=("L_u", "c", "gamma", "delta"),
    holds="grids that include small runs, near the loss of no learning, and runs of several epochs",
    fails="tables far from L_u, where it is a law of three power terms and L_u cannot be learned",
    references=("Bryant and Liu 2026, arXiv 2605.09189",),
)
