"""Laws that public tasks needed, streams, fine-tuning, distillation, tuning, experts, vocabulary; limits."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.model.discrepancy import size_inputs

PARALLEL = bs.load_law("parallel_scaling")
STREAMS = {"E": 1.3, "A": 1.5e8, "k": 0.34, "alpha": 0.2}


def test_streams_are_worth_the_logarithm_of_their_number_in_parameters() -> None:
    eight = PARALLEL.evaluate(STREAMS, params=1e9, streams=8)
    larger = PARALLEL.evaluate(STREAMS, params=1e9 * (0.34 * math.log(8) + 1), streams=1)
    np.testing.assert_allclose(eight, larger, rtol=1e-12)
    np.testing.assert_allclose(PARALLEL.evaluate(STREAMS, params=1e9, streams=1), 1.3 + 0.15**0.2, rtol=1e-12)
    assert PARALLEL.quantity("effective_params", STREAMS, params=1e9, streams=1) == pytest.approx(1e9)


def test_fine_tuning_is_flat_before_its_bend_and_a_power_law_after() -> None:
    law = bs.load_law("fine_tuning")
    theta = {"B": 100.0, "D_l": 50.0, "beta": 0.5, "E": 0.7}
    loss = law.evaluate(theta, examples=[1.0, 2.0, 1e12, 4e12])
    assert abs(math.log((loss[0] - 0.7) / (loss[1] - 0.7))) < 0.01
    assert (loss[2] - 0.7) / (loss[3] - 0.7) == pytest.approx(4**0.5, rel=1e-3)
    assert law.quantity("worth", theta) == pytest.approx(2500.0)


def test_a_student_does_not_see_a_good_teacher_and_follows_a_bad_one() -> None:
    law, chinchilla = bs.load_law("distillation"), bs.load_law("chinchilla")
    base = {"E": 1.6, "A": 400.0, "B": 1200.0, "alpha": 0.34, "beta": 0.35}
    theta = {**base, "d": 1.0, "f": 0.01, "k": 0.8}
    alone = float(chinchilla.evaluate(base, params=1e9, tokens=2e10))
    good, bad = law.evaluate(theta, params=1e9, tokens=2e10, teacher_loss=[alone * 0.7, alone * 1.3])
    assert good == pytest.approx(alone) and bad == pytest.approx(alone * 1.3**0.8)


def test_one_expert_is_a_dense_model_and_the_dense_equivalent_has_the_same_loss() -> None:
    law = bs.load_law("moe_effective")
    theta = {"E": 1.5, "A": 60.0, "alpha": 0.22, "g": 0.4, "X_start": 1.8, "X_max": 300.0}
    dense = law.quantity("dense_equivalent", theta, params=1e8, experts=[1.0, 64.0])
    assert dense[0] == pytest.approx(1e8) and dense[1] > 3e8
    losses = law.evaluate(theta, params=np.array([1e8, float(dense[1])]), experts=np.array([64.0, 1.0]))
    assert losses[0] == pytest.approx(losses[1])
    few, many, more = law.evaluate(theta, params=1e8, experts=[64.0, 1e7, 1e9])
    assert few > many and abs(many / more - 1) < 1e-4


def test_the_best_vocabulary_is_the_bottom_and_grows_with_the_text() -> None:
    law = bs.load_law("vocabulary_size")
    theta = {"E": 1.0, "A": 100.0, "alpha": 0.3, "C": 200.0, "gamma": 0.7, "B": 300.0, "kappa": 0.1, "beta": 0.4}
    sizes = np.geomspace(1e3, 1e7, 4001)
    best = []
    for text in (1e9, 1e11):
        loss = law.evaluate(theta, params=1e8, vocabulary=sizes, characters=text)
        found = float(law.quantity("best_vocabulary", theta, characters=text))
        assert found == pytest.approx(sizes[loss.argmin()], rel=5e-3)
        best.append(found)
    assert best[1] > best[0]


TUNING = bs.load_law("tuning")
VALLEYS = {
    **{"E": 1.5, "A": 20.0, "K": 30.0, "alpha": 0.18, "beta": 0.16, "q": 0.4},
    **{"c_r": 1.79 / 0.58**0.4, "a": 0.713, "b": 0.307 - 0.4 * 0.571, "c": 0.4, "w_r": 0.06, "s_r": 0.6},
    **{"c_B": 0.58, "d": 0.571, "e": 0.0, "w_B": 0.05, "s_B": 0.1},
}


def _loss(tokens: float, batch: np.ndarray | float, rate: np.ndarray | float) -> np.ndarray:
    batch = np.asarray(batch, float)
    return TUNING.evaluate(
        VALLEYS, params=4e8, steps=tokens / batch, batch_tokens=batch, peak_learning_rate=np.asarray(rate, float)
    )


def test_tuned_runs_follow_nesting_at_the_published_rate_and_batch() -> None:
    # StepLaw (Li et al. 2025): rate 1.79 N^-0.713 D^0.307, batch 0.58 D^0.571 tokens.
    batch, rate = 0.58 * 1e10**0.571, 1.79 * 4e8**-0.713 * 1e10**0.307
    nesting = bs.load_law("nesting")
    tuned = {name: VALLEYS[name] for name in ("E", "A", "alpha", "beta", "q")} | {"B": VALLEYS["K"]}
    np.testing.assert_allclose(_loss(1e10, batch, rate), nesting.evaluate(tuned, params=4e8, tokens=1e10), rtol=1e-9)
    found = TUNING.quantity("best_rate", VALLEYS, params=4e8, tokens=1e10, batch_tokens=batch)
    assert found == pytest.approx(rate) and batch == pytest.approx(2.98e5, rel=0.01)
    rates = rate * np.geomspace(0.1, 10, 201)
    assert rates[_loss(1e10, batch, rates).argmin()] == pytest.approx(rate)


def test_the_valley_is_smooth_at_its_bottom_and_steeper_above() -> None:
    batch, rate = 0.58 * 1e10**0.571, 1.79 * 4e8**-0.713 * 1e10**0.307
    bottom = _loss(1e10, batch, rate)
    for z in (1e-3, 0.012, 0.02):  # on both sides of where the series takes over
        up, down = (_loss(1e10, batch, rate * math.exp(sign * z)) for sign in (1, -1))
        assert (up + down) / 2 - bottom == pytest.approx((bottom - 1.5) * 0.06 * z**2 / 2, rel=1e-3)
    assert _loss(1e10, batch, rate * 10) > _loss(1e10, batch, rate / 10) > bottom


def test_the_size_of_a_tuned_run_is_its_compute() -> None:
    assert size_inputs(TUNING) == ("params", "steps", "batch_tokens")


def test_runs_that_are_tuned_badly_tell_the_valley() -> None:
    rng = np.random.default_rng(0)
    batch = np.exp(rng.uniform(math.log(5e4), math.log(2e6), 300))
    table = pd.DataFrame(
        {
            "params": np.exp(rng.uniform(math.log(6e7), math.log(1e9), 300)),
            "steps": np.exp(rng.uniform(math.log(2e9), math.log(5e10), 300)) / batch,
            "batch_tokens": batch,
            "peak_learning_rate": np.exp(rng.uniform(math.log(3e-4), math.log(1e-2), 300)),
        }
    )
    exact = TUNING.evaluate(VALLEYS, **{name: table[name].to_numpy() for name in table})
    runs = bs.Runs.from_frame(table.assign(loss=exact * np.exp(0.003 * rng.standard_normal(300))))
    fit = bs.fit(TUNING, runs, discrepancy="none", sampler="laplace", seed=0)
    for name in ("a", "c", "d", "w_r", "w_B"):
        draws = fit.flat()[name]
        assert abs(draws.mean() - VALLEYS[name]) < 4 * draws.std() + 0.02, name


def test_zero_weights_count_as_more_parameters_up_to_a_limit() -> None:
    law = bs.load_law("sparsity")
    theta = {"a_S": 17.0, "b_S": 0.7, "c_S": 45.0, "b_N": 0.25, "a_D": 7e8, "b_D": 0.2, "c": 0.65}
    dense, half, most = law.evaluate(theta, sparsity=[0.0, 0.5, 0.999], params=1e8, tokens=1e10)
    assert dense > half > most
    assert dense == pytest.approx(62 / 1e2 + (7e8 / 1e10) ** 0.2 + 0.65)
    size = law.quantity("dense_equivalent", theta, params=1e8, sparsity=[0.0, 0.5])
    assert size[0] == pytest.approx(1e8) and size[1] > 1e8
    assert half == pytest.approx(float(law.evaluate(theta, sparsity=0.0, params=size[1], tokens=1e10)))


SATURATING = {
    **{"E": 1.7, "L_u": 10.8, "a": 60.0, "b": 90.0, "c": 0.002},
    **{"alpha": 0.33, "beta": 0.3, "gamma": 0.6, "delta": 0.5},
}


def test_small_runs_have_learned_nothing_and_large_ones_follow_power_terms() -> None:
    law = bs.load_law("saturating")
    assert float(law.evaluate(SATURATING, params=1.0, tokens=1.0, unique_tokens=1.0)) == pytest.approx(10.8, rel=0.01)
    N, T, D = 1e13, 1e18, 1e18
    h = 60 * N**-0.33 + 90 * T**-0.3 + 0.002 * N**0.6 / D**0.5
    found = float(law.evaluate(SATURATING, params=N, tokens=T, unique_tokens=D))
    assert found == pytest.approx(1.7 + 9.1 * h / (1 + h), rel=1e-12)
    assert found == pytest.approx(1.7 + 9.1 * h, rel=0.01)


def test_a_larger_model_overfits_few_distinct_tokens() -> None:
    law = bs.load_law("saturating")
    sizes = np.geomspace(1e6, 1e12, 61)
    loss = law.evaluate(SATURATING, params=sizes, tokens=1e11, unique_tokens=1e8)
    assert 0 < int(loss.argmin()) < 60


def test_a_score_gets_worse_before_it_gets_better() -> None:
    law = bs.load_law("u_shaped")
    theta = {"C": 0.5, "M": 0.7, "E": 0.1, "X_1": 1e19, "X_2": 1e23, "a_1": 1.0, "a_2": 1.2}
    loss = law.evaluate(theta, flops=[1e10, 1e21, 1e23, 1e30])
    np.testing.assert_allclose(loss, [0.5, 0.7, 0.4, 0.1], rtol=0.02)
    assert law.quantity("turn", theta) == pytest.approx(1e23)


def test_losses_on_several_targets_are_those_of_each_added_up() -> None:
    one, several = bs.load_law("mixture"), bs.load_law("mixture_targets")
    theta = {
        **{"c_web": 2.5, "k_web": 1.0, "t_web_web": -1.0, "t_web_code": 0.2},
        **{"c_code": 1.0, "k_code": 0.8, "t_code_web": 0.1, "t_code_code": -2.0},
        **{"c_books": 2.7, "k_books": 0.6, "t_books_web": 0.5, "t_books_code": 0.9},
    }
    shares = {"web": 0.5, "code": 0.3}
    web, code, both = several.evaluate(theta, **shares, on_web=[1, 0, 3], on_code=[0, 1, 1], on_books=0.0)
    alone = {"c": 2.5, "k": 1.0, "t_web": -1.0, "t_code": 0.2}
    assert web == pytest.approx(float(one.evaluate(alone, **shares)))
    assert both == pytest.approx(0.75 * web + 0.25 * code)
    with pytest.raises(bs.errors.LawError, match=r"two or more different column names.* got 'web'"):
        bs.load_law("mixture_targets:domains=web")
