"""Who is compared: the same names from holdfast, multiprocessing (fork) and threading.

Only here is a peer imported, and only when a trial asks for it, so that the rest of the benchmarks runs
without those that are not installed. What is made here is given to code that knows no peer by name.
"""

from __future__ import annotations

import importlib
import multiprocessing
import threading
from typing import Any, Protocol, cast

from benchmarks.model import SUBJECT, Unavailable

MP = "multiprocessing"
THREADING = "threading"


class LockLike(Protocol):
    """What the lock cases need of a lock."""

    def acquire(self) -> Any: ...
    def release(self) -> None: ...
    def __enter__(self) -> Any: ...
    def __exit__(self, *exc: object) -> Any: ...


class EventLike(Protocol):
    """What the wake-up case needs of an event."""

    def set(self) -> None: ...
    def clear(self) -> None: ...
    def wait(self) -> Any: ...


class ConditionLike(LockLike, Protocol):
    """What the round trip needs of a condition."""

    def wait(self) -> Any: ...
    def notify(self) -> None: ...


class BarrierLike(Protocol):
    """What the rounds need of a barrier."""

    def wait(self) -> Any: ...


class Family(Protocol):
    """A module, or a multiprocessing context, with the standard names."""

    def Lock(self) -> LockLike: ...
    def Semaphore(self, value: int = ...) -> LockLike: ...
    def Event(self) -> EventLike: ...
    def Condition(self) -> ConditionLike: ...
    def Barrier(self, parties: int) -> BarrierLike: ...


def family(name: str) -> Family:
    """The primitives of the peer ``name``; raises :class:`Unavailable` if it cannot be imported."""
    if name == MP:
        return cast("Family", multiprocessing.get_context("fork"))
    if name == THREADING:
        return cast("Family", threading)
    return cast("Family", holdfast())


def holdfast() -> Any:
    """The module under test, or :class:`Unavailable`."""
    return _module(SUBJECT)


def numpy() -> Any:
    """NumPy, or :class:`Unavailable`."""
    return _module("numpy")


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unavailable(f"cannot import {name}: {error}") from error
