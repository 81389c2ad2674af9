"""Queues by name: unrelated programs share one, and its items outlive them all."""

from __future__ import annotations

import json
import re
import signal

import pytest
from tests.channels import programs
from tests.core.tools import Child, until

from holdfast import AbandonedWarning, LifoQueue, Lock, NameTooLongError, PriorityQueue, Queue, SimpleQueue

ALL = pytest.mark.parametrize("make", [Queue, LifoQueue, PriorityQueue])


@pytest.fixture
def in_program(run_python, place_of_its_own):
    """Run a few lines as a program of its own, in a place where nobody else is: ``q`` is the queue of that name."""

    def run(code, kind="Queue", options="", status=0):
        program = "import json, os, signal, sys, holdfast\n" + f"q = holdfast.{kind}(name='n'{options})\n" + code
        done = run_python(program, env={"HOLDFAST_DIR": str(place_of_its_own)})
        assert (done.returncode, done.stderr) == (status, "")
        return json.loads(done.stdout) if done.stdout else None

    return run


def left_in(place):
    return sorted(path.name for path in place.rglob("arena"))


DRAIN = """
got = []
while not q.empty():
    got.append(q.get_nowait())
print(json.dumps(got))
"""


# ---------------------------------------------------------------------------------------------- one user after another


def test_two_programs_one_after_the_other(in_program, place_of_its_own):
    """What the first put, and it is no more, the second one takes."""
    in_program("q.put_many([1, 'two', [3]])")
    assert in_program(DRAIN) == [1, "two", [3]]


@pytest.mark.parametrize("kind", ["LifoQueue", "PriorityQueue", "SimpleQueue"])
def test_of_every_kind(in_program, kind):
    """Lifo and priority queues keep their order; a simple queue has names, too."""
    in_program("q.put_many([2, 3, 1])", kind)
    in_program("q.put(0)", kind)
    expected = {"LifoQueue": [0, 1, 3, 2], "PriorityQueue": [0, 1, 2, 3], "SimpleQueue": [2, 3, 1, 0]}
    assert in_program(DRAIN, kind) == expected[kind]


def test_all_users_killed(in_program):
    """Nobody said goodbye; the next one who opens the name has all that was put."""
    die = "\nos.kill(os.getpid(), signal.SIGKILL)"
    in_program("q.put_many(range(100)); q.put('x' * 200_000)" + die, status=-signal.SIGKILL)
    in_program("for _ in range(10): q.get()" + die, status=-signal.SIGKILL)
    got = in_program(DRAIN)
    assert got[:-1] == list(range(10, 100))
    assert len(got[-1]) == 200_000


def test_killed_with_open_items_and_redeliver(in_program):
    """With redeliver, what the last user had when it was killed comes first for the next program."""
    options = ", redeliver=True"
    in_program("q.put_many('abc')", options=options)
    in_program("q.get(); os.kill(os.getpid(), signal.SIGKILL)", options=options, status=-signal.SIGKILL)
    code = """
got = []
for _ in range(3):
    got.append([q.get(timeout=20), q.deliveries])
    q.task_done()
print(json.dumps(got))
"""
    in_program("try: q.join(timeout=0)\nexcept TimeoutError: pass", options=options)
    assert in_program(code, options=options) == [["a", 2], ["b", 1], ["c", 1]]


def test_exit_without_close_keeps(in_program, place_of_its_own):
    """Ending is not closing: also an exit in good order leaves the items."""
    in_program("q.put(1)")
    in_program("q.put(2); sys.exit(0)")
    in_program("q.put(3); os._exit(0)")
    assert in_program(DRAIN) == [1, 2, 3]


def test_the_last_close_removes(in_program, place_of_its_own):
    """After it the name is free and nothing is left in memory."""
    in_program("q.put(1); q.close()")
    assert in_program("print(json.dumps([q.qsize()])); q.close()") == [0]
    in_program("holdfast.Queue.unlink('n')")
    assert left_in(place_of_its_own) == []


def test_an_empty_one_is_not_kept(in_program, place_of_its_own):
    """A named queue with nothing in it goes with its last user."""
    in_program("q.put(1); q.get(); q.task_done()")
    assert left_in(place_of_its_own) == []


