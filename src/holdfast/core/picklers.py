"""Pickling with two picklers, and finding the part that neither takes.

Plain pickle goes first: it is fast and refers to functions and classes by name. What it refuses (lambdas, closures,
local classes) cloudpickle carries by value; it is imported only then. This module knows no tasks, no items, no
processes and no files.
"""

from __future__ import annotations

import collections
import functools
import io
import pickle
import sys
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["PROTOCOL", "culprit", "dump", "dumps", "dumps_by_value", "picklable"]

PROTOCOL = 5
# How far `culprit` looks: it pickles each part once more per level, on a path that has failed already.
_MAX_DEPTH = 6
_MAX_PARTS = 1000


def dump(value: Any, file: io.BytesIO) -> None:
    """Append the pickle of ``value`` to ``file``: by plain pickle, else by cloudpickle.

    Raises what plain pickle raised if neither can; ``file`` then is as it was.
    """
    start = file.tell()
    try:
        pickle.Pickler(file, PROTOCOL).dump(value)
    except Exception as refusal:
        _rewind(file, start)
        try:
            _by_value()(file, PROTOCOL).dump(value)
        except Exception:
            _rewind(file, start)
            # Plain pickle's words are the ones people know, and the ones they can look up.
            raise refusal from None


def dumps(value: Any) -> bytes:
    """The pickle of ``value``, as `dump` makes it."""
    file = io.BytesIO()
    dump(value, file)
    return file.getvalue()


def dumps_by_value(value: Any, buffer_callback: Callable[[pickle.PickleBuffer], Any]) -> bytes:
    """The pickle that cloudpickle makes; ``buffer_callback`` is pickle's. Raises what cloudpickle raises."""
    file = io.BytesIO()
    _by_value()(file, PROTOCOL, buffer_callback=buffer_callback).dump(value)
    return file.getvalue()


def _rewind(file: io.BytesIO, start: int) -> None:
    file.seek(start)
    file.truncate()


@functools.cache
def _by_value() -> Any:
    """Cloudpickle's pickler, but for what it would turn into something else: a file into a copy of its text."""
    import cloudpickle

    table = cloudpickle.Pickler.dispatch_table

    def refuse(value: Any) -> Any:
        if value in (sys.stdin, sys.stdout, sys.stderr):
            return table[type(value)](value)
        raise TypeError(f"cannot pickle {type(value).__name__!r} object")

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        dispatch_table: ClassVar[Any] = collections.ChainMap({io.TextIOWrapper: refuse, memoryview: refuse}, table)

    return Pickler


def picklable(value: Any) -> bool:
    """Whether `dump` would take ``value``."""
    try:
        dumps(value)
    except Exception:
        return False
    return True


def culprit(value: Any, label: str, depth: int = _MAX_DEPTH) -> str:
    """Name the smallest part of ``value`` that cannot be pickled: "result['rows'][3] is a 'generator'"."""
    if depth > 0:
        for name, part in _parts(value):
            if not picklable(part):
                return culprit(part, label + name, depth - 1)
    return f"{label} is of type {type(value).__module__}.{type(value).__qualname__}".replace(" builtins.", " ")


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    pairs: Iterator[tuple[str, Any]]
    if isinstance(value, dict):
        pairs = ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, (list, tuple)):
        pairs = ((f"[{index}]", part) for index, part in enumerate(value))
    elif isinstance(value, functools.partial):
        pairs = iter([(".func", value.func), (".args", value.args), (".keywords", value.keywords)])
    elif isinstance(value, type):
        return
    else:
        pairs = ((f".{key}", part) for key, part in getattr(value, "__dict__", {}).items())
    for _, pair in zip(range(_MAX_PARTS), pairs, strict=False):
        yield pair
