"""What the tests of sync share: a private place for sessions, and peers that are always reaped."""

from __future__ import annotations

import contextlib

import pytest
from tests.core.tools import Peer


@pytest.fixture
def peer_of():
    """Make peers: ``peer_of("spawn")``. They are ended, or killed, after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda method="fork": stack.enter_context(Peer(method))


@pytest.fixture
def place_of_its_own(tmp_path):
    """A directory for sessions; give it to programs as ``env={"HOLDFAST_DIR": …}``."""
    folder = tmp_path / "memory"
    folder.mkdir()
    return folder
