"""Where our computations run, and the compilation cache that they use."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
import threadpoolctl
from jax.experimental.compilation_cache import compilation_cache

import bayes_scaling as bs
from bayes_scaling.base import disk_cache
from bayes_scaling.base.blas import OneThread
from bayes_scaling.base.scope import carried, scope
from bayes_scaling.errors import FitError
from tests.support import filled

FOLDER = "jax_compilation_cache_dir"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where compiled programs go in our scopes."""
    monkeypatch.setenv("BAYES_SCALING_CACHE", str(tmp_path / "ours"))
    monkeypatch.setitem(disk_cache.SETTINGS, "jax_persistent_cache_min_compile_time_secs", 0.0)
    return tmp_path / "ours"


def programs_in(folder: Path) -> int:
    return len([*folder.glob("*.program"), *folder.glob("*-cache")])  # ours, and JAX's own


def compile_something(power: int) -> Any:
    """Compile a program that no other test compiles."""
    return jax.block_until_ready(jax.jit(lambda x: jnp.sin(x) ** power + power)(jnp.ones(17)))


def test_float64_is_ours_alone() -> None:
    with scope():
        assert jnp.ones(1).dtype == "float64"
    assert jnp.ones(1).dtype == "float32"


def test_matrices_have_one_thread_until_the_last_one_leaves() -> None:
    def threads() -> set[int]:
        return {one["num_threads"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"}

    before, switch = threads(), OneThread()
    theirs = switch.on()
    with ThreadPoolExecutor(1) as other:
        with switch.on():
            other.submit(theirs.__enter__).result()
            assert threads() == {1}
        assert threads() == {1}, "another thread still computes"
        other.submit(theirs.__exit__, None, None, None).result()
    assert threads() == before
    with scope():
        assert threads() == {1}


def test_the_cache_folder_is_ours_inside_and_nobodys_outside(folder: Path) -> None:
    before = dict(jax.config.values)
    with scope():
        assert getattr(jax.config, FOLDER) == str(folder)
        with scope():
            compile_something(101)
        assert getattr(jax.config, FOLDER) == str(folder)
        kept = programs_in(folder)
        assert kept
    assert jax.config.values == before
    old = jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    try:
        compile_something(102)  # the user's own, which is not kept anywhere
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", old)
    assert programs_in(folder) == kept
    with scope():
        compile_something(103)
    assert programs_in(folder) > kept


def test_the_cache_folder_is_restored_after_an_error(folder: Path) -> None:
    before = dict(jax.config.values)
    with pytest.raises(ZeroDivisionError), scope():
        assert getattr(jax.config, FOLDER) == str(folder)
        _ = 1 / 0
    assert jax.config.values == before


def test_scopes_of_several_threads_share_the_cache(folder: Path) -> None:
    before = dict(jax.config.values)

    def work(power: int) -> bool:
        with scope():
            compile_something(power)
            return getattr(jax.config, FOLDER) == str(folder)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(110, 122)))
    assert jax.config.values == before


def test_a_thread_carries_the_scope(folder: Path) -> None:
    with scope(), ThreadPoolExecutor(1) as pool:
        enter = carried()

        def work() -> tuple[Any, str]:
            with enter():
                return jnp.ones(1).dtype, getattr(jax.config, FOLDER)

        assert pool.submit(work).result() == ("float64", str(folder))


def test_a_cache_of_the_user_is_used_as_it_is(folder: Path, tmp_path: Path) -> None:
    before, theirs = dict(jax.config.values), tmp_path / "theirs"
    compilation_cache.reset_cache()
    jax.config.update(FOLDER, str(theirs))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    try:
        set_by_user = dict(jax.config.values)
        with scope():
            assert {k: v for k, v in jax.config.values.items() if "cache" in k} == {
                k: v for k, v in set_by_user.items() if "cache" in k
            }
            compile_something(104)
        assert jax.config.values == set_by_user
        kept = programs_in(theirs)
        compile_something(105)
        assert 0 < kept < programs_in(theirs) and not folder.exists()
    finally:
        for name in (FOLDER, "jax_persistent_cache_min_compile_time_secs"):
            jax.config.update(name, before[name])
        compilation_cache.reset_cache()


def test_what_the_user_sets_inside_a_scope_stays(folder: Path, tmp_path: Path) -> None:
    before = dict(jax.config.values)
    try:
        with scope():
            jax.config.update(FOLDER, str(tmp_path / "theirs"))
        assert getattr(jax.config, FOLDER) == str(tmp_path / "theirs")
    finally:
        jax.config.update(FOLDER, before[FOLDER])
    assert jax.config.values == before


def test_damaged_programs_are_compiled_again(folder: Path) -> None:
    def value() -> float:
        jax.clear_caches()
        return float(compile_something(106)[0])

    with scope():
        right = value()
        kept = {path: path.read_bytes() for path in folder.glob("*.program")}
        assert kept
        for spoil in (
            lambda program: program[:-7],
            lambda program: program[:60] + bytes([program[60] ^ 4]) + program[61:],
            lambda program: b"",
            lambda program: bytes(len(program)),
        ):
            for path, program in kept.items():
                path.write_bytes(spoil(program))
            assert value() == right
            assert all(disk_cache.Programs(folder).get(path.stem) for path in kept)


def test_a_cache_without_room_costs_only_the_cache(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("BAYES_SCALING_CACHE", str(small_disk / "ours"))
    (small_disk / "ours").mkdir()
    filled(small_disk)
    with scope():
        assert getattr(jax.config, FOLDER) == str(small_disk / "ours")
        compile_something(107)
    assert not list((small_disk / "ours").iterdir())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning", "ignore:.*fork:DeprecationWarning")
def test_a_fork_is_told_to_spawn(tmp_path: Path) -> None:
    jax.devices()
    child = os.fork()
    if not child:
        try:
            bs.load_fit(tmp_path / "fit.nc")
            os._exit(1)
        except FitError as error:
            os._exit(0 if "get_context('spawn')" in str(error) else 2)
        finally:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with scope():  # the parent goes on
        pass


def test_the_cache_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAYES_SCALING_CACHE", "off")
    with scope():
        assert not getattr(jax.config, FOLDER)


def test_a_folder_that_cannot_be_made_costs_only_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BAYES_SCALING_CACHE", str(tmp_path / "file" / "folder"))
    with scope():
        assert not getattr(jax.config, FOLDER)


def test_settings_of_the_user_hold_outside_alone() -> None:
    names = ("jax_numpy_rank_promotion", "jax_threefry_partitionable", "jax_default_prng_impl")

    def settings() -> list[object]:
        return [getattr(jax.config, name) for name in names]

    with scope():
        usual = settings()
        drawn = jax.random.normal(jax.random.key(0), 3)
    with jax.numpy_rank_promotion("raise"), jax.threefry_partitionable(False), jax.default_prng_impl("rbg"):
        theirs = settings()
        with pytest.raises(ZeroDivisionError), scope(), ThreadPoolExecutor(1) as pool:
            enter = carried()

            def work() -> list[object]:
                with enter():
                    return settings()

            assert settings() == pool.submit(work).result() == usual != theirs
            assert (jax.random.normal(jax.random.key(0), 3) == drawn).all()
            _ = 1 / 0
        assert settings() == theirs
