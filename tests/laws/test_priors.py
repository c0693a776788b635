"""Priors as data: there and back without a change, quantiles, and one line for everything malformed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bayes_scaling.errors import LawError
from bayes_scaling.laws.priors import (
    FAMILIES,
    describe_prior,
    prior_from_spec,
    prior_quantile,
    prior_to_spec,
    read_priors,
)

REAL = st.floats(-1e6, 1e6)
POSITIVE = st.floats(1e-6, 1e6)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a prior as data, of any family, with one bound or both where bounds are free."""
    family = draw(st.sampled_from(list(FAMILIES)))
    spec: dict[str, Any] = {"distribution": family}
    for key in FAMILIES[family]:
        spec[key] = draw(REAL if key in ("loc", "low", "high") else POSITIVE)
    if "low" in spec:
        assume(spec["low"] < spec["high"])
    if family == "TruncatedNormal":
        free = draw(st.sampled_from(["low", "high", None]))
        spec = {key: value for key, value in spec.items() if key != free}
    return spec


SCIPY: dict[str, Callable[..., Any]] = {
    "Beta": lambda concentration1, concentration0: scipy.stats.beta(concentration1, concentration0),
    "Exponential": lambda rate: scipy.stats.expon(scale=1 / rate),
    "Gamma": lambda concentration, rate: scipy.stats.gamma(concentration, scale=1 / rate),
    "HalfCauchy": lambda scale: scipy.stats.halfcauchy(scale=scale),
    "HalfNormal": lambda scale: scipy.stats.halfnorm(scale=scale),
    "InverseGamma": lambda concentration, rate: scipy.stats.invgamma(concentration, scale=rate),
    "LogNormal": lambda loc, scale: scipy.stats.lognorm(scale, scale=math.exp(loc)),
    "Normal": lambda loc, scale: scipy.stats.norm(loc, scale),
    "StudentT": lambda df, loc, scale: scipy.stats.t(df, loc, scale),
    "TruncatedNormal": lambda loc, scale, low=-math.inf, high=math.inf: scipy.stats.truncnorm(
        (low - loc) / scale, (high - loc) / scale, loc, scale
    ),
    "Uniform": lambda low, high: scipy.stats.uniform(low, high - low),
}
EXAMPLES: list[dict[str, Any]] = [
    {"distribution": "Beta", "concentration1": 1.5, "concentration0": 3.0},
    {"distribution": "Exponential", "rate": 2.5},
    {"distribution": "Gamma", "concentration": 3.0, "rate": 0.5},
    {"distribution": "HalfCauchy", "scale": 0.3},
    {"distribution": "HalfNormal", "scale": 1.7},
    {"distribution": "InverseGamma", "concentration": 3.0, "rate": 2.0},
    {"distribution": "LogNormal", "loc": -1.386, "scale": 0.5},
    {"distribution": "Normal", "loc": -2.0, "scale": 0.7},
    {"distribution": "StudentT", "df": 3.5, "loc": 1.0, "scale": 0.2},
    {"distribution": "TruncatedNormal", "loc": 0.3, "scale": 0.2, "low": 0.0, "high": 0.7},
    {"distribution": "TruncatedNormal", "loc": 0.3, "scale": 0.2, "low": 0.0},
    {"distribution": "TruncatedNormal", "loc": 0.3, "scale": 0.2, "high": 0.25},
    {"distribution": "Uniform", "low": -1.0, "high": 4.0},
]


def refusal(call: Callable[[], object]) -> str:
    """Return the message of the `LawError` that ``call`` must raise: one line that prints, and not a long one."""
    with pytest.raises(LawError) as caught:
        call()
    message = str(caught.value)
    assert message.isprintable() and 10 < len(message) < 500, message
    return message


# --- there and back ---


def test_every_family_has_an_example() -> None:
    assert {spec["distribution"] for spec in EXAMPLES} == set(FAMILIES) == set(SCIPY)


@settings(deadline=None, max_examples=100)
@given(spec=specs())
def test_a_prior_is_its_spec_exactly(spec: dict[str, Any]) -> None:
    prior = prior_from_spec("alpha", spec)
    back = prior_to_spec(prior)
    assert back == spec  # every number bit for bit
    assert prior_to_spec(prior_from_spec("alpha", back)) == spec


