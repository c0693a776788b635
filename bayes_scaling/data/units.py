"""Parameters, tokens, FLOPs and units of a training run, as the papers count them.

Papers disagree on what N and C include, and their constants hold only for their own count. The names below say whether
embeddings, attention and the output head are included. Every function takes numbers or arrays, broadcasts them, and
refuses values that no training run can have.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bayes_scaling.base.arguments import check_fields, validated
from bayes_scaling.base.messages import shown
from bayes_scaling.data.validation import LARGEST, PF_DAY
from bayes_scaling.errors import DataError

type Numbers = float | np.ndarray

FLOPS_PER_PARAM_TOKEN = 6.0
"""One multiplication and one addition per parameter and token, once forward and twice backward."""

CHINCHILLA_EMBEDDING = 47491.0
"""gamma of Pearce and Song 2024 for the Chinchilla models: (width / layers / 12)^(1/3) x vocabulary of 32k."""

_MATRICES = ("qkv", "projection", "feedforward")

# Limits of inputs by name, each with the error message for values beyond it.
_COUNTS = frozenset({"params", "non_embedding", "total", "tokens", "layers", "width", "vocabulary", "context"})
_COUNT = (1.0, "expected a count of at least 1 in raw units")
_POSITIVE = (1 / LARGEST, "expected a positive number")
_FINITE = (LARGEST, f"above {LARGEST:g}: no training run has that, check the unit")
_MOST = {
    # A byte-level tokeniser has one; the rest allows for special tokens.
    "tokens_per_byte": (1.5, "more than any tokeniser has: if this is bytes per token, give the inverse"),
    "alpha": (2.0, "expected an exponent, about 0.1 to 1"),
    "beta": (2.0, "expected an exponent, about 0.1 to 1"),
}


# --- a model's shape -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Shape:
    """Shape of a decoder-only transformer, and its counts by Kaplan et al. 2020 (arXiv 2001.08361), table 1.

    As in that table, biases and norms are not counted. Fields broadcast, so a shape may hold a whole family of models.

    Attributes
    ----------
    layers : n_layer
    width : d_model
    attention_width : d_attn, heads x head size; ``width`` by default
    feedforward_width : d_ff; four times ``width`` by default. Gated layers have three matrices where the
        table has two: give 1.5 times their width
    vocabulary : n_vocab; 0 if unknown, then counts that need it are refused
    context : n_ctx in tokens; 0 if unknown, likewise
    """

    layers: ArrayLike
    width: ArrayLike
    attention_width: ArrayLike | None = None
    feedforward_width: ArrayLike | None = None
    vocabulary: ArrayLike = 0
    context: ArrayLike = 0

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        (width,) = _numeric(width=self.width)
        for name, default in (("attention_width", width), ("feedforward_width", 4 * width)):
            given[name] = default if given[name] is None else given[name]
        known = {name: value for name, value in given.items() if not _is_unknown(name, value)}
        for name, value in zip(known, _numeric(**known), strict=True):
            object.__setattr__(self, name, value)

    @property
    def params_by_part(self) -> dict[str, Numbers]:
        """Parameters by row of the table; the output head is tied to ``embedding``.

        A model without learned positions has no ``positions``; an untied head adds another ``embedding``.
        """
        n, d, attention, feedforward, vocabulary, context = dataclasses.astuple(self)
        return {
            "embedding": vocabulary * d,
            "positions": context * d,
            "qkv": n * d * 3 * attention,
            "projection": n * attention * d,
            "feedforward": n * 2 * d * feedforward,
        }

    @property
    def flops_by_part(self) -> dict[str, Numbers]:
        """FLOPs per token of a forward pass, by row of the table; ``mask`` is attention over the context."""
        n, d, attention, _, vocabulary, context = dataclasses.astuple(self)
        params = self.params_by_part
        return {
            "embedding": 4 * d,
            "qkv": 2 * params["qkv"],
            "mask": 2 * n * context * attention,
            "projection": 2 * params["projection"],
            "feedforward": 2 * params["feedforward"],
            "head": 2 * d * vocabulary,
        }

    @property
    def params(self) -> Numbers:
        """Non-embedding parameters, 2 d_model n_layer (2 d_attn + d_ff), eq 2.1."""
        return sum(self.params_by_part[part] for part in _MATRICES)

    @property
    def params_total(self) -> Numbers:
        """Parameters with the tied token embedding and learned positions; needs ``vocabulary`` and ``context``."""
        self._require("vocabulary")
        self._require("context")
        return sum(self.params_by_part.values())

    @property
    def flops_non_embedding(self) -> Numbers:
        """Forward FLOPs per token of the weight matrices alone, 2 N with N non-embedding."""
        return sum(self.flops_by_part[part] for part in _MATRICES)

    @property
    def flops_with_attention(self) -> Numbers:
        """Forward FLOPs per token with attention over a full context, eq 2.2; needs ``context``."""
        self._require("context")
        return self.flops_non_embedding + self.flops_by_part["mask"]

    @property
    def flops_with_attention_and_head(self) -> Numbers:
        """Forward FLOPs per token with attention and the output head; needs ``context`` and ``vocabulary``."""
        self._require("vocabulary")
        return self.flops_with_attention + self.flops_by_part["head"]

    def _require(self, name: str) -> None:
        if _is_unknown(name, getattr(self, name)):
            raise DataError(f"this count needs the {name}, which the shape lacks: give Shape(..., {name}=...)")


def _is_unknown(name: str, value: Any) -> bool:
    return name in ("vocabulary", "context") and isinstance(value, int | float | np.number) and value == 0


# --- compute and units -----------------------------------------------------------------------------------------------


def training_flops(params: ArrayLike, tokens: ArrayLike) -> Numbers:
    """Return training FLOPs as 6 N D, eq 2.2 of Kaplan et al. 2020 without its context term.

    They count what ``params`` counts: give non-embedding parameters for non-embedding FLOPs.
    """
    N, D = _numeric(params=params, tokens=tokens)
    return FLOPS_PER_PARAM_TOKEN * N * D


def training_flops_of_forward(flops_per_token: ArrayLike, tokens: ArrayLike) -> Numbers:
    """Return training FLOPs as three forward passes over ``tokens``; the backward pass costs as much as two.

    Parameters
    ----------
    flops_per_token : forward FLOPs per token, such as ``Shape.flops_with_attention_and_head``
    tokens : tokens processed
    """
    forward, D = _numeric(flops_per_token=flops_per_token, tokens=tokens)
    return 3 * forward * D


def deepseek_flops_per_token(layers: ArrayLike, width: ArrayLike, context: ArrayLike) -> Numbers:
    """Return M = 72 n d^2 + 12 n d l, training FLOPs per token without embeddings (DeepSeek-AI 2024, 2401.02954).

    The first term is 6 N of a standard shape; attention is counted over all pairs of tokens, twice Kaplan's count.
    """
    n, d, length = _numeric(layers=layers, width=width, context=context)
    return 72 * n * d**2 + 12 * n * d * length


def pf_days(flops: ArrayLike) -> Numbers:
    """Return FLOPs in PF-days of 1e15 x 86,400 FLOPs, the unit of Kaplan et al. 2020."""
    (C,) = _numeric(flops=flops)
    return C / PF_DAY


def flops_of_pf_days(days: ArrayLike) -> Numbers:
    """Return PF-days in FLOPs."""
    (C,) = _numeric(days=days)
    return C * PF_DAY


def bits_per_byte(nats_per_token: ArrayLike, tokens_per_byte: ArrayLike) -> Numbers:
    """Return a loss in bits per byte, comparable between tokenisers: nats per token x tokens per byte / ln 2."""
    loss, density = _numeric(nats_per_token=nats_per_token, tokens_per_byte=tokens_per_byte)
    return loss * density / math.log(2)


def nats_per_token(bits_per_byte: ArrayLike, tokens_per_byte: ArrayLike) -> Numbers:
    """Return a loss in nats per token from one in bits per byte."""
    loss, density = _numeric(bits_per_byte=bits_per_byte, tokens_per_byte=tokens_per_byte)
    return loss * math.log(2) / density


def total_params(non_embedding: ArrayLike, gamma: ArrayLike = CHINCHILLA_EMBEDDING) -> Numbers:
    """Return total parameters N + gamma N^(1/3) for non-embedding N (Pearce and Song 2024, arXiv 2406.12907).

    The embedding grows with width, the rest with its cube at a fixed aspect ratio; ``gamma`` depends on that ratio and
    the vocabulary; the default is that of the Chinchilla models.
    """
    N, g = _numeric(non_embedding=non_embedding, gamma=gamma)
    return N + g * np.cbrt(N)


def non_embedding_params(total: ArrayLike, gamma: ArrayLike = CHINCHILLA_EMBEDDING) -> Numbers:
    """Return non-embedding parameters from total parameters, the exact inverse of :func:`total_params`."""
    whole, g = _numeric(total=total, gamma=gamma)
    if np.any(whole < 1 + g):
        raise DataError(f"total is {shown(float(np.min(whole)))}, less than its embeddings alone: is gamma right?")
    # x^3 + gamma x = total has one real root; the hyperbolic form of Cardano's subtracts nothing.
    unit = np.sqrt(g / 3)
    return (2 * unit * np.sinh(np.arcsinh(whole / (2 * unit**3)) / 3)) ** 3


# --- published allocations -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class PowerOfCompute:
    """A power law of training compute, scale x (C / unit)^exponent; call it with C in FLOPs."""

    scale: float
    exponent: float
    unit: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, flops: ArrayLike) -> Numbers:
        """Return the quantity at a budget in FLOPs, in the shape of ``flops``."""
        (C,) = _numeric(flops=flops)
        return self.scale * (C / self.unit) ** self.exponent


@dataclasses.dataclass(frozen=True)
class Frontier:
    """A published compute-optimal allocation.

    Attributes
    ----------
    name, source : its key, and the place in the paper
    convention : what its N and C count
    note : when not to trust it
    tokens : D as a function of C, processed tokens
    params : N as a function of C; None if the source does not give it
    flops_per_token : training FLOPs per token as a function of C, if the source gives these instead of N
    """

    name: str
    source: str
    convention: str
    note: str
    tokens: PowerOfCompute
    params: PowerOfCompute | None = None
    flops_per_token: PowerOfCompute | None = None


def _split(scale: float, exponent: float) -> dict[str, PowerOfCompute]:
    """Return N = scale (C/6)^exponent and D = C / (6 N)."""
    return {
        "params": PowerOfCompute(scale, exponent, FLOPS_PER_PARAM_TOKEN),
        "tokens": PowerOfCompute(1 / scale, 1 - exponent, FLOPS_PER_PARAM_TOKEN),
    }


def _chinchilla_split(A: float, B: float, alpha: float, beta: float) -> dict[str, PowerOfCompute]:
    """Hoffmann et al. 2022, eq 4: the minimum of A / N^alpha + B / D^beta at C = 6 N D."""
    return _split((alpha * A / (beta * B)) ** (1 / (alpha + beta)), beta / (alpha + beta))


_TOTAL = "N total parameters, embeddings included; C = 6 N D"
_KAPLAN = "N non-embedding parameters; C non-embedding C_min, the compute at a batch size far below critical"

PUBLISHED_FRONTIERS: Mapping[str, Frontier] = MappingProxyType(
    {
        frontier.name: frontier
        for frontier in (
            Frontier(
                "twenty_tokens",
                "Hoffmann et al. 2022 (arXiv 2203.15556), approach 1, table 3, rounded to 20 tokens per parameter",
                _TOTAL,
                "a rule of thumb; the table itself goes from 20.0 at 400M to 22.4 at 67B",
                **_split(20**-0.5, 0.5),
            ),
            Frontier(
                "hoffmann2022",
                "Hoffmann et al. 2022 (arXiv 2203.15556), approach 3, eq 4 at the unrounded values of its TeX source",
                _TOTAL,
                "its optimiser stopped early: 59 tokens per parameter at 5.76e23 FLOPs, where approach 1 has 22",
                **_chinchilla_split(math.exp(6.0073404), math.exp(6.0179186), 0.33917084, 0.2849083),
            ),
            Frontier(
                "besiroglu2024",
                "Besiroglu et al. 2024 (arXiv 2404.10102), approach 3 refitted to 240 runs read off a figure",
                _TOTAL,
                "the exponent of N has a standard error of 0.02: 4 to 40 tokens per parameter (80 %) beyond 1e26 FLOPs",
                **_chinchilla_split(482.01, 2085.43, 0.3478, 0.3658),
            ),
            Frontier(
                "deepseek2024",
                "DeepSeek-AI 2024 (arXiv 2401.02954)",
                "M non-embedding training FLOPs per token, attention included, instead of N; C = M D",
                "depends on the data: on others they find exponents of M of 0.450 and 0.578",
                PowerOfCompute(5.8316, 0.4757),
                flops_per_token=PowerOfCompute(0.1715, 0.5243),
            ),
            Frontier(
                "llama3",
                "Llama team 2024 (arXiv 2407.21783), the IsoFLOP figure's 0.299 and 0.537",
                "tokens only; C training FLOPs",
                "the text rounds to 0.29 and 0.53, which gives a third fewer tokens at 3.8e25 FLOPs",
                PowerOfCompute(0.299, 0.537),
            ),
            Frontier(
                "kaplan2020",
                "Kaplan et al. 2020 (arXiv 2001.08361), table 6",
                _KAPLAN,
                "trains at the critical batch, so 6 N D is about 2 C_min; the exponent of N is largely due to counting "
                "and tuning (Porian et al. 2024, Pearce and Song 2024)",
                PowerOfCompute(2e10, 0.27, PF_DAY),
                PowerOfCompute(1.3e9, 0.73, PF_DAY),
            ),
            Frontier(
                "kaplan2020_eq6_7",
                "Kaplan et al. 2020 (arXiv 2001.08361), eq 6.7",
                _KAPLAN,
                "tokens of one epoch, twice those of table 6 at one PF-day",
                PowerOfCompute(4e10, 0.26, PF_DAY),
            ),
        )
    }
)
"""Published compute-optimal allocations by name. Their N and C count different things, see ``convention``."""


@validated
def inference_tokens(params: ArrayLike, tokens: ArrayLike, constants: Mapping[str, Any]) -> Numbers:
    """Return the number of tokens to serve over a model's lifetime that makes its N and D the cheapest way to its loss.

    Sardana et al. 2023 (arXiv 2401.00448) minimise 6 N D + 2 N D_inf at a fixed loss. With a Chinchilla law the minimum
    has D_inf / D = 3 (alpha A N^-alpha / (beta B D^-beta) - 1): zero for a compute-optimal run, and negative for one
    with too few training tokens, which serving cannot justify.

    Parameters
    ----------
    params, tokens : N and D of the run, N counted as for the constants
    constants : values of A, B, alpha and beta, numbers or one per posterior draw; other names are ignored. Both
        ``law.at("besiroglu2024").constants.values`` and ``fit.flat()`` are accepted

    Returns
    -------
    Numbers
        tokens, in the broadcast shape of all arguments
    """
    names = ("A", "B", "alpha", "beta")
    if missing := [name for name in names if name not in constants]:
        raise DataError(f"inference tokens need A, B, alpha and beta of a Chinchilla law: {', '.join(missing)} missing")
    N, D, A, B, alpha, beta = _numeric(params=params, tokens=tokens, **{name: constants[name] for name in names})
    return 3 * D * np.expm1(np.log(alpha * A) - alpha * np.log(N) - np.log(beta * B) + beta * np.log(D))


# --- checks ----------------------------------------------------------------------------------------------------------


def _numeric(**given: Any) -> list[Numbers]:
    """Return every input as a float or an array of floats; the error names the one that is impossible."""
    values = {name: _numbers(name, value) for name, value in given.items()}
    try:
        np.broadcast_shapes(*(value.shape for value in values.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in values.items())
        raise DataError(f"shapes do not broadcast: {shapes}; give arrays of one shape, or single numbers") from None
    return [value if value.ndim else float(value) for value in values.values()]


def _numbers(name: str, value: Any) -> np.ndarray:
    try:
        given = np.asarray(value)
        values = given.astype(float) if given.dtype.kind in "iufO" else None
    except (TypeError, ValueError, OverflowError):  # ragged lists, missing values, integers of hundreds of digits
        values = None
    if values is None:
        raise DataError(f"{name} is {shown(value)}, expected a number or an array of numbers")
    least, too_low = _COUNT if name in _COUNTS else _POSITIVE
    most, too_high = _MOST.get(name, _FINITE)
    for bad, problem in ((~(values >= least), too_low), (values > most, too_high)):  # NaN fails the first comparison
        if bad.any():
            first = np.unravel_index(int(np.argmax(bad)), bad.shape)
            place = f"[{', '.join(map(str, first))}]" if first else ""
            raise DataError(f"{name}{place} is {shown(float(values[first]))}, {problem}")
    return values
