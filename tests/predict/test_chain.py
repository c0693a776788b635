"""From compute to loss to the score of a benchmark: forecasts, odds, budgets, and where the spread comes from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from tests.support import design, fit_exact, refusal

TRUTH = {"E": 1.7, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28, "sigma": 0.004}
LINKS = {"easy": {"eps": 0.8, "k": 2.0, "gamma": 0.7}, "hard": {"eps": 0.75, "k": 1.2, "gamma": 0.65}}
NORMAL, COUNTED = bs.Noise("normal"), bs.Noise("normal", scale="known")
BIG = {"params": 7e9, "tokens": 1.4e11}
QUESTIONS = 800


def true_score(task: str, **inputs: float) -> float:
    """Return the score of a task at the true loss of a run."""
    loss = float(bs.load_law("chinchilla").evaluate({k: v for k, v in TRUTH.items() if k != "sigma"}, **inputs)[()])
    one = LINKS[task]
    return 1 - (one["eps"] - one["k"] * float(np.exp(-one["gamma"] * loss)))


def tables(seed: int = 0, n: int = 30) -> tuple[bs.Runs, pd.DataFrame]:
    """Return runs, and the scores of the same models on two tasks."""
    runs = bs.simulate("chinchilla", design(n, seed), TRUTH, noise=NORMAL, seed=seed)
    rng, parts = np.random.default_rng([seed, 9]), []
    for task, one in LINKS.items():
        score = 1 - (one["eps"] - one["k"] * np.exp(-one["gamma"] * runs.loss))
        parts.append(runs.table.assign(task=task, score=rng.binomial(QUESTIONS, score) / QUESTIONS))
    return runs, pd.concat(parts, ignore_index=True)


def chained(seed: int = 0) -> bs.Chain:
    runs, scores = tables(seed)
    loss = fit_exact("chinchilla", runs, noise=NORMAL, sampler="laplace")
    links = {
        task: fit_exact("downstream", bs.score_runs(rows, questions=QUESTIONS), noise=COUNTED, sampler="laplace")
        for task, rows in scores.groupby("task")
    }
    return bs.chain(loss, links, questions=QUESTIONS, chance={"easy": 0.2, "hard": 0.25}, unconverged=True)


@pytest.fixture(scope="module")
def two() -> bs.Chain:
    return chained()


def test_scores_of_a_planned_run(two: bs.Chain) -> None:
    ahead = two.forecast(**BIG)
    assert ahead.tasks == ("easy", "hard") and ahead.expected.shape == (4000, 1, 2)
    for task in LINKS:
        low, high = ahead.interval(0.99, task, "expected")[0]
        assert low < true_score(task, **BIG) < high
    low, high = ahead.interval(0.9, "easy")[0]
    inner = ahead.interval(0.9, "easy", "expected")[0]
    assert low < inner[0] and inner[1] < high, "questions add to the spread"
    frame = ahead.to_frame(target=0.4)
    assert list(frame["task"]) == ["easy", "hard", "mean"]
    np.testing.assert_allclose(ahead.draws(), ahead.measured.mean(axis=2))
    assert np.all(ahead.probability_above(0.0) == 1) and np.all(ahead.probability_above(1.0) == 0)


def test_the_spread_is_split_into_loss_link_and_questions(two: bs.Chain) -> None:
    parts = two.forecast(**BIG).uncertainty()
    np.testing.assert_allclose((parts[["loss", "link", "questions"]] ** 2).sum(axis=1), parts["total"] ** 2)
    np.testing.assert_allclose(parts.filter(like="share").sum(axis=1), 1.0)
    drawn = two.forecast(**BIG).draws().std(axis=0)
    np.testing.assert_allclose(parts["total"], drawn, rtol=0.1)
    exact = bs.chain(two.loss, dict(two.links)).forecast(**BIG).uncertainty()
    assert (exact["questions"] == 0).all() and (exact["total"] < parts["total"]).all()


def test_budget_of_a_score_agrees_with_the_forecast(two: bs.Chain) -> None:
    flops = 6 * BIG["params"] * BIG["tokens"]
    score = float(two.forecast(**BIG).median("easy", "expected")[0])
    needed = two.required(score, task="easy", tokens_per_param=20.0)
    low, high = needed.interval(0.99)
    assert low < flops < high and needed.reachable == 1 and needed.of == "flops"
    assert two.required(0.3).quantile(0.5) < needed.quantile(0.5)
    sigmoid = bs.load_law("downstream", link="sigmoid")
    link = fit_exact(sigmoid, bs.score_runs(tables()[1].query("task == 'easy'")), noise=NORMAL, sampler="laplace")
    level = bs.chain(two.loss, link, unconverged=True)
    above = float(np.quantile(level.ceiling(), 0.9))
    share = level.required(above).reachable
    assert share < 0.3, "where the link levels off below the score, no budget reaches it"
    assert level.required(above).quantile(0.9) == np.inf


def test_guessing_is_the_least_score(two: bs.Chain) -> None:
    small = bs.chain(two.loss, dict(two.links), chance=0.6).forecast(**BIG)
    assert small.expected.min() >= 0.6 - 1e-12


def test_directly_from_compute_stands_beside(two: bs.Chain) -> None:
    _, scores = tables()
    easy = scores.query("task == 'easy'")
    error = bs.score_runs(easy.drop(columns="loss_se", errors="ignore"), questions=QUESTIONS)
    direct = fit_exact("chinchilla", error, noise=NORMAL, sampler="laplace")
    both = bs.chain(two.loss, two.links["easy"], direct=direct, unconverged=True).forecast(**BIG)
    assert {"direct", "direct_low", "direct_high"} <= set(both.to_frame())
    assert abs(both.median(of="direct")[0] - both.median()[0]) < 0.1
    guessed = bs.chain(two.loss, two.links["easy"], direct=direct, chance=0.6, unconverged=True).forecast(**BIG)
    assert guessed.draws(of="direct").min() >= 0.6 - 1e-12
    with pytest.raises(bs.errors.ForecastError, match="there is no direct forecast"):
        two.forecast(**BIG).draws(of="direct")


def of_both(names: dict[str, str] | None = None) -> bs.Runs:
    """Return the errors of both tasks as one table, some tasks under other names."""
    scores = tables()[1].replace({"task": names or {}})
    return bs.score_runs(scores.assign(run=[f"r{i}" for i in range(len(scores))]), questions=QUESTIONS)


@pytest.fixture(scope="module")
def pooled_direct() -> bs.Fit:
    """The error of both tasks against compute."""
    return fit_exact("chinchilla", of_both(), noise=NORMAL, sampler="laplace", pooling={"E": bs.separate("task")})


def test_a_direct_fit_goes_by_the_names_of_tasks(two: bs.Chain, pooled_direct: bs.Fit) -> None:
    links = {name: two.links[name] for name in ("hard", "easy")}
    turned, straight = (
        bs.chain(two.loss, some, direct=pooled_direct, unconverged=True).forecast(**BIG) for some in (links, two.links)
    )
    for task in LINKS:
        assert turned.median(task, "direct") == pytest.approx(straight.median(task, "direct"))
    assert straight.median("easy", "direct") != pytest.approx(straight.median("hard", "direct"))


def test_a_direct_fit_of_other_tasks_is_refused(two: bs.Chain, pooled_direct: bs.Fit) -> None:
    others, pooling = of_both({"hard": "third"}), {"gamma": bs.separate("task")}
    pooled = fit_exact("downstream", others, noise=COUNTED, sampler="laplace", pooling=pooling)
    for links in (pooled, {"easy": two.links["easy"]}, {**two.links, "third": two.links["hard"]}):
        with pytest.raises(
            bs.errors.ForecastError, match="direct has the tasks easy, hard, expected those of score_fit: easy"
        ):
            bs.chain(two.loss, links, direct=pooled_direct, unconverged=True)


@pytest.mark.slow
def test_chained_scores_hold_the_truth() -> None:
    """90 % intervals of the expected score hold about 90 % of the truth."""
    hits = []
    for seed in range(12):
        ahead = chained(seed).forecast(**BIG)
        for task in LINKS:
            low, high = ahead.interval(0.9, task, "expected")[0]
            hits.append(low <= true_score(task, **BIG) <= high)
    assert 0.75 <= np.mean(hits) <= 1.0


def test_what_makes_no_sense_is_refused(two: bs.Chain) -> None:
    _, scores = tables()
    assert "divide percentages by 100" in refusal(lambda: bs.score_runs(scores.assign(score=scores["score"] * 100)))
    assert "row 1, column score: 1.5" in refusal(lambda: bs.score_runs(scores.assign(score=1.5).head(3)))
    assert "an error of 0 has no logarithm" in refusal(lambda: bs.score_runs(scores.assign(score=1.0)))
    assert "no column 'accuracy'" in refusal(lambda: bs.score_runs(scores, score="accuracy"))
    assert "number of questions" in refusal(lambda: bs.score_runs(scores, questions=0))
    assert "row 1, column loss: -1" in refusal(lambda: bs.score_runs(scores.assign(loss=-1.0)))
    assert "row 1, column loss: nan" in refusal(lambda: bs.score_runs(scores.assign(loss=np.nan)))
    assert "row 1, column loss: 'low'" in refusal(lambda: bs.score_runs(scores.assign(loss="low")))
    alike = bs.score_runs(scores[scores["task"] == "easy"].drop(columns="task").assign(loss=2.5), questions=QUESTIONS)
    link = fit_exact("downstream", alike, noise=COUNTED, sampler="laplace")
    with pytest.raises(bs.errors.ForecastError, match="a link needs models of different losses"):
        bs.chain(two.loss, link, unconverged=True)
    with pytest.raises(
        bs.errors.ForecastError, match="the score is 45, expected a fraction .* divide a percentage by 100"
    ):
        two.required(45)
    with pytest.raises(bs.errors.ForecastError, match="reads params, tokens; a link reads source_loss alone"):
        bs.chain(two.loss, two.loss)
    with pytest.raises(bs.errors.ForecastError, match="questions is for easy; expected one for each task: easy, hard"):
        bs.chain(two.loss, dict(two.links), questions={"easy": 10})
    with pytest.raises(bs.errors.ForecastError, match=r"score is 0.2, which guessing reaches \(chance 0.225\)"):
        two.required(0.2)
    with pytest.raises(bs.errors.ForecastError, match="no task 'third'"):
        two.required(0.5, task="third")
    with pytest.raises(bs.errors.ForecastError, match="chance of easy is 1.5, expected a fraction below 1"):
        bs.chain(two.loss, dict(two.links), chance=1.5)


def test_pass_at_k() -> None:
    assert bs.pass_at_k(10, [5], 1) == pytest.approx(0.5)
    assert bs.pass_at_k([4, 4], [0, 1], 2) == pytest.approx((0 + 0.5) / 2)
    assert bs.pass_at_k(5, [5, 4], 3) == 1.0
    with pytest.raises(bs.errors.DataError, match="pass@8 needs at least 8 samples of each problem; the fewest are 5"):
        bs.pass_at_k(5, [1], 8)
    with pytest.raises(bs.errors.DataError, match="problem 2 has 7 right of 5 samples; expected 0 to 5"):
        bs.pass_at_k(5, [1, 7], 1)


def test_more_samples_than_anyone_draws_are_refused() -> None:
    with pytest.raises(bs.errors.DataError, match="a problem has 2.556e[+]305 samples; expected 1e[+]09 at most"):
        bs.pass_at_k(2.5563480000000002e305, 3, 1)
