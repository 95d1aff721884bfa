"""PayPal over Payments v2 and the transaction search: the SDK's client with our transport in it.

A payment is a capture. The attempt's reference is the request id, which PayPal keeps for weeks,
and the refund's invoice id, which PayPal takes only once for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from .base import (
    Account,
    Capabilities,
    Failure,
    Lookup,
    Page,
    Payment,
    PaymentGateway,
    RefundOrder,
    RefundResult,
    RefundState,
    ReportedRefund,
    Reread,
    WebhookNotice,
)
from .errors import InvalidWebhook, NotSent
from .json_fields import integer_at, rows_at, text_at, value_at
from .money import exponent_of
from .pages import read_page
from .paypal_api import VERIFY_PATH, PayPalApi, Refusal
from .paypal_certificates import Certificates, check_address
from .paypal_records import (
    DISPUTE_CODES,
    REFUND_CODES,
    decimals_of,
    event_code_of,
    failure_code,
    is_hold,
    order_id_of,
    payment_id_of,
    read_capture,
    read_payment_row,
    read_refund,
    read_refund_row,
    reference_of,
    refunds_of_order,
    to_paypal,
    transaction_id_of,
)
from .paypal_search import LONGEST, Found, TooManyRows, search
from .paypal_webhooks import Transmission, read_notice
from .resends import unproven_when_resent
from .transport import Transport
from .webhook_deliveries import Delivery, secret_of, wrong_signature

_DAY = timedelta(days=1)

_certificates = Certificates()  # one for the process, too: PayPal signs for weeks with one


class PayPalGateway(PaymentGateway):
    """Captures and refunds of one PayPal app."""

    processor = "paypal"
    label = "PayPal"
    capabilities = Capabilities(
        idempotency_key_life=timedelta(days=40),  # 45 by its description; relied on for less
        voids_unsettled=False,
        refund_age_limit=timedelta(days=180),
        lookup_lag=timedelta(hours=3),
        list_window=LONGEST,
        lists_disputes=False,
    )
    credential_names = ("client_id", "client_secret")
    webhook_credential_names = ("webhook_id",)
    default_base_urls: ClassVar[Mapping[str, str]] = {
        "test": "https://api-m.sandbox.paypal.com",
        "live": "https://api-m.paypal.com",
    }

    def __init__(self, account: Account, transport: Transport) -> None:
        super().__init__(account, transport)
        self._api = PayPalApi(account, transport)

    def list_payments(
        self, since: datetime, until: datetime, cursor: str = ""
    ) -> Iterator[Page[Payment]]:
        for rows, following in self._search(since, until, ("",), cursor):
            about_disputes = [row for row in rows if event_code_of(row) in DISPUTE_CODES]
            held = {payment_id_of(row) for row in about_disputes if is_hold(row)}
            page = read_page(
                rows, partial(read_payment_row, disputed_ids=held), transaction_id_of, following
            )
            yield self._with_disputed(page, [payment_id_of(row) for row in about_disputes])

    def get_payment(self, payment_id: str) -> Payment | None:
        self.transport.take_exchanges()
        capture = self._get_or_none(_capture_path(payment_id))
        if capture is None:
            return None
        order = self._order_of(capture)
        disputed = self._has_open_dispute(payment_id)
        return self._proven(lambda: read_capture(capture, order, disputed=disputed))

    def list_refunds(
        self, since: datetime, until: datetime, cursor: str = ""
    ) -> Iterator[Page[ReportedRefund]]:
        for rows, following in self._search(since, until, REFUND_CODES, cursor):
            yield read_page(rows, read_refund_row, transaction_id_of, following)

    def refund(self, order: RefundOrder) -> RefundResult:
        self._begin(order)
        body = {
            "amount": to_paypal(order.amount),
            "invoice_id": order.reference,
            "custom_id": order.reference,
        }
        headers = {"PayPal-Request-Id": order.reference, "Prefer": "return=representation"}
        url = self._url(f"{_capture_path(order.payment_id)}/refund")
        with self.transport.one_deadline(), unproven_when_resent(order):
            try:
                answer = self._api.request(url, "POST", body, headers)
            except Refusal as refusal:
                code = failure_code(refusal.status, refusal.issue)
                if code is None or order.first_sent_at is not None:
                    raise
                failure = Failure(code, refusal.issue, refusal.text)
                evidence = self.transport.take_exchanges()
                return RefundResult(RefundState.FAILED, failure=failure, exchanges=evidence)
            return self._proven(lambda: self._refund_result(order, answer))

    def void(self, order: RefundOrder) -> RefundResult:
        raise NotSent(
            "A PayPal payment that was captured cannot be cancelled, only refunded. "
            "Nothing was sent.",
            reason="refused_locally",
        )

    def find_refund(self, order: RefundOrder) -> Lookup:
        self.transport.take_exchanges()
        if order.refund_id:
            row = self._get_or_none(_refund_path(order.refund_id))
            matches = [] if row is None else [self._proven(lambda: read_refund(row))]
            complete = True
        else:
            matches, complete = self._find_by_reference(order)
        return Lookup(tuple(matches), complete, self.transport.take_exchanges())

    def parse_webhook(
        self, headers: Mapping[str, str], body: bytes, *, received_at: datetime | None = None
    ) -> WebhookNotice:
        self.transport.take_exchanges()
        webhook_id = secret_of(self.account, "webhook_id")
        delivery = Delivery.of(headers, body, received_at)
        transmission = Transmission.of(delivery)
        check_address(transmission.cert_url, self.account)
        if self.account.webhook_verification == "api":
            self._let_paypal_check(transmission.question(webhook_id, delivery))
        else:
            key = _certificates.key_at(
                transmission.cert_url, self.account, self.transport, delivery.received_at
            )
            transmission.check(key, webhook_id, body)
        transmission.check_age(delivery.received_at)
        return delivery.notice(read_notice)

    def read_again(self, notice: WebhookNotice) -> Reread:
        self.transport.take_exchanges()
        with self.transport.one_deadline():
            named = self._get_or_none(_refund_path(notice.refund_id)) if notice.refund_id else None
            refunds = [] if named is None else [self._proven(lambda: read_refund(named))]
            payment_id = next((each.payment_id for each in refunds), "") or notice.payment_id
            if not payment_id:
                return Reread(refunds=tuple(refunds))
            capture = self._get_or_none(_capture_path(payment_id))
            if capture is None:
                return Reread(refunds=tuple(refunds))
            order = self._order_of(capture)
            disputed = self._has_open_dispute(payment_id)
        payment = self._proven(lambda: read_capture(capture, order, disputed=disputed))
        listed = self._proven(lambda: [read_refund(row) for row in refunds_of_order(order)])
        of_payment = {each.external_id: each for each in listed if each.payment_id == payment_id}
        found = of_payment | {each.external_id: each for each in refunds}
        return Reread((payment,), tuple(found.values()))

    def check_credentials(self) -> str:
        self.transport.take_exchanges()
        answer = self._get("/v1/reporting/balances")
        return (
            f"PayPal accepts the app of account {text_at(answer, 'account_id')} "
            f"({self.account.mode} mode), and it may search transactions."
        )

    @classmethod
    def smallest_step(cls, currency: str) -> int:
        return int(10 ** (exponent_of(currency) - decimals_of(currency)))

    # Single payments and refunds

    def _refund_result(self, order: RefundOrder, answer: dict[str, Any]) -> RefundResult:
        refund = read_refund(answer)
        is_ours = refund.amount == order.amount and refund.reference == order.reference
        if not is_ours or refund.payment_id not in {"", order.payment_id}:
            raise ValueError(
                f"it tells of {refund.amount} of {refund.payment_id}, reference "
                f"{refund.reference!r}; asked for was {order.amount} of {order.payment_id}"
            )
        return RefundResult(
            refund.state,
            refund.external_id,
            refund.amount,
            refund.failure,
            self.transport.take_exchanges(),
        )

    def _order_of(self, capture: dict[str, Any]) -> dict[str, Any] | None:
        order_id = self._proven(lambda: order_id_of(capture))
        if not order_id:
            return None
        return self._get(f"/v2/checkout/orders/{quote(order_id, safe='')}")

    def _has_open_dispute(self, payment_id: str) -> bool:
        query = urlencode({"disputed_transaction_id": payment_id})
        try:
            answer = self._get(f"/v1/customer/disputes?{query}")
        except NotSent as error:
            if error.reason != "credentials":
                raise
            return False  # disputes are a right of its own; the capture's status tells some
        items = self._proven(lambda: rows_at(answer, "items"))
        return any(value_at(item, "status") != "RESOLVED" for item in items)

    def _find_by_reference(self, order: RefundOrder) -> tuple[list[ReportedRefund], bool]:
        capture = self._get(_capture_path(order.payment_id))
        paypal_order = self._order_of(capture)
        if paypal_order is not None:
            rows = self._proven(lambda: refunds_of_order(paypal_order))
            ours = [row for row in rows if reference_of(row) == order.reference]
            return self._proven(lambda: [read_refund(row) for row in ours]), True
        # Payments of the old interface have no order. The search is late, but has all refunds.
        now = datetime.now(UTC)
        since = (order.first_sent_at or now - LONGEST) - _DAY
        listed = [
            row
            for rows, _ in self._search(since, now, REFUND_CODES[:1])
            for row in rows
            if payment_id_of(row) == order.payment_id
        ]
        refunds = self._proven(lambda: [read_refund_row(row)[0] for row in listed])
        ours_listed = [refund for refund in refunds if refund.reference == order.reference]
        return ours_listed, order.first_sent_at is not None

    # Lists

    def _search(
        self, since: datetime, until: datetime, codes: tuple[str, ...], cursor: str = ""
    ) -> Iterator[tuple[list[Any], str]]:
        def ask(query: dict[str, str]) -> Found:
            try:
                answer = self._get(f"/v1/reporting/transactions?{urlencode(query)}")
            except Refusal as refusal:
                if refusal.name == "RESULTSET_TOO_LARGE":
                    raise TooManyRows from refusal
                raise
            return self._proven(
                lambda: Found(
                    rows_at(answer, "transaction_details"), integer_at(answer, "total_pages")
                )
            )

        return search(ask, since.astimezone(UTC), until.astimezone(UTC), codes, cursor)

    def _with_disputed(self, page: Page[Payment], payment_ids: Iterable[str]) -> Page[Payment]:
        """Add payments that the page tells of only because a dispute was opened or closed."""
        listed = {payment.external_id for payment in page.records}
        others = [self.get_payment(each) for each in sorted(set(payment_ids) - listed - {""})]
        return replace(page, records=(*page.records, *filter(None, others)))

    # Calls

    def _url(self, path: str) -> str:
        return self.account.base_url.rstrip("/") + path

    def _get(self, path: str) -> dict[str, Any]:
        return self._api.request(self._url(path), "GET")

    def _get_or_none(self, path: str) -> dict[str, Any] | None:
        """The record; None where PayPal does not know it."""
        try:
            return self._get(path)
        except Refusal as refusal:
            if refusal.status == 404:
                return None
            raise

    def _let_paypal_check(self, question: str) -> None:
        """Raises InvalidWebhook unless PayPal says in so many words that it sent the webhook."""
        try:
            answer = self._api.request(self._url(VERIFY_PATH), "POST", question)
        except Refusal as refusal:
            if refusal.status not in {400, 422}:
                raise
            raise InvalidWebhook(f"PayPal could not check the webhook: {refusal.text}") from refusal
        if value_at(answer, "verification_status") != "SUCCESS":
            raise wrong_signature()


def _capture_path(payment_id: str) -> str:
    return f"/v2/payments/captures/{quote(payment_id, safe='')}"


def _refund_path(refund_id: str) -> str:
    return f"/v2/payments/refunds/{quote(refund_id, safe='')}"
