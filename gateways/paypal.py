"""PayPal over Payments v2 and the transaction search: the SDK's client with our transport in it.

A payment is a capture. The attempt's reference is the request id, which PayPal keeps for weeks,
and the refund's invoice id, which PayPal takes only once for ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

import paypalrestsdk
from paypalrestsdk import exceptions as sdk

from .base import (
    Account,
    Capabilities,
    Exchange,
    Failure,
    Lookup,
    Page,
    Payment,
    PaymentGateway,
    RefundOrder,
    RefundResult,
    RefundState,
    ReportedRefund,
)
from .errors import GatewayError, NotSent, OutcomeUnknown
from .json_fields import integer_at, rows_at, text_at, value_at
from .money import exponent_of
from .pages import read_page
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
from .resends import unproven_when_resent
from .tokens import TokenCache
from .transport import Response, Transport, retry_after

_LIST_BYTES = 8_000_000
_DAY = timedelta(days=1)
_LOGIN_PATH = "/v1/oauth2/token"
_REASONS_OF_LOGIN = {**dict.fromkeys((400, 401, 403), "credentials"), 429: "rate_limited"}

_tokens = TokenCache()  # one for the process: asking for a token with every call gets one blocked


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
        self._api = _Api(account, transport)

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
        try:
            capture = self._get(_capture_path(payment_id))
        except _Refusal as refusal:
            if refusal.status == 404:
                return None
            raise
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
            except _Refusal as refusal:
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
            answer = self._get(f"/v2/payments/refunds/{quote(order.refund_id, safe='')}")
            matches, complete = [self._proven(lambda: read_refund(answer))], True
        else:
            matches, complete = self._find_by_reference(order)
        return Lookup(tuple(matches), complete, self.transport.take_exchanges())

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
            except _Refusal as refusal:
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


class _Api(paypalrestsdk.Api):
    """The SDK's client, with our transport and with logins that end.

    Its own has no timeout, asks for ever after a 401, and sends request ids to the login, too.
    """

    def __init__(self, account: Account, transport: Transport) -> None:
        super().__init__(
            mode="live" if account.mode == "live" else "sandbox",
            endpoint=account.base_url.rstrip("/"),
            client_id=account.credentials["client_id"],
            client_secret=account.credentials["client_secret"],
        )
        self._transport = transport
        self._login = (self.endpoint, self.client_id, self.client_secret)

    def request(
        self,
        url: str,
        method: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """One call, and one more with a new token where the first was turned away.

        Raises NotSent, OutcomeUnknown, or _Refusal for any answer other than 2xx.
        """
        data = "" if body is None else json.dumps(body)
        token = self.get_access_token()
        try:
            return self._send(url, method, data, headers)
        except _Refusal as refusal:
            if refusal.status != 401:
                raise refusal.judged(is_read=method == "GET") from None
        _tokens.forget(self._login, token)
        try:
            return self._send(url, method, data, headers)
        except _Refusal as refusal:
            raise refusal.judged(is_read=method == "GET") from None

    def http_call(self, url: str, method: str, **kwargs: Any) -> dict[str, Any]:
        is_read = method == "GET" or url.endswith(_LOGIN_PATH)
        response = self._transport.send(
            method,
            url,
            headers=kwargs["headers"],
            body=kwargs["data"].encode(),
            reuse_connection=is_read,
            max_bytes=_LIST_BYTES if is_read else None,
        )
        exchanges = self._transport.exchanges
        try:
            answer = self.handle_response(_SdkResponse(response.status), response.body.decode())
        except sdk.ConnectionError as error:
            raise _Refusal(response, exchanges) from error
        except ValueError as error:
            raise OutcomeUnknown("PayPal's answer is not JSON.", exchanges=exchanges) from error
        if not isinstance(answer, dict):
            raise OutcomeUnknown("PayPal's answer is not an object.", exchanges=exchanges)
        return answer

    def get_token_hash(self, *_: Any, **__: Any) -> dict[str, str]:
        token = _tokens.get(self._login, self._log_in)
        self._transport.protect(token)
        return {"token_type": "Bearer", "access_token": token}

    def _send(
        self, url: str, method: str, data: str, headers: Mapping[str, str] | None
    ) -> dict[str, Any]:
        return self.http_call(url, method, data=data, headers={**self.headers(), **(headers or {})})

    def _log_in(self) -> tuple[str, int]:
        """A new token and its life in seconds. Whatever fails here, nothing else was sent."""
        headers = {
            "Authorization": f"Basic {self.basic_auth()}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        url = self.endpoint + _LOGIN_PATH
        try:
            answer = self.http_call(
                url, "POST", data="grant_type=client_credentials", headers=headers
            )
            token, seconds = text_at(answer, "access_token"), integer_at(answer, "expires_in")
        except (OutcomeUnknown, ValueError) as error:
            status = error.status if isinstance(error, _Refusal) else 0
            raise NotSent(
                f"PayPal did not log us in, so nothing else was sent. {error}",
                reason=_REASONS_OF_LOGIN.get(status, "unreachable"),
                exchanges=self._transport.exchanges,
            ) from error
        return token, seconds


@dataclass(frozen=True, slots=True)
class _SdkResponse:
    """As much of a response as the SDK looks at."""

    status_code: int


class _Refusal(OutcomeUnknown):
    """An answer other than 2xx. It proves a refusal only where its issue is one that we know."""

    def __init__(self, response: Response, exchanges: Sequence[Exchange]) -> None:
        self.status = response.status
        self.retry_after = retry_after(response.headers)
        try:
            body = json.loads(response.body)
        except ValueError:
            body = None
        details = value_at(body, "details")
        first = details[0] if isinstance(details, list) and details else None
        self.name = str(value_at(body, "name") or value_at(body, "error") or "")
        self.issue = str(value_at(first, "issue") or self.name)
        said = value_at(first, "description") or value_at(body, "message")
        self.text = str(said or value_at(body, "error_description") or f"HTTP {self.status}")
        what = ": ".join(part for part in (self.issue, self.text) if part)
        said = f"PayPal answered {what}.".replace("..", ".")
        super().__init__(said, code=self.issue or str(self.status), exchanges=exchanges)

    def judged(self, *, is_read: bool) -> GatewayError:
        """What it means whatever was asked: turned away at the door, or nothing that is proven."""
        if self.status in {401, 403}:
            return NotSent(
                f"PayPal did not accept our login: {self.text}",
                reason="credentials",
                exchanges=self.exchanges,
            )
        # That a refund which met a 429 did not run is nowhere promised.
        if self.status == 429 and is_read:
            return NotSent(
                f"PayPal turned the request away: {self.text}",
                reason="rate_limited",
                retry_after=self.retry_after,
                exchanges=self.exchanges,
            )
        return self


def _capture_path(payment_id: str) -> str:
    return f"/v2/payments/captures/{quote(payment_id, safe='')}"
