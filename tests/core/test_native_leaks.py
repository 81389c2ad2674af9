"""No function of the compiled core leaks: neither Python references, nor memory, nor blocks of the arena.

Each is called some thousand times, with its errors, in an interpreter of its own; the memory of the process must not
grow with the calls.
"""

from __future__ import annotations

import inspect

import pytest

from holdfast.core import _native

PRELUDE = """
    import gc, os, sys
    from holdfast.core import _native, session
    from holdfast.core._native import *
    arena = _native.Session(os.memfd_create("arena"), 512 << 20, 0, "leaks")
    lock, rlock, semaphore = Lock(arena, None), RLock(arena, None), Semaphore(arena, None, 3, True)
    event, waiters, gate, cell = Event(arena, None), Waiters(arena, None), Gate(arena, None, 2), Cell(arena, None)
    from holdfast.channels import codec
    import functools, pickle, queue as standard
    large, sealed = bytes(100_000), (n for n in "")
    ways = (pickle.loads, pickle.dumps, lambda item, data=None, buffers=None: codec.pack(arena, item, data, buffers),
            codec.unpack, Block, standard.Empty, standard.Full, BrokenPipeError, EOFError)
    queue = _native.Queue(arena, None, ways)
    real, block, ring = Cell(arena, None, "d", 1.5), Block(arena, None, 1000), Ring(arena, None, 4096)
    huge, text, data = 1 << 70, "x" * 50, b"d" * 100

    def fails(call, *args, **kwargs):
        try:
            call(*args, **kwargs)
        except Exception:
            return
        raise AssertionError("no error")
"""

