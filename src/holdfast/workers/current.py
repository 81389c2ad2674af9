"""`current` and `active_children`: who runs this code, and which children live.

Both are questions to the standard library, which knows our workers because they are its own. Nothing else lives here.
"""

from __future__ import annotations

import multiprocessing
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

__all__ = ["active_children", "current"]


def current() -> threading.Thread | BaseProcess:
    """The worker that runs the calling code: the innermost thing that somebody started.

    In any thread but the main one: that thread's object (:func:`threading.current_thread`; our `Thread` if it is
    one, else the standard library's). In a process's main thread: that process's object
    (:func:`multiprocessing.current_process`; our `Process` in a child that was started as one, multiprocessing's
    main process object at the top). Both have ``name``, ``ident`` and ``daemon``.
    """
    thread = threading.current_thread()
    if thread is threading.main_thread():
        return multiprocessing.current_process()
    return thread


def active_children() -> list[BaseProcess]:
    """The living child processes of this process, of holdfast or multiprocessing; joins those that ended."""
    return list(multiprocessing.active_children())
