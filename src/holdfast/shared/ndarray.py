"""Shared NumPy arrays. The only module that imports NumPy, and so imported only where there is an array already."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from holdfast.core import session
from holdfast.shared.faces import Memory

__all__ = ["SharedArray", "share_array"]

# An array over a buffer. Blocks begin at a multiple of 64 bytes: right for every dtype and every vector unit.
_lay: Final[Any] = np.ndarray


class SharedArray(np.ndarray):
    """An array in shared memory. It, its slices and its other views pickle in O(1); copies pickle by value.

    What is computed from it is a plain array of this process.
    """

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """Give results back as plain arrays, and scalars where NumPy gives scalars."""
        if array is self:
            return self
        return array[()] if array.ndim == 0 else np.asarray(array)

    def __reduce_ex__(self, protocol: Any) -> Any:
        block = home(self)
        if block is None:
            return np.asarray(self).__reduce_ex__(protocol)
        return _open, _parts(self, block, bool(self.flags.writeable))

    def __reduce__(self) -> Any:
        return self.__reduce_ex__(2)


_shared: Final[Any] = SharedArray


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def _whole(block: Memory) -> Any:
    return _lay((len(block),), np.uint8, block)


def home(array: Any) -> Memory | None:
    """Return the block that an array's elements lie in, None if they are elsewhere."""
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):  # a read-only array's
        base = base.obj
    return base if isinstance(base, Memory) else None


def _parts(array: Any, block: Memory, writable: bool) -> tuple[Any, ...]:
    """Return what `_open` needs to make the same array over the same block."""
    at = _address(array) - _address(_whole(block))
    strides = None if array.flags.c_contiguous else array.strides
    return block, at, array.shape, strides, array.dtype, writable


def _open(block: Memory, at: int, shape: Any, strides: Any, dtype: Any, writable: bool) -> SharedArray:
    # What is read-only lies over a read-only buffer: a flag that is only cleared could be set again.
    memory = block if writable else np.frombuffer(memoryview(block).toreadonly(), np.uint8)
    array: SharedArray = _shared(shape, dtype, memory, at, strides)
    return array


def _check(array: Any) -> None:
    if array.dtype.hasobject:
        raise TypeError(
            f"an array of dtype={array.dtype} holds Python objects, which cannot be shared: convert it to numbers or "
            "fixed-width strings (astype), or share its columns one by one"
        )
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("a masked array is two arrays: share its .data and its .mask, and put them together again")


def share_array(array: Any, writable: bool | None) -> Any:
    """Return the array in shared memory; see :func:`holdfast.share`."""
    _check(array)
    if writable is None:
        writable = bool(array.flags.writeable)
    home_block = home(array)
    if home_block is not None:
        return _narrowed(array, home_block, writable)
    block = Memory(session.current(), None, array.nbytes, False)
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    strides = _lay(array.shape, array.dtype, block, order=order).strides
    shared = _shared(array.shape, array.dtype, block, 0, strides)
    source = _bytes_of(array)
    if source is not None:
        block.fill(source)
    else:
        np.copyto(shared, array)
    return shared if writable else _open(*_parts(shared, block, False))


def _bytes_of(array: Any) -> Any:
    """Return the array's memory as bytes in the order in which they lie, None if they have gaps."""
    plain = np.asarray(array)
    flat = plain if plain.flags.c_contiguous else plain.T if plain.flags.f_contiguous else None
    return None if flat is None or plain.nbytes == 0 else flat.reshape(-1).view(np.uint8)


def _narrowed(array: Any, block: Memory, writable: bool) -> Any:
    if writable and not array.flags.writeable:
        raise ValueError("writable=True: this array was shared as read-only; share a copy, array.copy()")
    if isinstance(array, SharedArray) and writable == array.flags.writeable:
        return array
    return _open(*_parts(array, block, writable))