def test_unlinked_with_items(in_program, place_of_its_own):
    """The name is free at once, and the memory when its users are gone."""
    in_program("q.put(b'x' * 1_000_000); holdfast.Queue.unlink('n')")
    assert left_in(place_of_its_own) == []
    assert in_program("print(q.qsize())") == 0


def test_its_options_stay(in_program):
    """Whoever opens the name without saying more gets the queue as it was made."""
    in_program("q.put(1)", options=", maxsize=7, max_bytes=12345, redeliver=True, max_deliveries=3")
    assert in_program("print(json.dumps([q.maxsize, q.max_bytes, q.get(), q.deliveries]))") == [7, 12345, 1, 1]


def test_shut_down_by_a_program_that_is_gone(in_program):
    """A shutdown is kept with the items."""
    in_program("q.put_many([1, 2]); q.shutdown()")
    assert in_program("print(json.dumps([q.is_shutdown, list(q)]))") == [True, [1, 2]]


def test_two_programs_at_once(run_python, place_of_its_own):
    """A server and its client, started by themselves, that know each other by the names of two queues only."""
    server = """
    import sys, holdfast
    requests, answers = holdfast.Queue(name="requests"), holdfast.Queue(name="answers")
    for n in requests:
        answers.put(n * n)
    answers.shutdown()
    """
    client = """
    import subprocess, sys, holdfast
    requests, answers = holdfast.Queue(name="requests"), holdfast.Queue(name="answers")
    server = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
    requests.put_many(range(100))
    requests.shutdown()
    print(list(answers) == [n * n for n in range(100)], server.wait())
    """
    import textwrap

    done = run_python(client, textwrap.dedent(server), env={"HOLDFAST_DIR": str(place_of_its_own)})
    assert (done.stdout, done.stderr) == ("True 0\n", "")
    assert left_in(place_of_its_own) == []


# -------------------------------------------------------------------------------------------- in and between processes


@ALL
def test_twice_in_one_process(make, name):
    """Two handles of one name are one queue."""
    one, other = make(name=name), make(name=name)
    one.put(1)
    assert other.get() == 1
    assert one.name == other.name == name
    assert repr(name) in repr(one)


def test_closing_one_of_two_handles(name):
    """The other one goes on; the last close removes."""
    one, other = Queue(name=name), Queue(name=name)
    one.put(1)
    one.close()
    assert other.get() == 1
    other.put(2)
    other.close()
    with pytest.raises(FileNotFoundError):
        Queue(name=name, create=False)


def test_between_processes(peer_of, start_method, name):
    """A process that is told the name only."""
    q, peer = Queue(name=name), peer_of(start_method)
    peer.call(programs.open_and_put, Queue, name, [1, [2], b"x" * 100_000])
    assert programs.drain(q) == [1, [2], b"x" * 100_000]
    assert q.name == name


def test_a_pickle_of_a_named_queue(peer_of, start_method, name):
    """It has its name there."""
    q, peer = Queue(name=name), peer_of(start_method)
    assert peer.call(_name_of, q) == name


def _name_of(q):
    return q.name


def test_a_close_elsewhere_is_not_ours(peer_of, name):
    """Another process closes its handle: the queue and its name stay for us."""
    q, peer = Queue(name=name), peer_of()
    peer.call(_open_put_close, name)
    assert q.get() == 1
    q.put(2)
    assert peer.call(_open_get, name) == 2


def _open_put_close(name):
    with Queue(name=name, create=False) as q:
        q.put(1)


def _open_get(name):
    return Queue(name=name, create=False).get(timeout=20)


@ALL
def test_create(make, name):
    """create=True refuses a name that is there; create=False one that is not."""
    with pytest.raises(FileNotFoundError, match=re.escape(name)):
        make(name=name, create=False)
    q = make(name=name, create=True)
    with pytest.raises(FileExistsError, match=re.escape(name)):
        make(name=name, create=True)
    q.put(1)
    assert make(name=name, create=False).get() == 1