# For each type, statements that use its methods in every way, right and wrong.
USES = {
    "Session": """
        arena.member, arena.size, arena.uid, arena.fd, arena.joined(), arena.adopt(), arena.members(), arena.stats()
        arena.describe(arena.member), arena.describe(77), arena.alive(arena.member), arena.alive(77), arena.sweep()
        fails(arena.describe, huge), fails(arena.alive, text), fails(Session, -1, 0, 0, "x"), fails(Session, text)
        arena.trim(), arena.kept(), arena.held(event.offset, event.uid), arena.held(5, huge >> 8, True)
        fails(arena.held, text)
        if i % 50 == 0:
            other = Session(os.memfd_create("other"), 1 << 20, 0, text)
            other.member, other.leave(), other.leave()
            fails(Session, os.memfd_create("empty"), 0, 0, "x")
    """,
    "Handle": """
        event.session, event.offset, event.uid, event.created, event.name, event.sent(), event.received()
        event._pending(), event.sent(), event._settled()
        named = Event(arena, (b"some name", 0)); named.name; named.unlink(); named.unlink()
        other = Event(arena, (event.offset, event.uid))
        fails(Event, arena, (event.offset, huge)), fails(Event, arena, (event.offset, 1 << 50)), fails(Event, arena, 5)
        fails(Event, arena, (b"", 0)), fails(Event, arena, (b"x" * (_native.MAX_NAME + 1), 0))
        fails(Event, arena, (b"none", 2))
        fails(Event, arena, (b"x", text)), fails(Event, text, None), fails(Handle), fails(Event)
        kept = Event(arena, (b"other name", 1)); fails(Event, arena, (b"other name", 1)); del kept
    """,
    "Queue": """
        items = [1, text, data, None, (1, text, 2.5), {"a": [data]}, huge, [1, 2]]
        [queue.put(item) for item in items]; [queue.get() for item in items]; queue.put_many(items)
        queue.get_many(3), queue.get_many(3, 0), queue.get_many(), queue.task_done(), queue.unfinished()
        queue.put_nowait(1), queue.get_nowait(), fails(queue.get_nowait), fails(queue.get, False)
        fails(queue.get, True, 0)
        fails(queue.put, sealed), fails(queue.put), fails(queue.put, 1, wrong=1), fails(queue.put_many, [1, sealed])
        fails(queue.put, 1, True, -1), fails(queue.get, True, text), fails(queue.get_many, -1), queue.get_many()
        fails(queue.put_many, 5), fails(Queue, arena, None, ()), fails(Queue, arena, None, ways[1:]), fails(Queue)
        queue.qsize(), queue.empty(), queue.full(), queue.nbytes(), queue._config(), queue._dead(), queue._deliveries()
        queue._set_maxsize(0), queue._join_step(0), queue._shut_state(), queue._retired(), queue._is_local()
        queue._nudge(), queue._has_peer(), queue._bell_wanted(), queue._hush(), queue._set_ways(ways)
        queue._wait_item(0)
        queue._watch(event.offset, event.uid), queue._has_peer(), queue._watch(0, 0), fails(queue._want_bell)
        queue._new_bell(), queue._forsake(), fails(queue._get_dead, False)
        full = Queue(arena, None, ways, 0, 1); full.put(1); fails(full.put, 2, False); full._shut(1); fails(full.put, 1)
        full.get(), fails(full.get), full._retire(), fails(full.get), fails(full.put_many, [1]), fails(full.empty)
        keyed = Queue(arena, None, ways, 2); keyed._put_keyed(b"b", text); keyed._put_keyed(b"a", [data]); keyed.get()
        keyed.put_many([]), fails(keyed._put_keyed, 1, 2), keyed._shut(2)
        again = Queue(arena, None, ways, 0, 0, 1 << 20, 1, 1); again.put(text), again.get(), again._deliveries()
        again.task_done(), fails(again.task_done), again._dead()
        local = Queue(None, None, ways); local.put(text), local.put_many(items), local.get(), local.get_many(2)
        local.task_done(), local._join_step(0), local._set_maxsize(3), fails(local.put, 1, False), local._shut(2)
        if i % 50 == 0:
            queue.put(large), queue.get(), queue.put([large]), queue.get()
    """,
    "Lock": """
        lock.acquire(); lock.holder(); lock.acquire(False); lock.acquire(True, 0); lock.acquire(timeout=0.0)
        lock.locked(), lock.waiters(), lock.strict(), lock.broken(), lock._is_owned(), fails(lock.recover)
        lock.release(); fails(lock.release), fails(lock.acquire, False, 1), fails(lock.acquire, 1, -2)
        fails(lock.acquire, 1, huge), fails(lock.acquire, 1, text), fails(lock.acquire, wrong=1), lock.holder()
        fails(lock.acquire, 1, 2, 3), fails(lock._acquire_restore, text), lock._acquire_restore(1), lock.release()
        fails(lock.__exit__)
        with lock:
            pass
        Lock(arena, None, True), fails(Lock, arena, None, 1, 2)
    """,
    "RLock": """
        rlock.acquire(), rlock.acquire(True, 1), rlock.acquire(False), rlock._recursion_count(), rlock._is_owned()
        state = rlock._release_save(); fails(rlock._release_save); rlock._acquire_restore(state)
        rlock.release(), rlock.release(), rlock.release(), fails(rlock.release), rlock.holder()
        fails(rlock.acquire, True, -3), fails(rlock.acquire, True, text), RLock(arena, None), fails(rlock.__exit__)
        with rlock:
            pass
    """,
    "Semaphore": """
        semaphore.acquire(), semaphore.acquire(False), semaphore.acquire(timeout=1), semaphore.acquire(True, 0)
        semaphore.holders(), semaphore.get_value(), semaphore.initial(), semaphore.bounded(), semaphore.release(2)
        semaphore.release(n=1), fails(semaphore.release), fails(semaphore.release, 0), fails(semaphore.release, text)
        fails(semaphore.release, m=1), fails(semaphore.acquire, False, 1), fails(semaphore.acquire, True, text)
        fails(Semaphore, arena, None, -1), fails(Semaphore, arena, None, huge), Semaphore(arena, None, 5, True)
        with semaphore:
            pass
    """,
    "Event": """
        event.is_set(), event.wait(0), event.set(), event.wait(), event.wait(timeout=5), event.clear()
        fails(event.wait, text), fails(event.wait, float("nan")), fails(event.wait, wrong=1), Event(arena, None)
    """,
    "Waiters": """
        ticket = waiters.enter(); len(waiters); waiters.wait(ticket, 0); waiters.notify(1); waiters.wait(ticket)
        waiters.leave(ticket), waiters.notify(5), waiters.notify(-1), fails(waiters.notify, text)
        other = [waiters.enter() for _ in range(8)]; [waiters.leave(one, True) for one in other]
        fails(waiters.wait, text), fails(waiters.wait), fails(waiters.leave, text), fails(waiters.leave)
        fails(waiters.wait, ticket, text), Waiters(arena, None), fails(Waiters, arena)
    """,
    "Gate": """
        index, round_ = gate.arrive(); gate.wait(round_, 0); gate.n_waiting, gate.parties, gate.broken, gate.casualty
        gate.arrive(), gate.arrive(), gate.open(round_), gate.wait(round_), gate.open(round_ + 5)
        gate._abort_round(round_ + 5), gate.abort(), gate.arrive(), gate.reset(), fails(gate.open, text)
        fails(gate._abort_round, text), fails(gate.wait, text), fails(gate.wait, 1, text)
        fails(Gate, arena, None, 0), fails(Gate, arena, None, text), Gate(arena, None, 3)
    """,
    "Cell": """
        cell.get(), cell.set(5), cell.add(10 ** 12), cell.exchange(10 ** 12), cell.compare_exchange(5, 6), cell.max(9)
        cell.min(10 ** 13), cell.code, cell.value, memoryview(cell)[0], real.add(0.5), real.max(3), real.min(1)
        cell.value = 7
        cell += 1; cell -= 1; cell &= 3; cell |= 4; cell ^= 1
        real += 0.5; real -= 0.5
        real.set(1.0), fails(cell.set, huge), fails(cell.set, text), fails(cell.add, huge), fails(cell.add, text)
        fails(cell.add, (1 << 63) - 1), fails(cell.exchange, huge), fails(cell.compare_exchange, 1)
        fails(cell.compare_exchange, 1, huge), fails(cell.max, text), fails(cell.min, text), fails(real.set, text)
        fails(setattr, cell, "value", text), fails(delattr, cell, "value"), fails(cell.__isub__, text)
        fails(real.__iand__, 1), fails(Cell, arena, None, "x"), fails(Cell, arena, None, "b", 200)
        fails(Cell, arena, None, "q", text), Cell(arena, None, "?", True).get()
        Cell(arena, None, "Q", (1 << 64) - 1).get()
        cell.set(0)
    """,
    "Block": """
        len(block), memoryview(block)[5], block.fill(data), block.fill(data, 900), fails(block.fill, data, 901)
        fails(block.fill, text), fails(block.fill, data, -1), fails(block.fill), fails(Block, arena, None, -1)
        fails(Block, arena, None, 1 << 60), Block(arena, None, 200_000, False), Block(arena, None, 0), bytes(block)
        if i % 50 == 0:
            block_large = Block(arena, None, 5_000_000, False); block_large.fill(bytes(100_000))
    """,
    "Ring": """
        ring.put(1 << 60, data), ring.put(1 << 60, data, 0), ring.get(), ring.get(0), ring.get(0), len(ring)
        ring.capacity, ring.used, ring.closed(), fails(ring.put, 1, text), fails(ring.put, text, data)
        fails(ring.put, 1)
        fails(ring.put, 1, bytes(5000)), fails(ring.get, text), fails(ring.get, 1, 2), fails(ring.put, -1, data)
        other = Ring(arena, None, 64); other.put(1, data[:40]), other.put(1, data[:40], 0)
        fails(other.put, 1, data, text)
        fails(other.put, 1, data[:40], text)
        other.close(), fails(other.put, 1, data[:1]), other.get(), fails(other.get), fails(Ring, arena, None, 5)
        fails(Ring, arena, None, 1 << 60)
    """,
    "functions": """
        kill_points(), kill_at(None), kill_at("sweep_half", 1 << 30), kill_at(None), fails(kill_at, "nowhere")
        fails(kill_at, 5), undo_sent(), process_start(os.getpid()), process_start(0), fails(process_start, text)
        fails(process_start, huge)
    """,
}

