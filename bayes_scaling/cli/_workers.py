"""Where the fits of a command are made: in this process, in processes beside it, or by a Dask cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Annotated, Any

import typer

from bayes_scaling.base.names import MOST_PROCESSES
from bayes_scaling.errors import ArgumentError, WorkerError

SECONDS = 10  # to wait for a scheduler

Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_PROCESSES,
        help="Make the fits in this many processes of this machine; by default in this one. Numbers stay the same.",
        show_default=False,
    ),
]
DaskAddress = Annotated[
    str,
    typer.Option(
        "--dask",
        metavar="ADDRESS",
        help="Make the fits by the workers of a Dask cluster: the address of its scheduler, like tcp://HOST:8786.",
        show_default=False,
    ),
]


@contextlib.contextmanager
def executor_of(workers: int | None, dask: str) -> Iterator[Executor | None]:
    """Yield what the options ask for; processes that are started for it end with the block.

    Raises
    ------
    ArgumentError
        When both are given, or Dask is not installed.
    WorkerError
        When no scheduler answers at the address.
    """
    if workers is not None and dask:
        raise ArgumentError("--workers starts processes here and --dask uses those of a cluster; give one of them")
    if not dask:
        from bayes_scaling.base.executors import opened

        with opened(workers) as executor:
            yield executor
        return
    with connected(dask) as client:
        yield client.get_executor()


def connected(address: str) -> Any:
    """Return a client of the Dask scheduler at an address; errors as of `executor_of`."""
    from bayes_scaling.base.messages import plain

    try:
        from distributed import Client
    except ImportError as error:
        raise ArgumentError("--dask needs Dask: pip install 'bayes-scaling[dask]'") from error
    try:
        return Client(address, timeout=SECONDS)
    except OSError as error:
        raise WorkerError(f"no Dask scheduler answers at {plain(address)} ({plain(str(error), 150)})") from error
    except (ValueError, TypeError) as error:  # also for a name that nobody has, or a port that cannot be
        raise ArgumentError(
            f"--dask {plain(address)} is no address of a Dask scheduler ({plain(str(error), 150)}); expected one like "
            "tcp://HOST:8786"
        ) from error


def refuse_without_fits(workers: int | None, dask: str, why: str) -> None:
    """Refuse the options where there are no fits to share out."""
    if workers is not None or dask:
        option = "--workers" if workers is not None else "--dask"
        raise ArgumentError(f"{option} shares out the fits of several laws, and {why}; leave it out")
