"""Counts and published allocations: the papers' numbers by golden id, identities, and one line for the impossible."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.data.units import (
    PUBLISHED_FRONTIERS,
    Shape,
    bits_per_byte,
    deepseek_flops_per_token,
    flops_of_pf_days,
    inference_tokens,
    nats_per_token,
    non_embedding_params,
    pf_days,
    total_params,
    training_flops,
    training_flops_of_forward,
)
from bayes_scaling.errors import DataError

BESIROGLU = {"A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
FLOPS = st.floats(1e15, 1e30)
SIZE = st.integers(1, 10**5)


def close(actual: object, expected: object, tolerance: float = 5e-4) -> None:
    np.testing.assert_allclose(actual, expected, rtol=tolerance)


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    return Shape(*(draw(SIZE) for _ in range(6)))


# --- golden numbers --------------------------------------------------------------------------------------------------


def test_g19_kaplan_table_6_closes() -> None:
    kaplan = PUBLISHED_FRONTIERS["kaplan2020"]
    assert kaplan.params is not None
    one = flops_of_pf_days(1)
    close([kaplan.params(one), kaplan.tokens(one)], [1.3e9, 2e10])
    close(pf_days(training_flops(kaplan.params(one), 2e6 * 5.4e3)), 0.9750)  # batch and steps of the same table
    close(PUBLISHED_FRONTIERS["kaplan2020_eq6_7"].tokens(one), 4e10)  # one epoch, twice those of the table
    close([kaplan.params(10 * one) / 1.3e9, kaplan.tokens(10 * one) / 2e10], [5.4, 1.9], 0.03)


def test_g21_non_embedding_parameters() -> None:
    family = Shape([48, 36, 6, 207], [1600, 1280, 4288, 768])
    close(family.params, [1.475e9, 7.078e8, 1.324e9, 1.465e9])


def test_g34_total_parameters() -> None:
    close(total_params(1e8), 1.220e8)


def test_g35_deepseek_closes() -> None:
    deepseek = PUBLISHED_FRONTIERS["deepseek2024"]
    assert deepseek.flops_per_token is not None
    for flops in (1e18, 1e20, 1e24):
        close(deepseek.flops_per_token(flops) * deepseek.tokens(flops) / flops, 1.000)


def test_g36_llama_3() -> None:
    tokens = PUBLISHED_FRONTIERS["llama3"].tokens(3.8e25)
    close(tokens, 1.629e13)
    close(3.8e25 / (6 * tokens), 3.887e11)


def test_g37_inference_wedge() -> None:
    tokens = np.array([15e12, 1.4e12])
    close(inference_tokens([8e9, 7e10], tokens, BESIROGLU) / tokens, [12.65, 0.09169])


def test_g43_units() -> None:
    close(flops_of_pf_days(1), 8.64e19)
    close(training_flops(7e10, 1.4e12), 5.88e23)
    close(pf_days(training_flops(7e10, 1.4e12)), 6806)


def test_g23_g24_closed_forms() -> None:
    for name, flops, params, tokens in (
        ("besiroglu2024", [1e21, 5.76e23, 3.8e25], [2.778e9, 7.225e10, 6.187e11], [5.999e10, 1.329e12, 1.024e13]),
        ("hoffmann2022", [1e21, 5.76e23], [2.217e9, 4.036e10], [7.518e10, 2.379e12]),
    ):
        frontier = PUBLISHED_FRONTIERS[name]
        assert frontier.params is not None
        close(frontier.params(flops), params)
        close(frontier.tokens(flops), tokens)


def test_twenty_tokens_per_parameter_is_hoffmanns_table_3() -> None:
    flops = [1.92e19, 1.21e20, 1.23e22, 5.76e23, 3.85e24, 9.90e24, 3.43e25, 1.27e26, 1.30e28]
    rule = PUBLISHED_FRONTIERS["twenty_tokens"]
    assert rule.params is not None
    close(rule.params(flops), [4e8, 1e9, 1e10, 6.7e10, 1.75e11, 2.8e11, 5.2e11, 1e12, 1e13], 0.05)
    close(rule.tokens(flops) / rule.params(flops), 20, 1e-12)


# --- identities ------------------------------------------------------------------------------------------------------


@given(shapes())
def test_counts_are_sums_of_their_parts(shape: Shape) -> None:
    params, flops = shape.params_by_part, shape.flops_by_part
    n, d, attention, feedforward, vocabulary, context = dataclasses.astuple(shape)
    close(shape.params, 2 * d * n * (2 * attention + feedforward), 1e-12)
    close(shape.params_total, sum(params.values()), 1e-12)
    close(shape.params_total - shape.params, d * (vocabulary + context), 1e-3)
    close(shape.flops_non_embedding, 2 * shape.params, 1e-12)
    close(shape.flops_with_attention, 2 * shape.params + 2 * n * context * attention, 1e-12)
    close(flops["head"], 2 * d * vocabulary, 1e-12)  # two FLOPs for each of its weights
    close(shape.flops_with_attention_and_head, sum(flops.values()) - flops["embedding"], 1e-12)
    close(
        training_flops_of_forward(shape.flops_non_embedding, 1e9),
        training_flops(shape.params, 1e9),
        1e-12,
    )


@given(SIZE, SIZE, SIZE)
def test_deepseek_counts_attention_twice(layers: int, width: int, context: int) -> None:
    shape = Shape(layers, width, context=context)
    ours = 3 * (shape.flops_with_attention + shape.flops_by_part["mask"])
    close(deepseek_flops_per_token(layers, width, context), ours, 1e-12)


@given(st.floats(1, 1e30), st.floats(1e-3, 1e9))
def test_total_and_non_embedding_parameters_are_inverse(params: float, gamma: float) -> None:
    close(non_embedding_params(total_params(params, gamma), gamma), params, 1e-10)


@given(FLOPS, st.floats(1e-3, 20), st.floats(1e-3, 1.5))
def test_units_are_inverse(flops: float, loss: float, tokens_per_byte: float) -> None:
    close(flops_of_pf_days(pf_days(flops)), flops, 1e-12)
    close(nats_per_token(bits_per_byte(loss, tokens_per_byte), tokens_per_byte), loss, 1e-12)
    close(bits_per_byte(math.log(2), tokens_per_byte), tokens_per_byte, 1e-12)


@pytest.mark.parametrize("name", ["twenty_tokens", "hoffmann2022", "besiroglu2024"])
@given(FLOPS)
def test_a_split_spends_the_budget(name: str, flops: float) -> None:
    frontier = PUBLISHED_FRONTIERS[name]
    assert frontier.params is not None
    close(training_flops(frontier.params(flops), frontier.tokens(flops)), flops, 1e-12)


@pytest.mark.parametrize("name", list(PUBLISHED_FRONTIERS))
def test_allocations_grow_with_compute(name: str) -> None:
    frontier = PUBLISHED_FRONTIERS[name]
    assert frontier.name == name and frontier.source and frontier.convention and frontier.note
    laws = [law for law in (frontier.params, frontier.tokens, frontier.flops_per_token) if law is not None]
    for law in laws:
        values = law(np.geomspace(1e18, 1e27, 10))
        assert np.all(np.diff(values) > 0)
    if len(laws) == 2:
        close(sum(law.exponent for law in laws), 1, 1e-12)


@pytest.mark.parametrize("name", ["hoffmann2022", "besiroglu2024"])
def test_closed_forms_use_the_constants_of_the_law_and_serve_nobody(name: str) -> None:
    constants = bs.load_law("chinchilla").at(name).constants.values
    frontier = PUBLISHED_FRONTIERS[name]
    assert frontier.params is not None
    flops = np.geomspace(1e18, 1e27, 10)
    params, tokens = frontier.params(flops), frontier.tokens(flops)
    np.testing.assert_allclose(inference_tokens(params, tokens, constants) / tokens, 0, atol=1e-10)


@given(st.floats(1e7, 1e12), st.floats(2, 1e4))
def test_served_tokens_are_the_optimum_of_training_plus_serving(params: float, per_param: float) -> None:
    A, B, alpha, beta = BESIROGLU.values()
    tokens = params * per_param
    served = inference_tokens(params, tokens, BESIROGLU)
    reducible = A * params**-alpha + B * tokens**-beta

    def cost(other: float) -> float:
        same_loss = (B / (reducible - A * other**-alpha)) ** (1 / beta)
        return float(6 * other * same_loss + 2 * other * served)

    step = 1e-4
    slope = (cost(params * (1 + step)) - cost(params * (1 - step))) / (2 * step)
    assert abs(slope) < 1e-4 * (6 * params * tokens + abs(2 * params * served))


@given(st.floats(1e7, 1e12), st.floats(1e8, 1e14), st.floats(1.01, 100))
def test_longer_training_serves_more(params: float, tokens: float, factor: float) -> None:
    few, many = (inference_tokens(params, d, BESIROGLU) / d for d in (tokens, factor * tokens))
    assert few < many


def test_arrays_broadcast_and_numbers_stay_numbers() -> None:
    assert isinstance(training_flops(10**24, 1), float)
    assert np.shape(training_flops([[1e9], [2e9]], [1e10, 2e10, 3e10])) == (2, 3)
    assert np.shape(inference_tokens(8e9, 15e12, {**BESIROGLU, "A": np.full(7, 482.01), "E": 1.8})) == (7,)
    assert Shape(48, 1600).feedforward_width == 6400
    assert np.shape(Shape([[1], [2]], [8, 16, 32], context=1024).flops_with_attention) == (2, 3)


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Shape(0, 768), "layers is 0, expected a count of at least 1 in raw units"),
        (
            lambda: Shape(12, [768, math.nan]),
            "width[1] is nan, expected a count of at least 1 in raw units",
        ),
        (lambda: Shape(12, 768, attention_width=-1), "attention_width is -1, expected a positive number"),
        (lambda: Shape(12, 768, context=-1), "context is -1, expected a count of at least 1 in raw units"),
        (lambda: Shape("12", 768), "layers is '12', expected a number or an array of numbers"),
        (lambda: Shape(True, 768), "layers is True, expected a number or an array of numbers"),
        (
            lambda: Shape([1, 2], [1, 2, 3]),
            "shapes do not broadcast: layers (2,), width (3,), attention_width (3,), feedforward_width (3,); "
            "give arrays of one shape, or single numbers",
        ),
        (
            lambda: Shape(12, 768).flops_with_attention,
            "this count needs the context, which the shape lacks: give Shape(..., context=...)",
        ),
        (
            lambda: Shape(12, 768, context=1024).params_total,
            "this count needs the vocabulary, which the shape lacks: give Shape(..., vocabulary=...)",
        ),
        (
            lambda: Shape(12, 768, context=1024).flops_with_attention_and_head,
            "this count needs the vocabulary, which the shape lacks: give Shape(..., vocabulary=...)",
        ),
        (lambda: training_flops(0.07, 1e12), "params is 0.07, expected a count of at least 1 in raw units"),
        (
            lambda: training_flops([1e9, 2e9], [1, 2, 3]),
            "shapes do not broadcast: params (2,), tokens (3,); give arrays of one shape, or single numbers",
        ),
        (
            lambda: training_flops([[1], [1, 2]], 1),
            "params is [[1], [1, 2]], expected a number or an array of numbers",
        ),
        (
            lambda: training_flops_of_forward(1e9, [[1, 0]]),
            "tokens[0, 1] is 0, expected a count of at least 1 in raw units",
        ),
        (
            lambda: deepseek_flops_per_token(30, 4096, 0),
            "context is 0, expected a count of at least 1 in raw units",
        ),
        (lambda: pf_days(0), "flops is 0, expected a positive number"),
        (lambda: pf_days(None), "flops is nan, expected a positive number"),
        (lambda: pf_days(math.inf), "flops is inf, above 1e+50: no training run has that, check the unit"),
        (lambda: flops_of_pf_days(-1), "days is -1, expected a positive number"),
        (
            lambda: bits_per_byte(2.5, 4.4),
            "tokens_per_byte is 4.4, more than any tokeniser has: if this is bytes per token, give the inverse",
        ),
        (lambda: total_params(1e8, gamma=0), "gamma is 0, expected a positive number"),
        (lambda: non_embedding_params(1e4), "total is 10000, less than its embeddings alone: is gamma right?"),
        (
            lambda: PUBLISHED_FRONTIERS["llama3"].tokens([1e20, -1.0]),
            "flops[1] is -1, expected a positive number",
        ),
        (
            lambda: inference_tokens(8e9, 15e12, {"alpha": 0.3, "beta": 0.3}),
            "inference tokens need A, B, alpha and beta of a Chinchilla law: A, B missing",
        ),
        (
            lambda: inference_tokens(8e9, 15e12, {**BESIROGLU, "beta": 36.0}),
            "beta is 36, expected an exponent, about 0.1 to 1",
        ),
    ],
)
def test_the_impossible_is_refused_in_one_line(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        call()


def test_published_allocations_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        PUBLISHED_FRONTIERS["mine"] = PUBLISHED_FRONTIERS["llama3"]  # type: ignore[index]
