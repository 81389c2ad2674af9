"""What a task ended with: its value or its error, as an object and as bytes.

Here live the two outcomes, `capture` that makes one by running a function, and `encode` / `decode` that carry
one between processes. A process of this layer sends one outcome in its life, a pool sends one per task; this module
knows neither, nor how the bytes travel.

Prior work: python-trio/outcome (the shape), concurrent.futures.process (the text of the child's traceback as the
`__cause__` of the re-raised error).

The bytes are `MAGIC`, one byte of kind, and a payload that depends on the kind:

    V  value         the pickled value
    E  error         a packed error (see `remote`)
    U  unpicklable   pickled pair: the message of the `NotPicklable`, the packed error that pickling raised

The header stands outside the pickle, so that an outcome whose payload cannot be read is still known to be one, and
still ends its own task and no other.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from holdfast.errors import NotPicklable
from holdfast.workers import pickling, remote

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["Error", "Outcome", "Value", "capture", "decode", "encode"]

MAGIC = b"hfo1"
_VALUE, _ERROR, _UNPICKLABLE = b"V", b"E", b"U"
_HEADER = len(MAGIC) + 1


@dataclass(frozen=True, slots=True)
class Value:
    """A task that returned ``value``."""

    value: Any

    def unwrap(self) -> Any:
        """The value."""
        return self.value


@dataclass(frozen=True, slots=True)
class Error:
    """A task that raised ``error``; ``traceback`` is where, or None if the error came from another process."""

    error: BaseException
    traceback: TracebackType | None = field(default=None, repr=False, compare=False)

    def unwrap(self) -> NoReturn:
        """Raise the error, the very object, with the traceback it had when it was captured.

        The traceback is set back each time: an error that several callers ask for would otherwise collect the
        frames of all of them.
        """
        try:
            raise self.error.with_traceback(self.traceback)
        finally:
            # The error's traceback now holds this frame, which holds the error: cut the circle.
            del self


Outcome: TypeAlias = Value | Error


def capture(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Outcome:
    """Run ``fn(*args, **kwargs)`` and keep what came of it, whatever it raises (``SystemExit`` included)."""
    try:
        return Value(fn(*args, **kwargs))
    except BaseException as error:
        # Without this function's own frame, which tells nobody anything.
        inner = error.__traceback__.tb_next if error.__traceback__ is not None else None
        return Error(error, inner)


def encode(outcome: Outcome, *, task: str = "the task") -> bytes:
    """The outcome as bytes, always: what cannot be pickled is replaced by the error that says so.

    ``task`` is the name for that message. Plain pickle is tried first (fast, and refers to classes by name), then
    cloudpickle (lambdas, local classes, `__main__`).
    """
    if isinstance(outcome, Error):
        return MAGIC + _ERROR + remote.pack(outcome.error, outcome.traceback)
    buffer = io.BytesIO()
    buffer.write(MAGIC + _VALUE)
    try:
        pickling.dump(outcome.value, buffer)
    except Exception as error:
        message = f"the result of {task} cannot be pickled: {pickling.culprit(outcome.value, 'result')}"
        return (
            MAGIC + _UNPICKLABLE + pickle.dumps((message, remote.pack(error, error.__traceback__)), pickling.PROTOCOL)
        )
    return buffer.getvalue()


def decode(data: bytes | bytearray | memoryview, *, task: str = "the task") -> Outcome:
    """The outcome that `encode` wrote. Only for bytes from a process of this session: it unpickles.

    Never raises for a readable header: a value that cannot be rebuilt in this process becomes an `Error` with
    `NotPicklable`. Raises ValueError if these bytes are no outcome at all.
    """
    view = memoryview(data)
    if len(view) < _HEADER or bytes(view[: len(MAGIC)]) != MAGIC:
        raise ValueError(f"not an outcome: {len(view)} bytes beginning {bytes(view[:8])!r}")
    kind, payload = bytes(view[len(MAGIC) : _HEADER]), view[_HEADER:]
    if kind == _VALUE:
        return _decode_value(payload, task)
    if kind == _ERROR:
        return Error(remote.unpack(payload))
    if kind == _UNPICKLABLE:
        message, packed = pickle.loads(payload)
        refusal = NotPicklable(message)
        refusal.__cause__ = remote.unpack(packed)
        return Error(refusal)
    raise ValueError(f"not an outcome: unknown kind {kind!r}")


def _decode_value(payload: memoryview, task: str) -> Outcome:
    try:
        return Value(pickle.loads(payload))
    except Exception as error:
        refusal = NotPicklable(
            f"the result of {task} arrived but cannot be unpickled here: {type(error).__name__}: {error}; "
            "is its class importable in this process?"
        )
        refusal.__cause__ = error
        return Error(refusal)
