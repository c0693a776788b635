"""Are the posteriors calibrated? Simulation-based calibration of every law of the catalogue.

    uv run python benchmarks/sbc.py                     # 200 tables each, without a discrepancy and with one
    uv run python benchmarks/sbc.py --ensemble          # the members that `fit` puts together where no law is named
    uv run python benchmarks/sbc.py --laws chinchilla,nesting --tables 50
    uv run python benchmarks/sbc.py --print             # the table of what is done so far

Each law draws parameters from its prior, simulates runs over the usual span of its inputs (`typical_design`) with the
noise that `fit` chooses by default, and is fitted to them. The ranks of the true values among posterior draws are
uniform where the posterior is calibrated. Fits that do not converge are counted and left out, as everywhere else.
Tables of one law are sampled at once (``--sampler batched``); ``--sampler auto`` samples them one after the other, as
`fit` does. There are 48 runs where there is no discrepancy, and 24 with one, whose path is held at 24
sizes: with more sizes than that, what the path does between them counts as scatter. ``--rows 48`` shows what that does.

All laws do a first part of the tables before any does the next. Every part is kept in ``--out`` when it is done and
found there again, so that the command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import bayes_scaling as bs
from bayes_scaling.base.files import write_text
from bayes_scaling.base.names import SAMPLERS, SamplerName
from bayes_scaling.evaluate.calibration import Calibration, Ranks
from bayes_scaling.evaluate.defaults import DEFAULTS
from bayes_scaling.laws.catalogue import choices_of, options_of
from bayes_scaling.model.choices import DiscrepancyChoice, NoiseChoice
from bayes_scaling.model.discrepancy import KNOTS
from bayes_scaling.model.simulate import typical_design

PART = 25  # tables
BY_TABLE = ("ranks", "converged", "seconds", "alone")
GROWING = bs.Noise(scale="growing")
VARIANTS: dict[str, tuple[NoiseChoice, DiscrepancyChoice, int]] = {
    "exact": ("auto", "none", 48),
    "discrepancy": ("auto", "brownian", KNOTS),
    "growing": (GROWING, "none", 48),
    "growing_discrepancy": (GROWING, "brownian", KNOTS),
    "trend": ("auto", "trend", KNOTS),
}
ALONE = ("exact", "discrepancy")
"""Variants of a law that is named."""
CHANCE = 0.05  # that a catalogue of calibrated laws has any that is called uncalibrated


def every_program() -> list[str]:
    """Name each law with its defaults, and with each option that changes its formula or its parameters."""
    names = []
    for name in bs.available_laws():
        names.append(name)
        plain = bs.load_law(name)
        for key, values in choices_of(name).items():
            for value in values:
                other = bs.load_law(f"{name}:{key}={value}")
                if value != options_of(name)[key] and other.parameter_names != plain.parameter_names:
                    names.append(other.label)
    return names


def every_member() -> list[tuple[str, str]]:
    """Name each law that `fit` takes where none is named, with each variant that it takes then."""
    found = []
    for name in dict.fromkeys(law for row in DEFAULTS for law in row.laws):
        variants = ("growing", "growing_discrepancy") if len(bs.load_law(name).inputs) > 1 else ("discrepancy", "trend")
        found += [(name, variant) for variant in variants]
    return found


@dataclasses.dataclass(frozen=True)
class Case:
    """What is calibrated: one law, with or without its discrepancy, on tables of so many rows."""

    law: str
    variant: str
    rows: int
    sampler: SamplerName

    def file(self, folder: Path, first: int) -> Path:
        """Name the file of the part that starts with a table."""
        law = re.sub(r"[^a-z0-9_]+", "-", self.law)
        return folder / f"{law}.{self.variant}.{self.rows}.{self.sampler}.{first:04d}.json"

    def ranks(self, first: int) -> Ranks:
        """Calibrate on the tables of one part."""
        law = bs.load_law(self.law)
        noise, discrepancy, _ = VARIANTS[self.variant]
        design = typical_design(law, self.rows)
        tables, sampler = range(first, first + PART), bs.Sampler(self.sampler)
        return Calibration(law, design, noise, discrepancy, tables, sampler).measure()


def read(path: Path) -> Ranks:
    """Read one part."""
    content = json.loads(path.read_text())
    arrays = {name: np.array(content[name]) for name in BY_TABLE}
    return Ranks(tuple(content["names"]), draws=content["draws"], **arrays)


def write(ranks: Ranks, path: Path) -> None:
    """Keep one part."""
    arrays = {name: getattr(ranks, name).tolist() for name in BY_TABLE}
    write_text(json.dumps({"names": ranks.names, "draws": ranks.draws, **arrays}), path)


def row_of(case: Case, ranks: Ranks) -> dict[str, Any]:
    """Summarise one case: the quantity whose ranks are least uniform, its p-value times the number of quantities."""
    row = {**dataclasses.asdict(case), "tables": len(ranks.ranks), "converged": float(ranks.converged.mean())}
    if not ranks.converged.any():
        return {**row, "p": 0.0, "worst": "", "mean_z": np.nan, "sd_z": np.nan}
    table = ranks.uniformity()
    worst = str(table["p_value"].idxmin())
    p = min(1.0, float(table["p_value"].min()) * len(table))
    return {**row, "p": p, "worst": worst, "mean_z": table["mean_z"][worst], "sd_z": table["sd_z"][worst]}


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of all cases."""
    lines = ["| law | variant, runs | tables | converged | least uniform | mean z | sd z | p |", "|" + "---|" * 8]
    for row in rows:
        verdict = "" if row["p"] > CHANCE / len(rows) else " **not calibrated**"
        lines.append(
            f"| `{row['law']}` | {row['variant']}, {row['rows']} | {row['tables']} | {row['converged']:.0%} "
            f"| {row['worst']} | {row['mean_z']:+.2f} | {row['sd_z']:.2f} | {row['p']:.2g}{verdict} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Calibrate what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laws", help="names with commas between them; every law of the catalogue by default")
    parser.add_argument("--variant", choices=VARIANTS, help="only this one")
    parser.add_argument("--ensemble", action="store_true", help="the members of default ensembles")
    parser.add_argument("--rows", type=int, help="runs of a table")
    parser.add_argument("--tables", type=int, default=200, help=f"for each law, in parts of {PART}")
    parser.add_argument("--sampler", choices=SAMPLERS, default="batched", help="how each table is sampled")
    parser.add_argument("--out", type=Path, default=Path("sbc"), help="folder in which parts are kept")
    parser.add_argument("--print", action="store_true", help="only print what is done")
    arguments = parser.parse_args()
    named = arguments.laws.split(",") if arguments.laws else None
    variants = [arguments.variant] if arguments.variant else ALONE
    pairs = [(law, name) for law in named or every_program() for name in variants]
    if arguments.ensemble:
        pairs = [(law, name) for law, name in every_member() if named is None or law in named]
    cases = [Case(law, name, arguments.rows or VARIANTS[name][2], arguments.sampler) for law, name in pairs]
    parts = range(0, arguments.tables, PART)
    for first in () if arguments.print else parts:
        for case in cases:
            path = case.file(arguments.out, first)
            if not path.is_file():
                started = time.perf_counter()
                write(case.ranks(first), path)
                if len(cases) > 1:
                    jax.clear_caches()  # hundreds of programs in one process exhaust its memory mappings
                print(f"{path.stem}: {time.perf_counter() - started:.0f} s", flush=True)
    done = {case: [path for first in parts if (path := case.file(arguments.out, first)).is_file()] for case in cases}
    found = {case: Ranks.joined([read(path) for path in paths]) for case, paths in done.items() if paths}
    print(markdown([row_of(case, ranks) for case, ranks in found.items()]))
    if found:
        alone = np.concatenate([ranks.alone for ranks in found.values()])
        seconds = sum(float(ranks.seconds.sum()) for ranks in found.values())
        print(f"\n{len(alone)} tables in {seconds:.0f} s, {alone.mean():.1%} of them sampled alone")


if __name__ == "__main__":
    main()
