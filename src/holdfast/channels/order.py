"""Keys: bytes in the order of the items, so that the compiled core sorts without asking Python.

Only the making of keys lives here; must not know queues. ``key(a) < key(b)`` wherever Python says ``a < b``, and
``key(a) == key(b)`` wherever it says ``a == b``, for what can be put in a priority queue as it is::

    None     02                                                inside tuples only
    number   10 │ the double at or below it │ what is missing  bool, int, float: compared exactly, as Python does
    str      20 │ UTF-8, each NUL as 00 FF │ 00 00             by code point
    bytes    30 │ bytes, each NUL as 00 FF │ 00 00             bytearray too
    tuple    40 │ keys of the elements │ 00                    and dataclasses with order=True, by their fields

No key is the beginning of another one, so that keys can stand one after another in a tuple. Python has no order between
these kinds; ours is the order of the list, so that a queue of mixed items has one that does not change.

Doubles are made comparable as in many databases: the sign bit of positive ones set, all bits of negative ones inverted.
"""

from __future__ import annotations

import dataclasses
import math
import struct
import sys
import weakref
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["key"]

_NONE: Final = b"\x02"
_NUMBER: Final = 0x10
_STR: Final = b"\x20"
_BYTES: Final = b"\x30"
_TUPLE: Final = b"\x40"
_END: Final = b"\x00"
_TEXT_END: Final = b"\x00\x00"

_EXACT: Final = 1 << 53  # up to here every int is a double
_SIGN: Final = 1 << 63
_LARGEST: Final = int(sys.float_info.max)
_signed: Final = struct.Struct(">q").unpack
_double: Final = struct.Struct(">d").pack
_number: Final = struct.Struct(">BQB").pack  # with nothing missing
_INVERTED: Final = bytes(range(255, -1, -1))
_REMEDY: Final = "give it a priority of its own: put(item, priority=...), a number, str, bytes or a tuple of them"


def key(item: Any) -> bytes:
    """Bytes that compare as the item does.

    An ``int``, ``float``, ``bool``, ``str``, ``bytes``, ``bytearray``, NumPy's integers and floats, a tuple of these
    (in which None may stand too: ``(1, None)`` can be ordered as long as None meets only None), or an instance of a
    dataclass with ``order=True`` whose compared fields are such. Subclasses count if they did not change the order.

    Raises:
        TypeError: It has no order, or one that is only known to Python.
        ValueError: It is or holds a NaN, which is neither less nor greater than anything.
    """
    kind = type(item)
    if kind is int:
        return _of_int(item) if not -_EXACT <= item <= _EXACT else _of_float(item)
    if kind is float:
        return _of_float(item)
    make = _BUILT_IN.get(kind) or _known.get(kind) or _find_maker(kind)
    return make(item)


def _of_float(value: float) -> bytes:
    """The key of a number that is a double; an int may come as it is."""
    if value != value:  # noqa: PLR0124 - faster than math.isnan, and it takes ints of any size
        raise ValueError(f"{value!r} has no place in an order: it is neither less nor greater than any number")
    (bits,) = _signed(_double(value + 0.0))  # -0.0 becomes 0.0
    return _number(_NUMBER, bits + _SIGN if bits >= 0 else ~bits, 0)


def _of_int(value: int) -> bytes:
    """The key of any int: that of the double at or below it, and instead of its last byte what is missing to the int.

    Beyond the largest double all is missing; below the most negative one the double is minus infinity, and the less is
    missing to zero, the greater the number.
    """
    if value < -_LARGEST:
        return _of_float(-math.inf)[:-1] + b"\x01" + _counted(-value).translate(_INVERTED)
    below = _double_below(value)
    missing = value - int(below)
    return _of_float(below)[:-1] + (_counted(missing) if missing else _END)


def _double_below(value: int) -> float:
    if value >= _LARGEST:
        return sys.float_info.max
    near = float(value)  # to the nearest; infinite is ruled out by the lines above
    return near if int(near) <= value else math.nextafter(near, -math.inf)


def _counted(value: int) -> bytes:
    """A positive int of any size, the longer the greater: its length in one byte, or FF and in eight; its bytes."""
    length = (value.bit_length() + 7) // 8
    count = length.to_bytes(1, "big") if length < 255 else b"\xff" + length.to_bytes(8, "big")
    return count + value.to_bytes(length, "big")


def _of_str(value: str) -> bytes:
    # UTF-8 is in the order of the code points, lone surrogates included.
    return _STR + value.encode("utf-8", "surrogatepass").replace(b"\0", b"\0\xff") + _TEXT_END


def _of_bytes(value: bytes | bytearray) -> bytes:
    return _BYTES + value.replace(b"\0", b"\0\xff") + _TEXT_END


def _of_tuple(value: tuple[Any, ...]) -> bytes:
    return b"".join([_TUPLE, *[_NONE if part is None else key(part) for part in value], _END])


def _of_numpy(value: Any) -> bytes:
    return key(value.item())


_BUILT_IN: Final[dict[type, Callable[[Any], bytes]]] = {
    int: _of_int,
    bool: _of_float,
    float: _of_float,
    str: _of_str,
    bytes: _of_bytes,
    bytearray: _of_bytes,
    tuple: _of_tuple,
}


_known: Final[weakref.WeakKeyDictionary[type, Callable[[Any], bytes]]] = weakref.WeakKeyDictionary()


def _find_maker(kind: type) -> Callable[[Any], bytes]:
    made = _known[kind] = _maker(kind)
    return made


def _maker(kind: type) -> Callable[[Any], bytes]:
    """What makes the keys of a type: that of the class whose order it has. Raises TypeError if there is none."""
    owner = next(base for base in kind.__mro__ if "__lt__" in vars(base))
    if owner in _BUILT_IN:
        return _BUILT_IN[owner]
    numpy = sys.modules.get("numpy")  # nobody has its numbers who has not imported it
    if numpy is not None and issubclass(kind, (numpy.integer, numpy.floating)) and kind is not numpy.longdouble:
        return _of_numpy
    parameters = vars(owner).get("__dataclass_params__")
    if parameters is not None and parameters.order:
        names = [field.name for field in dataclasses.fields(owner) if field.compare]
        return lambda value: _of_tuple(tuple([getattr(value, name) for name in names]))
    raise TypeError(f"an object of type {_named(kind)} has no order that bytes can keep; {_REMEDY}")


def _named(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
