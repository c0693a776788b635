"""The text that a law is computed from, as one hash: a saved fit is compared with it before it is used.

A law that was loaded counts with its whole file and with the modules beside it, or of the catalogue, that the file
imports: a change of a comment is a change. A law that was put together in memory counts with the text of its
functions and of what they call in the same module; without a text, as at a prompt, with their bytecode.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

CATALOGUE = "bayes_scaling.models"
LIBRARIES = frozenset({"bayes_scaling", "jax", "jaxlib", "numpy", "numpyro", "scipy"})
PLAIN = int | float | complex | str | bytes | bool | None


@functools.lru_cache(maxsize=256)
def source_of(text: str, module: str, options: tuple[tuple[str, str], ...]) -> str:
    """Return the SHA-256 of a law file, of the modules that it imports from its surroundings, and of its options.

    Parameters
    ----------
    text : of the law file
    module : its module, already imported
    options : every option with its value, defaults included, by name
    """
    texts: dict[str, str] = {}
    _gather(module, text, texts)
    imported = [texts[name] for name in sorted(texts) if name != module]
    return _hash([_lines(text), *map(_lines, imported), repr(options)])


def fingerprint(functions: Iterable[Callable[..., Any] | None], names: Iterable[str]) -> str:
    """Return the SHA-256 of functions, of what they call, and of names.

    Parameters
    ----------
    functions : in order; None where there is none
    names : what else the law consists of
    """
    seen: list[FunctionType] = []
    return _hash([*names, *("" if one is None else _spelled(one, seen) for one in functions)])


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:16]


def _lines(text: str) -> str:
    """Return a text with one kind of line ending, so that a checkout on another system counts as the same."""
    return "\n".join(text.splitlines())


def _gather(module: str, text: str, found: dict[str, str]) -> None:
    """Add the text of a module and of what it imports from its own folder or from the catalogue."""
    found[module] = text
    here = getattr(sys.modules[module], "__file__", None)
    for name in _imports(text):
        other = getattr(sys.modules.get(name), "__file__", None)
        if name in found or other is None or not other.endswith(".py"):
            continue
        neighbour = here is not None and Path(other).parent == Path(here).parent
        if neighbour or name.startswith(f"{CATALOGUE}."):
            _gather(name, Path(other).read_text(encoding="utf-8"), found)


def _imports(text: str) -> Iterator[str]:
    """Return what a module may import, by full name."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _spelled(value: Any, seen: list[FunctionType]) -> str:
    """Write what a function depends on as text that is the same in every process."""
    if isinstance(value, FunctionType):
        if value in seen:
            return f"<function {seen.index(value)}>"
        seen.append(value)
        read = [(name, value.__globals__[name]) for name in value.__code__.co_names if name in value.__globals__]
        closed = [("", cell.cell_contents) for cell in value.__closure__ or ()]
        inside = [*((name, one) for name, one in read if _counts(one)), *closed]
        inside += [("defaults", value.__defaults__), ("keywords", value.__kwdefaults__)]
        return f"{_text(value)}{[(name, _spelled(one, seen)) for name, one in inside]}"
    if isinstance(value, tuple | list):
        return f"{[_spelled(one, seen) for one in value]}"
    if isinstance(value, dict):
        return f"{[(repr(key), _spelled(one, seen)) for key, one in value.items()]}"
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, functools.partial):
        return f"partial{[_spelled(one, seen) for one in (value.func, value.args, value.keywords)]}"
    if hasattr(value, "__wrapped__"):  # a jitted function
        return _spelled(value.__wrapped__, seen)
    called = inspect.getattr_static(type(value), "__call__", None)
    if isinstance(called, FunctionType):
        return f"{_spelled(called, seen)}{_spelled(dict(vars(value)), seen)}"
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"


def _counts(value: Any) -> bool:
    """Return whether a global that a function reads belongs to the law: a constant, or a function of no library."""
    if not isinstance(value, FunctionType):
        return isinstance(value, PLAIN | tuple | list | dict)
    module = str(value.__module__)
    return module.startswith(f"{CATALOGUE}.") or module.partition(".")[0] not in LIBRARIES


def _text(function: FunctionType) -> str:
    """Return the text of a function, or its bytecode where it was written at a prompt."""
    try:
        return _lines(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError):
        return _code(function.__code__)


def _code(code: CodeType) -> str:
    """Write bytecode without addresses."""
    constants = [_code(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return repr((code.co_code, constants, code.co_names, code.co_varnames))
