"""Functions and classes that run in the children of tests/workers; importable there by name."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading

from holdfast.workers import Process, watch


class TwoArguments(Exception):
    """Pickle cannot rebuild this one: its class takes two arguments, ``args`` has one."""

    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")
        self.code = code


class Wrapped(Exception):
    """Pickle rebuilds this one wrongly: the text would be wrapped twice."""

    def __init__(self, text):
        super().__init__(f"<{text}>")


class HoldsALock(Exception):
    """An attribute of this one cannot be pickled."""

    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class Unbearable(Exception):
    """Neither pickling nor unpickling works."""

    def __reduce__(self):
        raise RuntimeError("will not travel")


def double(x):
    return 2 * x


def keywords(*args, **kwargs):
    return args, kwargs


def raise_two_arguments():
    raise TwoArguments(404, "gone")


def raise_from():
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise ValueError("outer") from error


def raise_error(error):
    raise error


def raise_unbearable():
    raise Unbearable("heavy")


def leave_with(code):
    os._exit(code)


def exit_with(code):
    sys.exit(code)


def kill_self(signum=signal.SIGKILL):
    os.kill(os.getpid(), signum)
    signal.pause()


def big(size):
    return bytes(size)


def unpicklable():
    return {"rows": [1, 2, (item for item in ())]}


def make_lambda(n):
    return lambda x: x + n


def recv_then(connection, value):
    """Wait for a word, then return the value."""
    connection.recv()
    return value


def fork_and_end(connection):
    """Leave a child behind that lives until it gets a word; return its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            connection.poll(None)
        finally:
            os._exit(0)
    return pid


def with_little_room(size):
    """From now on the file system takes small files only; then return a large result."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    return bytes(size)


def forever(connection):
    """Say who we are, then wait to be killed."""
    connection.send(os.getpid())
    while True:
        signal.pause()


def who_am_i():
    from holdfast.workers import current

    me = current()
    return type(me).__name__, me.name, me.daemon, me.pid == os.getpid()


class Squares(Process):
    """A worker by subclass, with a run() that returns something."""

    def __init__(self, n, **options):
        super().__init__(**options)
        self.n = n

    def run(self):
        return [i * i for i in range(self.n)]


class Selfish(Process):
    """Its own bound method is its target."""

    def __init__(self, **options):
        super().__init__(target=self.work, **options)

    def work(self):
        return self.name


def die_while_handing_over():
    """Be killed between the outcome's first byte and its commit."""
    os.rename = lambda *_paths: os.kill(os.getpid(), signal.SIGKILL)


def die_after_handing_over(value):
    """Be killed when the outcome is committed and the process has not ended yet."""
    rename = os.rename

    def rename_and_die(*paths):
        rename(*paths)
        os.kill(os.getpid(), signal.SIGKILL)

    os.rename = rename_and_die
    return value


def parent_of_daemons(connection, start_method, count):
    """Start children that never end, then wait to be killed."""
    for _ in range(count):
        Process(target=forever, args=(connection,), daemon=True, start_method=start_method).start()
    while True:
        signal.pause()


def meet_a_stranger():
    """Watch a parent whose start time is not that of the process which has its number."""
    watch.die_with_parent(1)
    return "lived on"


def run_in_process(start_method, target, *args):
    """Leave the work to a child."""
    process = Process(target=target, args=args, start_method=start_method)
    process.start()
    return process.result()
