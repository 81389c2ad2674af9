"""Window: some of the bytes of a shared block, as an object like ``bytes``.

Must not know where the bytes came from. A slice is another window on the same block.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any

from holdfast.shared import faces

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Window", "on"]


class Window(faces.Face):
    """Bytes in shared memory: what :func:`holdfast.share` makes of a bytes-like object.

    A buffer of format ``"B"`` (on 3.11 ``"<B"``: there ``memoryview(w).cast("B")``), sized, indexable, comparable to
    anything bytes-like. ``w[a:b]`` is a window on the same memory, made in O(1); both pickle in O(1). ``bytes(w)`` is a
    copy of one's own. A slice with a step is a plain ``memoryview``.

    A read-only window refuses assignments; from 3.12 on its buffer is read-only too (3.11 has no way to say so).
    """

    __hash__ = None  # type: ignore[assignment]
    _holdfast_at: int
    _holdfast_view: memoryview

    def _holdfast_window(self, at: int, writable: bool) -> None:
        size = self._holdfast_type._length_
        view = memoryview(self._holdfast_block)[at : at + size]
        self._holdfast_at = at
        self._holdfast_view = view if writable else view.toreadonly()

    @property
    def readonly(self) -> bool:
        """Whether it refuses to be changed."""
        return self._holdfast_view.readonly

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return self._holdfast_view.nbytes

    def tobytes(self) -> bytes:
        """Return a copy of the bytes."""
        return self._holdfast_view.tobytes()

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, slice):
            return self._holdfast_view[index]
        start, stop, step = index.indices(len(self._holdfast_view))
        if step != 1:
            return self._holdfast_view[index]
        at = self._holdfast_at + start
        return on(self._holdfast_block, at, max(0, stop - start), not self.readonly)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._holdfast_view[index] = value

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Window):
            return self._holdfast_view == other._holdfast_view
        return self._holdfast_view == other

    def __contains__(self, byte: object) -> bool:
        return byte in self._holdfast_view

    def __repr__(self) -> str:
        kind = "read-only " if self.readonly else ""
        return f"<holdfast.share: {self.nbytes} {kind}bytes at {id(self):#x}>"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return on, (self._holdfast_block, self._holdfast_at, self.nbytes, not self.readonly)

    if sys.version_info >= (3, 12):

        def __buffer__(self, flags: int) -> memoryview:
            return self._holdfast_view[:]


def on(block: faces.Memory, at: int, nbytes: int, writable: bool) -> Window:
    """Return a window on ``nbytes`` bytes of a block, from byte ``at`` on."""
    window: Window = faces.over(Window, block, ctypes.c_ubyte * nbytes, at=at)
    window._holdfast_window(at, writable)
    return window
