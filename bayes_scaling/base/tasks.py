"""Tasks that do not depend on each other: one after another in this process, or by the workers of an executor.

A task is a small frozen value that says what is to be computed. What it gives depends on nothing else: not on where it
runs, nor on what ran before. So the results are the same under every executor, number of workers and order.
"""

from __future__ import annotations

import abc
import dataclasses
import pickle
import sys
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from pathlib import Path
from typing import Any

from bayes_scaling.base.ahead import done_ahead
from bayes_scaling.base.cores import at_most
from bayes_scaling.base.executors import TRIES, Processes, cores_of
from bayes_scaling.base.messages import counted
from bayes_scaling.base.progress import Progress, part_of
from bayes_scaling.base.warned import each_warning_once, warn_caller
from bayes_scaling.errors import BayesScalingError, WorkerError, WriteError


class Task[R](abc.ABC):
    """One thing to compute; a subclass is a frozen dataclass that can be pickled, without closures.

    Attributes
    ----------
    folder : where its result is kept and found again, if anywhere
    long : whether it takes longer than others, so that workers begin with it
    """

    folder: Path | None = None
    long: bool = False

    @property
    @abc.abstractmethod
    def label(self) -> str:
        """What it is, in words."""

    @abc.abstractmethod
    def measure(self) -> R:
        """Compute it, or what is missing of it, and keep it in the folder."""

    def prepare(self) -> object:
        """Compile what `measure` will need, while other tasks of this process are measured; nothing depends on it."""
        return None

    def found(self) -> R | None:
        """Return what the folder has of it already, if it is all there; asked before it is handed to a worker."""
        return None

    def keep(self, made: R) -> R:
        """Keep what a worker has made that does not see the folder; return it as it will be found."""
        return made


def carried_out[R](tasks: Sequence[Task[R]], executor: Executor | None, report: Progress) -> list[R]:
    """Return the results of tasks, in their order.

    Parameters
    ----------
    tasks : what is to be computed
    executor : whose workers compute it; None for this process
    report : called with what is done, in words, and the fraction of it

    Raises
    ------
    BayesScalingError
        What the first task raises that raises anything, in the order of the tasks.
    WorkerError
        When workers are lost that are not ours to replace, or a task cannot be sent to one.
    """
    if executor is None:
        with each_warning_once(), done_ahead([task.prepare for task in tasks]):
            return [_here(task, tasks, done, report) for done, task in enumerate(tasks)]
    results: list[R] = []
    for made in _SharedOut(tasks, executor, report, first_error_ends=True).done():
        if isinstance(made, BayesScalingError):
            raise made
        results.append(made)
    return results


def attempted[R](tasks: Sequence[Task[R]], executor: Executor | None, report: Progress) -> list[R | BayesScalingError]:
    """Return the result of every task, or what it raised; arguments as of `carried_out`.

    Raises
    ------
    WriteError
        It would be that of every task.
    WorkerError
        As of `carried_out`.
    """
    if executor is not None:
        return _SharedOut(tasks, executor, report, first_error_ends=False).done()
    made: list[R | BayesScalingError] = []
    with each_warning_once(), done_ahead([task.prepare for task in tasks]):
        for done, task in enumerate(tasks):
            try:
                made.append(_here(task, tasks, done, report))
            except WriteError:
                raise
            except BayesScalingError as error:
                made.append(error)
    return made


def _here[R](task: Task[R], tasks: Sequence[Task[R]], done: int, report: Progress) -> R:
    stage = f"{done} of {len(tasks)} done, {task.label}"
    report(stage, done / len(tasks))
    with part_of(report, stage, done / len(tasks), (done + 1) / len(tasks)):
        return task.measure()


@dataclasses.dataclass(frozen=True)
class _Refused:
    """What a task raised on purpose; it travels as a value, so that other errors are known as those of the executor."""

    error: BayesScalingError


def _measured_in_worker(task: Task[Any], cores: int) -> Any:
    """Compute a task in a worker, with a folder only if the worker sees it."""
    if task.folder is not None and not task.folder.is_dir():
        task = dataclasses.replace(task, folder=None)  # type: ignore[type-var]  # every task is a dataclass
    try:
        with at_most(cores):
            return task.measure()
    except BayesScalingError as error:
        return _Refused(error)


