"""A user's own law file: code, which runs because its user named it."""

from __future__ import annotations

import functools
import hashlib
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import CodeType, ModuleType

from bayes_scaling.base.messages import shown
from bayes_scaling.base.scope import jax_as_usual, refuse_unusable_jax
from bayes_scaling.errors import LawError


def module_at(name: str) -> tuple[ModuleType, str, str]:
    """Import a user's law file once per version of its text; return module, path and text."""
    path = Path(name).expanduser().resolve()
    if path.suffix != ".py":
        raise LawError(f"{shown(name)} is no law file: a law file is Python code, and its name ends with .py")
    if not path.is_file():
        raise LawError(f"{shown(name)} is not a file; give the path of a law file, or a name of 'bayes-scaling laws'")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LawError(f"{path.name} cannot be read as Python text: {error}") from error
    refuse_unusable_jax()  # its priors may be arrays, the first that are made
    return _imported(path, text), str(path), text


@functools.lru_cache(maxsize=256)
def _imported(path: Path, text: str) -> ModuleType:
    name = f"_bayes_scaling_law_{path.stem}_{hashlib.sha256(f'{path}{text}'.encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_FromText(name, str(path), text))
    assert spec is not None and spec.loader is not None  # both were just given
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with jax_as_usual(float64=False):
            spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, LawError) or not isinstance(error, Exception):
            raise
        raise LawError(f"{path.name} cannot be imported: {type(error).__name__}: {error}") from error
    return module


class _FromText(importlib.machinery.SourceFileLoader):
    """Loader of the text whose hash is kept: neither a file that changes meanwhile nor one in ``__pycache__`` runs."""

    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self.text = text

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self.text, self.path)
        return code
