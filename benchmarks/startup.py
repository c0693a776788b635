"""Where the seconds of a command go: imports, tracing, compiling, modes, sampling, diagnostics, files, the rest.

    uv run python benchmarks/startup.py                       # every command, of the bundled sweep
    uv run python benchmarks/startup.py --runs my_runs.csv --only fit,forecast
    uv run python benchmarks/startup.py --args "fit my_runs.csv --law nesting"

Each command runs in a new process with an empty cache of compiled programs (``from nothing``), in another that finds
its programs there (``second process``), and once more in that process (``again``). Seconds are of the clock, each
counted once: what JAX traces or compiles inside a stage is taken out of it. Work in threads of the package is in the
stage that waits for them. ``GB`` is the most memory that the process has held so far. Python finds its own bytecode in
the second process, as it does where it may write it. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
IMPORTS = ("numpy", "jax", "numpyro.infer", "pandas", "scipy.stats", "xarray", "arviz_stats.base")
STAGES = {
    "mode": ("bayes_scaling.inference.problem", "find_mode"),
    "sampling": ("bayes_scaling.inference.problem", "run_chains"),
    "diagnostics": ("bayes_scaling.inference.problem", "diagnose"),
    "files": ("bayes_scaling.base.files", "write_bytes"),
}
"""Functions by the stage that they are, where they are called from."""
EVENTS = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "trace",
    "/jax/core/compile/backend_compile_duration": "compile",
}
COLUMNS = ("import", "trace", "compile", "mode", "sampling", "diagnostics", "files", "rest", "total", "GB")
COMMANDS = {
    "fit": "fit {runs} --law chinchilla --out fit.nc",
    "forecast": "forecast {runs} --params 70e9 --tokens 1.4e12",
    "compare": "compare {runs} --law chinchilla,kaplan_joint,nesting",
    "report": "report {study} --out report.html",
    "demo": "demo --out demo",
}


class Clock:
    """Seconds by stage, of which each second is in one only: what is inside a stage is taken out of it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.programs = 0
        self._open: list[float] = []  # of stages that run now, the seconds that belong to what is inside them
        self._thread = threading.get_ident()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the seconds of what is inside under a name."""
        if threading.get_ident() != self._thread:  # the stage that waits for this thread has them
            yield
            return
        started = time.perf_counter()
        self._open.append(0.0)
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self._add(name, took - self._open.pop(), took)

    def event(self, name: str, seconds: float, **_: Any) -> None:
        """Count seconds that JAX reports."""
        if (stage := EVENTS.get(name)) and threading.get_ident() == self._thread:
            self.programs += stage == "compile"
            self._add(stage, seconds, seconds)

    def _add(self, name: str, own: float, whole: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + own
        if self._open:
            self._open[-1] += whole


def timed(clock: Clock, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that counts itself as a stage."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with clock.stage(name):
            return function(*args, **kwargs)

    return call


def inside(arguments: list[str], times: int) -> list[dict[str, float]]:
    """Run a command in this process and return seconds by stage, of each time."""
    started, clock = time.perf_counter(), Clock()
    with clock.stage("import"):
        for name in IMPORTS:
            importlib.import_module(name)
        commands = importlib.import_module("bayes_scaling.cli.commands")
        for stage, (module, name) in STAGES.items():
            owner = importlib.import_module(module)
            setattr(owner, name, timed(clock, stage, getattr(owner, name)))
    monitoring = importlib.import_module("jax.monitoring")
    monitoring.register_event_duration_secs_listener(clock.event)
    found = []
    for _ in range(times):
        sys.argv = ["bayes-scaling", *arguments]
        for path in (*Path().glob("*.nc"), *Path().glob("demo/*")):
            path.unlink()
        with contextlib.redirect_stdout(io.StringIO()):
            code = commands.run()
        total = time.perf_counter() - started
        if code:
            raise SystemExit(f"bayes-scaling {shlex.join(arguments)} ended with {code}")
        rest = total - sum(clock.seconds.values())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        found.append({**clock.seconds, "rest": rest, "total": total, "GB": peak, "programs": clock.programs})
        started, clock.seconds, clock.programs = time.perf_counter(), {}, 0
    return found


def measured(arguments: list[str], cache: Path, folder: Path, times: int) -> list[dict[str, float]]:
    """Run a command in a process of its own, with the programs of a folder."""
    environment = {**os.environ, "BAYES_SCALING_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    environment["PYTHONPYCACHEPREFIX"] = str(cache / "bytecode")  # beside the programs, and empty when they are
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, str(Path(__file__).resolve()), "--inside", str(times), "--args", shlex.join(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    found: list[dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="a table with params, tokens, loss; by default the bundled sweep")
    parser.add_argument("--study", type=Path, default=ROOT / "docs" / "study.toml", help="of the report")
    parser.add_argument("--only", default=",".join(COMMANDS), help="names with commas between")
    parser.add_argument("--args", help="one command of your own")
    parser.add_argument("--inside", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        print(json.dumps(inside(shlex.split(arguments.args), arguments.inside)))
        return
    print(f"| command | | {' | '.join(COLUMNS)} | programs |\n{'|---' * (len(COLUMNS) + 3)}|", flush=True)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        runs = arguments.runs and arguments.runs.resolve()
        if runs is None:
            runs = folder / "runs.csv"
            from bayes_scaling import datasets

            datasets.load("stdlib_sweep").table.to_csv(runs, index=False)
        wanted = {arguments.args: arguments.args} if arguments.args else COMMANDS
        for name, text in wanted.items():
            if not arguments.args and name not in arguments.only.split(","):
                continue
            given = shlex.split(text.format(runs=runs, study=arguments.study.resolve()))
            cache = folder / f"programs of {name.split()[0]}"
            first = measured(given, cache, folder, 1)
            second = measured(given, cache, folder, 2)
            for when, seconds in zip(("from nothing", "second process", "again"), [*first, *second], strict=True):
                cells = " | ".join(f"{seconds.get(column, 0.0):.{2 if column == 'GB' else 1}f}" for column in COLUMNS)
                print(f"| {name} | {when} | {cells} | {seconds['programs']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
