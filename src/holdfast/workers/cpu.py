"""`cpu_count`: how many CPUs this process may use.

Three limits and one last word, each read when asked, since a container's quota may change while it runs:

* the scheduler affinity (``taskset``, cpusets, Kubernetes' static CPU manager);
* CPU quotas of control groups (``docker --cpus=2``, ``CPUQuota=`` of a systemd unit): of the *own*, possibly
  nested, group and of each group above it, since any of them throttles;
* ``PYTHON_CPU_COUNT`` / ``-X cpu_count=n``, with which the user overrules both, on every Python version.

CPU *shares* and *weights* are no limits and are not looked at. The module knows nothing of workers.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cpu_count", "quota"]


def cpu_count() -> int:
    """The number of CPUs this process may use, at least 1; a quota of 1.5 CPUs counts as 2.

    Raises ValueError if ``PYTHON_CPU_COUNT`` or ``-X cpu_count`` is set to something that is no positive whole
    number.
    """
    wanted = _override()
    if wanted is not None:
        return wanted
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = quota() if sys.platform == "linux" else None
    return allowed if limit is None else min(allowed, limit)


def _override() -> int | None:
    option = sys._xoptions.get("cpu_count")
    source, text = "-X cpu_count", option
    if option is None and not sys.flags.ignore_environment:
        source, text = "PYTHON_CPU_COUNT", os.environ.get("PYTHON_CPU_COUNT")
    if text is None or text in ("", "default"):
        return None
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError(f"{source}={text!r}: it must be a whole number of at least 1, or 'default'")
    return int(text)


def quota(root: str | Path = "/") -> int | None:
    """The tightest CPU quota over this process's groups, rounded up to whole CPUs; None if there is none.

    ``root`` is the directory that holds ``proc`` and the mount points named there: tests give a tree of their own.
    """
    base = Path(root)
    limits = [limit for mount in _mounts(base) for limit in _limits(base, mount)]
    return min(limits, default=None)


class _Mount(NamedTuple):
    version: int
    root: PurePosixPath  # which group the mount point shows, as a path of the hierarchy
    point: PurePosixPath
    group: PurePosixPath  # the group of this process in that hierarchy


def _mounts(base: Path) -> Iterator[_Mount]:
    """The mounted hierarchies that can hold a CPU quota, each with the group of this process."""
    groups = _own_groups(base)
    for line in _lines(base / "proc/self/mountinfo"):
        # "36 35 98:0 ROOT POINT options [optional fields] - TYPE source super-options"
        left, _, right = line.partition(" - ")
        fields, (kind, _, options, *_) = left.split(" "), [*right.split(" "), "", "", ""]
        version = {"cgroup2": 2, "cgroup": 1}.get(kind)
        if version is None or len(fields) < 5 or version not in groups:
            continue
        if version == 1 and "cpu" not in options.split(","):
            continue
        yield _Mount(version, _path(fields[3]), _path(fields[4]), groups[version])


def _own_groups(base: Path) -> dict[int, PurePosixPath]:
    """{1: group in the cpu hierarchy of version 1, 2: group in the unified one}, as far as there are such."""
    groups = {}
    for line in _lines(base / "proc/self/cgroup"):
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            groups[2] = PurePosixPath(path)
        elif "cpu" in controllers.split(","):
            groups[1] = PurePosixPath(path)
    return groups


def _limits(base: Path, mount: _Mount) -> Iterator[int]:
    """The quotas, in whole CPUs, of the own group and of all above it that are visible."""
    try:
        inner = mount.group.relative_to(mount.root)
    except ValueError:
        # The group lies outside of what is mounted here (a container without a group namespace and with its own
        # mount): the mount's top is then the nearest group that holds this process.
        inner = PurePosixPath()
    if ".." in inner.parts:
        inner = PurePosixPath()
    top = base / str(mount.point).lstrip("/")
    read = _quota_v2 if mount.version == 2 else _quota_v1
    for group in (inner, *inner.parents):
        limit = read(top / group)
        if limit is not None:
            yield limit


def _quota_v2(group: Path) -> int | None:
    words = " ".join(_lines(group / "cpu.max")).split()  # "max 100000" or "150000 100000"
    return _cpus(*words) if len(words) == 2 else None


def _quota_v1(group: Path) -> int | None:
    words = [*_lines(group / "cpu.cfs_quota_us"), *_lines(group / "cpu.cfs_period_us")]  # "-1" for none
    return _cpus(*words) if len(words) == 2 else None


def _cpus(limit: str, period: str) -> int | None:
    if not limit.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return max(1, -(-int(limit) // int(period)))


def _path(text: str) -> PurePosixPath:
    """A path of mountinfo, where blanks are written as octal escapes."""
    return PurePosixPath(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
