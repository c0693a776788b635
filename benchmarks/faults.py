"""A drill in what can go wrong with files: what was tried, what survived, what was lost.

    uv run python benchmarks/faults.py --minutes 30     # goes on where it was; --rounds N trials of each fault
    uv run python benchmarks/faults.py --only kill two  # faults whose name holds one of these words
    uv run python benchmarks/faults.py --table          # only prints what was found so far

Every command that writes is killed (signal 9) and stopped (Ctrl-C) at random moments, half of them while it writes;
has a disk that is full, or a folder that is read-only; runs beside others that write the same file. Saved fits,
registered forecasts, records, kept refits and compiled programs are cut short, overwritten in part, or have one bit
flipped. Full disks and read-only folders need the right to mount.

Lost means: a file that was there is gone or changed, a file under its final name is not whole, an answer differs from
the right one without a word, a line is missing, or there was a traceback, a crash or no end. Below the table stands
which. Met are trials in which the command still ran at the signal, or did not have the room it needed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LONGEST = 600.0  # seconds until a command has no end
LAW = "power_law:input=flops,form=pure"
STUDY = """
[data]
file = "runs.csv"
[laws]
names = ["chinchilla"]
[budget]
amount = 1e15
"""
COMMANDS = {
    "fit": "fit runs.csv --law {law} --sampler laplace --discrepancy none --out new.nc",
    "simulate": "simulate chinchilla --constants besiroglu2024 --out new.csv",
    "import": "import wandb exports --map params=params,tokens=tokens,loss=loss --out new.parquet",
    "preregister": "preregister fit.nc --at flops=1e17 --out new.json",
    "score": "score forecast.json --loss 1.1 --record record.jsonl",
    "plot": "plot fit.nc --out pictures",
    "compare": "compare runs.csv --law {law} --cut flops=1e13 --alongside huber --out comparison",
    "report": "report study.toml --draft --out page",
}
KEPT_NEW = ("preregister",)  # commands that never replace a file


class Lost(Exception):
    """What was lost, in words."""


# --- commands in a process of their own -----------------------------------------------------------------------------


def imported() -> None:
    """Import what is slow to import and survives a fork; the package itself starts threads of JAX, which do not."""
    for name in ("h5netcdf", "jax", "matplotlib.figure", "numpyro", "pandas", "pyarrow", "scipy.stats", "xarray"):
        importlib.import_module(name)
    warnings.filterwarnings("ignore", message=".*fork")


class Started:
    """Something that runs in a fork, with what it prints."""

    def __init__(self, folder: Path, work: Callable[[], None]) -> None:
        self.printed = tempfile.TemporaryFile()  # noqa: SIM115
        self.pid = os.fork()
        if not self.pid:
            self._child(folder, work)

    def _child(self, folder: Path, work: Callable[[], None]) -> None:
        code = 70
        try:
            os.chdir(folder)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(self.printed.fileno(), 2)
            sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w") for number in (1, 2))
            signal.signal(signal.SIGINT, signal.default_int_handler)
            work()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def ended(self) -> int | None:
        """Return the exit code, negative for a signal, or None while it runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def end(self, longest: float = LONGEST) -> int:
        """Wait for the end."""
        until = time.monotonic() + longest
        while (code := self.ended()) is None:
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise Lost(f"no end after {longest:g} s")
            time.sleep(0.005)
        return code

    @property
    def said(self) -> str:
        """What it printed on standard error."""
        self.printed.seek(0)
        return self.printed.read().decode(errors="replace").strip()


def command(folder: Path, line: str) -> Started:
    """Start a command of the command line."""
    words = line.format(law=LAW).split()

    def work() -> None:
        from bayes_scaling.cli import main

        sys.argv = ["bayes-scaling", *words]
        main()

    return Started(folder, work)


def orderly(code: int, said: str, codes: tuple[int, ...] = (0, 3)) -> None:
    """Refuse an end other than an expected one with at most one line."""
    lines = [line for line in said.splitlines() if not line.startswith("warning: ")]
    if code not in codes or len(lines) > 1 or "Traceback" in said:
        raise Lost(f"exit {code}: {' '.join(said.split())[-160:]}")


