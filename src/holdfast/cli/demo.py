"""``holdfast demo``: one real job three ways, with a worker killed on purpose, and every total checked.

Here live the command's options, its order of events and its table. What is counted, and how the totals stay exact, is
in `counting`; how the three ways are run is in `modes`.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from typing import TYPE_CHECKING

from holdfast.cli import counting, modes
from holdfast.workers.cpu import cpu_count

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["arguments", "disagreements", "run"]

# "bad": files that Python refuses to parse, on purpose in its own tests. "again": tasks that were run a second time.
HEADINGS = ("seconds", "speed-up", "files", "lines", "functions", "classes", "bad", "killed", "again")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    text = "threads and processes (default: the CPUs it may use)"
    parser.add_argument("--workers", type=_number_of_workers, metavar="N", help=text)
    parser.add_argument("--files", metavar="N|GLOB", help="only the first N files, or those that match, e.g. 'json/*'")
    parser.add_argument("--no-kill", action="store_true", help="let every worker live")


def _number_of_workers(text: str) -> int:
    """The option's value; argparse ends the program with exit code 2 if it is none."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of workers: give 1 or more")
    return number


def run(options: argparse.Namespace) -> int:
    """Run the demo; 0 only if all totals agree."""
    from rich.console import Console

    paths = counting.library_files(options.files)
    if not paths:
        print(f"holdfast demo: no file matches --files {options.files}", file=sys.stderr)
        return 2
    workers = options.workers or cpu_count()
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(
        f"Parsing {len(paths)} files of Python {sys.version.split()[0]}'s own library, {workers} workers",
        highlight=False,
    )
    with warnings.catch_warnings():
        results = [
            modes.watched(console, "serial", modes.serially, paths),
            modes.watched(console, "threads", modes.with_threads, paths, workers),
            modes.watched(console, "processes", modes.with_processes, paths, workers, not options.no_kill),
        ]
    return _conclude(console, results)


def _conclude(console: Console, results: list[modes.Result]) -> int:
    console.print(_table(results))
    if results[-1].kill is not None:
        console.print(results[-1].kill.sentence(), highlight=False)
    wrong = disagreements(results)
    for line in wrong:
        console.print(f"WRONG: {line}", style="bold red", highlight=False)
    if not wrong:
        console.print("All totals agree, and equal the plain serial count.", style="bold green")
    return 1 if wrong else 0


def disagreements(results: list[modes.Result]) -> list[str]:
    """What does not agree, in words: with the first result's plain count, everything must."""
    plain = results[0].returned
    found = []
    for result in results:
        if result.returned != plain:
            found.append(f"{result.name}: the tasks returned {result.returned}, the plain serial count is {plain}")
        if result.shared != plain:
            found.append(f"{result.name}: the shared values hold {result.shared}, the plain serial count is {plain}")
    return found


def _table(results: list[modes.Result]) -> Table:
    from rich.table import Table

    table = Table(title="One job, three ways (totals from the shared values)")
    table.add_column("mode", no_wrap=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        numbers = [f"{result.seconds:.2f}", f"{results[0].seconds / result.seconds:.2f} x"]
        numbers += [f"{n:,}" for n in result.shared]
        killed = "-" if result.kill is None else f"pid {result.kill.pid}"
        table.add_row(result.name, *numbers, killed, str(len(result.again)))
    return table
