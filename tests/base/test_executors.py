"""Workers: results are those of this process, lost ones are replaced, nothing is left behind."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from bayes_scaling.base import executors as _executors
from bayes_scaling.base.cores import at_most, cores
from bayes_scaling.base.executors import Processes, opened
from bayes_scaling.base.progress import silent
from bayes_scaling.base.tasks import Task, attempted, carried_out
from bayes_scaling.errors import BayesScalingWarning, DataError, WorkerError, WriteError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed as on POSIX")


@dataclasses.dataclass(frozen=True)
class Square(Task[float]):
    """A number squared; 13 is refused, and 0 cannot be written."""

    number: int
    folder: Path | None = None

    @property
    def label(self) -> str:
        return f"the square of {self.number}"

    def found(self) -> float | None:
        path = self.path
        return float(path.read_text()) if path is not None and path.is_file() else None

    def measure(self) -> float:
        if self.number == 13:
            raise DataError("13 is no number for us")
        if self.number == 0:
            raise WriteError("no room")
        return self.keep(float(self.number**2))

    def keep(self, made: float) -> float:
        if self.path is not None:
            self.path.write_text(str(made))
        return made

    @property
    def path(self) -> Path | None:
        return None if self.folder is None else self.folder / f"{self.number}.txt"


class Broken(Executor):
    """An executor whose workers die after some tasks."""

    def __init__(self, good: int) -> None:
        self.good = good

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if self.good:
            self.good -= 1
            future.set_result(fn(*args, **kwargs))
        else:
            future.set_exception(BrokenProcessPool("a child process terminated abruptly"))
        return future


def squares(*numbers: int, folder: Path | None = None) -> list[Task[float]]:
    return [Square(number, folder) for number in numbers]


def test_results_come_in_the_order_of_the_tasks_and_progress_is_told() -> None:
    said: list[tuple[str, float]] = []
    with ThreadPoolExecutor(3) as pool:
        assert carried_out(squares(3, 1, 2), pool, lambda *what: said.append(what)) == [9.0, 1.0, 4.0]
    assert said[0] == ("0 of 3 done", 0.0) and said[-1] == ("3 of 3 done", 1.0)
    said.clear()
    assert carried_out(squares(3, 1), None, lambda *what: said.append(what)) == [9.0, 1.0]
    assert said == [("0 of 2 done, the square of 3", 0.0), ("1 of 2 done, the square of 1", 0.5)]


@pytest.mark.parametrize("executor", [None, Broken(99)])
def test_the_first_error_is_that_of_the_first_task(executor: Executor | None) -> None:
    with pytest.raises(DataError, match="13 is no number"):
        carried_out(squares(2, 13, 0), executor, silent)
    made = attempted(squares(2, 13, 3), executor, silent)
    assert made[0] == 4.0 and isinstance(made[1], DataError) and made[2] == 9.0
    with pytest.raises(WriteError):  # it would be that of every task
        attempted(squares(2, 0, 3), executor, silent)


def test_workers_that_are_not_ours_are_not_replaced() -> None:
    with pytest.raises(WorkerError, match=r"no workers left for the square of 5 \(BrokenProcessPool: a child.*2 of 3 "):
        carried_out(squares(3, 4, 5), Broken(2), silent)
    closed = ThreadPoolExecutor(1)
    closed.shutdown()
    with pytest.raises(WorkerError, match="give one with fresh workers"):
        carried_out(squares(3), closed, silent)


@dataclasses.dataclass(frozen=True)
class Unsendable(Square):
    of: Any = dataclasses.field(default_factory=lambda: lambda x: x)

    @property
    def label(self) -> str:
        return "mine"


def test_a_task_that_cannot_be_sent_says_so() -> None:
    with opened(1) as workers, pytest.raises(WorkerError, match="mine cannot be sent to a worker .*into a file that"):
        carried_out([Unsendable(3)], workers, silent)


def test_what_a_folder_has_is_not_computed_again(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    assert carried_out(squares(3, 4, folder=folder), Broken(2), silent) == [9.0, 16.0]
    assert carried_out(squares(3, 4, folder=folder), Broken(0), silent) == [9.0, 16.0]


def test_a_worker_that_sees_no_folder_hands_its_result_back(tmp_path: Path) -> None:
    class Elsewhere(Broken):
        """Workers on a machine without the folder."""

        def submit(self, fn: Any, /, task: Any, *args: Any, **_: Any) -> Future[Any]:
            assert task.folder == tmp_path
            return super().submit(fn, dataclasses.replace(task, folder=tmp_path / "not here"), *args)

    assert carried_out(squares(5, folder=tmp_path), Elsewhere(1), silent) == [25.0]
    assert (tmp_path / "5.txt").read_text() == "25.0" and not (tmp_path / "not here").exists()


def test_a_task_may_use_the_cores_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores() == os.cpu_count()
    with at_most(1):
        assert cores() == 1
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert [Processes(number).cores for number in (1, 2, 3, 100)] == [8, 4, 2, 1]
    assert _executors.cores_of(Broken(1)) == 1


def test_processes_compute_and_end_with_the_block() -> None:
    with opened(2) as workers:
        assert workers is not None
        numbers = {workers.submit(os.getpid).result() for _ in range(4)}
        assert os.getpid() not in numbers
    gone(numbers)
    with pytest.raises(RuntimeError):
        workers.submit(os.getpid)
    with opened(None) as nobody:
        assert nobody is None


def test_an_error_that_was_not_made_on_purpose_says_where_it_came_from() -> None:
    with opened(1) as workers:
        assert workers is not None
        with pytest.raises(ZeroDivisionError) as caught:
            workers.submit(divmod, 1, 0).result()
        assert "raised in a worker process" in caught.value.__notes__[0]
        with pytest.raises(TypeError, match="cannot pickle"):
            workers.submit(threading.Lock).result()
        assert workers.submit(divmod, 7, 2).result() == (3, 1)  # the process goes on


def gone(processes: set[int]) -> None:
    """Wait until processes have ended."""
    for _ in range(200):
        if not any(Path(f"/proc/{number}").exists() and not _zombie(number) for number in processes):
            return
        time.sleep(0.05)
    raise AssertionError(f"still there: {processes}")


def _zombie(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


@dataclasses.dataclass(frozen=True)
class Marked(Task[int]):
    """Leaves a mark in a folder each time that it is begun; the first time, it goes on for long if it is to be killed.

    Attributes
    ----------
    name, marks : of the task, and where marks are left
    waits_for : mark of another task, for which this one waits
    deaths : how often it waits to be killed
    """

    name: str
    marks: Path
    waits_for: str = ""
    deaths: int = 0

    @property
    def label(self) -> str:
        return self.name

    def measure(self) -> int:
        begun = len(list(self.marks.glob(f"{self.name}.*")))
        (self.marks / f"{self.name}.{os.getpid()}").touch()
        if begun < self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        while self.waits_for and not list(self.marks.glob(f"{self.waits_for}.*")):
            time.sleep(0.02)
        return begun


def test_a_killed_process_costs_its_task_only_and_is_replaced(tmp_path: Path) -> None:
    # The one beside it is at work the whole time: it ends when the one after the killed one has begun.
    tasks = [
        Marked("beside", tmp_path, waits_for="after"),
        Marked("killed", tmp_path, deaths=1),
        Marked("after", tmp_path),
    ]
    with (
        opened(2) as workers,
        pytest.warns(
            BayesScalingWarning, match="a worker process ended before its task was done .killed, or out of mem"
        ),
    ):
        assert carried_out(tasks, workers, silent) == [0, 1, 0]
    begun = [path.name.split(".")[0] for path in tmp_path.iterdir()]
    assert sorted(begun) == ["after", "beside", "killed", "killed"]


def test_a_task_that_kills_every_process_is_given_up(tmp_path: Path) -> None:
    with opened(1) as workers, pytest.raises(WorkerError, match="ended 3 times before greedy was done, 1 of 2 tasks"):
        carried_out([Marked("good", tmp_path), Marked("greedy", tmp_path, deaths=9)], workers, silent)
    assert len(list(tmp_path.glob("greedy.*"))) == 3


PARENT = """
import os, sys, time
from pathlib import Path
from bayes_scaling.base.executors import opened
from tests.base.test_executors import Marked

