"""The store of compiled programs: found again, bounded, and dropped before the process runs out of memory maps."""

from __future__ import annotations

import dataclasses
import functools
import gc
import threading
import weakref
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import bayes_scaling as bs
from bayes_scaling.base import programs
from bayes_scaling.base.programs import STORE, Once, Store, compiled
from bayes_scaling.model.composition import Composition
from bayes_scaling.model.program import Model, model_of

LAW = bs.load_law("power_law", input="tokens")


class Thing:
    """Stands in for a model."""


def test_what_two_threads_need_is_done_once_and_the_other_waits() -> None:
    once, begun, go_on = Once(), threading.Event(), threading.Event()
    done: list[int] = []

    def slowly() -> None:
        begun.set()
        assert go_on.wait(30)
        done.append(1)

    first = threading.Thread(target=once.do, args=("piece", slowly))
    second = threading.Thread(target=once.do, args=("piece", lambda: done.append(2)))
    first.start()
    assert begun.wait(30)
    second.start()
    second.join(0.05)
    assert second.is_alive() and not done
    go_on.set()
    for thread in (first, second):
        thread.join(30)
    assert done == [1]
    once.do("other piece", lambda: done.append(3))
    assert done == [1, 3]


def test_what_failed_is_tried_again() -> None:
    once, done = Once(), []
    with pytest.raises(ZeroDivisionError):
        once.do("piece", lambda: 1 / 0)
    once.do("piece", lambda: done.append(1))
    assert done == [1]


def test_what_was_made_is_found_again() -> None:
    made = []

    @compiled
    def program(thing: Thing, power: int) -> list[int]:
        made.append(power)
        return [power]

    thing = Thing()
    assert program(thing, 2) is program(thing, 2)
    assert program(thing, 3) is not program(thing, 2)
    assert program(Thing(), 2) is not program(thing, 2)
    assert made == [2, 3, 2]
    STORE.drop_programs()
    assert program(thing, 2) == [2] and made == [2, 3, 2, 2]


def test_the_store_is_bounded_and_drops_what_is_used_least() -> None:
    store = Store(most=3)
    models = [store.model(i, Thing) for i in range(3)]
    for model in models:
        store.program(model, "key", object)
    kept = store.program(models[0], "key", object)
    assert store.model(0, Thing) is models[0]  # used: 1 is now the oldest
    for i in range(3, 5):
        store.program(store.model(i, Thing), "key", object)
        assert len(store) == 3
    assert store.model(0, Thing) is models[0] and store.program(models[0], "key", object) is kept
    assert store.model(1, Thing) is not models[1]


def test_a_dropped_model_is_freed_with_its_programs() -> None:
    store = Store(most=2)
    model = store.model(0, Thing)
    store.program(model, "key", functools.partial(list, [model]))
    gone = weakref.ref(model)
    del model
    for i in range(1, 3):
        store.model(i, Thing)
    gc.collect()
    assert gone() is None


def test_many_laws_do_not_fill_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(STORE, "most", 5)
    made: list[weakref.ref[Model]] = []
    for _ in range(12):
        law = dataclasses.replace(LAW, mean=lambda X, E, alpha, X_c: LAW.mean(X, E, alpha, X_c))
        model = model_of(Composition(law, bs.Noise(), bs.Discrepancy("none"), {}))
        STORE.program(model, "key", object)
        made.append(weakref.ref(model))
        assert len(STORE) <= 5
    del law, model
    gc.collect()
    assert sum(model() is not None for model in made) <= 5


def test_programs_are_dropped_before_maps_run_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dropped: list[bool] = []
    maps, most = tmp_path / "maps", tmp_path / "max_map_count"
    monkeypatch.setattr(programs, "MAPS", maps)
    monkeypatch.setattr(programs, "MOST_MAPS", most)
    monkeypatch.setattr(programs, "_WATCH", programs._Watch())
    most.write_text("100\n")

    def look(lines: int, left: int) -> int:
        """Return how often programs were dropped in all, after a look at a process that holds so many maps."""
        maps.write_text("a\n" * lines)
        monkeypatch.setattr(STORE, "drop_programs", lambda: (dropped.append(True), maps.write_text("a\n" * left)))
        programs._WATCH.looked = 0.0
        programs.make_room()
        return len(dropped)

    assert look(40, left=10) == 0
    assert look(60, left=55) == 1
    programs.make_room()  # it looked just now
    assert len(dropped) == 1
    assert look(60, left=55) == 1  # others hold these maps; to drop ours again and again would not help
    assert look(70, left=10) == 2
    maps.unlink()
    programs._WATCH.looked = 0.0
    programs.make_room()  # where there is no such file nothing happens
    assert len(dropped) == 2


def test_dropping_programs_frees_their_maps() -> None:
    def maps() -> int:
        return len(programs.MAPS.read_bytes().splitlines())

    if not programs.MAPS.exists():
        pytest.skip("only Linux tells what a process maps")

    @compiled
    def program(thing: Thing, power: int) -> object:
        run = jax.jit(lambda x: jnp.sin(x) ** power + jnp.cumsum(x))
        run(jnp.ones(3))
        return run

    thing = Thing()
    before = maps()
    for power in range(20):
        program(thing, power)
    full = maps()
    STORE.drop_programs()
    gc.collect()
    assert full - before >= 20 and maps() - before < (full - before) / 4