# --- what is there, and whether it is whole -------------------------------------------------------------------------


def prepared(folder: Path) -> Path:
    """Make, once, the files that commands read, and what each command writes when nothing goes wrong."""
    base = folder / "base"
    if (base / "done").exists():
        return base
    shutil.rmtree(base, ignore_errors=True)
    (base / "exports").mkdir(parents=True)

    def make() -> None:
        import bayes_scaling as bs

        table = bs.datasets.load().table.iloc[::3]
        table.to_csv("runs.csv", index=False)
        table[["params", "tokens", "loss"]].assign(Name=[f"r{i}" for i in range(len(table))]).to_csv(
            "exports/runs.csv", index=False
        )

    orderly(Started(base, make).end(), "")
    (base / "study.toml").write_text(STUDY)
    for line in (
        "fit runs.csv --law {law} --sampler laplace --discrepancy none --out fit.nc",
        "preregister fit.nc --at flops=1e15 --name other --out other.json",
        "preregister fit.nc --at flops=1e16 --out forecast.json",
        "score other.json --loss 1.2 --record record.jsonl",
    ):
        started = command(base, line)
        orderly(started.end(), started.said)
    for name, line in COMMANDS.items():  # what a second run finds and replaces
        if name not in (*KEPT_NEW, "score"):
            started = command(base, line)
            orderly(started.end(), started.said)
    durations = {}
    for name, line in COMMANDS.items():
        with copied(base) as files:
            began = time.monotonic()
            command(files, line).end()
            durations[name] = time.monotonic() - began
    (base / "done").write_text(json.dumps(durations))
    return base


@contextlib.contextmanager
def copied(base: Path) -> Iterator[Path]:
    """Yield a fresh copy of the files."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        shutil.copytree(base, Path(name) / "files")
        yield Path(name) / "files"


def whole(path: Path) -> bool:
    """Return whether a file is one of its kind, from beginning to end."""
    import h5py
    import pandas as pd

    try:
        content = path.read_bytes()
        match path.suffix:
            case ".nc":
                with h5py.File(io.BytesIO(content)) as file:
                    file.visititems(lambda _, item: item[()] is None if isinstance(item, h5py.Dataset) else None)
            case ".json":
                json.loads(content)
            case ".jsonl":
                return all(isinstance(json.loads(line), dict) for line in content.splitlines())
            case ".csv":
                return content.endswith(b"\n") and bool(len(pd.read_csv(io.BytesIO(content))))
            case ".parquet":
                return bool(len(pd.read_parquet(io.BytesIO(content))))
            case ".png":
                return content.endswith(b"IEND\xaeB`\x82")
            case ".html":
                return content.rstrip().endswith(b"</html>")
            case _:
                return bool(content)
    except Exception:
        return False
    return True


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, but for those that are being written."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".partial"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def check(folder: Path, before: dict[str, bytes], written: bool = True) -> None:
    """Refuse a folder in which something was lost: a file is as before, or whole and one that the command writes."""
    now = files_in(folder)
    for name, content in before.items():
        if name not in now:
            raise Lost(f"{name} is gone")
        if now[name] == content:
            continue
        output = name.startswith(("new.", "pictures/", "comparison/", "page/")) or name == "record.jsonl"
        if not (output and written):
            raise Lost(f"{name} was changed")
        if name == "record.jsonl" and not now[name].startswith(content):
            raise Lost("lines of the record are gone")
    for name in now:
        if not whole(folder / name) and before.get(name) != now[name]:
            raise Lost(f"{name} is not whole")


def swept(folder: Path) -> None:
    """Refuse partial files that the next run leaves."""
    from bayes_scaling.base.files import write_text

    for place in {path.parent for path in folder.rglob("*.partial")}:
        write_text("x", place / "next.txt")
        if left := list(place.glob(".*.partial")):
            raise Lost(f"{left[0].name} stays")


def wait_for(started: Started, folder: Path, rng: random.Random, duration: float) -> int | None:
    """Wait for a random moment, or for one at which something is being written; None if it runs still."""
    until = time.monotonic() + rng.uniform(0, duration)
    at_write = rng.random() < 0.5
    before = {path for path in folder.rglob("*")}
    while (code := started.ended()) is None:
        if at_write and any(path not in before for path in folder.rglob("*")):
            time.sleep(rng.choice([0, 0, 0.001, 0.01]))
            return started.ended()
        if not at_write and time.monotonic() > until:
            return None
        time.sleep(0.0005)
    return code


# --- faults ---------------------------------------------------------------------------------------------------------


def ended_by(number: int, name: str, base: Path, rng: random.Random) -> bool:
    """Send a signal to a command at a random moment; then let the same command end in peace."""
    duration = json.loads((base / "done").read_text())[name]
    with copied(base) as folder:
        before = files_in(folder)
        started = command(folder, COMMANDS[name])
        code = wait_for(started, folder, rng, duration)
        met = code is None
        if met:
            os.kill(started.pid, number)
            asked = time.monotonic()
            code = started.end(30.0)
            if number == signal.SIGINT:
                orderly(code, started.said, (0, 3, 130))
                if time.monotonic() - asked > 10.0:
                    raise Lost("it went on for ten seconds")
        check(folder, before)
        if number == signal.SIGINT and list(folder.rglob("*.partial")):
            raise Lost("a partial file stays")
        swept(folder)
        if name == "compare":
            for path in folder.glob("comparison/refits/*"):
                if not whole(path):
                    raise Lost(f"{path.name} is not whole")
            again = command(folder, COMMANDS[name])
            orderly(again.end(), again.said)
            one, other = (json.loads((at / "comparison/comparison.json").read_text()) for at in (folder, base))
            if one["weights"] != other["weights"]:
                raise Lost("the comparison has another answer")
    return met


@contextlib.contextmanager
def disk(size: str) -> Iterator[Path]:
    """Yield a disk of some size; only root may make one."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", name], check=True, capture_output=True)
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "-l", name], check=True, capture_output=True)


