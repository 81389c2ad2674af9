"""One queue in many processes: how it gets there, and what becomes of items when processes end or are killed."""

from __future__ import annotations

import os
import pickle
import signal
import threading

import pytest
from tests.channels import programs
from tests.core.tools import Child, Peer, until
from tests.sync.programs import Worker

from holdfast import LifoQueue, Lock, PriorityQueue, Queue, SimpleQueue

EVERY = pytest.mark.parametrize("make", [Queue, LifoQueue, PriorityQueue, SimpleQueue])
ENDS = pytest.mark.parametrize("how", ["kill", "exit"])


# ------------------------------------------------------------------------------------------------- how it gets anywhere


@EVERY
def test_as_an_argument(make, context):
    """A queue is an argument of a process of any start method, and works both ways."""
    q, back = make(), make()
    process = context.Process(target=_echo, args=(q, back))
    process.start()
    q.put(41)
    assert back.get(timeout=20) == 42
    process.join()
    process.close()


def _echo(q, back):
    back.put(q.get(timeout=20) + 1)


def test_as_an_item_of_a_queue(peer_of, start_method):
    """A queue travels through a queue: the way to answer whoever asks."""
    requests, peer = Queue(), peer_of(start_method)
    peer.begin(_answer_one, requests)
    answers = Queue()
    requests.put({"question": 6, "to": answers})
    assert answers.get(timeout=20) == 36
    peer.result()


def _answer_one(requests):
    request = requests.get(timeout=20)
    request["to"].put(request["question"] ** 2)


def test_a_queue_in_itself():
    """It may hold its own handle, and comes out as itself."""
    q = Queue()
    q.put(q)
    assert q.get() is q


def test_in_transit_when_the_sender_is_gone(peer_of):
    """A queue that is only in another queue, its maker killed, is there with all it holds."""
    outer = Queue()
    with Child(_send_a_full_queue, outer) as child:
        assert child.wait() == -signal.SIGKILL
    inner = outer.get(timeout=20)
    assert programs.drain(inner) == [1, "two", b"3" * 100_000]
    inner.put(4)
    assert inner.get() == 4


def _send_a_full_queue(outer):
    inner = Queue()
    inner.put_many([1, "two", b"3" * 100_000])
    programs.put_and_die(outer, [inner], "kill")


def test_other_handles_as_items(peer_of):
    """Locks and the like arrive as the same object, not as copies."""
    q, peer, lock = Queue(), peer_of(), Lock()
    q.put(("guard", lock))
    peer.call(_hold_what_comes, q)
    assert not lock.acquire(blocking=False)


def _hold_what_comes(q):
    _, lock = q.get(timeout=20)
    programs.keep("lock", lock)
    lock.acquire()


def test_unrelated_program_with_a_pickle(run_python):
    """A program that gets the pickle by other means puts, and its items are here."""
    q = Queue()
    code = (
        "import pickle, sys; q = pickle.loads(bytes.fromhex(sys.argv[1])); q.put_many([1, 'x', [2]]); print(q.qsize())"
    )
    done = run_python(code, pickle.dumps(q).hex())
    assert (done.stdout, done.stderr) == ("3\n", "")
    assert programs.drain(q) == [1, "x", [2]]


# ---------------------------------------------------------------------------------------------------------- flow, order


def test_there_and_back(peer_of, start_method):
    """Every kind of item arrives as it was, in the order of the puts."""
    q, peer = Queue(), peer_of(start_method)
    items = [None, True, 1, -(2**70), 1.5, "ß", b"\0", (1, ("a",)), [1], {"k": {2}}, "x" * 100_000, b"", ()]
    peer.call(programs.put_all, q, items)
    got = programs.drain(q)
    assert got == items
    assert [type(item) for item in got] == [type(item) for item in items]


def test_order_of_each_producer(peer_of):
    """Three processes put 1,000 each into a small queue; each one's items come in its order."""
    q, peers = Queue(20), [peer_of() for _ in range(3)]
    for name, peer in enumerate(peers):
        peer.begin(programs.put_all, q, [(name, n) for n in range(1000)])
    got = programs.get_n(q, 3000)
    for name, peer in enumerate(peers):
        peer.result()
        assert [n for who, n in got if who == name] == list(range(1000))
    assert q.empty()


