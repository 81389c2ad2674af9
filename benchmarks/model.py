"""What a benchmark is: cases, gates, and the results of running them.

Plain data and the arithmetic on it; knows nothing of what is measured, of printing or of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, TypeAlias

SUBJECT = "holdfast"

Trial: TypeAlias = Callable[[], float]
"""One measurement of one peer; raises :class:`Unavailable` if that peer is not here."""


class Unavailable(Exception):
    """A peer (or this machine) lacks what a trial needs."""


class TrialError(Exception):
    """A trial gave a wrong result, stalled, or lost one of its processes."""


@dataclass(frozen=True)
class Beats:
    """A gate: at least ``times`` as good as ``peer``, by the median of the paired in-round ratios."""

    peer: str
    times: float

    def __str__(self) -> str:
        return f">= {self.times:g}x {self.peer}"


@dataclass(frozen=True)
class AtMost:
    """A gate: the median of holdfast itself is at most ``bound``, in the unit of the case."""

    bound: float

    def __str__(self) -> str:
        return f"<= {self.bound:g}"


Gate: TypeAlias = Beats | AtMost


@dataclass(frozen=True)
class Case:
    """One figure, measured for every peer back to back in each round.

    ``better`` says whether less or more of ``unit`` is better; ``includes`` what is inside the timed part.
    """

    name: str
    unit: str
    better: Literal["less", "more"]
    trials: Mapping[str, Trial]
    gates: tuple[Gate, ...] = ()
    includes: str = ""


@dataclass
class Result:
    """The samples of one case by peer, in the order of the rounds (``None``: that trial failed)."""

    case: Case
    samples: dict[str, list[float | None]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def good(self, peer: str) -> list[float]:
        """The samples that ``peer`` delivered."""
        return [sample for sample in self.samples.get(peer, []) if sample is not None]

    def ratios(self, peer: str) -> list[float]:
        """How many times better holdfast was than ``peer``, for each round in which both delivered."""
        pairs = zip(self.samples.get(SUBJECT, []), self.samples.get(peer, []), strict=False)
        return [self._times_better(mine, other) for mine, other in pairs if mine is not None and other is not None]

    def _times_better(self, mine: float, other: float) -> float:
        top, bottom = (other, mine) if self.case.better == "less" else (mine, other)
        if bottom == 0:
            return 1.0 if top == 0 else float("inf")
        return top / bottom

    def verdict(self, gate: Gate) -> str:
        """``met``, ``MISSED``, or ``not measured``; a failed trial of holdfast misses every gate."""
        if any(sample is None for sample in self.samples.get(SUBJECT, [])):
            return "MISSED"
        if isinstance(gate, AtMost):
            mine = self.good(SUBJECT)
            return "not measured" if not mine else _word(median(mine) <= gate.bound)
        ratios = self.ratios(gate.peer)
        return "not measured" if not ratios else _word(median(ratios) >= gate.times)


def _word(met: bool) -> str:
    return "met" if met else "MISSED"
