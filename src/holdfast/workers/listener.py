"""Where multiprocessing's fork server listens: a socket in the session's private directory, not in ``TMPDIR``.

multiprocessing puts the socket into a directory ``pymp-*`` of the temporary directory, which stays for good if the
process is killed. In the session's directory it goes with the session. Only the place of that socket lives here: a
server that somebody else started first stays where it is, and other users of multiprocessing's temporary directory
(listeners, managers) keep theirs. Must not know of processes or pools.

Who makes and removes ``fs-<member number>-<random>``, which holds one socket:

* the process that starts the server makes it, and uses it again if the server died and is started anew;
* it removes it at its end: at exit, or, in a child of multiprocessing, among multiprocessing's own finalizers;
* after SIGKILL it stays until somebody starts a process in this session (`handover.new_place`), the session's last
  member leaves, or, if nobody is left, until the next start of a holdfast program of this user.

A forked child never uses its parent's server, and gets a directory of its own with its first one.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import threading
from multiprocessing import forkserver, process, util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["start_server"]

LONGEST = 107  # bytes: how long the path of a socket may be
BELOW = len("12345678/listener-12345678")  # what tempfile and multiprocessing add

_lock = threading.Lock()  # over what follows and, while it is lent, multiprocessing's own setting
_directory: str | None = None  # this process's own
_lent: list[Any] = []  # multiprocessing's temporary directory while ours is in its place
_registered_by = 0  # the process whose exit removes _directory


def start_server() -> None:
    """Start this process's fork server, if none runs, with its socket in the session's directory.

    Does nothing for a server that runs. If the path is too long for a socket the server listens where multiprocessing
    would have it. Raises what `session.current` raises.
    """
    server: Any = forkserver._forkserver
    with _lock:
        if _directory is not None and not os.path.isdir(_directory):
            _forget_server(server)  # the session has ended (in an exit handler, say), the socket with it
        if server._forkserver_pid is None or _is_ours(server._forkserver_address):
            directory = _place()
            if directory is not None:
                with _lend(directory):
                    forkserver.ensure_running()


def _is_ours(address: str | None) -> bool:
    return _directory is not None and address is not None and os.path.dirname(address) == _directory


def _forget_server(server: Any) -> None:
    """Let the next start make a new server. The old one lives on, to tell the exit codes of the children it has."""
    global _directory
    with server._lock:
        if _is_ours(server._forkserver_address):
            # The "alive" pipe stays open: at its end the server would leave before its children.
            server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None
    _directory = None


def _place() -> str | None:
    global _directory, _registered_by
    if _directory is None:
        from holdfast.core import session

        current = session.current()
        start = os.path.join(session.directory(current), f"fs-{current.member}-")
        if len(os.fsencode(start)) + BELOW > LONGEST:
            return None
        _directory = tempfile.mkdtemp(prefix=start)
        # For children of multiprocessing, which end without atexit. Where multiprocessing removes its own.
        util.Finalize(None, _remove, (_directory,), exitpriority=-100)
        if _registered_by != os.getpid():
            _registered_by = os.getpid()
            atexit.register(_at_exit)
    return _directory


def _remove(directory: str) -> None:
    shutil.rmtree(directory, ignore_errors=True)  # the session may have gone, the directory with it


def _at_exit() -> None:
    """Runs before the session is left: what is started later, by anybody's exit handler, needs a new server."""
    with _lock:
        if _directory is not None:
            directory = _directory
            _forget_server(forkserver._forkserver)
            _remove(directory)


@contextlib.contextmanager
def _lend(directory: str) -> Iterator[None]:
    """Make ``directory`` multiprocessing's temporary one. Only for a moment: children would inherit the setting."""
    config: Any = process.current_process()._config  # type: ignore[attr-defined]
    _lent[:] = [config.get("tempdir")]
    config["tempdir"] = directory
    try:
        yield
    finally:
        config["tempdir"] = _lent.pop()


def _after_fork_in_child() -> None:
    global _lock, _directory
    _lock = threading.Lock()
    _directory = None
    if _lent:  # another thread of the parent was just starting its server
        process.current_process()._config["tempdir"] = _lent.pop()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