def test_processes_and_threads_on_both_sides(peer_of):
    """Two processes and two threads put, two processes and two threads get: each item exactly once."""
    q = Queue(10)
    putters, getters = [peer_of(), peer_of()], [peer_of(), peer_of()]
    for n, peer in enumerate(putters):
        peer.begin(programs.put_all, q, range(n * 300, n * 300 + 300))
    for peer in getters:
        peer.begin(programs.get_n, q, 300)
    putting = [Worker(programs.put_all, q, range(n * 300, n * 300 + 300)) for n in (2, 3)]
    getting = [Worker(programs.get_n, q, 300) for _ in range(2)]
    got = [each.result() for each in [*getters, *getting]]
    for each in [*putters, *putting]:
        each.result()
    assert sorted(programs.joined(got)) == list(range(1200))
    for each in got:
        for n in range(4):
            mine = [item for item in each if item // 300 == n]
            assert mine == sorted(mine)


def test_a_sleeping_getter_is_woken(peer_of, start_method):
    """A get that waits in another process gets what is put here; a put that waits there, the room made here."""
    q, peer = Queue(1), peer_of(start_method)
    peer.begin(q.get)
    until(peer.asleep, "asleep")
    q.put("awake")
    assert peer.result() == "awake"
    q.put(1)
    peer.begin(q.put, 2)
    until(peer.asleep, "asleep")
    assert q.get() == 1
    assert peer.result() is None
    assert q.get() == 2


# ------------------------------------------------------------------------------------------------------ ends and deaths


@EVERY
@ENDS
def test_what_was_put_is_there(make, how):
    """A producer that ends by os._exit or is killed the moment its put has returned: the items are there."""
    q = make()
    with Child(programs.put_and_die, q, [1, 2, 3], how) as child:
        assert child.wait() == (-signal.SIGKILL if how == "kill" else 0)
    assert sorted(programs.drain(q)) == [1, 2, 3]


@ENDS
@pytest.mark.parametrize("put", [programs.put_and_die, programs.put_many_and_die])
def test_large_items_of_a_producer_that_is_gone(how, put):
    """Also what travels beside the queue."""
    q, items = Queue(), [b"x" * 100_000, {"a": "y" * 1_000_000}, 3, "ß" * 40_000]
    with Child(put, q, items, how) as child:
        child.wait()
    assert programs.drain(q) == items


@ENDS
def test_a_producer_by_spawn(how):
    """The same for processes that share nothing but the queue."""
    q = Queue()
    with Peer("spawn") as peer:
        peer.begin(programs.put_and_die, q, [1, b"x" * 200_000], how)
        peer.process.join()
    assert programs.drain(q) == [1, b"x" * 200_000]


def test_killed_while_it_waits(peer_of):
    """A getter killed in its sleep takes nothing, a putter puts nothing, and neither holds up the others."""
    empty, full = Queue(), Queue(1)
    full.put(1)
    getter, putter = peer_of(), peer_of()
    getter.begin(empty.get)
    putter.begin(full.put, 2)
    for peer in (getter, putter):
        until(peer.asleep, "asleep")
        peer.kill()
    empty.put("kept")
    assert empty.get(timeout=20) == "kept"
    assert full.get(timeout=20) == 1
    full.put(3, timeout=20)
    assert programs.drain(full) == [3]


def test_one_of_several_sleepers_is_killed(peer_of):
    """The item goes to one who lives."""
    q, victim, other = Queue(), peer_of(), peer_of()
    for peer in (victim, other):
        peer.begin(q.get)
        until(peer.asleep, "asleep")
    victim.kill()
    q.put("for the living")
    assert other.result() == "for the living"


def test_a_killed_consumer_has_what_it_took(peer_of):
    """The rest is there for others, in its order."""
    q, peer = Queue(), peer_of()
    q.put_many(range(10))
    assert peer.call(programs.get_n, q, 4) == [0, 1, 2, 3]
    peer.kill()
    assert programs.drain(q) == [4, 5, 6, 7, 8, 9]


def test_stopped_is_not_dead(peer_of):
    """A process stopped while it waits for an item is passed over by nobody for dead, and goes on when continued."""
    q, peer = Queue(), peer_of()
    peer.begin(q.get)
    until(peer.asleep, "asleep")
    os.kill(peer.pid, signal.SIGSTOP)
    q.put(1)
    q.put(2)
    os.kill(peer.pid, signal.SIGCONT)
    assert peer.result() == 1
    assert q.get(timeout=20) == 2


def test_exit_with_unread_items(run_python):
    """A program that leaves items unread ends at once, without a word, whatever their size."""
    done = run_python("""
        import holdfast
        for make in (holdfast.Queue, holdfast.SimpleQueue):
            q = make()
            for item in (1, "x" * 1000, b"y" * 10_000_000, [1, 2]):
                q.put(item)
        print("end")
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_that_ends_without_join(run_python, method):
    """All that a child put before it returned is there, in programs that never heard of join_thread."""
    done = run_python(
        """
        import multiprocessing, sys
        import holdfast

        def produce(q):
            for n in range(1000):
                q.put((n, "x" * 100))
            q.put(b"z" * 1_000_000)

        if __name__ == "__main__":
            q = holdfast.Queue()
            p = multiprocessing.get_context(sys.argv[1]).Process(target=produce, args=(q,))
            p.start()
            p.join()
            got = [q.get_nowait() for _ in range(1001)]
            print(got == [(n, "x" * 100) for n in range(1000)] + [b"z" * 1_000_000], q.empty(), p.exitcode)
        """,
        method,
    )
    assert (done.stdout, done.stderr) == ("True True 0\n", "")


def test_threads_at_exit(run_python):
    """A daemon thread that waits in get does not hold up the end of the program."""
    done = run_python("""
        import threading, holdfast
        q, local = holdfast.Queue(), holdfast.Queue(local=True)
        for each in (q, local):
            threading.Thread(target=each.get, daemon=True).start()
        print("end")
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


# ----------------------------------------------------------------------------------------------------------------- fork


def test_fork_while_a_thread_waits_in_get(local):
    """The child has no such thread; both queues, the parent's and the child's, go on working."""
    q = Queue(local=local)
    worker = Worker(q.get)
    answer = Queue()

    def in_child():
        if local:  # its own copy from now on
            q.put("child's")
            return q.get(timeout=20)
        answer.put("from the child")
        return answer.get(timeout=20)

    with Child(in_child) as child:
        assert child.result() == ("child's" if local else "from the child")
    q.put("for the thread")
    assert worker.result() == "for the thread"
    assert q.empty()


def test_fork_while_a_thread_puts_and_gets():
    """Forks at any moment of a busy queue: neither side is harmed, nothing is lost."""
    q, stop = Queue(), threading.Event()
    count = 0

    def churn():
        nonlocal count
        while not stop.is_set():
            q.put(count)
            assert q.get(timeout=20) == count
            count += 1

    worker = Worker(churn)
    for _ in range(15):
        other = Queue()
        with Child(programs.put_all, other, [1, 2, 3]) as child:
            assert child.result() is None
        assert programs.drain(other) == [1, 2, 3]
    stop.set()
    worker.result()
    assert q.empty()
    assert count > 0


def test_a_child_of_a_child():
    """A grandchild, its parent gone, still puts."""
    q = Queue()

    def parent():
        if os.fork() == 0:
            programs.put_and_die(q, ["from the grandchild"], "exit")
        os._exit(0)

    with Child(parent) as child:
        child.wait()
    assert q.get(timeout=20) == "from the grandchild"


def test_forked_children_share_it():
    """Five forks take from one inherited queue: each item once."""
    q, results = Queue(), Queue()
    q.put_many(range(500))

    def take():
        results.put(programs.drain(q))

    children = [Child(take) for _ in range(5)]
    for child in children:
        with child:
            child.result()
    assert sorted(programs.joined(programs.get_n(results, 5))) == list(range(500))
