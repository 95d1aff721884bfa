"""Turns the rows of a processor's list into a page on which one bad row spoils nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from .base import BadRecord, Page

Row = TypeVar("Row")
Record = TypeVar("Record")


def read_page(
    rows: Iterable[Row],
    read: Callable[[Row], Iterable[Record]],
    identify: Callable[[Row], str],
    cursor: str,
) -> Page[Record]:
    """Read each row into the records it holds, none for a row that is something else.

    A row for which ``read`` raises ValueError is rejected, with the error as its reason.
    """
    records: list[Record] = []
    rejected: list[BadRecord] = []
    for row in rows:
        try:
            records.extend(read(row))
        except ValueError as error:
            rejected.append(BadRecord(identify(row), str(error)))
    return Page(tuple(records), tuple(rejected), cursor)
