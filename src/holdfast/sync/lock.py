"""Lock and RLock: the policy around the compiled ones — names, pickles, what a holder's death means, words.

Prior work: ``threading.Lock``/``RLock`` for the behaviour, POSIX robust mutexes for the idea that the next owner is
told. Differences: the owner is a process, not a kernel thread, so that a lock whose *thread* ended stays held, as in
the standard library; and the lock lives in shared memory without a file or descriptor of its own.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, Self

from holdfast.core import _native, handles
from holdfast.errors import AbandonedError, AbandonedWarning
from holdfast.sync import describe

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Lock", "RLock"]

_POLICIES = ("warn", "raise")


class _Owned:
    """What Lock and RLock share on the Python side. Mixed in before the compiled class."""

    __slots__ = ()

    def __repr__(self: Any) -> str:
        state = "locked" if self.locked() else "unlocked"
        held = describe.holder(self)
        where = f"{describe.quoted_name(self)}at {id(self):#x}" + (f", {held}" if held else "")
        return f"<{state} {describe.class_name(self)} object {where}>"

    def __reduce__(self: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return handles.reduce(self)

    @classmethod
    def _attach(cls: Any, session: _native.Session, where: tuple[int, int]) -> Any:
        return cls._native.__new__(cls, session, where)

    def _abandoned(self: Any, member: int, held: bool) -> None:
        """Say that a holder died; called by the compiled core in the thread that noticed."""
        who = describe.member(self.session, member)
        thing = f"{describe.class_name(self)} {describe.quoted_name(self)}".rstrip()
        if held:
            warnings.warn(
                f"{thing} was taken over from {who}, which ended while holding it: "
                "what it protects may be half-changed",
                AbandonedWarning,
                stacklevel=2,
            )
        else:
            raise AbandonedError(
                f"{thing} is abandoned: {who} ended while holding it. "
                "Call recover() to take it, put right what it protects, then release()"
            )

    def _at_fork_reinit(self: Any) -> None:
        """Free it if this process holds it; a lock that another process holds is left alone."""
        found = self.holder()
        if found is not None and found[0] == self.session.member:
            _native.Lock.release(self)


def _strict(abandoned: str) -> bool:
    if abandoned not in _POLICIES:
        raise ValueError(f"abandoned={abandoned!r}: one of {', '.join(map(repr, _POLICIES))}")
    return abandoned == "raise"


def _checked(made: Any, strict: bool) -> Any:
    """Refuse a named lock that was made with the other policy, where this one was asked for."""
    if strict and not made.strict():
        raise ValueError(f"abandoned='raise': the lock name={handles.text_name(made)!r} was made with 'warn'")
    return made


class Lock(_Owned, _native.Lock):
    """A lock for threads and for processes; :class:`threading.Lock` with a memory of who holds it.

    It pickles through anything (a task argument, a pipe, a queue item), and every copy is the same lock. It uses no
    file descriptor.

    Args:
        name: Open the lock of that name of this user, or make it; unrelated programs share it. At most 200 bytes.
        abandoned: What happens when the process that holds the lock dies, or ends without releasing it. ``"warn"``: the
            next one to acquire gets it, with an :class:`AbandonedWarning`. ``"raise"``: every ``acquire`` raises
            :class:`AbandonedError`, until somebody calls :meth:`recover`.
        create: For a name: ``True`` makes it (``FileExistsError`` if there is one), ``False`` opens it
            (``FileNotFoundError`` if there is none).

    A waiter learns of a holder's death within 50 ms. Dying *waiters* disturb nobody.
    """

    __module__ = "holdfast"
    __slots__ = ("__weakref__",)
    _native = _native.Lock

    def __new__(
        cls, *, name: str | None = None, abandoned: Literal["warn", "raise"] = "warn", create: bool | None = None
    ) -> Self:
        session, where = handles.where(name, create)
        if name is None and abandoned == "warn":
            return _native.Lock.__new__(cls, session, where)
        strict = _strict(abandoned)
        return _checked(_native.Lock.__new__(cls, session, where, strict), strict)  # type: ignore[no-any-return]


class RLock(_Owned, _native.RLock):
    """A lock that its holder may take again; :class:`threading.RLock` between processes too.

    The owner is a thread of a process; only it may release. Arguments, pickling and the death of a holder are as with
    :class:`Lock`; who takes over from a dead holder has it once.
    """

    __module__ = "holdfast"
    __slots__ = ("__weakref__",)
    _native = _native.RLock

    def __new__(
        cls, *, name: str | None = None, abandoned: Literal["warn", "raise"] = "warn", create: bool | None = None
    ) -> Self:
        session, where = handles.where(name, create)
        if name is None and abandoned == "warn":
            return _native.RLock.__new__(cls, session, where)
        strict = _strict(abandoned)
        return _checked(_native.RLock.__new__(cls, session, where, strict), strict)  # type: ignore[no-any-return]
