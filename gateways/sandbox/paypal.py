"""The PayPal dialect: tokens, captures, refunds, orders, transaction search, disputes, webhooks."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from . import paypal_objects as objects
from .http import Dialect, Reply, Request, json_reply
from .ledger import Ledger, LedgerPayment, SandboxAccount, StoredAnswer
from .paypal_errors import OAuthError, PayPalError
from .paypal_refunds import MAGIC, RefundDesk
from .paypal_reporting import search
from .paypal_signing import ALGORITHM, CERT_PATH, signer
from .routing import Route, Routes

TOKEN_LIFE = timedelta(seconds=32_400)
KEY_LIFE = timedelta(days=45)

_ROUTES = Routes(
    [
        Route("POST", "/v2/payments/captures/{id}/refund", "refund", "refund_capture"),
        Route("GET", "/v2/payments/captures/{id}", "get_payment", "get_capture"),
        Route("GET", "/v2/payments/refunds/{id}", "get_refund", "get_refund"),
        Route("GET", "/v2/checkout/orders/{id}", "details", "get_order"),
        Route("GET", "/v2/payments/authorizations/{id}", "get_authorization", "get_authorization"),
        Route("POST", "/v2/payments/authorizations/{id}/void", "void", "void_authorization"),
        Route("GET", "/v1/reporting/transactions", "list_payments", "list_transactions"),
        Route("GET", "/v1/reporting/balances", "check_credentials", "list_balances"),
        Route("GET", "/v1/customer/disputes", "list_disputes", "list_disputes"),
        Route("GET", "/v1/customer/disputes/{id}", "get_dispute", "get_dispute"),
        Route("GET", "/v1/notifications/webhooks-events", "list_events", "list_events"),
        Route(
            "POST", "/v1/notifications/verify-webhook-signature", "verify_webhook", "verify_webhook"
        ),
    ]
)
_SCOPE = " ".join(
    f"https://uri.paypal.com/services/{name}"
    for name in (
        "payments/refund",
        "payments/payment/authcapture",
        "reporting/search/read",
        "disputes/read-seller",
        "applications/webhooks",
    )
)


@dataclass(frozen=True, slots=True)
class _Call:
    request: Request
    account: SandboxAccount
    ids: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether the client asked for more than id, status and links."""
        return "return=representation" in self.request.headers.get("prefer", "")

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty body is an empty object."""
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise PayPalError(status=415)
        try:
            data = json.loads(self.request.body or b"{}")
        except ValueError as error:
            raise PayPalError("INVALID_PARAMETER_SYNTAX", field="/") from error
        if not isinstance(data, dict):
            raise PayPalError("INVALID_PARAMETER_SYNTAX", field="/")
        return data


class PayPalDialect(Dialect):
    """Payments v2, Orders v2, Transaction Search v1, Disputes v1 and Webhooks v1."""

    name = "paypal"
    prefix = "/paypal"
    echo = re.compile(rb'"value":"([0-9.]*[0-9])"')
    magic = MAGIC

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self.desk = RefundDesk(ledger)
        self._tokens: dict[str, tuple[str, datetime]] = {}

    def call_name(self, request: Request) -> str:
        if request.path == "/v1/oauth2/token":
            return "token"
        if request.path.startswith(CERT_PATH):
            return "certificate"
        found = _ROUTES.find(request.method, request.path)
        if not found:
            return "other"
        refunds_only = ("transaction_type", "T1107") in request.query
        return "list_refunds" if refunds_only else found[0].call

    def refusal(self, status: int) -> Reply:
        if status == 401:
            return self._dressed(_invalid_token().reply())
        return self._dressed(PayPalError(status=status).reply(_debug_id()))

    def refusal_with(self, code: str) -> Reply | None:
        return self._dressed(PayPalError(code).reply(_debug_id())) if code else None

    def handle(self, request: Request) -> Reply:
        try:
            return self._dressed(self._answered(request))
        except PayPalError as error:
            return self._dressed(error.reply(_debug_id()))
        except OAuthError as error:
            return self._dressed(error.reply())

    def _answered(self, request: Request) -> Reply:
        if request.path.startswith(CERT_PATH) and request.method == "GET":
            if request.path != signer().cert_path:
                raise PayPalError("INVALID_RESOURCE_ID")
            return Reply(200, signer().chain, {"Content-Type": "application/x-pem-file"})
        if request.path == "/v1/oauth2/token" and request.method == "POST":
            return self._token(request)
        with self.ledger.lock:
            account = self._authenticated(request)
        found = _ROUTES.find(request.method, request.path)
        if not found:
            raise PayPalError("INVALID_RESOURCE_ID")
        route, ids = found
        answer: Callable[[_Call], Reply] = getattr(self, route.handler)
        call = _Call(request, account, ids)
        if route.handler == "refund_capture":
            return self.refund_capture(call)
        request.hold()
        with self.ledger.lock:
            return answer(call)

    # Who asks

    def _token(self, request: Request) -> Reply:
        """A token for basic credentials; stray headers do not matter."""
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        try:
            pair = (
                base64.b64decode(rest, validate=True).decode() if scheme.lower() == "basic" else ""
            )
        except (binascii.Error, UnicodeDecodeError):
            pair = ""
        client_id, _, secret = pair.partition(":")
        with self.ledger.lock:
            account = self.ledger.account_with(self.name, client_id=client_id, client_secret=secret)
            if not account:
                raise OAuthError("invalid_client", "Client Authentication failed")
            if dict(request.form()).get("grant_type") != "client_credentials":
                raise OAuthError(
                    "unsupported_grant_type", "Grant Type is not supported", status=400
                )
            token = self.ledger.new_id("A21AA", 60)
            self._tokens[token] = (account.name, self.ledger.clock.now() + TOKEN_LIFE)
        return json_reply(
            {
                "scope": _SCOPE,
                "access_token": token,
                "token_type": "Bearer",
                "app_id": f"APP-{objects.merchant_id(account)}",
                "expires_in": int(TOKEN_LIFE.total_seconds()),
                "nonce": f"{self.ledger.clock.now().isoformat()}{token[5:15]}",
            }
        )

    def _authenticated(self, request: Request) -> SandboxAccount:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise PayPalError(status=401)
        name, expires_at = self._tokens.get(token.strip(), ("", self.ledger.clock.now()))
        account = self.ledger.accounts.get(name)
        if not account or expires_at <= self.ledger.clock.now():
            raise _invalid_token()
        return account

    # Payments and refunds

    def get_capture(self, call: _Call) -> Reply:
        payment = self._capture(call)
        return json_reply(objects.capture(self.ledger, payment, call.request.base_url))

    def _capture(self, call: _Call) -> LedgerPayment:
        payment = self.ledger.payment(call.account, call.ids[0])
        if not payment or payment.status in ("authorized", "voided"):
            raise PayPalError("INVALID_RESOURCE_ID")
        return payment

    def refund_capture(self, call: _Call) -> Reply:
        """A refund, or the present state of what its PayPal-Request-Id made earlier."""
        key = call.request.headers.get("paypal-request-id", "")
        claim = None
        with self.ledger.lock:
            if key:
                stored = self._stored(call.account, key)
                if stored:
                    return self._replayed(call, stored)
                now = self.ledger.clock.now()
                claim = StoredAnswer(call.account.name, key, "refund", now)
                self.ledger.keep_answer(claim)
        call.request.hold()
        with self.ledger.lock:
            try:
                return self._refund_now(call, claim)
            except PayPalError:
                if claim:
                    self.ledger.forget_answer(claim)
                raise

    def _refund_now(self, call: _Call, claim: StoredAnswer | None) -> Reply:
        wish = call.json()
        payment = self._capture(call)
        if issue := _mocked(call.request):
            raise PayPalError(issue)
        made = self.desk.create(call.account, payment, wish)
        if claim:
            claim.status, claim.record_id = 201, made.id
            self.ledger.keep_answer(claim)
        return json_reply(
            objects.refund(self.ledger, made, call.request.base_url, whole=call.whole), 201
        )

    def _stored(self, account: SandboxAccount, key: str) -> StoredAnswer | None:
        stored = self.ledger.answers.get((account.name, key))
        if stored and self.ledger.clock.now() - stored.at > KEY_LIFE:
            return None
        return stored

    def _replayed(self, call: _Call, stored: StoredAnswer) -> Reply:
        if not stored.status:
            raise PayPalError("PREVIOUS_REQUEST_IN_PROGRESS")
        made = self.ledger.refunds[stored.record_id]
        return json_reply(
            objects.refund(self.ledger, made, call.request.base_url, whole=call.whole)
        )

    def get_refund(self, call: _Call) -> Reply:
        made = self.ledger.refund(call.account, call.ids[0])
        if not made or made.operation != "refund":
            raise PayPalError("INVALID_RESOURCE_ID")
        return json_reply(objects.refund(self.ledger, made, call.request.base_url))

    def get_order(self, call: _Call) -> Reply:
        payment = self.ledger.payment(call.account, call.ids[0][::-1])
        if not payment or not objects.order_id(payment):
            raise PayPalError("INVALID_RESOURCE_ID")
        return json_reply(objects.order(self.ledger, payment, call.request.base_url))

    def get_authorization(self, call: _Call) -> Reply:
        payment = self._authorization(call)
        return json_reply(objects.authorization(payment, call.request.base_url))

    def _authorization(self, call: _Call) -> LedgerPayment:
        payment = self.ledger.payment(call.account, call.ids[0])
        if not payment or payment.status not in ("authorized", "voided"):
            raise PayPalError("INVALID_RESOURCE_ID")
        return payment

    def void_authorization(self, call: _Call) -> Reply:
        if issue := _mocked(call.request):
            raise PayPalError(issue)
        payment = self.desk.void(self._authorization(call))
        if not call.whole:
            return Reply(204)
        return json_reply(objects.authorization(payment, call.request.base_url))

    # Reports, disputes, webhooks

    def list_transactions(self, call: _Call) -> Reply:
        request = call.request
        return json_reply(search(self.ledger, call.account, request.query, request.base_url))

    def list_balances(self, call: _Call) -> Reply:
        now, funds = self.ledger.clock.now(), call.account.settings.balance
        rows = []
        for place, currency in enumerate(call.account.currencies):
            minor = 1_000_000_00 if funds is None else funds.get(currency, 0)
            available = objects.money(minor, currency)
            row = {"currency": currency, "primary": place == 0, "total_balance": available}
            rows.append({**row, "available_balance": available})
        return json_reply(
            {
                "balances": rows,
                "account_id": objects.merchant_id(call.account),
                "as_of_time": objects.when(now),
                "last_refresh_time": objects.when(now),
            }
        )

    def list_disputes(self, call: _Call) -> Reply:
        asked = dict(call.request.query)
        if wanted := asked.get("disputed_transaction_id"):
            payment = self.ledger.payment(call.account, wanted)
            found = [payment] if payment and payment.dispute else []
        else:
            line = self.ledger.timeline(call.account, "payments", "created")
            found = [row for row in line.at(range(len(line))[::-1]) if row.dispute]
        size, start = asked.get("page_size", "10"), asked.get("next_page_token", "0")
        if not size.isdigit() or not 1 <= int(size) <= 50 or not start.isdigit():
            raise PayPalError("INVALID_PARAMETER_VALUE", field="page_size")
        base, first = call.request.base_url, int(start)
        shown = found[first : first + int(size)]
        answer: dict[str, Any] = {
            "items": [objects.dispute(payment, base) for payment in shown],
            "links": [objects.link(base, "/v1/customer/disputes", "self")],
        }
        if first + int(size) < len(found):
            following = (
                f"/v1/customer/disputes?page_size={size}&next_page_token={first + int(size)}"
            )
            answer["links"].append(objects.link(base, following, "next"))
        return json_reply(answer)

    def get_dispute(self, call: _Call) -> Reply:
        payment = self.ledger.payment(call.account, call.ids[0].removeprefix("PP-D-"))
        if not payment or not payment.dispute:
            raise PayPalError("INVALID_RESOURCE_ID")
        return json_reply(objects.dispute(payment, call.request.base_url, whole=True))

    def list_events(self, call: _Call) -> Reply:
        wanted = dict(call.request.query).get("event_type")
        events = [
            json.loads(event.body)
            for event in self.ledger.events
            if event.account == call.account.name and wanted in (None, event.type)
        ]
        return json_reply({"events": events[::-1], "count": len(events), "links": []})

    def verify_webhook(self, call: _Call) -> Reply:
        """Check a webhook's signature over the event's own bytes as they stand in the request."""
        wish = call.json()
        texts = ("transmission_sig", "transmission_id", "transmission_time", "webhook_id")
        for name in (*texts, "auth_algo", "cert_url"):
            if not isinstance(wish.get(name), str):
                raise PayPalError("MISSING_REQUIRED_PARAMETER", field=f"/{name}")
        body = _raw_member(call.request.body, "webhook_event")
        ours = wish["auth_algo"] == ALGORITHM and wish["cert_url"].endswith(signer().cert_path)
        known = wish["webhook_id"] == call.account.credentials["webhook_id"]
        held = (
            ours
            and known
            and signer().holds(
                wish["transmission_sig"],
                wish["transmission_id"],
                wish["transmission_time"],
                wish["webhook_id"],
                body,
            )
        )
        return json_reply({"verification_status": "SUCCESS" if held else "FAILURE"})

    def _dressed(self, reply: Reply) -> Reply:
        return replace(reply, headers={**reply.headers, "PayPal-Debug-Id": _debug_id()})


def _debug_id() -> str:
    return secrets.token_hex(7)


def _invalid_token() -> OAuthError:
    return OAuthError("invalid_token", "Token signature verification failed")


def _mocked(request: Request) -> str:
    """The issue that the client asked for with PayPal-Mock-Response, or nothing."""
    text = request.headers.get("paypal-mock-response", "")
    if not text:
        return ""
    try:
        return str(json.loads(text)["mock_application_codes"])
    except (ValueError, KeyError, TypeError) as error:
        raise PayPalError("INVALID_PARAMETER_SYNTAX", field="PayPal-Mock-Response") from error


def _raw_member(body: bytes, name: str) -> bytes:
    """A member of a JSON object as it was written: parsing and writing again would change it."""
    text = body.decode("utf-8", "replace")
    found = re.search(rf'"{name}"\s*:\s*', text)
    if not found:
        raise PayPalError("MISSING_REQUIRED_PARAMETER", field=f"/{name}")
    _, end = json.JSONDecoder().raw_decode(text, found.end())
    return text[found.end() : end].encode()
