"""Calls and results as bytes: which pickler, and what to say if none will do.

Only turning objects into bytes and back lives here; how the bytes travel is `channel`'s affair. Room is left for
sending a function once per pool: a call is packed in one place and unpacked in one.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from holdfast.errors import NotPicklable
from holdfast.workers import outcome, pickling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Buffer

__all__ = ["describe", "pack_call", "pack_error", "pack_value", "run_packed", "unpack"]

PROTOCOL = pickling.PROTOCOL
Call = tuple["Callable[..., Any]", tuple[Any, ...], dict[str, Any]]


def describe(fn: Any) -> str:
    """A function's name, for messages."""
    inner = getattr(fn, "func", fn)  # of a partial
    name = getattr(inner, "__qualname__", None) or type(inner).__qualname__
    module = getattr(inner, "__module__", None)
    return f"{module}.{name}" if isinstance(module, str) else str(name)


def pack_call(call: Call, by_value: bool) -> bytes:
    """A call as bytes. Plain pickle first, then cloudpickle; ``by_value``: cloudpickle at once, because a worker
    cannot import this program's main module (a notebook, ``python -c``), and plain pickle would not notice.

    Raises NotPicklable, naming the argument.
    """
    try:
        if by_value:
            import cloudpickle

            return bytes(cloudpickle.dumps(call, PROTOCOL))
        return pickle.dumps(call, PROTOCOL)
    except Exception as error:
        refusal = error
    try:
        return pickling.dumps(call)
    except Exception:
        raise _not_picklable(call, refusal) from refusal


def _not_picklable(call: Call, refusal: Exception) -> NotPicklable:
    for label, part in _parts(call):
        if not pickling.picklable(part):
            what = pickling.culprit(part, label)
            break
    else:
        what = "the call"
    return NotPicklable(
        f"task {describe(call[0])} cannot be sent to a worker: {what}, which cannot be pickled ({refusal}); "
        "make it inside the task, or once per worker in the initializer"
    )


def _parts(call: Call) -> Iterator[tuple[str, Any]]:
    fn, args, kwargs = call
    yield "fn", fn
    yield from ((f"args[{index}]", value) for index, value in enumerate(args))
    yield from ((f"kwargs[{key!r}]", value) for key, value in kwargs.items())


def _load_call(payload: Buffer) -> Call:
    try:
        call: Call = pickle.loads(payload)
    except Exception as error:
        raise NotPicklable(
            f"the task arrived but cannot be unpickled in the worker: {type(error).__name__}: {error}; "
            "are its function's module and its arguments' classes importable there?"
        ) from error
    return call


def run_packed(payload: Buffer) -> tuple[bool, bytes]:
    """In a worker: run a packed call. Returns (it is a plain value, bytes); raises nothing that the task raised."""
    try:
        fn, args, kwargs = _load_call(payload)
        value = fn(*args, **kwargs)
    except BaseException as error:  # SystemExit is the task's result too
        return False, pack_error(error)
    return pack_value(value, fn)


def pack_error(error: BaseException) -> bytes:
    """An error as bytes, without the pool's own frame in its traceback."""
    frames = error.__traceback__
    inner = frames.tb_next if frames is not None and frames.tb_next is not None else frames
    return outcome.encode(outcome.Error(error, inner))


def pack_value(value: Any, fn: Any) -> tuple[bool, bytes]:
    """A result as bytes, or the error that says why there are none."""
    try:
        return True, pickle.dumps(value, PROTOCOL)
    except BaseException:
        return False, outcome.encode(outcome.Value(value), task=describe(fn))


def unpack(plain: bool, payload: Buffer, fn: Any) -> outcome.Outcome:
    """In the parent: what a worker's bytes mean; ``fn`` is what it ran, for messages. Raises nothing."""
    try:
        if plain:
            return outcome.Value(pickle.loads(payload))
        return outcome.decode(memoryview(payload), task=describe(fn))
    except Exception as error:
        refusal = NotPicklable(
            f"the result of {describe(fn)} arrived but cannot be unpickled here: {type(error).__name__}: {error}; "
            "is its class importable in this process?"
        )
        refusal.__cause__ = error
        return outcome.Error(refusal)
