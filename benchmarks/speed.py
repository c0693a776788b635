"""Speed of fits, side by side: plain NumPyro NUTS, nutpie and this package, on one posterior, in one run.

Every method has its own process, which is started cold (no compilation cache) and then repeats fits in turn with
the others: A B C, A B C, A B C, so that a machine that slows down slows all of them down.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from nutpie_density import jax_density, native_density

LAW = "chinchilla"
CHAINS, WARMUP, DRAWS = 4, 1000, 1000
BESIROGLU_2024 = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}


# --- the table of runs ------------------------------------------------------------------------------------------


def simulated_runs(path: Path, n: int = 240, seed: int = 0) -> None:
    """Write a table like Chinchilla's: published constants, heavy-tailed noise in log loss."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    params = np.exp(rng.uniform(np.log(6e7), np.log(1.6e10), n))
    tokens = np.exp(rng.uniform(np.log(2.5e8), np.log(3e11), n))
    c = BESIROGLU_2024
    mean = c["E"] + c["A"] * params ** -c["alpha"] + c["B"] * tokens ** -c["beta"]
    loss = mean * np.exp(0.004 * rng.standard_t(2, n))
    pd.DataFrame({"params": params, "tokens": tokens, "loss": loss}).to_csv(path, index=False)


def altered_runs(runs: Any, seed: int) -> Any:
    """Return a table of the same shape with other losses."""
    scatter = np.exp(0.002 * np.random.default_rng(seed).standard_normal(len(runs)))
    return dataclasses.replace(runs, table=runs.table.assign(loss=runs.table["loss"] * scatter))


