"""task_done and join: also when consumers are killed, or end without a word."""

from __future__ import annotations

import re

import pytest
from tests.channels import programs
from tests.core.tools import Child, until
from tests.sync.programs import Worker

from holdfast import AbandonedWarning, LifoQueue, PriorityQueue, Queue

ALL = pytest.mark.parametrize("make", [Queue, LifoQueue, PriorityQueue])


@ALL
def test_join_waits_until_all_is_done(make, local):
    """It returns when every item was taken and marked, and not before; at once for an unused queue."""
    q = make(local=local)
    q.join()
    q.put_many(range(3))
    worker = Worker(q.join)
    for _ in range(3):
        assert worker.is_alive()
        q.get()
        q.task_done()
    worker.result()
    q.join()


@ALL
def test_task_done_too_often(make, local):
    """A ValueError, and nothing changes."""
    q = make(local=local)
    with pytest.raises(ValueError, match=re.escape("task_done() called too many times")):
        q.task_done()
    q.put(1)
    q.get()
    q.task_done()
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()
    q.put(2)
    assert q.unfinished() == 1


def test_join_in_time(local):
    """A timeout that is over is a TimeoutError that says how many are unfinished."""
    q = Queue(local=local)
    q.put_many([1, 2])
    with pytest.raises(TimeoutError, match=r"2 items of .* are unfinished after 0\.02 s"):
        q.join(timeout=0.02)
    q.get()
    with pytest.raises(TimeoutError, match=r"2 items"):
        q.join(timeout=0)


def test_consumers_elsewhere(peer_of, start_method):
    """Two processes finish all; the join here returns; a join there, too."""
    q, peers = Queue(), [peer_of(start_method) for _ in range(2)]
    q.put_many(range(100))
    for peer in peers:
        peer.begin(programs.finish, q, 50)
    q.join()
    for peer in peers:
        peer.result()
    q.put(1)
    peers[0].begin(q.join)
    until(peers[0].asleep, "asleep")
    peers[1].call(programs.finish, q, 1)
    assert peers[0].result() is None


def test_helpers_finish_what_others_took(peer_of):
    """Who took an item need not be who marks it."""
    q, taker, marker = Queue(), peer_of(), peer_of()
    q.put_many(range(5))
    taker.call(programs.get_n, q, 5)
    for _ in range(5):
        marker.call(q.task_done)
    q.join(timeout=20)
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()


@ALL
@pytest.mark.parametrize("how", ["kill", "exit"])
def test_a_consumer_that_is_gone(make, how):
    """What it had taken counts as done; join returns, with a warning that names it."""
    q = make()
    q.put_many(range(4))
    with Child(programs.take_and_die, q, 3, how) as child:
        child.wait()
        pid = child.pid
    q.get()
    q.task_done()
    with pytest.warns(AbandonedWarning, match=rf"3 items of .* \(pid {pid}\) had 3"):
        q.join(timeout=20)
    assert q.unfinished() == 0
    q.join(timeout=0)  # and warns once only


def test_a_joiner_that_already_waits(peer_of):
    """It is freed by the death of the last consumer."""
    q, consumer, joiner = Queue(), peer_of(), peer_of()
    q.put(1)
    consumer.call(q.get)
    joiner.begin(programs.told, q.join)
    until(joiner.asleep, "asleep")
    consumer.kill()
    _, warned = joiner.result()
    assert len(warned) == 1
    assert warned[0].startswith("AbandonedWarning: 1 items of")
    assert f"(pid {consumer.pid})" in warned[0]


def test_the_others_items_are_still_waited_for(peer_of):
    """A death does not finish what a living consumer has, nor what is queued."""
    q, dead, living = Queue(), peer_of(), peer_of()
    q.put_many(range(4))
    dead.call(q.get)
    living.call(q.get)
    dead.kill()
    with pytest.warns(AbandonedWarning, match="1 items"), pytest.raises(TimeoutError, match="3 items"):
        q.join(timeout=0.3)
    living.call(q.task_done)
    living.call(programs.finish, q, 2)
    q.join(timeout=20)


def test_marked_after_it_was_given_up(peer_of):
    """A helper that finishes the dead one's item late gets no error, once."""
    q, dead = Queue(), peer_of()
    q.put(1)
    dead.call(q.get)
    dead.kill()
    with pytest.warns(AbandonedWarning):
        q.join(timeout=20)
    q.task_done()
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()


def test_a_consumer_that_finished_all_and_died(peer_of):
    """Nothing is abandoned, nothing warned."""
    q, consumer = Queue(), peer_of()
    q.put_many(range(10))
    consumer.call(programs.finish, q, 10)
    consumer.kill()
    q.join(timeout=20)


def test_warning_as_an_error():
    """Under -W error the join raises it; the next one returns."""
    q = Queue()
    q.put(1)
    with Child(programs.take_and_die, q, 1, "kill") as child:
        child.wait()
    with pytest.raises(AbandonedWarning):
        q.join(timeout=20)
    q.join(timeout=0)


def test_several_joiners(local):
    """All return."""
    q = Queue(local=local)
    q.put(1)
    workers = [Worker(q.join) for _ in range(4)]
    q.get()
    q.task_done()
    for worker in workers:
        worker.result()


def test_many_items_many_consumers(local):
    """Four threads finish 2,000 items; join returns when the last is done."""
    q, done = Queue(30, local=local), []

    def consume():
        for item in q:
            done.append(item)
            q.task_done()

    workers = [Worker(consume) for _ in range(4)]
    q.put_many(range(2000))
    q.join()
    assert sorted(done) == list(range(2000))
    q.shutdown()
    for worker in workers:
        worker.result()