@pytest.mark.parametrize("spec", EXAMPLES, ids=lambda spec: spec["distribution"])
def test_a_prior_has_the_density_of_its_spec(spec: dict[str, Any]) -> None:
    with jax.enable_x64(True):
        prior = prior_from_spec("alpha", spec)
        arguments = {key: value for key, value in spec.items() if key != "distribution"}
        reference = SCIPY[spec["distribution"]](**arguments)
        at = reference.ppf([0.05, 0.3, 0.5, 0.9])
        np.testing.assert_allclose(prior.log_prob(jnp.asarray(at)), reference.logpdf(at), rtol=1e-9, atol=1e-9)


def test_a_truncated_normal_without_bounds_is_a_normal() -> None:
    prior = prior_from_spec("alpha", {"distribution": "TruncatedNormal", "loc": 1, "scale": 2})
    assert prior_to_spec(prior) == {"distribution": "Normal", "loc": 1.0, "scale": 2.0}


def test_a_bound_at_infinity_is_none() -> None:
    spec = prior_to_spec(dist.TruncatedNormal(0.5, 1.0, low=0.0, high=math.inf))
    assert spec == {"distribution": "TruncatedNormal", "loc": 0.5, "scale": 1.0, "low": 0.0}
    assert prior_to_spec(prior_from_spec("alpha", spec)) == spec


def test_numbers_of_numpy_and_whole_numbers_are_numbers() -> None:
    spec = {"distribution": "Normal", "loc": np.int64(2), "scale": np.float32(0.5)}
    assert prior_to_spec(prior_from_spec("alpha", spec)) == {"distribution": "Normal", "loc": 2.0, "scale": 0.5}


@pytest.mark.parametrize(
    "prior",
    [
        dist.Cauchy(0.0, 1.0),
        dist.TruncatedCauchy(0.0, 1.0, low=0.0),
        dist.Normal(jnp.zeros(2), 1.0),
        dist.Normal(0.0, 1.0).expand((3,)),
        dist.Dirichlet(jnp.ones(3)),
        dist.TransformedDistribution(dist.Normal(0.0, 1.0), dist.transforms.ExpTransform()),
        type("Normal", (dist.Normal,), {})(0.0, 1.0),
        0.3,
        None,
    ],
    ids=lambda prior: type(prior).__name__,
)
def test_priors_that_cannot_be_written(prior: Any) -> None:
    message = refusal(lambda: prior_to_spec(prior))
    assert type(prior).__name__ in message
    assert describe_prior(prior) == type(prior).__name__


def test_description() -> None:
    prior = prior_from_spec("alpha", {"distribution": "LogNormal", "loc": math.log(0.25), "scale": 0.5})
    assert describe_prior(prior) == "LogNormal(loc=-1.386, scale=0.5)"


# --- quantiles ---


@pytest.mark.parametrize("spec", EXAMPLES, ids=lambda spec: spec["distribution"])
@pytest.mark.parametrize("q", [1e-6, 0.05, 0.5, 0.9, 1 - 1e-6])
def test_quantiles_are_those_of_scipy(spec: dict[str, Any], q: float) -> None:
    arguments = {key: value for key, value in spec.items() if key != "distribution"}
    expected = SCIPY[spec["distribution"]](**arguments).ppf(q)
    assert prior_quantile(prior_from_spec("alpha", spec), q) == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("low", [-40.0, -3.0, 0.0, 3.0, 40.0])
@pytest.mark.parametrize("q", [0.01, 0.5, 0.99])
def test_quantiles_far_in_the_tails_of_a_truncated_normal(low: float, q: float) -> None:
    for bounds in ({"low": low}, {"high": low}, {"low": low, "high": low + 0.1}):
        spec = {"distribution": "TruncatedNormal", "loc": 0.0, "scale": 1.0, **bounds}
        a, b = bounds.get("low", -math.inf), bounds.get("high", math.inf)
        expected = scipy.stats.truncnorm.ppf(q, a, b)
        found = prior_quantile(prior_from_spec("alpha", spec), q)
        assert a <= found <= b
        assert found == pytest.approx(expected, rel=1e-9)


def test_quantiles_of_other_priors_come_from_draws() -> None:
    prior = dist.TransformedDistribution(dist.Normal(0.0, 1.0), dist.transforms.ExpTransform())
    assert prior_quantile(prior, 0.5) == pytest.approx(1.0, rel=0.05)
    assert prior_quantile(prior, 0.9) == pytest.approx(math.exp(1.2816), rel=0.05)


def test_a_quantile_too_large_for_a_float_is_infinite() -> None:
    assert prior_quantile(dist.LogNormal(1000.0, 1.0), 0.5) == math.inf