# --- one fit by one method --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one call gave.

    Attributes
    ----------
    sample_s, whole_s : seconds to draws (mode finding and warm-up included, compilation not), and to a judged fit
    ess : smallest of bulk and tail effective sample size over the unconstrained sites
    rhat : largest rank-normalised split R-hat over the same
    gradients : per kept draw, not counting warm-up
    path : how it was sampled, where that can differ
    """

    sample_s: float
    whole_s: float
    ess: float
    rhat: float | None
    gradients: float | None
    path: str = ""


type Call = Callable[[int], Outcome]
"""One fit with a seed."""


def judged(u: np.ndarray) -> tuple[float, float]:
    """Return min(bulk, tail) ESS and max R-hat of draws ``(chain, draw, site)``."""
    from arviz_stats.base import array_stats

    axes = {"chain_axis": 0, "draw_axis": 1}
    ess, rhat = [], []
    for x in np.moveaxis(u, -1, 0):
        ess.append(float(array_stats.ess(x, method="bulk", **axes)))
        ess.append(float(array_stats.ess(x, method="tail", prob=0.9, **axes)))
        rhat.append(float(array_stats.rhat(x, method="rank", **axes)))
    return min(ess), max(rhat)


def ours(runs: Any, method: str) -> Call:
    """Fit with this package; the part of `bayes_scaling.fit` that samples (and finds the mode) is timed apart."""
    import bayes_scaling
    from bayes_scaling.inference import methods as _methods

    spent = 0.0
    sampler = _methods.METHODS[method]

    def stopwatch(problem: Any) -> Any:
        nonlocal spent
        start = time.perf_counter()
        result = sampler(problem)
        spent = time.perf_counter() - start
        return result

    def call(seed: int) -> Outcome:
        start = time.perf_counter()
        how = bayes_scaling.Sampler(stopwatch, CHAINS, DRAWS)
        # Without a discrepancy: the same posterior as everybody else's.
        fit = bayes_scaling.fit(LAW, runs, discrepancy="none", sampler=how, seed=seed, progress=False)
        whole = time.perf_counter() - start
        if method == "laplace":
            # The draws are resampled from weighted proposals, so both the weights and the resampling cost precision.
            weights = min(fit.diagnostics.ess_bulk, fit.diagnostics.ess_tail)
            return Outcome(spent, whole, 1 / (1 / weights + 1 / (CHAINS * DRAWS)), None, None, fit.sampler_used)
        ess, rhat = judged(fit.unconstrained)
        return Outcome(spent, whole, ess, rhat, float(np.mean(fit.stats["n_steps"])), fit.sampler_used)

    return call


def posterior(runs: Any) -> tuple[Any, Any, Any]:
    """Return model, table and priors of the posterior that all methods sample."""
    from bayes_scaling import Discrepancy, Noise, load_law
    from bayes_scaling.inference.draws import posterior_of
    from bayes_scaling.model.composition import Composition

    return posterior_of(Composition(load_law(LAW), Noise(), Discrepancy("none"), {}), runs)


class CompileClock:
    """Seconds that JAX spent tracing, lowering and compiling, counted once where such phases are nested."""

    def __init__(self) -> None:
        import jax

        self.phases: list[tuple[float, float]] = []
        jax.monitoring.register_event_duration_secs_listener(self._hear)

    def _hear(self, event: str, duration: float, **_: Any) -> None:
        if event.startswith("/jax/core/compile/"):
            end = time.perf_counter()
            self.phases.append((end - duration, end))

    def since(self, start: float) -> float:
        """Return the seconds after ``start`` that fall into any phase."""
        total, reached = 0.0, start
        for begin, end in sorted(self.phases):
            total += max(0.0, end - max(begin, reached))
            reached = max(reached, end)
        return total


def numpyro_nuts(runs: Any, dense: bool, chain_method: str) -> Call:
    """Run the same NumPyro program with NumPyro's own `MCMC`, default settings, starting where it likes."""
    import jax
    import numpyro
    from numpyro.distributions import biject_to
    from numpyro.infer import MCMC, NUTS

    from bayes_scaling.laws.priors import as_distribution

    numpyro.enable_x64()
    numpyro.set_host_device_count(CHAINS)
    if jax.local_device_count() != CHAINS:
        raise RuntimeError("JAX was started before the number of devices could be set")
    clock = CompileClock()
    model, data, priors = posterior(runs)

    def call(seed: int) -> Outcome:
        start = time.perf_counter()
        mcmc = MCMC(
            NUTS(model, dense_mass=dense),
            num_warmup=WARMUP,
            num_samples=DRAWS,
            num_chains=CHAINS,
            chain_method=chain_method,
            progress_bar=False,
        )
        mcmc.run(jax.random.PRNGKey(seed), data, priors, extra_fields=("num_steps",))
        draws = jax.block_until_ready(mcmc.get_samples(group_by_chain=True))
        # MCMC compiles again in every run, even of the same object; that is no sampling.
        sample = time.perf_counter() - start - clock.since(start)
        u = np.stack([biject_to(as_distribution(priors[s]).support).inv(draws[s]) for s in model.sites], axis=-1)
        ess, rhat = judged(u)
        whole = time.perf_counter() - start
        steps = float(np.mean(mcmc.get_extra_fields()["num_steps"]))
        return Outcome(sample, whole, ess, rhat, steps)

    return call


def nutpie_nuts(runs: Any, adaptation: str, density: str, warmup: int = WARMUP) -> Call:
    """Sample the same posterior with nutpie, from the prior medians with nutpie's usual jitter."""
    import numpyro
    import nutpie
    from numpyro.distributions import biject_to

    from bayes_scaling.laws.priors import as_distribution, prior_quantile

    numpyro.enable_x64()
    model, data, priors = posterior(runs)
    plain = [as_distribution(priors[site]) for site in model.sites]
    medians = [biject_to(prior.support).inv(prior_quantile(prior, 0.5)) for prior in plain]
    centre = np.array([float(m) for m in medians])

    def initial_point(seed: int | None) -> np.ndarray:
        return centre + np.random.default_rng(seed).uniform(-1, 1, len(centre))

    compiled = {"JAX": jax_density, "C": native_density}[density](runs, model, data, priors, initial_point)

    def call(seed: int) -> Outcome:
        start = time.perf_counter()
        trace = nutpie.sample(
            compiled,
            draws=DRAWS,
            tune=warmup,
            chains=CHAINS,
            cores=os.cpu_count(),
            seed=seed,
            adaptation=adaptation,
            progress_bar=False,
            return_raw_trace=True,
        )
        sample = time.perf_counter() - start
        draws, stats = trace.get_arrow_trace()
        width = len(model.sites)
        u = np.stack([column(draw, "u").reshape(-1, width)[-DRAWS:] for draw in draws])
        ess, rhat = judged(u)
        whole = time.perf_counter() - start
        steps = float(np.mean([column(stat, "n_steps")[-DRAWS:] for stat in stats]))
        return Outcome(sample, whole, ess, rhat, steps)

    return call


