"""Which C type a caller means: the typecodes of ``multiprocessing`` and the types of ``ctypes``.

Only that translation, and how a C type travels in a pickle, live here. Must not know of shared memory.
"""

from __future__ import annotations

import array
import ctypes
import sys
from typing import Any, Final

__all__ = ["CELL_CODES", "NUMBERS", "TYPES", "describe", "numbers", "packed", "resolve", "signature", "unpacked"]

TYPES: Final[dict[str, Any]] = {
    "c": ctypes.c_char,
    "u": ctypes.c_wchar,
    "b": ctypes.c_byte,
    "B": ctypes.c_ubyte,
    "h": ctypes.c_short,
    "H": ctypes.c_ushort,
    "i": ctypes.c_int,
    "I": ctypes.c_uint,
    "l": ctypes.c_long,
    "L": ctypes.c_ulong,
    "q": ctypes.c_longlong,
    "Q": ctypes.c_ulonglong,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}

# What a Cell takes: the typecode as the caller wrote it, or the type. Only these very types: a subclass of c_int, or
# one with its bytes swapped, is more than its number.
CELL_CODES: Final[dict[Any, str]] = {
    **{code: code for code in TYPES if code not in "cu"},
    **{type_: type_._type_ for code, type_ in TYPES.items() if code not in "cu"},
    ctypes.c_bool: "?",
}

# Types whose arrays can be read and checked as numbers, and the typecode of `array` and `memoryview` for them.
NUMBERS: Final[dict[Any, str]] = {type_: code for type_, code in CELL_CODES.items() if type_ in TYPES.values()}

_ORDERS: Final = ("__ctype_be__", "__ctype_le__")


def resolve(typecode_or_type: Any) -> Any:
    """Return the ctypes type that is meant.

    Raises:
        TypeError: There is no such typecode, or it is not a ctypes type with a fixed size, or it holds Python objects.
    """
    found = TYPES.get(typecode_or_type) if isinstance(typecode_or_type, str) else typecode_or_type
    if found is None:
        raise TypeError(f"unknown typecode {typecode_or_type!r}: one of {' '.join(TYPES)}, or a ctypes type")
    try:
        ctypes.sizeof(found)
    except TypeError:
        found = None
    if not isinstance(found, type):
        raise TypeError(f"{typecode_or_type!r} is neither a typecode ({' '.join(TYPES)}) nor a ctypes type")
    if _holds_objects(found):
        raise TypeError(f"{found.__name__} holds Python objects, which mean nothing in another process")
    return found


def _holds_objects(ctype: Any) -> bool:
    if issubclass(ctype, ctypes.Structure | ctypes.Union):
        classes = [cls.__dict__.get("_fields_", ()) for cls in ctype.__mro__]
        return any(_holds_objects(field[1]) for fields in classes for field in fields)
    return issubclass(ctype, ctypes.py_object) or (issubclass(ctype, ctypes.Array) and _holds_objects(ctype._type_))


def describe(ctype: Any) -> str:
    """Return a type in a few words, for messages: ``'i'``, ``'i' * 10``, ``Point``."""
    if issubclass(ctype, ctypes.Array):
        return f"{describe(ctype._type_)} * {ctype._length_}"
    code = CELL_CODES.get(ctype) or next((code for code, type_ in TYPES.items() if type_ is ctype), None)
    return repr(code) if code and code != "?" else ctype.__name__


def signature(ctype: Any) -> str:
    """Return what two programs must agree on to share a named object: the words, the size and the layout."""
    return f"{describe(ctype)}, {ctypes.sizeof(ctype)} bytes\0{memoryview(ctype()).format}"


def packed(ctype: Any) -> Any:
    """Return a type in a form that pickles: arrays and types of the other byte order have no name to import them by."""
    if issubclass(ctype, ctypes.Array) and ctype is ctype._type_ * ctype._length_:
        return packed(ctype._type_), ctype._length_
    foreign, native = _ORDERS if sys.byteorder == "little" else _ORDERS[::-1]
    known = getattr(ctype, native, ctype)
    if known is not ctype and getattr(known, foreign, None) is ctype:
        return known, foreign
    return ctype


def unpacked(form: Any) -> Any:
    """Return the type that :func:`packed` was given."""
    if not isinstance(form, tuple):
        return form
    inner, how = form
    return getattr(inner, how) if isinstance(how, str) else unpacked(inner) * how


def numbers(code: str, values: Any) -> Any:
    """Return ``values`` as one buffer of that typecode. Bytes are small numbers, one per element.

    Raises:
        OverflowError: One does not fit; the message names it.
    """
    if isinstance(values, array.array) and values.typecode == code:
        return values
    if isinstance(values, bytes | bytearray) and code not in "bB":
        values = list(values)  # `array` would take them for its elements' memory
    try:
        return array.array(code, values)
    except OverflowError:
        for value in values:
            refuse(code, value)
        raise


def refuse(code: str, value: Any) -> None:
    """Raise if a number does not fit a typecode."""
    try:
        array.array(code, (value,))
    except OverflowError:
        raise OverflowError(f"{value} does not fit typecode {code!r}") from None
