"""Queue as an object: what travels how, words, closing, pickling, subclassing, collecting; fileno; SimpleQueue."""

from __future__ import annotations

import gc
import os
import pickle
import re
import select
import sys
import threading
import weakref

import pytest
from tests.channels import programs
from tests.core.tools import asleep, until
from tests.sync.programs import Worker

import holdfast
from holdfast import LifoQueue, NotPicklable, PriorityQueue, Queue, SimpleQueue

ALL = pytest.mark.parametrize("make", [Queue, LifoQueue, PriorityQueue])
EVERY = pytest.mark.parametrize("make", [Queue, LifoQueue, PriorityQueue, SimpleQueue])


# ----------------------------------------------------------------------------------------------------- what travels how


def test_local_passes_references():
    """The very object, whatever it is; also what no pickle takes."""
    q = Queue(local=True)
    items = [object(), threading.Lock(), (n for n in ()), lambda: 1, [], sys]
    q.put_many(items)
    assert all(one is other for one, other in zip(programs.drain(q), items, strict=True))


def test_shared_passes_copies():
    """Equal, and another object."""
    q, item = Queue(), [1, [2]]
    q.put(item)
    got = q.get()
    assert got == item
    assert got is not item


@ALL
def test_what_cannot_be_pickled(make):
    """A put raises NotPicklable, which is a TypeError and names the part; the queue is as it was."""
    q = make()
    kwargs = {"priority": 1} if make is PriorityQueue else {}
    q.put(1)
    with pytest.raises(NotPicklable, match=re.escape("item['rows'][1] is of type _thread.lock")) as caught:
        q.put({"rows": [1, threading.Lock()]}, **kwargs)
    assert isinstance(caught.value, TypeError)
    assert (q.qsize(), q.unfinished()) == (1, 1)
    assert q.get() == 1
    with pytest.raises(NotPicklable):
        q.put_nowait(programs.Unpicklable(), **kwargs)
    assert q.empty()


def test_what_pickle_refuses_and_cloudpickle_takes():
    """Lambdas and local functions arrive."""
    q = Queue()
    base = 40
    q.put(lambda n: base + n)
    assert q.get()(2) == 42


def test_what_cannot_be_unpickled():
    """A get raises what unpickling raised; that item is taken, and the others are unharmed."""
    q = Queue()
    q.put(1)
    q.put(programs.Bad("b"))
    q.put(2)
    assert q.get() == 1
    with pytest.raises(RuntimeError, match="does not like to be unpickled"):
        q.get()
    assert q.get() == 2
    assert q.empty()


def test_putting_while_pickling():
    """An item whose pickling uses the same queue does not hang: no lock is held meanwhile."""
    q = Queue()
    _Nested.queue = q
    q.put(_Nested())
    assert programs.drain(q) == ["from inside", "pickled"]


class _Nested:
    queue = None

    def __reduce__(self):
        self.queue.put("from inside")
        return str, ("pickled",)


def test_getting_while_unpickling():
    """An item whose unpickling uses the same queue neither hangs nor disturbs the order."""
    q = Queue()
    q.put(_Getting(q))
    q.put("second")
    assert q.get() == ["second"]


class _Getting:
    def __init__(self, q):
        self.q = q

    def __reduce__(self):
        return programs.get_n, (self.q, 1)


# ------------------------------------------------------------------------------------------------------ words, closing


@EVERY
def test_repr(make, local):
    """What it holds, of how many, what is unfinished, whether it is shut down or closed."""
    q = make(local=local)
    kind = make.__name__
    assert re.fullmatch(rf"<holdfast\.{kind} at 0x\w+: 0 queued, 0 unfinished>", repr(q))
    q.put(1)
    assert re.fullmatch(rf"<holdfast\.{kind} at 0x\w+: 1 queued, 1 unfinished>", repr(q))
    q.close()
    assert re.fullmatch(rf"<holdfast\.{kind} at 0x\w+: closed>", repr(q))


