"""Functions that peers are told to call, and threads that report; importable by spawned processes."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from typing import Any

from tests.core.tools import WATCHDOG, Hang


class Worker(threading.Thread):
    """A thread that runs one call; ``result()`` returns its value or raises its exception, and never hangs."""

    def __init__(self, call: Any, *args: Any) -> None:
        super().__init__(daemon=True)
        self._call, self._args, self._value, self._error = call, args, None, None
        self.start()

    def run(self) -> None:
        try:
            self._value = self._call(*self._args)
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        self.join(WATCHDOG)
        if self.is_alive():
            raise Hang(f"{self._call} hangs")
        if self._error is not None:
            raise self._error
        return self._value


def told(call: Any, *args: Any, **kwargs: Any) -> tuple[Any, list[str]]:
    """Make a call; its value and the text of every warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = call(*args, **kwargs)
    return value, [f"{one.category.__name__}: {one.message}" for one in caught]


def with_errors(call: Any, *args: Any, **kwargs: Any) -> Any:
    """Make a call with every warning an error, as under ``-W error``."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call(*args, **kwargs)


def add_under(lock: Any, block: Any, count: int) -> None:
    """Add 1 to an unprotected number ``count`` times, each under the lock."""
    number = memoryview(block).cast("q")
    for _ in range(count):
        with lock:
            number[0] += 1


def take_and_give(lock: Any) -> None:
    lock.acquire()
    lock.release()


def interrupt(pid: int) -> None:
    os.kill(pid, signal.SIGINT)


def same(one: Any, other: Any) -> bool:
    return one is other


def wait_under(condition: Any, timeout: float | None = None) -> bool:
    with condition:
        return condition.wait(timeout)


def notify_under(condition: Any, n: int = 1) -> None:
    with condition:
        condition.notify(n)