def full_disk(name: str, base: Path, rng: random.Random) -> bool:
    """Run a command on a disk that has less room than it needs, or just enough."""
    size = sum(path.stat().st_size + 4096 for path in base.rglob("*"))
    with disk(str(size + 400_000 + rng.randrange(4096, 9_000_000))) as place:
        folder = place / "files"
        shutil.copytree(base, folder)
        if rng.random() < 0.3:
            with (place / "filled").open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(4096)):
                    pass
        before = files_in(folder)
        started = command(folder, COMMANDS[name])
        code = started.end()
        orderly(code, started.said, (0, 1, 3))
        check(folder, before)
        if list(folder.rglob("*.partial")):
            raise Lost("a partial file stays")
    return code == 1


def read_only(name: str, base: Path, rng: random.Random) -> None:
    """Run a command in a folder that takes no file."""
    with disk("64m") as place:
        shutil.copytree(base, place / "files")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True, capture_output=True)
        before = files_in(place / "files")
        started = command(place / "files", COMMANDS[name])
        orderly(started.end(), started.said, (1, 2))
        check(place / "files", before, written=False)


def many_scores(base: Path, rng: random.Random) -> None:
    """Score twenty forecasts into one record at once."""
    with copied(base) as folder:

        def make() -> None:
            import bayes_scaling as bs

            one = bs.Registered.read(Path("forecast.json"))
            for i in range(20):
                bs.Registered({**one.content, "name": str(i)}).save(Path(f"{i}.json"))

        orderly(Started(folder, make).end(), "")
        line = "score {}.json --loss 1.1 --record record.jsonl"
        together = [command(folder, line.replace("{}", str(i))) for i in range(20)]
        for started in together:
            orderly(started.end(), started.said)
        if len((folder / "record.jsonl").read_text().splitlines()) != 21 or not whole(folder / "record.jsonl"):
            raise Lost("lines of the record are gone")


def two_writers(name: str, base: Path, rng: random.Random) -> None:
    """Run a command twice at once, on the same files."""
    with copied(base) as folder:
        before = files_in(folder)
        first = command(folder, COMMANDS[name])
        time.sleep(rng.uniform(0, 0.3))
        second = command(folder, COMMANDS[name])
        codes = sorted([first.end(), second.end()])
        allowed = (0, 2, 3) if name in (*KEPT_NEW, "score") else (0, 3)
        orderly(codes[0], "", allowed)
        orderly(codes[1], "", allowed)
        if codes[0] == 2:
            raise Lost("both were refused")
        check(folder, before)
        if name == "score" and len((folder / "record.jsonl").read_text().splitlines()) != 2:
            raise Lost("a forecast counts twice, or not at all")


