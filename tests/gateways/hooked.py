"""An account of ours at a processor of the sandbox, and an address that its webhooks come to."""

import json
import urllib.request
from datetime import UTC, datetime
from uuid import uuid4

from gateways.authorizenet import AuthorizeNetGateway
from gateways.base import Account, RefundOrder
from gateways.money import Money
from gateways.nmi import NmiGateway
from gateways.paypal import PayPalGateway
from gateways.sandbox.ledger import LedgerEvent
from gateways.sandbox.signatures import sign
from gateways.stripe import StripeGateway
from gateways.transport import Transport

PROCESSORS = {
    "stripe": (StripeGateway, "stripe-main"),
    "paypal": (PayPalGateway, "paypal-main"),
    "authorizenet": (AuthorizeNetGateway, "authorizenet-us"),
    "nmi": (NmiGateway, "nmi-main"),
}
LIVE = {"stripe": {"api_key": "sk_live_of_hats"}}


class Hooked:
    def __init__(self, sandbox, inbox, processor, verification="offline"):
        self.sandbox, self.inbox = sandbox, inbox
        self.processor, self.verification = processor, verification
        self.gateway_class, self.name = PROCESSORS[processor]
        self.gateway = self.open()

    def open(self, mode="test", base_url="", **credentials):
        known = self.sandbox.ledger.accounts[self.name].credentials
        live = LIVE.get(self.processor, {}) if mode == "live" else {}
        account = Account(
            slug=self.name,
            mode=mode,
            base_url=base_url or f"{self.sandbox.url}/{self.processor}",
            credentials=known | live | credentials,
            currency="USD",
            webhook_verification=self.verification,
        )
        return self.gateway_class(account, Transport(total_seconds=10))

    def control(self, address, **wish):
        body = json.dumps(wish).encode()
        request = urllib.request.Request(
            f"{self.sandbox.url}/_sandbox/{address}", body, method="POST"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def pay(self, minor=10_000, **wish):
        wish = {"status": "settled", "currency": "USD", "last4": "4242"} | wish
        return self.control("payments", account=self.name, amount_minor=minor, **wish)["payment"]

    def refund_by_hand(self, payment, minor=1250, **wish):
        wish |= {"payment_id": payment["id"], "amount_minor": minor}
        return self.control("refunds", **wish)["refund"]

    def refund(self, payment, minor=1250, reference="REF0000001"):
        known = self.gateway.get_payment(payment["id"])
        order = RefundOrder(
            reference=reference,
            payment_id=payment["id"],
            amount=Money(minor, "USD"),
            payment_amount=known.amount,
            last4="4242",
        )
        return self.gateway.refund(order)

    def deliver(self, **wish):
        """The notices that the sandbox sends of a record: (headers, body)."""
        sent = self.control("webhooks", url=self.inbox.url, **wish)
        return self.inbox.take(sent["deliveries"])

    def signed(self, body):
        """Any body at all, signed as the processor would: (body, headers)."""
        event = LedgerEvent(
            f"evt-{uuid4()}", self.processor, self.name, "any", "", datetime.now(UTC), body
        )
        with self.sandbox.ledger.lock:
            return sign(event, self.sandbox.ledger, datetime.now(UTC), self.sandbox.url)

    def calls(self):
        """How many calls the processor has had, logins apart."""
        return sum(request.call != "token" for request in self.sandbox.ledger.requests)
