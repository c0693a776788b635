"""Laws beyond size and data: published numbers, limits and identities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs

CHINCHILLA = bs.load_law("chinchilla")
BESIROGLU = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
LOG_PARAMS = st.floats(np.log(1e6), np.log(1e12))
LOG_TOKENS = st.floats(np.log(1e8), np.log(1e13))
SCALES = {"gamma_w": 2.7, "gamma_a": 2.2, "gamma_kv": 1.0}
ROUNDING = {"C_T": 0.06, "gamma_D": 0.5, "gamma_N": 0.35, "gamma_post": 0.6}


@settings(max_examples=40, deadline=None)
@given(LOG_PARAMS, LOG_TOKENS)
def test_bits_without_bound_are_chinchilla(log_n: float, log_d: float) -> None:
    inputs = {"params": [np.exp(log_n)], "tokens": [np.exp(log_d)]}
    bits = {"weight_bits": [1e6], "activation_bits": [1e6], "kv_bits": [1e6]}
    expected = CHINCHILLA.evaluate(BESIROGLU, **inputs)
    trained = bs.load_law("precision").evaluate(BESIROGLU | SCALES, **inputs, **bits)
    np.testing.assert_allclose(trained, expected, rtol=1e-12)
    post = bs.load_law("precision", post_training="yes")
    rounded = post.evaluate(BESIROGLU | SCALES | ROUNDING, **inputs, **bits, post_bits=[1e6])
    np.testing.assert_allclose(rounded, expected, rtol=1e-12)


def test_one_kind_of_bits_is_a_smaller_model() -> None:
    curve = bs.load_law("precision")
    wide = {"activation_bits": 1e6, "kv_bits": 1e6}
    few = curve.evaluate(BESIROGLU | SCALES, params=1e9, tokens=1e11, weight_bits=4.0, **wide)
    left = 1e9 * (1 - np.exp(-4 / 2.7))
    np.testing.assert_allclose(few, CHINCHILLA.evaluate(BESIROGLU, params=left, tokens=1e11), rtol=1e-12)


def test_rounding_after_training_makes_more_tokens_harmful() -> None:
    law = bs.load_law("precision", post_training="yes")
    bits = {"weight_bits": 16.0, "activation_bits": 16.0, "kv_bits": 16.0, "post_bits": 3.0}
    loss = law.evaluate(BESIROGLU | SCALES | ROUNDING, params=1e8, tokens=np.logspace(9, 13, 60), **bits)
    best = int(np.argmin(loss))
    assert 0 < best < 59 and (np.diff(loss[best:]) > 0).all()


def test_published_precision_is_shown_as_it_was_fitted() -> None:
    constants = bs.load_law("precision").at("kumar2024").constants
    assert constants.values["alpha"] == constants.values["beta"] and "offsets" in constants.note


@settings(max_examples=40, deadline=None)
@given(LOG_PARAMS, LOG_TOKENS)
def test_a_vocabulary_without_bound_is_chinchilla(log_n: float, log_d: float) -> None:
    inputs = {"params": [np.exp(log_n)], "tokens": [np.exp(log_d)]}
    same = {"E": 1.8172, "A_1": 482.01, "alpha_1": 0.3478, "B": 2085.43, "beta": 0.3658, "A_2": 5.0, "alpha_2": 0.6}
    here = bs.load_law("vocabulary").evaluate(same, vocabulary_params=[1e300], **inputs)
    np.testing.assert_allclose(here, CHINCHILLA.evaluate(BESIROGLU, **inputs), rtol=1e-12)


def test_published_vocabulary_has_its_units_converted() -> None:
    # In the units of the released code: N_nv and N_v in millions, D in billions.
    here = bs.load_law("vocabulary").at("tao2024")(params=302e6, vocabulary_params=16.4e6, tokens=10e9)
    expected = -5.5328 + 1.8314 / 302**0.44661 + 0.19584 / 16.4**0.67074 + 2.1241 / 10**0.44661
    np.testing.assert_allclose(here, expected, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(LOG_PARAMS, LOG_TOKENS, st.floats(0.1, 0.6))
def test_farseer_without_slopes_is_a_power_law_in_tokens(log_n: float, log_d: float, beta: float) -> None:
    zero = {"s": 0.0, "q": 0.2, "B": 0.0, "b": -0.1, "A": 0.0, "a": 0.1}
    constants = zero | {"S": np.log(1.8), "Q": np.log(400.0), "E": np.log(beta)}
    here = bs.load_law("farseer").evaluate(constants, params=[np.exp(log_n)], tokens=[np.exp(log_d)])
    np.testing.assert_allclose(here, 1.8 + 400 * np.exp(-beta * log_d), rtol=1e-9)


def test_farseer_constants_are_shown_as_unverified() -> None:
    assert not bs.load_law("farseer").at("li2025").constants.verified


def test_mixture_counts_shares_against_the_last_domain() -> None:
    law = bs.load_law("mixture", domains="code+web+books")
    assert law.inputs == ("code", "web") and law.parameter_names == ("c", "t_code", "t_web", "k")
    constants = {"c": 1.5, "k": 2.0, "t_code": -3.0, "t_web": -0.5}
    books, code = law.evaluate(constants, code=[0.0, 1.0], web=[0.0, 0.0])
    np.testing.assert_allclose([books, code], [3.5, 1.5 + 2 * np.exp(-3)])


def test_mixture_with_equal_domains_is_one_function() -> None:
    spelled, default = bs.load_law("mixture", domains="web+code+books"), bs.load_law("mixture")
    assert spelled.mean is default.mean and bs.load_law("mixture", domains="a+b").mean is not default.mean


@pytest.mark.parametrize("domains", ["web", "web+web", "web+c", "web+two words", ""])
def test_mixture_refuses_names_that_are_no_columns(domains: str) -> None:
    with pytest.raises(bs.errors.LawError, match="two or more different column names"):
        bs.load_law("mixture", domains=domains)


@settings(max_examples=40, deadline=None)
@given(st.floats(1.0, 4.0), st.floats(0.1, 3.0), st.floats(0.1, 1.5), st.floats(2.0, 1e6))
def test_context_falls_towards_its_floor(a: float, b: float, c: float, position: float) -> None:
    law = bs.load_law("context")
    near, far, end = law.evaluate({"a": a, "b": b, "c": c}, position=np.array([position, 10 * position, 1e300]))
    assert near > far >= a
    np.testing.assert_allclose(end, a + b * 1e300**-c, rtol=1e-9)


def test_context_mean_over_a_window() -> None:
    constants = {"a": 2.0, "b": 3.0, "c": 0.4}
    law, positions = bs.load_law("context"), np.arange(1, 4097)
    mean = law.evaluate(constants, position=positions.astype(float)).mean()
    np.testing.assert_allclose(law.quantity("mean_loss", constants, length=4096.0), mean, rtol=3e-3)


def test_an_offset_that_does_not_grow_is_constant() -> None:
    source = np.linspace(1.5, 6, 20)
    constant = bs.load_law("transfer").evaluate({"c": 0.2}, source_loss=source)
    growing = bs.load_law("transfer", form="growing").evaluate({"c": 0.2, "g": 0.0}, source_loss=source)
    np.testing.assert_array_equal(constant, growing)
    slow = bs.load_law("transfer", form="growing").evaluate({"c": 0.2, "g": 0.3}, source_loss=source) - source
    assert (np.diff(slow) < 0).all()


def test_g32_downstream_error() -> None:
    curve = bs.load_law("downstream").at("gadre2024_c4")
    np.testing.assert_allclose(curve(source_loss=[3.0, 1e6]), [0.6347, 0.850], rtol=5e-4)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.1, 0.7), st.floats(0.05, 0.3), st.floats(1.0, 20.0), st.floats(1.0, 4.0))
def test_sigmoid_link_goes_between_its_ends(a: float, b: float, k: float, middle: float) -> None:
    law, constants = bs.load_law("downstream", link="sigmoid"), {"a": a, "b": b, "k": k, "L_mid": middle}
    low, half, high = law.evaluate(constants, source_loss=np.array([middle - 40 / k, middle, middle + 40 / k]))
    np.testing.assert_allclose([low, half, high], [1 - a - b, 1 - b - a / 2, 1 - b], atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.floats(2, 200), st.floats(64, 20000), LOG_TOKENS, st.floats(5, 500))
def test_a_shape_that_does_not_matter_is_chinchilla(layers: float, width: float, log_d: float, best: float) -> None:
    law, tokens = bs.load_law("shape"), [np.exp(log_d)]
    here = law.evaluate(BESIROGLU | {"s": 0.0, "aspect_0": best}, layers=[layers], width=[width], tokens=tokens)
    expected = CHINCHILLA.evaluate(BESIROGLU, params=[12 * layers * width**2], tokens=tokens)
    np.testing.assert_allclose(here, expected, rtol=1e-12)


def test_shapes_of_kaplan() -> None:
    # (6, 4288) is within 3 % of (48, 1600): with the best aspect between them, s of 0.01 stays below that.
    constants = BESIROGLU | {"s": 0.01, "aspect_0": 100.0}
    law = bs.load_law("shape")
    wide, deep = law.quantity("penalty", constants, layers=np.array([6.0, 48.0]), width=np.array([4288.0, 1600.0]))
    assert abs(wide - deep) < 0.03 and law.quantity("best_aspect", constants) == 100
    width = float(law.quantity("best_width", constants, params=1e9))
    assert law.quantity("penalty", constants, layers=width / 100, width=width) == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(12 * (width / 100) * width**2, 1e9, rtol=1e-9)
