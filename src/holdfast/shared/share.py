"""share: put an array or bytes into shared memory once, and hand it around in O(1).

Only the choice of what to do with an object lives here; NumPy is not imported unless the caller has an array.
"""

from __future__ import annotations

import sys
from typing import Any

from holdfast.core import _native, session
from holdfast.shared import faces, window

__all__ = ["share"]


def share(obj: Any, *, writable: bool | None = None) -> Any:
    """Return ``obj`` in shared memory: the same content, copied once, that pickles in O(1) from then on.

    A NumPy array gives a NumPy array (same dtype, shape and order; ``isinstance(x, numpy.ndarray)``); slices and views
    of it pickle in O(1) too, what is computed from it is an ordinary array. ``bytes``, ``bytearray``, ``memoryview``,
    ``array.array`` and other buffers give a :class:`~holdfast.shared.window.Window`: a bytes-like object. What is
    shared already is returned as it is.

    Every process that unpickles it sees the same memory, without a copy; a write by one is seen by all, at once and
    without any order: use a :class:`holdfast.Lock` where that matters. The memory lives as long as a process has the
    object or a view of it, or a pickle is on its way; a killed process gives back what it had.

    Args:
        obj: An array without Python objects, or a bytes-like object.
        writable: None: as ``obj`` is, so that arrays and bytearrays are writable and ``bytes`` are not. True, False:
            whether the returned object can be written to. What is read-only stays so, here (``setflags`` is refused
            too) and in the other processes; the memory may still change through another, writable object over it.
            On 3.11 a read-only Window refuses assignments, but what takes its buffer can write.

    Raises:
        TypeError: Neither an array nor a buffer, or one that holds Python objects.
        MemoryError: The memory file system is full.
        ValueError: Shared as read-only already, and ``writable=True``.
    """
    numpy = sys.modules.get("numpy")  # nobody has an array who has not imported it
    if numpy is not None and isinstance(obj, numpy.ndarray):
        from holdfast.shared.ndarray import share_array

        return share_array(obj, writable)
    if isinstance(obj, window.Window):
        return _narrowed(obj, writable)
    if isinstance(obj, _native.Handle | faces.Face):
        return obj
    return _share_bytes(obj, writable)


def _narrowed(shared: window.Window, writable: bool | None) -> window.Window:
    if writable is None or writable is not shared.readonly:
        return shared
    if writable:
        raise ValueError(f"writable=True: {shared!r} was shared as read-only; share a copy, bytes(it)")
    return window.on(shared._holdfast_block, shared._holdfast_at, shared.nbytes, False)


def _share_bytes(obj: Any, writable: bool | None) -> window.Window:
    try:
        view = memoryview(obj)
    except TypeError:
        raise TypeError(
            f"cannot share {type(obj).__name__!r}: neither a NumPy array nor a bytes-like object. "
            "For a single number use Value; for other objects share(pickle.dumps(obj))"
        ) from None
    with view:
        if view.format == "O":
            raise TypeError(f"cannot share {type(obj).__name__!r}: it holds Python objects")
        block = faces.Memory(session.current(), None, view.nbytes, False)
        block.fill(view if view.c_contiguous else view.tobytes())
        return window.on(block, 0, view.nbytes, not view.readonly if writable is None else writable)
