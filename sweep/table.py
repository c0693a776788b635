"""Tables of measured runs that only grow, so that a sweep can be stopped and started."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Row = dict[str, str]


def read_table(path: Path) -> list[Row]:
    """Return the rows measured so far; an absent file is an empty table."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_table(path: Path, columns: Sequence[str], rows: list[Row]) -> None:
    """Write the whole table to a temporary file beside it, then rename."""
    temporary = path.with_suffix(".partial")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def fill_table[Cell](
    path: Path,
    columns: Sequence[str],
    cells: Mapping[str, Cell],
    measure: Callable[[str, Cell], list[Row]],
    corpus_sha256: str,
) -> None:
    """Measure each named cell that the table lacks; the table is rewritten after every cell."""
    path.parent.mkdir(parents=True, exist_ok=True)  # not after the first run is done
    rows = read_table(path)
    others = {row["corpus_sha256"] for row in rows} - {corpus_sha256}
    if others:
        sys.exit(
            f"{path} was measured on another corpus ({', '.join(others)}; here {corpus_sha256}): "
            "use the same version of the interpreter, or write to another file"
        )
    done = {row["run"] for row in rows}
    for name, cell in cells.items():
        if name in done:
            continue
        started = time.perf_counter()
        rows += measure(name, cell)
        write_table(path, columns, rows)
        seconds = time.perf_counter() - started
        rate = float(rows[-1]["flops"]) / seconds / 1e9
        print(f"{name:28s} loss {rows[-1]['loss']} nats/byte, {seconds:.1f} s, {rate:.1f} GFLOP/s", flush=True)
