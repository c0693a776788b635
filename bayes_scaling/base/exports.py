"""Public names of a package, read from its ``__init__.pyi`` and imported on first use.

The stub is the only list of names: type checkers, editors and the package itself all read it. Importing the package, or
printing the help of the command line, then takes almost no time.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


def public_names(stub: Path) -> dict[str, tuple[str, str]]:
    """Return the module and the name in it for every public name that a stub lists."""
    imports = (node for node in ast.parse(stub.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom))
    return {alias.asname or alias.name: (str(node.module), alias.name) for node in imports for alias in node.names}


def lazily(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    Parameters
    ----------
    package, file : its ``__name__`` and ``__file__``
    """
    names = public_names(Path(file).with_suffix(".pyi"))

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, attribute = names[name]
        found = importlib.import_module(module)
        if attribute in vars(found) or (module != package and "__getattr__" in vars(found)):
            return getattr(found, attribute)
        return importlib.import_module(f"{module}.{attribute}")

    return find, lambda: sorted(names), sorted(names)
