"""What the tests of the primitives share with those of the core, and the channels' with them."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from tests.core.conftest import peer_of, place_of_its_own
from tests.core.tools import asleep, until
from tests.sync import programs
from tests.sync.programs import Worker

__all__ = ["interrupted", "peer_of", "place_of_its_own"]


@pytest.fixture
def interrupted(peer_of):
    """Make a call in this, the main, thread, and have another process send SIGINT while it blocks."""
    peer = peer_of()
    pid = os.getpid()

    def run(call, *args):
        begun = threading.Event()  # starting a thread sleeps too, outside of what may be interrupted

        def poke():
            assert begun.wait(20)
            until(lambda: asleep(pid), "the main thread blocks")
            peer.call(programs.interrupt, pid)

        helper = Worker(poke)
        with pytest.raises(KeyboardInterrupt):
            begun.set()
            call(*args)
        helper.result()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield run
    signal.signal(signal.SIGINT, before)
