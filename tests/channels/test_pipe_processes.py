"""Pipes between processes: every start method, deaths, inheritance, many users of one end."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal

import pytest
from tests.core.tools import SOAK, WATCHDOG, Child, until

from holdfast import Pipe, Process, Queue
from holdfast.channels import pipe_ends, pipe_way
from holdfast.core import session


@pytest.fixture(autouse=True)
def cleared():
    """Files of ends whose last holder ended without closing go when the next pipes are made: now, for a test."""
    yield
    gc.collect()
    pipe_ends._clear_up(session.current(), 0)


METHODS = pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])


def echo(connection):
    """Send back what comes, until the end; how many."""
    count = 0
    while True:
        try:
            connection.send(connection.recv())
        except EOFError:
            return count
        count += 1


def echo_bytes(connection):
    for message in iter(connection.recv_bytes, b""):
        connection.send_bytes(message)
    connection.close()


def what_recv_does(connection):
    try:
        return connection.recv()
    except Exception as error:
        return type(error).__name__


def fill(connection):
    """Send until it breaks; how many times."""
    count = 0
    try:
        while True:
            connection.send_bytes(bytes(100_000))
            count += 1
    except BrokenPipeError:
        return count


@METHODS
def test_an_end_as_the_argument_of_a_process(method):
    """The child's end can be closed as soon as the child was started; messages of all kinds go both ways."""
    here, there = Pipe()
    process = multiprocessing.get_context(method).Process(target=echo_bytes, args=(there,))
    process.start()
    there.close()
    for message in (b"x", b"y" * 1000, b"z" * (16 << 20)):
        here.send_bytes(message)
        assert here.recv_bytes() == message
    here.send_bytes(b"")
    with pytest.raises(EOFError):
        here.recv()
    with pytest.raises(BrokenPipeError):
        here.send(1)
    process.join(WATCHDOG)
    assert process.exitcode == 0


def test_holdfast_process():
    """Our own Process passes connections, too."""
    here, there = Pipe()
    process = Process(target=echo, args=(there,))
    process.start()
    there.close()
    for message in ([1, 2], "text", {"a": None}):
        here.send(message)
        assert here.recv() == message
    here.close()
    process.join(WATCHDOG)
    assert process.exitcode == 0


@METHODS
def test_the_only_holder_is_killed(peer_of, method):
    """A blocked receiver gets EOFError, and a sender BrokenPipeError, when the one process with the other end dies."""
    here, there = Pipe()
    peer = peer_of(method)
    peer.begin(say_and_pause, there)
    there.close()
    assert here.recv() == "pausing"
    os.kill(peer.pid, signal.SIGKILL)
    with pytest.raises(EOFError):
        here.recv()
    with pytest.raises(BrokenPipeError):
        here.send(1)


def say_and_pause(connection):
    connection.send("pausing")
    signal.pause()


@pytest.mark.parametrize("how", ["exit", "kill", "close"])
def test_a_blocked_receiver_sees_the_end_whatever_ends_it(how):
    """Closed, ended in good order, or killed: EOFError at the other end."""
    reader, writer = Pipe(duplex=False)
    theirs, ours = Pipe(duplex=False)
    with Child(recv_alone, reader, writer) as child, Child(wait_for_order, writer, theirs, how) as holder:
        writer.close()
        way = reader._inbound
        until(lambda: way.unfinished() == 1 and way.empty() and child.asleep(), "it waits for the second message")
        ours.send("go")
        assert child.result() == "EOFError"
        holder.kill()
    for connection in (reader, theirs, ours):
        connection.close()


def recv_alone(reader, writer):
    writer.close()
    assert reader.recv() == "ready"
    return what_recv_does(reader)


def wait_for_order(writer, theirs, how):
    writer.send("ready")
    theirs.recv()
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "close":
        writer.close()
        signal.pause()


def test_a_blocked_sender_sees_the_end(monkeypatch):
    """The receiver is killed while the pipe is full: BrokenPipeError."""
    monkeypatch.setattr(pipe_way, "default_bytes", lambda of: 1 << 20)
    reader, writer = Pipe(duplex=False)
    with Child(signal.pause) as child:
        reader.close()
        with Child(fill, writer) as sender:
            until(lambda: writer._outbound.qsize() == 10 and sender.asleep(), "the pipe is full")
            os.kill(child.pid, signal.SIGKILL)
            assert sender.result() == 10
    writer.close()


