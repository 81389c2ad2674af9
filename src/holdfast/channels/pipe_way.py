"""One direction of a pipe: a queue that ends when nobody has the other end any more.

Holds how messages are put and got, as objects or as bytes; must not know connections.
"""

from __future__ import annotations

import functools
import pickle
from typing import TYPE_CHECKING, Any, Self

from holdfast.channels import codec
from holdfast.channels.queue import PIECE, Base, Empty, Full, default_bytes, teach_pickle
from holdfast.core import _native

if TYPE_CHECKING:
    from holdfast.channels.pipe_ends import Place

__all__ = ["Direction", "Raw"]


class Raw:
    """A message as bytes: what ``loads`` is for one who wants no object."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


def _as_bytes(view: memoryview) -> bytes:
    whole = view.obj
    return whole if type(whole) is bytes and len(whole) == view.nbytes else bytes(view)


def _ways(of: _native.Session, raw: bool) -> tuple[Any, ...]:
    teach_pickle()
    pack = _as_bytes if raw else functools.partial(codec.pack, of)
    loads, dumps = (Raw, None) if raw else (pickle.loads, pickle.dumps)
    return loads, dumps, pack, codec.unpack, _native.Block, Empty, Full, BrokenPipeError, EOFError


class Direction(Base):
    """One direction of a pipe as one end sees it.

    Args:
        of: The session.
        where: Of the queue; None makes a new one.
        peer: Where the other end's token is: while nobody holds it, ``get`` ends and ``put`` breaks.
        raw: Put and get messages as bytes.
    """

    __slots__ = ()

    def __new__(cls, of: _native.Session, where: Place | None, peer: Place, raw: bool = False) -> Self:
        most = default_bytes(of)
        made = _native.Queue.__new__(cls, of, where, _ways(of, raw), 0, 0, most, 0, 0, PIECE)
        made._watch(*peer)
        return made

    @property
    def place(self) -> Place:
        return self.offset, self.uid

    def twin(self, peer: Place, raw: bool = False) -> Direction:
        """Another view of the same queue."""
        self.sent()  # attaching counts as an arrival, which must not be that of a pickle
        return Direction(self.session, self.place, peer, raw)
