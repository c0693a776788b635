"""What an accelerator gives: many tables at once, a long table and long curves, beside two cores of a CPU.

    uv run python benchmarks/gpu.py                                   # both devices, everything; runs unattended
    uv run python benchmarks/gpu.py --devices cpu --tables 20 --long 1000 --curves 600     # a look without one

Every part runs in a process of its own on every device, so that its peak memory is its own and a part that fails takes
no other along. Parts:

tables   many tables of Chinchilla runs, each by the default posterior, all at once (`fit_many`)
lanes    a few of these tables: one by one in the same program, and side by side
long     one table of Chinchilla runs, the law without a discrepancy
curves   rows of many training curves of `kaplan_trajectory` by the default posterior

A CPU has two cores. It does the first ``--cpu-tables`` of the tables; effective draws per second compare. Posterior
means of a device and of the CPU lie some Monte Carlo errors apart: a root mean square near 1 is agreement.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

CORES = 2  # of a CPU
LANES = (1, 4, 16)
BLOCK = 256  # tables whose fits are in memory at a time


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much of everything.

    Attributes
    ----------
    tables, rows, cpu_tables : number of tables, rows of each, and how many of them the CPU does
    long : rows of one long table
    curves : rows of all curves
    """

    tables: int = 1000
    rows: int = 245
    cpu_tables: int = 100
    long: int = 100_000
    curves: int = 100_000


def tables(device: str, sizes: Sizes) -> dict[str, Any]:
    """Fit many tables, twice over: the second time nothing is compiled."""
    from device import runs

    import bayes_scaling as bs
    from bayes_scaling.inference.batched import BATCHED
    from bayes_scaling.inference.many import fit_many

    count = min(sizes.tables, sizes.cpu_tables) if device == "cpu" else sizes.tables
    given = [runs(sizes.rows, seed) for seed in range(count)]
    sampler, seconds, said = bs.Sampler("batched", device=device), [], []
    for _ in range(2):
        said.clear()
        started = time.perf_counter()
        for first in range(0, count, BLOCK):
            some = given[first : first + BLOCK]
            fits = fit_many("chinchilla", some, sampler=sampler, progress=False)
            said += [(summary(fit), fit.sampler_used == BATCHED) for fit in fits]
        seconds.append(time.perf_counter() - started)
    alone = sum(not together for _, together in said)
    return {"posteriors": count, "seconds": seconds, "alone": alone, **together([one for one, _ in said])}


def long(device: str, sizes: Sizes) -> dict[str, Any]:
    """Fit one long table."""
    from device import runs

    return _fit_one("chinchilla", runs(sizes.long), device, "none")


def curves(device: str, sizes: Sizes) -> dict[str, Any]:
    """Fit the rows of many training curves."""
    import bayes_scaling as bs

    law = bs.load_law("kaplan_trajectory")
    each = 100 if sizes.curves >= 1000 else 10
    rng, count = np.random.default_rng(0), sizes.curves // each
    steps = np.logspace(2, 4.5, each)
    design = pd.DataFrame(
        {
            "run": np.repeat([f"curve-{i}" for i in range(count)], each),
            "params": np.repeat(np.exp(rng.uniform(np.log(1e6), np.log(1e9), count)), each),
            "batch_tokens": np.repeat(np.exp(rng.uniform(np.log(3e4), np.log(1e6), count)), each),
            "steps": np.tile(steps, count),
        }
    )
    noise = bs.Noise("normal", rows="correlated")
    return _fit_one(law, bs.simulate(law, design, noise=noise, seed=3), device, "brownian")


def _fit_one(law: Any, runs: Any, device: str, discrepancy: Any) -> dict[str, Any]:
    """Fit one table twice."""
    import bayes_scaling as bs

    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        fit = bs.fit(law, runs, discrepancy=discrepancy, sampler=bs.Sampler(device=device), progress=False)
        seconds.append(time.perf_counter() - started)
    return {"posteriors": 1, "seconds": seconds, "alone": 1, "how": fit.sampler_used, **together([summary(fit)])}


def lanes(device: str, sizes: Sizes) -> dict[str, Any]:
    """Sample a few posteriors with some lanes at a time; return the seconds of one, by the number of lanes."""
    import jax
    from device import runs

    import bayes_scaling as bs
    from bayes_scaling.base.scope import scope
    from bayes_scaling.inference import batched
    from bayes_scaling.inference.fit import ask, composed
    from bayes_scaling.inference.side_by_side import Machine

    law, sampler = bs.load_law("chinchilla"), bs.Sampler("batched", device=device)
    given = [runs(sizes.rows, seed) for seed in range(min(max(LANES), sizes.tables))]
    seconds = {}
    with scope(device):
        asked = [ask(composed(law, one, "auto", "brownian", None), one, sampler, 0, lambda *_: None) for one in given]
        problems = batched.with_good_geometries([one.problem for one in asked])
        schedule = batched.HmcSettings(problems[0].settings.draws)
        inputs = [batched.to_sample(problem) for problem in problems]
        for count in LANES:
            machine = Machine((jax.config.jax_default_device,), count)
            for _ in range(2):
                started = time.perf_counter()
                batched.sampler_of(problems[0].model, schedule, machine)(inputs, lambda i, result: None)
                seconds[count] = (time.perf_counter() - started) / len(inputs)
    return {"posteriors": len(inputs), "lanes": seconds}