def test_unlink(name):
    """The name is free for a new one; who has the old one goes on with it; a name that is not there is an error."""
    with pytest.raises(FileNotFoundError, match=re.escape(name)):
        Queue.unlink(name)
    old = Queue(name=name)
    old.put("old")
    Queue.unlink(name)
    with pytest.raises(FileNotFoundError):
        Queue(name=name, create=False)
    new = Queue(name=name)
    assert new.empty()
    new.put("new")
    assert (old.get(), new.get()) == ("old", "new")


def test_closing_the_old_one_leaves_the_new(name):
    """After an unlink the old queue's close does not take the name from the new one."""
    old = Queue(name=name)
    Queue.unlink(name)
    new = Queue(name=name)
    new.put(1)
    old.close()
    assert Queue(name=name, create=False).get() == 1


@pytest.mark.parametrize("kind", [LifoQueue, PriorityQueue])
def test_another_kind(kind, name):
    """A ValueError that names both kinds; the queue is as it was."""
    q = Queue(name=name)
    q.put(1)
    with pytest.raises(ValueError, match=f"name={name!r} is a Queue, not a {kind.__name__}"):
        kind(name=name)
    assert q.get() == 1


@pytest.mark.parametrize(
    "options", [{"maxsize": 3}, {"max_bytes": 1000}, {"redeliver": True}, {"redeliver": True, "max_deliveries": 2}]
)
def test_other_options(options, name):
    """A ValueError that names the option, if what was asked for is not what is there."""
    q = Queue(5, name=name, max_bytes=5000)
    with pytest.raises(ValueError, match=f"{next(iter(options))}=.*name={name!r} was made with"):
        Queue(name=name, **options)
    assert Queue(5, name=name).maxsize == 5
    assert Queue(name=name, max_bytes=5000).max_bytes == 5000
    assert not q.closed


def test_names_of_other_things(name):
    """A lock of the same name is another thing."""
    lock, q = Lock(name=name), Queue(name=name)
    with lock:
        q.put(1)
        assert q.get() == 1


@pytest.mark.parametrize("bad", [3, b"bytes"])
def test_names_that_are_no_text(bad):
    """A TypeError with the value."""
    with pytest.raises(TypeError, match=re.escape(repr(bad))):
        Queue(name=bad)


def test_long_and_odd_names():
    """Up to 200 bytes of anything but NUL."""
    with pytest.raises(NameTooLongError):
        Queue(name="x" * 201)
    for odd in ("/slashes/../and dots", "ß" * 100, "\n \t", "\udcff"):
        with Queue(name=odd) as q:
            q.put(1)
            assert (q.get(), q.name) == (1, odd)


@pytest.mark.parametrize("others", [0, 1])
def test_a_closed_handle(name, others):
    """Puts and gets say that it is closed; what only asks may still answer; others are unharmed."""
    q, kept = Queue(name=name), [Queue(name=name) for _ in range(others)]
    q.put(1)
    q.close()
    for call in (lambda: q.put(2), q.get, q.get_nowait, q.get_many, lambda: q.put_many([1])):
        with pytest.raises(ValueError, match="is closed"):
            call()
    for ask in (q.qsize, q.empty, q.full, q.unfinished, q.nbytes, lambda: q.maxsize, lambda: q.is_shutdown):
        programs.outcome(ask)
    assert "closed" in repr(q)
    assert q.closed
    for other in kept:
        assert other.get() == 1


def test_users_killed_while_one_lives(name):
    """Killed producers' items are there; killed consumers' unfinished ones are named at join."""
    q = Queue(name=name)
    with Child(programs.put_and_die, q, [1, 2, 3], "kill") as child:
        child.wait()
    with Child(programs.take_and_die, q, 2, "kill") as child:
        child.wait()
    assert q.get(timeout=20) == 3
    q.task_done()
    with pytest.warns(AbandonedWarning, match="2 items of"):
        q.join(timeout=20)


def test_a_simple_queue_of_that_name_is_the_queue(name):
    """SimpleQueue and Queue are one kind."""
    SimpleQueue(name=name).put(1)
    q = Queue(name=name)
    assert q.get(timeout=20) == 1
    until(q.empty, "empty")
