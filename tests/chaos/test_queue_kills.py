"""Producers and consumers of one queue are killed, one after the other: no item is lost, comes twice or is corrupt.

Half of the victims are killed at a random moment, the others die at a random step inside of a call. Each producer
notes in memory of the test's own how many of its puts have returned, each consumer what it got, so that in the end
only what was in flight at a death is in doubt. One producer and one consumer survive it all and take the time of
every call. The seed of a run, its kills and the longest wait stand in its report; ``HOLDFAST_SOAK`` multiplies the
kills.
"""

from __future__ import annotations

import mmap
import random
import time
import warnings
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from tests.chaos import goods
from tests.core.tools import SOAK, WATCHDOG, Child, own_arena, until

from holdfast import LifoQueue, PriorityQueue, Queue, ShutDown
from holdfast.core import _native
from holdfast.errors import AbandonedWarning

KILLS = 15 if SOAK <= 1 else int(50 * SOAK)  # of each kind of queue; make soak: 1,000
PEOPLE = 12 * KILLS + 100  # producers one after the other, those that were not killed included
MOST = 2000  # items that one producer puts
VICTIMS = ["producer", "producer", "consumer", "consumer"]  # at any moment
STEPS = {  # kill points that each comes by
    "producer": ["fifo_written", "fifo_committed", "fifo_put", "fifo_ready", "fifo_linked", "shelf_filled",
                 "shelf_queued", "mutex_taken", "mutex_released", "alloc_popped", "alloc_run", "ref_dropped"],
    "consumer": ["fifo_copied", "fifo_taken", "fifo_given", "fifo_advanced", "shelf_taken", "shelf_freed", "shelf_back",
                 "queue_done", "mutex_taken", "mutex_released", "free_unkinded", "free_run", "ref_dropped"],
}  # fmt: skip
PATIENCE = 0.2  # seconds that a victim gets to come to its step


class Kind(NamedTuple):
    """A queue, and what goes through it."""

    make: object
    goods: object = goods.mixed
    batch: int = 1
    most: int = MOST
    ordered: bool = True
    redelivers: bool = False
    store: str = "fifo_"


KINDS = {
    "fifo": Kind(Queue),
    "fifo, small": Kind(Queue, goods.small),
    "fifo, large": Kind(lambda: Queue(max_bytes=8 << 20), goods.large, most=60),
    "fifo, arrays": Kind(lambda: Queue(max_bytes=8 << 20), goods.array, most=60),
    "fifo, bounded": Kind(lambda: Queue(maxsize=3)),
    "fifo, many": Kind(Queue, goods.small, batch=20),
    "fifo, many, mixed": Kind(lambda: Queue(max_bytes=1 << 20), batch=20),
    "lifo": Kind(lambda: LifoQueue(maxsize=500), ordered=False, store="shelf_"),
    "priority": Kind(lambda: PriorityQueue(maxsize=500), goods.small, store="shelf_"),
    "redeliver": Kind(
        lambda: Queue(redeliver=True, maxsize=500), ordered=False, redelivers=True, store="shelf_"
    ),
    "redeliver, arrays": Kind(
        lambda: Queue(redeliver=True, max_bytes=8 << 20), goods.array, 1, 60, False, True, "shelf_"
    ),
}  # fmt: skip


class Books:
    """Who put what and who got what, in memory that all share and no death disturbs."""

    def __init__(self) -> None:
        self.returned = memoryview(mmap.mmap(-1, 8 * PEOPLE)).cast("q")  # per producer: puts that came back
        self.got = mmap.mmap(-1, PEOPLE * MOST)  # per item: how often it came
        self.times = memoryview(mmap.mmap(-1, 16)).cast("d")  # the survivors' longest put and get
        self.stop = mmap.mmap(-1, 1)

    def lost(self, batch: int, twice: bool) -> int:
        """How many items that were put did not come; fails if one came that should not have."""
        lost = 0
        for who in range(PEOPLE):
            row, sure = self.got[who * MOST : (who + 1) * MOST], self.returned[who]
            assert twice or max(row) <= 1, f"an item of producer {who} came twice"
            lost += row[:sure].count(0)
            in_flight = row[sure:].rstrip(b"\0")
            assert len(in_flight) <= batch, f"producer {who} put more than it tried"
        return lost


def produce(queue, kind, books, who, timed=False):
    def put(i):
        if kind.batch > 1:
            queue.put_many(kind.goods(who, n) for n in range(i, i + kind.batch))
        else:
            queue.put(kind.goods(who, i))

    for i in range(0, kind.most, kind.batch):
        if books.stop[0]:
            return
        began = time.monotonic()
        put(i)
        if timed:
            books.times[0] = max(books.times[0], time.monotonic() - began)
            time.sleep(0.001)  # so that the others' are most
        books.returned[who] = i + kind.batch


