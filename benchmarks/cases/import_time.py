"""What ``import holdfast`` adds to starting the bare interpreter, by whole processes run in pairs."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from statistics import median
from time import perf_counter_ns

from benchmarks.model import SUBJECT, AtMost, Case
from benchmarks.peers import holdfast

PAIRS = 15


def _run_ms(code: str) -> float:
    start = perf_counter_ns()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (perf_counter_ns() - start) / 1e6


def _beyond_ms(code: str) -> float:
    """Median over pairs of the time of a process that runs ``code``, less that of one that runs nothing."""
    holdfast()
    return median(-_run_ms("pass") + _run_ms(code) for _ in range(PAIRS))


def cases() -> list[Case]:
    """The import alone (gate), and with the first lock."""
    note = f"beyond `python -c pass`, whole processes, median of {PAIRS} pairs"
    code = "import holdfast; holdfast.Lock()"
    return [
        Case("import", "ms", "less", {SUBJECT: partial(_beyond_ms, "import holdfast")}, (AtMost(30),), note),
        Case("import_and_lock", "ms", "less", {SUBJECT: partial(_beyond_ms, code)}, (), f"`{code}`, {note}"),
    ]
