"""A gateway whose lists are written down in the test, for what no processor can be made to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from gateways.base import (
    Account,
    BadRecord,
    Capabilities,
    Page,
    Payer,
    Payment,
    PaymentGateway,
    PaymentStatus,
    ReportedRefund,
)
from gateways.money import Money
from gateways.transport import Transport

PAID_AT = datetime(2026, 7, 1, 12, tzinfo=UTC)


def payment(external_id: str, minor: int = 1_000, **values: Any) -> Payment:
    """A settled payment in USD."""
    defaults = {
        "amount": Money(minor, "USD"),
        "status": PaymentStatus.SETTLED,
        "created_at": PAID_AT,
        "payer": Payer("Jane Doe", "jane@example.com"),
    }
    return Payment(external_id=external_id, **(defaults | values))


def page(*payments: Payment, rejected: Sequence[BadRecord] = ()) -> Page[Payment]:
    return Page(payments, tuple(rejected))


class ScriptedGateway(PaymentGateway):
    """Lists ``pages`` in every window; an exception among them is raised in its place.

    ``details`` answers ``get_payment`` by id. ``asked`` is every call: the window and cursor of a
    list, or the id of a payment.
    """

    processor = "stripe"
    label = "Stripe"
    capabilities = Capabilities(
        idempotency_key_life=None,
        voids_unsettled=False,
        refund_age_limit=None,
        lookup_lag=timedelta(),
    )
    credential_names = ()
    default_base_urls: Mapping[str, str] = {}

    def __init__(
        self,
        *pages: Page[Any] | BaseException,
        details: Mapping[str, Payment | Exception | None] | None = None,
    ) -> None:
        super().__init__(Account("scripted", "test", "http://127.0.0.1", {}), Transport())
        self.pages = pages
        self.details = details or {}
        self.asked: list[Any] = []

    def list_payments(
        self, since: datetime, until: datetime, cursor: str = ""
    ) -> Iterator[Page[Any]]:
        self.asked.append((since, until, cursor))
        for number, each in enumerate(self.pages):
            if number < int(cursor or 0):
                continue
            if isinstance(each, BaseException):
                raise each
            last = number == len(self.pages) - 1
            yield Page(each.records, each.rejected, "" if last else str(number + 1))

    list_refunds = list_payments

    def get_payment(self, payment_id: str) -> Payment | None:
        self.asked.append(payment_id)
        answer = self.details.get(payment_id)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def refund(self, order: Any) -> Any:
        raise NotImplementedError

    void = find_refund = parse_webhook = read_again = refund

    def check_credentials(self) -> str:
        return "Nobody's account"


def reported(external_id: str, payment_id: str, minor: int = 500, **values: Any) -> ReportedRefund:
    """A refund in USD that succeeded an hour after the payment."""
    from gateways.base import RefundState

    defaults = {
        "amount": Money(minor, "USD"),
        "state": RefundState.SUCCEEDED,
        "created_at": PAID_AT + timedelta(hours=1),
    }
    return ReportedRefund(external_id=external_id, payment_id=payment_id, **(defaults | values))
