"""``test._test_multiprocessing`` on holdfast's classes, children started by forkserver."""

from __future__ import annotations

from . import harness

globals().update(harness.MultiprocessingTests(__name__, "forkserver").names())
