"""Walks PayPal's transaction search: windows of a month at most, pages within, 10,000 rows each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from .errors import OutcomeUnknown
from .json_fields import iso_time_at

LONGEST = timedelta(days=31)
_SECOND = timedelta(seconds=1)
_ROWS_PER_PAGE = 500


class TooManyRows(Exception):
    """The window holds more rows than PayPal gives out for one."""


@dataclass(frozen=True, slots=True)
class Found:
    """One page of the search, and how many pages there are."""

    rows: list[Any]
    pages: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Which page of which window, for the which of the event codes; times in whole seconds."""

    code: int
    start: datetime
    end: datetime
    page: int

    @classmethod
    def parse(cls, cursor: str) -> _Place:
        code, start, end, page = cursor.split()
        return cls(int(code), datetime.fromisoformat(start), datetime.fromisoformat(end), int(page))

    def __str__(self) -> str:
        return f"{self.code} {self.start.isoformat()} {self.end.isoformat()} {self.page}"

    def halved(self) -> _Place:
        seconds = (self.end - self.start) // _SECOND
        if seconds < 2:
            raise OutcomeUnknown(f"PayPal has too many transactions at {self.start} to list them.")
        return replace(self, end=self.start + seconds // 2 * _SECOND, page=1)

    def following(self, pages: int, first: datetime, last: datetime, codes: int) -> _Place | None:
        """The next page; or the next window, up to twice as long; or the next event code."""
        if self.page < pages:
            return replace(self, page=self.page + 1)
        if self.end < last:
            longest = min(2 * (self.end - self.start), LONGEST)
            return replace(self, start=self.end, end=min(self.end + longest, last), page=1)
        if self.code + 1 < codes:
            return _Place(self.code + 1, first, min(first + LONGEST, last), 1)
        return None

    def query(self, event_code: str) -> dict[str, str]:
        query = {
            "start_date": _written(self.start),
            "end_date": _written(self.end),
            "fields": "transaction_info,payer_info,cart_info",
            # Payments that wait for the buyer's bank have moved no balance yet, and are wanted.
            "balance_affecting_records_only": "N",
            "page_size": str(_ROWS_PER_PAGE),
            "page": str(self.page),
        }
        return {**query, "transaction_type": event_code} if event_code else query


def search(
    ask: Callable[[dict[str, str]], Found],
    since: datetime,
    until: datetime,
    codes: tuple[str, ...],
    cursor: str,
) -> Iterator[tuple[list[Any], str]]:
    """Pages of rows from ``since`` (included) to ``until`` (not), with the cursor that resumes.

    ``codes`` are event codes, one after the other; the empty one stands for all. ``ask`` makes
    one call and raises TooManyRows where PayPal wants a shorter window.
    """
    first = since.replace(microsecond=0)
    last = max(
        until.replace(microsecond=0) + (_SECOND if until.microsecond else 0 * _SECOND), first
    )
    place = _Place.parse(cursor) if cursor else _Place(0, first, min(first + LONGEST, last), 1)
    while True:
        try:
            found = ask(place.query(codes[place.code]))
        except TooManyRows:
            place = place.halved()
            continue
        # PayPal includes both ends of a window: its last second belongs to the next one.
        begin, end = max(place.start, since), min(place.end, until)
        rows = [row for row in found.rows if _is_within(row, begin, end)]
        following = place.following(found.pages, first, last, len(codes))
        yield rows, str(following or "")
        if following is None:
            return
        place = following


def _is_within(row: object, begin: datetime, end: datetime) -> bool:
    try:
        return begin <= iso_time_at(row, "transaction_info", "transaction_initiation_date") < end
    except ValueError:
        return True  # whoever reads the row says what is wrong with it


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
