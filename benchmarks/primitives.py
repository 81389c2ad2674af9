"""``python -m benchmarks.primitives``: the primitives against the standard library, with the gates of the project.

Only reads arguments, runs the chosen cases and prints; what is measured stands in ``benchmarks/cases/``.
Exit code 0 whatever the figures are.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
from pathlib import Path

from benchmarks.cases import all_cases
from benchmarks.harness import as_json, markdown, run_case, text_lines
from benchmarks.machine import facts
from benchmarks.model import SUBJECT, Case, Result, Unavailable
from benchmarks.peers import holdfast


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.primitives", description="Compare the primitives.")
    parser.add_argument("--rounds", type=int, default=5, help="paired rounds per case (default 5)")
    parser.add_argument("--only", metavar="PATTERN", default="*", help="cases by name, as in '*lock*'")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write everything measured to FILE")
    parser.add_argument("--markdown", action="store_true", help="end with a Markdown table")
    parser.add_argument("--list", action="store_true", help="only name the cases")
    return parser.parse_args()


def _chosen(pattern: str) -> list[Case]:
    return [case for case in all_cases() if fnmatch.fnmatch(case.name, pattern)]


def _print_heading(found: dict[str, str]) -> None:
    for name, fact in found.items():
        print(f"{name}: {fact}")
    try:
        holdfast()
    except Unavailable as reason:
        print(f"{reason}; only its peers are measured")
    print("median [min..max] over rounds; 'x': paired in-round ratio, above 1 = holdfast is better", flush=True)


def _print_summary(results: list[Result]) -> None:
    verdicts = [(result, gate, result.verdict(gate)) for result in results for gate in result.case.gates]
    met = sum(verdict == "met" for _, _, verdict in verdicts)
    print(f"{met} of {len(verdicts)} gates met by {SUBJECT}")
    for result, gate, verdict in verdicts:
        if verdict != "met":
            print(f"    {result.case.name} ({gate}): {verdict}")


def main() -> int:
    """Run the chosen cases and report."""
    arguments = _arguments()
    chosen = _chosen(arguments.only)
    if arguments.list:
        print("\n".join(case.name for case in chosen))
        return 0
    found = facts()
    _print_heading(found)
    results = []
    for case in chosen:
        results.append(run_case(case, arguments.rounds))
        print("\n".join(text_lines(results[-1])), flush=True)
    if arguments.markdown:
        print(markdown(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(as_json(found, results), indent=1), encoding="utf-8")
    _print_summary(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
