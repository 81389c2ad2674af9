"""Processes that use one structure at full speed are killed at random moments, and replaced; nothing gives way.

``HOLDFAST_SOAK`` multiplies the two seconds that each structure gets. The seed of a run stands in its report.
"""

from __future__ import annotations

import os
import random
import threading
import time
import warnings

import pytest
from tests.chaos.scenes_sync import cell, numbers
from tests.core.tools import SOAK, Child, own_arena, until

from holdfast.core import _native, session
from holdfast.errors import AbandonedError, AbandonedWarning
from holdfast.sync.barrier import Barrier
from holdfast.sync.condition import Condition
from holdfast.sync.event import Event
from holdfast.sync.lock import Lock, RLock
from holdfast.sync.semaphore import BoundedSemaphore

SECONDS = 1.5 * SOAK
WORKERS = 3


@pytest.fixture
def arena():
    with own_arena() as made, warnings.catch_warnings():
        warnings.simplefilter("ignore", AbandonedWarning)
        yield made


@pytest.fixture
def massacre(record_property):
    """Keep WORKERS processes at ``work(number)``, killing one every few milliseconds; number is new for each.

    In the end the living are told by ``stop[0] = 1`` and must end by themselves. Returns how many were started and
    who was killed.
    """
    seed = random.randrange(1 << 32)
    record_property("seed", seed)
    chance = random.Random(seed)

    def run(work, stop, alongside=lambda: None, buried=lambda _: None):
        count, killed, workers = 0, [], {}
        deadline = time.monotonic() + SECONDS
        try:
            while time.monotonic() < deadline:
                while len(workers) < WORKERS:
                    workers[count] = Child(work, count)
                    count += 1
                time.sleep(chance.uniform(0, 0.02))
                number = chance.choice(list(workers))
                victim = workers.pop(number)
                if victim.ended():
                    victim.result()  # raises what it raised
                victim.kill()
                victim.__exit__()
                killed.append(number)
                buried(number)
                alongside()
            stop[0] = 1
            until(lambda: (alongside(), all(one.ended() for one in workers.values()))[1], f"seed {seed}: all end")
            for worker in workers.values():
                worker.result()
        finally:
            for worker in workers.values():
                worker.__exit__()
        record_property("killed", len(killed))
        assert len(killed) > 10
        return count, killed

    return run


@pytest.mark.parametrize("make", [Lock, RLock, lambda: Lock(abandoned="raise")], ids=["Lock", "RLock", "strict"])
def test_locks(make, arena, massacre):
    """Never two inside; whoever finds somebody's traces inside was told of a death."""
    lock, stop, inside, steps = make(), numbers(1), numbers(1), cell()

    def work(_):
        deaths = []
        warnings.simplefilter("always", AbandonedWarning)
        warnings.showwarning = lambda *args: deaths.append(args)
        while not stop[0]:
            try:
                lock.acquire()
            except AbandonedError as error:
                deaths.append(error)
                try:
                    lock.recover()
                except RuntimeError:  # another one was first
                    deaths.clear()
                    continue
            assert inside[0] == 0 or deaths, f"{inside[0]} is inside"
            deaths.clear()
            inside[0] = os.getpid()
            steps.add(1)
            inside[0] = 0
            lock.release()

    massacre(work, stop)
    if lock.broken():
        lock.recover()
    else:
        assert lock.acquire(timeout=20)
    assert steps.get() > 100


def test_semaphore(arena, massacre):
    """Never more inside than permits, and in the end all permits are there."""
    semaphore, stop, held = BoundedSemaphore(2), numbers(1), numbers(1 << 12)
    inside, lost = cell(), cell()  # the dead stay counted as inside; so many are lost

    def work(number):
        while not stop[0]:
            with semaphore:
                held[number] = 1
                assert inside.add(1) <= 2 + lost.get() + 1, "too many inside"  # one may have died and not be noted yet
                inside.add(-1)
                held[number] = 0

    massacre(work, stop, buried=lambda number: lost.add(held[number]))
    for _ in range(2):
        assert semaphore.acquire(timeout=20)
    assert not semaphore.acquire(blocking=False)
    semaphore.release(2)
    assert (semaphore.get_value(), semaphore.holders()) == (2, [])


def test_event(arena, massacre):
    """Raised and lowered by many; a sleeper always wakes at the next raise."""
    event, stop, woken = Event(), numbers(1), cell()

    def work(number):
        while not stop[0]:
            if number % 2:
                event.wait()
                woken.add(1)
            else:
                event.set()
                event.clear()

    # The last ones must not sleep for ever because the last raiser is gone.
    massacre(work, stop, alongside=event.set)
    assert woken.get() > 10


