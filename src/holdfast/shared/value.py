"""Value: one number, character or structure that several processes see.

Numbers are cells of the compiled core: every operation is atomic by itself. Everything else is a ctypes object in a
shared block, as in ``multiprocessing.sharedctypes``.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from holdfast.core import _native, handles, session
from holdfast.shared import faces, naming, types
from holdfast.shared.array import Array, RawArray
from holdfast.shared.guard import Locked, lock_for

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Number", "Object", "RawObject", "Value"]


def _type_of(code: str) -> Any:
    return ctypes.c_bool if code == "?" else types.TYPES[code]


def _same(code: str, other: str) -> bool:
    return _type_of(code) is _type_of(other)


class Number(_native.Cell):
    """A shared number without a lock: what ``Value(..., lock=False)`` gives. All its operations are atomic."""

    __slots__ = ("__weakref__",)

    @classmethod
    def _attach(cls, session: _native.Session, where: tuple[int, int]) -> Any:
        return _native.Cell.__new__(cls, session, where)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return handles.reduce(self)

    def __repr__(self) -> str:
        name = handles.text_name(self)
        words = f"{self.code!r}, {self.value!r}" + (f", name={name!r}" if name else "")
        return f"<holdfast.{type(self).__name__}({words}) at {id(self):#x}>"


def _make_number(cls: Any, code: str, args: tuple[Any, ...], name: str | None, create: bool | None) -> Any:
    if len(args) > 1:
        raise TypeError(f"a number has one first value, not {len(args)}: {args!r}")
    if name is None:
        return _native.Cell.__new__(cls, session.current(), None, code, *args)
    return naming.open_cell(cls, name, create, code, args[0] if args else 0, _same)


class Value(Locked, Number):
    """One number that threads and processes share; ``multiprocessing.Value`` with atomic operations.

    ``v += n``, ``v.add(n)``, ``v.exchange(x)``, ``v.compare_exchange(old, new)``, ``v.max(x)``, ``v.min(x)``,
    ``v &= x``, ``v |= x`` and ``v ^= x`` are each one atomic step, and so is reading or setting ``v.value``. They take
    no lock: they do not wait for ``get_lock()``, and a process that is killed in the middle leaves the old or the new
    number. ``v.value += 1`` is two steps: use ``v += 1``, or ``with v.get_lock():`` around it *everywhere*.

    Args:
        typecode_or_type: A typecode of ``multiprocessing`` (``c u b B h H i I l L q Q f d``) or a ctypes type of fixed
            size. Characters, structures and arrays give an object with the attributes and the class of that ctypes
            type, whose attributes wait for its lock, as in ``multiprocessing``.
        args: The first value; for a structure, its fields. 0 if left out.
        lock: True or None: a lock of its own; a lock: that one; False: an object without a lock, ``get_lock`` and
            ``get_obj``.
        name: Open the value of that name of this user, or make it. The first value counts only for who makes it.
        create: For a name: True makes it (``FileExistsError`` if there is one), False opens it (``FileNotFoundError``).

    Raises:
        OverflowError: A number does not fit its type; the message names both.
        TypeError: Not a typecode, or a value of the wrong type.
        ValueError: The name stands for something of another type.
        AttributeError: ``lock`` cannot be acquired.

    Pickles in O(1) through anything; a copy, and a pickle that comes home, is the same value.
    """

    __module__ = "holdfast"
    __slots__ = ("_holdfast_lock",)

    def __new__(
        cls, typecode_or_type: Any, *args: Any, lock: Any = True, name: str | None = None, create: bool | None = None
    ) -> Any:
        try:
            code = types.CELL_CODES.get(typecode_or_type)
        except TypeError:  # not even hashable
            code = None
        if code is None:
            return _make_object(types.resolve(typecode_or_type), args, lock, name, create)
        if lock is False:
            return _make_number(Number, code, args, name, create)
        made = _make_number(cls, code, args, name, create)
        made._holdfast_lock = lock_for(made, lock)
        return made

    def get_obj(self) -> Any:
        """Return the ctypes object over the same memory. It knows nothing of atomic operations and of limits."""
        return _type_of(self.code).from_buffer(self)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return handles.reduce(self, self._holdfast_lock)

    @classmethod
    def _attach(cls, session: _native.Session, where: tuple[int, int], lock: Any = None) -> Any:
        made = _native.Cell.__new__(cls, session, where)
        made._holdfast_lock = lock
        return made


class RawObject(faces.Face):
    """A shared character or structure without a lock."""

    _holdfast_word = "Value"


class Object(Locked, RawObject):
    """A shared character or structure; reading or setting an attribute waits for its lock."""

    def get_obj(self) -> Any:
        """Return the ctypes object over the same memory, which knows nothing of the lock."""
        return self._holdfast_type.from_buffer(self._holdfast_block)


def _make_object(ctype: Any, args: tuple[Any, ...], lock: Any, name: str | None, create: bool | None) -> Any:
    def start(face: Any) -> None:
        ctype.__init__(face, *args)

    bases: Any = (RawArray, Array) if issubclass(ctype, ctypes.Array) else (RawObject, Object)
    return faces.make(bases, ctype, lock, name, create, start)
