"""Every kind of queue against a plain list, with calls in any order (Hypothesis), in one process."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.channels.model import Model, outcome, state_of

from holdfast import LifoQueue, PriorityQueue, Queue

SOAK = int(float(os.environ.get("HOLDFAST_SOAK", "1")))
EXAMPLES = settings(
    max_examples=60 * SOAK,
    stateful_step_count=40,
    deadline=None,
    derandomize=SOAK == 1,
    suppress_health_check=list(HealthCheck),
)

NUMBERS = st.integers(-5, 5) | st.integers() | st.floats(allow_nan=False)
TEXT = st.text(max_size=5) | st.sampled_from(["x" * 300, "ß" * 20_000, "y" * 33_000])
ANYTHING = NUMBERS | TEXT | st.binary(max_size=5) | st.none() | st.lists(st.integers(), max_size=3)
LARGE = st.sampled_from([b"x" * 32_700, b"x" * 32_768, b"y" * 70_000, ["z" * 40_000]])
ITEMS = {"Queue": ANYTHING | LARGE, "LifoQueue": ANYTHING | LARGE, "PriorityQueue": NUMBERS}


class Machine(RuleBasedStateMachine):
    """One queue, one model, the same calls to both."""

    make = Queue
    options: dict[str, bool] = {}

    @initialize(maxsize=st.sampled_from([0, 0, 1, 3, 10]))
    def begin(self, maxsize):
        self.queue = self.make(maxsize, **self.options)
        self.model = Model(self.make.__name__, maxsize)

    def both(self, of_queue, of_model):
        assert outcome(of_queue) == outcome(of_model)

    def draw(self, data):
        return data.draw(ITEMS[self.make.__name__])

    @rule(data=st.data())
    def put(self, data):
        item = self.draw(data)
        self.both(lambda: self.queue.put_nowait(item), lambda: self.model.put(item))

    @rule(data=st.data())
    def put_in_no_time(self, data):
        item = self.draw(data)
        self.both(lambda: self.queue.put(item, timeout=0), lambda: self.model.put(item))

    @rule(data=st.data(), count=st.sampled_from([0, 1, 2, 5, 130]))
    def put_many(self, data, count):
        few = [self.draw(data) for _ in range(min(count, 5))]
        items = (few * count)[:count]
        self.both(lambda: self.queue.put_many(iter(items), block=False), lambda: self.model.put_many(items))

    @rule()
    def get(self):
        self.both(self.queue.get_nowait, self.model.get)

    @rule()
    def get_in_no_time(self):
        self.both(lambda: self.queue.get(timeout=0), self.model.get)

    @rule(most=st.sampled_from([None, 0, 1, 2, 50]))
    def get_many(self, most):
        self.both(lambda: self.queue.get_many(most, block=False), lambda: self.model.get_many(most))

    @rule(count=st.integers(1, 4))
    def task_done(self, count):
        for _ in range(count):
            self.both(self.queue.task_done, self.model.task_done)

    @rule()
    def join(self):
        try:
            self.queue.join(timeout=0)
            done = True
        except TimeoutError:
            done = False
        assert done == (self.model.unfinished == 0)

    @invariant()
    def the_same(self):
        if hasattr(self, "queue"):
            assert state_of(self.queue) == self.model.state()

    def teardown(self):
        if hasattr(self, "queue"):
            while self.model.items:
                assert self.queue.get_nowait() == self.model.get()
            assert self.queue.qsize() == self.queue.nbytes() == 0


class WithShutdown(Machine):
    """The same with shutdown, which ends most of what can happen: on its own, so that the other goes deep."""

    @rule(immediate=st.booleans(), really=st.integers(0, 5))
    def shutdown(self, immediate, really):
        if really == 0:
            self.queue.shutdown(immediate)
            self.model.shutdown(immediate)


@pytest.mark.parametrize("machine", [Machine, WithShutdown])
@pytest.mark.parametrize("kind", [Queue, LifoQueue, PriorityQueue])
def test_against_a_list(machine, kind, local):
    """Whatever is called in whatever order: results, errors, counts and sizes are the model's."""
    name = f"{machine.__name__}Of{kind.__name__}"
    made = type(name, (machine,), {"make": kind, "options": {"local": local}})
    run_state_machine_as_test(made, settings=EXAMPLES)