def test_condition(arena, massacre):
    """Whoever is killed, the living are told: each item that is fed is eaten while anybody lives to eat."""
    condition, stop, plain = Condition(), numbers(1), numbers(2)  # items, eaten

    def work(_):
        while True:
            with condition:
                condition.wait_for(lambda: plain[0] or stop[0])
                if not plain[0]:
                    return
                plain[0] -= 1
                plain[1] += 1

    fed = []

    def feed():
        with condition:
            if not stop[0]:
                plain[0] += 3
                fed.append(3)
            condition.notify_all() if stop[0] else condition.notify(3)

    massacre(work, stop, alongside=feed)
    with condition:
        left = plain[0] + plain[1] - sum(fed)
        assert abs(left) <= len(fed)  # one killed between the two lines that eat
    assert plain[1] > 10
    until(lambda: (feed(), len(condition._waiters) == 0)[1], "nobody left on the list")


def test_barrier(arena, massacre):
    """Nobody waits for the dead: the barrier breaks, somebody resets it, and the living meet again."""
    barrier, stop, met = Barrier(2), numbers(1), cell()

    def work(_):
        while not stop[0]:
            try:
                barrier.wait()
                met.add(1)
            except threading.BrokenBarrierError:
                barrier.reset()

    def help_the_last():
        if stop[0]:
            barrier.abort()

    massacre(work, stop, alongside=help_the_last)
    assert met.get() > 10
    barrier.reset()
    with Child(barrier.wait) as other:
        assert sorted([barrier.wait(), other.result()]) == [0, 1]


def test_cell(arena, massacre):
    """The sum is what came back to the adders, and at most one more for each that was killed."""
    number, stop, returned = cell(), numbers(1), numbers(1 << 12)

    def work(who):
        while not stop[0]:
            number.add(1)
            returned[who] += 1

    _, killed = massacre(work, stop)
    total = sum(returned)
    assert total <= number.get() <= total + len(killed)


def test_ring_producers(arena, massacre):
    """Every record whose put returned arrives once, and in its producer's order."""
    ring, stop, returned = _native.Ring(session.current(), None, 1024), numbers(1), numbers(1 << 12)
    got, errors = {}, []

    def work(who):
        i = 0
        while not stop[0]:
            ring.put(who << 32 | i, bytes([i % 256]) * (i % 50))
            i += 1
            returned[who] = i

    def collect():
        while True:
            try:
                tag, data = ring.get()
            except EOFError:
                return
            who, i = tag >> 32, tag & 0xFFFFFFFF
            if i != got.get(who, 0) or data != bytes([i % 256]) * (i % 50):
                errors.append((who, i, got.get(who, 0), data))
            got[who] = i + 1

    collector = threading.Thread(target=collect, daemon=True)
    collector.start()
    count, _ = massacre(work, stop)
    ring.close()
    collector.join(20)
    assert not collector.is_alive()
    assert errors == []
    for who in range(count):
        assert returned[who] <= got.get(who, 0) <= returned[who] + 1


def test_ring_consumers(arena, massacre):
    """Records are lost only with a consumer that was killed, one each at most; the others see them in order."""
    ring, stop, log = _native.Ring(session.current(), None, 1024), numbers(1), numbers(1 << 20)
    end, taken = threading.Event(), cell()

    def feed():
        i = 0
        while not end.is_set():
            i += ring.put(i, b"x" * (i % 50), 0.05)
        ring.close()
        log[0] = i

    def work(_):
        last = -1
        while True:
            try:
                got = ring.get(0.05)
            except EOFError:
                return
            if got:
                assert got == (got[0], b"x" * (got[0] % 50))
                assert got[0] > last
                last = got[0]
                log[last + 1] = 1
                taken.add(1)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    _, killed = massacre(work, stop, alongside=lambda: end.set() if stop[0] or taken.get() > 900_000 else None)
    feeder.join(20)
    sent = log[0]
    missing = sent - sum(log[1 : sent + 1])
    assert 0 <= missing <= len(killed)


def test_arena(arena, massacre):
    """Making, dropping, naming: in the end nothing is left but what the living hold."""
    stop = numbers(1)
    before = arena.stats()["blocks"]

    def work(number):
        chance = random.Random(number)
        mine = []
        while not stop[0]:
            block = _native.Block(arena, None, chance.choice([10, 500, 5000, 70_000, 200_000]))
            block.fill(bytes([number % 256]) * len(block))
            mine.append(block)
            mine.append(_native.Cell(arena, (b"name %d" % chance.randrange(20), 0)))
            if len(mine) > 20:
                for one in mine[::2]:
                    assert bytes(one) == bytes([number % 256]) * len(one), "two blocks overlap"
                mine.clear()

    massacre(work, stop)

    def swept():
        _native.Cell(arena, None)
        arena.sweep()
        return arena.stats()["blocks"] == before

    until(swept, f"{before} blocks")
    for i in range(20):
        with pytest.raises(FileNotFoundError):
            _native.Cell(arena, (b"name %d" % i, 2))
