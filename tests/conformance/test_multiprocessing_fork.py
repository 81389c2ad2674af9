"""``test._test_multiprocessing`` on holdfast's classes, children started by fork."""

from __future__ import annotations

from . import harness

globals().update(harness.MultiprocessingTests(__name__, "fork").names())
