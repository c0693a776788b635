"""The package that holds the catalogue of laws.

In a wheel the law files are in this folder. In a checkout they are in the top-level ``models/`` folder, which is added
to the search path here if there is a ``pyproject.toml`` next to it (so that no other project's ``models/`` is used).
"""

from pathlib import Path

_root = Path(__file__).parents[2]
if (_root / "pyproject.toml").is_file() and (_root / "models").is_dir():
    __path__.append(str(_root / "models"))