def column(batch: Any, name: str) -> np.ndarray:
    """Return the numbers of one column of nutpie's Arrow trace, flat."""
    import pyarrow

    values = pyarrow.array(batch.column(name))
    nested = hasattr(values, "flatten") and not pyarrow.types.is_primitive(values.type)
    numbers: np.ndarray = (values.flatten() if nested else values).to_numpy(zero_copy_only=False)
    return numbers


# --- the methods ------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes
    ----------
    label : in the table
    imports : statement that loads what a script with this method loads
    call : from a table of runs to the function that fits it
    contest : of methods with the same contest, only the fastest in the first call goes on
    compiler : needs a C compiler
    """

    label: str
    imports: str
    call: Callable[[Any], Call]
    contest: str = ""
    compiler: bool = False

    @property
    def missing(self) -> str:
        """Say what is not installed, or nothing."""
        if "nutpie" in self.imports and importlib.util.find_spec("nutpie") is None:
            return "nutpie is not installed"
        if self.compiler and shutil.which("cc") is None:
            return "there is no C compiler"
        return ""


def numpyro_method(mass: str, how: str) -> Method:
    """Describe a row of plain NumPyro."""
    call = functools.partial(numpyro_nuts, dense=mass == "dense", chain_method=how)
    return Method(
        f"NumPyro NUTS, {mass} mass, {how}", "import jax, numpyro, numpyro.infer, pandas", call, f"NumPyro {mass}"
    )


def nutpie_method(adaptation: str, density: str, warmup: int = WARMUP) -> Method:
    """Describe a row of nutpie."""
    imports = "import nutpie, pandas" if density == "C" else "import jax, numpyro, nutpie, pandas"
    call = functools.partial(nutpie_nuts, adaptation=adaptation, density=density, warmup=warmup)
    shorter = "" if warmup == WARMUP else f", warm-up {warmup}"
    return Method(
        f"nutpie {adaptation}, {density} density{shorter}",
        imports,
        call,
        contest=f"nutpie {adaptation}{shorter}",
        compiler=density == "C",
    )


def our_method(method: str) -> Method:
    """Describe a row of this package."""
    return Method(
        f"ours, method={method}", "from bayes_scaling import Runs, fit", functools.partial(ours, method=method)
    )


NUTPIE_WARMUP = 400  # what nutpie takes by itself with its default adaptation
PLAIN, DENSE = "NumPyro diag", "NumPyro dense"
METHODS: Mapping[str, Method] = {
    **{f"numpyro-{m}-{how}": numpyro_method(m, how) for m in ("diag", "dense") for how in ("parallel", "vectorized")},
    **{f"nutpie-{a}-{density}": nutpie_method(a, density) for a in ("diag", "low_rank") for density in ("JAX", "C")},
    "nutpie-short": nutpie_method("low_rank", "C", NUTPIE_WARMUP),
    **{f"ours-{name}": our_method(name) for name in ("nuts", "auto", "laplace")},
}


# --- worker processes -------------------------------------------------------------------------------------------


def work(key: str, table: Path) -> None:
    """Serve fits: read a seed per line, answer with the outcome as JSON; seeds below zero mean other losses."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    exec(f"{METHODS[key].imports}; import arviz_stats.base")  # imports are measured apart
    from bayes_scaling import Runs

    runs = Runs.read(table)
    call: Call | None = None
    for line in sys.stdin:
        seed = int(line)
        start = time.perf_counter()
        try:
            if seed < 0:
                outcome = METHODS[key].call(altered_runs(runs, -seed))(-seed)
            else:
                call = METHODS[key].call(runs) if call is None else call
                outcome = call(seed)
        except Exception as error:
            answers.write(json.dumps({"error": f"{type(error).__name__}: {str(error).splitlines()[0]}"}) + "\n")
            continue
        answers.write(json.dumps({**dataclasses.asdict(outcome), "wall_s": time.perf_counter() - start}) + "\n")


