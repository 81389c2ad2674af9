"""One queue in two processes against a plain list: calls in any order, here and there (Hypothesis)."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.channels.model import Model, outcome, state_of
from tests.channels.test_model import EXAMPLES, ITEMS
from tests.core.tools import Peer

from holdfast import LifoQueue, PriorityQueue, Queue

QUEUES: dict[int, Queue] = {}  # in the other process: the queue of each run


def there(number, call, *args, **kwargs):
    """In the other process: make a call of the queue that was sent as this number."""
    return outcome(getattr(QUEUES[number], call), *args, **kwargs)


def state_there(number):
    return state_of(QUEUES[number])


def open_there(number, queue):
    QUEUES.clear()
    QUEUES[number] = queue


class Machine(RuleBasedStateMachine):
    """The same calls to the model and to the queue: ``where`` says in which process."""

    make = Queue
    options: dict[str, bool] = {}
    peer: Peer
    number = 0

    @initialize(maxsize=st.sampled_from([0, 0, 1, 3, 10]))
    def begin(self, maxsize):
        type(self).number += 1
        self.queue = self.make(maxsize, **self.options)
        self.model = Model(self.make.__name__, maxsize)
        self.peer.call(open_there, self.number, self.queue)

    def do(self, where, call, *args, **kwargs):
        if where:
            return self.peer.call(there, self.number, call, *args, **kwargs)
        return outcome(getattr(self.queue, call), *args, **kwargs)

    @rule(where=st.booleans(), data=st.data())
    def put(self, where, data):
        item = data.draw(ITEMS[self.make.__name__])
        assert self.do(where, "put_nowait", item) == outcome(self.model.put, item)

    @rule(where=st.booleans(), data=st.data(), count=st.sampled_from([0, 1, 2, 70]))
    def put_many(self, where, data, count):
        few = [data.draw(ITEMS[self.make.__name__]) for _ in range(min(count, 3))]
        items = (few * count)[:count]
        assert self.do(where, "put_many", items, block=False) == outcome(self.model.put_many, items)

    @rule(where=st.booleans())
    def get(self, where):
        assert self.do(where, "get_nowait") == outcome(self.model.get)

    @rule(where=st.booleans(), most=st.sampled_from([None, 1, 2, 50]))
    def get_many(self, where, most):
        assert self.do(where, "get_many", most, block=False) == outcome(self.model.get_many, most)

    @rule(where=st.booleans())
    def task_done(self, where):
        assert self.do(where, "task_done") == outcome(self.model.task_done)

    @rule(where=st.booleans(), immediate=st.booleans(), really=st.integers(0, 9))
    def shutdown(self, where, immediate, really):
        if really == 0:
            self.do(where, "shutdown", immediate)
            self.model.shutdown(immediate)

    @invariant()
    def the_same(self):
        if hasattr(self, "queue"):
            assert state_of(self.queue) == self.model.state()

    def teardown(self):
        if hasattr(self, "queue"):
            assert self.peer.call(state_there, self.number) == self.model.state()
            while self.model.items:
                assert self.queue.get_nowait() == self.model.get()
            assert self.queue.qsize() == self.queue.nbytes() == 0


@pytest.mark.parametrize("kind", [Queue, LifoQueue, PriorityQueue])
def test_against_a_list(kind, peer_of):
    """Whoever calls what in whatever order: results, errors and counts are the model's, in both processes."""
    made = type(f"MachineOf{kind.__name__}", (Machine,), {"make": kind, "peer": peer_of()})
    run_state_machine_as_test(made, settings=EXAMPLES)


def test_by_spawn(peer_of):
    """The same with a process that shares nothing but the queue."""
    made = type("MachineBySpawn", (Machine,), {"peer": peer_of("spawn")})
    run_state_machine_as_test(made, settings=EXAMPLES)
