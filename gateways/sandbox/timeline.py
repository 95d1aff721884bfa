"""Movements in the order of one of their moments, so that a page costs its own length only."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar


class Dated(Protocol):
    """A record that has an order of arrival, which settles what happened at the same moment."""

    serial: int


Entry = TypeVar("Entry", bound=Dated)

_FIRST = datetime.min.replace(tzinfo=UTC)


class Timeline(Generic[Entry]):
    """Sorted by ``moment`` and then by arrival; a record without the moment is not in it.

    Positions are 0 for the oldest. Not locked: the ledger's lock guards it.
    """

    def __init__(
        self, moment: Callable[[Entry], datetime | None], entries: Iterable[Entry] = ()
    ) -> None:
        self._moment = moment
        dated = [
            ((when, entry.serial), entry)
            for entry in entries
            if (when := moment(entry)) is not None
        ]
        dated.sort(key=lambda pair: pair[0])
        self._keys = [key for key, _ in dated]
        self._entries = [entry for _, entry in dated]

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        """Put a record in its place; O(1) when it is the newest."""
        when = self._moment(entry)
        if when is None:
            return
        key = (when, entry.serial)
        place = bisect_left(self._keys, key)
        self._keys.insert(place, key)
        self._entries.insert(place, entry)

    def discard(self, entry: Entry) -> None:
        """Take a record out, as it is now: call this before its moment changes."""
        place = self.position(entry)
        if place is not None:
            del self._keys[place], self._entries[place]

    def position(self, entry: Entry) -> int | None:
        """Where the record stands, or None."""
        when = self._moment(entry)
        if when is None:
            return None
        key = (when, entry.serial)
        place = bisect_left(self._keys, key)
        found = place < len(self._keys) and self._keys[place] == key
        return place if found else None

    def span(self, since: datetime | None = None, until: datetime | None = None) -> range:
        """The positions of ``since <= moment < until``; an open end where None."""
        first = bisect_left(self._keys, (since or _FIRST, 0))
        last = len(self._keys) if until is None else bisect_left(self._keys, (until, 0))
        return range(first, max(first, last))

    def at(self, positions: Iterable[int]) -> list[Entry]:
        """The records at these positions, in their order (a reversed range: newest first)."""
        return [self._entries[place] for place in positions]
