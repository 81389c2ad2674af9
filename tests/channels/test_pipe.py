"""Pipe within one process: messages, bytes, directions, closing, pickling, waiting, and what is left behind."""

from __future__ import annotations

import array
import copy
import gc
import os
import pickle
import threading
from multiprocessing import BufferTooShort
from multiprocessing.connection import wait

import pytest
from tests.core.tools import WATCHDOG, asleep, until
from tests.sync.programs import Worker

from holdfast import Connection, GoneError, NotPicklable, Pipe
from holdfast.channels import pipe_way
from holdfast.core import session

MESSAGES = [
    None,
    True,
    0,
    -(2**70),
    1.5,
    "",
    "text",
    b"",
    b"bytes",
    bytearray(b"more"),
    (1, "two", None),
    {"a": [1, 2]},
    list(range(20_000)),
    b"x" * 5_000_000,
]


@pytest.fixture
def pipe():
    """Two connected ends, closed after the test."""
    one, two = Pipe()
    yield one, two
    one.close()
    two.close()


def opened() -> int:
    return len(os.listdir("/proc/self/fd"))


def ends_left() -> list[str]:
    return [name for name in os.listdir(session.directory(session.current())) if name.startswith(("end-", "bell-"))]


# ------------------------------------------------------------------------------------------------------------- messages


def test_objects_both_ways_in_order(pipe):
    """What is sent at one end is received at the other, equal and in order, in both directions."""
    for here, there in (pipe, pipe[::-1]):
        for message in MESSAGES:
            here.send(message)
        for message in MESSAGES:
            assert there.recv() == message


@pytest.mark.parametrize("message", MESSAGES, ids=[repr(m)[:20] for m in MESSAGES])
def test_calls_for_objects_and_bytes_mix_as_in_the_standard_library(pipe, message):
    """recv_bytes returns the pickle of an object, and recv unpickles what send_bytes sent."""
    one, two = pipe
    one.send(message)
    assert pickle.loads(two.recv_bytes()) == message
    one.send_bytes(pickle.dumps(message))
    assert two.recv() == message


@pytest.mark.parametrize("size", [0, 1, 511, 513, 32_700, 40_000, 16 << 20])
def test_bytes_of_all_sizes(pipe, size):
    """A message of bytes comes as it was, however long."""
    data = os.urandom(size)
    pipe[0].send_bytes(data)
    pipe[0].send_bytes(memoryview(data))
    assert pipe[1].recv_bytes() == data
    assert pipe[1].recv_bytes() == data


def test_a_part_of_a_buffer(pipe):
    """Arguments offset and size choose bytes, whatever the buffer's items are; what is not there raises ValueError."""
    one, two = pipe
    one.send_bytes(b"abcdef", 2)
    one.send_bytes(b"abcdef", 2, 3)
    one.send_bytes(b"abcdef", 6)
    one.send_bytes(array.array("H", [1, 2, 3]), 2, 2)
    one.send_bytes(memoryview(bytes(12)).cast("B", (3, 4)), 4)
    assert [two.recv_bytes() for _ in range(5)] == [b"cdef", b"cde", b"", array.array("H", [2]).tobytes(), bytes(8)]
    for wrong in ((7,), (3, 4), (-1,), (2, -1)):
        with pytest.raises(ValueError):
            one.send_bytes(b"abcdef", *wrong)
    assert not two.poll()


def test_bytes_into_a_buffer(pipe):
    """recv_bytes_into writes where it is told, and says how much."""
    one, two = pipe
    buffer = array.array("i", [0] * 5)
    one.send_bytes(array.array("i", [7, 8]))
    assert two.recv_bytes_into(buffer, 4) == 8
    assert list(buffer) == [0, 7, 8, 0, 0]
    for wrong in (-1, 21):
        with pytest.raises(ValueError):
            two.recv_bytes_into(buffer, wrong)
    with pytest.raises(TypeError):
        two.recv_bytes_into(b"read-only")


def test_a_buffer_that_is_too_short(pipe):
    """BufferTooShort carries the message; the next one is not disturbed."""
    one, two = pipe
    one.send_bytes(b"long message")
    one.send_bytes(b"next")
    with pytest.raises(BufferTooShort) as caught:
        two.recv_bytes_into(bytearray(5))
    assert caught.value.args == (b"long message",)
    assert two.recv_bytes() == b"next"


