"""Handles: when an object lives, when it is gone, and which Python object stands for it."""

from __future__ import annotations

import errno
import gc
import pickle
import signal
import uuid

import pytest
from tests.core.tools import Child, until

from holdfast.core import _native, handles, session
from holdfast.errors import GoneError, NameTooLongError
from holdfast.sync.event import Event
from holdfast.sync.lock import Lock


def blocks() -> int:
    return session.current().stats()["blocks"]


def drops_at_once() -> bool:
    Event()
    before = blocks()
    event = Event()
    del event
    return blocks() == before


def settle() -> None:
    """Have everything freed that was dropped: for a second after a fork that waits for the child."""
    gc.collect()
    until(drops_at_once, "a drop that frees")


@pytest.fixture
def name():
    """A name that no other test, and no program of this user, has."""
    return f"test {uuid.uuid4().hex}"


def test_a_pickle_finds_the_object_it_came_from():
    """Within one process, what was pickled and comes back is the same object, and one object only."""
    event = Event()
    data = pickle.dumps(event)
    assert pickle.loads(data) is event
    assert pickle.loads(data) is event


def test_two_names_of_one_object(name):
    """A name opened twice in a process leads to one object, which lives until the last of the two is dropped."""
    first, second = Event(name=name), Event(name=name)
    assert first.uid == second.uid
    first.set()
    assert second.is_set()
    del second
    settle()
    other = [Event() for _ in range(20)]
    assert first.is_set()
    assert Event(name=name, create=False).uid == first.uid
    assert not any(event.is_set() for event in other)


def test_two_handles_by_place():
    """The same by place, as pickles do it: dropping one handle of two does not free the object."""
    event = Event()
    event.sent()
    twin = Event._attach(event.session, (event.offset, event.uid))
    event.set()
    del twin
    settle()
    others = [Event() for _ in range(20)]
    assert event.is_set()
    assert not any(other.is_set() for other in others)
    assert event.offset not in {other.offset for other in others}


def test_a_pickle_keeps_its_object_alive():
    """The maker may drop what it has pickled: it is there for whom the pickle reaches."""
    event = Event()
    event.set()
    data = pickle.dumps(event)
    place = event.offset
    del event
    settle()
    found = pickle.loads(data)
    assert found.is_set()
    assert found.offset == place


def test_dropped_by_its_maker_while_the_pickle_is_under_way(peer_of, start_method):
    """The pickle arrives in another process after the maker has dropped the object."""
    peer = peer_of(start_method)
    lock = Lock()
    lock.acquire()
    data = pickle.dumps(lock)
    del lock
    settle()
    assert "locked" in peer.call(unpickled_repr, data)


def unpickled_repr(data: bytes) -> str:
    return repr(pickle.loads(data))


def test_gone_once_everybody_has_dropped_it():
    """A second use of a pickle whose object was received and dropped raises GoneError, a LookupError, in words."""
    event = Event()
    data = pickle.dumps(event)
    del event
    pickle.loads(data)  # arrives, and is dropped
    settle()
    with pytest.raises(GoneError, match=r"Event: object \d+ at \d+ is gone") as caught:
        pickle.loads(data)
    assert isinstance(caught.value, LookupError)


def test_the_place_of_a_gone_object_has_another():
    """A pickle of a freed object never opens the one that has its memory now."""
    event = Event()
    data, place = pickle.dumps(event), event.offset
    del event
    pickle.loads(data)
    settle()
    others = [Event() for _ in range(300)]
    assert place in {other.offset for other in others}
    with pytest.raises(GoneError):
        pickle.loads(data)


def test_the_session_of_a_pickle_has_ended(run_python, place_of_its_own):
    """A pickle from a program that has ended says that its session has."""
    env = {"HOLDFAST_DIR": str(place_of_its_own)}
    made = run_python("import holdfast, pickle; print(pickle.dumps(holdfast.Lock()).hex())", env=env)
    code = "import pickle, sys; pickle.loads(bytes.fromhex(sys.argv[1]))"
    done = run_python(code, made.stdout.strip(), env=env)
    assert "holdfast.errors.GoneError: session " in done.stderr
    assert "has ended" in done.stderr


