"""Use an installed holdfast once from end to end; ``make wheel-test`` runs it on the wheel, away from the sources.

python -I scripts/smoke.py
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import holdfast


def count(lock: holdfast.Lock, total: holdfast.Value, times: int) -> int:
    """Add ``times`` to ``total`` one by one, under ``lock``, in whatever process this runs."""
    for _ in range(times):
        with lock:
            total.value += 1
    return times


def main() -> None:
    here = Path(holdfast.__file__).resolve()
    if Path(__file__).resolve().parent.parent / "src" in here.parents:
        sys.exit(f"smoke: this is the source tree, not an installed package: {here}")

    lock, total = holdfast.Lock(), holdfast.Value("q", 0)
    processes = [holdfast.Process(target=count, args=(lock, total, 1000)) for _ in range(2)]
    for process in processes:
        process.start()
    if [process.result(60) for process in processes] != [1000, 1000] or total.value != 2000:
        sys.exit(f"smoke: two processes counted to {total.value}, not 2000")

    with holdfast.ProcessPoolExecutor(2) as pool:
        if list(pool.map(pow, range(10), [2] * 10)) != [n * n for n in range(10)]:
            sys.exit("smoke: the pool gave wrong results")

    script = Path(sys.executable).with_name("holdfast")
    subprocess.run([str(script), "--help"], check=True, stdout=subprocess.DEVNULL)
    print(f"holdfast {importlib.metadata.version('holdfast')} from {here.parent}: works")


if __name__ == "__main__":
    main()
