"""What happens to this process's pools when it ends or forks. Only these two moments are handled here.

At the end of the interpreter the work that was submitted is done first, as with `concurrent.futures`; unless the
program is ending because of Ctrl-C: then the workers are killed.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.pool.engine import Engine

__all__ = ["register"]

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def register(engine: Engine) -> None:
    """Take care of a pool's engine."""
    _engines.add(engine)


def _at_exit() -> None:
    engines = [engine for engine in list(_engines) if engine.pid == os.getpid()]
    # The interpreter notes there what it printed as the uncaught exception.
    interrupted = getattr(sys, "last_type", None) is KeyboardInterrupt
    for engine in engines:
        if interrupted:
            engine.abort()
        else:
            engine.close("interpreter shutdown")
    try:
        for engine in engines:
            engine.join()
    except KeyboardInterrupt:
        for engine in engines:
            engine.abort()
        raise


def _after_fork() -> None:
    for engine in list(_engines):
        engine.forget()


# Before the interpreter joins other threads, as concurrent.futures does; a plain atexit would come after that.
_register: Any = getattr(threading, "_register_atexit")  # noqa: B009  (typeshed does not list it)
_register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