@ALL
def test_repr_with_limit_and_shutdown(make, local):
    """With maxsize and after shutdown."""
    q = make(5, local=local)
    q.put(1)
    q.shutdown()
    assert re.fullmatch(rf"<holdfast\.{make.__name__} at 0x\w+: 1/5 queued, 1 unfinished, shut down>", repr(q))


@EVERY
def test_closed(make, local):
    """After close() all that puts or takes is a ValueError that names the queue; close() again is nothing."""
    q = make(local=local)
    q.put(1)
    assert not q.closed
    q.close()
    q.close()
    assert q.closed
    for call in (
        *(lambda: q.put(2), lambda: q.put_nowait(2), lambda: q.put_many([2])),
        *(q.get, q.get_nowait, q.get_many),
    ):
        with pytest.raises(ValueError, match=f"{make.__name__} at 0x.* is closed"):
            call()


def test_closing_is_for_this_process_only(peer_of):
    """Others go on with it, and what was put before is there."""
    q, peer = Queue(), peer_of()
    q.put(1)
    peer.call(programs.keep, "q", q)
    q.close()
    assert peer.call(_take_kept) == 1


def _take_kept():
    return programs.kept("q").get(timeout=20)


@ALL
def test_with(make, local):
    """Leaving the block closes."""
    with make(local=local) as q:
        q.put(1)
        assert q.get() == 1
    assert q.closed


def test_calls_of_multiprocessing_queue():
    """join_thread and cancel_join_thread are there, and do nothing, before and after close."""
    q = Queue()
    q.put(1)
    q.cancel_join_thread()
    q.close()
    q.join_thread()


@ALL
def test_local_refuses_to_be_pickled(make):
    """A TypeError that says why."""
    q = make(local=True)
    with pytest.raises(TypeError, match="local=True passes references, which mean nothing in another process"):
        pickle.dumps(q)
    with pytest.raises(TypeError, match="local=True"):
        Queue().put([q])


@EVERY
def test_pickled_and_back(make):
    """In its own process a pickle is the same object; two pickles are short, however much is queued."""
    q = make()
    q.put(b"x" * 10_000)
    data = pickle.dumps(q)
    assert len(data) < 300
    assert pickle.loads(data) is q
    assert pickle.loads(pickle.dumps([q]))[0] is q


class _Mine(Queue):
    """A subclass with an attribute and a call of its own."""

    def __init__(self, maxsize=0, **options):
        self.note = "mine"

    def put_twice(self, item):
        self.put(item)
        self.put(item)


def test_subclasses(local):
    """Have their own attributes and calls, and their options."""
    q = _Mine(3, local=local)
    q.put_twice(7)
    assert (q.get(), q.get(), q.note, q.maxsize) == (7, 7, "mine", 3)
    assert "_Mine" in repr(q)


def test_subclass_elsewhere(peer_of, start_method):
    """A subclass arrives as such in other processes."""
    q, peer = _Mine(), peer_of(start_method)
    peer.call(_Mine.put_twice, q, 7)
    assert programs.drain(q) == [7, 7]


def test_generic():
    """Queue[int] is for annotations."""
    assert Queue[int].__origin__ is Queue
    assert repr(SimpleQueue[str]).endswith("SimpleQueue[str]")


def test_a_local_queue_in_itself_is_collected():
    """The garbage collector finds the cycle."""
    q = Queue(local=True)
    q.put([q])
    q.put(_Marker())
    gone = []
    weakref.finalize(q, gone.append, 1)
    del q
    gc.collect()
    assert gone == [1]


class _Marker:
    pass


def test_dropping_a_local_queue_drops_its_items():
    """References go with it; items may use the queue from their __del__."""
    q = Queue(local=True)
    marker = _Marker()
    gone = weakref.ref(marker)
    q.put(marker)
    del marker
    gc.collect()
    assert gone() is not None
    del q
    gc.collect()
    assert gone() is None


