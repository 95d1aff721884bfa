"""The exhaustive grid: every failpoint × every fault × before and after × every money call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateways.failpoints import FAILPOINTS
from gateways.sandbox.faults import KINDS

from .processors import ACCOUNTS, KEYED

_ONLY_AFTER = ("wrong_echo", "wrong_type")


@dataclass(frozen=True, slots=True)
class Cell:
    dialect: str
    call: str  # refund, or void where payments settle at night
    failpoint: str
    what: str
    when: str

    @property
    def name(self) -> str:
        return f"{self.dialect}/{self.call}/{self.failpoint}/{self.what}/{self.when}"

    @classmethod
    def named(cls, name: str) -> Cell:
        return cls(*name.split("/"))


def cells() -> Iterator[Cell]:
    """All of them, in an order that changes the processor fastest."""
    for failpoint in FAILPOINTS:
        for what in KINDS:
            for when in ("after",) if what in _ONLY_AFTER else ("before", "after"):
                for dialect in ACCOUNTS:
                    for call in ("refund",) if dialect in KEYED else ("refund", "void"):
                        yield Cell(dialect, call, failpoint, what, when)


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
