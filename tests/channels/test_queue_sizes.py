"""Items of every size, arrays without copies, max_bytes, and memory that is given back."""

from __future__ import annotations

import gc
import hashlib
import os
import pickle
import time

import numpy as np
import pytest
from tests.channels import programs
from tests.core.tools import until
from tests.sync.programs import Worker

from holdfast import Full, LifoQueue, PriorityQueue, Queue, ShutDown
from holdfast.core import session

KIB, MIB = 1 << 10, 1 << 20
EDGES = [0, 1, 7, 8, 9, 63, 64, 65, 255, 256, 257, 511, 512, 513, 4095, 4096, 4097]
EDGES += [edge * KIB + by for edge in (16, 32, 64) for by in (-200, -65, -64, -63, -1, 0, 1, 64, 200)]


@pytest.mark.parametrize("size", [*EDGES, MIB, 9 * MIB + 3])
def test_bytes_and_text_of_every_size(size):
    """Around each place where another way of travelling begins; twice, so that the ring's end comes between."""
    q = Queue()
    data = os.urandom(min(size, 1000)) * (size // min(size, 1000) + 1 if size else 0)
    items = [data[:size], "x" * size, bytearray(data[:size]), {"a": data[:size]}, "ß" * (size // 2)]
    q.put_many(items)
    q.put_many(items)
    assert [q.get() for _ in range(5)] == items
    assert q.get_many() == items
    assert (q.qsize(), q.nbytes()) == (0, 0)


def test_sizes_mixed_at_random(peer_of):
    """Small and large ones by turns from another process, each with its checksum."""
    q, peer = Queue(max_bytes=4 * MIB), peer_of()
    sizes = [(n * 7919) % 500 if n % 9 else (n * 104_729) % (MIB // 2) for n in range(400)]
    peer.begin(_put_sums, q, sizes)
    for size in sizes:
        data, digest = q.get(timeout=20)
        assert len(data) == size
        assert hashlib.blake2b(data, digest_size=8).digest() == digest
    peer.result()


def _put_sums(q, sizes):
    for n, size in enumerate(sizes):
        data = n.to_bytes(4, "little") * (size // 4) + b"x" * (size % 4)
        q.put((data, hashlib.blake2b(data, digest_size=8).digest()))


@pytest.mark.parametrize("make", [Queue, LifoQueue, PriorityQueue])
def test_100_mb(make):
    """One item of 100 MB, as bytes and as an array, in every kind of queue."""
    q, options = make(), {"priority": 1} if make is PriorityQueue else {}
    data = b"0123456789" * (10 * 1000 * 1000)
    q.put(data, **options)
    assert q.nbytes() >= len(data)
    assert q.get() == data
    array = np.frombuffer(data, "u1")
    q.put(array, **options)
    assert np.array_equal(q.get(), array)
    assert q.nbytes() == 0


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_SOAK" not in os.environ, reason="needs 5 GB of memory: only with HOLDFAST_SOAK")
def test_more_than_2_gib(peer_of):
    """Sizes that do not fit in 31 bits."""
    q, peer = Queue(max_bytes=1 << 40), peer_of()
    peer.begin(_put_giant, q)
    array = q.get(timeout=100)
    assert (array.nbytes, array[0], array[-1]) == (2_500_000_000, 1, 2)
    peer.result()


def _put_giant(q):
    array = np.zeros(2_500_000_000, "u1")
    array[0], array[-1] = 1, 2
    q.put(array)


# --------------------------------------------------------------------------------------------------------------- arrays


def base_address(array):
    return array.__array_interface__["data"][0]


def in_shared_memory(array):
    """Whether the array lies in a session's arena: no copy was made of what arrived."""
    at = base_address(array)
    with open("/proc/self/maps") as maps:
        for line in maps:
            begin, _, end = line.split()[0].partition("-")
            if int(begin, 16) <= at < int(end, 16):
                return line.rstrip().endswith("/arena")
    return False


@pytest.mark.parametrize("writable", [True, False])
def test_arrays_stand_in_shared_memory(writable):
    """What get returns lies where put copied it, and is as writable as what was put; the sender's is untouched."""
    q, array = Queue(), np.arange(100_000)
    array.flags.writeable = writable
    q.put(array)
    got = q.get()
    assert in_shared_memory(got)
    assert not np.shares_memory(got, array)
    assert got.flags.writeable is writable
    assert np.array_equal(got, array)
    if writable:
        got[:] = 7
        assert array[1] == 1


def test_two_receivers_do_not_share():
    """An array put twice is two: who changes one does not change the other."""
    q, array = Queue(), np.zeros(50_000)
    q.put(array)
    q.put(array)
    one, other = q.get(), q.get()
    one += 1
    assert not np.shares_memory(one, other)
    assert not other.any()


def test_an_array_outlives_its_queue():
    """The last array on a piece of shared memory keeps it."""
    q = Queue()
    q.put({"a": np.arange(100_000), "b": np.ones(50_000)})
    got = q.get()
    view = got["a"][1000:2000]
    q.close()
    del q, got
    gc.collect()
    others = [Queue() for _ in range(5)]
    for other in others:
        other.put(np.full(150_000, -1))
    assert np.array_equal(view, np.arange(1000, 2000))


def test_an_array_outlives_its_sender(peer_of):
    """The producer may be killed when its put has returned."""
    q, peer = Queue(), peer_of()
    peer.call(q.put, [np.arange(200_000), "beside"])
    peer.kill()
    array, text = q.get(timeout=20)
    assert np.array_equal(array, np.arange(200_000))
    assert text == "beside"
    assert in_shared_memory(array)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(20_000).reshape(100, 200).T,
        np.arange(40_000)[::2],
        np.zeros((300, 0)),
        np.array(3.5),
        np.array([1, "a", None], dtype=object),
        np.arange(90_000).astype("datetime64[s]"),
        np.zeros(10_000, dtype=[("x", "i4"), ("y", "f8")]),
        np.arange(60_000, dtype=">i4"),
    ],
    ids=["transposed", "strided", "empty", "scalar", "objects", "dates", "records", "big-endian"],
)
def test_arrays_of_all_kinds(array):
    """The same numbers, type and shape."""
    q = Queue()
    q.put(array)
    got = q.get()
    assert (got.dtype, got.shape) == (array.dtype, array.shape)
    assert np.array_equal(got, array)


# ------------------------------------------------------------------------------------------------------------ max_bytes


@pytest.mark.parametrize("make", [Queue, LifoQueue])
@pytest.mark.parametrize("size", [1000, 100_000])
def test_full_of_bytes(make, size):
    """A queue that holds max_bytes is full: Full at once or in time, room when something is taken."""
    q = make(max_bytes=10 * size)
    assert q.max_bytes == 10 * size
    with pytest.raises(Full) as caught:
        q.put_many([b"x" * size] * 20, block=False)
    count = caught.value.count
    assert 5 <= count <= 10
    assert q.qsize() == count
    assert count * size <= q.nbytes() <= q.max_bytes
    with pytest.raises(Full):
        q.put(b"x" * size, timeout=0.02)
    q.get()
    q.put(b"x" * size, timeout=20)
    with pytest.raises(Full):
        q.put_nowait(b"x" * size)
    assert len(programs.drain(q)) == count
    assert q.nbytes() == 0


@pytest.mark.parametrize("item", ["x" * 200_000, b"x" * 200_000, np.zeros(200_000, "u1"), ["x" * 200_000]])
def test_a_large_put_waits_for_room(item):
    """It returns when others have taken enough."""
    q = Queue(max_bytes=300_000)
    q.put(item)
    worker = Worker(q.put, item)
    with pytest.raises(Full):
        q.put(item, timeout=0.02)
    q.get(timeout=20)
    worker.result()
    assert q.qsize() == 1


@pytest.mark.parametrize("make", [Queue, LifoQueue])
@pytest.mark.parametrize("item", [b"x" * 2000, "x" * 100_000, [b"x" * 5000], np.zeros(100_000)])
def test_what_can_never_fit(make, item):
    """A ValueError that names max_bytes, whether or not it is to wait; the queue is as it was."""
    q = make(max_bytes=1000)
    q.put(1)
    for put in (q.put, q.put_nowait, lambda one: q.put(one, timeout=1), lambda one: q.put_many([one])):
        with pytest.raises(ValueError, match="can never fit into max_bytes=1000"):
            put(item)
    assert programs.drain(q) == [1]


def test_shut_down_while_a_large_put_waits():
    """The put ends with ShutDown, and leaves nothing in memory."""
    q = Queue(max_bytes=300_000)
    q.put(b"x" * 200_000)
    worker = Worker(q.put, b"y" * 200_000)
    with pytest.raises(Full):
        q.put(b"z" * 200_000, timeout=0.02)
    q.shutdown()
    with pytest.raises(ShutDown):
        worker.result()
    assert list(q) == [b"x" * 200_000]


# --------------------------------------------------------------------------------------------------------------- memory


def used():
    """Blocks and bytes of the session. Freed ones still count for a second after a fork."""
    gc.collect()
    current = session.current()
    current.sweep()
    stats = current.stats()
    return stats["blocks"], stats["bytes_used"]


@pytest.fixture(scope="module")
def at_rest():
    """Wait, once, until what the processes of the tests above held is gone; the tests below make no processes."""
    Queue()
    for _ in range(3):
        used()
        time.sleep(0.6)


@pytest.fixture
def settled(at_rest):
    """What was in use when the test began."""
    return used()


def back_to(before):
    until(lambda: used() <= before, f"no more memory in use than {before} (blocks, bytes)")


def test_memory_is_given_back(settled):
    """What a full queue used is free again when it is drained and dropped."""
    for items in ([b"x" * 100_000] * 50, list(range(20_000)), [np.zeros(100_000)] * 20, ["y" * 3000] * 300):
        q = Queue()
        q.put_many(items)
        assert used()[1] > settled[1]
        for _ in items:
            q.get()
        assert q.nbytes() == 0
        assert used()[1] - settled[1] < 300_000
        del q
        back_to(settled)


@pytest.mark.parametrize("make", [Queue, LifoQueue, PriorityQueue])
def test_a_dropped_queue_takes_its_items_along(make, settled):
    """Items nobody took go with the queue."""
    q = make()
    q.put_many([b"x" * 10_000] * 10)
    q.put_many([(n, "y" * 1000) for n in range(500)])
    del q
    back_to(settled)


def test_failed_puts_leave_nothing(settled):
    """Full, never fitting, unpicklable, shut down: no block stays."""
    q = Queue(2, max_bytes=MIB)
    q.put_many([1, 2])
    for item in (b"x" * 500_000, np.zeros(1000), b"x" * (2 * MIB), [np.zeros(10_000), programs.Unpicklable()]):
        for _ in range(20):
            with pytest.raises((Full, ValueError, TypeError)):
                q.put_nowait(item)
    q.shutdown()
    for _ in range(20):
        with pytest.raises(ShutDown):
            q.put(np.zeros(100_000))
    del q
    back_to(settled)


def test_bad_items_leave_nothing(settled):
    """What cannot be unpickled is freed all the same."""
    q = Queue()
    for _ in range(30):
        q.put([programs.Bad("b"), np.zeros(50_000)])
        with pytest.raises(RuntimeError):
            q.get()
    del q
    back_to(settled)


def test_a_queue_that_nobody_fetches(settled):
    """A pickle that is thrown away keeps the queue no longer than its session; one that arrives does not leak."""
    for _ in range(20):
        q = Queue()
        q.put(b"x" * 100_000)
        assert pickle.loads(pickle.dumps(q)) is q
    del q
    back_to(settled)
