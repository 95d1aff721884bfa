"""Reading one stream of one account: window after window, page after page, resumable.

The state row says how far a stream was read. It is saved with every page, so that a run that broke
off, for whatever reason, goes on after the last page that was stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, reset_queries
from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.base import Page, PaymentGateway
from gateways.errors import GatewayError
from gateways.models import Mode, ProcessorAccount

from .advisory import advisory_lock
from .models import Stream, SyncState
from .upsert import SyncCounts

Record = TypeVar("Record")

# Told after every page what was counted so far, and the share of the time span that is done.
OnPage = Callable[[SyncCounts, float], None]

# Every run reads the last hours again: processors list new records late, and in no strict order.
OVERLAP = timedelta(hours=3)
# How far back the first run of an account goes: beyond every processor's limit for refunds, so that
# staff find what is too old, and read why.
FIRST_RUN = timedelta(days=500)
# A long run is read in windows, so that "read until" moves on.
_WINDOW = timedelta(days=90)
# The clock of a simulated processor may have been moved ahead of ours.
_SIMULATED_FUTURE = timedelta(days=400)
_LOCKS = 7_266_854 << 32  # PostgreSQL's advisory locks from this number on, one per account


class SyncFailed(Exception):
    """A run could not go on; the sentence says why. What was stored stays; the next run resumes."""


class SyncBusy(SyncFailed):
    """Another run of the same account is under way."""


@contextmanager
def single_flight(account: ProcessorAccount) -> Iterator[None]:
    """Keep other runs of the account out until this one ends, or its database connection does.

    May be nested. Raises SyncBusy at once instead of waiting.
    """
    with advisory_lock(_LOCKS + account.pk) as is_ours:
        if not is_ours:
            raise SyncBusy(_("Another sync or import of this account is running. Wait for it."))
        yield


def sentence_of(error: GatewayError | OperationalError) -> str:
    """What a person may read of an error that stopped a run, short enough for the state row."""
    if isinstance(error, OperationalError):
        return _("The database did not answer in time. The next run goes on from there.")
    return str(error)[:500]


class StreamReader(ABC, Generic[Record]):
    """Owns the order of steps; a subclass says what to list and how to store a page."""

    stream: ClassVar[Stream]

    def __init__(self, account: ProcessorAccount, gateway: PaymentGateway) -> None:
        self.account = account
        self.gateway = gateway

    @abstractmethod
    def list_pages(
        self, since: datetime, until: datetime, cursor: str
    ) -> Iterator[Page[Record]]: ...

    @abstractmethod
    def store(self, page: Page[Record]) -> SyncCounts:
        """Write a page down and count it, rejected records too. Repeating it changes nothing."""

    def page_scope(self) -> AbstractContextManager[object]:
        """What spans storing a page and saving the state."""
        return nullcontext()

    def still_open_since(self) -> datetime | None:
        """From when on records may have changed that were read before, if that is known."""
        return None

    def run(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        on_page: OnPage = lambda _counts, _share: None,
    ) -> SyncCounts:
        """Read what is new since the last run, or all from ``since`` on, up to now or ``until``.

        ``since`` never leaves a gap behind what was read so far. Raises SyncFailed.
        """
        with single_flight(self.account):
            state, _made = SyncState.objects.get_or_create(account=self.account, stream=self.stream)
            row = SyncState.objects.filter(pk=state.pk)
            row.update(started_at=timezone.now(), finished_at=None, error="")
            counts = SyncCounts()
            sentence = _("The run was stopped. The next one goes on from there.")
            try:
                self._read(state, since, until, counts, on_page)
                sentence = ""
            except (GatewayError, OperationalError) as error:
                sentence = sentence_of(error)
                raise SyncFailed(sentence) from error
            finally:
                with suppress(DatabaseError, InterfaceError):  # the first error is the one to show
                    row.update(finished_at=timezone.now(), error=sentence, **_described(counts))
        return counts

    def _read(
        self,
        state: SyncState,
        since: datetime | None,
        until: datetime | None,
        counts: SyncCounts,
        on_page: OnPage,
    ) -> None:
        now = until or timezone.now()
        windows = self._windows(state, since, now)
        for number, window in enumerate(windows):
            state.window_since, state.window_until = window.since, window.until
            end = window.until
            if number == len(windows) - 1 and not until:
                end += ahead_of_us(self.account)
            for page in self.list_pages(window.since, end, window.cursor):
                with self.page_scope():
                    counts.add(self.store(page))
                    self._save(state, page.cursor, counts)
                # Evidence, and in debug mode every statement, would pile up in a long run.
                self.gateway.transport.take_exchanges()
                reset_queries()
                on_page(counts, number / len(windows))
            state.synced_until = window.until
            self._save(state, "", counts)
            on_page(counts, (number + 1) / len(windows))

    def _save(self, state: SyncState, cursor: str, counts: SyncCounts) -> None:
        state.cursor = cursor
        SyncState.objects.filter(pk=state.pk).update(
            synced_until=state.synced_until,
            window_since=state.window_since,
            window_until=state.window_until,
            cursor=cursor,
            **_described(counts),
        )

    def _windows(self, state: SyncState, since: datetime | None, now: datetime) -> list[_Window]:
        """What is due, oldest first: the rest of a window that broke off, then all up to now."""
        overlap = max(OVERLAP, self.gateway.capabilities.lookup_lag)
        windows: list[_Window] = []
        if state.cursor and state.window_since and state.window_until:
            if since is None:
                windows.append(_Window(state.window_since, state.window_until, state.cursor))
                start = max(state.window_since, state.window_until - overlap)
            else:
                start = min(since, state.window_since)
        else:
            known = state.synced_until - overlap if state.synced_until else None
            candidates = [since, known, self.still_open_since()]
            start = min((each for each in candidates if each), default=now - FIRST_RUN)
        while start < now:
            end = min(start + _WINDOW, now)
            windows.append(_Window(start, end))
            start = end
        return windows


class _Window(NamedTuple):
    since: datetime
    until: datetime
    cursor: str = ""


def _described(counts: SyncCounts) -> dict[str, Any]:
    return {"counts": counts.as_json(), "rejected": [asdict(each) for each in counts.rejected]}


def ahead_of_us(account: ProcessorAccount) -> timedelta:
    """How much later than ours an account's clock may be: only a simulated one is moved."""
    simulated = account.mode == Mode.TEST and account.base_url
    return _SIMULATED_FUTURE if simulated else timedelta()
