"""Where tasks run: in this process, in processes of this machine, or in any executor of `concurrent.futures`.

Processes that we start are spawned, never forked, and end with the process that started them, however that ends: each
waits for the other end of a pipe to close. Python's own pool is not used for them: a process that is killed takes down
all of it, and what it leaves of its locks is complained about.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from typing import Annotated, Any

from bayes_scaling.base.arguments import Expected
from bayes_scaling.base.names import MOST_PROCESSES
from bayes_scaling.errors import WorkerError

TRIES = 3  # of one task, whose process ends before it is done

type ExecutorChoice = (
    Annotated[
        int, Expected(lambda value: 1 <= value <= MOST_PROCESSES, f"a number of processes from 1 to {MOST_PROCESSES}")
    ]
    | Annotated[Executor, Expected(lambda value: True, "an Executor, as of concurrent.futures")]
)
"""What ``executor`` takes, if anything: a number of processes of this machine, or an executor."""


@dataclasses.dataclass(frozen=True)
class _Call:
    """A function to be called in another process, and what becomes of it."""

    future: Future[Any]
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class Processes(Executor):
    """Worker processes of this machine, started when there is work for them; one that dies is replaced.

    Parameters
    ----------
    number : how many

    Attributes
    ----------
    died : how many ended before their task was done
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.died = 0
        self._context = multiprocessing.get_context("spawn")
        self._held, self._leash = self._context.Pipe(duplex=False)
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False

    @property
    def cores(self) -> int:
        """How many cores each of them may use, so that together they use those of the machine."""
        return max((os.cpu_count() or 1) // self.number, 1)

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand on a call, as of `concurrent.futures`."""
        if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself knows it
            raise WorkerError(
                "a worker process runs the whole script first, and there asks for workers itself: put what starts the "
                "work under if __name__ == '__main__':"
            )
        if self._closed:
            raise RuntimeError("these worker processes were ended")
        future: Future[T] = Future()
        self._calls.put(_Call(future, fn, args, kwargs))
        if len(self._threads) < self.number:
            self._threads.append(threading.Thread(target=self._serve, daemon=True))
            self._threads[-1].start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all processes, also those at work; what is not done is not done."""
        self._closed = True
        self._leash.close()
        for _ in self._threads:
            self._calls.put(None)

    def _serve(self) -> None:
        """Have calls computed by one process, which is replaced when it ends; in a thread of its own."""
        _block_interrupts()  # also in processes that are started here, even while they import
        process: _Process | None = None
        tries = 0
        call = self._calls.get()
        while call is not None:
            if self._closed or (not tries and not call.future.set_running_or_notify_cancel()):
                call = self._calls.get()
                continue
            tries += 1
            try:
                process = process or _Process(self._context, self._held)
                call.future.set_result(process.result(call))
            except BrokenExecutor as error:
                process = None
                self.died += 1
                if tries < TRIES and not self._closed:
                    continue
                call.future.set_exception(error)
            except BaseException as error:
                call.future.set_exception(error)
            tries, call = 0, self._calls.get()


class _Process:
    """One worker process; pipes alone connect us, so that nothing is left of it, however either ends."""

    def __init__(self, context: SpawnContext, held: Connection) -> None:
        self._pipe, theirs = context.Pipe()
        context.Process(target=_computes, args=(theirs, held), daemon=True).start()
        theirs.close()  # now it ends when the process does

    def result(self, call: _Call) -> Any:
        """Return what a call returns there, or raise what it raises."""
        sent = pickle.dumps((call.function, call.args, call.kwargs))
        try:
            self._pipe.send_bytes(sent)
            good, value = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._pipe.close()
            raise BrokenExecutor("a worker process ended before its task was done") from error
        if not good:
            raise value
        return value


@contextlib.contextmanager
def opened(choice: Executor | int | None) -> Iterator[Executor | None]:
    """Yield the executor that a choice means, None for this process; processes that we start end with the block."""
    if not isinstance(choice, int):
        yield choice
        return
    processes = Processes(choice)
    try:
        yield processes
    finally:
        processes.shutdown()


def cores_of(executor: Executor) -> int:
    """Return how many cores one task may use there: a worker of somebody else's executor has others beside it."""
    return executor.cores if isinstance(executor, Processes) else 1


# --- in a worker process ----------------------------------------------------------------------------------------------


def _computes(calls: Connection, held: Connection) -> None:
    """Compute what is asked for until nobody asks or listens; Ctrl-C is for the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(held,), daemon=True).start()
    with contextlib.suppress(EOFError, OSError):  # of the pipe alone: errors of a call are its answer
        while True:
            call = calls.recv_bytes()
            try:
                function, args, kwargs = pickle.loads(call)
                answer = pickle.dumps((True, function(*args, **kwargs)))
            except BaseException as error:
                answer = _raised(error)
            calls.send_bytes(answer)


def _raised(error: BaseException) -> bytes:
    """Return an error to be raised by the process that asked, with where it came from; in words if need be."""
    where = "".join(traceback.format_exception(error))
    error.add_note(f"raised in a worker process:\n{where}")
    try:
        pickle.loads(sent := pickle.dumps((False, error)))
    except Exception:
        return pickle.dumps((False, RuntimeError(where)))
    return sent


def _end_with(held: Connection) -> None:
    """Wait until the other end of a pipe is closed, then remove files that are half written and end the process."""
    with contextlib.suppress(EOFError, OSError):
        held.recv_bytes()
    with contextlib.suppress(Exception):
        files = sys.modules.get("bayes_scaling.base.files")
        if files is not None:
            files.drop_partial_files()
    os._exit(1)


def _block_interrupts() -> None:
    """Keep Ctrl-C from this thread and from the processes that it starts."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
