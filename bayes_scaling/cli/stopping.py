"""Ctrl-C: a command ends at once, with exit code 130 and one sentence on what is kept.

Python's own way, an exception in the main thread, comes too late and not always: only once compiled programs return,
nowhere when it is raised inside of a callback, and threads that sample go on until they are done. So a thread of ours
waits for the signal, removes files that are half written, and ends the process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

STOPPED = 130  # 128 + SIGINT, as shells have it
PATIENCE = 5.0  # seconds, longer than it takes to end
SHOW_CURSOR = "\x1b[?25h"  # a progress bar hides it


class _Stop:
    """What happens at Ctrl-C.

    Attributes
    ----------
    asked : how often
    begun : whether the process is being ended
    kept : says what is on disk
    """

    def __init__(self) -> None:
        self.asked = 0
        self.begun = False
        self.kept: Callable[[], str] = lambda: ""

    def again(self, *_: Any) -> None:
        """Count; the second time, end hard. Called by Python in the main thread."""
        self.asked += 1
        if self.asked > 1:
            os._exit(STOPPED)

    def now(self) -> None:
        """Say what is kept and end the process. Called in a thread of its own."""
        self.begun = True
        with contextlib.suppress(Exception):
            files = sys.modules.get("bayes_scaling.base.files")
            if files is not None:
                files.drop_partial_files()
        with contextlib.suppress(Exception):
            kept = self.kept()
            on_terminal = sys.stderr.isatty()
            text = f"{SHOW_CURSOR if on_terminal else ''}stopped{'; ' if kept else ''}{kept}\n"
            os.write(sys.stderr.fileno(), text.encode(errors="replace"))
        os._exit(STOPPED)


_STOP = _Stop()


def ending() -> bool:
    """Say whether the process is being ended, after waiting for that: errors of files just removed are not news."""
    if _STOP.begun:
        time.sleep(PATIENCE)
    return _STOP.begun


def keeping(kept: Callable[[], str]) -> None:
    """Set what says, when the command is stopped, what is kept."""
    _STOP.kept = kept


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C end the process; where it is ignored, as in the background of a script, it stays ignored."""
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    _STOP.asked, _STOP.kept = 0, lambda: ""
    handler = signal.signal(signal.SIGINT, _STOP.again)
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(read,), daemon=True)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGINT, handler)
        os.close(write)
        watch.join()
        os.close(read)


def _watch(read: int) -> None:
    """Wait for a signal; Python writes its number the moment it arrives, whatever the main thread is doing."""
    while number := os.read(read, 1):
        if number[0] == signal.SIGINT:
            _STOP.now()
