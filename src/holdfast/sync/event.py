"""Event: the policy around the compiled one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from holdfast.core import _native, handles
from holdfast.sync import describe

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Event"]


class Event(_native.Event):
    """A flag that threads and processes wait for; :class:`threading.Event`, pickled anywhere.

    ``set()`` wakes every waiter, also those that look only after a ``clear()`` that followed at once, and never waits
    for anybody: a killed waiter cannot hold it up. It may be called from a signal handler.

    Args:
        name: Open the event of that name of this user, or make it.
        create: For a name, as with :class:`Lock`.
    """

    __module__ = "holdfast"
    __slots__ = ("__weakref__",)

    def __new__(cls, *, name: str | None = None, create: bool | None = None) -> Self:
        session, where = handles.where(name, create)
        return _native.Event.__new__(cls, session, where)

    @classmethod
    def _attach(cls, session: _native.Session, where: tuple[int, int]) -> Self:
        return _native.Event.__new__(cls, session, where)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return handles.reduce(self)

    def __repr__(self) -> str:
        state = "set" if self.is_set() else "unset"
        return f"<{describe.class_name(self)} at {id(self):#x} {describe.quoted_name(self)}".rstrip() + f": {state}>"