@pytest.mark.parametrize("q", [0.0, 1.0, -0.1, 1.5, float("nan"), 95])
def test_probabilities_that_are_none(q: float) -> None:
    assert "expected a probability between 0 and 1" in refusal(lambda: prior_quantile(dist.Normal(0.0, 1.0), q))


def test_only_distributions_have_quantiles() -> None:
    assert "0.3 is not a numpyro distribution" in refusal(lambda: prior_quantile(0.3, 0.5))


# --- malformed specs ---

NORMAL = {"distribution": "Normal", "loc": 0.0, "scale": 1.0}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (None, ["is None", "expected a table like {distribution = 'LogNormal', loc = 0, scale = 1}"]),
        (0.3, ["is 0.3"]),
        ("LogNormal(0, 1)", ["is 'LogNormal(0, 1)'"]),
        ([NORMAL], ["is [{'distribution': 'Normal'"]),
        ({}, ["is {}"]),
        ({"loc": 0.0, "scale": 1.0}, ["is {'loc': 0.0"]),
        ({"loc": "x" * 10_000}, ["..."]),
        (np.zeros((9, 9)), ["is array([[0."]),
        ({"distribution": "Lognormal", "loc": 0.0, "scale": 1.0}, ["no distribution 'Lognormal'", "LogNormal, Normal"]),
        ({"distribution": "a\nb"}, [r"no distribution 'a\nb'"]),
        ({"distribution": ["Normal"]}, ["no distribution ['Normal']"]),
        ({"distribution": None}, ["no distribution None"]),
        ({"distribution": 10**5000}, ["no distribution a very large int"]),
        ({"distribution": "Normal"}, ["Normal takes loc, scale; it got none"]),
        ({"distribution": "Normal", "loc": 0.0}, ["Normal takes loc, scale; it got 'loc'"]),
        ({**NORMAL, "df": 3.0}, ["it got 'loc, scale, df'"]),
        ({**NORMAL, 3: 4.0}, ["it got 'loc, scale, 3'"]),
        ({**NORMAL, "a\nb": 4.0}, [r"scale, a\nb'"]),
        ({"distribution": "Normal", "mean": 0.0, "scale": 1.0}, ["takes loc, scale; it got 'mean, scale'"]),
        ({"distribution": "Uniform", "low": 0.0}, ["Uniform takes low, high"]),
        ({**NORMAL, "loc": "0"}, ["loc is '0', not a number"]),
        ({**NORMAL, "loc": "\x1b[31m"}, [r"loc is '\x1b[31m', not a number"]),
        ({**NORMAL, "loc": True}, ["loc is True, not a number"]),
        ({**NORMAL, "loc": None}, ["loc is None, not a number"]),
        ({**NORMAL, "loc": [0.0]}, ["loc is [0.0], not a number"]),
        ({**NORMAL, "loc": 1j}, ["loc is 1j, not a number"]),
        ({**NORMAL, "loc": float("nan")}, ["loc is nan; expected a finite number"]),
        ({**NORMAL, "scale": float("inf")}, ["scale is inf; expected a finite number"]),
        ({**NORMAL, "loc": 10**400}, ["loc is inf; expected a finite number"]),
        ({**NORMAL, "scale": 0}, ["scale is 0; expected a positive number"]),
        ({**NORMAL, "scale": -1.0}, ["scale is -1; expected a positive number"]),
        ({"distribution": "Uniform", "low": 1.0, "high": 1.0}, ["low is 1, which is not below high, 1"]),
        ({"distribution": "Uniform", "low": 2.0, "high": 1.0}, ["low is 2, which is not below high, 1"]),
        ({**NORMAL, "distribution": "TruncatedNormal", "low": 2, "high": 1}, ["low is 2, which is not below high"]),
        ({**NORMAL, "distribution": "TruncatedNormal", "low": -math.inf}, ["low is -inf"]),
    ],
    ids=lambda value: "" if isinstance(value, list) else ascii(type(value).__name__),
)
def test_malformed_specs(spec: Any, words: list[str]) -> None:
    message = refusal(lambda: prior_from_spec("alpha", spec))
    assert message.startswith("prior of alpha")
    for word in words:
        assert word in message


