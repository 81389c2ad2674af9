"""Items as bytes, where the compiled core leaves them to Python: pickles, and pickles with their buffers beside them.

Only turning one item into bytes (and a block of shared memory), and back, lives here; must not know queues. Numbers,
``str``, ``bytes`` and small tuples of them never come here: ``native/binding/codec.c`` has them.

An item with buffers (NumPy arrays and other users of pickle's protocol 5), or with a large pickle, is *packed*::

    head    prefix │ rest                 at most INLINE bytes; travels inside the queue
    block   far buffer │ far buffer │ …   each at a multiple of 64; travels by reference
    rest    one entry per buffer │ the pickle │ the near buffers; at the end of the block if the head has no room

Far buffers are copied once, into the block; the receiver's objects stand on the block itself and keep it alive. Near
ones are small: a copy costs less than keeping a block for them.
"""

from __future__ import annotations

import pickle
import struct
from typing import TYPE_CHECKING, Any, Final

from holdfast.core import _native, picklers
from holdfast.errors import NotPicklable

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["INLINE", "pack", "unpack"]

INLINE: Final = 32768 - 64  # what fits in a record of the queue, with all that may stand before it
NEAR: Final = 256  # a shorter buffer is not worth a place of its own
ALIGNMENT: Final = 64  # of far buffers: a cache line, and the widest vector

_PREFIX: Final = struct.Struct("=QQq")  # bytes of the pickle, number of buffers, where the rest is in the block or -1
_ENTRY: Final = struct.Struct("=QQQ")  # bytes of the buffer, where it is in the rest or the block, flags
_FAR: Final = 1
_READ_ONLY: Final = 2


def pack(
    session: _native.Session, item: Any, data: bytes | None = None, buffers: list[pickle.PickleBuffer] | None = None
) -> bytes | tuple[bytes, _native.Block | None]:
    """An item as bytes: a plain pickle, or (head, block) for :func:`unpack`, with block None if the head holds it all.

    ``data`` and ``buffers`` are its pickle, if the compiled part has made it.

    Raises:
        NotPicklable: Neither pickle nor cloudpickle takes it; the message names the part.
        MemoryError: Shared memory is full.
    """
    if data is None or buffers is None:
        data, buffers = _pickled(item)
    if not buffers and len(data) <= INLINE:
        return data
    return _pack_beside(session, data, [buffer.raw() for buffer in buffers])


def _pickled(item: Any) -> tuple[bytes, list[pickle.PickleBuffer]]:
    buffers: list[pickle.PickleBuffer] = []
    try:
        return pickle.dumps(item, picklers.PROTOCOL, buffer_callback=buffers.append), buffers
    except MemoryError:
        raise
    except Exception as refusal:
        buffers.clear()
        _native.undo_sent()  # of the handles in it: it is pickled anew
        return _by_value(item, buffers, refusal), buffers


def _by_value(item: Any, buffers: list[pickle.PickleBuffer], refusal: Exception) -> bytes:
    """The pickle of what plain pickle refused: lambdas, and functions and classes inside functions."""
    try:
        return picklers.dumps_by_value(item, buffers.append)
    except MemoryError:
        raise
    except Exception:
        raise NotPicklable(
            f"item cannot be put or sent: {picklers.culprit(item, 'item')}, which cannot be pickled ({refusal}); "
            "send what it is made from (threads may share it through a queue with local=True)"
        ) from refusal


def _pack_beside(session: _native.Session, data: bytes, views: list[memoryview]) -> tuple[bytes, _native.Block | None]:
    whole = _PREFIX.size + _ENTRY.size * len(views) + len(data) + sum(view.nbytes for view in views)
    entries, near, far, far_end = _places(data, views, beside=whole > INLINE)
    rest: list[Buffer] = [entries, data, *near]
    size = len(entries) + len(data) + sum(view.nbytes for view in near)
    if _PREFIX.size + size <= INLINE:
        head = b"".join([_PREFIX.pack(len(data), len(views), -1), *rest])
        return head, _filled(session, far_end, far, 0, []) if far else None
    head = _PREFIX.pack(len(data), len(views), far_end)
    return head, _filled(session, far_end + size, far, far_end, rest)


def _places(
    data: bytes, views: list[memoryview], beside: bool
) -> tuple[bytes, list[memoryview], list[tuple[int, memoryview]], int]:
    """(the entries, near buffers, far ones with their places, where those end); ``beside``: there may be far ones."""
    entries, near, far = bytearray(), [], []
    near_end, far_end = _ENTRY.size * len(views) + len(data), 0
    for view in views:
        flags = _READ_ONLY if view.readonly else 0
        if beside and view.nbytes >= NEAR:
            far.append((far_end, view))
            entries += _ENTRY.pack(view.nbytes, far_end, flags | _FAR)
            far_end += -(-view.nbytes // ALIGNMENT) * ALIGNMENT
        else:
            near.append(view)
            entries += _ENTRY.pack(view.nbytes, near_end, flags)
            near_end += view.nbytes
    return bytes(entries), near, far, far_end


def _filled(
    session: _native.Session, nbytes: int, far: list[tuple[int, memoryview]], rest_at: int, rest: list[Buffer]
) -> _native.Block:
    try:
        block = _native.Block(session, None, nbytes, False)
    except MemoryError as error:
        raise MemoryError(
            f"item cannot be put: no shared memory left for its {nbytes} bytes; let consumers take some first "
            "(max_bytes= makes producers wait for them), or give the memory file system more room"
        ) from error
    for at, view in far:
        block.fill(view, at)
    for part in rest:
        block.fill(part, rest_at)
        rest_at += memoryview(part).nbytes
    return block


def unpack(head: bytes, block: _native.Block | None, *, copied: bool = False) -> Any:
    """The item that :func:`pack` made (head, block) of.

    Its large buffers are the block's own memory, writable if they were; the block lives as long as they do.
    ``copied``: they are copies instead, for items that may be handed out again as they were put.

    Raises what unpickling raises.
    """
    size, count, rest_at = _PREFIX.unpack_from(head)
    payload = memoryview(b"" if block is None else block)
    rest = memoryview(head)[_PREFIX.size :] if rest_at < 0 else payload[rest_at:]
    at = count * _ENTRY.size
    buffers: list[Buffer] = []
    for nbytes, place, flags in _ENTRY.iter_unpack(rest[:at]):
        if flags & _FAR and not copied:
            view = payload[place : place + nbytes]
            buffers.append(view.toreadonly() if flags & _READ_ONLY else view)
        else:
            source = payload if flags & _FAR else rest
            buffers.append((bytes if flags & _READ_ONLY else bytearray)(source[place : place + nbytes]))
    return pickle.loads(rest[at : at + size], buffers=buffers)