class Worker:
    """The process of one method, seen from the main process."""

    def __init__(self, key: str, table: Path, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "--worker", key, "--runs", str(table)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def fit(self, seed: int) -> dict[str, Any]:
        """Ask for one fit and wait for it."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{seed}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


# --- the measurement --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Bench:
    """Where and how everything is measured.

    Attributes
    ----------
    table : CSV of the runs
    folder : for scratch files
    rounds : repetitions of everything
    hold : while this file exists, nothing is started
    """

    table: Path
    folder: Path
    rounds: int
    hold: Path | None

    @property
    def environment(self) -> dict[str, str]:
        """Environment of every process: no caches of compiled programs, but Python's bytecode as after pip."""
        dropped = ("PYTHONDONTWRITEBYTECODE", "JAX_COMPILATION_CACHE_DIR", "XLA_FLAGS", "JAX_ENABLE_X64")
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        return {
            **kept,
            "BAYES_SCALING_CACHE": "off",
            "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode"),
            "JAX_PLATFORMS": "cpu",
        }

    def say(self, text: str) -> None:
        """Report progress, then wait while another job has the machine."""
        print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)
        while self.hold is not None and self.hold.exists():
            time.sleep(0.2)

    def seconds(self, command: Sequence[str], cache: Path | None = None) -> float | None:
        """Return the wall seconds of a command, or None when it fails."""
        environment = self.environment | ({} if cache is None else {"BAYES_SCALING_CACHE": str(cache)})
        start = time.perf_counter()
        try:
            done = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, check=False)
        except OSError:
            return None
        return time.perf_counter() - start if done.returncode == 0 else None


def measure_imports(bench: Bench, keys: Sequence[str]) -> dict[str, float]:
    """Return the seconds of a process that only imports, per method; median over rounds, interleaved."""
    statements = sorted({METHODS[key].imports for key in keys})
    found: dict[str, list[float]] = {statement: [] for statement in statements}
    for turn in range(bench.rounds + 1):
        for statement in statements:
            bench.say(f"imports, round {turn}: {statement}")
            spent = bench.seconds([sys.executable, "-c", statement])
            if turn:  # round 0 writes the bytecode
                found[statement].append(float("nan") if spent is None else spent)
    return {key: median(found[METHODS[key].imports]) for key in keys}


def measure_methods(bench: Bench, keys: Sequence[str], notes: list[str]) -> dict[str, dict[str, Any]]:
    """Start every method cold, settle the contests, then repeat the rest in turn."""
    first: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for key in keys:
            bench.say(f"first call: {METHODS[key].label}")
            workers[key] = Worker(key, bench.table, bench.environment)
            stack.callback(workers[key].close)
            first[key] = workers[key].fit(0)
            if "error" in first[key]:
                notes.append(f"{METHODS[key].label}: not measured ({first[key]['error']})")
        chosen = [key for key in keys if "error" not in first[key]]
        for key in list(chosen):
            rivals = [k for k in chosen if METHODS[k].contest and METHODS[k].contest == METHODS[key].contest]
            if rivals and key != min(rivals, key=lambda k: first[k]["sample_s"]):
                chosen.remove(key)
                notes.append(
                    f"{METHODS[key].label}: {first[key]['sample_s']:.2f} s to sample in its first call, "
                    "slower than its rival, not repeated"
                )
        repeats: dict[str, list[dict[str, Any]]] = {key: [] for key in chosen}
        for turn in range(1, bench.rounds + 1):
            for key in chosen:
                bench.say(f"round {turn} of {bench.rounds}: {METHODS[key].label}")
                repeats[key].append(workers[key].fit(turn))
        others = []
        if "ours-auto" in chosen:
            for turn in range(1, bench.rounds + 1):
                bench.say(f"round {turn} of {bench.rounds}: other losses, same shape")
                others.append(workers["ours-auto"].fit(-turn)["whole_s"])
    return {key: {"first": first[key], "repeats": repeats[key]} for key in chosen} | (
        {"same shape": {"repeats": others}} if others else {}
    )


