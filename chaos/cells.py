"""The exhaustive grid: every failpoint × every fault × before and after × every money call.

Once the crash meets the refund together with the fault, and once, where a worker that sends can
die, in the turn after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateways.failpoints import FAILPOINTS
from gateways.sandbox.faults import KINDS

from .processors import ACCOUNTS, KEYED

_ONLY_AFTER = ("wrong_echo", "wrong_type")
# What whoever sends passes by.
ON_THE_WAY = FAILPOINTS[: FAILPOINTS.index("after-result-commit") + 1]
_LATER = "later"


@dataclass(frozen=True, slots=True)
class Cell:
    dialect: str
    call: str  # refund, or void where payments settle at night
    failpoint: str
    what: str
    when: str
    is_later: bool = False  # the crash comes in the turn after the one that met the fault

    @property
    def name(self) -> str:
        parts = [self.dialect, self.call, self.failpoint, self.what, self.when]
        return "/".join([*parts, _LATER] if self.is_later else parts)

    @classmethod
    def named(cls, name: str) -> Cell:
        dialect, call, failpoint, what, when, *later = name.split("/")
        return cls(dialect, call, failpoint, what, when, is_later=later == [_LATER])


def cells() -> Iterator[Cell]:
    """All of them, in an order that changes the processor fastest."""
    crashes = [(failpoint, False) for failpoint in FAILPOINTS]
    crashes += [(failpoint, True) for failpoint in ON_THE_WAY]
    for failpoint, is_later in crashes:
        for what in KINDS:
            for when in ("after",) if what in _ONLY_AFTER else ("before", "after"):
                for dialect in ACCOUNTS:
                    for call in ("refund",) if dialect in KEYED else ("refund", "void"):
                        yield Cell(dialect, call, failpoint, what, when, is_later)


def fixed_cells() -> list[Cell]:
    """A small part that has every failpoint at every processor, and every fault somewhere."""
    everything = list(cells())
    chosen: list[Cell] = []
    crashes = {(cell.dialect, cell.failpoint) for cell in everything}
    faults: list[str] = []
    for number in range(len(everything)):
        cell = everything[number * 389 % len(everything)]  # prime to their number: all, scattered
        faults = faults or list(KINDS)
        if (cell.dialect, cell.failpoint) in crashes and cell.what in faults:
            chosen.append(cell)
            crashes.remove((cell.dialect, cell.failpoint))
            faults.remove(cell.what)
    return chosen
