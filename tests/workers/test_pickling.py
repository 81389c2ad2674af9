"""`holdfast.workers.pickling`: two picklers, and who is to blame."""

from __future__ import annotations

import functools
import io
import pickle
import threading

import pytest
from worker_targets import double, make_lambda

from holdfast.workers import pickling


def test_a_refused_value_leaves_the_file_as_it_was():
    """Half a pickle is never left in the buffer."""
    file = io.BytesIO()
    file.write(b"head")
    with pytest.raises(TypeError, match=r"_thread\.lock"):
        pickling.dump([bytes(100_000), threading.Lock()], file)
    assert file.getvalue() == b"head"


def test_the_second_pickler_starts_where_the_first_began():
    """A value for cloudpickle comes out whole, with nothing of the first attempt before it."""
    assert pickle.loads(pickling.dumps([bytes(100_000), make_lambda(2)]))[1](1) == 3


class Box:
    def __init__(self, inside):
        self.inside = inside


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (threading.Lock(), "x is of type _thread.lock"),
        ({"a": [1, threading.Lock()]}, "x['a'][1] is of type _thread.lock"),
        (Box((Box(threading.Lock()),)), "x.inside[0].inside is of type _thread.lock"),
        (functools.partial(double, threading.Lock()), "x.args[0] is of type _thread.lock"),
    ],
)
def test_the_smallest_part_is_blamed(value, said):
    """The message leads to the object to change."""
    assert pickling.culprit(value, "x") == said


def test_looking_for_the_culprit_ends_in_a_circle():
    """A value that contains itself is looked at a few levels deep."""
    circle = [threading.Lock()]
    circle.insert(0, circle)
    assert "is of type" in pickling.culprit(circle, "x")


def test_names_that_a_fresh_interpreter_cannot_find():
    """Lambdas and local functions have none; module-level ones do; other objects are not judged."""
    assert pickling.by_name(double)
    assert pickling.by_name(functools.partial(double, 1))
    assert pickling.by_name(5)
    assert not pickling.by_name(make_lambda(1))
    assert not pickling.by_name(functools.partial(make_lambda(1), 1))
