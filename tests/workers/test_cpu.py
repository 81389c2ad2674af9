"""`holdfast.cpu_count`: what this process may use, in made-up containers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from holdfast.workers import cpu, cpu_count

V2 = "30 23 0:26 {root} /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "32 23 0:28 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
)


class Machine:
    """A made-up root directory."""

    def __init__(self, root):
        self.root = root

    def write(self, path, text):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def v2(self, group, limits, root="/"):
        self.write("/proc/self/cgroup", f"0::{group}\n")
        self.write("/proc/self/mountinfo", V2.format(root=root))
        for path, text in limits.items():
            self.write(f"/sys/fs/cgroup{path}/cpu.max", text + "\n")

    def v1(self, group, limits, root="/"):
        self.write("/proc/self/cgroup", f"5:memory:/elsewhere\n4:cpu,cpuacct:{group}\n0::/\n")
        self.write("/proc/self/mountinfo", V1.format(root=root))
        for path, (limit, period) in limits.items():
            self.write(f"/sys/fs/cgroup/cpu,cpuacct{path}/cpu.cfs_quota_us", f"{limit}\n")
            self.write(f"/sys/fs/cgroup/cpu,cpuacct{path}/cpu.cfs_period_us", f"{period}\n")

    def quota(self):
        return cpu.quota(self.root)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("max 100000", None), ("nonsense", None)],
)
def test_version_2_quota_is_rounded_up(machine, text, cpus):
    """1.5 CPUs make 2, a tenth makes 1, "max" is no limit."""
    machine.v2("/", {"": text})
    assert machine.quota() == cpus


def test_version_2_looks_at_the_own_nested_group_and_all_above(machine):
    """The tightest limit on the way to the root counts; a neighbour's does not."""
    machine.v2(
        "/user.slice/job.scope/inner",
        {
            "/user.slice": "400000 100000",
            "/user.slice/job.scope": "300000 100000",
            "/user.slice/job.scope/inner": "max 100000",
            "/user.slice/other": "100000 100000",
        },
    )
    assert machine.quota() == 3


@pytest.mark.parametrize(("limit", "cpus"), [((250000, 100000), 3), ((-1, 100000), None), ((50000, 0), None)])
def test_version_1_quota(machine, limit, cpus):
    """Quota over period, rounded up; -1 is no limit."""
    machine.v1("/docker/abc", {"/docker/abc": limit, "": (-1, 100000)})
    assert machine.quota() == cpus


def test_version_1_looks_at_the_groups_above(machine):
    """A limit on the parent throttles the child."""
    machine.v1("/kubepods/pod1/box", {"/kubepods/pod1": (200000, 100000), "/kubepods/pod1/box": (-1, 100000)})
    assert machine.quota() == 2


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_container_that_sees_only_its_own_group(machine, version):
    """The mount shows the container's group as its top while /proc names it from the host: both are the same group."""
    limit = "200000 100000" if version == "v2" else (200000, 100000)
    getattr(machine, version)("/docker/abc", {"": limit}, root="/docker/abc")
    assert machine.quota() == 2


@pytest.mark.parametrize("group", ["/somewhere/else", "/../neighbour"])
def test_a_group_outside_of_the_mount_counts_its_top(machine, group):
    """What cannot be seen cannot be read; the nearest visible group still limits."""
    machine.v2(group, {"": "200000 100000"}, root="/docker/abc" if group == "/somewhere/else" else "/")
    assert machine.quota() == 2


def test_both_versions_at_once(machine):
    """A hybrid system: the version 1 limit holds although the unified hierarchy is there too."""
    machine.v1("/box", {"/box": (100000, 100000)})
    machine.write("/proc/self/mountinfo", V1.format(root="/") + V2.format(root="/").replace("cgroup rw", "unified rw"))
    assert machine.quota() == 1


def test_mount_points_with_blanks(machine):
    """The mount table writes a blank as an octal escape."""
    machine.v2("/", {})
    machine.write("/proc/self/mountinfo", V2.format(root="/").replace("/sys/fs/cgroup", "/odd\\040place"))
    machine.write("/odd place/cpu.max", "100000 100000\n")
    assert machine.quota() == 1


def test_no_groups_no_quota(machine):
    """Without /proc there is no limit to know of."""
    assert machine.quota() is None


def test_the_smaller_of_affinity_and_quota_counts(monkeypatch):
    """Either limit alone would be too many."""
    monkeypatch.delenv("PYTHON_CPU_COUNT", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    for limit, count in [(2, 2), (8, 4), (None, 4)]:
        monkeypatch.setattr(cpu, "quota", lambda limit=limit: limit)
        assert cpu_count() == count


def test_the_users_word_counts_most(monkeypatch):
    """PYTHON_CPU_COUNT is taken as it is, also where it is more than the machine has."""
    monkeypatch.setenv("PYTHON_CPU_COUNT", "37")
    assert cpu_count() == 37
    monkeypatch.setenv("PYTHON_CPU_COUNT", "default")
    assert cpu_count() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "many", "²"])
def test_a_nonsensical_word_is_an_error(monkeypatch, text):
    """A typing error does not silently become some number."""
    monkeypatch.setenv("PYTHON_CPU_COUNT", text)
    with pytest.raises(ValueError, match="PYTHON_CPU_COUNT"):
        cpu_count()


@pytest.mark.parametrize(
    ("options", "expected"), [(["-X", "cpu_count=5"], "5"), (["-X", "cpu_count=default"], None), (["-E"], None)]
)
def test_interpreter_options(options, expected):
    """``-X cpu_count`` beats the variable, its "default" too; ``-E`` hides the variable."""
    code = "from holdfast.workers.cpu import cpu_count; print(cpu_count())"
    environment = {**os.environ, "PYTHON_CPU_COUNT": "1234"}
    if "-E" in options:
        options = [*options, "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"]
    else:
        options = [*options, "-c", code]
    out = subprocess.run([sys.executable, *options], env=environment, capture_output=True, text=True, check=True).stdout
    assert out.strip() == expected if expected else int(out) < 1234


def test_this_machine():
    """At least one, and no more than there are."""
    assert 1 <= cpu_count() <= (os.cpu_count() or 1)