def test_maxlength(pipe):
    """A message that is too long raises OSError and ends receiving, as in the standard library; sending goes on."""
    one, two = pipe
    with pytest.raises(ValueError):
        two.recv_bytes(-1)
    one.send_bytes(b"four")
    assert two.recv_bytes(4) == b"four"
    one.send_bytes(b"five!")
    with pytest.raises(OSError, match="bad message length"):
        two.recv_bytes(4)
    assert not two.readable
    with pytest.raises(OSError, match="write-only"):
        two.recv()
    two.send(1)
    assert one.recv() == 1
    reader, writer = Pipe(duplex=False)
    writer.send_bytes(b"long")
    with pytest.raises(OSError, match="bad message length"):
        reader.recv_bytes(1)
    assert reader.closed


def test_what_cannot_be_pickled_is_not_sent(pipe):
    """NotPicklable names the part, and the pipe is unchanged."""
    with pytest.raises(NotPicklable, match="lock"):
        pipe[0].send({"a": threading.Lock()})
    assert not pipe[1].poll()


def test_one_direction():
    """Pipe(duplex=False): the first only receives, the second only sends."""
    reader, writer = Pipe(duplex=False)
    assert (reader.readable, reader.writable, writer.readable, writer.writable) == (True, False, False, True)
    writer.send(1)
    assert reader.recv() == 1
    for call in (lambda: reader.send(1), lambda: reader.send_bytes(b"")):
        with pytest.raises(OSError, match="connection is read-only"):
            call()
    for call in (writer.recv, writer.recv_bytes, writer.poll):
        with pytest.raises(OSError, match="connection is write-only"):
            call()


# -------------------------------------------------------------------------------------------------------------- closing


def test_a_closed_connection_refuses_everything(pipe):
    """Every call but close raises OSError; closing twice does nothing."""
    one, _ = pipe
    with one as entered:
        assert entered is one
        assert not one.closed
    one.close()
    assert one.closed
    calls = (one.recv, one.recv_bytes, one.poll, one.fileno, lambda: one.send(1), lambda: one.send_bytes(b""))
    for call in (*calls, lambda: pickle.dumps(one)):
        with pytest.raises(OSError, match="handle is closed"):
            call()


def test_the_other_end_closed(pipe):
    """What was sent is received, then EOFError; sending breaks at once; poll says that there is something to see."""
    one, two = pipe
    one.send("last words")
    assert not one.poll()
    one.close()
    assert two.recv() == "last words"
    for recv in (two.recv, two.recv_bytes, lambda: two.recv_bytes_into(bytearray(1))):
        assert two.poll()
        assert two.poll(None)
        with pytest.raises(EOFError):
            recv()
    for send in (two.send, two.send_bytes):
        with pytest.raises(BrokenPipeError) as caught:
            send(b"")
        assert caught.value.errno


def test_dropping_the_last_connection_closes_it(pipe):
    """A connection that nobody refers to any more is closed."""
    reader, writer = Pipe(duplex=False)
    del writer
    gc.collect()
    with pytest.raises(EOFError):
        reader.recv()


@pytest.mark.parametrize("call", ["recv", "recv_bytes", "poll"])
def test_closing_wakes_who_waits_to_receive(call):
    """A blocked receiver learns of the end."""
    reader, writer = Pipe(duplex=False)
    waiting = Worker(getattr(reader, call), *([WATCHDOG] if call == "poll" else []))
    until(lambda: asleep(os.getpid(), waiting.native_id), "the receiver sleeps")
    writer.close()
    if call == "poll":
        assert waiting.result() is True
    else:
        with pytest.raises(EOFError):
            waiting.result()


def test_a_full_pipe_makes_the_sender_wait_until_there_is_room_or_nobody_receives(monkeypatch):
    """Memory is bounded: send waits, goes on when something was received, and breaks when the receiver goes."""
    monkeypatch.setattr(pipe_way, "default_bytes", lambda of: 100_000)
    reader, writer = Pipe(duplex=False)
    waiting = Worker(lambda: [writer.send_bytes(bytes(30_000)) for _ in range(5)])
    until(lambda: asleep(os.getpid(), waiting.native_id) and reader._inbound.qsize() == 3, "the sender sleeps")
    assert reader.recv_bytes() == bytes(30_000)
    until(lambda: asleep(os.getpid(), waiting.native_id) and reader._inbound.qsize() == 3, "the sender sleeps again")
    reader.close()
    with pytest.raises(BrokenPipeError):
        waiting.result()
    writer.close()


