"""Laws of mixtures of experts: published numbers, limits and identities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs

ROUTING = bs.load_law("moe_routing")
GRANULARITY = bs.load_law("moe_granularity")
CHINCHILLA = bs.load_law("chinchilla")
KINDS = ("clark2022_s_base", "clark2022_rl_r", "clark2022_hash")


def test_routing_reproduces_the_dense_value_in_base_ten() -> None:
    # The reference gives 2.285 for the S-BASE constants and 2.265 for the dense law, (3.568e13 / N)^0.078.
    loss = ROUTING.at("clark2022_s_base")(params=[1e9], experts=[1.0])
    np.testing.assert_allclose(loss, 2.285, rtol=5e-4)
    assert abs(loss - (3.568e13 / 1e9) ** 0.078) < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_one_expert_is_a_power_law_in_size(kind: str) -> None:
    constants = ROUTING.at(kind).constants.values
    params = np.logspace(7, 10, 20)
    log_start = np.log10(constants["E_start"])
    exponent = constants["a"] + constants["c"] * log_start
    expected = 10 ** (exponent * np.log10(params) + constants["b"] * log_start + constants["d"])
    np.testing.assert_allclose(ROUTING.at(kind)(params=params, experts=np.ones(20)), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_experts_saturate(kind: str) -> None:
    curve = ROUTING.at(kind)
    few, many, more = curve(params=1e8, experts=np.array([64.0, 1e7, 1e9]))
    assert few > many and abs(many / more - 1) < 1e-4


@settings(max_examples=40, deadline=None)
@given(st.floats(np.log(2e7), np.log(1e10)), st.floats(1, 512), st.sampled_from(KINDS))
def test_the_dense_equivalent_has_the_same_loss(log_n: float, experts: float, kind: str) -> None:
    curve, params = ROUTING.at(kind), float(np.exp(log_n))
    dense = curve.quantity("dense_equivalent", params=params, experts=experts)
    np.testing.assert_allclose(curve(params=dense, experts=1.0), curve(params=params, experts=experts), rtol=1e-9)
    assert dense >= params * (1 - 1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_beyond_the_cutoff_experts_hurt(kind: str) -> None:
    curve = ROUTING.at(kind)
    cutoff = float(curve.quantity("cutoff"))
    one, many = (curve(params=cutoff * np.array([0.1, 10]), experts=e) for e in (1.0, 256.0))
    assert many[0] < one[0] and many[1] > one[1]


@settings(max_examples=40, deadline=None)
@given(st.floats(np.log(1e7), np.log(1e12)), st.floats(np.log(1e8), np.log(1e13)), st.floats(1, 64))
def test_a_fixed_granularity_is_chinchilla(log_n: float, log_d: float, granularity: float) -> None:
    c = dict(GRANULARITY.at("krajewski2024").constants.values)
    inputs = {"params": [np.exp(log_n)], "tokens": [np.exp(log_d)]}
    same = {"E": c["c"], "A": c["g"] * granularity ** -c["gamma"] + c["a"], "alpha": c["alpha"], "B": c["b"]}
    expected = CHINCHILLA.evaluate(same | {"beta": c["beta"]}, **inputs)
    here = GRANULARITY.evaluate(c, granularity=[granularity], **inputs)
    np.testing.assert_allclose(here, expected, rtol=1e-12)


def test_finer_experts_never_hurt_and_help_less_and_less() -> None:
    loss = GRANULARITY.at("krajewski2024")(params=1e9, tokens=1e11, granularity=2.0 ** np.arange(6))
    gains = -np.diff(loss)
    assert (gains > 0).all() and (np.diff(gains) < 0).all()
