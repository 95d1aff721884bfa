"""What each of Stripe's addresses answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from . import stripe_objects as objects
from . import stripe_params as parameters
from .ledger import Ledger, LedgerEvent, LedgerPayment, LedgerRefund, SandboxAccount, Timeline
from .stripe_pages import PAGE_PARAMETERS, Listing, page
from .stripe_params import Params, invalid
from .stripe_refunds import RefundDesk, find_payment, missing

_EVENTS_KEPT = timedelta(days=30)
_OF_CHARGE = frozenset(
    {"balance_transaction", "customer", "payment_intent", "refunds", "refunds.data"}
)
_OF_INTENT = frozenset({"latest_charge"})
_OF_REFUND = frozenset({"balance_transaction", "charge", "payment_intent"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request by one account, read."""

    account: SandboxAccount
    params: Params
    ids: tuple[str, ...]
    trace: dict[str, str]  # request id and idempotency key


class StripeCalls:
    """One method per address; each returns the JSON of a good answer or raises StripeError.

    Call them with the ledger's lock held.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.desk = RefundDesk(ledger)

    # Reading

    def get_account(self, call: Call) -> Any:
        return objects.account(call.account)

    def get_balance(self, call: Call) -> Any:
        return objects.balance(call.account)

    def list_charges(self, call: Call) -> Any:
        parameters.check_known(
            call.params, *PAGE_PARAMETERS, "customer", "payment_intent", "transfer_group"
        )
        expand = parameters.expansions(call.params, _OF_CHARGE, "data.")
        expand |= {"refunds"} if "refunds.data" in expand else set()
        return page(
            Listing(
                "/v1/charges",
                self._payments(call),
                lambda charge_id: find_payment(self.ledger, call.account, charge_id),
                lambda row: objects.charge(self.ledger, row, expand),
            ),
            call.params,
        )

    def get_charge(self, call: Call) -> Any:
        parameters.check_known(call.params, "expand")
        expand = parameters.expansions(call.params, _OF_CHARGE)
        payment = find_payment(self.ledger, call.account, call.ids[0])
        if not payment:
            raise missing("charge", call.ids[0], "id")
        return objects.charge(self.ledger, payment, expand)

    def list_intents(self, call: Call) -> Any:
        parameters.check_known(call.params, *PAGE_PARAMETERS, "customer", "customer_account")
        expand = parameters.expansions(call.params, _OF_INTENT, "data.")
        return page(
            Listing(
                "/v1/payment_intents",
                self._payments(call),
                lambda intent_id: find_payment(self.ledger, call.account, intent_id, intent=True),
                lambda row: objects.intent(self.ledger, row, expand),
            ),
            call.params,
        )

    def get_intent(self, call: Call) -> Any:
        parameters.check_known(call.params, "expand", "client_secret")
        expand = parameters.expansions(call.params, _OF_INTENT)
        return objects.intent(self.ledger, self._intent(call), expand)

    def _intent(self, call: Call) -> LedgerPayment:
        payment = find_payment(self.ledger, call.account, call.ids[0], intent=True)
        if not payment:
            raise missing("payment_intent", call.ids[0], "intent")
        return payment

    def _payments(self, call: Call) -> Timeline[Any]:
        """The account's payments, or those of a customer or payment intent."""
        everything = self.ledger.timeline(call.account, "payments", "created")
        if intent_id := parameters.text(call.params, "payment_intent"):
            found = find_payment(self.ledger, call.account, intent_id, intent=True)
            return Timeline(_created, [found] if found else [])
        if customer := parameters.text(call.params, "customer"):
            rows = everything.at(range(len(everything)))
            return Timeline(_created, [r for r in rows if objects.customer_id(r) == customer])
        return everything

    def get_balance_transaction(self, call: Call) -> Any:
        rest = objects.tail(call.ids[0])
        for prefix in ("ch_", "py_", "re_"):
            row = self.ledger.payment(call.account, prefix + rest) or self.ledger.refund(
                call.account, prefix + rest
            )
            if row:
                return objects.balance_transaction(row)
        raise missing("balance transaction", call.ids[0], "id")

    # Refunds

    def create_refund(self, call: Call) -> Any:
        params = {**call.params, "charge": call.ids[0]} if call.ids else call.params
        expand = parameters.expansions(params, _OF_REFUND)
        made = self.desk.create(call.account, params, call.trace)
        return objects.refund(self.ledger, made, expand)

    def get_refund(self, call: Call) -> Any:
        parameters.check_known(call.params, "expand")
        expand = parameters.expansions(call.params, _OF_REFUND)
        return objects.refund(self.ledger, self._refund(call), expand)

    def list_refunds(self, call: Call) -> Any:
        parameters.check_known(call.params, *PAGE_PARAMETERS, "charge", "payment_intent")
        expand = parameters.expansions(call.params, _OF_REFUND, "data.")
        return page(
            Listing(
                "/v1/refunds",
                self._refunds(call),
                lambda refund_id: self.ledger.refund(call.account, refund_id),
                lambda row: objects.refund(self.ledger, row, expand),
            ),
            call.params,
        )

    def _refunds(self, call: Call) -> Timeline[Any]:
        for name in ("charge", "payment_intent"):
            if object_id := parameters.text(call.params, name):
                payment = find_payment(
                    self.ledger, call.account, object_id, intent=name == "payment_intent"
                )
                if not payment:
                    raise missing(name, object_id, name)
                return Timeline(_created, self.ledger.refunds_of(payment))
        return self.ledger.timeline(call.account, "refunds", "created")

    def _refund(self, call: Call) -> LedgerRefund:
        row = self.ledger.refund(call.account, call.ids[0])
        if not row:
            raise missing("refund", call.ids[0], "refund")
        return row

    def update_refund(self, call: Call) -> Any:
        return objects.refund(self.ledger, self.desk.update(self._refund(call), call.params))

    def cancel_refund(self, call: Call) -> Any:
        return objects.refund(self.ledger, self.desk.cancel(self._refund(call)))

    def expire_refund(self, call: Call) -> Any:
        return objects.refund(self.ledger, self.desk.expire(self._refund(call)))

    def cancel_intent(self, call: Call) -> Any:
        payment = self.desk.cancel_payment(self._intent(call), call.params, call.trace)
        return objects.intent(self.ledger, payment)

    # Disputes and events

    def list_disputes(self, call: Call) -> Any:
        parameters.check_known(call.params, *PAGE_PARAMETERS, "charge", "payment_intent")
        line = Timeline(objects.disputed_at, [row for row in self._asked_for(call) if row.dispute])
        return page(
            Listing(
                "/v1/disputes",
                line,
                lambda object_id: self._disputed(call.account, object_id),
                objects.dispute,
            ),
            call.params,
        )

    def _asked_for(self, call: Call) -> list[LedgerPayment]:
        """The payment that the parameters name, or all."""
        for name in ("charge", "payment_intent"):
            if object_id := parameters.text(call.params, name):
                by_intent = name == "payment_intent"
                found = find_payment(self.ledger, call.account, object_id, intent=by_intent)
                return [found] if found else []
        everything = self.ledger.timeline(call.account, "payments", "created")
        return everything.at(range(len(everything)))

    def _disputed(self, account: SandboxAccount, object_id: str) -> LedgerPayment | None:
        payment = find_payment(self.ledger, account, f"pi_{objects.tail(object_id)}", intent=True)
        return payment if payment and payment.dispute else None

    def get_dispute(self, call: Call) -> Any:
        payment = self._disputed(call.account, call.ids[0])
        if not payment:
            raise missing("dispute", call.ids[0], "dispute")
        return objects.dispute(payment)

    def list_events(self, call: Call) -> Any:
        parameters.check_known(call.params, *PAGE_PARAMETERS, "delivery_success", "type", "types")
        wanted = list(call.params.get("types", {}).values())
        if kind := parameters.text(call.params, "type"):
            wanted.append(kind)
        if len(wanted) > 20:
            raise invalid("At most 20 types.", "types")
        events = [
            event
            for event in self._events(call.account)
            if not wanted or any(fnmatchcase(event.type, pattern) for pattern in wanted)
        ]
        by_id = {event.id: event for event in events}
        line = Timeline(lambda event: event.at, events)
        return page(
            Listing("/v1/events", line, by_id.get, lambda event: json.loads(event.body)),
            call.params,
        )

    def _events(self, account: SandboxAccount) -> list[LedgerEvent]:
        since = self.ledger.clock.now() - _EVENTS_KEPT
        return [
            event
            for event in self.ledger.events
            if event.account == account.name and event.at > since
        ]

    def get_event(self, call: Call) -> Any:
        for event in self._events(call.account):
            if event.id == call.ids[0]:
                return json.loads(event.body)
        raise missing("event", call.ids[0], "id")


def _created(row: LedgerPayment | LedgerRefund) -> datetime:
    return row.created_at
