"""The scoreboard: public tables with a fixed split, our answer under the published metrics, published rivals beside it.

    uv run python benchmarks/scoreboard.py --data FOLDER [--out FOLDER] [--only NAME,...] [--workers N]

FOLDER holds the public files (TASK_train.csv and TASK_test.csv of SLDBench and ScaleBench, curves_nslpfn.csv.gz,
losscast_runs.csv.gz, openeurollm_best_per_cell.csv, and those that `extrapolation.py` reads); none of their rows is
part of this repository, and what is absent is left out. ``scoreboard.md`` and ``scoreboard.json`` go into ``--out``.

It resumes. What is measured is kept there, one file each, under the hash of the sources that it was computed from: the
steps of the package, its laws and the suite. After a change it is measured again, or shown as it was with ``--stale``.
``--only`` takes parts of names (``moe``, ``LossCast``, ``NSL-PFN curves, IC``); ``--list`` says what is there and kept.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from suites import grids, learning_curves, losscast, tasks
from suites.cells import Cell, Measurement, Row, found, missing

import bayes_scaling as bs
from bayes_scaling.base.executors import opened
from bayes_scaling.base.names import SamplerName
from bayes_scaling.base.progress import progress_bar
from bayes_scaling.base.tasks import attempted

SUITES = (tasks, learning_curves, losscast, grids)
HEADER = (
    "suite",
    "task",
    "answer",
    "metric",
    "value",
    "published",
    "runs",
    "inside 50 / 80 / 90 %",
    "log score",
    "RMS error, %",
    "fits converged",
    "seconds",
    "note",
)


def wanted(cell: Cell, only: list[str]) -> bool:
    """Say whether a cell was asked for."""
    name = f"{cell.suite}, {cell.name}".lower()
    return not only or any(part.strip().lower() in name for part in only)


def markdown(rows: list[Row]) -> str:
    """Return the table as Markdown."""
    lines = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    for row in rows:
        published = "; ".join(f"{name} {value:.4g}" for name, value in row.published.items())
        inside = " / ".join(f"{share:.2f}" for share in row.inside)
        cells = (
            row.suite,
            row.task,
            row.answer,
            row.metric,
            f"{row.value:.4f}",
            published,
            str(row.n),
            inside,
            f"{row.log_score:.2f}",
            f"{100 * row.rmsle:.2f}",
            f"{row.converged:.2f}",
            f"{row.seconds:.0f}",
            row.note,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def plain(row: Row) -> dict[str, object]:
    """Return a row for JSON, which has no NaN."""
    values = {**dataclasses.asdict(row), "inside": [None if math.isnan(share) else share for share in row.inside]}
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}


def measure_all(
    asked: Mapping[ModuleType, Sequence[Cell]], out: Path, sampler: SamplerName, workers: int | None
) -> dict[tuple[str, str], str]:
    """Measure the cells that are not kept yet, here or in so many processes; return why some could not be."""
    left = [
        Measurement(cell, out, sampler)
        for cells in asked.values()
        for cell in cells
        if found(out, cell, sampler, stale=False) is None
    ]
    with opened(workers) as executor, progress_bar("scoreboard") as report:
        made = attempted(left, executor, report)
    tried = zip(left, made, strict=True)
    return {(one.cell.suite, one.cell.name): str(why) for one, why in tried if isinstance(why, bs.BayesScalingError)}


def main() -> None:
    """Measure what is not kept yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of public tables")
    parser.add_argument("--out", type=Path, default=Path("scoreboard"), help="where results are kept and written")
    parser.add_argument("--only", default="", help="parts of names, with commas between")
    parser.add_argument("--stale", action="store_true", help="measure nothing; show what other sources gave, marked")
    parser.add_argument("--sampler", default="auto", choices=("auto", "nuts", "laplace"), help="laplace: a quick look")
    parser.add_argument("--workers", type=int, help="measure in this many processes; by default in this one")
    parser.add_argument("--list", action="store_true", help="list what there is to measure, and stop")
    arguments = parser.parse_args()
    only = [part for part in arguments.only.split(",") if part.strip()]
    asked = {suite: [cell for cell in suite.cells(arguments.data) if wanted(cell, only)] for suite in SUITES}
    if arguments.list:
        for cell in (cell for cells in asked.values() for cell in cells):
            kept = found(arguments.out, cell, arguments.sampler, stale=arguments.stale)
            print(f"{'kept' if kept is not None else '    '}  {cell.suite}, {cell.name}")
        return
    failed = {} if arguments.stale else measure_all(asked, arguments.out, arguments.sampler, arguments.workers)
    rows: list[Row] = []
    for suite, cells in asked.items():
        # What is missing is said in the table, and tried again next time.
        rows += [missing(cell, failed[cell.suite, cell.name]) for cell in cells if (cell.suite, cell.name) in failed]
        kept = {cell.name: found(arguments.out, cell, arguments.sampler, stale=arguments.stale) for cell in cells}
        scores = {name: table for name, table in kept.items() if table is not None}
        old = {name for name, table in scores.items() if table["stale"].any()}
        if scores:
            made = suite.rows(scores)
            rows += [dataclasses.replace(row, task=f"{row.task} (stale)") if row.task in old else row for row in made]
    if not rows:
        parser.error(f"nothing to show: {arguments.data} has none of the files, or --only leaves nothing")
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = markdown(rows)
    content = {"sampler": arguments.sampler, "rows": [plain(row) for row in rows]}
    (arguments.out / "scoreboard.md").write_text(text)
    (arguments.out / "scoreboard.json").write_text(json.dumps(content, indent=1))
    print(text)


if __name__ == "__main__":
    main()
