"""Which classes are tested: holdfast's, or, to check the harness itself, the standard library's own.

Only the choice of classes lives here. It must not know the tests. The variable ``CONFORMANCE_SUBJECT=stdlib``
puts ``threading`` and ``multiprocessing`` in holdfast's place: a test that fails there fails because of the
harness or the machine, not because of holdfast. Children of the tests inherit the variable.
"""

from __future__ import annotations

import functools
import multiprocessing
import multiprocessing.dummy
import multiprocessing.sharedctypes
import os
import queue
import threading
from types import SimpleNamespace
from typing import Any, Final

STDLIB: Final = os.environ.get("CONFORMANCE_SUBJECT", "holdfast") == "stdlib"

SYNC: Final = ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Event", "Condition", "Barrier")


def for_threads() -> dict[str, Any]:
    """The classes that ``test.lock_tests`` is to be pointed at, by their names in ``threading``."""
    if STDLIB:
        return {name: getattr(threading, name) for name in SYNC}
    import holdfast

    return {name: getattr(holdfast, name) for name in SYNC}


@functools.cache
def for_processes() -> dict[str, Any]:
    """What replaces ``multiprocessing``'s functions in the tests' mixin, by their names there.

    holdfast has no ``RawValue`` and ``RawArray``; those are what ``lock=False`` gives.
    """
    if STDLIB:
        return {}
    import holdfast

    names = (*SYNC, "Value", "Array", "active_children", "Queue", "Pipe")
    found: dict[str, Any] = {name: getattr(holdfast, name) for name in names}
    found["current_process"] = holdfast.current  # in a main thread, which is where the tests ask
    found["JoinableQueue"] = holdfast.Queue
    found["RawValue"] = functools.partial(holdfast.Value, lock=False)
    found["RawArray"] = functools.partial(holdfast.Array, lock=False)
    return found


def for_dummies() -> dict[str, Any]:
    """What replaces ``multiprocessing.dummy``'s functions, the same face for threads, in the tests' other mixin."""
    if STDLIB:
        return {}
    import holdfast

    found: dict[str, Any] = {name: getattr(holdfast, name) for name in SYNC}
    found["Pipe"] = holdfast.Pipe
    found["Queue"] = found["JoinableQueue"] = functools.partial(holdfast.Queue, local=True)
    return found


def in_multiprocessing(process: Any) -> dict[str, Any]:
    """What replaces names of the package ``multiprocessing`` where tests take them from there, not from their mixin."""
    if STDLIB:
        return {}
    import holdfast

    names = ("Queue", "JoinableQueue", "Pipe", "Event", "Semaphore")
    found = {name: for_processes()[name] for name in names}
    return {**found, "SimpleQueue": holdfast.SimpleQueue, "Process": process}


QUEUES: Final = ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")


def queue_module(local: bool) -> Any:
    """What stands for the module ``queue``: our classes, shared between processes, or made for threads only."""
    if STDLIB:
        return queue
    import holdfast

    made: dict[str, Any] = {name: getattr(holdfast, name) for name in QUEUES}
    if local:
        made = {name: functools.partial(cls, local=True) for name, cls in made.items()}
    return SimpleNamespace(**made, Empty=holdfast.Empty, Full=holdfast.Full, ShutDown=holdfast.ShutDown)


def ctypes_value() -> Any:
    """What stands for ``multiprocessing.sharedctypes.Value`` where a test takes it from the module directly."""
    return multiprocessing.sharedctypes.Value if STDLIB else for_processes()["Value"]


def process_class(start_method: str) -> tuple[Any, dict[str, Any]]:
    """The process class, and what a subclass of it needs as its own so that ``start_method`` is its default.

    ``multiprocessing.Process`` goes by the start method of the whole program, which the harness sets as well.
    """
    if STDLIB:
        return multiprocessing.Process, {}
    import holdfast

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        holdfast.Process.__init__(self, *args, **{"start_method": start_method, **kwargs})

    return holdfast.Process, {"__init__": __init__}


def active_children() -> list[Any]:
    """The children of this process that still run, by the tested module's own count."""
    if STDLIB:
        return list(multiprocessing.active_children())
    import holdfast

    return list(holdfast.active_children())