class _SharedOut:
    """Tasks that are being computed by the workers of an executor."""

    def __init__(
        self, tasks: Sequence[Task[Any]], executor: Executor, report: Progress, first_error_ends: bool
    ) -> None:
        self.tasks, self.executor, self.report = tasks, executor, report
        self.first_error_ends = first_error_ends
        self.made: dict[int, Any] = {}
        self.replaced = self._died

    def done(self) -> list[Any]:
        """Return results and errors in the order of the tasks; where the first error ends it, up to that one."""
        self._find()
        futures: dict[Future[Any], int] = {}
        cores = cores_of(self.executor)
        try:
            for index in sorted(range(len(self.tasks)), key=lambda index: not self.tasks[index].long):
                if index not in self.made:
                    futures[self._submitted(index, cores)] = index
            while futures:
                finished, _ = wait(futures, return_when=FIRST_COMPLETED)
                for future in sorted(finished, key=_failed):  # what was made is kept, whatever else failed
                    self._take(future, futures.pop(future))
                self._say()
                for future in [future for future, index in futures.items() if index > self._end()]:
                    if future.cancel():
                        del futures[future]
        finally:
            for future in futures:
                future.cancel()
        return [self.made[index] for index in sorted(self.made) if index <= self._end()]

    def _find(self) -> None:
        """Take what folders have already, and make those that are missing, for workers to see."""
        for index, task in enumerate(self.tasks):
            if task.folder is None:
                continue
            found = task.found()
            if found is None:
                task.folder.mkdir(parents=True, exist_ok=True)
            else:
                self.made[index] = found
        self._say()

    def _end(self) -> int:
        """Return the last task that is wanted."""
        failed = (index for index, made in self.made.items() if isinstance(made, BayesScalingError))
        return min(failed, default=len(self.tasks)) if self.first_error_ends else len(self.tasks)

    @property
    def _died(self) -> int:
        return self.executor.died if isinstance(self.executor, Processes) else 0

    def _submitted(self, index: int, cores: int) -> Future[Any]:
        task = self.tasks[index]
        if task.folder is not None:  # workers may stand in another folder
            task = dataclasses.replace(task, folder=task.folder.absolute())  # type: ignore[type-var]
        try:
            return self.executor.submit(_measured_in_worker, task, cores)
        except (BrokenExecutor, RuntimeError) as error:  # it was shut down, or has lost its workers before
            raise self._lost(self.tasks[index], error) from error

    def _take(self, future: Future[Any], index: int) -> None:
        """Take the result of a task."""
        error = CancelledError() if future.cancelled() else future.exception()
        task = self.tasks[index]
        if error is None:
            made = future.result()
            if isinstance(made, _Refused) and isinstance(made.error, WriteError) and not self.first_error_ends:
                raise made.error
            self.made[index] = made.error if isinstance(made, _Refused) else task.keep(made)
        elif _of_a_lost_worker(error):
            raise self._lost(task, error) from error
        else:
            raise _unsent(task, error) or error

    def _lost(self, task: Task[Any], error: BaseException) -> WorkerError:
        done = f"{len(self.made)} of {counted(len(self.tasks), 'task')} were done"
        if isinstance(self.executor, Processes):
            return WorkerError(
                f"worker processes ended {TRIES} times before {task.label} was done, {done}: for want of memory, take "
                "fewer of them; in a script, start the work under if __name__ == '__main__':"
            )
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return WorkerError(
            f"the executor has no workers left for {task.label} ({said[:200]}), {done}: give one with fresh workers; "
            "with a folder, what is done is found again"
        )

    def _say(self) -> None:
        """Report what is done, and warn where processes were replaced."""
        self.report(f"{len(self.made)} of {len(self.tasks)} done", len(self.made) / max(len(self.tasks), 1))
        if self._died > self.replaced:
            self.replaced = self._died
            said = "a worker process ended before its task was done (killed, or out of memory); another one does it"
            warn_caller(said)


def _failed(future: Future[Any]) -> bool:
    return future.cancelled() or future.exception() is not None


def _unsent(task: Task[Any], error: BaseException) -> WorkerError | None:
    """Return an error in words where a task cannot be sent to another process."""
    try:
        pickle.dumps(task)
    except Exception as reason:
        return WorkerError(
            f"{task.label} cannot be sent to a worker ({reason}): put a law, noise or sampler of your own into a file "
            "that workers can import, or leave executor out"
        )
    return None


def _of_a_lost_worker(error: BaseException) -> bool:
    """Say whether an error of an executor is that a worker ended, not that a task failed."""
    killed = getattr(sys.modules.get("distributed"), "KilledWorker", BrokenExecutor)  # of Dask, if that is in use
    return isinstance(error, BrokenExecutor | CancelledError | killed)
