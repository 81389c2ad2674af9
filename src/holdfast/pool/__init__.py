"""Pools: many tasks over few workers, on top of `workers`, `sync` and the core's rings. Only names live here."""

from __future__ import annotations

from holdfast.pool.executor import ProcessPoolExecutor
from holdfast.pool.threads import ThreadPoolExecutor

__all__ = ["ProcessPoolExecutor", "ThreadPoolExecutor"]
