"""`holdfast.Local`: attributes of one thread, and what happens to them at its end."""

from __future__ import annotations

import os
import pickle
import sqlite3
import threading

import pytest
from tests.shared import targets

from holdfast import Local


def in_thread(function, *args):
    """Run a function in a thread of its own, to the end; its value."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function(*args)))
    thread.start()
    thread.join()
    return found[0] if found else None


def test_no_thread_sees_anothers_attributes():
    """Each thread has its own; the main thread's are not touched."""
    local = Local()
    local.user = "main"

    def other():
        assert not hasattr(local, "user")
        local.user = "other"
        return local.__dict__

    assert in_thread(other) == {"user": "other"}
    assert local.user == "main"
    del local.user
    assert local.__dict__ == {}
    with pytest.raises(AttributeError):
        local.user  # noqa: B018


def test_a_subclass_is_initialised_in_each_thread():
    """``__init__`` runs in every thread with the arguments the object was made with; ``close`` is not among them."""
    for local in (targets.Handler("a", size=3), targets.Handler("a", size=3, close=lambda mine: None)):
        local.name = "changed"
        assert in_thread(lambda local=local: (local.name, local.log)) == ("a", [None] * 3)
    with pytest.raises(TypeError):
        Local("an argument")
    with pytest.raises(TypeError):
        targets.Handler()


def test_close_is_called_in_the_thread_that_ends():
    """Once per thread that has attributes, with these, in that thread, before join returns."""
    ended = []
    local = Local(close=lambda mine: ended.append((mine.user, threading.get_ident())))

    def work(user):
        local.user = user
        return threading.get_ident()

    idents = [in_thread(work, user) for user in "abc"]
    assert ended == list(zip("abc", idents, strict=True))
    in_thread(lambda: hasattr(local, "user"))
    assert len(ended) == 3


def test_a_sqlite_connection_per_thread():
    """SQLite objects may be closed only by the thread that made them; so they are, one per thread."""
    closed = []

    def close(mine):
        mine.connection.close()
        closed.append(mine.connection)

    local = Local(close=close)

    def work():
        local.connection = sqlite3.connect(":memory:")
        return local.connection.execute("select 42").fetchone()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, closed))) == 5
    for connection in closed:
        with pytest.raises(sqlite3.ProgrammingError, match=r"closed|created in a thread"):
            connection.execute("select 1")


def test_a_subclass_without_super_is_closed_too():
    """The hook does not depend on how a subclass writes its ``__init__``."""
    ended = []
    local = targets.Handler("a", close=lambda mine: ended.append(mine.name))
    in_thread(lambda: local.log)
    assert ended == ["a"]


def test_close_when_the_object_goes_first():
    """Dropping the object ends every thread's attributes, once."""
    ended, ready, go = [], threading.Event(), threading.Event()
    local = Local(close=lambda mine: ended.append(mine.user))

    box = [local]

    def work():
        box.pop().user = "other"
        ready.set()
        go.wait()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    local.user = "main"
    del local
    assert sorted(ended) == ["main", "other"]
    go.set()
    thread.join()
    assert len(ended) == 2


def test_an_error_in_close_is_printed(monkeypatch):
    """An exception in the hook reaches sys.excepthook, and the thread ends as ever."""
    seen = []
    monkeypatch.setattr("sys.excepthook", lambda kind, error, trace: seen.append(error))
    local = Local(close=lambda mine: mine.missing)

    def work():
        local.user = 1

    in_thread(work)
    assert [type(error) for error in seen] == [AttributeError]


def test_nothing_is_kept_of_threads_that_ended():
    """A thousand threads leave nothing in the object, with and without a hook."""
    import weakref

    class Thing:
        pass

    local, alive = Local(close=lambda mine: None), []

    def work():
        local.thing = Thing()
        alive.append(weakref.ref(local.thing))

    for _ in range(1000):
        in_thread(work)
    assert not any(ref() for ref in alive)
    assert len(local._ends) == 1


def test_it_travels_empty(call_in):
    """In another process it has the same class, arguments and hook, and no attributes."""
    local = targets.Handler("a", size=2, close=targets.note_pid)
    local.extra = 1
    again = pickle.loads(pickle.dumps(local))
    assert type(again) is targets.Handler
    assert (again.name, again.log, hasattr(again, "extra")) == ("a", [None, None], False)
    assert again._recipe == local._recipe
    again.path = local.path = os.devnull
    assert call_in(targets.hand_back, Local()).__dict__ == {}


def test_the_main_threads_end_is_the_processes(call_in, tmp_path):
    """In a child of any start method the main thread's attributes are ended when the process ends."""
    path = tmp_path / "ended"
    local = Local(close=targets.note_pid)
    assert call_in(targets.use_local, local, str(path)) == "MainThread"
    pids = path.read_text().split()
    assert len(pids) == 1
    assert int(pids[0]) != os.getpid()


def test_a_program_ends_its_own_and_nothing_twice(run_python):
    """At exit the main thread's attributes are ended once; a daemon thread's are left, without a word."""
    done = run_python(
        """
        import os
        import threading
        import holdfast
        local = holdfast.Local(close=lambda mine: print("closed", mine.user, flush=True))
        local.user = "main"
        ready = threading.Event()
        def work():
            local.user = "daemon"
            ready.set()
            threading.Event().wait()
        threading.Thread(target=work, daemon=True).start()
        ready.wait()
        """
    )
    assert (done.stdout, done.stderr) == ("closed main\n", "")


def test_a_forked_child_leaves_its_parents_alone(run_python):
    """A forked child ends what it has set itself, not what it inherited."""
    done = run_python(
        """
        import os
        import sys
        import holdfast
        local = holdfast.Local(close=lambda mine: print("closed", sorted(vars(mine).items()), flush=True))
        local.user = "parent"
        pid = os.fork()
        if pid == 0:
            assert local.user == "parent"
            local.own = "child"
            sys.exit()
        os.waitpid(pid, 0)
        """
    )
    assert (done.stdout, done.stderr) == ("closed [('own', 'child')]\nclosed [('user', 'parent')]\n", "")
