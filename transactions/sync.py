"""Payments from a processor into the table, over the gateway's lists. Nothing is written to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime

from django.db import OperationalError, reset_queries
from django.db import transaction as database
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from gateways.base import BadRecord, Page, Payment, PaymentGateway
from gateways.errors import GatewayError, NotSent, OutcomeUnknown
from gateways.models import ProcessorAccount

from .models import Stream, SyncState, Transaction
from .streams import OnPage, StreamReader, SyncFailed, sentence_of, single_flight
from .upsert import SyncCounts, store_payments

_DETAILS_PER_WRITE = 50
# So many unreadable answers in a row are the processor's trouble, not a payment's.
_FAILURES_IN_A_ROW = 3


class PaymentReader(StreamReader[Payment]):
    stream = Stream.PAYMENTS

    def page_scope(self) -> AbstractContextManager[object]:
        """Rows and cursor are committed together: a crash repeats at most the interrupted page."""
        return database.atomic()

    def list_pages(self, since: datetime, until: datetime, cursor: str) -> Iterator[Page[Payment]]:
        return self.gateway.list_payments(since, until, cursor)

    def store(self, page: Page[Payment]) -> SyncCounts:
        counts = store_payments(self.account, page.records)
        for record in page.rejected:
            counts.reject(record)
        return counts


def sync_payments(
    account: ProcessorAccount,
    gateway: PaymentGateway,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    on_page: OnPage = lambda _counts, _share: None,
) -> SyncCounts:
    """Pull the payments that are new or may have changed since the last run, or from ``since`` on.

    Safe to repeat and to kill at any time. Raises SyncFailed (SyncBusy while another run is on).
    """
    return PaymentReader(account, gateway).run(since=since, until=until, on_page=on_page)


def fetch_details(
    account: ProcessorAccount,
    gateway: PaymentGateway,
    *,
    limit: int | None = None,
    on_page: OnPage = lambda _counts, _share: None,
) -> SyncCounts:
    """Read, one call each, payments whose list left details out, newest first, ``limit`` at most.

    Raises SyncFailed; what was read until then is stored.
    """
    lacking = Transaction.objects.filter(account=account, has_details=False).order_by("-pk")
    counts = SyncCounts()
    with single_flight(account):
        due = lacking.count() if limit is None else min(limit, lacking.count())
        batch: list[Payment] = []
        try:
            for payment in _read_one_by_one(gateway, lacking, due, counts):
                batch.append(payment)
                if len(batch) == _DETAILS_PER_WRITE:
                    full, batch = batch, []
                    counts.add(store_payments(account, full))
                    reset_queries()
                    on_page(counts, counts.read / due)
        except (GatewayError, OperationalError) as error:
            sentence = sentence_of(error)
            SyncState.objects.filter(account=account, stream=Stream.PAYMENTS).update(error=sentence)
            raise SyncFailed(sentence) from error
        finally:
            counts.add(store_payments(account, batch))
    if due:
        on_page(counts, 1.0)
    return counts


def refresh_payment(transaction: Transaction, gateway: PaymentGateway) -> None:
    """Read the payment as it is now, into its row and into ``transaction``.

    A payment that the processor does not know stays as it is: the processor itself refuses it.

    Raises GatewayError: NotSent (``refused_locally``) for a payment that is reported so that the
    row cannot take it.
    """
    payment = gateway.get_payment(transaction.external_id)
    if payment is None:
        return
    counts = store_payments(transaction.account, [payment])
    if counts.rejected:
        raise NotSent(counts.rejected[0].reason, reason="refused_locally")
    transaction.refresh_from_db()


def _ids(lacking: QuerySet[Transaction], due: int) -> Iterator[str]:
    """Ids of payments without details, a chunk at a time: rows leave the set while it is read."""
    while due > 0:
        chunk = list(lacking.values_list("pk", "external_id")[: min(due, 500)])
        if not chunk:
            return
        yield from (external_id for _pk, external_id in chunk)
        due -= len(chunk)
        lacking = lacking.filter(pk__lt=chunk[-1][0])


def _read_one_by_one(
    gateway: PaymentGateway, lacking: QuerySet[Transaction], due: int, counts: SyncCounts
) -> Iterator[Payment]:
    failures = 0
    for external_id in _ids(lacking, due):
        try:
            payment = gateway.get_payment(external_id)
        except OutcomeUnknown as error:
            failures += 1
            if failures == _FAILURES_IN_A_ROW:
                raise
            counts.reject(BadRecord(external_id, str(error)))
            continue
        failures = 0
        gateway.transport.take_exchanges()
        if payment is not None:
            yield payment
            continue
        # Some lists have payments of kinds that cannot be read alone: there is no more to learn.
        lacking.filter(external_id=external_id).update(has_details=True)
        counts.reject(
            BadRecord(external_id, _("%s lists this payment, without details.") % gateway.label)
        )
