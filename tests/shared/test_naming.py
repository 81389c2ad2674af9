"""Named values and arrays: opened by unrelated programs, refused if they mean something else."""

from __future__ import annotations

import itertools
import os
import pickle

import pytest
from tests.shared import targets

from holdfast import Array, GoneError, NameTooLongError, RLock, Value

_count = itertools.count()


@pytest.fixture
def name():
    return f"tests.shared.{os.getpid()}.{next(_count)}"


@pytest.mark.parametrize(
    "make",
    [
        lambda name: Value("i", 5, name=name),
        lambda name: Value(targets.Point, 3, 2, name=name),
        lambda name: Array("i", [1, 2, 3], name=name),
        lambda name: Array("c", b"abc", name=name, lock=False),
    ],
)
def test_a_second_opening_is_the_same_thing(make, name):
    """Who opens the name later has the same memory and the same lock, and the first content stays."""
    first, second = make(name), make(name)
    content = bytes(first)
    if hasattr(first, "get_lock"):
        assert first.get_lock().offset == second.get_lock().offset
    memoryview(second).cast("B")[0] = 9
    assert bytes(first) == bytes(second) != content
    del first
    third = make(name)
    assert bytes(third) == bytes(second)


def test_an_unrelated_program_opens_it(name, run_python):
    """A program that was told nothing but the name sees and changes the same value, under the same lock."""
    value, array = Value("i", 5, name=name), Array("d", 4, name=name + "a")
    done = run_python(
        """
        import sys
        import holdfast
        value = holdfast.Value("i", name=sys.argv[1], create=False)
        array = holdfast.Array("d", 4, name=sys.argv[1] + "a")
        value += 1
        array[2] = 2.5
        print(value.acquire(False))
        """,
        name,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
    assert (value.value, array[:]) == (6, [0.0, 0.0, 2.5, 0.0])


CLASHES = [
    (lambda name: Value("i", name=name), lambda name: Value("d", name=name), ["Value 'i'", "Value 'd'"]),
    (lambda name: Value("i", name=name), lambda name: Array("d", 3, name=name), ["Value 'i'", "Array 'd' * 3"]),
    (lambda name: Array("d", 3, name=name), lambda name: Value("i", name=name), ["Value 'i'", "Array 'd' * 3"]),
    (lambda name: Array("i", 3, name=name), lambda name: Array("i", 4, name=name), ["12 bytes", "16 bytes"]),
    (lambda name: Value(targets.Point, name=name), lambda name: Value(targets.Named, name=name), ["Point", "Named"]),
]


@pytest.mark.parametrize(("first", "second", "words"), CLASHES)
def test_another_type_or_size_is_refused(first, second, words, name):
    """ValueError names the name, what it stands for and what was wanted; the object itself is not disturbed."""
    made = first(name)
    with pytest.raises(ValueError, match=name) as caught:
        second(name)
    assert all(word in str(caught.value) for word in words)
    assert made.acquire(False)
    made.release()
    assert bytes(first(name)) == bytes(made)


def test_two_codes_of_one_type_are_the_same(name):
    """'l' and 'q' are one type where both have 64 bits."""
    value = Value("q", 5, name=name)
    assert Value("l", name=name).value == value.value


@pytest.mark.parametrize(
    "make",
    [
        lambda name, **options: Value("i", name=name, **options),
        lambda name, **options: Array("i", 3, name=name, **options),
    ],
)
def test_create_says_what_is_expected(make, name):
    """``create=False`` needs an object of that name, ``create=True`` needs that there is none."""
    with pytest.raises(FileNotFoundError, match=name):
        make(name, create=False)
    made = make(name, create=True)
    with pytest.raises(FileExistsError, match=name):
        make(name, create=True)
    assert bytes(make(name, create=False)) == bytes(made)


def test_names_that_cannot_be():
    """Too long, empty, or no text."""
    for make in (lambda name: Value("i", name=name), lambda name: Array("i", 3, name=name)):
        for name, error in (("x" * 201, NameTooLongError), ("", ValueError), (b"x", TypeError)):
            with pytest.raises(error):
                make(name)


def test_a_name_goes_with_its_last_user(name, blocks):
    """When nobody has the object any more, the name is free for another type."""
    value = Value("i", 5, name=name)
    del value
    blocks()
    assert Value("d", name=name).value == 0.0


def test_a_named_lock_is_its_own(name):
    """A lock that has the value's name is not the value's lock."""
    value, lock = Value("i", name=name), RLock(name=name)
    with lock:
        assert value.get_lock().offset != lock.offset


def test_a_pickle_of_a_freed_value_is_an_error(blocks):
    """A pickle that is opened twice after the value has gone says so."""
    data = pickle.dumps(Value("i", 5))
    value = pickle.loads(data)
    assert value.value == 5
    del value
    blocks()
    with pytest.raises(GoneError):
        pickle.loads(data)
