"""Items that tell who made them and whether they arrived whole, for the kill tests of the channels.

``make(producer, number)`` makes one, ``read(item)`` gives ``(producer, number)`` back or fails. Each kind takes another
way through a queue: small ones inside it without pickle, medium ones in several records' space so that it grows,
pickled ones, large ones and arrays in a block beside it. Nothing here knows queues.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

HEAD = struct.Struct("<QQQ")


def body(number: int, size: int) -> bytes:
    return bytes([number % 251]) * size


def seal(producer: int, number: int, content: Any) -> int:
    return zlib.crc32(content, producer * 65537 + number & 0xFFFFFFFF)


def small(producer: int, number: int) -> tuple[int, int, int, bytes]:
    content = body(number, number * 7 % 60)
    return producer, number, seal(producer, number, content), content


def medium(producer: int, number: int) -> tuple[int, int, int, bytes]:
    content = body(number, 1500 + number * 7 % 1000)
    return producer, number, seal(producer, number, content), content


def pickled(producer: int, number: int) -> dict[str, Any]:
    content = body(number, number * 7 % 300)
    return {"who": (producer, number, seal(producer, number, content)), "content": [content]}


def large(producer: int, number: int) -> bytes:
    content = body(number, 66_000 + number % 5 * 30_000)
    return HEAD.pack(producer, number, seal(producer, number, content)) + content


def array(producer: int, number: int) -> np.ndarray:
    content = np.full(9_000 + number % 5 * 4_000, number, dtype="<u8")
    content[0] = producer
    content[1] = seal(producer, number, content[2:])
    return content


def mixed(producer: int, number: int) -> Any:
    """Small ones mostly, and every other kind now and then."""
    kind = {3: pickled, 5: medium, 11: large, 13: array}.get(number % 16, small)
    return kind(producer, number)


def read(item: Any) -> tuple[int, int]:
    """Who made it, and which of his it is; AssertionError if it is not as it was made."""
    if isinstance(item, np.ndarray):
        producer, number, sealed, content = int(item[0]), int(item[2]), int(item[1]), item[2:]
    elif isinstance(item, bytes):
        producer, number, sealed = HEAD.unpack_from(item)
        content = memoryview(item)[HEAD.size :]
    elif isinstance(item, dict):
        (producer, number, sealed), (content,) = item["who"], item["content"]
    else:
        producer, number, sealed, content = item
    assert seal(producer, number, content) == sealed, f"item {number} of producer {producer} is corrupt"
    return producer, number
