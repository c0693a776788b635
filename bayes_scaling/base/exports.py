"""Public names of a package, read from its ``__init__.pyi`` and imported when first used.

The stub is the one list: type checkers and editors read it as it stands, and so does the package itself. Importing the
package, or asking the command line for help, then costs nothing.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


def public_names(stub: Path) -> dict[str, tuple[str, str]]:
    """Return the module and the name behind every public name that a stub lists."""
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
        found = vars(importlib.import_module(module))
        return found[attribute] if attribute in found else importlib.import_module(f"{module}.{attribute}")

    return find, lambda: sorted(names), sorted(names)
