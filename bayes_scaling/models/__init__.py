"""The address of the catalogue of laws.

In a wheel the law files lie in this folder. In a checkout they lie in the top-level ``models/`` folder, which joins
the search path here when a ``pyproject.toml`` lies beside it (so that no other project's ``models/`` is taken).
"""

from pathlib import Path

_root = Path(__file__).parents[2]
if (_root / "pyproject.toml").is_file() and (_root / "models").is_dir():
    __path__.append(str(_root / "models"))
