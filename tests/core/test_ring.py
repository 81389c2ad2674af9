"""The byte ring: order, wrap-around, closing, waiting, many producers and consumers."""

from __future__ import annotations

import pytest
from tests.core.tools import Child, until

from holdfast.core import _native, session


def ring_of(capacity: int) -> _native.Ring:
    return _native.Ring(session.current(), None, capacity)


def test_first_in_first_out():
    """Records come out as they went in, tags and bytes, empty ones too."""
    ring = ring_of(4096)
    sent = [(i * (1 << 60) // 7, bytes([i]) * (i * 3)) for i in range(20)]
    for tag, data in sent:
        assert ring.put(tag, data) is True
    assert len(ring) == 20
    assert [ring.get() for _ in sent] == sent
    assert (len(ring), ring.used) == (0, 0)


def test_wraps_around():
    """Records of every length over the end of the ring, at every place."""
    ring = ring_of(256)
    for i in range(3000):
        data = bytes([i % 251]) * (i % 97)
        ring.put(i, data)
        if i % 3:
            ring.put(i, data[:50])
            assert ring.get() == (i, data)
            assert ring.get() == (i, data[:50])
        else:
            assert ring.get() == (i, data)


def test_any_buffer():
    """Whatever has bytes can be put."""
    ring = ring_of(4096)
    for data in (b"abc", bytearray(b"abc"), memoryview(b"xabcx")[1:4]):
        ring.put(0, data)
        assert ring.get() == (0, b"abc")
    with pytest.raises(TypeError):
        ring.put(0, "text")
    with pytest.raises(BufferError):
        ring.put(0, memoryview(b"abcdef")[::2])
    with pytest.raises(OverflowError):
        ring.put(-1, b"")
    with pytest.raises(TypeError, match="takes 2 or 3 arguments, not 1"):
        ring.put(0)
    assert len(ring) == 0


def test_full_and_empty():
    """A timeout of 0 does not wait: put returns False, get None."""
    ring = ring_of(64)
    assert ring.get(0) is None
    assert ring.get(0.01) is None
    assert ring.put(1, b"x" * 48)
    assert ring.used == 64
    assert ring.put(2, b"", 0) is False
    assert ring.put(2, b"", 0.01) is False
    assert ring.get() == (1, b"x" * 48)
    assert ring.put(2, b"", 0) is True


@pytest.mark.parametrize("length", [49, 1000])
def test_never_fits(length):
    """A record larger than the ring is an error at once, not a wait."""
    with pytest.raises(ValueError, match=f"a record of {length} bytes can never fit a ring of 64"):
        ring_of(64).put(0, b"x" * length)


def test_wrong_capacity():
    """At least 64 bytes."""
    with pytest.raises(ValueError, match="capacity must be at least 64 bytes, not 63"):
        ring_of(63)
    with pytest.raises(MemoryError):
        ring_of(1 << 62)


def test_closed():
    """What is inside can still be taken; then EOFError. Putting is BrokenPipeError."""
    ring = ring_of(256)
    ring.put(1, b"last")
    ring.close()
    ring.close()
    assert ring.closed()
    with pytest.raises(BrokenPipeError, match="closed"):
        ring.put(2, b"")
    assert ring.get() == (1, b"last")
    for timeout in (None, 0, 1):
        with pytest.raises(EOFError, match="closed and empty"):
            ring.get(timeout)


def test_close_wakes_sleepers():
    """Who waits for a record, and who waits for room, learns that there will be none."""
    empty, full = ring_of(64), ring_of(64)
    full.put(0, b"x" * 48)

    def get():
        with pytest.raises(EOFError):
            empty.get()

    def put():
        with pytest.raises(BrokenPipeError):
            full.put(1, b"")

    with Child(get) as getter, Child(put) as putter:
        until(lambda: getter.asleep() and putter.asleep(), "both sleep")
        empty.close()
        full.close()
        getter.result()
        putter.result()


def test_many_producers_and_consumers():
    """Three processes put, three take: every record arrives once; each consumer sees a producer's in order."""
    ring, count = ring_of(1024), 1500

    def produce(who):
        for i in range(count):
            ring.put(who << 32 | i, bytes([who]) * (i % 60))

    def consume():
        got = []
        while True:
            try:
                tag, data = ring.get()
            except EOFError:
                return got
            assert data == bytes([tag >> 32]) * ((tag & 0xFFFFFFFF) % 60)
            got.append(tag)

    producers = [Child(produce, who) for who in range(3)]
    consumers = [Child(consume) for _ in range(3)]
    for producer in producers:
        producer.result()
    ring.close()
    logs = [consumer.result() for consumer in consumers]
    assert sorted(tag for log in logs for tag in log) == [who << 32 | i for who in range(3) for i in range(count)]
    for log in logs:
        for who in range(3):
            mine = [tag for tag in log if tag >> 32 == who]
            assert mine == sorted(mine)


def test_records_of_different_sizes_wait_for_their_room():
    """A large record waits until there is room, although small ones would fit meanwhile; all arrive."""
    ring = ring_of(256)
    ring.put(0, b"x" * 200)

    def put_large():
        return ring.put(1, b"y" * 230)

    with Child(put_large) as child:
        until(child.asleep, "it waits for room")
        ring.put(2, b"z")
        assert ring.get()[0] == 0
        assert ring.get()[0] == 2
        assert ring.get(20) == (1, b"y" * 230)
        assert child.result() is True