def row(key: str, import_s: float, measured: Mapping[str, Any]) -> dict[str, Any]:
    """Sum up one method: medians over repeats."""
    repeats = measured["repeats"]
    sample = median(r["sample_s"] for r in repeats)
    rhats = [r["rhat"] for r in repeats if r["rhat"] is not None]
    steps = [r["gradients"] for r in repeats if r["gradients"] is not None]
    return {
        "key": key,
        "method": METHODS[key].label,
        "sampler_used": ", ".join(sorted({r["path"] for r in repeats})),
        "import_s": import_s,
        "compile_s": max(0.0, measured["first"]["wall_s"] - median(r["sample_s"] for r in repeats)),
        "sample_s": sample,
        "whole_s": median(r["whole_s"] for r in repeats),
        "ess": median(r["ess"] for r in repeats),
        "rhat": max(rhats) if rhats else None,
        "gradients": median(steps) if steps else None,
        "ess_per_s": median(r["ess"] / r["sample_s"] for r in repeats),
        "repeats": repeats,
        "first": measured["first"],
    }


def add_ratios(rows: Sequence[dict[str, Any]]) -> None:
    """Compare every row with the plain NumPyro rows."""
    for name, contest in (("x_plain", PLAIN), ("x_dense", DENSE)):
        base = [r["ess_per_s"] for r in rows if METHODS[r["key"]].contest == contest]
        for r in rows:
            r[name] = r["ess_per_s"] / base[0] if base else None


# --- the command line of the package ----------------------------------------------------------------------------


FIT_SCRIPT = f"""
import sys
from bayes_scaling import Runs, fit
fit({LAW!r}, Runs.read(sys.argv[1]), seed=0).save(sys.argv[2])
"""


def measure_commands(bench: Bench) -> list[dict[str, Any]]:
    """Time whole processes, in turn; the first process of a fit fills the compilation cache."""
    program = str(Path(sys.executable).with_name("bayes-scaling"))
    script = [sys.executable, "-c", FIT_SCRIPT, str(bench.table), str(bench.folder / "script.nc")]
    command = [program, "fit", str(bench.table), "--law", LAW, "--out", str(bench.folder / "fit.nc"), "--seed", "0"]
    lines = {
        "Python script: read CSV, fit, save": (script, bench.folder / "cache_script"),
        f"bayes-scaling fit runs.csv --law {LAW} --out fit.nc --seed 0": (command, bench.folder / "cache_command"),
        "bayes-scaling --help": ([program, "--help"], None),
        "bayes-scaling laws": ([program, "laws"], None),
    }
    found = []
    spent: dict[str, list[float | None]] = {name: [] for name in lines}
    for turn in range(bench.rounds + 1):
        for name, (arguments, cache) in lines.items():
            bench.say(f"process {turn}: {name}")
            for file in bench.folder.glob("*.nc"):
                file.unlink()
            spent[name].append(bench.seconds(arguments, cache))
    for name, (_, cache) in lines.items():
        first, *later = spent[name]
        known = [value for value in later if value is not None]
        repeat = median(known) if len(known) == len(later) else None
        if cache is not None:
            found.append({"what": f"first process, empty cache: {name}", "seconds": first})
        found.append({"what": f"{'second process, warm cache: ' if cache else ''}{name}", "seconds": repeat})
    return found


# --- printing ---------------------------------------------------------------------------------------------------


COLUMNS: Mapping[str, tuple[str, str]] = {
    "method": ("method", ""),
    "import_s": ("import s", ".2f"),
    "compile_s": ("compile s", ".1f"),
    "sample_s": ("sample s", ".3f"),
    "whole_s": ("whole s", ".3f"),
    "ess": ("min ESS", ".0f"),
    "rhat": ("max R-hat", ".4f"),
    "gradients": ("grad/draw", ".1f"),
    "ess_per_s": ("ESS/s", ".0f"),
    "x_plain": ("x diag", ".1f"),
    "x_dense": ("x dense", ".1f"),
    "sampler_used": ("sampler used", ""),
}