def produce_on(queue, kind, books):
    """The producer that survives: under one number after the other, from the last one down."""
    who = PEOPLE
    while not books.stop[0]:
        who -= 1
        produce(queue, kind, books, who, timed=True)


def consume(queue, kind, books, who=0):
    last = {}
    while True:
        began = time.monotonic()
        try:
            items = queue.get_many(kind.batch) if kind.batch > 1 else [queue.get()]
        except ShutDown:
            return
        if who == 0:  # the one that survives
            books.times[1] = max(books.times[1], time.monotonic() - began)
        for item in items:
            producer, i = goods.read(item)
            assert not kind.ordered or last.get(producer, -1) < i, f"{i} of producer {producer} after {last[producer]}"
            last[producer] = i
            books.got[producer * MOST + i] += 1
            queue.task_done()


class Victim(NamedTuple):
    role: str
    child: Child
    due: float  # when it may be killed from outside


class Massacre:
    """Victims of one queue, killed and replaced."""

    def __init__(self, queue, kind, books, chance):
        self.queue, self.kind, self.books, self.chance = queue, kind, books, chance
        other = "shelf_" if kind.store == "fifo_" else "fifo_"
        self.steps = {role: [step for step in steps if not step.startswith(other)] for role, steps in STEPS.items()}
        self.count = {"producer": 0, "consumer": 1}  # so far; consumer 0 survives
        self.killed = {"producer": 0, "consumer": 0}
        self.inside = 0  # of those, at a step inside of a call
        self.living = [self.start(role) for role in VICTIMS]

    def start(self, role):
        number = self.count[role]
        self.count[role] += 1
        if self.chance.random() < 0.5:
            return Victim(role, Child(self.live, role, number, (None,)), 0)
        armed = (self.chance.choice(self.steps[role]), self.chance.randrange(60))
        return Victim(role, Child(self.live, role, number, armed), time.monotonic() + PATIENCE)

    def live(self, role, number, armed):
        _native.kill_at(*armed)
        (produce if role == "producer" else consume)(self.queue, self.kind, self.books, number)

    def replace_the_dead(self, inside=False):
        for place, (role, child, _) in enumerate(self.living):
            if not child.ended():
                continue
            if child.wait() < 0:
                self.killed[role] += 1
                self.inside += inside
            else:
                child.result()  # raises what it raised
            child.__exit__()
            self.living[place] = self.start(role)

    def go_on(self, kills):
        while sum(self.killed.values()) < kills:
            time.sleep(self.chance.uniform(0, 0.02))
            self.replace_the_dead(inside=True)
            victim = self.chance.choice(self.living)
            if victim.due < time.monotonic():
                victim.child.kill()
                self.replace_the_dead()

    def end(self):
        while self.living:
            role, child, _ = self.living.pop()
            child.kill()
            self.killed[role] += child.wait() < 0
            child.__exit__()


@pytest.mark.timeout(120 * max(1, SOAK))
@pytest.mark.parametrize("name", KINDS)
def test_kills(name, record_property):
    """What was put is received, once, whole and in order, but for what a killed consumer was just taking."""
    kind, books, seed = KINDS[name], Books(), random.randrange(1 << 32)
    print(f"seed {seed}")
    with warnings.catch_warnings(), own_arena() as arena, ExitStack() as stack:
        warnings.simplefilter("ignore", AbandonedWarning)
        before = arena.stats()["blocks"]
        queue = kind.make()
        survivors = [stack.enter_context(Child(work, queue, kind, books)) for work in (produce_on, consume)]
        massacre = Massacre(queue, kind, books, random.Random(seed))
        stack.callback(massacre.end)
        massacre.go_on(KILLS)
        books.stop[0] = 1
        massacre.end()
        survivors[0].result()
        drain(queue, survivors[1])
        queue.join(WATCHDOG)
        lost = books.lost(kind.batch, kind.redelivers)
        figures = {"seed": seed, "items": sum(books.returned), "lost": lost, "killed": massacre.killed}
        figures |= {"inside": massacre.inside, "longest put and get, ms": [round(1000 * t, 1) for t in books.times]}
        print(figures)
        for label, value in figures.items():
            record_property(label, value)
        assert lost <= (0 if kind.redelivers else massacre.killed["consumer"] * kind.batch)
        assert (queue.qsize(), queue.nbytes(), queue.unfinished()) == (0, 0, 0)
        assert max(books.times) < WATCHDOG
        del queue, massacre
        stack.close()
        until(lambda: swept(arena) <= before, f"no more than {before} blocks")


def drain(queue, survivor):
    """Nobody puts any more: what is there goes to the last consumer."""
    queue.shutdown()
    survivor.result()


def swept(arena):
    _native.Cell(arena, None)  # what this process dropped shortly after a fork is freed at its next call
    arena.sweep()
    return arena.stats()["blocks"]
