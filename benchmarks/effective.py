"""Effective draws per CPU second of the default posterior, discrepancy and Student-t noise included, beside others.

    uv run --extra benchmark --with blackjax python benchmarks/effective.py
    uv run python benchmarks/effective.py --runs my_runs.csv --only ours,numpyro-dense
    uv run python benchmarks/effective.py --law kaplan_trajectory --curves 62

Chinchilla's law on 240 simulated runs, or another law on a table of yours or on the smallest bundled training curves; 4
chains of 1,000 warm-up iterations and 1,000 draws. Every method samples the same density over the same coordinates,
compiled by JAX before the clock starts; ours is the fit as `bayes_scaling.fit` makes it, with its modes, its gate and
its diagnostics. NumPyro and blackjax run inside one compiled program; nutpie calls the compiled density. Each has a
process of its own. ESS is the smallest bulk or tail effective sample size, R-hat the largest, over all coordinates but
increments of the discrepancy. A method that is not installed is left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from nutpie_density import jax_density
from speed import CHAINS, LAW, column, judged, simulated_runs

import bayes_scaling as bs
from bayes_scaling.base.progress import silent
from bayes_scaling.base.scope import scope
from bayes_scaling.inference.fit import ask, composed
from bayes_scaling.model.composition import INCREMENTS

COLUMNS = ("method", "cpu_s", "ess", "ess_per_s", "rhat", "gradients", "diverging", "how")


@dataclasses.dataclass(frozen=True)
class Question:
    """The posterior that every method samples, and how long.

    Attributes
    ----------
    law : name or path
    runs : table
    warmup, draws : per chain
    """

    law: str
    runs: bs.Runs
    warmup: int = 1000
    draws: int = 1000

    def density(self) -> tuple[Any, Any, Any]:
        """Return the model, table and priors of the default posterior, in a scope."""
        law = bs.load_law(self.law)
        problem = ask(composed(law, self.runs, "auto", "brownian", None), self.runs, bs.Sampler(), 0, silent).problem
        return problem.model, problem.data, problem.priors


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What a method gave.

    Attributes
    ----------
    u : (chain, draw, coordinate)
    seconds : of all CPUs
    gradients : per draw, not counting warm-up
    diverging : draws
    """

    u: np.ndarray
    seconds: float
    gradients: float
    diverging: int
    how: str = ""


def ours(asked: Question) -> Drawn:
    """Fit twice, the second time with compiled programs at hand."""
    sampler = bs.Sampler(chains=CHAINS, draws=asked.draws)
    bs.fit(asked.law, asked.runs, sampler=sampler, seed=1, progress=False)
    started = time.process_time()
    fitted = bs.fit(asked.law, asked.runs, sampler=sampler, seed=0, progress=False)
    seconds = time.process_time() - started
    stats = fitted.stats
    return Drawn(
        fitted.unconstrained,
        seconds,
        float(np.mean(stats["n_steps"])),
        int(np.sum(stats["diverging"])),
        fitted.sampler_used,
    )


def _compiled_chains(asked: Question, chain: Callable[[Any, Any, Any], Any]) -> Drawn:
    """Run chains of a function from the density, a key and a start to draws, gradients and divergences."""
    import jax

    with scope():
        model, data, priors = asked.density()
        starts = np.random.default_rng(0).uniform(-1, 1, (CHAINS, len(model.sites)))

        def from_start(seed: Any, u: Any) -> Any:
            return chain(lambda u: -model.potential(u, data, priors), jax.random.PRNGKey(seed), u)

        program = jax.jit(from_start).lower(0, starts[0]).compile()
        started = time.process_time()
        found = [jax.tree.map(np.asarray, program(seed, u)) for seed, u in enumerate(starts)]
        seconds = time.process_time() - started
    u, steps, diverging = (np.stack(part) for part in zip(*found, strict=True))
    return Drawn(u, seconds, float(steps.mean()), int(diverging.sum()))


def numpyro(asked: Question, *, dense: bool) -> Drawn:
    """NumPyro's NUTS with its default settings, from starts in its usual range."""
    import jax
    from numpyro.infer import NUTS

    def chain(log_density: Any, key: Any, u: Any) -> Any:
        kernel = NUTS(potential_fn=lambda u: -log_density(u), dense_mass=dense)
        state = kernel.init(key, asked.warmup, u, (), {})

        def step(state: Any, _: None) -> Any:
            state = kernel.sample(state, (), {})
            return state, (state.z, state.num_steps, state.diverging)

        state, _ = jax.lax.scan(lambda state, _: (step(state, None)[0], None), state, None, length=asked.warmup)
        return jax.lax.scan(step, state, None, length=asked.draws)[1]

    return _compiled_chains(asked, chain)


