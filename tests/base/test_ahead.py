"""Work that is done ahead of its turn: beside other work, dropped when that ends, and never in its way."""

from __future__ import annotations

import threading

import pytest

from bayes_scaling.base import ahead
from bayes_scaling.base.ahead import done_ahead
from bayes_scaling.base.cores import at_most

WAIT = 30.0  # seconds, after which something hangs


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "cores", lambda: 2)


def test_works_are_done_in_order_while_what_is_inside_runs() -> None:
    done: list[tuple[int, str]] = []
    all_done = threading.Event()
    works = [lambda: done.append((1, threading.current_thread().name)), lambda: done.append((2, "")), all_done.set]
    with done_ahead(works):
        assert all_done.wait(WAIT)
    assert [number for number, _ in done] == [1, 2]
    assert done[0][1] != threading.current_thread().name


def test_what_is_not_begun_at_the_end_is_left() -> None:
    begun, go_on, left = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        assert go_on.wait(WAIT)

    with done_ahead([first, left.set]):
        assert begun.wait(WAIT)
        threading.Timer(0.05, go_on.set).start()  # after what is inside has ended
    assert go_on.is_set() and not left.is_set()  # what was begun is waited for


def test_an_error_ahead_ends_nothing() -> None:
    after = threading.Event()

    def fails() -> None:
        raise ValueError("this work has no table")

    with done_ahead([fails, after.set]):
        assert after.wait(WAIT)


def test_an_error_inside_is_raised_and_the_thread_ended() -> None:
    with pytest.raises(ValueError, match="inside"), done_ahead([lambda: None]):
        raise ValueError("inside")
    assert not any(thread.name == "ahead" for thread in threading.enumerate())


def test_on_one_core_nothing_is_done_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    done = threading.Event()
    with at_most(1), done_ahead([done.set]):
        assert not any(thread.name == "ahead" for thread in threading.enumerate())
    assert not done.is_set()