def spoiled(content: bytes, rng: random.Random) -> bytes:
    """Cut bytes short, overwrite some, or flip one bit."""
    kind = rng.randrange(4)
    place = rng.randrange(len(content))
    if kind == 0:
        return content[:place]
    if kind == 1:
        size = min(rng.choice([1, 16, 512, 4096]), len(content) - place)
        return content[:place] + bytes(size) + content[place + size :]
    return content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :]


def damaged(path: str, read: Callable[[Path], Any], base: Path, rng: random.Random) -> None:
    """Read a damaged file: it is refused in one sentence, or gives what the sound one gives."""
    with copied(base) as folder:
        found = sorted(folder.glob(path))[0]
        content = found.read_bytes()
        new = spoiled(content, rng)

        def work() -> None:
            from bayes_scaling.errors import BayesScalingError

            right = read(found)
            found.write_bytes(new)
            try:
                answer = read(found)
            except BayesScalingError as error:
                if len(str(error).splitlines()) == 1:
                    return
                raise
            if answer != right:
                raise Lost("another answer, without a word")

        started = Started(folder, work)
        code = started.end(60.0)
        if code:
            raise Lost(f"exit {code}: {started.said.splitlines()[-1] if started.said else 'a crash'}")


def of_fit(path: Path) -> Any:
    """Return what a saved fit says."""
    from bayes_scaling.inference.loading import load_fit

    fit = load_fit(path)
    draws = {name: values.tobytes() for name, values in {**fit.draws, **fit.prior, **fit.stats}.items()}
    return draws, fit.unconstrained.tobytes(), dict(fit.manifest), repr(fit.diagnostics), fit.runs.table.to_csv()


def of_forecast(path: Path) -> Any:
    """Return what a registered forecast says."""
    from bayes_scaling.decide.records import Registered

    return Registered.read(path).content


def of_record(path: Path) -> Any:
    """Return the scores of a record; where lines are named as unread, what a sound file with all lines would give."""
    from bayes_scaling.decide.track_record import TrackRecord

    record = TrackRecord.read(path)
    rows = record.scores.to_json(orient="records", lines=True).split("\n")
    return sorted(rows) if not record.unread else Unread(rows)


class Unread(list[str]):
    """Rows of a record of which some were named as unread: the others must be among the right ones."""

    def __ne__(self, right: object) -> bool:
        return not (isinstance(right, list) and set(self) <= {*right, ""})


def of_refit(path: Path) -> Any:
    """Return a refit as it is found: the content, or nothing, whereupon it is fitted again."""
    from bayes_scaling.evaluate.kept import _whole

    found = _whole(path, path.stem)
    return Again() if found is None else found


class Again:
    """Nothing that could be used: it is made again."""

    def __ne__(self, right: object) -> bool:
        return False


def programs(base: Path, rng: random.Random) -> None:
    """Fit with a cache of which every program is damaged."""
    with copied(base) as folder:

        def work(cache: str) -> Callable[[], None]:
            def fit() -> None:
                os.environ["BAYES_SCALING_CACHE"] = cache
                import bayes_scaling as bs

                made = bs.fit(LAW, bs.Runs.read("runs.csv"), sampler="laplace", progress=False)
                Path(f"draws-{len(list(Path().glob('draws-*')))}").write_bytes(made.unconstrained.tobytes())

            return fit

        for damage in (False, True):
            for path in folder.glob("cache/*") if damage else ():
                path.write_bytes(spoiled(path.read_bytes(), rng))
            started = Started(folder, work("cache"))
            orderly(started.end(), started.said, (0,))
            if started.said:
                raise Lost(started.said[-160:])
        if (folder / "draws-0").read_bytes() != (folder / "draws-1").read_bytes():
            raise Lost("other draws")


