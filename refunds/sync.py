"""One run for one account: payments, the details that lists left out, refunds made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from gateways.base import Page, ReportedRefund
from gateways.errors import Misconfigured
from gateways.models import ProcessorAccount
from gateways.registry import open_gateway
from transactions.models import Stream
from transactions.streams import OVERLAP, StreamReader, SyncFailed, single_flight
from transactions.sync import fetch_details, sync_payments
from transactions.upsert import SyncCounts

from .disputes import raise_disputes
from .outside import oldest_open, record_reported_refunds
from .outside_voids import record_outside_voids
from .sweeps import hurry_settled

# The parts of a run, in their order.
PARTS = ("payments", "details", "refunds")

# Told of every page: which part, what it counted so far, and the share of it that is done.
OnProgress = Callable[[str, SyncCounts, float], None]


class RefundReader(StreamReader[ReportedRefund]):
    stream = Stream.REFUNDS

    def list_pages(
        self, since: datetime, until: datetime, cursor: str
    ) -> Iterator[Page[ReportedRefund]]:
        return self.gateway.list_refunds(since, until, cursor)

    def store(self, page: Page[ReportedRefund]) -> SyncCounts:
        counts = record_reported_refunds(self.account, self.gateway, page.records)
        for record in page.rejected:
            counts.reject(record)
        return counts

    def still_open_since(self) -> datetime | None:
        oldest = oldest_open(self.account)
        return oldest.created_at - OVERLAP if oldest else None


@dataclass
class SyncReport:
    """What one run of one account counted."""

    payments: SyncCounts = field(default_factory=SyncCounts)
    details: SyncCounts = field(default_factory=SyncCounts)
    refunds: SyncCounts = field(default_factory=SyncCounts)


def sync_account(
    account: ProcessorAccount,
    *,
    since: datetime | None = None,
    most_details: int | None = None,
    on_progress: OnProgress = lambda _part, _counts, _share: None,
) -> SyncReport:
    """Pull everything that is new at the account's processor, or all from ``since`` on.

    Details cost a call each: ``most_details`` leaves the rest of them to the next run. Safe to
    repeat and to kill at any time. Raises SyncFailed with a sentence (SyncBusy while another run
    of the account is on).
    """
    try:
        gateway = open_gateway(account)
    except Misconfigured as error:
        raise SyncFailed(str(error)) from error
    report = SyncReport()
    with single_flight(account), closing(gateway.transport):
        report.payments = sync_payments(
            account, gateway, since=since, on_page=partial(on_progress, "payments")
        )
        hurry_settled(account)
        report.details = fetch_details(
            account, gateway, limit=most_details, on_page=partial(on_progress, "details")
        )
        record_outside_voids(account)
        raise_disputes()
        report.refunds = RefundReader(account, gateway).run(
            since=since, on_page=partial(on_progress, "refunds")
        )
    return report
