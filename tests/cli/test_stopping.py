"""Ctrl-C at any moment, and an output that nobody reads or that has no room."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bayes_scaling as bs
from bayes_scaling.cli import commands, stopping

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as on POSIX")

LIKE_A_SHELL = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
PROGRAM = LIKE_A_SHELL + "from bayes_scaling.cli import main; main()"
DEAF = """
import threading, time
from pathlib import Path
from bayes_scaling.base.files import write_whole
from bayes_scaling.cli.stopping import keeping, stoppable

class Deaf:
    def __del__(self):  # an exception that is raised in here is printed and forgotten
        print("ready", flush=True)
        time.sleep(60)

def write(partial):
    partial.write_text("half")
    Deaf()
    time.sleep(60)

with stoppable():
    keeping(lambda: "the old file is kept")
    threading.Thread(target=time.sleep, args=(60,)).start()  # Python would wait for it
    write_whole(Path(sys.argv[1]), write)
"""


def stopped(process: subprocess.Popen[str]) -> tuple[str, float]:
    """Send Ctrl-C; return what was said, and the seconds until the end. Nothing more is printed, no traceback."""
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=50)
    assert process.returncode == 130 and len(err.splitlines()) == 1, (process.returncode, err)
    return err.strip(), time.monotonic() - asked


def started(script: str, *arguments: object) -> subprocess.Popen[str]:
    program = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_nothing_swallows_it_and_no_thread_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("the old file")
    process = started(LIKE_A_SHELL + DEAF, path)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    assert stopped(process)[0] == "stopped; the old file is kept"
    assert [one.name for one in tmp_path.iterdir()] == ["x.csv"] and path.read_text() == "the old file"


def test_it_stops_while_modules_are_imported() -> None:
    process = started("import builtins; real = __import__\n" + SLOW_IMPORT + PROGRAM, "laws")
    assert process.stdout is not None and process.stdout.readline() == "importing\n"
    assert stopped(process)[0] == "stopped"


SLOW_IMPORT = """
def slow(name, *more):
    if name == "typer":
        print("importing", flush=True)
        __import__("time").sleep(60)
    return real(name, *more)
builtins.__import__ = slow
"""


@pytest.mark.parametrize("shape", ["full", "closed pipe", "closed"])
def test_an_output_that_takes_nothing_is_no_traceback(shape: str) -> None:
    program = [sys.executable, "-m", "bayes_scaling.cli", "--help"]
    if shape == "full":
        if not Path("/dev/full").exists():
            pytest.skip("this system has no /dev/full")
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, "error: cannot write the output: No space left on device\n")
    elif shape == "closed pipe":
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(program, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
        os.close(write)
        assert (done.returncode, done.stderr) == (1, "")
    else:
        shell = ["sh", "-c", '"$@" >&-', "sh", *program]
        done = subprocess.run(shell, stderr=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_report_stops_wherever_it_is(tmp_path: Path) -> None:
    study = '[data]\nbundled = "stdlib_sweep"\n[laws]\nnames = ["chinchilla"]\n[budget]\namount = 1e15\n'
    (tmp_path / "study.toml").write_text(study)
    for seconds in (0.5, 4.0, 9.0):
        process = started(PROGRAM, "report", tmp_path / "study.toml", "--draft", "--out", tmp_path / "report")
        time.sleep(seconds)
        assert process.poll() is None
        said, _ = stopped(process)
        kept = "with --refits FOLDER finished refits are kept, and the same command goes on from there"
        assert said in ("stopped", f"stopped; nothing was written; {kept}")
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


@pytest.mark.slow
def test_workers_end_with_their_command_and_what_is_finished_is_kept(tmp_path: Path) -> None:
    """Ctrl-C on a terminal goes to every process of the command: one sentence, no traceback of a worker."""
    bs.datasets.load().table.to_csv(tmp_path / "runs.csv", index=False)
    arguments = ("compare", tmp_path / "runs.csv", "--law", "power_law:input=params", "--workers", 2)
    program = [sys.executable, "-c", PROGRAM, *map(str, arguments), "--out", str(tmp_path / "c")]
    process = subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not list(tmp_path.glob("c/refits/*.json")):
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=50)  # also the workers have closed it then
    assert process.returncode == 130
    assert err == f"stopped; finished refits are kept in {tmp_path / 'c'}, and the same command goes on from there\n"
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("a process of the command is still there")
    assert not list(tmp_path.glob("c/refits/.*.partial"))


SPAWN = """
import multiprocessing, sys
import bayes_scaling as bs
from bayes_scaling.base.scope import scope

def fitted(law):
    runs = bs.datasets.load()
    return bs.fit(law, runs, sampler="laplace", discrepancy="none", progress=False).law.name

if __name__ == "__main__":
    with scope():  # what a fit enters
        pass
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(fitted, ["power_law:input=params"]) == ["power_law"]
"""


@pytest.mark.slow
def test_a_spawned_process_fits_after_a_fit(tmp_path: Path) -> None:
    (tmp_path / "spawn.py").write_text(SPAWN)
    subprocess.run([sys.executable, tmp_path / "spawn.py"], check=True, timeout=300)


def test_a_file_that_ctrl_c_removed_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bayes-scaling", "simulate", "chinchilla", "--out", str(tmp_path / "no" / "folder.txt")]
    monkeypatch.setattr(sys, "argv", arguments)
    assert commands.run() == 2 and "error: " in capsys.readouterr().err
    monkeypatch.setattr(stopping._STOP, "begun", True)
    monkeypatch.setattr(stopping, "PATIENCE", 0.0)
    assert commands.run() == stopping.STOPPED and capsys.readouterr().err == ""