def blackjax(asked: Question, *, dense: bool) -> Drawn:
    """NUTS of blackjax behind its window adaptation."""
    import blackjax as _blackjax
    import jax

    def chain(log_density: Any, key: Any, u: Any) -> Any:
        warm, sampling = jax.random.split(key)
        adaptation = _blackjax.window_adaptation(_blackjax.nuts, log_density, is_mass_matrix_diagonal=not dense)
        (state, settings), _ = adaptation.run(warm, u, asked.warmup)
        kernel = _blackjax.nuts(log_density, **settings)

        def step(state: Any, key: Any) -> Any:
            state, info = kernel.step(key, state)
            return state, (state.position, info.num_integration_steps, info.is_divergent)

        return jax.lax.scan(step, state, jax.random.split(sampling, asked.draws))[1]

    return _compiled_chains(asked, chain)


def nutpie(asked: Question, *, adaptation: str) -> Drawn:
    """Sample with nutpie, which calls the density that JAX compiled, from threads of its own."""
    import jax
    import nutpie as _nutpie

    jax.config.update("jax_enable_x64", True)  # a scope holds in its own thread only
    with scope():
        model, data, priors = asked.density()

        def initial_point(seed: int | None) -> np.ndarray:
            return np.random.default_rng(seed).uniform(-1, 1, len(model.sites))

        compiled = jax_density(asked.runs, model, data, priors, initial_point)
        started = time.process_time()
        trace = _nutpie.sample(
            compiled,
            draws=asked.draws,
            tune=asked.warmup,
            chains=CHAINS,
            cores=1,  # the density is a function of Python: more threads would wait for each other
            seed=0,
            adaptation=adaptation,
            progress_bar=False,
            return_raw_trace=True,
        )
        seconds = time.process_time() - started
    draws, stats = trace.get_arrow_trace()
    last = [
        np.array([column(stat, name)[-asked.draws :] for stat in stats], float) for name in ("n_steps", "diverging")
    ]
    u = np.stack([column(draw, "u").reshape(-1, len(model.sites))[-asked.draws :] for draw in draws])
    return Drawn(u, seconds, float(last[0].mean()), int(last[1].sum()))


METHODS: Mapping[str, Callable[[Question], Drawn]] = {
    "ours": ours,
    "numpyro-diag": lambda asked: numpyro(asked, dense=False),
    "numpyro-dense": lambda asked: numpyro(asked, dense=True),
    "blackjax-diag": lambda asked: blackjax(asked, dense=False),
    "blackjax-dense": lambda asked: blackjax(asked, dense=True),
    "nutpie-diag": lambda asked: nutpie(asked, adaptation="diag"),
    "nutpie-low_rank": lambda asked: nutpie(asked, adaptation="low_rank"),
}


def measured(method: str, asked: Question) -> dict[str, Any]:
    """Return the numbers of one method."""
    drawn = METHODS[method](asked)
    with scope():
        sites = asked.density()[0].sites
    judged_too = [i for i, site in enumerate(sites) if not site.startswith(INCREMENTS)]
    ess, rhat = judged(drawn.u[..., judged_too])
    return {
        "method": method,
        "cpu_s": round(drawn.seconds, 2),
        "ess": round(ess),
        "ess_per_s": round(ess / drawn.seconds, 1),
        "rhat": round(rhat, 4),
        "gradients": round(drawn.gradients, 1),
        "diverging": drawn.diverging,
        "how": drawn.how,
    }


def smallest_curves(path: Path, count: int) -> None:
    """Write every third row of the smallest models' curves."""
    curves = bs.datasets.load("stdlib_curves").table
    smallest = curves.groupby("run")["params"].first().sort_values(kind="stable").index[:count]
    curves[curves["run"].isin(smallest)].iloc[::3].to_csv(path, index=False)


def main() -> None:
    """Measure what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--law", default=LAW)
    table = parser.add_mutually_exclusive_group()
    table.add_argument("--runs", type=Path, help="a table that the law can read; by default 240 simulated runs")
    table.add_argument("--curves", type=int, help="so many of the smallest bundled training curves, every third row")
    parser.add_argument("--only", default=",".join(METHODS), help="methods with commas between")
    parser.add_argument("--warmup", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        asked = Question(arguments.law, bs.Runs.read(arguments.runs), arguments.warmup, arguments.draws)
        print(json.dumps(measured(arguments.one, asked)))
        return
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        table = arguments.runs
        if table is None:
            table = Path(folder) / "runs.csv"
            simulated_runs(table) if arguments.curves is None else smallest_curves(table, arguments.curves)
        for method in arguments.only.split(","):
            library = method.split("-")[0]
            if library != "ours" and importlib.util.find_spec(library) is None:
                print(f"{library} is not installed", file=sys.stderr)
                continue
            options = {"law": arguments.law, "runs": table, "warmup": arguments.warmup, "draws": arguments.draws}
            given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
            command = [sys.executable, __file__, "--one", method, *given]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{method}: {done.stderr.strip().splitlines()[-1]}")
            found = json.loads(done.stdout.splitlines()[-1])
            print(f"| {' | '.join(str(found[name]) for name in COLUMNS)} |", flush=True)


if __name__ == "__main__":
    main()
