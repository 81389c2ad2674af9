"""Facts about this machine and interpreter that a figure cannot be read without."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path


def facts() -> dict[str, str]:
    """CPU, kernel, C library, interpreter, load, and the versions of what is measured."""
    found = {
        "cpu": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} of {os.cpu_count()} allowed",
        "kernel": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()),
        "python": f"{platform.python_implementation()} {platform.python_version()} ({sys.platform})",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }
    found.update({name: _version(name) for name in ("holdfast", "numpy", "faster-fifo", "hyperq", "pyzmq")})
    return found


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
