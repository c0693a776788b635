"""What a library shares with the rest of its process, and a check that it stays as it was."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import matplotlib
import numpy as np
import threadpoolctl


def process_state() -> dict[str, Any]:
    """Return everything that a library shares with the rest of its process."""
    loggers = [logging.getLogger(name) for name in ("", "jax", "numpyro", "matplotlib", "arviz_stats", "bayes_scaling")]
    return {
        **{f"jax {name}": value for name, value in jax.config.values.items()},
        **{f"matplotlib {name}": value for name, value in dict.items(matplotlib.rcParams)},
        **{f"variable {name}": value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        **{f"signal {number}": signal.getsignal(number) for number in signal.valid_signals()},
        **{
            f"logger {one.name}": (one.level, one.propagate, one.disabled, list(one.handlers), list(one.filters))
            for one in loggers
        },
        "logging is disabled": logging.root.manager.disable,
        "warnings": list(warnings.filters),
        "warnings are shown by": warnings.showwarning,
        "numpy errors": np.geterr(),
        "numpy prints": np.get_printoptions(),
        "numpy random": str(np.random.get_state()),  # noqa: NPY002
        "random": random.getstate(),
        "folder": Path.cwd(),
        "path": list(sys.path),
        "excepthook": sys.excepthook,
        "threads of matrices": [(one["filepath"], one["num_threads"]) for one in threadpoolctl.threadpool_info()],
    }


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    """Check that the process is afterwards as it was before."""
    before = process_state()
    try:
        yield
    finally:
        after = process_state()
        changed = {
            name: (before.get(name), after.get(name))
            for name in before.keys() | after.keys()
            if before.get(name) != after.get(name)
        }
        assert not changed, changed
