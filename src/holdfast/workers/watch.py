"""A child's eye on its parent: when the parent is gone, however it went, the child goes too.

Used by daemonic processes, and for those that do the same work (a pool's workers). It knows nothing of what they run.

Why not ``PR_SET_PDEATHSIG``: it follows the *thread* that forked, and under forkserver it would follow the server.
Why not only multiprocessing's pipe (``parent_process().sentinel``): under fork every later sibling inherits the
end that has to close. So: a pidfd of the parent and that pipe, whichever speaks first, in one thread that is no
`threading.Thread`, since it is not the user's and must not show among them.
"""

from __future__ import annotations

import _thread
import multiprocessing
import os
from multiprocessing.connection import wait

__all__ = ["die_with_parent", "lives", "orphaned", "start_time"]

ORPHANED_EXITCODE = 1
_CANNOT_TELL = (1 << 64) - 1  # what the core says if it could not look


def start_time(pid: int) -> int:
    """When process ``pid`` started, in clock ticks since boot; 0 if it is dead. With the pid: one process for good."""
    from holdfast.core import _native

    return _native.process_start(pid)


def lives(pid: int, start: int) -> bool:
    """Whether the process that had ``pid`` and ``start`` lives; in doubt (no file descriptor left to look) it does."""
    found = start_time(pid)
    return found == start or (found != 0 and _CANNOT_TELL in (found, start))


def orphaned(parent_start: int) -> bool:
    """Whether the parent of this process, which multiprocessing started, is dead: by its pid or by its pipe.

    The pipe speaks a little earlier, when the parent closes its files, but not while a sibling holds its end.
    """
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return False
    return not lives(parent.pid, parent_start) or not parent.is_alive()


def die_with_parent(parent_start: int) -> None:
    """From now on end this process, by ``os._exit``, as soon as its parent is dead.

    To be called once, in a process that multiprocessing started. ``parent_start`` is the parent's own
    `start_time`: a process that has got the number of a parent already dead is thus not taken for it.

    Nothing is cleaned up, and a task that keeps the interpreter lock for good (a C function that never releases
    it) ends only when it lets go.
    """
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return
    signs = [parent.sentinel]
    try:
        signs.append(os.pidfd_open(parent.pid))
    except ProcessLookupError:
        os._exit(ORPHANED_EXITCODE)
    except (AttributeError, OSError):
        pass  # an old kernel: the pipe alone
    # After opening: from here on the pidfd is that of the process that was looked at.
    if not lives(parent.pid, parent_start):
        os._exit(ORPHANED_EXITCODE)
    _thread.start_new_thread(_wait_and_die, (signs,))


def _wait_and_die(signs: list[int]) -> None:
    wait(signs)
    os._exit(ORPHANED_EXITCODE)
