"""Array: a fixed number of elements of one C type that several processes see.

An array *is* a ctypes array that lies in shared memory, so that elements, slices and the buffer are ctypes' own. What
is added: numbers that do not fit are refused instead of cut off, the lock, pickles.

The buffer has the right type for NumPy in every version of Python. ``memoryview(a)`` has the native format (``"i"``,
whose elements Python can read) from 3.12 on; on 3.11 it is ctypes' explicit one (``"<i"``): there use
``memoryview(a).cast("B").cast("i")`` to read elements through it.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from holdfast.shared import faces, types
from holdfast.shared.guard import Locked

__all__ = ["Array", "RawArray"]


class RawArray(faces.Face):
    """A shared array without a lock: what ``Array(..., lock=False)`` gives."""

    _holdfast_word = "Array"
    _holdfast_view: memoryview | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the elements are there, and ctypes would set them once more."""

    def _holdfast_made(self) -> None:
        code = types.NUMBERS.get(self._holdfast_type._type_)
        size = ctypes.sizeof(self._holdfast_type)
        self._holdfast_view = None if code is None else memoryview(self._holdfast_block)[:size].cast(code)  # type: ignore[call-overload]

    def __setitem__(self, index: Any, value: Any) -> None:
        view = self._holdfast_view
        if view is None:
            super().__setitem__(index, value)  # type: ignore[misc]
        elif isinstance(index, slice):
            _assign(view, index, value)
        else:
            try:
                view[index] = value
            except (TypeError, ValueError) as error:
                raise _refusal(view.format, value, error) from None

    if sys.version_info >= (3, 12):

        def __buffer__(self, flags: int) -> memoryview:
            view = self._holdfast_view
            return super().__buffer__(flags) if view is None else view[:]  # type: ignore[misc,no-any-return]


def _assign(view: memoryview, index: slice, values: Any) -> None:
    if not (isinstance(values, memoryview) and values.format == view.format and values.ndim == 1):
        values = types.numbers(view.format, values)
    part = view[index]
    if len(values) != len(part):
        raise ValueError(f"a slice of {len(part)} elements cannot take {len(values)}: an array has a fixed size")
    part[:] = values


def _refusal(code: str, value: Any, error: Exception) -> Exception:
    if isinstance(error, ValueError):
        return OverflowError(f"{value} does not fit typecode {code!r}")
    return TypeError(f"{value!r} is not a number for typecode {code!r}")


class Array(Locked, RawArray):
    """An array that threads and processes share; ``multiprocessing.Array``, and a buffer.

    ``numpy.asarray(a)`` and ``memoryview(a)`` are the array's own memory, without a copy. Reading or setting an element
    or a slice takes the array's lock, as in ``multiprocessing``; what goes through the buffer does not. Put
    ``with a.get_lock():`` around ``a[i] += 1``. If a process is killed while it holds the lock, the next one gets it
    with an :class:`AbandonedWarning`.

    Args:
        typecode_or_type: A typecode of ``multiprocessing`` (``c u b B h H i I l L q Q f d``) or a ctypes type.
        size_or_initializer: How many elements, all zero; or a sequence of the elements. An array of ``'c'`` has
            ``.value`` (up to the first NUL) and ``.raw``.
        lock: True or None: a lock of its own; a lock: that one; False: an array without a lock, ``get_lock`` and
            ``get_obj``.
        name: Open the array of that name of this user, or make it. The elements count only for who makes it.
        create: For a name: True makes it (``FileExistsError`` if there is one), False opens it (``FileNotFoundError``).

    Raises:
        OverflowError: A number does not fit the type, or the size is beyond all memory.
        MemoryError: The memory file system is full.
        TypeError: Not a typecode, an element of the wrong type, or elements without a length.
        ValueError: A negative size, or the name stands for something of another type or size.
        AttributeError: ``lock`` cannot be acquired.

    Pickles in O(1) through anything; a copy, and a pickle that comes home, is the same array.
    """

    __module__ = "holdfast"

    def __new__(
        cls,
        typecode_or_type: Any,
        size_or_initializer: Any,
        *,
        lock: Any = True,
        name: str | None = None,
        create: bool | None = None,
    ) -> Any:
        element = types.resolve(typecode_or_type)
        if isinstance(size_or_initializer, int):
            ctype, start = element * size_or_initializer, _leave_zero
        else:
            ctype, start = element * len(size_or_initializer), _starter(size_or_initializer)
        return faces.make((RawArray, Array), ctype, lock, name, create, start)

    def get_obj(self) -> Any:
        """Return the ctypes array over the same memory, which knows nothing of the lock and of limits."""
        return self._holdfast_type.from_buffer(self._holdfast_block)

    def __getitem__(self, index: Any) -> Any:
        with self._holdfast_lock:
            return super().__getitem__(index)  # type: ignore[misc]

    def __setitem__(self, index: Any, value: Any) -> None:
        with self._holdfast_lock:
            super().__setitem__(index, value)


def _leave_zero(face: Any) -> None:
    pass


def _starter(values: Any) -> Any:
    def start(face: Any) -> None:
        if face._holdfast_view is None:
            face._holdfast_type.__init__(face, *values)
        else:
            face[:] = values

    return start