@pytest.mark.parametrize("spec", EXAMPLES, ids=lambda spec: spec["distribution"])
def test_every_argument_of_every_family_is_checked(spec: dict[str, Any]) -> None:
    for key in [key for key in spec if key != "distribution"]:
        for wrong in (float("nan"), float("inf"), "1", None, True):
            assert f"prior of alpha: {key} is " in refusal(
                lambda key=key, wrong=wrong: prior_from_spec("alpha", {**spec, key: wrong})
            )  # type: ignore[misc]
        if key not in ("loc", "low", "high"):
            for wrong in (0.0, -1.0):
                message = refusal(lambda key=key, wrong=wrong: prior_from_spec("alpha", {**spec, key: wrong}))  # type: ignore[misc]
                assert f"{key} is {wrong:g}; expected a positive number" in message
        assert "takes" in refusal(lambda key=key: prior_from_spec("alpha", {**spec, key + "s": 1.0}))  # type: ignore[misc]


@settings(deadline=None, max_examples=100)
@given(
    name=st.text(max_size=200),
    spec=st.dictionaries(
        st.sampled_from(["distribution", "loc", "scale", "low", "high"]) | st.text(max_size=5),
        st.sampled_from(list(FAMILIES)) | st.floats() | st.integers() | st.text() | st.none() | st.lists(st.floats()),
        max_size=5,
    ),
)
def test_no_spec_breaks_the_reader(name: str, spec: dict[str, Any]) -> None:
    try:
        prior = prior_from_spec(name, spec)
    except LawError as error:
        assert str(error).isprintable() and len(str(error)) < 500
    else:
        assert isinstance(prior, dist.Distribution)


# --- files ---


def test_priors_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "priors.toml"
    path.write_bytes(
        b'\xef\xbb\xbf[priors]\nalpha = {distribution = "LogNormal", loc = -1.4, scale = 0.5}\n'
        b'[priors.E]\ndistribution = "TruncatedNormal"\nloc = 1\nscale = 2\nlow = 0\n'
    )
    found = {name: prior_to_spec(prior) for name, prior in read_priors(str(path)).items()}
    assert found == {
        "alpha": {"distribution": "LogNormal", "loc": -1.4, "scale": 0.5},
        "E": {"distribution": "TruncatedNormal", "loc": 1.0, "scale": 2.0, "low": 0.0},
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["has no table [priors]"]),
        (b"[prior]\nalpha = 1\n", ["has no table [priors]", "alpha = {distribution = 'LogNormal', ...}"]),
        (b"priors = 3\n", ["has no table [priors]"]),
        (b"[priors]\n", ["has no table [priors]"]),
        (b"alpha = \n", ["is not TOML", "line 1"]),
        (b"[priors]\nalpha = {\n", ["is not TOML", "line 2"]),
        (b"[priors]\nalpha = 1\nalpha = 2\n", ["is not TOML", "line 3"]),
        (b'[priors]\nalpha = "\x07"\n', ["is not TOML", "line 2"]),
        (b"\xff\xfe", ["byte 0xff is not UTF-8"]),
        (b'[priors]\nname = "caf\xe9"\n', ["byte 0xe9 is not UTF-8"]),
        (b"a = " + b"[" * 100_000, ["cannot be read"]),
        (b"[priors]\nalpha = 0.3\n", ["prior of alpha is 0.3"]),
        (b'[priors]\n"a\\nb" = 0.3\n', [r"prior of 'a\nb' is 0.3"]),
        (b'[priors]\nalpha = {distribution = "Normal", loc = 2025-01-01, scale = 1}\n', ["loc is datetime.date"]),
        (b'[priors]\nalpha = {distribution = "Normal", loc = nan, scale = 1}\n', ["loc is nan"]),
        (b"\x00\x01", ["is not TOML"]),
    ],
)
def test_files_that_hold_no_priors(tmp_path: Path, content: bytes, words: list[str]) -> None:
    path = tmp_path / "priors.toml"
    path.write_bytes(content)
    message = refusal(lambda: read_priors(path))
    assert message.startswith(("priors.toml ", "prior of "))
    for word in words:
        assert word in message


def test_paths_that_hold_no_priors(tmp_path: Path) -> None:
    assert "absent.toml cannot be read: No such file" in refusal(lambda: read_priors(tmp_path / "absent.toml"))
    assert "cannot be read: Is a directory" in refusal(lambda: read_priors(tmp_path))
    assert "cannot be read" in refusal(lambda: read_priors("x" * 300 + ".toml"))
    assert r"'a\x00b.toml' cannot be read" in refusal(lambda: read_priors("a\0b.toml"))
    odd = tmp_path / "a\nb.toml"
    odd.write_text("[priors]\n")
    assert r"'a\nb.toml' has no table [priors]" in refusal(lambda: read_priors(odd))
