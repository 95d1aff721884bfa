"""The limit above which another person approves, as it stands for who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Q

from gateways.models import ProcessorAccount
from gateways.money import Money
from transactions.models import Transaction

from . import policy
from .models import ApprovalLimit
from .people import are_one_person

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def limit_for(account: ProcessorAccount, currency: str, requester: User) -> Money | None:
    """What may go back of one payment at the requester's word alone; None without a limit."""
    rows = ApprovalLimit.objects.filter(Q(account=account) | Q(account=None), currency=currency)
    history = [
        policy.LimitSet(
            of_account=row.account_id is not None,
            above_minor=row.above_minor,
            by_requester=are_one_person(row.made_by, requester),
        )
        for row in rows.select_related("made_by").order_by("pk")
    ]
    minor = policy.limit_for_requester(history)
    return None if minor is None else Money(minor, currency)


def why_approval(transaction: Transaction, amount: Money, requester: User) -> str:
    """The sentence why another person has to approve a refund that is asked for now, or ''."""
    limit = limit_for(transaction.account, amount.currency, requester)
    return policy.why_approval(amount, transaction.given_back, limit)


def why_approval_of_reserved(transaction: Transaction, amount: Money, requester: User) -> str:
    """The same for an amount that is reserved already: nobody asks for another one meanwhile."""
    limit = limit_for(transaction.account, amount.currency, requester)
    if limit is None:
        return ""
    now = Transaction.objects.get(pk=transaction.pk)
    before = Money(now.given_back.minor - amount.minor, amount.currency)
    return policy.why_approval(amount, before, limit)
