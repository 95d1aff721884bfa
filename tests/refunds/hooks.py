"""Webhooks of the sandbox, signed as their processors do, delivered to our own address."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from gateways.sandbox.signatures import Notice, sign
from refunds import webhooks
from refunds.models import WebhookEvent, WebhookState

if TYPE_CHECKING:
    from gateways.sandbox.ledger import LedgerEvent

    from .desk import Desk


class Hooks:
    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.ledger = desk.sandbox.ledger
        self.address = f"/webhooks/{desk.processor}/{desk.account.slug}/"

    def refund(self, transaction: Any, minor: int, **wish: Any) -> str:
        """Refund in the processor's dashboard; the refund's id there."""
        wish = {"payment_id": transaction.external_id, "amount_minor": minor} | wish
        return self.desk.post("refunds", **wish)["refund"]["id"]

    def events(self, record_id: str) -> list[LedgerEvent]:
        """What the processor reported of a payment or refund, oldest first."""
        with self.ledger.lock:
            return [event for event in self.ledger.events if event.record_id == record_id]

    def sign(self, event: LedgerEvent, forge: str = "", account: str = "") -> Notice:
        """The event as it is sent now; ``forge`` says what is wrong with it.

        ``account`` is another one at the same processor, whose secret signs it.
        """
        event = replace(event, account=account or event.account)
        return sign(event, self.ledger, timezone.now(), self.desk.sandbox.url, forge)

    def deliver(self, event: LedgerEvent, forge: str = "", account: str = "") -> Any:
        return self.post(self.sign(event, forge, account))

    def post(self, notice: Notice) -> Any:
        return Client().post(
            self.address, notice.body, content_type="application/json", headers=notice.headers
        )


def due() -> QuerySet[WebhookEvent]:
    return WebhookEvent.objects.filter(next_try_at__lte=Now())


def work() -> None:
    """Do everything that is due, as a worker would that gets every message."""
    for event_id in due().values_list("pk", flat=True):
        webhooks.process(event_id)


def pass_time() -> None:
    """Let the next tries be due."""
    WebhookEvent.objects.filter(next_try_at__isnull=False).update(
        next_try_at=Now() - timedelta(milliseconds=1)
    )


def states() -> list[tuple[str, int]]:
    """State and deliveries of every event, oldest first."""
    return list(WebhookEvent.objects.order_by("pk").values_list("state", "deliveries"))


def rejections() -> list[str]:
    rejected = WebhookEvent.objects.filter(state=WebhookState.REJECTED).order_by("pk")
    return list(rejected.values_list("problem", flat=True))


def asked(desk: Desk) -> int:
    """How often the processor was asked about payments and refunds."""
    ledger = desk.sandbox.ledger
    with ledger.lock:
        got = list(ledger.requests)
    return sum("cert" not in each.path and each.dialect == desk.processor for each in got)


def again(event: WebhookEvent) -> WebhookEvent:
    event.refresh_from_db()
    return event


def late(event: WebhookEvent, **age: float) -> None:
    """Let the event have come that long ago."""
    WebhookEvent.objects.filter(pk=event.pk).update(received_at=Now() - timedelta(**age))


def seconds_left(event: WebhookEvent) -> int:
    """In how many seconds the event is tried next, by the database's clock."""
    left = WebhookEvent.objects.annotate(left=F("next_try_at") - Now()).get(pk=event.pk)
    return round(left.left.total_seconds())


def in_threads(*jobs: Callable[[], Any]) -> list[Any]:
    """What each job returns; all of them run at once, with connections of their own."""

    def run(job: Callable[[], Any]) -> Any:
        try:
            return job()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [done.result() for done in [pool.submit(run, job) for job in jobs]]
