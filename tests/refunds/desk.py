"""One processor of the sandbox with an account of ours at it: what the tests of sending work on."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateways.models import ProcessorAccount
from gateways.registry import open_gateway
from refunds.models import Refund
from transactions.models import Transaction
from transactions.upsert import store_payments

if TYPE_CHECKING:
    from gateways.sandbox.server import SandboxServer

ACCOUNTS = {
    "stripe": "stripe-main",
    "paypal": "paypal-main",
    "authorizenet": "authorizenet-us",
    "nmi": "nmi-main",
}
KEYED = ("stripe", "paypal")
ONE_SHOT = ("authorizenet", "nmi")


class Desk:
    def __init__(
        self, sandbox: SandboxServer, processor: str, ask: Callable[..., Refund], name: str = ""
    ) -> None:
        self.sandbox = sandbox
        self.processor = processor
        self.ask = ask
        self.name = name or ACCOUNTS[processor]
        self.account = ProcessorAccount(
            slug=self.name,
            processor=processor,
            mode="test",
            base_url=f"{sandbox.url}/{processor}",
            currency="USD",
        )
        self.account.set_credentials(sandbox.ledger.accounts[self.name].credentials)
        self.account.save()

    def post(self, address: str, **wish: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.sandbox.url}/_sandbox/{address}", json.dumps(wish).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def pay(self, minor: int = 10_000, currency: str = "USD", **wish: Any) -> Transaction:
        """A payment at the processor and its mirror here."""
        wish = {"status": "settled", "last4": "4242", "brand": "visa"} | wish
        made = self.post(
            "payments", account=self.name, amount_minor=minor, currency=currency, **wish
        )
        return self.pull(made["payment"]["id"])

    def pull(self, payment_id: str) -> Transaction:
        payment = open_gateway(self.account).get_payment(payment_id)
        assert payment, payment_id
        counts = store_payments(self.account, [payment])
        assert not counts.rejected
        return Transaction.objects.get(account=self.account, external_id=payment_id)

    def change(self, transaction: Transaction, **values: Any) -> None:
        self.post("payments", account=self.name, payment_id=transaction.external_id, **values)

    def show_late(self, seconds: int) -> None:
        """How long the processor leaves new refunds out of its lists."""
        self.post("accounts", account=self.name, lookup_lag_seconds=seconds)

    def arm(self, call: str, what: str, when: str = "before", **more: Any) -> None:
        self.post("faults", dialect=self.processor, call=call, what=what, when=when, **more)

    def given_back(self, transaction: Transaction) -> list[int]:
        """What the processor's own ledger says went back, in minor units, oldest first."""
        ledger = self.sandbox.ledger
        with ledger.lock:
            account = ledger.accounts[self.name]
            payment = ledger.payment(account, transaction.external_id)
            assert payment
            return [
                refund.amount_minor
                for refund in ledger.refunds_of(payment)
                if refund.status not in ("failed", "canceled")
            ]

    def calls(self, call: str) -> int:
        """How many requests of a kind the processor got."""
        ledger = self.sandbox.ledger
        with ledger.lock:
            got = list(ledger.requests)
        return sum((each.dialect, each.call) == (self.processor, call) for each in got)

    def sums(self, transaction: Transaction) -> tuple[int, int]:
        row = Transaction.objects.get(pk=transaction.pk)
        return row.reserved_minor, row.refunded_minor
