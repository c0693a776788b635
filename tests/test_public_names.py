"""Public names: one list, short, all there; no function asks for more than a reader can hold."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import bayes_scaling as bs

MOST_NAMES, MOST_PARAMETERS = 61, 8
MODULES = ("costs", "datasets", "errors", "evaluate", "importers", "laws", "objectives", "plot", "units")


def public(module: ModuleType) -> dict[str, Any]:
    """Return what a module offers: what it lists, or what stands in it without an underscore."""
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    return {name: getattr(module, name) for name in names}


def functions() -> dict[str, Any]:
    """Return public functions, and methods of public classes, by dotted name."""
    found: dict[str, Any] = {}
    for module in (bs, *(getattr(bs, name) for name in MODULES)):
        for name, value in public(module).items():
            ours = getattr(value, "__module__", "").startswith("bayes_scaling")
            if inspect.isfunction(value) and ours:
                found[f"{module.__name__}.{name}"] = value
            elif inspect.isclass(value) and ours:
                methods = {
                    key: method
                    for key, method in inspect.getmembers(value, lambda m: inspect.isfunction(m) or inspect.ismethod(m))
                }
                kept = {k: m for k, m in methods.items() if not k.startswith("_") and m.__module__ == value.__module__}
                found |= {f"{module.__name__}.{name}.{key}": method for key, method in kept.items()}
    return found


def test_the_top_has_few_names_and_each_is_there() -> None:
    assert len(bs.__all__) <= MOST_NAMES
    assert set(MODULES) < set(bs.__all__)
    assert all(getattr(bs, name) is not None for name in bs.__all__)
    assert dir(bs) == sorted(bs.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'forcast'"):
        _ = bs.forcast


@pytest.mark.parametrize("name", MODULES)
def test_every_public_module_has_names(name: str) -> None:
    assert public(getattr(bs, name))


@pytest.mark.parametrize(
    ("name", "function"), functions().items(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_public_function_has_few_parameters_and_says_what_it_does(name: str, function: Any) -> None:
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name not in ("self", "cls")]
    fixed = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    assert len(fixed) <= MOST_PARAMETERS, f"{name} has {len(fixed)} parameters"
    assert function.__doc__, f"{name} has no docstring"


@pytest.mark.parametrize("module", [bs, bs.plot, bs.evaluate, bs.laws], ids=lambda module: module.__name__)
def test_type_checkers_see_every_name(module: ModuleType) -> None:
    """In a stub a name is public where it is imported as itself, or where the stub lists it."""
    tree = ast.parse(Path(str(module.__file__)).with_suffix(".pyi").read_text(encoding="utf-8"))
    names = [alias for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    listed = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)]
    assert sorted(*listed) == module.__all__ if listed else all(one.name == one.asname for one in names)
