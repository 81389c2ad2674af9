"""What these tests share: a call in another process, and a count of the session's blocks."""

from __future__ import annotations

import gc

import pytest
from tests.shared import targets

from holdfast.core import session


@pytest.fixture
def call_in(context):
    """Call a function in another process of each start method in turn: ``call_in(function, *args)``, its value."""

    def call(function, *args):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=targets.call, args=(theirs, function, args))
        process.start()
        theirs.close()
        done, value = ours.recv()
        ours.close()
        process.join()
        process.close()
        if not done:
            raise value
        return value

    return call


@pytest.fixture
def blocks():
    """How many blocks the session has: ``blocks()``."""

    def count():
        gc.collect()
        return session.current().stats()["blocks"]

    return count
