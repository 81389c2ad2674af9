"""``test._test_multiprocessing``'s tests of queues and pipes on holdfast's classes, threads for children."""

from __future__ import annotations

from . import harness

globals().update(harness.with_threads(__name__))
