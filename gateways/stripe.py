"""Stripe over its API v1: the SDK builds and parses, our transport sends.

A payment is a Charge, because that is what a refund acts on. The attempt's reference is the
idempotency key, which Stripe keeps for a day, and stands in the refund's metadata for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import stripe

from .base import (
    Account,
    Capabilities,
    Failure,
    Lookup,
    Operation,
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
from .errors import GatewayError, Misconfigured, NotSent, OutcomeUnknown
from .json_fields import rows_at, text_at, value_at
from .pages import read_page
from .resends import unproven_when_resent
from .stripe_api import HttpClient, Refusal
from .stripe_records import (
    REFERENCE_KEY,
    intent_of,
    is_canceled,
    read_charge,
    read_refund,
    smallest_step,
    to_stripe,
)
from .stripe_webhooks import check_signature, read_notice
from .transport import Transport, retry_after
from .webhook_deliveries import Delivery, secret_of

if TYPE_CHECKING:
    from stripe.params import RefundCreateParams

# Telemetry would write a file into the home folder and tell timings; the switch is process-wide.
stripe.enable_telemetry = False

Record = TypeVar("Record")

_ROWS_PER_PAGE = 100
_PAGES_READ_AGAIN = 5

_OUR_REASONS = {  # "fraudulent" is never sent: it would also block the customer's card and e-mail
    "duplicate": "duplicate",
    "requested_by_customer": "requested_by_customer",
}


class StripeGateway(PaymentGateway):
    """Charges and refunds of one Stripe account."""

    processor = "stripe"
    label = "Stripe"
    capabilities = Capabilities(
        arrival_days=(5, 10),
        idempotency_key_life=timedelta(hours=24),
        voids_unsettled=False,
        refund_age_limit=None,
        lookup_lag=timedelta(minutes=5),
    )
    credential_names = ("api_key",)
    webhook_credential_names = ("webhook_secret",)
    default_base_urls: ClassVar[Mapping[str, str]] = {
        "test": "https://api.stripe.com",
        "live": "https://api.stripe.com",
    }

    def __init__(self, account: Account, transport: Transport) -> None:
        super().__init__(account, transport)
        key = account.credentials["api_key"]
        if not key.startswith((f"sk_{account.mode}_", f"rk_{account.mode}_")):
            raise Misconfigured(
                f"Account {account.slug} is in mode {account.mode}, so its Stripe key must begin "
                f"with sk_{account.mode}_ or rk_{account.mode}_."
            )
        self._client = stripe.StripeClient(
            key,
            base_addresses={"api": account.base_url},
            max_network_retries=0,
            http_client=HttpClient(transport),
        )
        self._api = self._client.v1

    def list_payments(
        self, since: datetime, until: datetime, cursor: str = ""
    ) -> Iterator[Page[Payment]]:
        def read(charge: object) -> tuple[Payment]:
            self._check_mode(charge)
            return (read_charge(charge),)

        return self._list("/v1/charges", read, since, until, cursor)

    def get_payment(self, payment_id: str) -> Payment | None:
        self.transport.take_exchanges()
        charge = self._ask_for(lambda: self._api.charges.retrieve(payment_id))
        if charge is None:
            return None
        self._check_mode(charge)
        return self._proven(lambda: read_charge(charge))

    def list_refunds(
        self, since: datetime, until: datetime, cursor: str = ""
    ) -> Iterator[Page[ReportedRefund]]:
        def read(refund: object) -> tuple[ReportedRefund]:
            return (read_refund(refund),)

        return self._list("/v1/refunds", read, since, until, cursor)

    def refund(self, order: RefundOrder) -> RefundResult:
        self._begin(order)
        params: RefundCreateParams = {
            "charge": order.payment_id,
            "amount": to_stripe(order.amount),
            "metadata": {REFERENCE_KEY: order.reference},
        }
        if order.reason in _OUR_REASONS:
            params["reason"] = _OUR_REASONS[order.reason]
        options: stripe.RequestOptions = {"idempotency_key": order.reference}
        return self._move_money(
            order, lambda: self._api.refunds.create(params, options), self._refund_result
        )

    def void(self, order: RefundOrder) -> RefundResult:
        """Cancel the PaymentIntent of an authorisation that was not captured."""
        self._begin(order)
        intent = intent_of(order)
        if not intent:
            raise NotSent(
                "This payment has no payment intent, so Stripe cannot cancel it. Nothing was sent.",
                reason="refused_locally",
            )
        options: stripe.RequestOptions = {"idempotency_key": order.reference}
        with self.transport.one_deadline():
            return self._move_money(
                order,
                lambda: self._api.payment_intents.cancel(intent, {}, options),
                self._void_result,
            )

    def find_refund(self, order: RefundOrder) -> Lookup:
        self.transport.take_exchanges()
        if order.operation is Operation.VOID:
            matches = self._find_void(order)
        elif order.refund_id:
            row = self._ask_for(lambda: self._api.refunds.retrieve(order.refund_id))
            matches = [] if row is None else [self._proven(lambda: read_refund(row))]
        else:
            matches = self._find_by_reference(order)
        return Lookup(tuple(matches), complete=True, exchanges=self.transport.take_exchanges())

    def parse_webhook(
        self, headers: Mapping[str, str], body: bytes, *, received_at: datetime | None = None
    ) -> WebhookNotice:
        secret = secret_of(self.account, "webhook_secret")
        delivery = Delivery.of(headers, body, received_at)
        check_signature(delivery, secret)
        return delivery.notice(partial(read_notice, mode=self.account.mode))

    def read_again(self, notice: WebhookNotice) -> Reread:
        found: dict[str, ReportedRefund] = {}
        payment_id = notice.payment_id
        with self.transport.one_deadline():
            if notice.refund_id:
                row = self._ask_for(lambda: self._api.refunds.retrieve(notice.refund_id))
                if row is not None:
                    found[notice.refund_id] = self._proven(lambda: read_refund(row))
                    payment_id = found[notice.refund_id].payment_id
            payment = self.get_payment(payment_id) if payment_id else None
            if payment is not None:
                listed = self._rows("/v1/refunds", {"charge": payment_id})
                rows = [row for page, _ in islice(listed, _PAGES_READ_AGAIN) for row in page]
                refunds = self._proven(lambda: [read_refund(row) for row in rows])
                found |= {refund.external_id: refund for refund in refunds}
        return Reread(tuple(filter(None, [payment])), tuple(found.values()))

    def check_credentials(self) -> str:
        self.transport.take_exchanges()
        try:
            owner = self._ask(self._api.accounts.retrieve_current)
        except NotSent:
            if not self.transport.exchanges or self.transport.exchanges[-1].status != 403:
                raise
            # A key restricted to charges and refunds is the best one to use here.
            self._ask(lambda: self._api.charges.list({"limit": 1}))
            return f"Stripe accepts the restricted key ({self.account.mode} mode)."
        name = text_at(owner, "settings", "dashboard", "display_name") or text_at(owner, "email")
        return (
            f"Stripe accepts the key of {name or 'account'} ({text_at(owner, 'id')}, "
            f"{self.account.mode} mode)."
        )

    @classmethod
    def smallest_step(cls, currency: str) -> int:
        return smallest_step(currency)

    def _move_money(
        self,
        order: RefundOrder,
        call: Callable[[], Any],
        read: Callable[[RefundOrder, dict[str, Any]], RefundResult],
    ) -> RefundResult:
        with unproven_when_resent(order):
            try:
                answer = self._ask(call)
            except Refusal as refusal:
                code = refusal.failure_code()
                if code is None or (order.first_sent_at is not None and not refusal.replayed):
                    raise
                return RefundResult(
                    RefundState.FAILED,
                    failure=Failure(code, refusal.code or refusal.type, refusal.text),
                    exchanges=self.transport.take_exchanges(),
                )
            return self._proven(lambda: read(order, answer))

    def _refund_result(self, order: RefundOrder, answer: dict[str, Any]) -> RefundResult:
        refund = read_refund(answer)
        asked = (order.payment_id, order.amount, order.reference)
        if (refund.payment_id, refund.amount, refund.reference) != asked:
            raise ValueError(
                f"it tells of {refund.amount} of {refund.payment_id or 'no payment'}, "
                f"asked for was {order.amount} of {order.payment_id}"
            )
        return RefundResult(
            refund.state,
            refund.external_id,
            refund.amount,
            refund.failure,
            self.transport.take_exchanges(),
        )

    def _void_result(self, order: RefundOrder, answer: dict[str, Any]) -> RefundResult:
        if not is_canceled(order, answer):
            raise ValueError(f"the payment intent is {text_at(answer, 'status')!r}, not canceled")
        try:
            void_id = self._find_reversal(order)[0].external_id
        except (GatewayError, IndexError):
            void_id = intent_of(order)  # the void is proven, whatever its record is called
        exchanges = self.transport.take_exchanges()
        return RefundResult(RefundState.SUCCEEDED, void_id, order.amount, exchanges=exchanges)

    def _find_void(self, order: RefundOrder) -> list[ReportedRefund]:
        answer = self._ask(lambda: self._api.payment_intents.retrieve(intent_of(order)))
        if not self._proven(lambda: is_canceled(order, answer)):
            return []
        return [replace(row, reference=order.reference) for row in self._find_reversal(order)[:1]]

    def _find_reversal(self, order: RefundOrder) -> list[ReportedRefund]:
        """The refund, without money, that Stripe lists for an authorisation that was cancelled."""
        listed = self._refunds_of(order.payment_id)
        rows = self._proven(lambda: [read_refund(row) for row in listed])
        return [row for row in rows if row.operation is Operation.VOID]

    def _refunds_of(self, payment_id: str) -> list[Any]:
        pages = self._rows("/v1/refunds", {"charge": payment_id})
        return [row for rows, _ in pages for row in rows]

    def _find_by_reference(self, order: RefundOrder) -> list[ReportedRefund]:
        """Stripe cannot search refunds by metadata, so all refunds of the payment are read."""
        ours = [
            row
            for row in self._refunds_of(order.payment_id)
            if value_at(row, "metadata", REFERENCE_KEY) == order.reference
        ]
        return self._proven(lambda: [read_refund(row) for row in ours])

    def _list(
        self,
        path: str,
        read: Callable[[object], tuple[Record]],
        since: datetime,
        until: datetime,
        cursor: str,
    ) -> Iterator[Page[Record]]:
        window = {"gte": int(since.timestamp()), "lt": int(until.timestamp())}
        for rows, following in self._rows(path, {"created": window}, cursor):
            self.transport.take_exchanges()
            yield read_page(rows, read, _id_of, following)

    def _rows(
        self, path: str, params: Mapping[str, Any], cursor: str = ""
    ) -> Iterator[tuple[list[Any], str]]:
        """Pages of rows, newest first, each with the cursor that resumes after it."""
        while True:
            after = {"starting_after": cursor} if cursor else {}
            page = {**params, "limit": _ROWS_PER_PAGE, **after}
            # The typed call would spend four fifths of the time on objects that nobody looks at.
            answer = self._ask(partial(self._client.raw_request, "get", path, **page))
            rows = self._proven(partial(rows_at, answer, "data"))
            cursor = self._proven(partial(_cursor_after, answer, rows))
            yield rows, cursor
            if not cursor:
                return

    def _ask(self, call: Callable[[], Any]) -> dict[str, Any]:
        """Let the SDK make a call, and return what it answered as plain JSON."""
        try:
            made = call()
            answer = made if isinstance(made, stripe.StripeResponse) else made.last_response
        except GatewayError:
            raise
        except stripe.StripeError as error:
            raise self._judge(error) from error
        except Exception as error:
            if not self.transport.exchanges:
                raise
            raise OutcomeUnknown(
                f"Stripe's answer cannot be read ({type(error).__name__}).",
                exchanges=self.transport.exchanges,
            ) from error
        if not isinstance(answer.data, dict):
            raise OutcomeUnknown(
                "Stripe's answer is not an object.", exchanges=self.transport.exchanges
            )
        return answer.data

    def _ask_for(self, call: Callable[[], Any]) -> dict[str, Any] | None:
        """The record that a call asks for; None where Stripe does not know it."""
        try:
            return self._ask(call)
        except Refusal as refusal:
            if refusal.code == "resource_missing":
                return None
            raise

    def _judge(self, error: stripe.StripeError) -> GatewayError:
        """What an answer other than 2xx proves."""
        refusal = Refusal(error, self.transport.exchanges)
        if refusal.status in {401, 403}:
            return NotSent(
                f"Stripe did not accept our key: {refusal.text}",
                reason="credentials",
                exchanges=refusal.exchanges,
            )
        if refusal.status == 429:
            return NotSent(
                f"Stripe turned the request away: {refusal.text}",
                reason="rate_limited",
                retry_after=retry_after(error.headers or {}),
                exchanges=refusal.exchanges,
            )
        return refusal

    def _check_mode(self, charge: object) -> None:
        livemode = value_at(charge, "livemode")
        if livemode is not None and livemode is not (self.account.mode == "live"):
            raise Misconfigured(
                f"Stripe answered account {self.account.slug}, which is in mode "
                f"{self.account.mode}, with data of the other mode."
            )


def _id_of(row: object) -> str:
    return str(value_at(row, "id") or "")


def _cursor_after(answer: dict[str, Any], rows: list[Any]) -> str:
    if not value_at(answer, "has_more"):
        return ""
    if not rows or not _id_of(rows[-1]):
        raise ValueError("its list breaks off")
    return _id_of(rows[-1])
