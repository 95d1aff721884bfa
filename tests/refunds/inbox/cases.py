"""Cases that need a person, and where the staff site shows them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User

from refunds.attention import raise_case
from refunds.models import ApprovalRule, Attention, AttentionKind
from tests.refunds.states import ago, leave_unknown
from tests.rest import make_account, make_case, make_person, make_refund, make_transaction
from transactions.models import Transaction

INBOX = "/admin/refunds/attention/"
HTMX = {"HX-Request": "true"}


def page_of(case: Attention) -> str:
    return f"{INBOX}{case.pk}/change/"


def step_of(case: Attention, action: str) -> str:
    return f"{INBOX}{case.pk}/{action}/"


def make_unknown(
    agent: User, *, processor: str = "authorizenet", hours: int = 0, **fields: Any
) -> Attention:
    """The case of a refund of 25.00 whose answer was lost so many hours ago."""
    transaction = make_transaction(make_account(processor=processor), **fields)
    sent = ago(timedelta(hours=hours)) | {"processor_message": "The answer broke off."}
    refund = leave_unknown(make_refund(transaction, 2500, agent), **sent)
    return make_case(refund, AttentionKind.UNKNOWN_OUTCOME, "Nobody knows what became of it.")


def make_unapproved(agent: User) -> Attention:
    """The case of a refund of 25.00 that nobody has approved or rejected."""
    limits = {"currency": "USD", "value": 0}
    ApprovalRule.objects.create(made_by=make_person("manager"), **limits)
    refund = make_refund(make_transaction(), 2500, agent)
    return make_case(refund, AttentionKind.NOT_APPROVED, "Nobody has approved it for a day.")


def raise_many(number: int, kind: AttentionKind = AttentionKind.DISPUTED) -> Transaction:
    """So many cases about one transaction, which nobody owns."""
    transaction = make_transaction()
    for each in range(number):
        raise_case(
            kind, f"{transaction.pk}:{each}", f"Case {each}.",
            account=transaction.account, transaction=transaction,
        )  # fmt: skip
    return transaction
