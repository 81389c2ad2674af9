"""What the tests of the channels share: peers, and queues of both kinds."""

from __future__ import annotations

import uuid

import pytest
from tests.core.conftest import peer_of, place_of_its_own
from tests.sync.conftest import interrupted

from holdfast import Queue

__all__ = ["interrupted", "local", "name", "peer_of", "place_of_its_own"]


@pytest.fixture(params=["shared", "local"])
def local(request):
    """Whether to make queues with ``local=True``: both in turn."""
    return request.param == "local"


@pytest.fixture
def name():
    """A name for a queue that nobody else uses, and that is gone after the test."""
    made = f"test {uuid.uuid4().hex}"
    yield made
    try:
        Queue.unlink(made)
    except FileNotFoundError:
        pass
