"""What the tests of the pools have workers do."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time

import holdfast

state = []


def square(x):
    return x * x


def add(*args, **kwargs):
    return sum(args) + sum(kwargs.values())


def pid(*_):
    return os.getpid()


class Thing(list):
    """A list that can be weakly referred to."""


def make_thing(n):
    return Thing([n])


def nothing(*_):
    return None


def set_up(value):
    state.append(value)


def get_state():
    return list(state)


def fail_to_set_up():
    raise ValueError("no database here")


def kill_me(number=signal.SIGKILL):
    faulthandler.disable()  # a forked worker has pytest's, which would write a page about it
    os.kill(os.getpid(), number)
    time.sleep(60)


def leave(code):
    os._exit(code)


def exit_with(code):
    sys.exit(code)


class TwoArguments(Exception):
    def __init__(self, name, number):
        super().__init__(f"{name} number {number}")
        self.name = name


class ComesBackBroken(Exception):
    def __reduce__(self):
        return square, ()


def raise_two():
    raise TwoArguments("gate", 3)


def raise_broken():
    raise ComesBackBroken("text")


def divide(x):
    return 1 / x


def unpicklable_result():
    return {"rows": [1, (n for n in [1])]}


class KillsWhenSent:
    """A result during whose pickling, after 10 MB of it, the worker dies."""

    def __init__(self):
        self.first = bytes(10_000_000)
        self.second = Fuse()


class Fuse:
    def __reduce__(self):
        kill_me()
        return int, ()


class KillsWhenRead:
    """An argument whose unpickling kills."""

    def __reduce__(self):
        return kill_me, ()


def kills_when_sent():
    return KillsWhenSent()


def big(nbytes):
    return bytes(nbytes)


def length_and_ends(data):
    return len(data), data[:1], data[-1:]


def begin_then_wait(begun, go):
    """Say that it has begun, then wait."""
    begun.set()
    go.wait(60)
    return os.getpid()


def note_and_wait(counter, begun, go):
    counter.add(1)
    begun.release()
    go.wait(60)
    return os.getpid()


def run_once(counters, number):
    """Leaves a trace, so that a second run of the same task would be seen."""
    counters[number].add(1)
    deadline = time.perf_counter() + 0.002
    while time.perf_counter() < deadline:
        pass
    return number


def nested(depth):
    if depth == 0:
        return [os.getpid()]
    with holdfast.ProcessPoolExecutor(1) as pool:
        return [os.getpid(), *pool.submit(nested, depth - 1).result()]


def open_descriptor_count(*_):
    return len(os.listdir("/proc/self/fd"))
