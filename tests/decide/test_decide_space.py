"""What may be chosen: batches, steps, epochs, shapes and fixed inputs against closed forms; surfaces; the optimiser."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.data.columns import Points
from bayes_scaling.decide import budgets
from bayes_scaling.decide.constraints import Constraints
from bayes_scaling.decide.costs import gpu_hours, money
from bayes_scaling.decide.decision import DecisionProblem, allocate
from bayes_scaling.decide.objectives import expected_loss
from bayes_scaling.decide.optima import optima_of
from bayes_scaling.decide.problem import predictives
from bayes_scaling.decide.search import optimise
from bayes_scaling.decide.space import Space, run_columns
from bayes_scaling.errors import BayesScalingError, PlanError
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.members import POINTS_AT_ONCE
from tests.support import THREE, believed, off_by, public_table

PEAK = 989e12
KAPLAN = {"N_c": 6.5e13, "alpha_N": 0.077, "S_c": 2.1e3, "alpha_S": 0.76, "B_star": 2.1e8, "alpha_B": 0.21}


# --- batch and steps ---


@pytest.fixture(scope="module")
def three() -> Ensemble:
    return believed("three_term", THREE)


@pytest.fixture(scope="module")
def kaplan() -> Ensemble:
    return believed("kaplan_trajectory", KAPLAN)


def best_of_three(c: Mapping[str, float], budget: float) -> tuple[float, float]:
    """At the optimum all terms times their exponents are equal, N S B = C / 6."""
    terms = [(c["alpha"] * c["A"], c["alpha"]), (c["beta"] * c["K"], c["beta"]), (c["gamma"] * c["J"], c["gamma"])]
    whole = sum(1 / power for _, power in terms)
    log_height = (sum(math.log(a) / power for a, power in terms) - math.log(budget / 6)) / whole
    N, _, B = (math.exp((math.log(a) - log_height) / power) for a, power in terms)
    return N, B


@pytest.mark.parametrize("budget", [1e20, 1e24])
def test_three_terms_have_a_best_batch(three: Ensemble, budget: float) -> None:
    N, B = best_of_three(THREE, budget)
    one = allocate(three.take([0]), budget, objective=expected_loss())
    assert one.params == pytest.approx(N, rel=1e-6) and one.batch_tokens == pytest.approx(B, rel=1e-6)
    assert one.steps is not None and 6 * one.params * one.steps * B == pytest.approx(budget, rel=1e-6)
    assert one.cost == pytest.approx(budget, rel=1e-9) and one.regret.max() < 1e-8
    found = allocate(three, budget)
    draws = next(iter(three.members.values())).theta
    exact = np.array([best_of_three({k: float(v[i]) for k, v in draws.items()}, budget) for i in range(len(three))])
    np.testing.assert_allclose(found.optimum_params, exact[:, 0], rtol=1e-5)
    assert found.optimum_batch is not None
    np.testing.assert_allclose(found.optimum_batch, exact[:, 1], rtol=1e-5)
    low, high = found.interval(0.9, "optimum_batch_tokens")
    assert low < B < high and (found.regret >= 0).all() and (found.regret > 0).any()
    assert found.to_dict()["plan"]["batch_tokens"] == found.batch_tokens
    assert "in batches of" in repr(found)
    with pytest.raises(PlanError, match="optimum_params, optimum_tokens, optimum_batch_tokens, optimum_steps"):
        found.interval(0.9, "optimal_loss")


@pytest.fixture(scope="module")
def with_one_that_reads_no_batch(three: Ensemble) -> Ensemble:
    """Three terms, and a law of the same weight that is off by little and would train a larger model."""
    other = believed("chinchilla", {"E": 1.72, "A": 500.0, "B": 25.0, "alpha": 0.32, "beta": 0.4})
    members = {**three.members, **other.members}
    return dataclasses.replace(three, members={k: dataclasses.replace(m, weight=0.5) for k, m in members.items()})


def test_the_best_batch_is_that_of_the_laws_that_read_it(
    three: Ensemble, with_one_that_reads_no_batch: Ensemble
) -> None:
    alone, both = (allocate(some, 1e22) for some in (three, with_one_that_reads_no_batch))
    for of in ("optimum_batch_tokens", "optimum_steps"):
        assert both.interval(0.9, of) == alone.interval(0.9, of)
    assert both.optimum_batch is not None and np.isnan(both.optimum_batch[len(three) :]).all()
    assert both.interval(0.9, "optimum_params")[1] > alone.interval(0.9, "optimum_params")[1]


def test_the_smallest_budget_tries_batches_of_the_laws_that_read_them(
    three: Ensemble, with_one_that_reads_no_batch: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[np.ndarray] = []

    def seen(params: Any, tokens: Any, batch: Any, given: Mapping[str, Any]) -> dict[str, Any]:
        tried.append(batch)
        return run_columns(params, tokens, batch, given)

    monkeypatch.setattr(budgets, "run_columns", seen)
    with pytest.warns(
        bs.errors.BayesScalingWarning, match="0.000589 tokens per parameter, where fitted runs have 0.0589"
    ):
        DecisionProblem(with_one_that_reads_no_batch, target=2.0).smallest_budget([0.5])
    largest = tried[budgets.BUDGETS - 1]
    least = float(next(iter(three.members.values())).fit.runs.column("batch_tokens").min())
    assert largest.min() > 10 * least


def test_a_fixed_batch_gives_kaplans_split() -> None:
    """With S = C / (6 N B) the two terms times their exponents are equal (Kaplan et al. 2020, appendix B)."""
    steps = {name: KAPLAN[name] for name in ("N_c", "alpha_N", "S_c", "alpha_S")}
    a, s, B, budget = KAPLAN["alpha_N"], KAPLAN["alpha_S"], 2e6, 1e23
    log_N = math.log(a * KAPLAN["N_c"] ** a / s) - s * math.log(6 * B * KAPLAN["S_c"] / budget)
    believed_steps = believed("kaplan_steps", steps)
    found = allocate(believed_steps.take([0]), budget, given={"batch_tokens": B})
    assert found.params == pytest.approx(math.exp(log_N / (a + s)), rel=1e-6)
    assert found.batch_tokens == pytest.approx(B) and found.regret.max() < 1e-8
    with pytest.raises(PlanError, match="so any batch is as good as another: fix it"):
        allocate(believed_steps, budget)


def test_a_fixed_batch_outside_the_constraints_is_refused(three: Ensemble) -> None:
    within = Constraints(batch_tokens=(1e5, 1e6))
    assert allocate(
        three.take([0]), 1e21, given={"batch_tokens": 1e6}, constraints=within
    ).batch_tokens == pytest.approx(1e6)
    for batch in (4096.0, 2e6):
        with pytest.raises(PlanError, match=r"given fixes batch_tokens at .*, but constraints leave 100000 to 1e\+06"):
            allocate(three, 1e21, given={"batch_tokens": batch}, constraints=within)


def test_time_is_what_asks_for_a_larger_batch(kaplan: Ensemble) -> None:
    least = float(next(iter(kaplan.members.values())).fit.runs.column("batch_tokens").min())
    free = allocate(kaplan, 1e21)
    assert free.batch_tokens == pytest.approx(least) and free.steps is not None
    hours = free.steps * 2.0 / 3600 / 5
    rushed = allocate(kaplan, 1e21, constraints=Constraints(deadline_hours=hours, step_seconds=2.0))
    assert rushed.steps == pytest.approx(free.steps / 5, rel=1e-6)
    assert rushed.batch_tokens is not None and rushed.batch_tokens > 4 * least
    assert rushed.value < free.value and rushed.cost == pytest.approx(1e21)
    more = allocate(kaplan, 1e21, constraints=Constraints(batch_tokens=(1e5, 1e6)))
    assert more.batch_tokens == pytest.approx(1e5)
    with pytest.raises(PlanError, match=r"a deadline of .* hours at 2 s a step with batch_tokens at most 1e\+06"):
        allocate(
            kaplan,
            1e21,
            constraints=Constraints(batch_tokens=(1e5, 1e6), deadline_hours=1e-3, step_seconds=2.0, params=(1e6, 1e9)),
        )


def test_a_run_that_misses_the_deadline_is_judged_but_not_allowed(kaplan: Ensemble) -> None:
    held = Constraints(batch_tokens=(3e4, 1e6), deadline_hours=48.0, step_seconds=2.0)
    others = {"endless": (1e9, 1e12), "quick": (5e8, 8e9)}
    found = allocate(kaplan, 1e20, constraints=held, compare_with=others)
    endless, quick = found.alternatives["endless"], found.alternatives["quick"]
    assert not endless.allowed and (endless.regret >= 0).all() and endless.steps == pytest.approx(86400)
    assert quick.allowed and quick.batch_tokens is not None and quick.batch_tokens <= 1e6 * (1 + 1e-9)


def test_batches_are_in_curves_and_smallest_budgets(three: Ensemble) -> None:
    curve = DecisionProblem(three, objective=expected_loss()).curve([1e20, 1e21])
    assert curve["batch_tokens"].is_monotonic_increasing and (curve["value_per_unit"] < 0).all()
    assert curve["params"][1] == pytest.approx(allocate(three, 1e21, objective=expected_loss()).params, rel=1e-5)
    table = DecisionProblem(three, target=2.4).smallest_budget([0.5])
    plan = allocate(three, float(table["budget"][0]), target=2.4, objective=bs.objectives.probability_of_target())
    assert plan.value == pytest.approx(0.5, abs=2e-3)


def test_a_law_without_batch_has_a_deadline_by_its_largest_batch() -> None:
    some = believed("chinchilla", dict(bs.load_law("chinchilla").at("besiroglu2024").constants.values))
    held = allocate(
        some, 1e23, constraints=Constraints(deadline_hours=100.0, step_seconds=3.6, batch_tokens=(1.0, 1e6))
    )
    assert held.tokens == pytest.approx(1e11) and held.batch_tokens is None
    small = allocate(some, 1e23, constraints=Constraints(memory_bytes=1.6e11, bytes_per_param=16.0))
    assert small.params == pytest.approx(1e10)
    fixed = allocate(some, 1e23, constraints=Constraints(params=(7e9, 7e9)))
    assert fixed.params == pytest.approx(7e9) and fixed.tokens == pytest.approx(1e23 / 42e9)
    assert fixed.flat == (pytest.approx(7e9), pytest.approx(7e9))
    even = allocate(some, 1e23, constraints=Constraints(tokens=(1e12, 1e12)))
    assert even.tokens == pytest.approx(1e12) and even.cost == pytest.approx(1e23)
    with pytest.raises(PlanError, match="does not read the batch"):
        allocate(some, 1e23, constraints=Constraints(deadline_hours=100.0, step_seconds=3.6))


def test_a_model_that_does_not_fit_into_memory_is_not_allowed() -> None:
    held = Constraints(memory_bytes=1.6e11, bytes_per_param=16.0)
    assert held.allows(1e10, 1e12)
    assert not held.allows(1.01e10, 1e12)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: Constraints(deadline_hours=5.0), "step_seconds=..."),
        (lambda: Constraints(memory_bytes=1e9), "bytes_per_param=..."),
        (lambda: Constraints(deadline_hours=-1.0, step_seconds=1.0), "deadline_hours is -1"),
        (lambda: Constraints(memory_bytes=1e9, bytes_per_param=0.0), "bytes_per_param is 0"),
        (lambda: Constraints(batch_tokens=(2.0, 1.0)), "batch_tokens is"),
    ],
)
def test_bad_limits_are_explained(ask: Any, says: str) -> None:
    with pytest.raises(PlanError, match=says):
        ask()


decades = st.floats(0.0, 12.0)


@settings(max_examples=200, deadline=None)
@given(
    st.floats(15.0, 26.0),
    st.tuples(decades, decades),
    st.tuples(st.floats(6.0, 13.0), st.floats(6.0, 13.0)),
    st.tuples(st.floats(3.0, 8.0), st.floats(3.0, 8.0)),
    st.floats(0.0, 9.0),
    st.floats(0.0, 12.0),
    st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)), min_size=1, max_size=5),
)
def test_every_place_of_a_space_keeps_to_its_constraints(
    log_budget: float,
    params: tuple[float, float],
    tokens: tuple[float, float],
    batch: tuple[float, float],
    hours: float,
    serving: float,
    where: list[tuple[float, float]],
) -> None:
    def ends(pair: tuple[float, float]) -> tuple[float, float]:
        low, high = sorted(10.0**x for x in pair)
        return low, high

    constraints = Constraints(
        params=ends(params),
        tokens=ends(tokens),
        batch_tokens=ends(batch),
        deadline_hours=10.0 ** (hours - 3),
        step_seconds=0.5,
        memory_bytes=1e14,
        bytes_per_param=2.0,
    )
    spending = bs.costs.lifetime(10.0**serving - 1).spending()
    space = Space(spending.surface(10.0**log_budget), constraints, {}, True)
    try:
        low, high = space.box
    except PlanError as error:
        assert "constraints leave no plan that spends" in str(error)
        return
    event("something is left")
    runs = space.runs(low + (high - low) * np.array(where))
    for i, (N, D) in enumerate(zip(runs["params"], runs["tokens"], strict=True)):
        assert constraints.allows(float(N), float(D))
        assert spending.cost(float(N), float(D)) == pytest.approx(10.0**log_budget, rel=1e-9)
        B, S = float(runs["batch_tokens"][i]), float(runs["steps"][i])
        assert constraints.batch_tokens[0] * (1 - 1e-6) <= B <= constraints.batch_tokens[1] * (1 + 1e-6)
        assert constraints.deadline_hours * 3600 * (1 + 1e-6) >= S * 0.5 and S >= 1 - 1e-6
        assert pytest.approx(D) == B * S


# --- fixed inputs, repeated data ---


def test_scarce_tokens_are_repeated() -> None:
    constants = dict(bs.load_law("repeated_data").at("muennighoff2023").constants.values)
    some = believed("repeated_data", constants)
    plenty = allocate(some.take([0]), 1e22, given={"unique_tokens": 1e15})
    a, A, B = constants["alpha"], constants["A"], constants["B"]
    assert plenty.params == pytest.approx((A / B) ** (1 / (2 * a)) * (1e22 / 6) ** 0.5, rel=1e-6)
    assert plenty.epochs == 1.0
    scarce = allocate(some, 1e22, given={"unique_tokens": 1e10}, objective=expected_loss())
    assert scarce.epochs == pytest.approx(scarce.tokens / 1e10) and scarce.epochs > 2
    few = allocate(some, 1e22, given={"unique_tokens": 1e8}, objective=expected_loss())
    assert any(said.startswith(f"{few.epochs:.3g} epochs, where fitted runs have 1") for said in few.cautions)
    assert scarce.given == {"unique_tokens": 1e10} == scarce.to_dict()["given"]
    assert scarce.params < plenty.params and scarce.cost == pytest.approx(1e22)
    sizes = np.geomspace(scarce.params / 1.5, scarce.params * 1.5, 31)
    runs = some.points(params=sizes, tokens=1e22 / (6 * sizes), unique_tokens=1e10)
    lowest = float(np.exp(some.new_run(runs).location).mean(axis=0).min())
    assert np.exp(scarce.predictive.location).mean() <= lowest * (1 + 1e-9)
    with pytest.raises(PlanError, match="say what to plan with that are available, given="):
        allocate(some, 1e22)


def test_other_inputs_are_fixed() -> None:
    law = bs.load_law("precision")
    constants = dict(law.at("kumar2024").constants.values)
    some = believed("precision", constants, draws=1)
    bits = {"weight_bits": 6.0, "activation_bits": 8.0, "kv_bits": 8.0}
    found = allocate(some, 1e21, given=bits, objective=expected_loss())
    scales = [(6.0, "gamma_w"), (8.0, "gamma_a"), (8.0, "gamma_kv")]
    share = math.prod(1 - math.exp(-b / constants[g]) for b, g in scales)
    a, b = constants["alpha"], constants["beta"]
    A = constants["A"] * share**-a
    assert found.params == pytest.approx(
        (a * A / (b * constants["B"])) ** (1 / (a + b)) * (1e21 / 6) ** (b / (a + b)), rel=1e-6
    )
    for fixed, says in (
        ({"weight_bits": 6.0}, "reads activation_bits, kv_bits: say what to plan with"),
        ({**bits, "params": 1e9}, r"Constraints\(params="),
        ({**bits, "dropout": 0.1}, "dropout, which no law reads: [^,]*$"),
        ({**bits, "kv_bits": "many"}, r"given\['kv_bits'\] is 'many' \(str\); expected a number"),
        ({**bits, "kv_bits": -1.0}, "expected a positive number"),
    ):
        with pytest.raises(BayesScalingError, match=says):
            allocate(some, 1e21, given=fixed)


# --- shapes, others' runs ---


@pytest.fixture(scope="module")
def chinchilla() -> Ensemble:
    return believed("chinchilla", dict(bs.load_law("chinchilla").at("besiroglu2024").constants.values))


def test_a_plan_among_shapes(chinchilla: Ensemble) -> None:
    shapes = [bs.units.Shape(n, 128 * n, vocabulary=32_000, context=2048) for n in (16, 24, 32, 40, 48)]
    found = allocate(chinchilla, 1e22, candidates=shapes)
    assert found.shape is not None and found.shape.layers in (16, 24, 32, 40, 48)
    assert found.params == found.shape.params
    forward = float(found.shape.flops_with_attention_and_head)
    assert found.tokens == pytest.approx(1e22 / (3 * forward)) and found.cost == pytest.approx(1e22, rel=1e-9)
    assert found.tokens < 1e22 / (6 * found.params)  # attention and head are paid for
    assert found.snapping_regret > 0 and found.choice.note.startswith("recommended: ")
    assert found.to_dict()["plan"]["shape"] == f"{found.shape.layers:g} layers, width {found.shape.width:g}"
    values = [allocate(chinchilla, 1e22, candidates=[shape]).value for shape in shapes]
    assert found.value == pytest.approx(max(values))
    family = bs.units.Shape([16, 24], [2048, 3072])
    plain = allocate(chinchilla, 1e22, candidates=family)
    assert plain.tokens == pytest.approx(1e22 / (6 * plain.params))
    with pytest.raises(PlanError, match="mix shapes and parameter counts"):
        allocate(chinchilla, 1e22, candidates=[*shapes, 7e9])  # type: ignore[list-item]
    with pytest.raises(PlanError, match="no candidate from"):
        allocate(chinchilla, 1e22, candidates=shapes, constraints=Constraints(params=(1e11, 1e12)))


def test_runs_of_thousands_of_candidates_are_held_a_block_at_a_time(chinchilla: Ensemble) -> None:
    asked: list[int] = []

    def runs(places: np.ndarray) -> Points:
        asked.append(len(places))
        return {"params": places[:, 0], "tokens": 20 * places[:, 0]}

    found = predictives(chinchilla, runs, np.geomspace(1e9, 1e10, 3 * POINTS_AT_ONCE)[:, None])
    assert not asked
    assert next(found).location.shape[1] == POINTS_AT_ONCE and asked == [POINTS_AT_ONCE]


def test_sizes_that_exist_get_their_best_batch(three: Ensemble) -> None:
    found = allocate(three, 1e22, candidates=[1e10, 5e10], objective=expected_loss())
    free = allocate(three, 1e22, constraints=Constraints(params=(found.params,) * 2), objective=expected_loss())
    assert found.value == pytest.approx(free.value, rel=1e-4)


def test_runs_of_others_are_judged_at_their_own_cost(chinchilla: Ensemble) -> None:
    found = allocate(chinchilla, 5.76e23, compare_with={"Gopher": (280e9, 300e9), "best": (7.2e10, 1.34e12)})
    gopher, best = found.alternatives["Gopher"], found.alternatives["best"]
    assert gopher.cost == pytest.approx(6 * 280e9 * 300e9) and "0.875 times the budget" in gopher.note
    assert gopher.tokens == 300e9
    own = allocate(chinchilla, gopher.cost)
    np.testing.assert_allclose(
        gopher.regret, np.exp(chinchilla.log_law(chinchilla.points(params=280e9, tokens=300e9))[:, 0])
        - np.exp(optima_of(chinchilla, _space(gopher.cost)).log_loss), rtol=1e-6,
    )  # fmt: skip
    assert gopher.expected_regret > own.choice.expected_regret
    low, high = gopher.interval(0.9)
    assert 0 < low < gopher.expected_regret < high < 0.2
    assert gopher.interval(0.5, "wasted")[0] > 0.3 > 0.1 > best.interval(0.5, "wasted")[1]
    assert found.to_frame()["choice"].tolist()[-2:] == ["Gopher", "best"]
    for runs, says in (
        ({"X": (1e9,)}, r"compare_with\['X'\] is \(1000000000.0,\); expected 2 values"),
        ({"X": (0.0, 1e9)}, r"expected \(params, tokens\)"),
        ({"twenty_tokens": (1e9, 1e9)}, "name of a published rule"),
    ):
        with pytest.raises(BayesScalingError, match=says):
            allocate(chinchilla, 1e22, compare_with=runs)  # type: ignore[arg-type]


def test_regret_counts_how_far_the_truth_is_off_the_law(chinchilla: Ensemble) -> None:
    regret, off = (
        allocate(some, 5.76e23, compare_with={"Gopher": (280e9, 300e9)}).alternatives["Gopher"].regret
        for some in (chinchilla, off_by(chinchilla, 0.1))
    )
    np.testing.assert_allclose(off, regret * math.exp(0.1))


def _space(budget: float) -> Space:
    return Space(bs.costs.flops().spending().surface(budget))


@pytest.mark.slow
def test_chinchillas_own_choice_on_its_own_runs() -> None:
    runs = bs.Runs.from_csv(public_table("chinchilla_svg.csv"))
    found = allocate(
        bs.fit("chinchilla", runs, seed=0),
        5.76e23,
        compare_with={"Chinchilla": (70e9, 1.4e12), "Gopher": (280e9, 300e9)},
    )
    low, high = found.interval(0.9, "optimum_params")
    assert low < 70e9 < high and low < found.params < high
    chinchilla, gopher = found.alternatives["Chinchilla"], found.alternatives["Gopher"]
    assert "1.02 times the budget" in chinchilla.note
    assert chinchilla.interval(0.9)[1] < gopher.interval(0.9)[0]
    assert chinchilla.interval(0.9, "wasted")[1] < 0.15 and gopher.interval(0.9, "wasted")[0] > 0.3


def test_a_plan_says_where_no_run_has_been(chinchilla: Ensemble, kaplan: Ensemble) -> None:
    assert allocate(chinchilla, 1e23).cautions == ()
    held = allocate(chinchilla, 1e23, constraints=Constraints(tokens_per_param=(2e3, 3e3)))
    (said,) = held.cautions
    assert "2e+03 tokens per parameter, where fitted runs have 3" in said and held.to_dict()["cautions"] == [said]
    assert any("times the compute of the largest fitted run" in line for line in allocate(chinchilla, 1e27).cautions)
    large = allocate(kaplan, 1e22, constraints=Constraints(batch_tokens=(1e9, 1e10)))
    assert any("1e+09 tokens in a batch" in line for line in large.cautions)
    farseer = dict(bs.load_law("farseer").published[0].values)
    assert (
        allocate(believed("farseer", farseer, draws=1), 1e22)
        .cautions[0]
        .startswith("0.0321 tokens per parameter is as")
    )


def test_a_law_that_would_train_ever_smaller_models_longer_is_said() -> None:
    """Where size hardly matters, a plan has as many tokens per parameter as plans go to."""
    small = believed("chinchilla", {"E": 1.7, "A": 1e-6, "B": 1e3, "alpha": 0.3, "beta": 0.3}, draws=1)
    assert "tokens per parameter is as many as plans go to" in allocate(small, 1e22).cautions[0]


def test_a_split_is_not_sought_in_corners_that_no_run_is_near() -> None:
    """The published constants of this law fall without end towards all parameters and one token."""
    law = believed("farseer", dict(bs.load_law("farseer").published[0].values), draws=1)
    (fitted,) = {member.fit.runs for member in law.members.values()}
    least = float((fitted.column("tokens") / fitted.column("params")).min())
    plan = allocate(law, 1e22)
    assert plan.tokens / plan.params == pytest.approx(least / 100)
    assert plan.optimum_tokens[0] / plan.optimum_params[0] >= least / 100
    asked = allocate(law, 1e22, constraints=Constraints(tokens_per_param=(least / 1e4, least)))
    assert asked.tokens / asked.params == pytest.approx(least / 1e4)
    assert not any("give constraints" in line for line in asked.cautions), "they were given"
    far = allocate(law, 1e22, constraints=Constraints(params=(1e13, 1e14)))  # where only such runs are allowed
    assert 1e13 <= far.params <= 1e14


# --- surfaces ---


def test_serving_has_a_price_of_its_own(chinchilla: Ensemble) -> None:
    plain = gpu_hours(PEAK, 0.4)
    served = gpu_hours(PEAK, 0.4, serving_tokens=1e12)
    same = gpu_hours(PEAK, 0.4, serving_tokens=1e12, serving_utilisation=0.4)
    slow = gpu_hours(PEAK, 0.4, serving_tokens=1e12, serving_utilisation=0.1)
    sizes = [allocate(chinchilla, 1e5, cost=cost).params for cost in (plain, served, same, slow)]
    assert sizes[1] == pytest.approx(sizes[2]) and sizes[0] > sizes[1] > sizes[3]
    run = allocate(chinchilla, 1e5, cost=slow)
    hour = PEAK * 3600
    paid = 6 * run.params * run.tokens / (0.4 * hour) + 2 * run.params * 1e12 / (0.1 * hour)
    assert paid == pytest.approx(1e5)
    rule = run.alternatives["twenty_tokens"]
    assert rule.tokens == pytest.approx(20 * rule.params), "of what serving leaves for training"
    dollars = money(PEAK, 0.4, 2.0, serving_tokens=1e12, serving_price=8.0)
    assert allocate(chinchilla, 2e5, cost=dollars).params == pytest.approx(sizes[3], rel=1e-6)
    assert "serving included" in slow.label and "serving" not in plain.label
    with pytest.raises(PlanError, match="write 0.1 for 10 percent"):
        gpu_hours(PEAK, 0.4, serving_tokens=1e12, serving_utilisation=10)


@pytest.mark.parametrize("quantile", [0.5, 0.9])
def test_two_uncertain_prices_still_add_up(chinchilla: Ensemble, quantile: float) -> None:
    cost = money(
        PEAK, dist.Beta(40.0, 60.0), dist.LogNormal(1.0, 0.2), serving_tokens=dist.LogNormal(27.0, 1.0),
        quantile=quantile,
    )  # fmt: skip
    found = allocate(chinchilla, 3e5, cost=cost, compare_with={"small": (1e9, 1e12)})
    assert found.cost == pytest.approx(3e5, rel=1e-9)
    assert np.mean(found.costs <= 3e5 * (1 + 1e-9)) == pytest.approx(quantile, abs=0.01)
    for rule in found.alternatives.values():
        assert (rule.regret >= 0).all()
        if rule.note.startswith("N "):
            assert rule.cost == pytest.approx(3e5, rel=1e-9)
    surface = cost.spending().surface(3e5)
    for tokens in (1e9, 1e12):
        params = surface.params_of_tokens(tokens)
        assert surface.tokens(params) == pytest.approx(tokens, rel=1e-9)
        assert surface.params_of_ratio(tokens / params) == pytest.approx(params, rel=1e-9)


def test_a_ratio_of_tokens_to_parameters_is_kept_where_models_are_served() -> None:
    surface = bs.costs.lifetime(1e12).spending().surface(1e23)
    params = surface.params_of_ratio(20.0)
    assert surface.tokens(params) == pytest.approx(20 * params)


def test_a_surface_that_hardly_bends_is_the_straight_one(chinchilla: Ensemble) -> None:
    rng = np.random.default_rng(0)
    nearly = gpu_hours(
        PEAK, 0.4 * np.exp(1e-7 * rng.standard_normal(64)), serving_tokens=1e12 * np.exp(1e-7 * rng.standard_normal(64))
    )
    straight = allocate(chinchilla, 1e5, cost=gpu_hours(PEAK, 0.4, serving_tokens=1e12))
    bent = allocate(chinchilla, 1e5, cost=nearly)
    assert bent.params == pytest.approx(straight.params, rel=1e-5)
    np.testing.assert_allclose(bent.optimum_params, straight.optimum_params, rtol=2e-3)
    np.testing.assert_allclose(bent.choice.wasted, straight.choice.wasted, atol=1e-4)


# --- the optimiser ---


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0.05, 0.95), min_size=2, max_size=2),
    st.floats(-0.9, 0.9),
    st.floats(0.1, 10.0),
    st.floats(0.0, 0.5),
)
def test_climb_finds_the_summit(summit: list[float], tilt: float, steep: float, skew: float) -> None:
    low, high = np.array([-3.0, 0.0]), np.array([40.0, 1.0])
    top = low + (high - low) * np.array(summit)

    def height(x: np.ndarray) -> np.ndarray:
        u = (x - top) / (high - low)
        square = u[:, 0] ** 2 + 2 * tilt * u[:, 0] * u[:, 1] + u[:, 1] ** 2
        return np.asarray(-steep * (square + skew * square**1.5))

    found = optimise(height, height, low, high)
    np.testing.assert_allclose(found, top, rtol=1e-5, atol=1e-5)
    line = optimise(lambda x: height(np.c_[x, np.full(len(x), top[1])]), lambda x: height(np.c_[x, np.full(len(x), top[1])]), low[:1], high[:1])  # fmt: skip  # noqa: E501
    np.testing.assert_allclose(line, top[:1], rtol=1e-5, atol=1e-5)


def test_climb_stops_at_edges_and_follows_a_rough_first_pass() -> None:
    low, high = np.array([0.0, 0.0]), np.array([10.0, 1.0])
    up = optimise(lambda x: x.sum(axis=1), lambda x: x.sum(axis=1), low, high)
    np.testing.assert_array_equal(up, high)
    edge = optimise(lambda x: -x[:, 1] - (x[:, 0] - 4) ** 2, lambda x: -x[:, 1] - (x[:, 0] - 4) ** 2, low, high)
    assert edge[1] == 0.0 and edge[0] == pytest.approx(4.0, abs=1e-7)
    # The first pass is off by ten of its own cells: the search walks there.
    off = optimise(lambda x: -((x[:, 0] - 4.0) ** 2), lambda x: -((x[:, 0] - 3.55) ** 2), low[:1], high[:1])
    assert off[0] == pytest.approx(3.55, abs=1e-7)
    flat = optimise(lambda x: np.zeros(len(x)), lambda x: np.zeros(len(x)), low[:1], low[:1])
    assert flat[0] == 0.0