PARTS: dict[str, Callable[[str, Sizes], dict[str, Any]]] = {
    "tables": tables,
    "lanes": lanes,
    "long": long,
    "curves": curves,
}


def summary(fit: Any) -> dict[str, Any]:
    """Return what a fit says: means and their Monte Carlo errors, effective draws, whether it converged."""
    from arviz_stats.base import array_stats

    values = list(fit.draws.values())
    ess = [float(array_stats.ess(v, chain_axis=0, draw_axis=1, method="mean")) for v in values]
    return {
        "mean": [float(v.mean()) for v in values],
        "error": [float(v.std() / np.sqrt(n)) for v, n in zip(values, ess, strict=True)],
        "ess": min(fit.diagnostics.ess_bulk, fit.diagnostics.ess_tail),
        "converged": bool(fit.converged),
    }


def together(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what all fits say."""
    return {name: [one[name] for one in summaries] for name in ("mean", "error", "ess", "converged")}


def measure(part: str, device: str, sizes: Sizes) -> dict[str, Any]:
    """Do one part on one device in this process, and add the memory that it took at most."""
    import jax

    found = PARTS[part](device, sizes)
    found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if device != "cpu":
        found["device_memory"] = max(one.memory_stats()["peak_bytes_in_use"] for one in jax.devices(device)) / 2**30
        found["devices"] = [str(one.device_kind) for one in jax.devices(device)]
    return found


def apart(found: dict[str, Any], reference: dict[str, Any]) -> np.ndarray:
    """Return by how many Monte Carlo errors posterior means lie apart, over converged fits of both and parameters."""
    count = min(len(found["mean"]), len(reference["mean"]))
    both = np.array(found["converged"][:count]) & np.array(reference["converged"][:count])
    means, errors = ([np.array(one[name][:count])[both] for one in (found, reference)] for name in ("mean", "error"))
    return np.asarray((means[0] - means[1]) / np.hypot(*errors))


def row_of(part: str, device: str, found: dict[str, Any], reference: dict[str, Any] | None) -> str:
    """Return one row of the table."""
    if "failed" in found:
        return f"| {part} | {device} | {found['failed']} |" + " |" * 7
    memory = f"{found['memory']:.1f}" + (f" + {found['device_memory']:.1f}" if "device_memory" in found else "")
    if part == "lanes":
        spelled = ", ".join(f"{count}: {1000 * float(each):.0f} ms" for count, each in found["lanes"].items())
        return f"| lanes | {device} | {found['posteriors']} | | {spelled} | | | | | {memory} |"
    first, again = found["seconds"]
    distance = ""
    if reference is not None and "mean" in reference and (far := apart(found, reference)).size:
        distance = f"{np.sqrt(np.mean(far**2)):.2f}, {np.abs(far).max():.1f}"
    alone = f"{found['alone'] / found['posteriors']:.1%}" if part == "tables" else found["how"]
    return (
        f"| {part} | {device} | {found['posteriors']} | {first:.1f} | {again:.1f} | {sum(found['ess']) / again:.0f} "
        f"| {alone} | {np.mean(found['converged']):.1%} | {distance} | {memory} |"
    )


HEAD = (
    "| part | device | posteriors | seconds, first | seconds, again | effective draws a second | sampled alone "
    "| converged | apart from the CPU: rms, largest | peak memory, GiB |"
)


def in_its_own_process(part: str, device: str, sizes: Sizes, limit: float) -> dict[str, Any]:
    """Do one part in a process that has two cores if it is to use them; say why not if it does not get done."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        options = [f"--{name.replace('_', '-')}={value}" for name, value in dataclasses.asdict(sizes).items()]
        command = [sys.executable, __file__, "--part", part, "--devices", device, "--out", str(out), *options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return {"failed": f"not done within {limit:.0f} s"}
        if done.returncode:
            return {"failed": (done.stderr.strip().splitlines() or ["it was killed"])[-1].replace("|", "/")}
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Do every part on every device and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", default="cpu,gpu", help="with commas between them; the first is the reference")
    parser.add_argument("--parts", default=",".join(PARTS), help="with commas between them")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds of one part on one device")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    for field in dataclasses.fields(Sizes):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=int, default=field.default)
    options = parser.parse_args(arguments)
    sizes = Sizes(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Sizes)})
    if options.part:
        if options.devices == "cpu":
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
        options.out.write_text(json.dumps(measure(options.part, options.devices, sizes)))
        return
    print(f"{sizes}\n\n{HEAD}\n|{'---|' * 10}", flush=True)
    for part in options.parts.split(","):
        reference = None
        for device in options.devices.split(","):
            found = in_its_own_process(part, device, sizes, options.limit)
            print(row_of(part, device, found, reference), flush=True)
            reference = reference or found


if __name__ == "__main__":
    main()