# ------------------------------------------------------------------------------------------------------------- pickling


def test_copies_are_closed_by_themselves(pipe):
    """A pickle that comes back is another connection of the same end: the end is open until both are closed."""
    one, two = pipe
    again = pickle.loads(pickle.dumps(one))
    assert again is not one
    one.close()
    again.send("still here")
    assert two.recv() == "still here"
    assert not two.poll()
    again.close()
    with pytest.raises(EOFError):
        two.recv()


def test_both_ends_pickled_together(pipe):
    """Copies of both ends are connected with each other, and with the originals."""
    one, two = copy.deepcopy(pipe)
    one.send(1)
    pipe[0].send(2)
    assert [two.recv(), pipe[1].recv()] == [1, 2]
    one.close()
    two.close()


def test_an_end_on_its_way_is_open():
    """Closed after pickling, the end stays open until its pickle has arrived; then it is the copy's."""
    reader, writer = Pipe(duplex=False)
    assert isinstance(reader.fileno(), int)
    pickled = pickle.dumps(writer)
    writer.close()
    assert not reader.poll(0.1)
    assert not wait([reader], 0)
    arrived = pickle.loads(pickled)
    arrived.send("here")
    assert reader.recv() == "here"
    assert not wait([reader], 0)
    arrived.close()
    with pytest.raises(EOFError):
        reader.recv()
    assert wait([reader], WATCHDOG) == [reader]


def test_a_pickle_that_comes_too_late():
    """GoneError, when the end was freed before: its pickle had been loaded once already, and that copy closed."""
    before = set(ends_left())  # of those who were killed in other tests
    reader, writer = Pipe(duplex=False)
    pickled = pickle.dumps(writer)
    pickle.loads(pickled).close()
    writer.close()
    reader.close()
    until(lambda: set(ends_left()) <= before, "everything is freed")
    with pytest.raises(GoneError):
        pickle.loads(pickled)
    assert set(ends_left()) <= before


# -------------------------------------------------------------------------------------------------------------- waiting


def test_poll(pipe):
    """False when nothing comes in time (a negative timeout is none), true when something is there."""
    one, two = pipe
    assert not two.poll()
    assert not two.poll(-1)
    assert not two.poll(0.01)
    one.send(None)
    assert two.poll()
    assert two.poll(None)
    assert two.recv() is None
    assert not two.poll()


def test_a_message_ends_poll(pipe):
    """A blocked poll returns when a message comes."""
    waiting = Worker(pipe[1].poll, None)
    until(lambda: asleep(os.getpid(), waiting.native_id), "poll sleeps")
    pipe[0].send_bytes(b"")
    assert waiting.result() is True


def test_words(pipe):
    """Its repr says what it does, how much waits, and whether it is closed."""
    one, two = pipe
    one.send(1)
    assert "receives and sends, 1 to receive" in repr(two)
    assert repr(Pipe(duplex=False)[1]).endswith(": sends>")
    two.close()
    assert repr(two).endswith("closed>")
    assert type(two) is Connection


# -------------------------------------------------------------------------------------------------- what is left behind


def test_nothing_is_left():
    """200 pipes, used and polled, leave no descriptor, no file and no block."""
    of = session.current()
    for _ in range(2):  # the second time says what stays
        before = opened(), of.stats()["blocks"], len(ends_left())
        pipes = [Pipe() for _ in range(200)]
        for one, two in pipes:
            one.fileno()
            two.fileno()
            one.send(b"x" * 100_000)
            two.recv_bytes()
            two.send_bytes(b"not received")
            one.close()
            two.close()
        del one, two, pipes
        gc.collect()
        after = opened(), of.stats()["blocks"], len(ends_left())
    assert after == before


def test_closing_in_another_thread_ends_a_wait():
    """Recv and poll of a connection that another thread closes: an OSError, as on any closed connection."""
    reader, writer = Pipe(duplex=False)
    waiting = [Worker(reader.recv), Worker(lambda: reader.poll(None))]
    for worker in waiting:
        until(lambda w=worker: asleep(os.getpid(), w.native_id), "it sleeps")
    reader.close()
    for worker in waiting:
        with pytest.raises(OSError, match="closed"):
            worker.result()
    writer.close()
