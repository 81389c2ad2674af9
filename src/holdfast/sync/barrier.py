"""Barrier: the policy around the compiled gate — actions, timeouts, who broke it."""

from __future__ import annotations

from threading import BrokenBarrierError
from typing import TYPE_CHECKING, Any, Self

from holdfast.core import _native, handles
from holdfast.sync import describe

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Barrier"]

OPENED, TIMED_OUT = 1, 0
FULL = -3  # every party of this round is in, and its last one still runs the action


class Barrier(_native.Gate):
    """A meeting point of ``parties`` threads and processes; :class:`threading.Barrier`, pickled anywhere.

    A party that is killed while it waits, or after it took part in the round before, breaks the barrier for the
    living: they get ``BrokenBarrierError`` naming it within 50 ms, instead of waiting for somebody who cannot come.
    ``reset()`` makes it whole, with other parties if need be.

    Args:
        parties: How many must arrive, at least 1.
        action: Called by the last to arrive, before anybody goes on. Pickled with the barrier.
        timeout: Default for :meth:`wait`, in seconds.
        name: Open the barrier of that name of this user, or make it.
        create: For a name, as with :class:`Lock`.
    """

    __module__ = "holdfast"
    __slots__ = ("__weakref__", "_action", "_timeout")
    _action: Callable[[], object] | None
    _timeout: float | None

    def __new__(
        cls,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        name: str | None = None,
        create: bool | None = None,
    ) -> Self:
        session, where = handles.where(name, create)
        made = _native.Gate.__new__(cls, session, where, parties)
        if made.parties != parties:
            raise ValueError(f"parties={parties}: the barrier name={name!r} was made for {made.parties}")
        made._action, made._timeout = action, timeout
        return made

    @classmethod
    def _attach(cls, session: _native.Session, where: tuple[int, int], action: Any, timeout: float | None) -> Self:
        made = _native.Gate.__new__(cls, session, where)
        made._action, made._timeout = action, timeout
        return made

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return handles.reduce(self, self._action, self._timeout)

    def __repr__(self) -> str:
        head = f"<{describe.class_name(self)} at {id(self):#x} {describe.quoted_name(self)}".rstrip()
        return f"{head}: {'broken' if self.broken else f'waiters={self.n_waiting}/{self.parties}'}>"

    def wait(self, timeout: float | None = None) -> int:  # type: ignore[override]
        """Wait until all parties are here.

        Args:
            timeout: Seconds; the barrier's own default if None. When it passes, the barrier is broken for all.

        Returns:
            A number from 0 to ``parties - 1``, another one for each party.

        Raises:
            BrokenBarrierError: It was broken, reset or timed out, or a party died.
        """
        if timeout is None:
            timeout = self._timeout
        index, round_ = self.arrive()
        while index == FULL:
            if super().wait(round_, timeout) == TIMED_OUT:
                raise self._broken("timed out waiting for the round before to end")
            index, round_ = self.arrive()
        if index < 0:
            raise self._broken("it is broken")
        if index == self.parties - 1:
            self._lead(round_)
        else:
            self._follow(round_, timeout)
        return index

    def _lead(self, round_: int) -> None:
        try:
            if self._action is not None:
                self._action()
        except BaseException:
            self.abort()
            raise
        if not self.open(round_):
            raise self._broken("it was broken or reset meanwhile")

    def _follow(self, round_: int, timeout: float | None) -> None:
        try:
            outcome = super().wait(round_, timeout)
        except BaseException:
            self._abort_round(round_)
            raise
        if outcome == TIMED_OUT:
            outcome = TIMED_OUT if self._abort_round(round_) else super().wait(round_, 0)
        if outcome != OPENED:
            raise self._broken("timed out" if outcome == TIMED_OUT else "it was broken or reset")

    def _broken(self, why: str) -> BrokenBarrierError:
        if self.casualty:
            why = f"{describe.member(self.session, self.casualty)} took part and died"
        return BrokenBarrierError(f"{describe.class_name(self)} {describe.quoted_name(self)}: {why}".replace(" :", ":"))