@pytest.mark.parametrize(
    "place", [(0, 1), (1 << 60, 1), (4 << 16, 1), (12345, 1)], ids=["zero", "beyond", "header", "crooked"]
)
def test_a_place_that_never_was(place):
    """Wrong places, as in a forged or damaged pickle, are LookupErrors and nothing worse."""
    with pytest.raises(LookupError, match="is gone"):
        _native.Event(session.current(), place)


def test_a_place_of_another_kind():
    """An event's place does not open as a lock."""
    event = Event()
    with pytest.raises(LookupError):
        _native.Lock(event.session, (event.offset, event.uid))


def test_wrong_places():
    """Neither None nor a pair: TypeError with the value."""
    with pytest.raises(TypeError, match=r"where=5: None, \(offset, uid\) or \(name, mode\)"):
        _native.Event(session.current(), 5)
    with pytest.raises(TypeError, match="expected a Session, not 'x'"):
        _native.Event("x", None)
    with pytest.raises(TypeError):
        _native.Handle()


def hold_and_die(data: list[bytes]) -> None:
    kept = [pickle.loads(one) for one in data]
    kept += [Event() for _ in range(50)]
    signal.raise_signal(signal.SIGKILL)


def test_what_a_dead_process_held_is_freed():
    """A sweep, a second or more after the death, frees what only the dead one held, and nothing else."""
    settle()
    before = blocks()
    shared = Event()
    shared.set()
    child = Child(hold_and_die, [pickle.dumps(shared)])
    assert child.wait() == -signal.SIGKILL
    until(lambda: (settle(), session.current().sweep(), blocks())[2] == before + 1, "the dead one's events freed")
    assert shared.is_set()


def test_a_fork_holds_what_it_inherits():
    """What the parent drops lives on in a forked child that goes on using it."""
    event = Event()

    with Child(event.wait, 20) as child:
        data = pickle.dumps(event)
        del event
        gc.collect()
        other = pickle.loads(data)
        other.set()
        assert child.result() is True


# ---- names ----


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ("", ValueError, "name='' is empty"),
        (5, TypeError, "name=5 must be a str"),
        (b"x", TypeError, "name=b'x' must be a str"),
        ("a\0b", ValueError, "holds a NUL character"),
        ("x" * 201, NameTooLongError, "has 201 bytes; a name has at most 200"),
        ("ü" * 101, NameTooLongError, "has 202 bytes; a name has at most 200"),
    ],
)
def test_wrong_names(wrong, error, said):
    """Names are 1 to 200 bytes of text; the error names the value."""
    with pytest.raises(error, match=said) as caught:
        Event(name=wrong)
    if error is NameTooLongError:
        assert caught.value.errno == errno.ENAMETOOLONG
        assert isinstance(caught.value, (OSError, ValueError))


def test_longest_name():
    """200 bytes will do, and any text."""
    text = uuid.uuid4().hex + "ü/\n" + "x" * 164
    assert len(handles.encode_name(text)) == 200
    event = Event(name=text)
    assert handles.text_name(event) == text


def test_create(name):
    """create=True makes, create=False opens, and each says what is in its way."""
    with pytest.raises(FileNotFoundError, match=name):
        Event(name=name, create=False)
    event = Event(name=name, create=True)
    with pytest.raises(FileExistsError, match=name):
        Event(name=name, create=True)
    assert event.created
    del event
    settle()
    with pytest.raises(FileNotFoundError, match=name):
        Event(name=name, create=False)


def test_kinds_do_not_share_names(name):
    """A lock and an event of one name are two objects."""
    event, lock = Event(name=name), Lock(name=name)
    lock.acquire()
    assert not event.is_set()
    lock.release()


def test_unlink(name):
    """Without its name the object lives on for those who hold it; the name is free for another."""
    event = Event(name=name)
    event.unlink()
    with pytest.raises(FileNotFoundError):
        Event(name=name, create=False)
    other = Event(name=name, create=True)
    event.set()
    assert not other.is_set()
    event.unlink()
    assert Event(name=name, create=False).uid == other.uid
