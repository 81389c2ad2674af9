"""Keys of a priority queue: their order is Python's order of the items."""

from __future__ import annotations

import dataclasses
import decimal
import enum
import fractions
import math
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.channels.order import key

EDGES = [
    0,
    1,
    2**53,
    2**53 + 1,
    2**63,
    2**64 + 1,
    2**1000 + 1,
    int(sys.float_info.max),
    2**1024,
    2**1024 - 1,
    2**2040,
    2**5000,
]
EDGES = [sign * edge + more for edge in EDGES for sign in (1, -1) for more in (-1, 0, 1)]
FLOATS = [
    0.0,
    -0.0,
    5e-324,
    -5e-324,
    0.5,
    2.0**53,
    2.0**63,
    sys.float_info.max,
    -sys.float_info.max,
    math.inf,
    -math.inf,
]

wide_ints = st.integers() | st.sampled_from(EDGES) | st.integers(-(2**70), 2**70) | st.integers(-(2**9000), 2**9000)
floats = st.floats(allow_nan=False) | st.sampled_from(FLOATS)
# What rounds to the same double or to its neighbours.
near_doubles = st.builds(lambda f, n: int(f) + n, st.floats(2.0**50, sys.float_info.max), st.integers(-4, 4))
near_doubles |= near_doubles.map(lambda n: -n)
numbers = wide_ints | floats | st.booleans() | near_doubles | near_doubles.map(lambda n: n // 2**20 * 2**20)
texts = st.text(
    st.characters(exclude_categories=[]) | st.sampled_from("\0\x01\x7f\x80\ud7ff\ud800\udfff\ue000\uffff\U00010000")
)
some_bytes = st.binary() | st.lists(st.sampled_from([0, 1, 254, 255])).map(bytes)


def agree(a, b):
    """Keys of two comparable items are in the order of the items, and equal only if they are."""
    one, other = key(a), key(b)
    assert (one < other) == (a < b), (a, b)
    assert (one > other) == (a > b), (a, b)
    assert (one == other) == (a == b), (a, b)


@given(numbers, numbers)
@example(2**53 + 1, float(2**53))
@example(2**53 + 1, float(2**53 + 2))
@example(-(2**53) - 1, -float(2**53))
@example(0.0, -0.0)
@example(False, -0.0)
@example(2**1024, math.inf)
@example(-(2**1024), -math.inf)
def test_two_numbers(a, b):
    """Any two of int, float and bool, exactly: no int is rounded to be compared."""
    agree(a, b)


@given(st.data(), st.floats(-(2.0**200), 2.0**200, allow_nan=False))
def test_an_int_beside_a_double(data, value):
    """An int within a few steps of a double is on the right side of it, and of that double's neighbours."""
    whole = int(value) + data.draw(st.integers(-3, 3))
    for other in (value, math.nextafter(value, math.inf), math.nextafter(value, -math.inf), int(value)):
        agree(whole, other)


def test_every_pair_of_edges():
    """The numbers where the representation changes, each against each."""
    for a in EDGES + FLOATS:
        for b in EDGES + FLOATS:
            agree(a, b)


@given(texts, texts, texts)
@example("", "a", "")
@example("a", "\0", "\0")
def test_strings(prefix, a, b):
    """By code point, NULs and lone surrogates included; a beginning comes before the whole."""
    agree(prefix + a, prefix + b)


@given(some_bytes, some_bytes, some_bytes)
def test_bytes(prefix, a, b):
    """Bytes and bytearrays by their bytes, together."""
    agree(prefix + a, bytearray(prefix + b))


parts = st.sampled_from([numbers, texts, some_bytes])


@st.composite
def alike(draw, depth=2):
    """Two tuples whose elements at the same place can be compared."""
    shape = draw(st.lists(parts if depth == 0 else parts | st.just("tuple"), max_size=4))
    columns = [draw(alike(depth - 1)) if part == "tuple" else part for part in shape]
    made = []
    for which in range(2):
        row = [column[which] if isinstance(column, list) else draw(column) for column in columns]
        made.append(tuple(row[: draw(st.integers(0, len(row)))]))
    if made[0] and made[1] and draw(st.booleans()):
        made[1] = (made[0][0], *made[1][1:])
    return made


@given(alike())
@example([("a", "b"), ("a\0", "")])
@example([("", 1), ("\0",)])
@example([(b"", ()), (b"", ((),))])
@example([((1,), 2), ((1, 0), 1)])
@example([(1, None), (1, None, 0)])
def test_tuples(two):
    """Element by element, and a beginning before the whole; an element's end is never taken for its content."""
    agree(*two)


@given(st.lists(numbers) | st.lists(texts) | st.lists(some_bytes) | st.lists(st.tuples(numbers, texts)))
def test_sorting_by_key_is_sorting(items):
    """Also for equals, which keep their order: 1, 1.0 and True have one key."""
    assert list(map(repr, sorted(items, key=key))) == list(map(repr, sorted(items)))


def test_no_key_begins_another():
    """So that the keys of a tuple's elements can stand one after another."""
    items = [
        None,
        0,
        0.5,
        2**60,
        2**1100,
        -(2**1100),
        2**3000,
        "",
        "a",
        "a\0",
        "ab",
        b"",
        b"a",
        b"a\0",
        (),
        ((),),
        (1,),
        (1, 2),
    ]
    keys = [key((item,))[1:-1] for item in items]
    assert [(a, b) for a in keys for b in keys if a != b and b.startswith(a)] == []


def test_kinds_have_a_fixed_order():
    """What Python cannot compare is in the documented order: numbers, strings, bytes, tuples."""
    groups: list[list[Any]] = [
        [-math.inf, -5, True, 2**2000, math.inf],
        ["", "\U0010ffff"],
        [b"", b"\xff"],
        [(), (None,), (1,)],
    ]
    flat = [item for group in groups for item in group]
    turned = flat[::-1]
    assert sorted(turned, key=key) == flat


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Job(NamedTuple):
    level: int
    name: str


class Backwards(int):
    def __lt__(self, other):
        return int(self) > int(other)


@dataclasses.dataclass(order=True)
class Task:
    urgency: float
    name: str = ""
    what: Any = dataclasses.field(default=None, compare=False)


class NamedTask(Task):
    """Has the order of its parent."""


@dataclasses.dataclass
class WithMore(Task):
    """Still has the order of its parent: dataclass makes no new one unless asked."""

    more: Any = None


@dataclasses.dataclass
class Unordered:
    urgency: int


def test_subclasses_with_the_order_of_their_parents():
    """Enums of ints, namedtuples, subclasses of str: as what they are made from."""
    assert key(Level.HIGH) == key(2)
    assert key(Job(1, "a")) == key((1, "a"))
    assert key(type("Name", (str,), {})("x")) == key("x")


def test_dataclasses_by_their_compared_fields():
    """As Python orders them; the fields that are not compared may hold anything."""
    agree(Task(1, "b", object()), Task(1.5, "a", {}))
    agree(Task(1, "b", object()), Task(1, "b", {}))
    agree(NamedTask(2, "a"), NamedTask(2, "b"))
    agree(WithMore(1, "a", more=[]), WithMore(1, "b", more={}))


@pytest.mark.parametrize("kind", ["int8", "uint64", "float16", "float32", "float64"])
def test_numbers_of_numpy(kind):
    """NumPy's numbers stand where their values stand."""
    scalar = getattr(np, kind)
    assert key(scalar(7)) == key(7)
    assert key(scalar(100)) > key(scalar(3))


@pytest.mark.parametrize(
    "item",
    [
        None,
        {},
        [1],
        object(),
        1j,
        Unordered(1),
        Backwards(1),
        max,
        decimal.Decimal(1),
        fractions.Fraction(1, 2),
        {1},
        (1, [2]),
    ],
    ids=lambda item: type(item).__name__,
)
def test_what_has_no_order_is_refused(item):
    """A TypeError that names the type and says what to do."""
    with pytest.raises(TypeError, match=r"of type .* has no order that bytes can keep; .*put\(item, priority=\.\.\.\)"):
        key(item)


@pytest.mark.parametrize("item", [math.nan, (1, math.nan), np.float64("nan")])
def test_nan_is_refused(item):
    """Not a number, not a place."""
    with pytest.raises(ValueError, match="nan has no place in an order"):
        key(item)
