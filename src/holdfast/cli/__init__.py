"""The command line, ``holdfast``: one file per subcommand, imported only when it is called.

Here live the entry point and the list of subcommands. Built on argparse, so that it works, and starts fast, without
the ``cli`` extra; a subcommand that draws tables imports rich by itself.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

# name: (module with `arguments(parser)` and `run(options) -> exit code`, one line for the list)
COMMANDS = {
    "demo": ("holdfast.cli.demo", "parse this interpreter's library serially, with threads and with processes"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Wrong arguments end the program by SystemExit(2)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="holdfast", description="Concurrency that survives the death of any worker.")
    parser.add_argument("--version", action="store_true", help="print the version and end")
    subparsers = parser.add_subparsers(dest="command", metavar="command")
    # Only the command that is asked for is imported, for its own options.
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for name, (module, line) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=line, description=line)
        if name == asked:
            importlib.import_module(module).arguments(subparser)
    options = parser.parse_args(arguments)
    if options.version:
        from holdfast import __version__

        print(f"holdfast {__version__}")
        return 0
    if options.command is None:
        parser.print_help()
        return 2
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        return int(importlib.import_module(COMMANDS[options.command][0]).run(options))
    except KeyboardInterrupt:
        print(f"holdfast {options.command}: interrupted", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "rich":
            raise
        print(f"holdfast {options.command} needs rich: pip install 'holdfast[cli]'", file=sys.stderr)
        return 2
