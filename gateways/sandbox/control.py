"""Everything below `/_sandbox/`: looking in, and making things happen."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .control_input import (
    ControlError,
    amount_of,
    choice_of,
    moment_of,
    number_of,
    only,
    text_of,
    texts_of,
)
from .faults import FaultError
from .http import Reply, Request, json_reply
from .identifiers import new_payment_id, new_refund_id
from .ledger import (
    AccountSettings,
    ExceedsRefundableError,
    LedgerPayment,
    LedgerRefund,
    NotVoidableError,
    SandboxAccount,
)
from .overview import as_page, ledger_as_json, overview
from .records import as_json

if TYPE_CHECKING:
    from .server import SandboxServer

_PAYMENT_TEXTS = (
    "brand",
    "description",
    "dispute",
    "last4",
    "method_type",
    "order_reference",
    "payer_email",
    "payer_name",
    "wallet",
)
_CHOICES = {
    "status": ("authorized", "captured", "settled", "voided", "failed"),
    "dispute": ("", "inquiry", "open", "chargeback"),
    "method_type": ("card", "bank", "wallet"),
}
_REFUND_STATUSES = ("pending", "requires_action", "succeeded", "failed", "canceled")

Answer = Callable[[Mapping[str, Any]], Any]


class Control:
    """Answers the control addresses of one server. Bad input gets 400 with a sentence."""

    def __init__(self, sandbox: SandboxServer) -> None:
        self.sandbox = sandbox
        self.ledger = sandbox.ledger
        self._posts: dict[str, Answer] = {
            "payments": self._payment,
            "refunds": self._refund,
            "faults": self._fault,
            "webhooks": sandbox.notifier.order,
            "clock": self._clock,
            "reset": self._reset,
            "accounts": self._account,
        }

    def handle(self, request: Request) -> Reply:
        base, _, rest = request.path.strip("/").partition("/")
        if base != "_sandbox":
            return _error(404, "Nothing here. The dialects are listed on /_sandbox/.")
        try:
            if request.method == "GET":
                return self._get(rest, request)
            if request.method == "DELETE":
                return self._delete(rest)
            return self._post(rest, request)
        except (ControlError, FaultError) as error:
            return _error(400, str(error))

    def _get(self, name: str, request: Request) -> Reply:
        match name:
            case "":
                known = overview(self.sandbox, request.base_url)
                if "text/html" in request.headers.get("accept", ""):
                    return Reply(200, as_page(known), {"Content-Type": "text/html; charset=utf-8"})
                return json_reply(known)
            case "ledger":
                return json_reply(ledger_as_json(self.ledger, dict(request.query)))
            case "faults":
                return json_reply({"faults": self.sandbox.faults.as_json()})
            case "webhooks":
                return json_reply(self.sandbox.notifier.as_json())
            case "clock":
                return json_reply({"now": self.ledger.clock.now().isoformat()})
        return _error(404, f"There is no /_sandbox/{name}.")

    def _delete(self, name: str) -> Reply:
        base, _, number = name.partition("/")
        if base != "faults" or (number and not number.isdigit()):
            return _error(404, f"There is no /_sandbox/{name} to delete.")
        gone = self.sandbox.faults.clear(int(number) if number else None)
        return json_reply({"disarmed": gone})

    def _post(self, name: str, request: Request) -> Reply:
        answer = self._posts.get(name)
        if not answer:
            return _error(404, f"There is no /_sandbox/{name}.")
        try:
            wish = json.loads(request.body or b"{}")
        except ValueError as error:
            raise ControlError(f"The body is not JSON: {error}.") from error
        if not isinstance(wish, dict):
            raise ControlError("The body is a JSON object.")
        return json_reply(answer(wish), 201 if name in ("payments", "refunds", "faults") else 200)

    # Payments and refunds

    def _payment(self, wish: Mapping[str, Any]) -> Any:
        """Make a payment, or change the one that ``payment_id`` names."""
        only(
            wish,
            *("payment_id", "account", "dialect", "amount", "amount_minor", "currency", "status"),
            *("created_at", *_PAYMENT_TEXTS),
        )
        texts = texts_of(wish, _PAYMENT_TEXTS)
        for name, options in _CHOICES.items():
            choice_of(wish, name, options)
        with self.ledger.lock:
            if "payment_id" in wish:
                payment = self._change_payment(wish, texts)
            else:
                payment = self._new_payment(wish, texts)
            return {"payment": as_json(payment)}

    def _change_payment(self, wish: Mapping[str, Any], texts: dict[str, Any]) -> LedgerPayment:
        payment = self._known_payment(wish)
        values = {**texts, **({"status": wish["status"]} if "status" in wish else {})}
        tell = "payment.disputed" if texts.get("dispute") else "payment.updated"
        if texts.get("dispute"):
            values["extra"] = {**payment.extra, "disputed_at": self.ledger.clock.now().isoformat()}
        if values.get("status") == "settled":
            tell, values["settled_at"] = "payment.settled", self.ledger.clock.now()
        self.ledger.change(payment, tell=tell, **values)
        return payment

    def _new_payment(self, wish: Mapping[str, Any], texts: dict[str, Any]) -> LedgerPayment:
        account, now = self._known_account(wish), self.ledger.clock.now()
        currency = text_of(wish, "currency") or account.currency
        if currency not in account.currencies:
            raise ControlError(f"{account.name} takes {', '.join(account.currencies)}.")
        amount = amount_of(wish, currency)
        if amount is None:
            raise ControlError("Give `amount` (as text, in major units) or `amount_minor`.")
        waits = account.settings.settles_nightly
        status = wish.get("status") or ("captured" if waits else "settled")
        created_at = moment_of(wish, "created_at") or now
        serial = self.ledger.next_serial()
        return self.ledger.add_payment(
            LedgerPayment(
                id=new_payment_id(self.ledger, account.dialect, serial),
                dialect=account.dialect,
                account=account.name,
                amount_minor=amount,
                currency=currency,
                status=status,
                created_at=created_at,
                settled_at=created_at if status == "settled" else None,
                serial=serial,
                **{"brand": "visa", "last4": "4242", **texts},
            )
        )

    def _refund(self, wish: Mapping[str, Any]) -> Any:
        """Refund or void a payment by hand, or change the refund that ``refund_id`` names."""
        only(wish, "refund_id", "payment_id", "amount", "amount_minor", "status", "operation")
        choice_of(wish, "status", _REFUND_STATUSES)
        choice_of(wish, "operation", ("refund", "void"))
        with self.ledger.lock:
            refund = self._change_refund(wish) if "refund_id" in wish else self._new_refund(wish)
            return {"refund": as_json(refund)}

    def _change_refund(self, wish: Mapping[str, Any]) -> LedgerRefund:
        refund = self.ledger.refunds.get(text_of(wish, "refund_id"))
        if not refund or not wish.get("status"):
            raise ControlError("`refund_id` names a refund, and `status` what becomes of it.")
        status: str = wish["status"]
        failure: dict[str, Any] = {"failure_reason": "declined"} if status == "failed" else {}
        self.ledger.change(
            refund, tell=f"refund.{status}", status=status, due_at=None, due_status="", **failure
        )
        return refund

    def _new_refund(self, wish: Mapping[str, Any]) -> LedgerRefund:
        payment = self._known_payment(wish)
        account = self.ledger.accounts[payment.account]
        void = wish.get("operation") == "void"
        left = payment.amount_minor if void else self.ledger.refundable_minor(payment)
        amount = left if void else amount_of(wish, payment.currency) or left
        waits = account.settings.settles_nightly and not void
        serial = self.ledger.next_serial()
        made = LedgerRefund(
            id=new_refund_id(self.ledger, payment.dialect, serial),
            payment_id=payment.id,
            dialect=payment.dialect,
            account=payment.account,
            amount_minor=amount,
            currency=payment.currency,
            status=wish.get("status") or ("pending" if waits else "succeeded"),
            created_at=self.ledger.clock.now(),
            operation="void" if void else "refund",
            origin="dashboard",
            serial=serial,
        )
        if not amount:
            raise ControlError("Nothing is left to refund.")
        try:
            return self.ledger.void(payment, made) if void else self.ledger.add_refund(made)
        except ExceedsRefundableError as error:
            raise ControlError(f"Only {error.refundable_minor} minor units are left.") from error
        except NotVoidableError as error:
            raise ControlError(f"A payment that is {payment.status} cannot be voided.") from error

    def _known_payment(self, wish: Mapping[str, Any]) -> LedgerPayment:
        payment = self.ledger.payments.get(text_of(wish, "payment_id"))
        if not payment:
            raise ControlError("`payment_id` names a payment; see /_sandbox/ledger.")
        return payment

    def _known_account(self, wish: Mapping[str, Any]) -> SandboxAccount:
        """The account that is named, or the first of a dialect."""
        name, dialect = text_of(wish, "account"), text_of(wish, "dialect")
        for account in self.ledger.accounts.values():
            if account.name == name or (not name and account.dialect == dialect):
                return account
        raise ControlError(f"`account` is one of {', '.join(self.ledger.accounts)}.")

    # The rest

    def _fault(self, wish: Mapping[str, Any]) -> Any:
        return {"fault": as_json(self.sandbox.arm(wish))}

    def _clock(self, wish: Mapping[str, Any]) -> Any:
        only(wish, "advance_seconds", "now")
        now = self.ledger.clock.now()
        target = moment_of(wish, "now") or now + timedelta(
            seconds=number_of(wish, "advance_seconds")
        )
        if target < now:
            raise ControlError("The clock only moves forward.")
        with self.ledger.lock:
            self.ledger.clock.advance(target - now)
            self.ledger.journal(self.ledger.clock)
            self.ledger.advance()
        return {"now": self.ledger.clock.now().isoformat()}

    def _reset(self, wish: Mapping[str, Any]) -> Any:
        only(wish, "seed", "payments")
        seed = int(number_of(wish, "seed", self.sandbox.seed))
        payments = int(number_of(wish, "payments", self.sandbox.payments))
        if not 0 <= payments <= 200_000:
            raise ControlError("`payments` is from 0 to 200000.")
        self.sandbox.reset(seed=seed, payments=payments)
        return {"payments": len(self.ledger.payments)}

    def _account(self, wish: Mapping[str, Any]) -> Any:
        """Change an account's settings or credentials, by name."""
        known = {item.name: item.type for item in fields(AccountSettings)}
        only(wish, "account", "dialect", "credentials", "settings", *known)
        account = self._known_account(wish)
        nested = wish.get("settings") or {}
        credentials = wish.get("credentials") or {}
        if not isinstance(nested, dict) or not isinstance(credentials, dict):
            raise ControlError("`settings` and `credentials` are objects.")
        only(nested, *known)
        values = {**nested, **{name: wish[name] for name in known if name in wish}}
        for name, value in values.items():
            _check_setting(account.settings, name, value)
        texts_of(credentials, tuple(account.credentials))
        only(credentials, *account.credentials)
        with self.ledger.lock:
            for name, value in values.items():
                setattr(account.settings, name, value)
            account.credentials.update(credentials)
            self.ledger.add_account(account)
            for dialect in self.sandbox.dialects:
                if dialect.name == account.dialect:
                    dialect.account_changed(account)
        return {"account": as_json(account)}


def _check_setting(settings: AccountSettings, name: str, value: Any) -> None:
    if name == "balance":
        amounts = value.values() if isinstance(value, dict) else ()
        if value is None or (isinstance(value, dict) and all(type(v) is int for v in amounts)):
            return
        raise ControlError("`balance` is minor units by currency, or null for more than enough.")
    kind = type(getattr(settings, name))
    if type(value) is not kind:
        raise ControlError(f"`{name}` is {kind.__name__}.")


def _error(status: int, sentence: str) -> Reply:
    return json_reply({"error": sentence}, status)
