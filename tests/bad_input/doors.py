"""Every way in which staff and programs say something about a payment."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.http import HttpResponse

from tests import pages, rest
from tests.refunds.desk import ACCOUNTS

from .refusing import Untouched


class Doors:
    """One payment of 100.00 USD, and every way in which something is said about it."""

    def __init__(self, sandbox: Any, valkey: Any) -> None:
        self.sandbox, self.valkey = sandbox, valkey
        name = ACCOUNTS["stripe"]
        self.account = rest.make_account(name, base_url=f"{sandbox.url}/stripe")
        self.account.set_credentials(sandbox.ledger.accounts[name].credentials)
        self.account.save()
        self.payment = rest.make_transaction(self.account, customer_name="Ana Popescu")
        self.api = rest.client_of("admin")
        self.browser = pages.client_of(self.api.person)

    def untouched(self) -> Untouched:
        return Untouched(self.sandbox, self.valkey)

    def refund_by_form(self, payment: Any = None, **changes: Any) -> HttpResponse:
        """Fill in the dialog; a list sends a field several times."""
        payment = payment or self.payment
        values = {
            "amount": "12.50",
            "reason": "other",
            "token": str(uuid.uuid4()),
            "expected_refundable": payment.refundable.major(),
        }
        address = f"/admin/transactions/transaction/{payment.pk}/refund/"
        return self.browser.post(address, values | changes)

    def preview(self, amount: str) -> HttpResponse:
        address = f"/admin/transactions/transaction/{self.payment.pk}/refund/"
        headers = {"HX-Request": "true", "HX-Target": "refund-preview"}
        return self.browser.get(address, {"amount": amount}, headers=headers)

    def refund_by_api(self, payment: Any = None, **changes: Any) -> HttpResponse:
        body = {"amount": "12.50", "reason": "other"} | changes
        return self.say(f"transactions/{(payment or self.payment).pk}/refunds", json.dumps(body))

    def say(self, address: str, body: str | bytes, **headers: Any) -> HttpResponse:
        """POST this to the API as it is."""
        headers = {"HTTP_IDEMPOTENCY_KEY": "key 1", "content_type": "application/json"} | headers
        kind = headers.pop("content_type")
        return self.api.generic("POST", f"/api/v1/{address}/", body, kind, **headers)
