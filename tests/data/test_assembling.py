"""What trackers logged, put together as one table of runs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayes_scaling as bs
from bayes_scaling.data.importers.assembling import assemble
from bayes_scaling.data.importers.logged import LeftOut, Logged, Series
from tests.data.imported import rows, said
from tests.support import refusal


def logged(name: str = "a", status: str = "", config: dict[str, object] | None = None, **metrics: object) -> Logged:
    series = Series()
    for key, points in metrics.items():
        for step, value in points:  # type: ignore[attr-defined]
            series.add(key, step, value)
    once = {"config": {"n": 1e6} if config is None else config}
    return Logged(name, name, series.metrics, once, status, series.overwritten)


def assembled(*found: Logged | LeftOut, last: bool = False, groups: tuple[str, ...] = (), **columns: str) -> bs.Runs:
    mapping = {"params": "n", "tokens": "tokens", "loss": "loss"} | columns
    return assemble(found, mapping, "here", last=last, groups=groups)


def test_tokens_between_logged_steps_are_interpolated() -> None:
    run = logged(tokens=[(0, 0.0), (10, 1e6), (30, 3e6)], loss=[(0, 9.0), (5, 4.0), (10, 3.5), (20, 3.0), (31, 2.5)])
    runs = assembled(run)
    assert rows(runs) == [("a", 1e6, 0.5e6, 4.0), ("a", 1e6, 1e6, 3.5), ("a", 1e6, 2e6, 3.0), ("a", 1e6, 3e6, 2.5)]
    assert said(runs, "tokens interpolated", "3 rows") and said(runs, "training had not begun", "1 row")
    assert rows(assembled(run, last=True)) == [("a", 1e6, 3e6, 2.5)]


@given(
    st.dictionaries(st.integers(1, 200), st.floats(1.0, 9.0), min_size=1, max_size=20),
    st.sets(st.integers(1, 200), min_size=1, max_size=20),
)
def test_interpolation_is_exact_where_tokens_grow_evenly(losses: dict[int, float], steps: set[int]) -> None:
    run = logged(loss=list(losses.items()), tokens=[(step, 1e3 * step) for step in steps], rate=[(1, 2.0), (300, 3.0)])
    usable = {step: loss for step, loss in losses.items() if step >= min(steps)}
    if not usable:
        assert "logged no" in refusal(lambda: assembled(run))
        return
    runs = assembled(run, groups=("rate",))
    inside = {1e3 * step: loss for step, loss in usable.items() if step < max(steps)}
    after = [loss for step, loss in sorted(usable.items()) if step >= max(steps)]
    want = inside | ({1e3 * max(steps): after[-1]} if after else {})
    assert dict(zip(runs.column("tokens"), runs.loss, strict=True)) == pytest.approx(want)
    assert set(runs.table["rate"]) == {2.0}  # as last logged, not in between


def test_what_was_planned_is_not_taken_for_what_was_reached() -> None:
    plan = {"n": 1e6, "budget": 1e9}
    curve = [(1, 3.0), (2, 2.5)]
    run, stopped = (logged(name, status, plan, loss=curve) for name, status in (("a", "finished"), ("b", "killed")))
    message = refusal(lambda: assembled(run, tokens="budget"))
    assert "one number for a whole run (budget of config)" in message and "last=True" in message
    runs = assembled(run, stopped, tokens="budget", last=True)
    assert rows(runs) == [("a", 1e6, 1e9, 2.5)] and said(runs, "left out: run b", "status is killed")
    message = refusal(
        lambda: assemble([run], {"params": "n", "loss": "loss"}, "here", params_convention="total", loss_unit="nats")
    )
    assert "none of steps, tokens, flops is mapped" in message and "last=True" in message


def test_a_key_that_means_two_things_is_asked_about() -> None:
    run = logged(config={"n": 1e6, "loss": "cross_entropy"}, tokens=[(1, 1e6)], loss=[(1, 3.0)])
    assert "write metrics.loss or config.loss" in refusal(lambda: assembled(run))
    assert len(assembled(run, loss="metrics.loss")) == 1
    assert assembled(run, loss="metrics.loss", groups=("config.loss",)).table["config.loss"][0] == "cross_entropy"


def test_a_key_that_says_another_unit_is_a_warning() -> None:
    run = logged(tokens=[(1, 1e6), (2, 2e6)], val_bpc=[(1, 3.0), (2, 2.5)])
    assert any("'val_bpc'" in said and "bits per character" in said for said in assembled(run, loss="val_bpc").warnings)


def test_what_all_runs_lack_is_said_once_and_without_the_syntax_of_python() -> None:
    runs = [logged(name, config={"kind": "a"}, loss=[(1, 3.0)]) for name in "abc"]
    message = refusal(
        lambda: assemble(runs, {"loss": "loss"}, "here", last=True, groups=["kind"], params_convention="total")
    )
    assert message == (
        "no run of here can be used: it has none of params, tokens, flops, steps (it has run, loss, kind); "
        "map one with params=KEY"
    )
    curves = [logged(name, config={"n": 1e6}, loss=[(1, 3.0), (2, 2.5)]) for name in "abc"]
    mapping = {"params": "n", "loss": "loss"}
    message = refusal(lambda: assemble(curves, mapping, "here", params_convention="total"))
    assert message.startswith("no run of here can be used: none of steps") and message.count("last=True") == 1
    one = logged("d", config={"n": 1e6}, loss=[(1, 3.0)])
    runs_left = assemble([*curves, one], mapping, "here", params_convention="total")
    assert said(runs_left, "left out: run a: none of steps", "add the option that keeps the last row of each run")


def test_a_number_that_was_written_as_text_is_enough_beside_the_loss() -> None:
    runs = [logged(name, config={"depth": depth}, loss=[(1, 3.0)]) for name, depth in (("a", "9"), ("b", "12"))]
    found = assemble(runs, {"loss": "loss"}, "here", last=True, groups=["depth"], params_convention="total")
    assert found.column("depth").tolist() == [9, 12]
    (note,) = [note for note in found.notes if "no column is read as params, tokens, flops or steps" in note]
    assert "columns=" not in note and note.endswith("map one, unless a law reads a column of its own")


def test_runs_that_fail_the_check_are_named() -> None:
    good = logged("good", tokens=[(1, 1e6)], loss=[(1, 3.0)])
    bad = logged("bad", config={"n": "70B"}, tokens=[(1, 1e6)], loss=[(1, 3.0)])
    millions = logged("millions", config={"n": 0.5}, tokens=[(1, 1e6)], loss=[(1, 3.0)])
    runs = assembled(LeftOut("torn", "its file is torn"), good, bad, millions)
    assert set(runs.table["run"]) == {"good"}
    assert said(runs, "run bad: its n is '70B'") and said(runs, "run millions: row 1, column params: 0.5 is below one")
    assert said(runs, "run torn: its file is torn")
    message = refusal(lambda: assembled(bad, millions))
    assert message.startswith("no run of here can be used; left out: run bad")


def test_repeated_steps_gaps_and_mixed_groups_are_said() -> None:
    run = logged(
        "a", config={"n": 1e6, "seed": 1, "layers": [1, 2]}, tokens=[(1, 1e6), (3, 3e6)],
        loss=[(1, 4.0), (1, 3.5), (2, math.nan), (3, 3.0)],
    )  # fmt: skip
    other = logged("b", config={"n": 1e6, "seed": "one"}, tokens=[(1, 1e6)], loss=[(1, 3.0)])
    runs = assembled(run, other, groups=("seed", "layers"))
    assert said(runs, "loss logged more than once at a step", "1 row") and said(runs, "loss is not a number", "1 row")
    assert list(runs.table["seed"]) == ["1", "1", "one"] and said(runs, "layers empty: 1 row")
    assert list(runs.table["layers"])[:2] == ["[1, 2]"] * 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": "los"}, "no run of here has 'los', to be read as loss; it has metrics: loss, tokens; config: n"),
        ({"groups": ("params",)}, "'params' cannot be a group"),
    ],
)
def test_mapping_mistakes(change: dict[str, object], words: str) -> None:
    run = logged(tokens=[(1, 1e6)], loss=[(1, 3.0)])
    assert words in refusal(lambda: assembled(run, **change))  # type: ignore[arg-type]