@pytest.mark.parametrize("round", range(5))
def test_closed_just_after_a_fork(round):
    """The parent closes its ends the moment it has forked: the child has them, and nobody else."""
    here, there = Pipe()
    with Child(child_of_both, here, there) as child:
        there.close()
        here.send(1)
        assert here.recv() == 1
        here.close()
        assert child.result() == 1


def child_of_both(theirs, mine):
    theirs.close()
    return echo(mine)


def test_a_child_that_inherited_the_other_end_keeps_it_open():
    """As with kernel pipes: the end is open until the child closes it, or ends."""
    reader, writer = Pipe(duplex=False)
    with Child(signal.pause) as child:
        writer.close()
        assert not reader.poll(0.2)
        child.kill()
        with pytest.raises(EOFError):
            reader.recv()


def test_what_was_sent_before_a_death_is_received():
    """A sender is killed the moment send returned: all it sent is received, then EOFError."""
    reader, writer = Pipe(duplex=False)
    with Child(send_and_die, writer, 1000):
        writer.close()
        assert [reader.recv() for _ in range(1000)] == list(range(1000))
        with pytest.raises(EOFError):
            reader.recv()


def send_and_die(writer, count):
    for i in range(count):
        writer.send(i)
    os.kill(os.getpid(), signal.SIGKILL)


@METHODS
def test_an_end_through_a_queue(peer_of, method):
    """A connection is an item like any other; the end is open while it is queued."""
    peer = peer_of(method)  # before the pipe: a forked one has all there is
    queue, (here, there) = Queue(), Pipe()
    queue.put(there)
    there.close()
    assert not here.poll(0.01)
    peer.begin(take_and_echo, queue)
    here.send("hello")
    assert here.recv() == "hello"
    here.close()
    assert peer.result() == 1


def take_and_echo(queue):
    with queue.get(timeout=WATCHDOG) as connection:
        return echo(connection)


def test_an_end_through_a_pipe():
    """A connection can be sent over another one."""
    (one, two), (here, there) = Pipe(), Pipe()
    one.send(there)
    there.close()
    arrived = two.recv()
    here.send(1)
    assert arrived.recv() == 1


def test_many_writers_and_readers_on_one_end():
    """4 writers and 4 readers: every message comes whole and exactly once, long ones too."""
    count = int(500 * SOAK)
    reader, writer = Pipe(duplex=False)
    children = [Child(receive_all, reader, writer) for _ in range(4)]
    children += [Child(send_many, reader, writer, i, count) for i in range(4)]
    reader.close()
    writer.close()
    received = [tuple(message) for child in children[:4] for message in child.result()]
    for child in children:
        child.wait()
    assert sorted(received) == [(i, n) for i in range(4) for n in range(count)]


def send_many(reader, writer, mark, count):
    reader.close()
    for n in range(count):
        writer.send((mark, n, bytes([mark]) * (n % 7 * 10_000 + n)))


def receive_all(reader, writer):
    writer.close()
    received = []
    while True:
        try:
            mark, n, data = reader.recv()
        except EOFError:
            return received
        assert data == bytes([mark]) * (n % 7 * 10_000 + n)
        received.append((mark, n))


def test_a_pickle_loaded_twice_in_another_process(peer_of):
    """Both copies are connections of the end; it is open until both are closed."""
    here, there = Pipe()
    peer = peer_of("spawn")
    pickled = pickle.dumps(there)
    assert peer.call(use_both, pickled, pickled) == 2
    there.close()
    assert [here.recv(), here.recv()] == ["first", "second"]
    with pytest.raises(EOFError):
        here.recv()


def use_both(one, two):
    first, second = pickle.loads(one), pickle.loads(two)
    first.send("first")
    first.close()
    second.send("second")
    second.close()
    return 2


class Fatal:
    """Kills the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (7,)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_child_that_dies_before_it_has_its_end(method, monkeypatch):
    """What it was started with is believed to be on its way for a while only; then the other end sees the end."""
    monkeypatch.setattr(pipe_ends, "START", 1_000_000_000)
    one, two = Pipe()
    child = Process(target=echo, args=(Fatal(), two), start_method=method)
    child.start()
    two.close()
    with pytest.raises(EOFError):
        one.recv()
    child.join()
    one.close()


def test_an_end_in_a_queue_may_take_its_time(monkeypatch):
    """Only what processes are started with is doubted."""
    monkeypatch.setattr(pipe_ends, "START", 1)
    queue = Queue()
    one, two = Pipe()
    queue.put(two)
    two.close()
    assert not one.poll(0.3)
    again = queue.get()
    again.send("here")
    assert one.recv() == "here"
    again.close()
    one.close()
