"""The descriptor of a connection: readable when something can be received or nobody has the other end, else not."""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import selectors
import signal
from multiprocessing.connection import wait

import pytest
from tests.core.tools import WATCHDOG, Child, until
from tests.sync.programs import Worker

from holdfast import Pipe


@pytest.fixture
def pipe():
    """Two connected ends, closed after the test."""
    one, two = Pipe()
    yield one, two
    one.close()
    two.close()


def ready(connection, seconds=0.0):
    return bool(select.select([connection], [], [], seconds)[0])


def pause(*connections):
    """What a child does until it is killed, with the connections it has."""
    signal.pause()


@pytest.mark.parametrize(("send", "recv"), [("send", "recv"), ("send_bytes", "recv_bytes")])
@pytest.mark.parametrize("early", [True, False], ids=["asked before", "asked after"])
def test_readable_while_something_can_be_received(pipe, send, recv, early):
    """From the first message until the last one was received, whether it was asked for before or after."""
    one, two = pipe
    if early:
        assert not ready(two)
    for _ in range(2):
        getattr(one, send)(b"1")
        getattr(one, send)(b"2")
        assert ready(two)
        getattr(two, recv)()
        assert ready(two)
        getattr(two, recv)()
        assert not ready(two)
    assert not ready(one)


def test_one_descriptor_as_long_as_it_is_open(pipe):
    """It is the same at each call, as selectors need it."""
    one, two = pipe
    assert one.fileno() == one.fileno() != two.fileno()


def test_readable_when_the_other_end_is_closed(pipe):
    """Closing is an event; also for one that only asks afterwards, and for one that only sends."""
    one, two = pipe
    assert not ready(one)
    two.close()
    assert ready(one)
    with pytest.raises(EOFError):
        one.recv()
    assert ready(one)
    reader, writer = Pipe(duplex=False)
    assert not ready(writer)
    reader.close()
    assert ready(writer)
    reader, writer = Pipe(duplex=False)
    writer.close()
    assert ready(reader)


def test_select_sleeps_until_a_message_comes(pipe):
    """A sleeping select is woken by a send."""
    waiting = Worker(ready, pipe[0], WATCHDOG)
    until(pipe[0]._inbound._bell_wanted, "the descriptor is made")
    pipe[1].send(1)
    assert waiting.result()


def test_select_sleeps_until_the_holder_dies():
    """A sleeping select is woken by the death of the only process that has the other end; then poll and recv agree."""
    for _ in range(3):
        reader, writer = Pipe(duplex=False)
        assert not ready(reader)
        with Child(pause) as child:
            writer.close()
            assert not ready(reader)
            os.kill(child.pid, signal.SIGKILL)
            assert ready(reader, WATCHDOG)
            assert reader.poll()
            with pytest.raises(EOFError):
                reader.recv()
        reader.close()


def test_the_death_of_one_of_two_holders_is_no_event():
    """While somebody has the other end, nothing is to be seen."""
    reader, writer = Pipe(duplex=False)
    assert not ready(reader)
    with Child(pause) as child:
        child.kill()
    assert not ready(reader, 0.05)
    assert not reader.poll()
    writer.close()
    assert ready(reader, WATCHDOG)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pickle_on_its_way_is_no_event(peer_of, method):
    """An end that goes to another process stays open on the way: nothing is to be seen until that one sends."""
    peer = peer_of(method)
    here, there = Pipe()
    assert not ready(here)
    pickled = pickle.dumps(there)
    there.close()
    assert not ready(here, 0.05)
    peer.begin(hold_and_send, pickled)
    assert ready(here, WATCHDOG)
    assert here.recv() == "sent"
    assert not ready(here, 0.05)
    here.send("enough")
    peer.result()
    with pytest.raises(EOFError):
        here.recv()
    assert ready(here, WATCHDOG)


def hold_and_send(pickled):
    with pickle.loads(pickled) as connection:
        connection.send("sent")
        connection.recv()


def test_a_forked_child_has_a_descriptor_of_its_own(pipe):
    """Parent and child can both wait at the same end; each message is seen by one of them at least."""
    one, two = pipe
    assert not ready(two)
    with Child(wait_and_receive, two) as child:
        one.send("for the child")
        assert child.result() == "for the child"
    two.poll()  # whoever did not take the last message has to look
    assert not ready(two)
    one.send("for the parent")
    assert ready(two)
    assert two.recv() == "for the parent"


def wait_and_receive(connection):
    assert ready(connection, WATCHDOG)
    return connection.recv()


def test_wait_of_multiprocessing():
    """multiprocessing.connection.wait tells which of many connections have something."""
    pipes = [Pipe() for _ in range(10)]
    ours = [one for one, _ in pipes]
    assert wait(ours, 0) == []
    pipes[3][1].send(3)
    pipes[7][1].close()
    assert set(wait(ours)) == {ours[3], ours[7]}
    assert ours[3].recv() == 3
    assert wait(ours, 0) == [ours[7]]
    for one, two in pipes:
        one.close()
        two.close()


def test_selectors(pipe):
    """The default selector sees messages and the end."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe[0], selectors.EVENT_READ, "data")
        assert selector.select(0) == []
        pipe[1].send(1)
        assert [key.data for key, _ in selector.select(WATCHDOG)] == ["data"]
        assert pipe[0].recv() == 1
        assert selector.select(0) == []
        pipe[1].close()
        assert selector.select(WATCHDOG)


def test_asyncio(pipe):
    """A loop's reader is called for each message, and for the end."""

    async def receive():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        received = []

        def on_readable():
            try:
                while pipe[0].poll():
                    received.append(pipe[0].recv())
            except EOFError:
                loop.remove_reader(pipe[0].fileno())
                done.set_result(received)

        loop.add_reader(pipe[0].fileno(), on_readable)
        for i in range(100):
            pipe[1].send(i)
            if i % 10 == 0:
                await asyncio.sleep(0)
        pipe[1].close()
        return await asyncio.wait_for(done, WATCHDOG)

    assert asyncio.run(receive()) == list(range(100))
