"""The Stripe dialect: keys, versions, addresses, and idempotency as Stripe keeps it."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from . import stripe_params as parameters
from .http import Dialect, Reply, Request, json_reply
from .ledger import Ledger, SandboxAccount
from .routing import Route, Routes
from .stripe_calls import Call, StripeCalls
from .stripe_idempotency import Idempotency
from .stripe_objects import API_VERSION
from .stripe_params import StripeError, invalid
from .stripe_refunds import MAGIC, refusal

_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[a-z]+)?")

_ROUTES = Routes(
    [
        Route("GET", "/v1/account", "check_credentials", "get_account"),
        Route("GET", "/v1/balance", "check_credentials", "get_balance"),
        Route("GET", "/v1/charges", "list_payments", "list_charges"),
        Route("GET", "/v1/charges/{id}", "get_payment", "get_charge"),
        Route("GET", "/v1/payment_intents", "list_payment_intents", "list_intents"),
        Route("GET", "/v1/payment_intents/{id}", "get_payment_intent", "get_intent"),
        Route("POST", "/v1/payment_intents/{id}/cancel", "void", "cancel_intent"),
        Route("GET", "/v1/refunds", "list_refunds", "list_refunds"),
        Route("POST", "/v1/refunds", "refund", "create_refund"),
        Route("POST", "/v1/charges/{id}/refunds", "refund", "create_refund"),
        Route("GET", "/v1/refunds/{id}", "get_refund", "get_refund"),
        Route("POST", "/v1/refunds/{id}", "update_refund", "update_refund"),
        Route("POST", "/v1/refunds/{id}/cancel", "cancel_refund", "cancel_refund"),
        Route("POST", "/v1/test_helpers/refunds/{id}/expire", "expire_refund", "expire_refund"),
        Route("GET", "/v1/disputes", "list_disputes", "list_disputes"),
        Route("GET", "/v1/disputes/{id}", "get_dispute", "get_dispute"),
        Route("GET", "/v1/events", "list_events", "list_events"),
        Route("GET", "/v1/events/{id}", "get_event", "get_event"),
        Route("GET", "/v1/balance_transactions/{id}", "get_fee", "get_balance_transaction"),
    ]
)


class StripeDialect(Dialect):
    """Charges, payment intents, refunds, disputes and events of API version 2026-06-24."""

    name = "stripe"
    prefix = "/stripe"
    echo = re.compile(rb'"amount":([0-9]+)')
    magic = MAGIC

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self.calls = StripeCalls(ledger)
        self.idempotency = Idempotency(ledger)

    def call_name(self, request: Request) -> str:
        found = _ROUTES.find(request.method, request.path)
        return found[0].call if found else "other"

    def refusal(self, status: int) -> Reply:
        kind = "api_error" if status >= 500 else "invalid_request_error"
        words = {401: "Invalid API Key provided.", 403: "This key lacks the permission."}
        message = words.get(status, "Something went wrong on our side." if status >= 500 else "")
        code = "rate_limit" if status == 429 else ""
        refused = StripeError(message or "Too many requests.", status=status, kind=kind, code=code)
        return _dressed(refused.reply(), _request_id())

    def refusal_with(self, code: str) -> Reply | None:
        return _dressed(refusal(code).reply(), _request_id()) if code else None

    def handle(self, request: Request) -> Reply:
        request_id = _request_id()
        try:
            return _dressed(self._answered(request, request_id), request_id)
        except StripeError as error:
            return _dressed(error.reply(), request_id)

    def _answered(self, request: Request, request_id: str) -> Reply:
        with self.ledger.lock:
            account = self._authenticated(request)
        found = _ROUTES.find(request.method, request.path)
        if not found:
            raise StripeError(
                f"Unrecognized request URL ({request.method}: {request.path}).", status=404
            )
        route, ids = found
        pairs = request.form() if request.method == "POST" else request.query
        trace = {"request_id": request_id}
        if key := request.headers.get("idempotency-key", ""):
            trace["idempotency_key"] = key
        call = Call(account, parameters.parse(pairs), ids, trace)
        answer: Callable[[Call], Any] = getattr(self.calls, route.handler)
        if request.method == "POST":
            run = partial(self._run, call, answer)
            return self.idempotency.once(request, account, request_id, run)
        with self.ledger.lock:
            return json_reply(answer(call))

    # Who asks

    def _authenticated(self, request: Request) -> SandboxAccount:
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        key = rest.strip() if scheme.lower() == "bearer" else ""
        if scheme.lower() == "basic":
            try:
                key = base64.b64decode(rest, validate=True).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                key = ""
        if not key:
            raise StripeError(
                "You did not provide an API key. Send it as Authorization: Bearer YOUR_KEY.",
                status=401,
                executed=False,
            )
        account = self.ledger.account_with(self.name, api_key=key)
        if not account:
            raise StripeError(
                f"Invalid API Key provided: {key[:7]}***{key[-4:]}", status=401, executed=False
            )
        version = request.headers.get("stripe-version", API_VERSION)
        if not _VERSION.fullmatch(version):
            raise invalid(f"Invalid Stripe API version: {version}", "")
        return account

    def _run(self, call: Call, answer: Callable[[Call], Any]) -> tuple[Reply, bool]:
        try:
            with self.ledger.lock:
                return json_reply(answer(call)), True
        except StripeError as error:
            return error.reply(), error.executed

    def account_changed(self, account: SandboxAccount) -> None:
        self.calls.desk.pay_waiting(account)

    def answer_was_replaced(self, request: Request, reply: Reply) -> None:
        self.idempotency.replace_answer(request, self._authenticated(request), reply)


def _request_id() -> str:
    return f"req_{secrets.token_hex(7)}"


def _dressed(reply: Reply, request_id: str) -> Reply:
    headers = {"Request-Id": request_id, "Stripe-Version": API_VERSION}
    return replace(reply, headers={**reply.headers, **headers})
