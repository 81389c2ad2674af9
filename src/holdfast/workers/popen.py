"""How a child process is started and waited for, on top of multiprocessing's own three ways.

Here live the choice of the way, what is done better than there, and the second way to pickle a process object.
Nothing of results: this layer's `Process` is only "an object whose ``_bootstrap`` runs in the child".

Better than there (`_Steady`):

* the sentinel of our own children is a pidfd. multiprocessing's is a pipe that a child's children inherit, so that
  ``join(timeout)`` waits on after the child is dead;
* several threads may ask at once. Without the lock one of two threads in ``join()`` finds the status already
  collected, and takes a live process for a dead one or exit code 255 for the truth.

Who may die where: a parent that dies while it writes leaves the child an end of file, on which it ends. A dead fork
server is started again by the next start; the exit codes of its children are then unknown and given as 255.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import multiprocessing
import os
import pickle
import threading
from collections import ChainMap
from multiprocessing import forkserver, popen_fork, process, resource_tracker, util
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

from holdfast.errors import NotPicklable
from holdfast.workers import listener, pickling

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["by_value", "default_method", "dump_by_value", "launch", "require_method"]

UNKNOWN_EXITCODE = 255  # also what multiprocessing gives when the fork server is lost


def _forget_inherited_helpers() -> None:
    """In a forked child: multiprocessing's fork server is not a child of this process, and another thread of the
    parent may have been talking to it. Without this, starting a process by forkserver from here raises
    ChildProcessError or waits for a thread that does not exist.
    """
    server: Any = forkserver._forkserver
    tracker: Any = resource_tracker._resource_tracker
    for helper in (server, tracker):
        helper._lock._at_fork_reinit()
    if getattr(server, "_forkserver_pid", None) is not None:
        with contextlib.suppress(OSError):
            os.close(server._forkserver_alive_fd)
        server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited_helpers)


def default_method() -> str:
    """The fork server where the system has one: a child then inherits no lock that another thread holds. Else spawn."""
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def require_method(method: str | None) -> str:
    """``method``, or the default for None. Raises ValueError, as multiprocessing does, if there is no such way here."""
    if method is None:
        return default_method()
    known = multiprocessing.get_all_start_methods()
    if method not in known:
        raise ValueError(f"cannot find context for start_method={method!r}; this system has {', '.join(known)}")
    return method


class _Steady:
    """Mixed in before one of multiprocessing's ``Popen`` classes for POSIX."""

    method: str
    pid: int
    sentinel: int
    returncode: int | None

    def __init__(self, process_obj: process.BaseProcess) -> None:
        # Re-entrant: a signal handler may ask too (a SIGCHLD handler that looks who is alive).
        self.lock = threading.RLock()
        self._close_pidfd: Any = None
        super().__init__(process_obj)  # type: ignore[call-arg]
        if self.method != "forkserver":  # there, the pipe to the server is the only way to the exit code
            self._watch_pid()

    def _watch_pid(self) -> None:
        try:
            self.sentinel = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            return  # an old kernel: the pipe it is
        self._close_pidfd = util.Finalize(self, os.close, (self.sentinel,))

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        with self.lock:
            super().poll(flag)  # type: ignore[misc]
            if self.returncode is None and flag == 0:
                # `wait` saw it end, and there is nothing to collect: somebody else did (os.wait, SIGCHLD ignored).
                self.returncode = UNKNOWN_EXITCODE
            return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        # Never in waitpid for long: that would be under the lock.
        if self.returncode is None:
            if not wait([self.sentinel], timeout):
                return None
            return self.poll(0)
        return self.returncode

    def close(self) -> None:
        super().close()  # type: ignore[misc]
        if self._close_pidfd is not None:
            self._close_pidfd()


@functools.cache
def _popen_class(method: str) -> Any:
    if os.name != "posix":
        return importlib.import_module("multiprocessing.popen_spawn_win32").Popen
    base: type[popen_fork.Popen]
    if method == "fork":
        base = popen_fork.Popen
    elif method == "spawn":
        from multiprocessing import popen_spawn_posix

        base = popen_spawn_posix.Popen
    else:
        from multiprocessing import popen_forkserver

        # The server imports us once, its children then find us imported. Not if the user chose what it imports.
        if getattr(forkserver._forkserver, "_preload_modules", None) == ["__main__"]:
            forkserver.set_forkserver_preload(["__main__", "holdfast.workers.process"])

        base = popen_forkserver.Popen
    return type(f"{method.capitalize()}Popen", (_Steady, base), {})


def launch(process_obj: Any, method: str, parts: Mapping[str, Any]) -> Any:
    """Start ``process_obj`` and return its popen object.

    ``process_obj.by_value`` says how it pickles itself (see `dump_by_value`); ``parts`` are what it carries, by
    the name to use in a message: target, arguments. Raises NotPicklable, naming the part, if it cannot be sent to
    the child.
    """
    popen = _popen_class(method)
    if method == "fork":
        return popen(process_obj)
    if method == "forkserver":
        listener.start_server()
    process_obj._holdfast_by_value = by_value(process_obj, parts)
    try:
        return popen(process_obj)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        refusal: Exception = error
    if process_obj._holdfast_by_value:
        raise _not_picklable(process_obj, method, parts, refusal) from refusal
    process_obj._holdfast_by_value = True
    try:
        return popen(process_obj)
    except (pickle.PicklingError, AttributeError, TypeError):
        raise _not_picklable(process_obj, method, parts, refusal) from refusal
    finally:
        process_obj._holdfast_by_value = False


def by_value(process_obj: Any, parts: Mapping[str, Any]) -> bool:
    """Whether plain pickle would fail, here or in the child, for all that can be seen without trying."""
    named = all(map(pickling.by_name, (type(process_obj), *parts.values())))
    return not (named and pickling.main_is_importable())


def dump_by_value(value: Any) -> bytes:
    """``value`` as cloudpickle pickles it, and with what only multiprocessing can send (locks, connections)."""
    import cloudpickle

    file = io.BytesIO()
    # On the class: the pickler looks there, once, when it is made.
    table = ChainMap(ForkingPickler(file).dispatch_table, cloudpickle.Pickler.dispatch_table)
    type("ByValuePickler", (cloudpickle.Pickler,), {"dispatch_table": table})(file, pickling.PROTOCOL).dump(value)
    return file.getvalue()


def _not_picklable(process_obj: Any, method: str, parts: Mapping[str, Any], refusal: Exception) -> NotPicklable:
    for name, part in parts.items():
        if not pickling.picklable(part):
            what = pickling.culprit(part, name)
            break
    else:
        what = pickling.culprit(process_obj.__dict__, type(process_obj).__name__)
    return NotPicklable(
        f"process {process_obj.name!r} cannot be started by {method}: {what}, which cannot be pickled ({refusal}); "
        "make it inside the child, or use start_method='fork'"
    )