def table_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as aligned text."""
    cells = [[title for title, _ in COLUMNS.values()]]
    for r in rows:
        cells.append(["-" if r[name] is None else format(r[name], how) for name, (_, how) in COLUMNS.items()])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    text = []
    for line in cells:
        left, *middle, right = (f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True))
        text.append("  ".join([left.strip().ljust(widths[0]), *middle, right.strip()]).rstrip())
    return "\n".join(text)


def machine_facts() -> dict[str, Any]:
    """Return what the numbers depend on."""
    versions = {}
    for name in ("jax", "numpyro", "nutpie", "numpy", "arviz-stats"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version(), **versions}


def report(result: Mapping[str, Any]) -> str:
    """Return everything that is printed."""
    facts = ", ".join(f"{name} {value}" for name, value in result["machine"].items())
    parts = [
        f"{facts}; load average at the start {result['load']:.1f}",
        f"{LAW}, Student-t noise, {result['runs']}; {CHAINS} chains x ({WARMUP} warm-up + {DRAWS} draws), "
        f"medians of {result['rounds']} interleaved repeats",
        "",
        table_text(result["rows"]),
    ]
    rivals = [r for r in result["rows"] if r["key"].startswith("nutpie")]
    if rivals:
        best = max(rivals, key=lambda r: r["ess_per_s"])
        parts += ["", f"nutpie best: {best['method']}, {best['ess_per_s']:.0f} ESS/s"]
        mine = [r for r in result["rows"] if r["key"].startswith("ours")]
        parts += [f"  {r['method']}: {r['ess_per_s'] / best['ess_per_s']:.2f} x nutpie best" for r in mine]
    parts += ["", "whole processes and repeats, s"]
    for line in result["processes"]:
        seconds = "not available" if line["seconds"] is None else f"{line['seconds']:.2f}"
        parts.append(f"{seconds:>13}  {line['what']}")
    return "\n".join([*parts, *(f"note: {note}" for note in result["notes"])])


# --- main -------------------------------------------------------------------------------------------------------


@contextmanager
def prepared(arguments: argparse.Namespace) -> Iterator[Bench]:
    """Make a scratch folder and the table of runs."""
    with tempfile.TemporaryDirectory(prefix="speed_") as name:
        folder = Path(name)
        table = arguments.runs.resolve() if arguments.runs else folder / "runs.csv"
        if arguments.runs is None:
            simulated_runs(table)
        yield Bench(table, folder, arguments.rounds, arguments.hold)


def measure(bench: Bench, keys: Sequence[str], source: str) -> dict[str, Any]:
    """Measure everything."""
    load = os.getloadavg()[0]
    notes = [f"{METHODS[key].label}: skipped, {METHODS[key].missing}" for key in keys if METHODS[key].missing]
    keys = [key for key in keys if not METHODS[key].missing]
    imports = measure_imports(bench, keys)
    measured = measure_methods(bench, keys, notes)
    same_shape = measured.pop("same shape", None)
    rows = [row(key, imports[key], found) for key, found in measured.items()]
    add_ratios(rows)
    processes = measure_commands(bench)
    if same_shape:
        what = "one process: repeat fit, method=auto, other losses of the same shape"
        processes.insert(0, {"what": what, "seconds": median(same_shape["repeats"])})
    return {
        "machine": machine_facts(),
        "load": load,
        "runs": source,
        "rounds": bench.rounds,
        "rows": rows,
        "processes": processes,
        "notes": notes,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, help="table of runs (default: 240 simulated ones)")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of everything")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--json", type=Path, help="write all numbers to this file too")
    parser.add_argument("--hold", type=Path, help="start nothing while this file exists (another job has the machine)")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker, arguments.runs)
        return
    with prepared(arguments) as bench:
        source = arguments.runs.name if arguments.runs else f"240 runs simulated from {BESIROGLU_2024}"
        result = measure(bench, arguments.only, source)
    print(report(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