if __name__ == "__main__":
    with opened(1) as workers:
        workers.submit(Marked("child", Path(sys.argv[1]), waits_for="never").measure)
        time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_process_that_started_them(how: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text("import signal; signal.signal(signal.SIGINT, signal.default_int_handler)" + PARENT)
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, script, tmp_path], env={**os.environ, **paths}, stderr=subprocess.PIPE, text=True
    )
    while not (begun := list(tmp_path.glob("child.*"))):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(how)
    _, said = process.communicate(timeout=30)
    gone({int(begun[0].suffix[1:])})
    assert said.count("Traceback") == (how is signal.SIGINT)


BUSY = """
import sys, time
from bayes_scaling.base.executors import opened

def late(path):
    open(path, "w").close()
    time.sleep(1)
    return bytes(10_000_000)

if __name__ == "__main__":
    with opened(3) as workers:
        for i in range(3):
            workers.submit(late, f"{sys.argv[1]}/begun{i}")
        time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes are stopped as on POSIX")
def test_an_answer_that_nobody_takes_any_more_is_no_traceback(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(BUSY)
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, script, tmp_path], env={**os.environ, **paths}, stderr=subprocess.PIPE, text=True
    )
    while len(list(tmp_path.glob("begun*"))) < 3:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGSTOP)
    time.sleep(2)  # now the workers are sending answers that do not fit the pipe
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate(timeout=30)
    assert said == ""


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "bare.py"
    script.write_text(PARENT.split("if __name__")[0] + "with opened(1) as w: w.submit(os.getpid).result()")
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, script], env={**os.environ, **paths}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1 and "put what starts the work under if __name__ == '__main__':" in done.stderr
