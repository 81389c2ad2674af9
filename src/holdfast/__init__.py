"""Concurrency that never hangs, never loses an item and wastes no core.

The public names and nothing else; each is imported when it is first used.
"""

from __future__ import annotations

import importlib
import os
from _thread import RLock as _RLock

TYPE_CHECKING = False  # as typing has it, without the milliseconds that importing typing takes
if TYPE_CHECKING:
    from concurrent.futures import Future, as_completed, wait
    from threading import BrokenBarrierError
    from typing import Any

    from holdfast.channels.lifo import LifoQueue
    from holdfast.channels.pipe import Connection, Pipe
    from holdfast.channels.priority import PriorityQueue
    from holdfast.channels.queue import Empty, Full, Queue, ShutDown, SimpleQueue
    from holdfast.errors import (
        AbandonedError,
        AbandonedWarning,
        GoneError,
        HoldfastError,
        NameTooLongError,
        NotPicklable,
        RemoteError,
        SessionError,
        WorkerDied,
    )
    from holdfast.pool.executor import ProcessPoolExecutor
    from holdfast.pool.threads import ThreadPoolExecutor
    from holdfast.shared.array import Array
    from holdfast.shared.local import Local
    from holdfast.shared.share import share
    from holdfast.shared.value import Value
    from holdfast.sync.barrier import Barrier
    from holdfast.sync.condition import Condition
    from holdfast.sync.event import Event
    from holdfast.sync.lock import Lock, RLock
    from holdfast.sync.semaphore import BoundedSemaphore, Semaphore
    from holdfast.workers.cpu import cpu_count
    from holdfast.workers.current import active_children, current
    from holdfast.workers.process import Process
    from holdfast.workers.thread import Thread

__version__ = "0.1.0"

_HOME = {
    "AbandonedError": "holdfast.errors",
    "AbandonedWarning": "holdfast.errors",
    "Array": "holdfast.shared.array",
    "Barrier": "holdfast.sync.barrier",
    "BoundedSemaphore": "holdfast.sync.semaphore",
    "BrokenBarrierError": "threading",
    "Condition": "holdfast.sync.condition",
    "Connection": "holdfast.channels.pipe",
    "Empty": "queue",
    "Event": "holdfast.sync.event",
    "Full": "queue",
    "Future": "concurrent.futures",
    "GoneError": "holdfast.errors",
    "HoldfastError": "holdfast.errors",
    "LifoQueue": "holdfast.channels.lifo",
    "Local": "holdfast.shared.local",
    "Lock": "holdfast.sync.lock",
    "NameTooLongError": "holdfast.errors",
    "NotPicklable": "holdfast.errors",
    "Pipe": "holdfast.channels.pipe",
    "PriorityQueue": "holdfast.channels.priority",
    "Process": "holdfast.workers.process",
    "ProcessPoolExecutor": "holdfast.pool.executor",
    "Queue": "holdfast.channels.queue",
    "RLock": "holdfast.sync.lock",
    "RemoteError": "holdfast.errors",
    "Semaphore": "holdfast.sync.semaphore",
    "SessionError": "holdfast.errors",
    "ShutDown": "holdfast.channels.queue",
    "SimpleQueue": "holdfast.channels.queue",
    "Thread": "holdfast.workers.thread",
    "ThreadPoolExecutor": "holdfast.pool.threads",
    "Value": "holdfast.shared.value",
    "WorkerDied": "holdfast.errors",
    "active_children": "holdfast.workers.current",
    "as_completed": "concurrent.futures",
    "cpu_count": "holdfast.workers.cpu",
    "current": "holdfast.workers.current",
    "share": "holdfast.shared.share",
    "wait": "concurrent.futures",
}

__all__ = [
    "AbandonedError",
    "AbandonedWarning",
    "Array",
    "Barrier",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "Condition",
    "Connection",
    "Empty",
    "Event",
    "Full",
    "Future",
    "GoneError",
    "HoldfastError",
    "LifoQueue",
    "Local",
    "Lock",
    "NameTooLongError",
    "NotPicklable",
    "Pipe",
    "PriorityQueue",
    "Process",
    "ProcessPoolExecutor",
    "Queue",
    "RLock",
    "RemoteError",
    "Semaphore",
    "SessionError",
    "ShutDown",
    "SimpleQueue",
    "Thread",
    "ThreadPoolExecutor",
    "Value",
    "WorkerDied",
    "active_children",
    "as_completed",
    "cpu_count",
    "current",
    "share",
    "wait",
]


# A child forked while another thread imports inherits that module's lock, and nobody to release it.
_importing = _RLock()
os.register_at_fork(before=_importing.acquire, after_in_parent=_importing.release, after_in_child=_importing.release)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    with _importing:
        value = globals()[name] = getattr(importlib.import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
