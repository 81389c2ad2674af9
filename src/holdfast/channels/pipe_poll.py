"""The descriptor of a connection: one that ``select`` and event loops see readable when there is something to receive.

Two descriptors make it, held together by an ``epoll``: the bell of the queue that comes in, and the FIFO of the other
end, on which the kernel hangs up. Must not know messages.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

from holdfast.channels import pipe_ends

if TYPE_CHECKING:
    from holdfast.core import _native

__all__ = ["Poller"]


class Poller:
    """A descriptor that is readable while ``bell`` is, or when nobody holds the end at ``place``.

    Args:
        of: The session.
        bell: A descriptor that stays open as long as this; None: nothing comes in.
        place: Of the other end.
    """

    __slots__ = ("_epoll", "_other", "pid")

    def __init__(self, of: _native.Session, bell: int | None, place: pipe_ends.Place) -> None:
        self.pid = os.getpid()  # a child that changed what is watched would change it for its parent
        self._other = pipe_ends.watch(of, place)
        try:
            self._epoll = select.epoll()
        except OSError:
            os.close(self._other)
            raise
        self._epoll.register(self._other, 0)  # hanging up is always told
        if bell is not None:
            self._epoll.register(bell, select.EPOLLIN)

    def fileno(self) -> int:
        """The descriptor."""
        return self._epoll.fileno()

    def hung_up(self) -> bool:
        """Whether nobody has the other end open."""
        return pipe_ends.hung_up(self._other, 0.0)

    def close(self) -> None:
        """Close the descriptors; in a child, its copies."""
        self._epoll.close()
        os.close(self._other)