def test_a_thousand_queues_without_descriptors():
    """Each is a piece of shared memory, not a file or a pipe."""
    Queue()
    before = len(os.listdir("/proc/self/fd"))
    queues = [Queue() for _ in range(1000)]
    for n, q in enumerate(queues):
        q.put(n)
    assert len(os.listdir("/proc/self/fd")) == before
    assert [q.get() for q in queues] == list(range(1000))


# ---------------------------------------------------------------------------------------------------------- SimpleQueue


def test_simple_queue_takes_no_maxsize():
    """It has no limit to give."""
    with pytest.raises(TypeError):
        SimpleQueue(3)
    with pytest.raises(TypeError):
        SimpleQueue(maxsize=3)


def test_simple_queue_between_processes(peer_of, start_method):
    """It travels and works as the others do."""
    q, peer = SimpleQueue(), peer_of(start_method)
    peer.call(q.put, {"a": 1})
    assert q.get(timeout=20) == {"a": 1}


def test_fileno_is_readable_while_something_is_queued(local):
    """A selector sees when there is something to take; the descriptor stays the same, and goes with the queue."""

    def readable(timeout=0):
        return bool(select.select([fd], [], [], timeout)[0])

    q = Queue(local=local)
    fd = q.fileno()
    assert not readable()
    q.put(1)
    q.put(2)
    assert readable()
    q.get()
    assert readable()
    q.get()
    until(lambda: not readable(), "silence")
    assert q.fileno() == fd
    worker = Worker(readable, 20)
    q.put(3)
    assert worker.result()
    q.get()
    q.shutdown()
    assert readable(20)
    del q, worker
    gc.collect()
    with pytest.raises(OSError):
        os.fstat(fd)


def test_fileno_of_a_queue_that_holds_something(peer_of):
    """It is readable at once; what another process puts makes it readable, too."""
    q, peer = Queue(), peer_of()
    peer.call(q.put, 1)
    assert select.select([q], [], [], 20)[0] == [q]
    assert q.get() == 1
    until(lambda: not select.select([q], [], [], 0)[0], "silence")
    peer.call(q.put, 2)
    assert select.select([q], [], [], 20)[0] == [q]
    assert q.get() == 2


def test_the_module_names_it():
    """What users see in a traceback or a repr is holdfast's name."""
    assert {one.__module__ for one in (Queue, LifoQueue, PriorityQueue, SimpleQueue)} == {"holdfast"}
    assert holdfast.Queue is Queue


@pytest.mark.parametrize("local", [False, True])
def test_closing_in_another_thread_ends_a_wait(local):
    """A thread that is asleep in get() or put() is told when its process closes the queue."""
    q = Queue(1, local=local)
    getter = Worker(q.get)
    until(lambda: asleep(os.getpid(), getter.native_id), "the getter sleeps")
    q.close()
    with pytest.raises(ValueError, match="closed"):
        getter.result()


def test_a_pickle_that_goes_nowhere_keeps_nothing_alive(run_python):
    """What could not be put, and what plain pickle began before cloudpickle did it all, is not on its way."""
    # In a program of its own: for a second after a fork, freed blocks still count.
    done = run_python("""
        import gc, holdfast
        from holdfast.core import session

        queue, full = holdfast.Queue(), holdfast.Queue(1)
        full.put(1)
        count = session.current().stats
        before = count()["blocks"]
        for refused in ([lambda: 0], [(n for n in "")], []):
            for put in (full.put_nowait, lambda item: full.put_many([item], False)):
                lock, data = holdfast.Lock(), holdfast.share(b"x" * 1000)
                try:
                    put([lock, data, *refused])
                except (TypeError, holdfast.Full):
                    pass
                else:
                    raise AssertionError("put")
                del lock, data
        gc.collect()
        print(count()["blocks"] - before)
        lock = holdfast.Lock()
        queue.put([lock, lambda: 0])
        again, _ = queue.get()
        assert again is lock
        del lock, again
        print(count()["blocks"] - before)
    """)
    assert done.stdout == "0\n0\n", done.stderr
