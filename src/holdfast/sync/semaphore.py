"""Semaphore and BoundedSemaphore: the policy around the compiled one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from holdfast.core import _native, handles
from holdfast.sync import describe

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BoundedSemaphore", "Semaphore"]


class Semaphore(_native.Semaphore):
    """At most ``value`` at once, over threads and processes; :class:`threading.Semaphore`, pickled anywhere.

    A process that dies gives back what it held: the permits are raised again until those that are free and those that
    the living hold make up the value it was made with. A semaphore made with 0 is a mere signal and gains nothing by
    a death.

    Args:
        value: Permits to begin with, 0 to 2147483647.
        name: Open the semaphore of that name of this user, or make it.
        create: For a name, as with :class:`Lock`.

    Raises:
        ValueError: ``value`` is negative or too large, or a semaphore of that name was made with another one.
    """

    __module__ = "holdfast"
    __slots__ = ("__weakref__",)
    _bounded = False

    def __new__(cls, value: int = 1, *, name: str | None = None, create: bool | None = None) -> Self:
        session, where = handles.where(name, create)
        made = _native.Semaphore.__new__(cls, session, where, value, cls._bounded)
        if name is not None and value not in (1, made.initial()):
            raise ValueError(f"value={value}: the semaphore name={name!r} was made with {made.initial()}")
        if made.bounded() != cls._bounded:
            raise ValueError(f"the semaphore name={name!r} was made {'' if made.bounded() else 'un'}bounded")
        return made

    @classmethod
    def _attach(cls, session: _native.Session, where: tuple[int, int]) -> Self:
        return _native.Semaphore.__new__(cls, session, where)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return handles.reduce(self)

    def _state(self) -> str:
        return f"value={self.get_value()}"

    def __repr__(self) -> str:
        head = f"<{describe.class_name(self)} at {id(self):#x} {describe.quoted_name(self)}".rstrip()
        return f"{head}: {self._state()}>"


class BoundedSemaphore(Semaphore):
    """A :class:`Semaphore` that cannot be released beyond its value: ``ValueError`` then, and nothing changes."""

    __module__ = "holdfast"
    __slots__ = ()
    _bounded = True

    def _state(self) -> str:
        return f"value={self.get_value()}/{self.initial()}"
