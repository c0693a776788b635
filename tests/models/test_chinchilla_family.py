"""Chinchilla's frontier in closed form, its tied and over-trained forms, IsoFLOP curves, and the three-term surface."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from tests.support import close, fit_exact, optimum, public_table

CHINCHILLA = bs.load_law("chinchilla")
TIED = bs.load_law("chinchilla_tied")
ISOFLOP = bs.load_law("isoflop")
OVERTRAINING = bs.load_law("overtraining")
THREE = bs.load_law("three_term")
EXPONENT = st.floats(0.05, 0.8)
LOG_FLOPS = st.floats(np.log(1e17), np.log(1e27))


@pytest.mark.parametrize(
    ("name", "flops", "params", "tokens", "loss"),
    [  # G23, G24, G25
        ("besiroglu2024", [1e21, 5.76e23, 3.8e25], [2.778e9, 7.225e10, 6.187e11], [5.999e10, 1.329e12, 1.024e13], [2.306, 1.974, 1.892]),  # noqa: E501
        ("hoffmann2022", [1e21, 5.76e23], [2.217e9, 4.036e10], [7.518e10, 2.379e12], [2.295, 1.918]),
        ("hoffmann2022_rounded", [5.76e23], [3.219e10], [2.982e12], [1.931]),
    ],
)  # fmt: skip
def test_closed_form_frontier(
    name: str, flops: list[float], params: list[float], tokens: list[float], loss: list[float]
) -> None:
    curve = CHINCHILLA.at(name)
    close(curve.quantity("params_opt", flops=flops), params)
    close(curve.quantity("tokens_opt", flops=flops), tokens)
    close(curve.quantity("loss_opt", flops=flops), loss)
    np.testing.assert_allclose(curve.quantity("flops_opt", loss=curve.quantity("loss_opt", flops=flops)), flops)
    for c in flops:
        closed = [curve.quantity(f"{of}_opt", flops=c) for of in ("params", "tokens", "loss")]
        np.testing.assert_allclose(closed, optimum(name, c), rtol=1e-6)  # the optimiser's precision in log N


@pytest.mark.parametrize(
    ("name", "a", "gamma"),
    [("hoffmann2022_rounded", 0.4516, 0.1535), ("hoffmann2022", 0.4565, 0.1548), ("besiroglu2024", 0.5126, 0.1783)],
)
def test_g26_frontier_exponents_in_closed_form(name: str, a: float, gamma: float) -> None:
    close(CHINCHILLA.at(name).quantity("split_exponent"), a)
    close(CHINCHILLA.at(name).quantity("loss_exponent"), gamma)


def test_g27_first_order_condition_in_closed_form() -> None:
    curve = CHINCHILLA.at("besiroglu2024")
    params, tokens = (curve.quantity(f"{of}_opt", flops=5.76e23) for of in ("params", "tokens"))
    np.testing.assert_allclose(curve.quantity("inference_share", params=params, tokens=tokens), 0.0, atol=1e-12)
    close(curve.quantity("loss_opt", flops=5.76e23) - 1.8172, 0.1572)


def test_a_loss_below_the_floor_takes_compute_without_bound() -> None:
    for law in (CHINCHILLA.at("besiroglu2024"), TIED.at("muennighoff2023")):
        assert np.all(np.isinf(law.quantity("flops_opt", loss=[1.0, law.constants.values["E"]])))


def test_g37_inference_share() -> None:
    curve = CHINCHILLA.at("besiroglu2024")
    close(curve.quantity("inference_share", params=[8e9, 7e10], tokens=[15e12, 1.4e12]), [12.65, 0.09169])


@settings(max_examples=20, deadline=None)
@given(EXPONENT, EXPONENT, st.floats(0.05, 3.0))
def test_inference_share_gives_the_least_total_cost(alpha: float, beta: float, share: float) -> None:
    constants = {"E": 1.7, "A": 400.0, "B": 2000.0, "alpha": alpha, "beta": beta}
    tokens = 1e11
    params = (beta * 2000.0 * tokens**-beta * (1 + share / 3) / (alpha * 400.0)) ** (-1 / alpha)
    np.testing.assert_allclose(
        CHINCHILLA.quantity("inference_share", constants, params=params, tokens=tokens), share, rtol=1e-9
    )
    slope_of_tokens = -(alpha * 400.0 * params**-alpha / params) / (beta * 2000.0 * tokens**-beta / tokens)
    slope_of_cost = 6 * tokens + 6 * params * slope_of_tokens + 2 * share * tokens  # along equal loss
    np.testing.assert_allclose(slope_of_cost / (6 * tokens), 0.0, atol=1e-9)


def test_tied_form_reproduces_muennighoffs_frontier() -> None:
    curve = TIED.at("muennighoff2023")
    close(curve.quantity("params_opt", flops=5.76e23), 6.996e10)
    close(curve.quantity("tokens_opt", flops=5.76e23), 1.372e12)
    close(curve.quantity("loss_opt", flops=5.76e23), 2.025)
    close(curve.quantity("tokens_per_param"), 19.61)
    one, two = curve.quantity("loss_opt", flops=[1e20, 1e24]) - curve.constants.values["E"]
    close(-np.log(two / one) / np.log(1e4), 0.1763)  # G26, MU


@settings(max_examples=30, deadline=None)
@given(EXPONENT, LOG_FLOPS)
def test_tied_form_is_chinchilla_with_one_exponent(alpha: float, log_flops: float) -> None:
    constants = {"E": 1.7, "A": 400.0, "B": 2000.0, "alpha": alpha}
    both = constants | {"beta": alpha}
    flops = np.exp(log_flops)
    for of in ("params_opt", "tokens_opt", "loss_opt"):
        here, there = (law.quantity(of, c, flops=flops) for law, c in ((TIED, constants), (CHINCHILLA, both)))
        np.testing.assert_allclose(here, there, rtol=1e-9)
    inputs = {"params": [1e9], "tokens": [3e10]}
    np.testing.assert_array_equal(TIED.evaluate(constants, **inputs), CHINCHILLA.evaluate(both, **inputs))


def test_isoflop_is_chinchilla_near_the_optimum() -> None:
    curve = CHINCHILLA.at("besiroglu2024")
    c = curve.constants.values
    a, gamma = float(curve.quantity("split_exponent")), float(curve.quantity("loss_exponent"))
    constants = {
        "E": c["E"],
        "K": float(curve.quantity("loss_opt", flops=1.0)) - c["E"],
        "gamma": gamma,
        "k": c["alpha"] * c["beta"] / 2,
        "G": float(curve.quantity("params_opt", flops=1.0)),
        "a": a,
    }
    flops = np.array([1e19, 1e21, 1e23])
    np.testing.assert_allclose(
        ISOFLOP.quantity("params_opt", constants, flops=flops), curve.quantity("params_opt", flops=flops)
    )
    np.testing.assert_allclose(
        ISOFLOP.quantity("tokens_opt", constants, flops=flops), curve.quantity("tokens_opt", flops=flops)
    )
    off = []
    for factor in (1.0, 1.1, 1.2):
        params = curve.quantity("params_opt", flops=flops) * factor
        here = ISOFLOP.evaluate(constants, params=params, flops=flops)
        off.append(np.max(np.abs(here - curve(params=params, tokens=flops / (6 * params)))))
    assert off[0] < 1e-12 and 6 < off[2] / off[1] < 10  # what is left grows as the third power of ln(N / N_opt)


def test_g31_gadre() -> None:
    runs = {"params": [6.9e9, 1.4e9], "tokens": [138e9, 900e9]}
    close(OVERTRAINING.at("gadre2024_c4")(**runs), [2.290, 2.400])
    close(OVERTRAINING.at("gadre2024_redpajama")(**runs), [2.459, 2.542])


def test_g32_gadres_best_ratio() -> None:
    curve = OVERTRAINING.at("gadre2024_c4")
    close(curve.quantity("tokens_per_param"), 3.430)
    np.testing.assert_allclose(curve.quantity("flops_factor", tokens_per_param=curve.quantity("tokens_per_param")), 1.0)
    assert curve.quantity("flops_factor", tokens_per_param=640.0) > 3


@settings(max_examples=30, deadline=None)
@given(EXPONENT, LOG_FLOPS, st.floats(1.0, 2000.0))
def test_overtraining_is_the_tied_form_in_other_variables(alpha: float, log_flops: float, ratio: float) -> None:
    tied = {"E": 1.7, "A": 400.0, "B": 2000.0, "alpha": alpha}
    eta = alpha / 2
    gadre = {"E": 1.7, "a": 400.0 * 6**eta, "b": 2000.0 * 6**eta, "eta": eta}
    params = np.sqrt(np.exp(log_flops) / (6 * ratio))
    inputs = {"params": [params], "tokens": [params * ratio]}
    np.testing.assert_allclose(OVERTRAINING.evaluate(gadre, **inputs), TIED.evaluate(tied, **inputs), rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(EXPONENT, EXPONENT, st.floats(np.log(1e8), np.log(1e12)))
def test_best_batch_has_the_lowest_loss(beta: float, gamma: float, log_tokens: float) -> None:
    constants = {"E": 1.7, "A": 400.0, "K": 30.0, "J": 90.0, "alpha": 0.3, "beta": beta, "gamma": gamma}
    tokens = np.exp(log_tokens)
    best = float(THREE.quantity("best_batch", constants, tokens=tokens))
    np.testing.assert_allclose(best * THREE.quantity("best_steps", constants, tokens=tokens), tokens, rtol=1e-9)
    batch = best * np.exp([0.0, -0.1, 0.1, -2.0, 2.0])
    loss = THREE.evaluate(constants, params=np.full(5, 1e9), steps=tokens / batch, batch_tokens=batch)
    assert np.argmin(loss) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "ratio", "errors"),
    [  # largest relative error of the median for 1.4B at this many tokens per parameter, and for 6.9B at 20
        ("rpj", 640, (0.0071, 0.0073)),  # the paper's own point forecasts: 0.710 % and 0.732 %
        ("rw_original", 320, (0.0071, 0.025)),  # least squares: 0.005 % and 1.6 %
        ("c4_original", 80, (0.025, 0.055)),  # least squares: 4.3 % for 6.9B
    ],
)
def test_five_runs_forecast_over_training_and_say_how_little_they_know(
    data: str, ratio: int, errors: tuple[float, float]
) -> None:
    table = pd.read_csv(public_table("gadre_overtraining.csv")).query("train_dataset == @data")
    table = table.rename(columns={"loss_c4_val": "loss"})
    small = table["params"] < 1e9
    five = table[
        (small & (table["token_multiplier"] == 20)) | ((table["params"] < 2e7) & (table["token_multiplier"] == 320))
    ]
    assert len(five) == 5
    fit = fit_exact(OVERTRAINING, bs.Runs.from_frame(five[["params", "tokens", "loss"]]), seed=0)
    large = pd.concat(
        [
            table[(table["params"].between(1e9, 2e9)) & (table["token_multiplier"] == ratio)],
            table[(table["params"] > 6e9) & (table["token_multiplier"] == 20)],
        ]
    )
    assert len(large) == 2
    ahead = bs.forecast(fit, params=large["params"].tolist(), tokens=large["tokens"].tolist())
    truth = large["loss"].to_numpy()
    assert np.all(np.abs(ahead.median() / truth - 1) < errors)
    low, high = ahead.interval(0.9).T
    assert np.all((low < truth) & (truth < high))
    assert np.all((high - low) / truth > 0.07), "five runs cannot know four constants"
