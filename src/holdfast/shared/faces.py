"""Faces: a ctypes object that lies in a shared block, pickles as a handle, and keeps the block alive.

For each pair of a C type and a base class a class is made, of which the face is an instance: so elements, fields,
slices and the buffer are ctypes' own, in C, with the right type. Only that lives here; what a value or an array adds
is in the base classes.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

from holdfast.core import _native, handles, session
from holdfast.shared import naming, types
from holdfast.shared.guard import Locked, lock_for

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Face", "Memory", "make", "over"]

_classes: weakref.WeakValueDictionary[tuple[Any, Any], Any] = weakref.WeakValueDictionary()
_reopening = threading.RLock()


class Memory(_native.Block):
    """A block that knows its face, so that a pickle that comes home finds the same object."""

    __slots__ = ("__weakref__", "face")
    face: weakref.ref[Any] | None

    def __new__(cls, *args: Any) -> Memory:  # noqa: PYI034 - the core's constructor has its own idea of arguments
        made: Memory = _native.Block.__new__(cls, *args)
        made.face = None
        return made

    @classmethod
    def _attach(cls, session: _native.Session, where: tuple[int, int]) -> Memory:
        return cls(session, where)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return handles.reduce(self)


class Face:
    """What every face has. Subclasses are mixed in before a ctypes type."""

    _holdfast_block: Memory
    _holdfast_type: Any
    _holdfast_base: Any
    _holdfast_lock: Any
    _holdfast_word = "share"  # what people know it as, in holdfast

    def _holdfast_made(self) -> None:
        """Finish a new face; for subclasses."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        lock = getattr(self, "_holdfast_lock", None)
        return _reopen, (self._holdfast_base, self._holdfast_block, types.packed(self._holdfast_type), lock)

    def __repr__(self) -> str:
        name = handles.text_name(self._holdfast_block)
        words = types.describe(self._holdfast_type) + (f", name={name!r}" if name else "")
        return f"<holdfast.{self._holdfast_word}({words}) at {id(self):#x}>"


def _class(ctype: Any, base: Any) -> Any:
    found = _classes.get((ctype, base))
    if found is None:
        body = {"__module__": base.__module__, "_holdfast_type": ctype, "_holdfast_base": base}
        made = type(ctype)(base.__name__, (base, ctype), body)
        if issubclass(base, Locked):
            for name in _attributes(ctype):
                setattr(made, name, _locked(getattr(ctype, name)))
        found = _classes.setdefault((ctype, base), made)
    return found


def _attributes(ctype: Any) -> list[str]:
    if issubclass(ctype, ctypes.Structure | ctypes.Union):
        classes = [cls.__dict__.get("_fields_", ()) for cls in ctype.__mro__]
        return [field[0] for fields in classes for field in fields]
    return [name for name in ("value", "raw") if hasattr(ctype, name)]


def _locked(inner: Any) -> property:
    """Make an attribute wait for the object's lock, as multiprocessing does."""

    def get(self: Any) -> Any:
        with self._holdfast_lock:
            return inner.__get__(self)

    def set(self: Any, value: Any) -> None:
        with self._holdfast_lock:
            inner.__set__(self, value)

    return property(get, set)


def over(base: Any, block: Memory, ctype: Any, lock: Any = None, at: int = 0) -> Any:
    """Return a new face of ``ctype`` over a block, from byte ``at`` on."""
    face = _class(ctype, base).from_buffer(block, at)
    face._holdfast_block = block
    if lock is not None:
        face._holdfast_lock = lock
    face._holdfast_made()
    return face


def _home(base: Any, block: Memory, ctype: Any, lock: Any) -> Any:
    """Return a block's own face, making it if it has none here."""
    with _reopening:
        face = block.face() if block.face is not None else None
        if face is None:
            face = over(base, block, ctype, lock)
            block.face = weakref.ref(face)
        return face


def _reopen(base: Any, block: Memory, packed: Any, lock: Any) -> Any:
    return _home(base, block, types.unpacked(packed), lock)


def make(
    bases: tuple[Any, Any], ctype: Any, lock: Any, name: str | None, create: bool | None, start: Callable[[Any], None]
) -> Any:
    """Return a new object in shared memory, or the named one.

    Args:
        bases: The class without a lock and the one with.
        ctype: The C type of the whole.
        lock: False: none; otherwise as :func:`holdfast.shared.guard.lock_for` takes it.
        name: None, or a name among this user's objects.
        create: As with every named object.
        start: Called with a face without a lock over the zeroed memory, to give it its first content.

    Raises:
        ValueError: The name stands for something else.
        MemoryError: The memory file system is full.
    """
    plain, locked = bases

    def fill(block: Memory) -> None:
        start(over(plain, block, ctype))

    nbytes = ctypes.sizeof(ctype)
    if name is None:
        block = Memory(session.current(), None, nbytes)
        fill(block)
    else:
        words = f"{locked._holdfast_word} {types.signature(ctype)}"
        block = naming.open_block(Memory, name, create, nbytes, words, fill)
    own = None if lock is False else lock_for(block, lock)
    return _home(plain if lock is False else locked, block, ctype, own)


def _forget_guard() -> None:
    global _reopening
    _reopening = threading.RLock()


os.register_at_fork(after_in_child=_forget_guard)
