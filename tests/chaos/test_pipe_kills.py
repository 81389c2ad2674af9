"""The processes at one end of a pipe are killed: the other end gets what was sent, and then the end."""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import select
import signal
import time

import pytest
from tests.chaos import goods
from tests.core.tools import SOAK, WATCHDOG, Child, until

from holdfast import Pipe
from holdfast.channels import pipe_ends
from holdfast.core import _native, session

SENDING = ["fifo_ready", "fifo_linked", "fifo_written", "fifo_committed", "fifo_put", "mutex_taken", "mutex_released"]
RECEIVING = ["fifo_copied", "fifo_taken", "fifo_given", "fifo_advanced", "mutex_taken", "mutex_released"]
SENDERS = 3


@pytest.fixture(autouse=True, scope="module")
def no_block_left():
    """Pipes lie in this process's own session: it has no more blocks in the end than before."""
    arena = session.current()
    until(lambda: swept(arena) == swept(arena), "a first count")
    before = swept(arena)
    yield
    until(lambda: swept(arena) <= before, f"no more than {before} blocks")


@pytest.fixture(autouse=True)
def no_file_left():
    """The file of an end whose holders were killed goes when pipes are made later: as soon as they count as dead."""
    yield
    arena = session.current()

    def cleared():
        pipe_ends._clear_up(arena, 0)
        return not any(name.startswith("end-") for name in os.listdir(session.directory(arena)))

    until(cleared, "the files of all ends removed")


def swept(arena):
    _native.Cell(arena, None)  # what this process dropped shortly after a fork is freed at its next call
    arena.sweep()
    return arena.stats()["blocks"]


class Notes:
    """What senders have sent, and a receiver got, in memory of the test's own."""

    def __init__(self):
        self.sent = memoryview(mmap.mmap(-1, 8 * SENDERS)).cast("q")
        self.got = memoryview(mmap.mmap(-1, 8)).cast("q")


def send(ours, theirs, notes, who, armed=(None,)):
    theirs.close()
    _native.kill_at(*armed)
    for i in range(1 << 30):
        ours.send(goods.mixed(who, i))
        notes.sent[who] = i + 1


def receive(ours, theirs, notes, armed):
    theirs.close()
    _native.kill_at(*armed)
    while True:
        assert goods.read(ours.recv()) == (0, notes.got[0])
        notes.got[0] += 1


def receive_all(connection, notes):
    """Everything until the end, in order and whole; at most one message of each came whose send had not returned."""
    count = [0] * SENDERS
    with contextlib.suppress(EOFError):
        while True:
            who, i = goods.read(connection.recv())
            assert i == count[who]
            count[who] += 1
    for who in range(SENDERS):
        assert notes.sent[who] <= count[who] <= notes.sent[who] + 1


@pytest.mark.parametrize("skip", [0, 3])
@pytest.mark.parametrize("step", SENDING)
def test_the_only_sender_dies_at(step, skip, record_property):
    """All it had sent is received, then EOFError; and nothing can be sent to it."""
    notes, (here, there) = Notes(), Pipe()
    with here, Child(send, there, here, notes, 0, (step, skip)) as victim:
        there.close()
        assert victim.wait() == -signal.SIGKILL
        began = time.monotonic()
        receive_all(here, notes)
        with pytest.raises(BrokenPipeError):
            until(lambda: here.send(1), "a broken pipe")
        record_property("seconds after the death", round(time.monotonic() - began, 3))


@pytest.mark.parametrize("skip", [0, 3])
@pytest.mark.parametrize("step", RECEIVING)
def test_the_only_receiver_dies_at(step, skip):
    """Sending to it raises BrokenPipeError."""
    notes, (there, here) = Notes(), Pipe(duplex=False)
    with here, Child(receive, there, here, notes, (step, skip)) as victim:
        there.close()
        with pytest.raises(BrokenPipeError):
            for i in range(1 << 30):
                here.send(goods.mixed(0, i))
        assert victim.wait() == -signal.SIGKILL


@pytest.mark.parametrize("waits", ["recv", "poll", "select"])
def test_whoever_waits_learns_of_a_death(waits, record_property):
    """The last one at the other end is killed while this one sleeps: it wakes."""
    here, there = Pipe()

    def hold():
        here.close()
        time.sleep(WATCHDOG)

    def wait():
        there.close()
        if waits == "select":
            return bool(select.select([here], [], [], WATCHDOG)[0])
        if waits == "poll":
            return here.poll(WATCHDOG)
        with pytest.raises(EOFError):
            here.recv()
        return True

    with Child(hold) as victim, Child(wait) as waiter:
        here.close()
        there.close()
        until(lambda: waits != "recv" or waiter.asleep(), "asleep")
        time.sleep(0.05)
        assert not waiter.ended()
        victim.kill()
        began = time.monotonic()
        assert waiter.result() is True
        record_property("seconds after the death", round(time.monotonic() - began, 3))


def test_senders_are_killed_one_after_the_other():
    """The end is not before the last one's death; what each had sent arrives, in its order."""
    for _ in range(max(3, int(3 * SOAK))):
        seed = random.randrange(1 << 32)
        chance, notes, (here, there) = random.Random(seed), Notes(), Pipe()
        print(f"seed {seed}")
        with here, contextlib.ExitStack() as stack:
            armed = [(None,), (chance.choice(SENDING), chance.randrange(50)), (None,)]
            senders = [stack.enter_context(Child(send, there, here, notes, n, how)) for n, how in enumerate(armed)]
            there.close()
            receiver = stack.enter_context(Child(receive_all, here, notes))
            for sender in senders:
                time.sleep(chance.uniform(0, 0.03))
                assert not receiver.ended()
                sender.kill()
            receiver.result()