def faults(may_mount: bool) -> dict[str, Callable[[Path, random.Random], bool | None]]:
    """Return every fault by its name; False from one says that it came too late, or that there was room enough."""
    out: dict[str, Callable[[Path, random.Random], bool | None]] = {}
    for name in COMMANDS:
        out[f"kill -9, {name}"] = lambda base, rng, name=name: ended_by(signal.SIGKILL, name, base, rng)
        out[f"Ctrl-C, {name}"] = lambda base, rng, name=name: ended_by(signal.SIGINT, name, base, rng)
        if may_mount:
            out[f"full disk, {name}"] = lambda base, rng, name=name: full_disk(name, base, rng)
            out[f"read-only folder, {name}"] = lambda base, rng, name=name: read_only(name, base, rng)
        out[f"two writers, {name}"] = lambda base, rng, name=name: two_writers(name, base, rng)
    out["twenty writers, score"] = many_scores
    for what, path, read in (
        ("fit", "fit.nc", of_fit),
        ("registered forecast", "forecast.json", of_forecast),
        ("record", "record.jsonl", of_record),
        ("kept refit", "comparison/refits/*.json", of_refit),
    ):
        out[f"damaged {what}"] = lambda base, rng, path=path, read=read: damaged(path, read, base, rng)
    out["damaged compiled programs"] = programs
    return out


# --- the drill ------------------------------------------------------------------------------------------------------


def table(found: list[dict[str, Any]]) -> str:
    """Return the table: a row for each kind of fault."""
    rows = ["| fault | commands or files | tried | met | survived | lost |", "|---|---|---|---|---|---|"]
    kinds: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        kinds.setdefault(one["fault"].partition(",")[0], []).append(one)
    for kind, trials in kinds.items():
        commands = sorted({one["fault"].partition(", ")[2] for one in trials} - {""})
        lost = [one for one in trials if one["lost"]]
        met = sum(one["met"] for one in trials)
        counts = f"{len(trials)} | {met} | {len(trials) - len(lost)} | {len(lost)}"
        rows.append(f"| {kind} | {', '.join(commands)} | {counts} |")
    lost = sum(bool(one["lost"]) for one in found)
    met = sum(one["met"] for one in found)
    rows.append(f"| all | | {len(found)} | {met} | {len(found) - lost} | {lost} |")
    what = sorted({f"{one['fault']} (trial {one['trial']}): {one['lost']}" for one in found if one["lost"]})
    return "\n".join([*rows, *what])


def main() -> int:
    """Run trials in turn until the time or the rounds are over, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="stop after this time; run again to go on")
    parser.add_argument("--rounds", type=int, default=20, help="trials of each fault")
    parser.add_argument("--only", nargs="*", default=[], help="faults whose name holds one of these words")
    parser.add_argument("--folder", type=Path, default=Path("faults"), help="where trials are kept, to go on from")
    parser.add_argument("--table", action="store_true", help="only print what was found so far")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "trials.jsonl"
    found = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    if not arguments.table:
        imported()
        base = prepared(folder)
        found = drilled(arguments, base, kept, found)
    print(table(found))
    return int(any(one["lost"] for one in found))


def drilled(arguments: argparse.Namespace, base: Path, kept: Path, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run trials, each kept when it is done."""
    try:
        with disk("64k"):
            may_mount = True
    except (OSError, subprocess.CalledProcessError):
        may_mount = False
        print("full disks and read-only folders are left out: they need the right to mount")
    until = time.monotonic() + 60 * arguments.minutes
    wanted = {
        name: fault
        for name, fault in faults(may_mount).items()
        if not arguments.only or any(word in name for word in arguments.only)
    }
    done = {name: sum(one["fault"] == name for one in found) for name in wanted}
    while time.monotonic() < until and (name := min(done, key=lambda one: done[one])) and done[name] < arguments.rounds:
        lost, met, started = "", True, time.monotonic()
        try:
            met = wanted[name](base, random.Random(f"{name} {done[name]}")) is not False
        except Lost as error:
            lost = str(error)
        seconds = time.monotonic() - started
        found.append({"fault": name, "trial": done[name], "met": met, "lost": lost, "seconds": seconds})
        done[name] += 1
        with kept.open("a") as file:
            file.write(json.dumps(found[-1]) + "\n")
    return found


if __name__ == "__main__":
    sys.exit(main())
