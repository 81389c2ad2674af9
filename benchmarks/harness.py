"""Runs cases in paired rounds and reports them: as text, as a Markdown table, as JSON.

Every peer of a case is measured back to back inside a round, the first one changing from round to round, so
that the ratio of two figures of one round says more than either figure on a shared machine. Nothing here
asserts a time: a missed gate is a word in the report.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from benchmarks.model import SUBJECT, Beats, Case, Result, TrialError, Unavailable


def run_case(case: Case, rounds: int) -> Result:
    """Measure ``case`` in ``rounds`` paired rounds; a peer that is not here is skipped, a failing trial noted."""
    result = Result(case)
    peers = list(case.trials)
    for number in range(rounds):
        shift = number % len(peers)
        for peer in peers[shift:] + peers[:shift]:
            if peer not in result.skipped:
                _run_trial(result, peer)
    return result


def _run_trial(result: Result, peer: str) -> None:
    sample: float | None = None
    try:
        sample = result.case.trials[peer]()
    except Unavailable as reason:
        result.skipped[peer] = str(reason)
        return
    except TrialError as error:
        result.failures.append(f"{peer}: {error}")
    except Exception as error:
        failure = f"{peer}: {type(error).__name__}: {error}"
        if failure not in result.failures:
            traceback.print_exc(file=sys.stderr)
        result.failures.append(failure)
    result.samples.setdefault(peer, []).append(sample)


def figure(value: float) -> str:
    """Three significant digits, thousands and millions shortened."""
    for size, suffix in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if suffix == 'k' else size):.3g}{suffix}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def spread(samples: Sequence[float]) -> str:
    """``median [min..max]``."""
    return f"{figure(median(samples))} [{figure(min(samples))}..{figure(max(samples))}]" if samples else "-"


def times(ratios: Sequence[float]) -> str:
    """``median x [min..max]`` of ratios."""
    return f"{median(ratios):.3g}x [{min(ratios):.3g}..{max(ratios):.3g}]" if ratios else "-"


HEADINGS = ("case", "unit", "holdfast", "peer", "its figure", "times better", "gate", "")


def rows(result: Result) -> Iterator[tuple[str, ...]]:
    """The lines of the table for one case: one per peer, and one per gate that is on holdfast alone."""
    case = result.case
    mine = spread(result.good(SUBJECT))
    alone = [gate for gate in case.gates if not isinstance(gate, Beats)]
    others = [peer for peer in case.trials if peer != SUBJECT]
    for gate in alone:
        yield case.name, case.unit, mine, "", "", "", str(gate), result.verdict(gate)
    if not alone and not others:
        yield case.name, case.unit, mine, "", "", "", "", ""
    for peer in others:
        gates = [gate for gate in case.gates if isinstance(gate, Beats) and gate.peer == peer]
        asked = ", ".join(f">= {gate.times:g}x" for gate in gates)
        said = ", ".join(result.verdict(gate) for gate in gates)
        yield (case.name, case.unit, mine, peer, spread(result.good(peer)), times(result.ratios(peer)), asked, said)


def failure_notes(result: Result) -> Iterator[str]:
    """One line per different way in which trials failed."""
    for failure in dict.fromkeys(result.failures):
        yield f"{result.case.name}: FAILED {result.failures.count(failure)} of {_rounds(result)} rounds: {failure}"


def _rounds(result: Result) -> int:
    return max((len(samples) for samples in result.samples.values()), default=0)


def text_lines(result: Result) -> Iterator[str]:
    """The report of one case, for a terminal."""
    yield f"{result.case.name} [{result.case.unit}]" + (f": {result.case.includes}" if result.case.includes else "")
    for _, _, mine, peer, its, ratio, gate, verdict in rows(result):
        against = f"{peer} {its}: {ratio}" if peer else ""
        yield f"    {mine:<28} {against}{f'  ({gate}: {verdict})' if gate else ''}".rstrip()
    for peer, reason in result.skipped.items():
        yield f"    {peer} skipped: {reason}"
    for note in failure_notes(result):
        yield f"    ! {note}"


def markdown(results: Sequence[Result]) -> str:
    """All results as one Markdown table, followed by the notes."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    lines += ["| " + " | ".join(row) + " |" for result in results for row in rows(result)]
    included = [(result.case.includes, result.case.name) for result in results if result.case.includes]
    remarks = [(reason, f"{peer} skipped") for result in results for peer, reason in result.skipped.items()]
    failures = [f"* {note}" for result in results for note in failure_notes(result)]
    return "\n".join([*lines, "", *_grouped(included), *_grouped(remarks), *failures])


def _grouped(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """One line per different text, with the names it stands for."""
    for text in dict.fromkeys(text for text, _ in pairs):
        names = dict.fromkeys(name for other, name in pairs if other == text)
        yield f"* {', '.join(names)}: {text}"


def as_json(facts: dict[str, str], results: Sequence[Result]) -> dict[str, Any]:
    """Everything measured, for a file."""
    return {
        "machine": facts,
        "cases": [
            {
                "name": result.case.name,
                "unit": result.case.unit,
                "better": result.case.better,
                "includes": result.case.includes,
                "samples": result.samples,
                "skipped": result.skipped,
                "failures": result.failures,
                "gates": [{"gate": str(gate), "verdict": result.verdict(gate)} for gate in result.case.gates],
            }
            for result in results
        ],
    }
