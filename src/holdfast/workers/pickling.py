"""What a child can find by name, and so what has to be sent to it by value.

The two picklers themselves are the core's (`picklers`) and handed on here for this row and the pool. This module knows
no tasks, no processes and no files.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from holdfast.core.picklers import PROTOCOL, culprit, dump, dumps, picklable

__all__ = ["PROTOCOL", "by_name", "culprit", "dump", "dumps", "main_is_importable", "picklable"]


def main_is_importable() -> bool:
    """Whether a fresh interpreter can run this program's main module again, as multiprocessing does.

    Not so in a notebook, in the interactive interpreter and under ``python -c``: names in `__main__` then mean
    nothing in a child that was not forked.
    """
    main = sys.modules.get("__main__")
    return getattr(main, "__file__", None) is not None or getattr(main, "__spec__", None) is not None


def by_name(value: Any) -> bool:
    """Whether a fresh interpreter finds the function or class ``value`` under its name (True for other objects)."""
    if isinstance(value, functools.partial):
        return by_name(value.func)
    value = getattr(value, "__func__", value)
    name, module = getattr(value, "__qualname__", None), getattr(value, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str):
        return True
    if "<" in name:  # "<lambda>", "outer.<locals>.inner"
        return False
    return module != "__main__" or main_is_importable()
