"""Workers: threads and processes, how they start, how they end, and what came of them. Only names live here."""

from __future__ import annotations

from holdfast.workers.cpu import cpu_count
from holdfast.workers.current import active_children, current
from holdfast.workers.process import Process
from holdfast.workers.remote import RemoteError, RemoteTraceback
from holdfast.workers.thread import Thread

__all__ = ["Process", "RemoteError", "RemoteTraceback", "Thread", "active_children", "cpu_count", "current"]
