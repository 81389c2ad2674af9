"""Local: attributes that every thread has for itself, and an end for them when the thread ends.

The attributes are ``threading.local``'s own. Added: a hook that is called when a thread that used the object ends, and
pickling (as an empty one). Must not know of pools; their workers end like other threads and processes.

Who owns what: a Local owns an ``_End`` for each thread that has used it; a thread, through ``_threads``, knows these
weakly. Whichever of the two goes first finishes the ``_End``; so nothing is kept alive for longer than by
``threading.local``.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import sys
import threading
import types
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Local"]


class _Ours:
    """Something of this process, to be finished while the interpreter is whole. Daemon threads outlive that."""

    __slots__ = ("pid",)

    def __init__(self) -> None:
        self.pid = os.getpid()

    def may_finish(
        self, getpid: Callable[[], int] = os.getpid, is_finalizing: Callable[[], bool] = sys.is_finalizing
    ) -> bool:
        """Tell whether it is still time; the defaults stand for globals that may have gone."""
        return self.pid == getpid() and not is_finalizing()


class _End(_Ours):
    """What one thread has in one Local; finished once, in whichever way it ends."""

    __slots__ = ("__weakref__", "close", "inherited", "owner", "values")

    def __init__(self, owner: _Ends, values: dict[str, Any], close: Callable[[Any], object]) -> None:
        super().__init__()
        self.owner = weakref.ref(owner)
        self.values = values
        self.inherited: dict[str, Any] = {}
        self.close: Callable[[Any], object] | None = close

    def forked(self) -> None:
        """In a forked child, for its one thread: from here on what is new is the child's to end."""
        self.inherited = dict(self.values)
        self.pid = os.getpid()

    def finish(self) -> None:
        close, self.close = self.close, None
        if close is None or not self.may_finish():
            return
        own = {key: value for key, value in self.values.items() if self.inherited.get(key, self) is not value}
        try:
            if own:
                close(types.SimpleNamespace(**own))
        except BaseException:
            sys.excepthook(*sys.exc_info())  # there is nobody to raise to: the thread is over
        self.values = self.inherited = {}

    __del__ = finish


class _Ends(set[_End]):
    """The ends that a Local owns."""

    __slots__ = ()


class _Thread(_Ours):
    """Goes when its thread does, and then finishes what the thread had."""

    __slots__ = ("ends",)

    def __init__(self) -> None:
        super().__init__()
        self.ends: weakref.WeakSet[_End] = weakref.WeakSet()

    def forked(self) -> None:
        self.pid = os.getpid()
        for end in self.ends:
            end.forked()

    def finish(self) -> None:
        if not self.may_finish():
            return
        for end in list(self.ends):
            owner = end.owner()
            if owner is not None:
                owner.discard(end)
            end.finish()

    __del__ = finish


_threads = threading.local()


def _this_thread() -> _Thread:
    token: _Thread | None = getattr(_threads, "token", None)
    if token is None:
        token = _threads.token = _Thread()
        if threading.get_ident() == threading.main_thread().ident:
            _finish_with_the_process(token)
    return token


def _finish_with_the_process(token: _Thread) -> None:
    """Have the main thread's attributes ended while the interpreter is still whole.

    Children of multiprocessing end by ``os._exit``, without atexit; the end of threading is what they do run.
    """
    atexit.register(token.finish)
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        with contextlib.suppress(RuntimeError):  # threading has ended already
            register(_finish_in_a_child, token)


def _finish_in_a_child(token: _Thread) -> None:
    module = sys.modules.get("multiprocessing.process")
    if module is not None and module.parent_process() is not None:
        token.finish()


def _after_fork_in_child() -> None:
    token: _Thread | None = getattr(_threads, "token", None)
    if token is not None:
        token.forked()
        _finish_with_the_process(token)  # the thread that forked is the main one now


os.register_at_fork(after_in_child=_after_fork_in_child)


class _LocalType(type):
    """Keeps ``close=`` from a subclass's ``__init__``, which every thread calls with the other arguments."""

    def __call__(cls, *args: Any, close: Callable[[Any], object] | None = None, **kwargs: Any) -> Any:
        made: Any = cls.__new__(cls, *args, **kwargs)  # type: ignore[arg-type]
        made._recipe = (args, kwargs, close)
        made._ends = _Ends()
        made.__init__(*args, **kwargs)
        return made


class Local(threading.local, metaclass=_LocalType):
    """Attributes that each thread has for itself; :class:`threading.local` with an end.

    A subclass's ``__init__`` runs once in each thread that uses the object, with the arguments the object was made
    with.

    Args:
        close: Called with a holder of a thread's attributes (``close=lambda mine: mine.connection.close()``) when that
            thread ends, *in that thread*, so that objects bound to their thread (``sqlite3`` with its
            ``check_same_thread``) can be closed; the main thread's when the process ends. If the object itself goes
            first, it is called for all its threads by whichever thread let go of it. It is not called for a thread that
            has no attributes. An exception it raises is printed.

    A process that is killed, or that ends by ``os._exit``, calls nothing. A forked child keeps its one thread's
    attributes, as with ``threading.local``, but ends only what it has set itself: the rest is its parent's.

    Pickles as an empty Local with the same class and arguments: in another process there are other threads.
    """

    __module__ = "holdfast"
    __slots__ = ("_ends", "_recipe")
    _ends: _Ends
    _recipe: tuple[tuple[Any, ...], dict[str, Any], Callable[[Any], object] | None]

    def __init__(self) -> None:
        _enter(self)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        init = cls.__dict__.get("__init__")
        if init is None:
            return

        @functools.wraps(init)
        def enter_and_init(self: Local, *args: Any, **kwargs: Any) -> None:
            _enter(self)
            init(self, *args, **kwargs)

        cls.__init__ = enter_and_init  # type: ignore[method-assign]

    def __reduce__(self) -> Any:
        return _make, (type(self), *self._recipe)


def _make(cls: Any, args: Any, kwargs: Any, close: Any) -> Any:
    return cls(*args, close=close, **kwargs)


def _enter(local: Local) -> None:
    """Note that this thread uses the object; called when it first does."""
    close = local._recipe[2]
    if close is None:
        return
    thread = _this_thread()
    if any(end.owner() is local._ends for end in thread.ends):
        return
    end = _End(local._ends, local.__dict__, close)
    local._ends.add(end)
    thread.ends.add(end)
