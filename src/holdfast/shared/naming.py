"""Named shared data: made by one, found by others, and refused if the two mean different types.

A block of the core has a size and no type, and it is published before it is filled. So a named block ends in a record
that says what it holds, written last, and everybody who opens a name does so under a lock of that name. A maker that is
killed half-way leaves a block without a record: the next one to open it makes it anew.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from holdfast.core import _native, handles

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["open_block", "open_cell"]

READY: Final = b"made"
RECORD: Final = 256  # bytes; at the end of the block: READY, length of the text, text


class _Opening(_native.Lock):
    """Held while a name is opened. A dead holder is no news: the record tells how far it came."""

    __slots__ = ()

    def _abandoned(self, member: int, held: bool) -> None:
        pass


def _opening(session: _native.Session, name: str) -> _Opening:
    return _Opening(session, (b"\0opening %08x" % zlib.crc32(handles.encode_name(name)), 0))


def _text(signature: str) -> bytes:
    text = signature.encode()
    most = RECORD - len(READY) - 2
    return text if len(text) <= most else text[: most - 8] + b"%08x" % zlib.crc32(text)


def _record(block: _native.Block) -> bytes | None:
    """Return what a finished block says it holds, None if its maker died while making it."""
    tail = bytes(memoryview(block)[-RECORD:])
    size = int.from_bytes(tail[4:6], "little")
    return tail[6 : 6 + size] if tail.startswith(READY) else None


def _words(text: bytes) -> str:
    return text.split(b"\0")[0].decode(errors="replace")


def _mismatch(name: str, wanted: bytes, found: bytes) -> ValueError:
    return ValueError(f"name={name!r} is in use for {_words(found)}; here it was to be {_words(wanted)}")


def open_block(
    cls: Any, name: str, create: bool | None, nbytes: int, signature: str, fill: Callable[[Any], None]
) -> Any:
    """Return the named block that holds data of this signature, making and filling it if there is none.

    Args:
        cls: A subclass of the core's Block.
        name: Its name among this user's objects.
        create: As everywhere: None open or make, True make, False open.
        nbytes: Size of the data.
        signature: Type and size as text; what is before a NUL is for people.
        fill: Called with a new, zeroed block.

    Raises:
        ValueError: The name stands for something of another type or size.
    """
    session, where = handles.where(name, create)
    text = _text(signature)
    with _opening(session, name):
        _refuse_cell(session, name, text)
        block = cls.__new__(cls, session, where, nbytes + RECORD)
        found = None if block.created else _record(block)
        if found is None:
            if len(block) != nbytes + RECORD:
                raise ValueError(f"name={name!r} is being given up by a process that died making it; try again")
            block.fill(bytes(nbytes + RECORD))
            fill(block)
            block.fill(len(text).to_bytes(2, "little") + text, nbytes + len(READY))
            block.fill(READY, nbytes)
        elif found != text:
            raise _mismatch(name, text, found)
        return block


def _refuse_cell(session: _native.Session, name: str, text: bytes) -> None:
    try:
        cell = _native.Cell(session, (handles.encode_name(name), 2))
    except FileNotFoundError:
        return
    raise _mismatch(name, text, f"Value {cell.code!r}".encode())


def open_cell(cls: Any, name: str, create: bool | None, code: str, value: Any, same: Callable[[str, str], bool]) -> Any:
    """Return the named number, making it if there is none; ``same`` tells whether two typecodes are one type.

    Raises:
        ValueError: The name stands for something of another type.
    """
    session, where = handles.where(name, create)
    text = f"Value {code!r}".encode()
    with _opening(session, name):
        try:
            block = _native.Block(session, (handles.encode_name(name), 2))
        except FileNotFoundError:
            pass
        else:
            raise _mismatch(name, text, _record(block) or b"something half-made")
        cell = _native.Cell.__new__(cls, session, where, code, value)
        if not same(cell.code, code):
            raise _mismatch(name, text, f"Value {cell.code!r}".encode())
        return cell
