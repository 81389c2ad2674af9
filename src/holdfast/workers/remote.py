"""An error on its way between processes: packed so that it is never lost, unpacked as the same type if at all
possible.

Here lives the packed form of one exception. The module knows nothing of tasks or how bytes travel.

Pickle rebuilds an exception by calling its class with ``args``, which is wrong for every class whose ``__init__``
takes something else than it hands on: with two parameters the unpickling raises, with one the message is formatted
twice. So exceptions travel as class, ``args`` and attributes, and are put together again *without* running
``__init__``; only that of the built-in class below runs, which is what set ``args`` in the first place. A class
with a ``__reduce__`` of its own is taken at its word.

A packed error is a pickled tuple of plain strings and bytes, so it can always be read:

    (type name, text, traceback as text, pickled exception or None, why there is none)
"""

from __future__ import annotations

import io
import pickle
import traceback
import types
from typing import TYPE_CHECKING, Any

from holdfast.errors import RemoteError, RemoteTraceback
from holdfast.workers import pickling

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["RemoteError", "RemoteTraceback", "pack", "unpack"]


def pack(error: BaseException, tb: TracebackType | None) -> bytes:
    """``error`` with the text of the traceback ``tb`` (its causes included) as bytes; never raises for its sake."""
    kind = type(error)
    try:
        text = str(error)
    except Exception as failure:
        text = f"<its text cannot be made: {type(failure).__name__}>"
    try:
        lines = "".join(traceback.format_exception(kind, error, tb))
    except Exception:
        lines = "".join(traceback.format_tb(tb)) + f"{kind.__qualname__}: {text}\n"
    body, reason = _pickle_error(error)
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    return pickle.dumps((name, text, lines, body, reason), pickling.PROTOCOL)


def unpack(packed: bytes | memoryview) -> BaseException:
    """The error that `pack` packed, or a `RemoteError`; its ``__cause__`` is a `RemoteTraceback`."""
    type_name, text, lines, body, reason = pickle.loads(packed)
    error: Any = None
    if body is not None:
        try:
            error = pickle.loads(body)
        except Exception as failure:
            reason = f"{type(failure).__name__}: {failure}"
        else:
            reason = f"it came out as {type(error).__name__}"
    if not isinstance(error, BaseException):
        error = RemoteError(type_name, text, lines, reason)
    arrived: BaseException = error
    arrived.__cause__ = RemoteTraceback(lines)
    return arrived


def _pickle_error(error: BaseException) -> tuple[bytes | None, str]:
    """(pickle, "") or (None, why not). Attributes that refuse are left behind as their ``repr``."""
    try:
        return _dumps(error), ""
    except Exception as failure:
        reason = f"{type(failure).__name__}: {failure}"
    parts = _parts_of(error)
    if parts is None:
        return None, reason
    kind, args, state = parts
    kept = {key: value if _fits(value) else repr(value) for key, value in (state or {}).items()}
    try:
        return _dumps(_Again(kind, args, kept)), ""
    except Exception:
        return None, reason


def _fits(value: Any) -> bool:
    try:
        _dumps(value)
    except Exception:
        return False
    return True


def _dumps(value: Any) -> bytes:
    file = io.BytesIO()
    try:
        _ErrorPickler(file, pickling.PROTOCOL).dump(value)
    except Exception as refusal:
        file = io.BytesIO()
        try:
            _cloud_error_pickler()(file, pickling.PROTOCOL).dump(value)
        except Exception:
            raise refusal from None
    return file.getvalue()


class _Again:
    """Pickles as the exception with these parts."""

    def __init__(self, kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> None:
        self.parts = kind, args, state

    def __reduce__(self) -> tuple[Any, ...]:
        kind, args, state = self.parts
        return _rebuild, (kind, args), state or None


def _reduce(value: Any) -> Any:
    """`reducer_override` for exceptions, also those inside others (groups) and inside containers."""
    if isinstance(value, BaseException):
        parts = _parts_of(value)
        if parts is not None:
            kind, args, state = parts
            return _rebuild, (kind, args), state or None
    return NotImplemented


class _ErrorPickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        return _reduce(obj)


def _cloud_error_pickler() -> Any:
    import cloudpickle

    class CloudErrorPickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            ours = _reduce(obj)
            return super().reducer_override(obj) if ours is NotImplemented else ours

    return CloudErrorPickler


def _parts_of(error: BaseException) -> tuple[type[BaseException], tuple[Any, ...], dict[str, Any] | None] | None:
    """(class, args, attributes) if the class leaves its pickling to the built-in classes, else None."""
    kind = type(error)
    if not isinstance(kind.__reduce__, types.MethodDescriptorType) or kind.__reduce_ex__ is not object.__reduce_ex__:
        return None
    reduced: Any = error.__reduce__()
    made, args, *rest = reduced
    if made is not kind:
        return None
    return kind, args, rest[0] if rest else None


def _rebuild(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """An exception of class ``kind`` as its built-in base would have left it; its own ``__init__`` does not run."""
    new = next(base.__dict__["__new__"] for base in kind.__mro__ if _is_native(base, "__new__"))
    init = next(base.__dict__["__init__"] for base in kind.__mro__ if _is_native(base, "__init__"))
    error: BaseException = new(kind, *args)
    init(error, *args)
    return error


def _is_native(base: type, name: str) -> bool:
    return isinstance(base.__dict__.get(name), (types.BuiltinFunctionType, types.WrapperDescriptorType))