MEASURE = """
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def measure():
        gc.collect()
        return resident(), arena.stats()["blocks"], sys.getrefcount(huge), sys.getrefcount(text), sys.getrefcount(data)

    ROUNDS = int(sys.argv[1])
    use(ROUNDS)
    before = measure()
    use(ROUNDS)
    use(ROUNDS)
    after = measure()
    growth = (after[0] - before[0]) / (2 * ROUNDS)
    assert growth < 8, f"{growth:.1f} bytes a round"
    assert after[1:] == before[1:], (before, after)
    print("good", 3 * ROUNDS)
"""


def dedented(text: str) -> str:
    return inspect.cleandoc("\n" + text)


@pytest.mark.parametrize("kind", USES)
def test_leak(kind, run_python):
    """After a first stretch of calls, twice as many more take no memory, no reference and no block."""
    body = dedented(USES[kind]).replace("\n", "\n        ")
    names = "cell, real" if kind == "Cell" else "arena"
    use = f"def use(rounds):\n    global {names}\n    for i in range(rounds):\n        {body}"
    program = "\n".join([dedented(PRELUDE), use, dedented(MEASURE)])
    done = run_python(program, 3500, timeout=60)
    assert done.stdout == "good 10500\n", done.stderr


def test_every_type_is_here():
    """A type that is added to the core gets a leak test."""
    types = {name for name, value in vars(_native).items() if isinstance(value, type)}
    assert types | {"functions"} == set(USES)


@pytest.mark.parametrize("kind", sorted(set(USES) - {"functions"}))
def test_every_method_is_here(kind):
    """Each of their methods and attributes is used above."""
    used = USES[kind] + USES.get({"RLock": "Lock"}.get(kind, ""), "")
    names = [name for name in vars(getattr(_native, kind)) if not name.startswith("__")]
    assert [name for name in names if name not in used] == []
